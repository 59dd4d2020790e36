-- What tools leave behind (shared context, the local outbox), and the answers kept for repeated API requests.

-- The key-value store that a run, or a whole organization, shares. `scope` is the run's or the organization's id.
create table context_entries (
    organization_id uuid not null references organizations (id) on delete cascade,
    scope uuid not null,
    key text not null check (char_length(key) between 1 and 200),
    value jsonb not null,
    version bigint not null default 1,
    expires_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (organization_id, scope, key)
);

-- Every message that a tool sends. Without SMTP it stays here, for the development outbox.
create table emails (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    -- `{run}/{step}`: a repeated attempt finds the first one's message and sends no second.
    idempotency_key text not null,
    recipients text[] not null,
    subject text not null,
    body text not null,
    -- `failed` was refused for certain and may be tried again; `sending` after a crash may have arrived or not.
    state text not null check (state in ('outbox', 'sending', 'sent', 'failed')),
    created_at timestamptz not null default now(),
    sent_at timestamptz,
    primary key (organization_id, id),
    constraint emails_idempotency_key unique (organization_id, idempotency_key)
);

create index emails_outbox on emails (organization_id, created_at desc) where state = 'outbox';

create table idempotency_keys (
    organization_id uuid not null references organizations (id) on delete cascade,
    route text not null,
    key text not null check (char_length(key) between 1 and 255),
    body_sha256 bytea not null,
    status integer not null,
    response jsonb not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, route, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

alter table context_entries enable row level security;
alter table context_entries force row level security;
create policy app on context_entries to agentflow_app using (organization_id = current_organization());
create policy engine on context_entries to agentflow_engine using (true) with check (true);
alter table emails enable row level security;
alter table emails force row level security;
create policy app on emails to agentflow_app using (organization_id = current_organization());
alter table idempotency_keys enable row level security;
alter table idempotency_keys force row level security;
create policy app on idempotency_keys to agentflow_app using (organization_id = current_organization());

grant select, insert, update, delete on context_entries to agentflow_app;
grant select on context_entries to agentflow_engine;
grant select, insert, update on emails to agentflow_app;
-- `update` is what locking a row asks for; no statement changes one.
grant select, insert, update, delete on idempotency_keys to agentflow_app;
