-- Takes up to $2 due runs that nobody owns for the node $1, in turn between organizations, and inside of one by priority
-- and then by how long they have been due.
--
-- Without a cursor ($7) it looks at the $3 runs that have been due for longest. When these are not all, it takes none: they
-- may be of one organization, and say nothing of the others. With a cursor it goes from organization to organization, and
-- begins behind that one.
--
-- The organization $4 has much of this node already: it comes last, and gets $5 at most. Runs of organizations with a limit
-- ($6 where they have none of their own) are not taken here, but told: they are counted first, by one node at a time.
with recursive ahead as (
    (
        select organization_id, priority, wake_at from runs
        where $7::uuid is not null and owner is null and wake_at is not null and organization_id > $7
        order by organization_id, priority, wake_at limit 1
    )
    union all
    select n.* from ahead a cross join lateral (
        select organization_id, priority, wake_at from runs
        where owner is null and wake_at is not null and (organization_id, priority) > (a.organization_id, a.priority)
        order by organization_id, priority, wake_at limit 1
    ) n
),
around as (
    (
        select organization_id, priority, wake_at from runs
        where $7::uuid is not null and owner is null and wake_at is not null and organization_id <= $7
        order by organization_id, priority, wake_at limit 1
    )
    union all
    select n.* from around a cross join lateral (
        select organization_id, priority, wake_at from runs
        where owner is null and wake_at is not null and (organization_id, priority) > (a.organization_id, a.priority)
            and organization_id <= $7
        order by organization_id, priority, wake_at limit 1
    ) n
),
-- What is at work now. Read only where an organization has a limit.
at_work as materialized (
    select organization_id, count(*) as runs from runs where owner is not null group by organization_id
),
-- The first organizations with due runs, and of which priorities. Reading stops when there are enough.
queues as (
    select organization_id, priority from (select * from ahead union all select * from around) q
    where wake_at <= now()
        -- One that is at its limit would take a place and get nothing.
        and not exists (
            select from organizations o
            where o.id = q.organization_id and coalesce(o.max_running, $6::integer) is not null
                and coalesce(o.max_running, $6::integer)
                    <= (select w.runs from at_work w where w.organization_id = o.id)
        )
    limit $2
),
due as materialized (
    (
        select organization_id, id, priority, wake_at from runs
        where $7::uuid is null and owner is null and wake_at <= now()
            -- An end never wakes; were one to, its owner would find nothing to do and be refused for ever.
            and state not in ('succeeded', 'failed', 'cancelled')
        order by wake_at limit $3
    )
    union all
    select d.* from queues q cross join lateral (
        select organization_id, id, priority, wake_at from runs r
        where r.organization_id = q.organization_id and r.priority = q.priority
            and owner is null and wake_at <= now() and state not in ('succeeded', 'failed', 'cancelled')
        order by wake_at limit $2
    ) d
),
ranked as (
    select d.organization_id, d.id, d.most, d.turn,
        row_number() over (
            order by d.organization_id is not distinct from $4::uuid, d.turn, d.organization_id <= $7,
                case when $7 is not null then d.organization_id end, d.wake_at
        ) as place
    from (
        select *, row_number() over (partition by organization_id order by priority desc, wake_at) as turn,
            coalesce((select max_running from organizations o where o.id = due.organization_id), $6::integer) as most
        from due
    ) d
    where ($7 is not null or (select count(*) from due) < $3)
        and (d.organization_id is distinct from $4 or d.turn <= $5)
        and case
            when d.most is null then true
            else d.turn <= d.most - coalesce((select runs from at_work w where w.organization_id = d.organization_id), 0)
        end
),
wanted as (
    select organization_id, count(*) as runs from ranked where most is not null and place <= $2 group by organization_id
),
taken as (
    select r.organization_id, r.id, k.place
    from ranked k
    join runs r on r.organization_id = k.organization_id and r.id = k.id
    where k.most is null and r.owner is null and r.wake_at <= now()
        and exists (select from nodes where id = $1 and lease_until > clock_timestamp())
    order by k.place
    limit $2 - (select coalesce(sum(runs), 0) from wanted)::bigint
    for update of r skip locked
),
owned as (
    update runs r
    set owner = $1, fence = r.fence + 1, wake_at = null
    from taken t
    where r.organization_id = t.organization_id and r.id = t.id
    returning r.organization_id, r.id, r.fence, t.place
)
select organization_id as "organization_id?", id as "id?", fence as "fence?", place as "number!" from owned
union all
select organization_id, null, null, runs from wanted
union all
-- How many it looked at.
select null, null, null, (select count(*) from due)
