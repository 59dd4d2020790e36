-- Conversations with agents that are being tried. Each message is a run like any other, of a workflow that is made for the
-- agent's trials and stands in no list. The version before runs on beside it and knows none of this.

-- The agent whose trials run in this workflow; nothing for one that people have made.
alter table workflows add column trial_of uuid;
create unique index workflows_trial on workflows (organization_id, trial_of) where trial_of is not null;
alter table workflows add constraint workflows_trial_of
    foreign key (organization_id, trial_of) references agents (organization_id, id) on delete cascade not valid;

create table agent_conversations (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    agent_id uuid not null,
    title text not null check (char_length(title) between 1 and 120),
    created_by text not null,
    created_by_name text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (organization_id, agent_id) references agents (organization_id, id) on delete cascade
);
create index agent_conversations_newest on agent_conversations (organization_id, agent_id, updated_at desc);

-- What was said to the agent, in order, and the runs that answer: one as it is being edited, and one as it is deployed
-- where both were asked.
create table agent_turns (
    organization_id uuid not null,
    conversation_id uuid not null,
    seq integer not null check (seq > 0),
    prompt text not null,
    -- SHA-256 of what the agent was at that moment, to tell where the draft changed.
    config_sha256 bytea not null,
    -- Whether tools with effects only told what they would do.
    simulated boolean not null,
    run_id uuid not null,
    deployed_run_id uuid,
    created_at timestamptz not null default now(),
    primary key (organization_id, conversation_id, seq),
    foreign key (organization_id, conversation_id)
        references agent_conversations (organization_id, id) on delete cascade,
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade,
    foreign key (organization_id, deployed_run_id) references runs (organization_id, id) on delete cascade
);
create index agent_turns_run on agent_turns (organization_id, run_id);
create index agent_turns_deployed_run on agent_turns (organization_id, deployed_run_id) where deployed_run_id is not null;

alter table agent_conversations enable row level security;
alter table agent_conversations force row level security;
create policy app on agent_conversations to agentflow_app using (organization_id = current_organization());
alter table agent_turns enable row level security;
alter table agent_turns force row level security;
create policy app on agent_turns to agentflow_app using (organization_id = current_organization());
grant select, insert, update, delete on agent_conversations, agent_turns to agentflow_app;
