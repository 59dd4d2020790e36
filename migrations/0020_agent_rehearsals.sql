-- Rehearsals: the test cases of an agent, run with a version that may be deployed and with the one that is. What was tried
-- stands here as it was then; what came of it stands in the runs. The version before runs on beside it and knows none of
-- this.

create table agent_rehearsals (
    organization_id uuid not null,
    id uuid not null,
    agent_id uuid not null,
    version integer not null,
    -- The version that was deployed at that moment, where that was another one.
    live_version integer,
    -- Who started it: `user:<uuid>`, `key:<uuid>`, and the name to show.
    created_by text not null,
    created_by_name text not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (organization_id, agent_id, version)
        references agent_versions (organization_id, agent_id, version) on delete cascade
);
create index agent_rehearsals_newest on agent_rehearsals (organization_id, agent_id, id desc);

-- A case as it was when it was tried. It goes with its runs: without them there is nothing to tell.
create table agent_rehearsal_cases (
    organization_id uuid not null,
    rehearsal_id uuid not null,
    seq integer not null check (seq > 0),
    name text not null,
    prompt text not null,
    expects jsonb not null,
    run_id uuid not null,
    live_run_id uuid,
    primary key (organization_id, rehearsal_id, seq),
    foreign key (organization_id, rehearsal_id) references agent_rehearsals (organization_id, id) on delete cascade,
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade,
    foreign key (organization_id, live_run_id) references runs (organization_id, id) on delete cascade
);
create index agent_rehearsal_cases_run on agent_rehearsal_cases (organization_id, run_id);
create index agent_rehearsal_cases_live_run on agent_rehearsal_cases (organization_id, live_run_id)
    where live_run_id is not null;

alter table agent_rehearsals enable row level security;
alter table agent_rehearsals force row level security;
create policy app on agent_rehearsals to agentflow_app using (organization_id = current_organization());
alter table agent_rehearsal_cases enable row level security;
alter table agent_rehearsal_cases force row level security;
create policy app on agent_rehearsal_cases to agentflow_app using (organization_id = current_organization());

-- What was tried is never rewritten.
grant select, insert, delete on agent_rehearsals, agent_rehearsal_cases to agentflow_app;
