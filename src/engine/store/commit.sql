-- Many runs' decisions in one statement. A run's row is changed only for its owner, under its fence, while the owner's
-- lease holds, and (for decisions that begin effects or end the run) when no signal came that was not read. All other
-- rows follow from the runs that passed.
with decided as (
    select *
    from unnest(
        $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::jsonb[], $9::jsonb[],
        $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::boolean[], $15::boolean[],
        $16::timestamptz[]
    ) as t (
        organization_id, id, fence, events, state, waiting_on, output, error,
        tokens_in, tokens_out, cost_micros, signals_seen, needs_sync, released, wake_at
    )
),
written as (
    update runs r
    set last_seq = r.last_seq + d.events,
        -- A cancel that is not read yet keeps its word.
        state = case
            when r.state = 'cancelling' and d.state not in ('succeeded', 'failed', 'cancelled') then r.state
            else d.state
        end,
        waiting_on = case when r.state = 'cancelling' then null else d.waiting_on end,
        output = coalesce(d.output, r.output),
        error = coalesce(d.error, r.error),
        tokens_in = r.tokens_in + d.tokens_in,
        tokens_out = r.tokens_out + d.tokens_out,
        cost_micros = r.cost_micros + d.cost_micros,
        signals_seen = d.signals_seen,
        started_at = coalesce(r.started_at, now()),
        finished_at = case when d.state in ('succeeded', 'failed', 'cancelled') then now() else r.finished_at end,
        -- Whoever writes lives.
        crashes = 0,
        -- A suspected call is out until something is written of it.
        suspect = case
            when r.suspect is not null and not exists (
                select from unnest($22::uuid[], $23::text[]) as t (run_id, id)
                where t.run_id = r.id and t.id = r.suspect
            ) then r.suspect
        end,
        owner = case when d.released then null else r.owner end,
        -- A signal that came in between wakes the run at once.
        wake_at = case
            when not d.released or d.state in ('succeeded', 'failed', 'cancelled') then null
            when r.signals > d.signals_seen then now()
            else d.wake_at
        end
    from decided d
    where r.organization_id = d.organization_id
        and r.id = d.id
        -- Not by the index of owners: a node has many runs, and few of them write at a time.
        and r.owner is not distinct from $1
        and r.fence = d.fence
        and (r.signals = d.signals_seen or not d.needs_sync)
        and r.state not in ('succeeded', 'failed', 'cancelled')
        and exists (select from nodes n where n.id = $1 and n.lease_until > clock_timestamp())
    returning r.organization_id, r.id, r.last_seq - d.events as base
),
events as (
    insert into run_events (organization_id, run_id, seq, kind, step_id, data)
    select w.organization_id, w.id, w.base + e.place, e.kind, e.step_id, e.data
    from unnest($17::uuid[], $18::bigint[], $19::text[], $20::text[], $21::jsonb[])
        as e (run_id, place, kind, step_id, data)
    join written w on w.id = e.run_id
),
steps_written as (
    insert into steps as s (
        organization_id, run_id, id, parent_id, node_id, kind, name, ordinal, state, attempt, input, output, error,
        detail, agent_key, tokens_in, tokens_out, cost_micros, queued_at, wake_at, started_at, finished_at
    )
    select
        w.organization_id, w.id, t.id, t.parent_id, t.node_id, t.kind, t.name, t.ordinal, t.state, t.attempt, t.input,
        t.output, t.error, t.detail, t.detail #>> '{task,agent}', t.tokens_in, t.tokens_out, t.cost_micros, t.queued_at,
        t.wake_at,
        case when t.state in ('skipped', 'cancelled', 'queued') then null else now() end,
        case when t.state in ('succeeded', 'failed', 'skipped', 'cancelled') then now() end
    from unnest(
        $22::uuid[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::integer[], $29::text[],
        $30::integer[], $31::jsonb[], $32::jsonb[], $33::jsonb[], $34::jsonb[], $35::bigint[], $36::bigint[],
        $37::bigint[], $38::timestamptz[], $39::timestamptz[]
    ) as t (
        run_id, id, parent_id, node_id, kind, name, ordinal, state, attempt, input, output, error, detail, tokens_in,
        tokens_out, cost_micros, queued_at, wake_at
    )
    join written w on w.id = t.run_id
    on conflict (organization_id, run_id, id) do update
    set state = excluded.state,
        attempt = excluded.attempt,
        input = excluded.input,
        output = excluded.output,
        error = excluded.error,
        detail = excluded.detail,
        agent_key = excluded.agent_key,
        tokens_in = excluded.tokens_in,
        tokens_out = excluded.tokens_out,
        cost_micros = excluded.cost_micros,
        wake_at = excluded.wake_at,
        started_at = coalesce(s.started_at, excluded.started_at),
        finished_at = excluded.finished_at
    -- An end never changes.
    where s.state not in ('succeeded', 'failed', 'skipped', 'cancelled')
)
select id as "id!", base as "base!", now() as "at!" from written
