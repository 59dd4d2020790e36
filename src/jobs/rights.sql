-- Who may do what in the job queue's schema, which its library makes and keeps. Said anew whenever the library's revision
-- or this file changes; so each line can be said again.

-- The keeper works the queue.
grant usage on schema graphile_worker to agentflow_app, agentflow_keeper;
grant select on graphile_worker.migrations to agentflow_keeper;
grant select, insert, update, delete
    on graphile_worker._private_jobs, graphile_worker._private_tasks, graphile_worker._private_job_queues,
       graphile_worker._private_known_crontabs, graphile_worker._private_workers,
       graphile_worker._private_job_retirements
    to agentflow_keeper;

-- Pages, services and the API ask for jobs of their organization, and see no others: what `add_job` needs, and no more.
grant select, insert, update on graphile_worker._private_jobs to agentflow_app;
grant select, insert on graphile_worker._private_tasks, graphile_worker._private_job_queues to agentflow_app;
grant insert on graphile_worker._private_job_retirements to agentflow_app;

alter table graphile_worker._private_workers enable row level security;
alter table graphile_worker._private_job_retirements enable row level security;

drop policy if exists keeper on graphile_worker._private_jobs;
create policy keeper on graphile_worker._private_jobs to agentflow_keeper using (true) with check (true);
drop policy if exists keeper on graphile_worker._private_tasks;
create policy keeper on graphile_worker._private_tasks to agentflow_keeper using (true) with check (true);
drop policy if exists keeper on graphile_worker._private_job_queues;
create policy keeper on graphile_worker._private_job_queues to agentflow_keeper using (true) with check (true);
drop policy if exists keeper on graphile_worker._private_known_crontabs;
create policy keeper on graphile_worker._private_known_crontabs to agentflow_keeper using (true) with check (true);
drop policy if exists keeper on graphile_worker._private_workers;
create policy keeper on graphile_worker._private_workers to agentflow_keeper using (true) with check (true);
drop policy if exists keeper on graphile_worker._private_job_retirements;
create policy keeper on graphile_worker._private_job_retirements to agentflow_keeper using (true) with check (true);

drop policy if exists app on graphile_worker._private_jobs;
create policy app on graphile_worker._private_jobs to agentflow_app
    using (payload ->> 'organization' = current_organization()::text);
drop policy if exists app on graphile_worker._private_tasks;
create policy app on graphile_worker._private_tasks to agentflow_app using (true) with check (true);
drop policy if exists app on graphile_worker._private_job_retirements;
create policy app on graphile_worker._private_job_retirements for insert to agentflow_app
    with check (exists (select from graphile_worker._private_jobs j where j.id = _private_job_retirements.id));
