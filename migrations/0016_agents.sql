-- Agents: which version was deployed when, the cases that try one, and whose task a step was. The version before runs on
-- beside it: it writes steps without the new column, which then are nobody's in the record.

-- The deployments of an agent in order. `replaced` is what was deployed before: that is what a roll back leads to.
create table agent_deployments (
    organization_id uuid not null,
    agent_id uuid not null,
    number integer not null check (number > 0),
    version integer not null,
    replaced integer,
    -- Who deployed it: `user:<uuid>`, `key:<uuid>`, and the name to show.
    deployed_by text not null,
    deployed_by_name text not null,
    deployed_at timestamptz not null default now(),
    primary key (organization_id, agent_id, number),
    foreign key (organization_id, agent_id, version)
        references agent_versions (organization_id, agent_id, version) on delete cascade
);

-- Inputs with what their answers must be like.
create table agent_test_cases (
    organization_id uuid not null,
    id uuid not null,
    agent_id uuid not null,
    name text not null check (char_length(name) between 1 and 80),
    prompt text not null check (char_length(prompt) <= 20000),
    -- How the answer is checked: `{"kind": "contains", "text": "…"}` and the like.
    expects jsonb not null,
    created_by text not null,
    created_by_name text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (organization_id, agent_id) references agents (organization_id, id) on delete cascade
);
create unique index agent_test_cases_name_key on agent_test_cases (organization_id, agent_id, lower(name));

-- The agent whose task a step is, once that has begun. It and `queued_at` are never changed afterwards, so that the
-- updates of other steps touch no index.
alter table steps add column agent_key text;
create index steps_of_agents on steps (organization_id, agent_key, queued_at) where agent_key is not null;

alter table agent_deployments enable row level security;
alter table agent_deployments force row level security;
create policy app on agent_deployments to agentflow_app using (organization_id = current_organization());
alter table agent_test_cases enable row level security;
alter table agent_test_cases force row level security;
create policy app on agent_test_cases to agentflow_app using (organization_id = current_organization());

-- What was deployed is never rewritten.
grant select, insert on agent_deployments to agentflow_app;
grant select, insert, update, delete on agent_test_cases to agentflow_app;
