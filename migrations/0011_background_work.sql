-- Background work: what housekeeping may remove, how long ended runs are kept, and what people were told of.
--
-- The queue itself belongs to a library that keeps its own schema, graphile_worker; src/jobs/rights.sql says who may do
-- what there.
--   agentflow_keeper   works the queue, and removes what has ended: of all organizations, in these tables alone.
do $$
begin
    begin
        create role agentflow_keeper nologin nosuperuser nobypassrls nocreatedb nocreaterole;
    exception when duplicate_object or unique_violation then
        null;
    end;
    begin
        grant agentflow_keeper to current_user;
    exception when others then
        null; -- a superuser needs no grant
    end;
end $$;

grant usage on schema public to agentflow_keeper;

-- Days that ended runs are kept: null is the server's setting, 0 for ever.
alter table organizations add column retention_days integer check (retention_days between 0 and 3650);

-- Whether a person wants e-mail about what waits for them.
alter table users add column email_notices boolean not null default true;
grant select (email_notices) on users to agentflow_app;

-- When those who may decide, or whoever started a run that failed, were told by e-mail. What is there already counts as
-- told: nobody wants to hear of a year at once. Null again has those told who were not yet.
alter table approvals add column noticed_at timestamptz default now();
alter table approvals alter column noticed_at drop default;
create index approvals_unnoticed on approvals (created_at) where state = 'pending' and noticed_at is null;
alter table runs add column failure_noticed_at timestamptz default now();
alter table runs alter column failure_noticed_at drop default;
create index runs_unnoticed on runs (finished_at) where state = 'failed' and failure_noticed_at is null;

-- Wider than before, so every row that there is fits. `queued` waits for the job that sends it.
alter table emails drop constraint emails_state_check;
alter table emails add constraint emails_state_check
    check (state in ('queued', 'outbox', 'sending', 'sent', 'failed')) not valid;

-- Removing a run, a step or an artifact asks who refers to it: without these, by reading all of them each time.
create index runs_retried on runs (organization_id, retry_of) where retry_of is not null;
create index steps_children on steps (organization_id, run_id, parent_id) where parent_id is not null;
create index runs_plan on runs (organization_id, plan_sha256);
-- Whoever stores a value that is there already makes it young again, so that it is not removed before it is referred to.
grant update (created_at) on artifacts to agentflow_app, agentflow_engine;

create policy keeper on organizations for select to agentflow_keeper using (true);
create policy keeper on workflows for select to agentflow_keeper using (true);
create policy keeper on workflow_versions for select to agentflow_keeper using (true);
create policy keeper on runs to agentflow_keeper using (true) with check (true);
create policy keeper on steps for select to agentflow_keeper using (true);
create policy keeper on approvals for select to agentflow_keeper using (true);
create policy keeper on artifacts to agentflow_keeper using (true) with check (true);
create policy keeper on event_waits to agentflow_keeper using (true) with check (true);
create policy keeper on inbound_events to agentflow_keeper using (true) with check (true);
create policy keeper on context_entries to agentflow_keeper using (true) with check (true);
create policy keeper on idempotency_keys to agentflow_keeper using (true) with check (true);
create policy keeper on emails to agentflow_keeper using (true) with check (true);

grant select (id, retention_days) on organizations to agentflow_keeper;
grant select (organization_id, id, latest_version, deployed_version) on workflows to agentflow_keeper;
grant select (organization_id, workflow_id, version, graph) on workflow_versions to agentflow_keeper;
-- Steps, events, signals and approvals go with their run. A retry that outlives what it retries forgets it.
grant select, delete on runs to agentflow_keeper;
grant update (retry_of) on runs to agentflow_keeper;
grant select (organization_id, run_id, input, output) on steps to agentflow_keeper;
grant select (organization_id, id, created_at, state, noticed_at) on approvals to agentflow_keeper;
grant select (organization_id, sha256, created_at), delete on artifacts to agentflow_keeper;
grant select (organization_id, run_id, step_id, event_id, created_at), delete on event_waits to agentflow_keeper;
grant select, delete on inbound_events to agentflow_keeper;
grant select (organization_id, scope, key, expires_at, updated_at), delete on context_entries to agentflow_keeper;
grant select (organization_id, route, key, created_at), delete on idempotency_keys to agentflow_keeper;
grant select (organization_id, id, idempotency_key, state, created_at), delete on emails to agentflow_keeper;
create policy keeper on call_cache to agentflow_keeper using (true) with check (true);
create policy keeper on call_cache_hours to agentflow_keeper using (true) with check (true);
create policy keeper on rate_limits to agentflow_keeper using (true) with check (true);
grant select (organization_id, key, expires_at), delete on call_cache to agentflow_keeper;
grant select (organization_id, hour), delete on call_cache_hours to agentflow_keeper;
grant select (organization_id, key, blocked_until), delete on rate_limits to agentflow_keeper;
