-- Fair claims, priorities, limits on how much runs at once, and runs that start in the hands of the process that took them
-- in. The version before runs on beside it: it claims no run that is held, and every new column has a default.

-- -1 low, 0 normal, 1 high: which of an organization's own runs goes first.
alter table runs add column priority smallint not null default 0;
alter table runs add constraint runs_priority_check check (priority between -1 and 1) not valid;
-- The group of which only so many run at once: `<workflow>`, or `<workflow>/<key>`. A run counts from its admission to its
-- end; until then it is held, and its wake_at is its deadline at most.
alter table runs add column concurrency_key text;
alter table runs add column concurrency_limit integer;
alter table runs add constraint runs_concurrency_check
    check ((concurrency_key is null) = (concurrency_limit is null) and concurrency_limit > 0) not valid;
alter table runs add column held boolean not null default false;

-- From one organization's due runs to the next one's in one step, however many each has.
create index runs_due on runs (organization_id, priority, wake_at) where owner is null and wake_at is not null;
-- Who is under way in a group, and who is next.
create index runs_in_group on runs (organization_id, concurrency_key, held, priority desc, created_at, id)
    where concurrency_key is not null and state not in ('succeeded', 'failed', 'cancelled');

-- The most runs of the organization that are at work at once; null is the operator's default.
alter table organizations add column max_running integer;
alter table organizations add constraint organizations_max_running_check check (max_running between 1 and 100000) not valid;

-- Of organizations the engine knows this limit and nothing else.
create policy engine on organizations for select to agentflow_engine using (true);
grant select (id, max_running) on organizations to agentflow_engine;
-- A start asks whether its own process is alive, and a page whether anybody is.
create policy app on nodes for select to agentflow_app using (true);
grant select (id, lease_until) on nodes to agentflow_app;
