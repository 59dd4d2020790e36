-- Agents and workflows. Every save is an immutable version; one version is deployed.

create table agents (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    -- What workflows and YAML files call it; made from the first name and never changed.
    key text not null check (key ~ '^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$'),
    name text not null check (char_length(name) between 1 and 80),
    status text not null default 'active' check (status in ('active', 'inactive', 'archived')),
    latest_version integer not null default 1,
    deployed_version integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    constraint agents_key_key unique (organization_id, key)
);
create unique index agents_name_key on agents (organization_id, lower(name)) where status <> 'archived';

create table agent_versions (
    organization_id uuid not null,
    agent_id uuid not null,
    version integer not null check (version > 0),
    config jsonb not null,
    -- What was changed, in a few words.
    note text not null default '' check (char_length(note) <= 300),
    -- Who saved it: `user:<uuid>`, `key:<uuid>`, and the name to show.
    saved_by text not null,
    saved_by_name text not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, agent_id, version),
    foreign key (organization_id, agent_id) references agents (organization_id, id) on delete cascade
);

create table workflows (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    name text not null check (char_length(name) between 1 and 80),
    description text not null default '' check (char_length(description) <= 500),
    status text not null default 'draft' check (status in ('draft', 'active', 'archived')),
    latest_version integer not null default 1,
    deployed_version integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id)
);
create unique index workflows_name_key on workflows (organization_id, lower(name)) where status <> 'archived';

create table workflow_versions (
    organization_id uuid not null,
    workflow_id uuid not null,
    version integer not null check (version > 0),
    graph jsonb not null,
    -- Whether the graph passed validation when it was saved. A version that did not can be edited but not run.
    valid boolean not null,
    note text not null default '' check (char_length(note) <= 300),
    saved_by text not null,
    saved_by_name text not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, workflow_id, version),
    foreign key (organization_id, workflow_id) references workflows (organization_id, id) on delete cascade
);

alter table agents enable row level security;
alter table agents force row level security;
create policy app on agents to agentflow_app using (organization_id = current_organization());
alter table agent_versions enable row level security;
alter table agent_versions force row level security;
create policy app on agent_versions to agentflow_app using (organization_id = current_organization());
alter table workflows enable row level security;
alter table workflows force row level security;
create policy app on workflows to agentflow_app using (organization_id = current_organization());
alter table workflow_versions enable row level security;
alter table workflow_versions force row level security;
create policy app on workflow_versions to agentflow_app using (organization_id = current_organization());

grant select, insert, update on agents, workflows to agentflow_app;
-- Versions are never changed.
grant select, insert on agent_versions, workflow_versions to agentflow_app;
