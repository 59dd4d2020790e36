//! Rows of the lists: what is read at a glance, without what is asked for in full. Which approvals a list has is said
//! here alone.

use sqlx::types::Json;

use super::{Place, Viewer};
use crate::{
    approvals::{Amount, ApprovalFilter, ApprovalKind, ApprovalRow, ApprovalState, Risk, RowDecision},
    db::TenantTx,
    kernel::{AgentId, ApprovalId, Error, Result, RunId, Timestamp, UserId, WorkflowId},
};

struct Row {
    id: ApprovalId,
    kind: String,
    state: String,
    title: String,
    action: String,
    workflow_name: String,
    requested_by: String,
    reversible: bool,
    reversible_until: Option<Timestamp>,
    amount: Option<Json<Option<Amount>>>,
    above_limit: bool,
    run_id: RunId,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    overdue: bool,
    may_decide: bool,
    voted: bool,
    votes: i64,
    quorum: i32,
    assigned_to: Option<UserId>,
    assigned_name: Option<String>,
    snoozed_until: Option<Timestamp>,
    decided_by: Option<UserId>,
    decided_by_name: Option<String>,
    decided_at: Option<Timestamp>,
    effective_at: Option<Timestamp>,
    undoable: bool,
    asks_changes: bool,
    skips: bool,
    edited: bool,
}

impl Row {
    fn row(self, viewer: &Viewer) -> Result<ApprovalRow> {
        let unknown = |what: &str, word: &str| Error::internal(format!("unknown approval {what} {word}"));
        let state = match ApprovalState::parse(&self.state).ok_or_else(|| unknown("state", &self.state))? {
            ApprovalState::Rejected if self.asks_changes => ApprovalState::ChangesRequested,
            state => state,
        };
        let waits = state == ApprovalState::Pending;
        let decision = self.decided_at.map(|at| RowDecision {
            can_undo: self.undoable && self.decided_by.is_some() && self.decided_by == viewer.user,
            by_name: self.decided_by_name.unwrap_or_else(|| "The deadline".to_owned()),
            at,
            effective_at: self.effective_at.unwrap_or(at),
            edited: self.edited && !self.skips,
            skips: self.skips,
        });
        Ok(ApprovalRow {
            id: self.id,
            kind: ApprovalKind::parse(&self.kind).ok_or_else(|| unknown("kind", &self.kind))?,
            state,
            title: self.title,
            action: self.action,
            workflow_name: self.workflow_name,
            requested_by: self.requested_by,
            reversible: self.reversible,
            reversible_until: self.reversible_until,
            amount: self.amount.and_then(|amount| amount.0).map(|amount| amount.to_string()),
            above_limit: self.above_limit,
            run_id: self.run_id,
            created_at: self.created_at,
            expires_at: self.expires_at,
            overdue: waits && self.overdue,
            may_decide: waits && self.may_decide,
            voted: self.voted,
            agreed: (waits && self.quorum > 1).then(|| format!("{} of {} approvals", self.votes, self.quorum)),
            assigned_to_me: self.assigned_to.is_some() && self.assigned_to == viewer.user,
            assigned_to: self.assigned_name.filter(|_| waits),
            snoozed_until: self.snoozed_until.filter(|_| waits),
            decision,
        })
    }
}

/// The rows of an organization (`$1`) as a viewer (`$2`, `$3`, `$4`) sees them. The rest of the statement says which.
macro_rules! rows {
    ($tx:ident, $viewer:ident, $rest:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"
            select a.id as "id: ApprovalId", a.kind, a.state, a.title,
                   -- What would be done: the same tool, or the same node of a workflow.
                   case when a.kind = 'tool' then 'tool ' || s.name else r.workflow_id::text || ' ' || s.node_id end
                       as "action!",
                   w.name as workflow_name, a.requested_by, a.reversible,
                   (a.details ->> 'reversible_until')::timestamptz as reversible_until,
                   a.details -> 'amount' as "amount: Json<Option<Amount>>",
                   coalesce((a.details -> 'amount' ->> 'micros')::bigint > o.typed_amount_micros, false)
                       as "above_limit!",
                   a.run_id as "run_id: RunId", a.created_at, a.expires_at,
                   a.escalated_at is not null or coalesce(a.expires_at <= clock_timestamp(), false) as "overdue!",
                   a.state = 'pending' and may_decide(a, r.started_by, $3, me.email, $4) as "may_decide!",
                   a.quorum > 1 and has_voted($1, a.id, $3) as "voted!",
                   case when a.quorum > 1 then (
                       select count(*)
                       from approval_votes v
                       where v.organization_id = $1
                         and v.approval_id = a.id
                         and v.payload_sha256 = a.payload_sha256
                   ) else 0 end as "votes!",
                   a.quorum, a.assigned_to as "assigned_to: UserId",
                   case when a.assigned_to is not null then (
                       select u.name from users u where u.id = a.assigned_to
                   ) end as assigned_name,
                   (
                       select least(z.until, a.expires_at)
                       from approval_snoozes z
                       where z.organization_id = $1
                         and z.approval_id = a.id
                         and z.user_id = $2
                         and is_snoozed(a, $2)
                   ) as snoozed_until,
                   a.decided_by as "decided_by: UserId", a.decided_by_name, a.decided_at, a.effective_at,
                   coalesce(a.applied_at is null and a.effective_at > clock_timestamp(), false) as "undoable!",
                   a.asks_changes, a.skips, a.edited_payload is not null as "edited!"
            from approvals a
            join organizations o on o.id = a.organization_id
            join runs r on r.organization_id = a.organization_id and r.id = a.run_id
            join steps s on s.organization_id = a.organization_id and s.run_id = a.run_id and s.id = a.step_id
            join workflows w on w.organization_id = r.organization_id and w.id = r.workflow_id
            left join lateral (
                select lower(u.email) as email
                from memberships m
                join users u on u.id = m.user_id
                where m.organization_id = $1
                  and m.user_id = $2
            ) me on true
            where a.organization_id = $1
            "# + $rest,
            $tx.org().uuid(),
            $viewer.id(),
            $viewer.actor,
            $viewer.role.as_str(),
            $($argument),*
        )
    };
}

/// Those that wait and fit the filter, the nearest deadline first and then the oldest, after `place`.
///
/// # Errors
/// When the database does not answer.
pub async fn pending(
    tx: &mut TenantTx,
    viewer: &Viewer,
    filter: &ApprovalFilter,
    place: Option<Place>,
    limit: i64,
) -> Result<Vec<ApprovalRow>> {
    let found = rows!(
        tx,
        viewer,
        r#"
        and a.state = 'pending'
        and ($5::text is null or a.kind = $5)
        and ($6::uuid is null or r.workflow_id = $6)
        and (not $7 or may_decide(a, r.started_by, $3, me.email, $4) and not is_with_another(a, r.started_by, $2))
        and ($8::uuid is null
             or (coalesce(a.expires_at, 'infinity'), a.created_at, a.id)
                > (coalesce($9::timestamptz, 'infinity'), $10::timestamptz, $8))
        -- What it asked is a call of its task, whatever it was named then.
        and ($11::uuid is null or a.kind in ('tool', 'question') and exists (
                 select from steps t
                 join agents g on g.organization_id = t.organization_id and g.key = t.agent_key
                 where t.organization_id = $1 and t.run_id = a.run_id and t.id = s.parent_id and g.id = $11))
        and ($12::text is null
             or $12 = 'reversible' and a.reversible
             or $12 = 'irreversible' and not a.reversible
             or $12 = 'above_limit' and (a.details -> 'amount' ->> 'micros')::bigint > o.typed_amount_micros)
        and (not $13 or a.assigned_to = $2)
        and is_snoozed(a, $2) = $14
        order by coalesce(a.expires_at, 'infinity'), a.created_at, a.id
        limit $15
        "#,
        filter.kind.map(ApprovalKind::as_str),
        filter.workflow.map(WorkflowId::uuid),
        filter.mine,
        place.map(|place| place.id.uuid()),
        place.and_then(|place| place.expires_at),
        place.map(|place| place.created_at),
        filter.agent.map(AgentId::uuid),
        filter.risk.map(Risk::as_str),
        filter.assigned,
        filter.snoozed,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    found.into_iter().map(|row| row.row(viewer)).collect()
}

/// Those that were decided or ended lately, the newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn decided(
    tx: &mut TenantTx,
    viewer: &Viewer,
    filter: &ApprovalFilter,
    before: Option<Timestamp>,
    limit: i64,
) -> Result<Vec<ApprovalRow>> {
    let found = rows!(
        tx,
        viewer,
        r#"
        and a.state <> 'pending'
        and a.decided_at is not null
        and ($5::text is null or a.kind = $5)
        and ($6::uuid is null or r.workflow_id = $6)
        and (not $7 or a.decided_by = $2 or a.quorum > 1 and has_voted($1, a.id, $3))
        and ($8::timestamptz is null or a.decided_at < $8)
        -- What it asked is a call of its task, whatever it was named then.
        and ($9::uuid is null or a.kind in ('tool', 'question') and exists (
                 select from steps t
                 join agents g on g.organization_id = t.organization_id and g.key = t.agent_key
                 where t.organization_id = $1 and t.run_id = a.run_id and t.id = s.parent_id and g.id = $9))
        and ($10::text is null
             or $10 = 'reversible' and a.reversible
             or $10 = 'irreversible' and not a.reversible
             or $10 = 'above_limit' and (a.details -> 'amount' ->> 'micros')::bigint > o.typed_amount_micros)
        and (not $11 or a.assigned_to = $2)
        order by a.decided_at desc
        limit $12
        "#,
        filter.kind.map(ApprovalKind::as_str),
        filter.workflow.map(WorkflowId::uuid),
        filter.mine,
        before,
        filter.agent.map(AgentId::uuid),
        filter.risk.map(Risk::as_str),
        filter.assigned,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    found.into_iter().map(|row| row.row(viewer)).collect()
}

/// These, in no particular order.
///
/// # Errors
/// When the database does not answer.
pub async fn of_ids(tx: &mut TenantTx, viewer: &Viewer, ids: &[ApprovalId]) -> Result<Vec<ApprovalRow>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let found = rows!(tx, viewer, "and a.id = any($5)", &ids).fetch_all(tx.conn()).await?;
    found.into_iter().map(|row| row.row(viewer)).collect()
}

/// How many wait for the viewer: those that they may decide, that nobody else was asked to decide, and that they have not
/// put off.
///
/// # Errors
/// When the database does not answer.
pub async fn waiting(tx: &mut TenantTx, viewer: &Viewer) -> Result<i64> {
    let org = tx.org();
    Ok(sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from approvals a
        join runs r on r.organization_id = a.organization_id and r.id = a.run_id
        left join lateral (
            select lower(u.email) as email
            from memberships m
            join users u on u.id = m.user_id
            where m.organization_id = $1
              and m.user_id = $2
        ) me on true
        where a.organization_id = $1
          and a.state = 'pending'
          and may_decide(a, r.started_by, $3, me.email, $4)
          and not is_with_another(a, r.started_by, $2)
          and not is_snoozed(a, $2)
        "#,
        org.uuid(),
        viewer.id(),
        viewer.actor,
        viewer.role.as_str(),
    )
    .fetch_one(tx.conn())
    .await?)
}
