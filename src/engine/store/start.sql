-- Writes a run with its first event. It belongs to the node $15 where that is alive and nobody counts the organization's
-- runs; then what it does first ($21) is written along with it.
with plan as (
    insert into artifacts (organization_id, sha256, bytes, body) values ($1, $5, $19, $20)
    on conflict (organization_id, sha256) do nothing
),
place as (
    select (
        select n.id from nodes n, organizations o
        where n.id = $15 and n.lease_until > clock_timestamp()
            -- Where runs are counted, a claim does it, or an admission.
            and o.id = $1 and o.max_running is null and $17::text is null
    ) as node
),
made as (
    insert into runs (
        organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by, started_by_name,
        retry_of, input, deadline_at, priority, concurrency_key, concurrency_limit, held, owner, fence, state, started_at,
        last_seq, labels, wake_at
    )
    select
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + make_interval(secs => $12), $16, $17, $18::integer,
        $17 is not null, node, (node is not null)::integer,
        case when begins then 'running' else 'queued' end,
        case when begins then now() end,
        case when begins then 1 + cardinality($22::bigint[]) else 1 end,
        $40::text[],
        case
            when node is not null then null
            -- Held until it is admitted, at most until its deadline has surely passed: then it is failed.
            when $17 is not null then now() + make_interval(secs => $12 + 1)
            else now()
        end
    from place, lateral (select node is not null and $21::boolean as begins) b
    returning owner, fence, deadline_at, state = 'running' as begins
),
events as (
    insert into run_events (organization_id, run_id, seq, kind, step_id, data)
    select $1, $2, 1, $13, null, $14
    union all
    select $1, $2, 1 + e.place, e.kind, e.step_id, e.data
    from made, unnest($22, $23::text[], $24::text[], $25::jsonb[]) as e (place, kind, step_id, data)
    where begins
),
steps_written as (
    insert into steps (
        organization_id, run_id, id, parent_id, node_id, kind, name, ordinal, state, attempt, input, output, error,
        detail, agent_key, queued_at, wake_at, started_at, finished_at
    )
    select
        $1, $2, t.id, t.parent_id, t.node_id, t.kind, t.name, t.ordinal, t.state, t.attempt, t.input, t.output, t.error,
        t.detail, t.detail #>> '{task,agent}', t.queued_at, t.wake_at,
        case when t.state in ('skipped', 'cancelled', 'queued') then null else now() end,
        case when t.state in ('succeeded', 'failed', 'skipped', 'cancelled') then now() end
    from made, unnest(
        $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::integer[], $32::text[], $33::integer[],
        $34::jsonb[], $35::jsonb[], $36::jsonb[], $37::jsonb[], $38::timestamptz[], $39::timestamptz[]
    ) as t (
        id, parent_id, node_id, kind, name, ordinal, state, attempt, input, output, error, detail, queued_at, wake_at
    )
    where begins
)
select owner is not null as "owned!", fence, deadline_at, now() as "at!" from made
