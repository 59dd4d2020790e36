-- The tools that an organization adds: REST calls that it has described itself, and what MCP servers offer. The version
-- before runs on beside it and knows none of these tables.

create table custom_tools (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    -- What graphs, agents and models call it. Never changed: it stands in graphs.
    name text not null check (name ~ '^[a-z][a-z0-9_]{1,40}$'),
    status text not null default 'active' check (status in ('active', 'archived')),
    latest_version integer not null default 1,
    -- The version that runs use. None: a draft, which is offered to nobody.
    deployed_version integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id)
);
create unique index custom_tools_name_key on custom_tools (organization_id, name) where status <> 'archived';

-- A run calls the version that its plan was made with.
create table custom_tool_versions (
    organization_id uuid not null,
    tool_id uuid not null,
    version integer not null check (version > 0),
    config jsonb not null,
    -- Who saved it: `user:<uuid>`, `key:<uuid>`, and the name to show.
    saved_by text not null,
    saved_by_name text not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, tool_id, version),
    foreign key (organization_id, tool_id) references custom_tools (organization_id, id) on delete cascade
);

create table mcp_servers (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    -- What its tools' names begin with. Never changed.
    slug text not null check (slug ~ '^[a-z][a-z0-9_]{0,23}$'),
    name text not null check (char_length(name) between 1 and 80),
    -- How it is reached: `{"type": "url", "url": …}` or `{"type": "command", "command": [program, argument …]}`.
    transport jsonb not null,
    credential_id uuid,
    -- The variable of a command's environment that the credential goes into.
    variable text not null default '' check (char_length(variable) <= 64),
    enabled boolean not null default true,
    -- What the last look at it found.
    checked_at timestamptz,
    error text check (char_length(error) <= 1000),
    about text not null default '' check (char_length(about) <= 300),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    constraint mcp_servers_slug_key unique (organization_id, slug)
);

-- What a server offers, as it was last seen, and as a person approved it. Only what is approved, switched on, and still
-- the same is offered to anybody.
create table mcp_tools (
    organization_id uuid not null,
    server_id uuid not null,
    -- What the server calls it.
    name text not null check (char_length(name) between 1 and 64),
    -- What graphs, agents and models call it.
    alias text not null check (char_length(alias) between 1 and 64),
    definition jsonb not null,
    -- SHA-256 of the definition's canonical form, in hex.
    hash text not null,
    approved_definition jsonb,
    approved_hash text,
    approved_by_name text,
    approved_at timestamptz,
    effect text not null default 'write' check (effect in ('read', 'write', 'destructive')),
    enabled boolean not null default false,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    -- Since when the server does not offer it any more.
    gone_at timestamptz,
    primary key (organization_id, server_id, name),
    constraint mcp_tools_alias_key unique (organization_id, alias),
    foreign key (organization_id, server_id) references mcp_servers (organization_id, id) on delete cascade,
    check ((approved_hash is null) = (approved_definition is null)),
    check (not enabled or approved_hash is not null)
);

alter table custom_tools enable row level security;
alter table custom_tools force row level security;
create policy app on custom_tools to agentflow_app using (organization_id = current_organization());
alter table custom_tool_versions enable row level security;
alter table custom_tool_versions force row level security;
create policy app on custom_tool_versions to agentflow_app using (organization_id = current_organization());
alter table mcp_servers enable row level security;
alter table mcp_servers force row level security;
create policy app on mcp_servers to agentflow_app using (organization_id = current_organization());
alter table mcp_tools enable row level security;
alter table mcp_tools force row level security;
create policy app on mcp_tools to agentflow_app using (organization_id = current_organization());

grant select, insert, update on custom_tools to agentflow_app;
-- Versions are never changed.
grant select, insert on custom_tool_versions to agentflow_app;
grant select, insert, update, delete on mcp_servers, mcp_tools to agentflow_app;
