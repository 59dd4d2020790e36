-- The three roles that the server takes on, and the people: accounts, sessions, organizations, memberships, API keys.
--
-- One DATABASE_URL of a role that owns the schema is enough. The server's pools take on
--   agentflow_app       pages, services, API: sees the one organization that the transaction names
--   agentflow_engine    the engine: its own tables, of all organizations, and nothing else
--   agentflow_identity  sign-in: people and what they belong to, before an organization is known
-- None can log in, and none can bypass row-level security. Roles belong to the whole cluster, so another
-- database of the same cluster may have made them already.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['agentflow_app', 'agentflow_engine', 'agentflow_identity'] loop
        begin
            execute format('create role %I nologin nosuperuser nobypassrls nocreatedb nocreaterole', wanted);
        exception when duplicate_object or unique_violation then
            null;
        end;
        -- Whoever owns the schema may take the role on.
        begin
            execute format('grant %I to current_user', wanted);
        exception when others then
            null; -- a superuser needs no grant
        end;
    end loop;
end $$;

grant usage on schema public to agentflow_app, agentflow_engine, agentflow_identity;

-- The organization that the transaction works for; null when none was named, which matches no row.
create function current_organization() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('app.organization_id', true), '')::uuid;

create table organizations (
    id uuid primary key,
    name text not null check (char_length(name) between 1 and 80),
    slug text not null constraint organizations_slug_key unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$'),
    created_at timestamptz not null default now()
);

create table users (
    id uuid primary key,
    -- Kept as typed; unique without regard to case.
    email text not null check (char_length(email) between 3 and 254),
    name text not null check (char_length(name) between 1 and 80),
    password_hash text not null,
    email_verified_at timestamptz,
    -- Seconds in which one's own reversible decision can be undone; null asks for a confirmation instead.
    undo_window_s integer default 5 check (undo_window_s in (5, 15, 60)),
    created_at timestamptz not null default now()
);
create unique index users_email_key on users (lower(email));

create table memberships (
    organization_id uuid not null references organizations (id) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz not null default now(),
    primary key (organization_id, user_id)
);
create index memberships_user on memberships (user_id);

create table sessions (
    -- SHA-256 of the id in the cookie: a copy of this table opens no session.
    id_hash bytea primary key,
    user_id uuid references users (id) on delete cascade,
    data jsonb not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sessions_user on sessions (user_id);
create index sessions_expiry on sessions (expires_at);

-- Failed sign-ins by account (`account:<email>`) and by address (`address:<ip>`).
create table sign_in_throttle (
    key text primary key,
    failures integer not null default 0,
    blocked_until timestamptz not null default '-infinity',
    updated_at timestamptz not null default now()
);

create table api_keys (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    name text not null check (char_length(name) between 1 and 80),
    -- The first characters, for recognizing the key in a list.
    prefix text not null,
    secret_hash bytea not null constraint api_keys_secret_key unique,
    role text not null check (role in ('admin', 'member', 'viewer')),
    -- The key ends with its maker's account; nothing where the operator made it.
    created_by uuid references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    primary key (organization_id, id)
);

alter table organizations enable row level security;
alter table organizations force row level security;
create policy app on organizations to agentflow_app using (id = current_organization());
create policy identity on organizations to agentflow_identity using (true) with check (true);

alter table users enable row level security;
alter table users force row level security;
create policy app on users to agentflow_app using (
    exists (select from memberships m where m.organization_id = current_organization() and m.user_id = users.id)
);
create policy identity on users to agentflow_identity using (true) with check (true);

alter table memberships enable row level security;
alter table memberships force row level security;
create policy app on memberships to agentflow_app using (organization_id = current_organization());
create policy identity on memberships to agentflow_identity using (true) with check (true);

alter table sessions enable row level security;
alter table sessions force row level security;
create policy identity on sessions to agentflow_identity using (true) with check (true);

alter table sign_in_throttle enable row level security;
alter table sign_in_throttle force row level security;
create policy identity on sign_in_throttle to agentflow_identity using (true) with check (true);

alter table api_keys enable row level security;
alter table api_keys force row level security;
create policy app on api_keys to agentflow_app using (organization_id = current_organization());
create policy identity on api_keys to agentflow_identity using (true) with check (true);

grant select, update on organizations to agentflow_app;
grant select on memberships to agentflow_app;
grant select (id, email, name, undo_window_s, created_at) on users to agentflow_app;
grant select, insert, update on api_keys to agentflow_app;
grant select, insert, update on organizations, users, memberships to agentflow_identity;
grant select, insert, update, delete on sessions, sign_in_throttle to agentflow_identity;
grant select, update (last_used_at) on api_keys to agentflow_identity;
