-- Gates as people want them: named people, several who must agree, never one's own run, and a deadline that hands over.
-- The version before runs on beside it: every new column has a default, and where it meets a deadline that hands over it
-- rejects.

alter table approvals drop constraint approvals_on_expiry_check;
alter table approvals add constraint approvals_on_expiry_check
    check (on_expiry in ('reject', 'approve', 'escalate')) not valid;
alter table approvals
    -- People who may decide, by address in lower case: whoever is a member under one of them, now or later. What
    -- decider_ids was meant for; nobody writes that any more.
    add column decider_emails text[] not null default '{}',
    -- How many have to say yes.
    add column quorum integer not null default 1,
    -- Whether whoever started the run may not decide.
    add column not_own boolean not null default false,
    -- Whom the deadline hands it over to, and the seconds that they have: the same again.
    add column escalate_to text,
    add column deadline_s bigint,
    add column escalated_at timestamptz;
alter table approvals
    add constraint approvals_quorum_check check (quorum between 1 and 20) not valid,
    add constraint approvals_escalate_to_check check (escalate_to in ('owner', 'admin', 'member')) not valid;

-- Each yes to a gate that needs several. A person counts once, by whatever hand.
create table approval_votes (
    organization_id uuid not null,
    approval_id uuid not null,
    -- `user:<uuid>`; `key:<uuid>` for a program that nobody in particular made.
    voter text not null,
    voter_name text not null,
    -- What exactly they agreed to.
    payload_sha256 bytea not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, approval_id, voter),
    foreign key (organization_id, approval_id) references approvals (organization_id, id) on delete cascade
);
alter table approval_votes enable row level security;
alter table approval_votes force row level security;
create policy app on approval_votes to agentflow_app using (organization_id = current_organization());
create policy engine on approval_votes to agentflow_engine using (true) with check (true);
grant select, insert, delete on approval_votes to agentflow_app;
grant select on approval_votes to agentflow_engine;

-- Who may decide, in one place: the inbox, its count, the card and the decision itself all ask the functions below. They
-- see what the role that calls them sees.

create function role_rank(role text) returns integer
    language sql immutable parallel safe
    return array_position(array['viewer', 'member', 'admin', 'owner'], role);

-- Whose hand it is: a program is the person who made its key.
create function person_behind(organization uuid, actor text) returns text
    language sql stable
    return coalesce(
        (select 'user:' || k.created_by::text
         from api_keys k
         where k.organization_id = organization and 'key:' || k.id::text = actor and k.created_by is not null),
        actor
    );

create function has_voted(organization uuid, approval uuid, actor text) returns boolean
    language sql stable
    return exists (
        select from approval_votes v
        where v.organization_id = organization
          and v.approval_id = approval
          and v.voter = person_behind(organization, actor)
    );

-- Whether the gate is closed to this actor because the run is their own.
create function is_own(organization uuid, not_own boolean, started_by text, actor text) returns boolean
    language sql stable
    return not_own and person_behind(organization, actor) = person_behind(organization, started_by);

-- Whether people alone are named and too few of them can: then owners may decide as well, so that no gate stays closed
-- for ever.
create function owners_step_in(
    organization uuid, emails text[], role text, quorum integer, not_own boolean, started_by text
) returns boolean
    language sql stable
    return emails <> '{}' and role is null and quorum > (
        select count(*)
        from memberships m
        join users u on u.id = m.user_id
        where m.organization_id = organization
          and lower(u.email) = any (emails)
          and not is_own(organization, not_own, started_by, 'user:' || m.user_id::text)
    );

-- Whether somebody may decide: by their address (people alone have one) or by their role. Who has said yes waits for
-- the others. Without a query of its own, so that a list of approvals takes it in as a plain condition.
create function may_decide(approval approvals, started_by text, actor text, email text, role text) returns boolean
    language sql stable
    return coalesce(
        (
            email = any (approval.decider_emails)
            or (approval.decider_emails = '{}' or approval.decider_role is not null)
                and role_rank(role) >= greatest(role_rank('member'), role_rank(approval.decider_role))
            or role = 'owner' and owners_step_in(
                approval.organization_id, approval.decider_emails, approval.decider_role, approval.quorum,
                approval.not_own, started_by
            )
        )
        and not is_own(approval.organization_id, approval.not_own, started_by, actor)
        and not (approval.quorum > 1 and has_voted(approval.organization_id, approval.id, actor)),
        false
    );
