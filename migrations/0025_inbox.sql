-- The inbox: who was asked to decide, what somebody does not want to see for a while, and links in messages that lead to
-- one decision of one person. The version before runs on beside it and knows none of this: it shows all that waits.

alter table approvals
    -- The member who was asked to decide it. Others who may decide it still may.
    add column assigned_to uuid,
    -- The name of whoever asked them.
    add column assigned_by text,
    add column assigned_at timestamptz,
    -- When they were told of it by e-mail; nothing as long as they are to be told.
    add column assigned_noticed_at timestamptz;
create index approvals_assigned on approvals (organization_id, assigned_to) where state = 'pending' and assigned_to is not null;
create index approvals_untold on approvals (assigned_at)
    where state = 'pending' and assigned_to is not null and assigned_noticed_at is null;
grant select (assigned_to, assigned_at, assigned_noticed_at) on approvals to agentflow_keeper;

-- What one person put off until a time. It is theirs alone: others see the approval as before.
create table approval_snoozes (
    organization_id uuid not null,
    approval_id uuid not null,
    user_id uuid not null,
    until timestamptz not null,
    primary key (organization_id, approval_id, user_id),
    foreign key (organization_id, approval_id) references approvals (organization_id, id) on delete cascade,
    foreign key (organization_id, user_id) references memberships (organization_id, user_id) on delete cascade
);
create index approval_snoozes_mine on approval_snoozes (organization_id, user_id, until);
create index approval_snoozes_past on approval_snoozes (until);
alter table approval_snoozes enable row level security;
alter table approval_snoozes force row level security;
create policy app on approval_snoozes to agentflow_app using (organization_id = current_organization());
create policy keeper on approval_snoozes to agentflow_keeper using (true) with check (true);
grant select, insert, update, delete on approval_snoozes to agentflow_app;
grant select, delete on approval_snoozes to agentflow_keeper;

-- A link in a message: for one person and one approval, once, and not for long. Whoever has the table has no link: it
-- keeps what the secret in it hashes to.
create table approval_links (
    token_sha256 bytea not null,
    organization_id uuid not null,
    approval_id uuid not null,
    user_id uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    -- When the person decided by it.
    used_at timestamptz,
    primary key (organization_id, token_sha256),
    foreign key (organization_id, approval_id) references approvals (organization_id, id) on delete cascade,
    -- Who leaves takes their links along.
    foreign key (organization_id, user_id) references memberships (organization_id, user_id) on delete cascade
);
create index approval_links_token on approval_links (token_sha256);
create index approval_links_user on approval_links (organization_id, user_id);
create index approval_links_approval on approval_links (organization_id, approval_id);
create index approval_links_past on approval_links (expires_at);
alter table approval_links enable row level security;
alter table approval_links force row level security;
create policy app on approval_links to agentflow_app using (organization_id = current_organization());
-- Before an organization is known there is only the link: the role of the sign-in finds whose it is.
create policy identity on approval_links for select to agentflow_identity using (true);
create policy keeper on approval_links to agentflow_keeper using (true) with check (true);
grant select, insert, update (used_at) on approval_links to agentflow_app;
grant select on approval_links to agentflow_identity;
grant select (organization_id, token_sha256, expires_at), delete on approval_links to agentflow_keeper;
-- Whoever gets a new password gets new links: the sign-in's role, which sets it, ends those that are under way.
create policy identity_ends on approval_links for delete to agentflow_identity using (true);
grant delete on approval_links to agentflow_identity;

-- Whether somebody wants keys of a single letter to act, in the inbox and elsewhere.
alter table users add column single_keys boolean not null default true;
grant select (single_keys) on users to agentflow_app;

-- Whether it is with somebody else, who was asked to decide it and can. Who has left, or may not decide it any more, has
-- nothing: then it waits for all again.
create function is_with_another(approval approvals, started_by text, person uuid) returns boolean
    language sql stable
    return approval.assigned_to is not null
        and approval.assigned_to is distinct from person
        and exists (
            select from memberships m
            join users u on u.id = m.user_id
            where m.organization_id = approval.organization_id
              and m.user_id = approval.assigned_to
              and may_decide(approval, started_by, 'user:' || m.user_id::text, lower(u.email), m.role)
        );

-- Whether a person has put it off. What must be decided before is there before.
create function is_snoozed(approval approvals, person uuid) returns boolean
    language sql stable
    return exists (
        select from approval_snoozes s
        where s.organization_id = approval.organization_id
          and s.approval_id = approval.id
          and s.user_id = person
          and least(s.until, approval.expires_at) > clock_timestamp()
    );
