-- The files that a run keeps. The version before runs on beside it and knows none of these tables.

create table run_files (
    organization_id uuid not null,
    run_id uuid not null,
    -- Relative, in its one form: src/run_files/mod.rs says which.
    path text not null check (octet_length(path) between 1 and 200),
    content bytea not null check (octet_length(content) <= 1048576),
    size integer not null generated always as (octet_length(content)) stored,
    media_type text not null check (char_length(media_type) between 1 and 100),
    updated_at timestamptz not null default now(),
    primary key (organization_id, run_id, path),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
);

-- Which steps have written, so that an attempt that is repeated after a crash does not write a second time.
create table run_file_writes (
    organization_id uuid not null,
    run_id uuid not null,
    step_id text not null check (octet_length(step_id) <= 2000),
    primary key (organization_id, run_id, step_id),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
);

alter table run_files enable row level security;
alter table run_files force row level security;
create policy app on run_files to agentflow_app using (organization_id = current_organization());
alter table run_file_writes enable row level security;
alter table run_file_writes force row level security;
create policy app on run_file_writes to agentflow_app using (organization_id = current_organization());
grant select, insert, update, delete on run_files to agentflow_app;
grant select, insert on run_file_writes to agentflow_app;
