-- What loops, sub-workflows, events and asking after a failure need. The version before runs on beside it: it writes none
-- of the new words, and every new column has a default.

-- Wider than before, so every row that there is fits: `not valid` spares reading them all.
alter table runs drop constraint runs_waiting_on_check;
alter table runs add constraint runs_waiting_on_check
    check (waiting_on in ('approval', 'timer', 'retry', 'event', 'lock', 'limit')) not valid;
alter table runs drop constraint runs_trigger_check;
alter table runs add constraint runs_trigger_check
    check (trigger in ('person', 'api', 'test', 'retry', 'rerun', 'fork', 'schedule', 'webhook', 'event', 'run')) not valid;
alter table approvals drop constraint approvals_kind_check;
alter table approvals add constraint approvals_kind_check
    check (kind in ('approval', 'tool', 'question', 'failure')) not valid;

-- A yes that says to go on without the step, with the edited payload as its output.
alter table approvals add column skips boolean not null default false;

-- What the outside tells workflows by a key: each goes once to the steps that wait for it, or to the first that will.
create table inbound_events (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    key text not null check (char_length(key) between 1 and 200),
    data jsonb not null,
    sent_by text not null,
    created_at timestamptz not null default now(),
    -- Nobody who comes later gets it.
    expires_at timestamptz not null,
    delivered_at timestamptz,
    primary key (organization_id, id)
);
create index inbound_events_open on inbound_events (organization_id, key, created_at) where delivered_at is null;
create index inbound_events_age on inbound_events (created_at);

-- The steps that wait for an event. Noted before the step is written as waiting: an event may come in between.
create table event_waits (
    organization_id uuid not null,
    run_id uuid not null,
    step_id text not null,
    key text not null,
    created_at timestamptz not null default now(),
    event_id uuid,
    primary key (organization_id, run_id, step_id),
    foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade,
    foreign key (organization_id, event_id) references inbound_events (organization_id, id)
);
create index event_waits_open on event_waits (organization_id, key) where event_id is null;
create index event_waits_event on event_waits (organization_id, event_id) where event_id is not null;

alter table inbound_events enable row level security;
alter table inbound_events force row level security;
create policy app on inbound_events to agentflow_app using (organization_id = current_organization());
create policy engine on inbound_events to agentflow_engine using (true) with check (true);
alter table event_waits enable row level security;
alter table event_waits force row level security;
create policy app on event_waits to agentflow_app using (organization_id = current_organization());
create policy engine on event_waits to agentflow_engine using (true) with check (true);
grant select, insert, update on inbound_events, event_waits to agentflow_app, agentflow_engine;
