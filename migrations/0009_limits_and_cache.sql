-- What other sides bear, and what need not be asked of them again. The version before runs on beside it and knows none
-- of these tables.

-- Who asked to be left alone (`Retry-After`), for all nodes: `model:openai`, `host:api.example.com`.
create table rate_limits (
    organization_id uuid not null references organizations (id) on delete cascade,
    key text not null check (char_length(key) between 1 and 300),
    blocked_until timestamptz not null,
    told_at timestamptz not null default now(),
    primary key (organization_id, key)
);

-- Answers of calls that a workflow declares repeatable.
create table call_cache (
    organization_id uuid not null references organizations (id) on delete cascade,
    -- SHA-256 of everything that the answer depends on.
    key bytea not null,
    -- The answer, or a reference to an artifact where it is large.
    answer jsonb not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (organization_id, key)
);
create index call_cache_age on call_cache (organization_id, expires_at);

-- How often the cache had the answer, and how often it was asked for and kept, by the hour.
create table call_cache_hours (
    organization_id uuid not null references organizations (id) on delete cascade,
    hour timestamptz not null,
    hits bigint not null default 0,
    misses bigint not null default 0,
    primary key (organization_id, hour)
);

alter table rate_limits enable row level security;
alter table rate_limits force row level security;
create policy app on rate_limits to agentflow_app using (organization_id = current_organization());
create policy engine on rate_limits to agentflow_engine using (true) with check (true);
alter table call_cache enable row level security;
alter table call_cache force row level security;
create policy app on call_cache to agentflow_app using (organization_id = current_organization());
create policy engine on call_cache to agentflow_engine using (true) with check (true);
alter table call_cache_hours enable row level security;
alter table call_cache_hours force row level security;
create policy app on call_cache_hours to agentflow_app using (organization_id = current_organization());
create policy engine on call_cache_hours to agentflow_engine using (true) with check (true);
grant select, insert, update, delete on rate_limits, call_cache, call_cache_hours to agentflow_engine;
grant select on rate_limits, call_cache, call_cache_hours to agentflow_app;
