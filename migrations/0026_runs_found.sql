-- Finding runs: labels, the text of inputs, outputs and logs, the views that people keep, and the figures of the
-- dashboard. The version before runs on beside it: it gives no labels, and what its runs say is found all the same.

-- What whoever starts a run says of it, for finding it again. Never changed afterwards.
alter table runs add column labels text[] not null default '{}';

-- What ended runs were given, gave and logged, in small letters, as it is searched. Filled by a chore, outside of the
-- engine's path; what is not here yet is read where it stands.
create table run_texts (
    organization_id uuid not null,
    run_id uuid not null,
    part text not null check (part in ('input', 'output', 'log')),
    -- Of a log, the number of the first line's event; a row holds several hundred lines.
    place bigint not null,
    text text not null,
    primary key (organization_id, run_id, part, place),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
);

-- What the dashboard counts of ended runs, without their values. A copy, made by the same chore: an index of `runs` that
-- holds costs would have each call of a model touch all indexes of its run.
create table run_figures (
    organization_id uuid not null,
    run_id uuid not null,
    created_at timestamptz not null,
    finished_at timestamptz not null,
    state text not null check (state in ('succeeded', 'failed', 'cancelled')),
    -- From its start to its end, where it has an outcome.
    took_ms double precision,
    cost_micros bigint not null,
    tokens bigint not null,
    primary key (organization_id, run_id),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
);
create index run_figures_accepted on run_figures (organization_id, created_at)
    include (finished_at, state, took_ms, cost_micros, tokens);

-- All runs of the organization that ended before this moment are in `run_texts` and `run_figures`, and no others.
create table run_texts_upto (
    organization_id uuid primary key references organizations (id) on delete cascade,
    at timestamptz not null
);

-- Filters of a page that a person gave a name.
create table saved_views (
    organization_id uuid not null references organizations (id) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    page text not null check (char_length(page) between 1 and 20),
    name text not null check (char_length(name) between 1 and 60),
    -- The address behind the question mark.
    query text not null check (char_length(query) <= 2000),
    created_at timestamptz not null default now(),
    primary key (organization_id, user_id, page, name)
);

-- An index of trigrams, where the database has them; without it the same is found more slowly.
do $$
begin
    create extension if not exists pg_trgm;
    create index run_texts_trigrams on run_texts using gin (text gin_trgm_ops);
exception when feature_not_supported or undefined_file or insufficient_privilege or undefined_object then
    null;
end $$;

alter table run_texts enable row level security;
alter table run_texts force row level security;
create policy app on run_texts to agentflow_app using (organization_id = current_organization());
alter table run_figures enable row level security;
alter table run_figures force row level security;
create policy app on run_figures to agentflow_app using (organization_id = current_organization());
alter table run_texts_upto enable row level security;
alter table run_texts_upto force row level security;
create policy app on run_texts_upto to agentflow_app using (organization_id = current_organization());
create policy keeper on run_texts_upto for select to agentflow_keeper using (true);
alter table saved_views enable row level security;
alter table saved_views force row level security;
create policy app on saved_views to agentflow_app using (organization_id = current_organization());

grant select, insert on run_texts, run_figures to agentflow_app;
grant select, insert, update on run_texts_upto to agentflow_app;
grant select on run_texts_upto to agentflow_keeper;
grant select, insert, update, delete on saved_views to agentflow_app;

-- Runs of the organization with a text like one of two patterns. Planned anew each time: by the index for a long pattern,
-- by the organization's rows for one of two letters.
create function runs_with_text(one text, other text) returns setof uuid
    language plpgsql stable security definer set search_path = pg_catalog, public
as $$
begin
    return query execute
        'select distinct run_id from public.run_texts
         where organization_id = $1 and (text like lower($2) or text like lower($3))'
        using public.current_organization(), one, other;
end $$;
revoke all on function runs_with_text(text, text) from public;
grant execute on function runs_with_text(text, text) to agentflow_app;

-- Under row-level security no index of texts is used: the operators that it serves are not trusted with rows of others.
-- So the search alone goes by a role that may look into this one table, and gives nothing but ids of the organization
-- whose transaction it is.
--   agentflow_finder   owns the function, and can do nothing else.
do $$
begin
    begin
        create role agentflow_finder nologin nosuperuser nobypassrls nocreatedb nocreaterole;
    exception when duplicate_object or unique_violation or insufficient_privilege then
        null;
    end;
    begin
        grant agentflow_finder to current_user;
    exception when others then
        null; -- a superuser needs no grant
    end;
    begin
        grant usage on schema public to agentflow_finder;
        grant select (organization_id, run_id, text) on run_texts to agentflow_finder;
        create policy finder on run_texts for select to agentflow_finder using (true);
        grant create on schema public to agentflow_finder;
        alter function runs_with_text(text, text) owner to agentflow_finder;
        revoke create on schema public from agentflow_finder;
    exception when insufficient_privilege or undefined_object then
        -- The role is another database's, whose owner made it, or cannot be made: the app's role searches by itself, with
        -- its own policy. It finds the same, by reading all texts of the organization.
        alter function runs_with_text(text, text) security invoker;
    end;
end $$;
