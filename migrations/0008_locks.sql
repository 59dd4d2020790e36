-- Named locks of steps. The version before runs on beside it, and knows nothing of them: workflows with locks are for when
-- every process is of this version.

-- Places in the queues, and fences: both only grow.
create sequence lock_numbers;

-- The names that steps wait for (no fence yet) or hold. A step takes all of its names at once, and has the same place in
-- every queue, so that none waits for another in a circle.
create table locks (
    organization_id uuid not null,
    run_id uuid not null,
    step_id text not null,
    name text not null check (char_length(name) between 1 and 200),
    place bigint not null,
    limit_s integer not null check (limit_s between 1 and 86400),
    asked_at timestamptz not null default now(),
    fence bigint,
    granted_at timestamptz,
    expires_at timestamptz,
    primary key (organization_id, run_id, step_id, name),
    check ((fence is null) = (expires_at is null) and (fence is null) = (granted_at is null)),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
);
-- One holder of a name, whatever happens.
create unique index locks_held on locks (organization_id, name) where fence is not null;
create index locks_queue on locks (organization_id, name, place) where fence is null;

alter table locks enable row level security;
alter table locks force row level security;
create policy app on locks to agentflow_app using (organization_id = current_organization());
create policy engine on locks to agentflow_engine using (true) with check (true);
grant select on locks to agentflow_app;
grant select, insert, update, delete on locks to agentflow_engine;
grant usage on sequence lock_numbers to agentflow_engine;
