-- The engine: runs, their steps, the journal, signals, approvals, large values, and the processes that work on them.
--
-- A run is claimable when nobody owns it and its wake_at has come: that one column is queue, timer and wake-up call.
-- Every write of an owner names its fence; last_seq and signals are counted under the run's row lock, so the journal
-- has no gaps and no signal is overlooked between being sent and the run going to sleep.

create table nodes (
    id uuid primary key,
    host text not null,
    started_at timestamptz not null default now(),
    -- The owner of runs is alive until then, by the database's clock.
    lease_until timestamptz not null
);

-- Values by content: plans of runs, and inputs and outputs too large for the rows that the engine reads.
create table artifacts (
    organization_id uuid not null references organizations (id) on delete cascade,
    sha256 bytea not null,
    bytes integer not null,
    body jsonb not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, sha256)
);

create table runs (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    workflow_id uuid not null,
    workflow_version integer not null,
    -- The compiled plan (graph, agent versions, tools) that the run keeps to its end.
    plan_sha256 bytea not null,
    title text not null,
    trigger text not null check (trigger in ('person', 'api', 'test', 'retry')),
    -- Who started it: `user:<uuid>`, `key:<uuid>`, and the name to show.
    started_by text not null,
    started_by_name text not null,
    retry_of uuid,
    state text not null default 'queued' check (
        state in ('queued', 'running', 'waiting', 'paused', 'cancelling', 'succeeded', 'failed', 'cancelled')
    ),
    waiting_on text check (waiting_on in ('approval', 'timer', 'retry')),
    input jsonb not null,
    output jsonb,
    error jsonb,
    tokens_in bigint not null default 0,
    tokens_out bigint not null default 0,
    cost_micros bigint not null default 0,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    deadline_at timestamptz,
    last_seq bigint not null default 0,
    signals bigint not null default 0,
    signals_seen bigint not null default 0,
    owner uuid references nodes (id),
    fence bigint not null default 0,
    wake_at timestamptz,
    -- How often an owner died while this run was in its hands. Not the same as a step's attempts.
    crashes integer not null default 0,
    primary key (organization_id, id),
    foreign key (organization_id, workflow_id, workflow_version)
        references workflow_versions (organization_id, workflow_id, version),
    foreign key (organization_id, plan_sha256) references artifacts (organization_id, sha256),
    foreign key (organization_id, retry_of) references runs (organization_id, id)
) with (fillfactor = 80);
create index runs_claimable on runs (wake_at) where owner is null and wake_at is not null;
create index runs_owned on runs (owner) where owner is not null;
create index runs_newest on runs (organization_id, created_at desc, id desc);
create index runs_of_workflow on runs (organization_id, workflow_id, created_at desc);
create index runs_unfinished on runs (organization_id, state)
    where state in ('queued', 'running', 'waiting', 'paused', 'cancelling');

create table steps (
    organization_id uuid not null,
    run_id uuid not null,
    -- The path in the tree: `check`, `check.3`, `check.3.fetch`, `triage.model1`. With the run it is the idempotency key.
    id text not null,
    parent_id text,
    node_id text not null,
    kind text not null,
    name text not null,
    -- The order in which steps came to be, for showing them.
    ordinal integer not null,
    state text not null check (
        state in ('pending', 'queued', 'running', 'waiting', 'retrying', 'uncertain', 'succeeded', 'failed', 'skipped', 'cancelled')
    ),
    attempt integer not null default 0,
    input jsonb,
    output jsonb,
    error jsonb,
    -- What the state machine and the screen need besides: model, tool, branch, failures so far.
    detail jsonb not null default '{}',
    tokens_in bigint not null default 0,
    tokens_out bigint not null default 0,
    cost_micros bigint not null default 0,
    queued_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    wake_at timestamptz,
    primary key (organization_id, run_id, id),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade,
    foreign key (organization_id, run_id, parent_id) references steps (organization_id, run_id, id)
        deferrable initially deferred
) with (fillfactor = 80);

create table run_events (
    organization_id uuid not null,
    run_id uuid not null,
    seq bigint not null,
    at timestamptz not null default now(),
    kind text not null,
    step_id text,
    data jsonb not null,
    primary key (organization_id, run_id, seq),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
);
create index run_events_logs on run_events (organization_id, run_id, seq) where kind = 'log';

-- What the outside tells a run: cancel, an approval decided. Numbered by runs.signals under the run's lock.
create table run_signals (
    organization_id uuid not null,
    run_id uuid not null,
    number bigint not null,
    data jsonb not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, run_id, number),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
);

create table approvals (
    organization_id uuid not null,
    id uuid not null,
    run_id uuid not null,
    step_id text not null,
    kind text not null check (kind in ('approval', 'tool', 'question')),
    title text not null,
    message text not null,
    payload jsonb not null,
    -- What exactly is approved: a decision counts for this payload and no other.
    payload_sha256 bytea not null,
    impact text not null,
    reversible boolean not null,
    -- Who may decide: this role and those above it, or these people; nobody named means any member.
    decider_role text check (decider_role in ('owner', 'admin', 'member', 'viewer')),
    decider_ids uuid[] not null default '{}',
    requested_by text not null,
    state text not null default 'pending' check (state in ('pending', 'approved', 'rejected', 'expired', 'withdrawn')),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    on_expiry text not null default 'reject' check (on_expiry in ('reject', 'approve')),
    decided_by uuid references users (id) on delete set null,
    decided_by_name text,
    decided_at timestamptz,
    -- The end of the undo window: from then on the decision acts.
    effective_at timestamptz,
    -- When the run took the decision in; from then on nothing changes it.
    applied_at timestamptz,
    reason text,
    edited_payload jsonb,
    primary key (organization_id, id),
    constraint approvals_step_key unique (organization_id, run_id, step_id),
    foreign key (organization_id, run_id, step_id) references steps (organization_id, run_id, id)
        on delete cascade deferrable initially deferred
);
create index approvals_pending on approvals (organization_id, expires_at, id) where state = 'pending';
create index approvals_decided on approvals (organization_id, decided_at desc) where state <> 'pending';

alter table artifacts enable row level security;
alter table artifacts force row level security;
create policy app on artifacts to agentflow_app using (organization_id = current_organization());
create policy engine on artifacts to agentflow_engine using (true) with check (true);
alter table runs enable row level security;
alter table runs force row level security;
create policy app on runs to agentflow_app using (organization_id = current_organization());
create policy engine on runs to agentflow_engine using (true) with check (true);
alter table steps enable row level security;
alter table steps force row level security;
create policy app on steps to agentflow_app using (organization_id = current_organization());
create policy engine on steps to agentflow_engine using (true) with check (true);
alter table run_events enable row level security;
alter table run_events force row level security;
create policy app on run_events to agentflow_app using (organization_id = current_organization());
create policy engine on run_events to agentflow_engine using (true) with check (true);
alter table run_signals enable row level security;
alter table run_signals force row level security;
create policy app on run_signals to agentflow_app using (organization_id = current_organization());
create policy engine on run_signals to agentflow_engine using (true) with check (true);
alter table approvals enable row level security;
alter table approvals force row level security;
create policy app on approvals to agentflow_app using (organization_id = current_organization());
create policy engine on approvals to agentflow_engine using (true) with check (true);
alter table nodes enable row level security;
alter table nodes force row level security;
create policy engine on nodes to agentflow_engine using (true) with check (true);

grant select, insert on artifacts to agentflow_app, agentflow_engine;
grant select, insert, update on runs, steps to agentflow_app, agentflow_engine;
grant select, insert on run_events, run_signals to agentflow_app, agentflow_engine;
grant select, update on approvals to agentflow_app;
grant select, insert, update on approvals to agentflow_engine;
grant select, insert, update, delete on nodes to agentflow_engine;
