-- What an organization may spend on model calls. The version before runs on beside it and knows none of these tables: its
-- calls are neither held back nor counted.

create table budgets (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    -- What it bounds: each call, each run, or all that the organization, an agent or a workflow spends in a period.
    subject text not null check (subject in ('call', 'run', 'organization', 'agent', 'workflow')),
    agent_key text,
    workflow_id uuid,
    -- By the database's clock, in UTC. Of a call or run there is no other period than itself.
    period text not null check (period in ('each', 'day', 'month', 'total')),
    limit_micros bigint not null check (limit_micros between 1 and 1000000000000000000),
    -- One that is switched off goes on counting and holds nothing back.
    enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (organization_id, agent_key) references agents (organization_id, key) on delete cascade,
    foreign key (organization_id, workflow_id) references workflows (organization_id, id) on delete cascade,
    constraint budgets_consistent_check check (
        (subject = 'agent') = (agent_key is not null)
        and (subject = 'workflow') = (workflow_id is not null)
        and (subject in ('call', 'run')) = (period = 'each')
    )
);
create unique index budgets_subject_key on budgets (
    organization_id, subject, period, coalesce(agent_key, ''),
    coalesce(workflow_id, '00000000-0000-0000-0000-000000000000')
);

-- The name of the account that a budget counts in at the moment of the transaction: `2026-11-26`, `2026-11`, `total`, or
-- the run's id.
create function budget_account(period text, run uuid) returns text
    language sql stable
    return case period
        when 'day' then to_char(now() at time zone 'UTC', 'YYYY-MM-DD')
        when 'month' then to_char(now() at time zone 'UTC', 'YYYY-MM')
        when 'each' then coalesce(run::text, '')
        else 'total'
    end;

-- When that account is followed by another one.
create function budget_resets_at(period text) returns timestamptz
    language sql stable
    return case
        when period in ('day', 'month') then
            (date_trunc(period, now() at time zone 'UTC') + ('1 ' || period)::interval) at time zone 'UTC'
    end;

-- The highest of the marks that people are told of which is reached. A budget that held a call back is used up, though
-- there may be a little left.
create function budget_level(limit_micros bigint, spent_micros bigint, refused_at timestamptz) returns smallint
    language sql immutable
    return case
        when refused_at is not null or spent_micros >= limit_micros then 100::smallint
        when spent_micros::numeric * 100 >= limit_micros::numeric * 80 then 80::smallint
        when spent_micros::numeric * 100 >= limit_micros::numeric * 50 then 50::smallint
        else 0::smallint
    end;

create table budget_accounts (
    organization_id uuid not null,
    budget_id uuid not null,
    account text not null,
    -- For calls that are under way, the most that they may cost.
    reserved_micros bigint not null default 0 check (reserved_micros >= 0),
    spent_micros bigint not null default 0 check (spent_micros >= 0),
    -- When a call did not fit any more, the first time.
    refused_at timestamptz,
    -- The mark that people were told of: 50, 80, 100.
    noticed smallint not null default 0,
    opened_at timestamptz not null default now(),
    primary key (organization_id, budget_id, account),
    foreign key (organization_id, budget_id) references budgets (organization_id, id) on delete cascade
) with (fillfactor = 50);

-- What is reserved for one attempt of a call in one account. It goes when the call is settled. Where its process died, it
-- counts until it expires; the row stays for a while, so that a call that comes back late is still paid for, once.
create table budget_reservations (
    organization_id uuid not null,
    run_id uuid not null,
    step_id text not null,
    attempt integer not null,
    fence bigint not null,
    budget_id uuid not null,
    account text not null,
    amount_micros bigint not null check (amount_micros >= 0),
    -- Whether the account does not count it any more.
    released boolean not null default false,
    expires_at timestamptz not null,
    primary key (organization_id, run_id, step_id, attempt, fence, budget_id),
    foreign key (organization_id, budget_id, account)
        references budget_accounts (organization_id, budget_id, account) on delete cascade
);
create index budget_reservations_open on budget_reservations (organization_id, run_id, step_id) where not released;
create index budget_reservations_of_account on budget_reservations (organization_id, budget_id, account);

alter table budgets enable row level security;
alter table budgets force row level security;
create policy app on budgets to agentflow_app using (organization_id = current_organization());
create policy engine on budgets for select to agentflow_engine using (true);
create policy keeper on budgets for select to agentflow_keeper using (true);
alter table budget_accounts enable row level security;
alter table budget_accounts force row level security;
create policy app on budget_accounts to agentflow_app using (organization_id = current_organization());
create policy engine on budget_accounts to agentflow_engine using (true) with check (true);
create policy keeper on budget_accounts to agentflow_keeper using (true) with check (true);
alter table budget_reservations enable row level security;
alter table budget_reservations force row level security;
create policy app on budget_reservations to agentflow_app using (organization_id = current_organization());
create policy engine on budget_reservations to agentflow_engine using (true) with check (true);
create policy keeper on budget_reservations to agentflow_keeper using (true) with check (true);

grant select, insert, delete on budgets to agentflow_app;
grant update (limit_micros, enabled, updated_at) on budgets to agentflow_app;
grant select on budget_accounts, budget_reservations to agentflow_app;
grant update (refused_at, noticed) on budget_accounts to agentflow_app;
grant select on budgets to agentflow_engine;
grant select, insert on budget_accounts to agentflow_engine;
grant update (reserved_micros, spent_micros, refused_at) on budget_accounts to agentflow_engine;
grant select, insert, update, delete on budget_reservations to agentflow_engine;
grant select on budgets to agentflow_keeper;
grant select, delete on budget_accounts to agentflow_keeper;
grant select (organization_id, run_id, step_id, attempt, fence, budget_id, released, expires_at), delete
    on budget_reservations to agentflow_keeper;
