//! Statements about approvals. The engine opens them, takes decisions in and ends them; here they are read, decided and
//! reopened, always on the condition that nobody was first.

use serde_json::Value;
use uuid::Uuid;

use super::{Approval, ApprovalFilter, ApprovalKind, ApprovalState, Decision, Details};
use crate::{
    access::{Actor, Permission, Role},
    db::TenantTx,
    engine::{
        plan::ToolSpec,
        state::{RunState, StepId},
    },
    kernel::{ApiKeyId, ApprovalId, Error, Money, Result, RunId, Timestamp, UserId, WorkflowId},
};

/// Who looks: what an approval says of itself depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Viewer {
    /// The person; none for a program.
    pub user: Option<UserId>,
    /// Their role.
    pub role: Role,
}

impl Viewer {
    fn id(self) -> Uuid {
        self.user.map_or(Uuid::nil(), UserId::uuid)
    }

    /// Whether they may decide an approval with these conditions: named people may; of the others whoever has the role,
    /// unless people are named and no role is.
    fn may_decide(self, role: Option<Role>, named: &[Uuid]) -> bool {
        let is_named = self.user.is_some_and(|user| named.contains(&user.uuid()));
        let by_role = (named.is_empty() || role.is_some())
            && self.role.may(Permission::Decide)
            && role.is_none_or(|role| self.role >= role);
        is_named || by_role
    }
}

struct Row {
    id: ApprovalId,
    kind: String,
    state: String,
    title: String,
    message: String,
    payload: Value,
    impact: String,
    reversible: bool,
    details: sqlx::types::Json<Details>,
    typed_amount_micros: i64,
    run_id: RunId,
    run_title: String,
    workflow_name: String,
    workflow_version: i32,
    cost_micros: i64,
    step_id: String,
    requested_by: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    on_expiry: String,
    decider_role: Option<String>,
    decider_ids: Vec<Uuid>,
    deciders: Vec<String>,
    decided_by: Option<UserId>,
    decided_by_key: Option<ApiKeyId>,
    decided_by_name: Option<String>,
    decided_at: Option<Timestamp>,
    effective_at: Option<Timestamp>,
    undoable: bool,
    asks_changes: bool,
    skips: bool,
    reason: Option<String>,
    edited_payload: Option<Value>,
}

impl Row {
    fn approval(self, viewer: Viewer) -> Result<Approval> {
        let unknown = |what: &str, word: &str| Error::internal(format!("unknown approval {what} {word}"));
        let role = self.decider_role.as_deref().and_then(Role::parse);
        let state = match ApprovalState::parse(&self.state).ok_or_else(|| unknown("state", &self.state))? {
            ApprovalState::Rejected if self.asks_changes => ApprovalState::ChangesRequested,
            state => state,
        };
        let details = self.details.0;
        let types_amount = !self.reversible
            && details.amount.as_ref().is_some_and(|amount| amount.micros() > self.typed_amount_micros);
        let decision = match (self.decided_at, self.effective_at) {
            (Some(at), effective_at) => Some(Decision {
                can_undo: self.undoable && self.decided_by.is_some() && self.decided_by == viewer.user,
                by: self.decided_by,
                by_key: self.decided_by_key,
                by_name: self.decided_by_name.unwrap_or_else(|| "The deadline".to_owned()),
                at,
                effective_at: effective_at.unwrap_or(at),
                reason: self.reason,
                edited_payload: self.edited_payload.filter(|payload| !payload.is_null()),
                skips: self.skips,
            }),
            _ => None,
        };
        Ok(Approval {
            id: self.id,
            kind: ApprovalKind::parse(&self.kind).ok_or_else(|| unknown("kind", &self.kind))?,
            state,
            title: self.title,
            message: self.message,
            payload: self.payload,
            impact: self.impact,
            reversible: self.reversible,
            details,
            types_amount,
            run_id: self.run_id,
            run_title: self.run_title,
            workflow_name: self.workflow_name,
            workflow_version: self.workflow_version,
            cost_so_far: Money(self.cost_micros),
            step_id: StepId::from_text(self.step_id),
            requested_by: self.requested_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
            on_expiry: self.on_expiry,
            decider_role: role,
            deciders: self.deciders,
            may_decide: state == ApprovalState::Pending && viewer.may_decide(role, &self.decider_ids),
            decision,
        })
    }
}

/// The approvals of an organization (`$1`) as a viewer (`$2`) sees them. The rest of the statement says which.
macro_rules! approvals {
    ($tx:ident, $viewer:ident, $rest:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"
            select a.id as "id: ApprovalId", a.kind, a.state, a.title, a.message, a.payload, a.impact, a.reversible,
                   a.details as "details: sqlx::types::Json<Details>", o.typed_amount_micros,
                   a.run_id as "run_id: RunId", r.title as run_title, w.name as workflow_name, r.workflow_version,
                   r.cost_micros, a.step_id, a.requested_by, a.created_at, a.expires_at, a.on_expiry, a.decider_role,
                   a.decider_ids, case when a.state = 'pending' then array(
                       select u.name
                       from memberships m
                       join users u on u.id = m.user_id
                       where m.organization_id = $1
                         and m.user_id <> $2
                         and (m.user_id = any(a.decider_ids)
                              or (a.decider_ids = '{}' or a.decider_role is not null)
                                 and case coalesce(a.decider_role, 'member')
                                         when 'owner' then m.role = 'owner'
                                         when 'admin' then m.role in ('owner', 'admin')
                                         else m.role in ('owner', 'admin', 'member')
                                     end)
                       order by u.name
                       limit 10
                   ) else '{}' end as "deciders!",
                   a.decided_by as "decided_by: UserId", a.decided_by_key as "decided_by_key: ApiKeyId",
                   a.decided_by_name, a.decided_at, a.effective_at,
                   coalesce(a.applied_at is null and a.effective_at > clock_timestamp(), false) as "undoable!",
                   a.asks_changes, a.skips, a.reason, a.edited_payload
            from approvals a
            join organizations o on o.id = a.organization_id
            join runs r on r.organization_id = a.organization_id and r.id = a.run_id
            join workflows w on w.organization_id = r.organization_id and w.id = r.workflow_id
            where a.organization_id = $1
            "# + $rest,
            $tx.org().uuid(),
            $viewer.id(),
            $($argument),*
        )
    };
}

/// A place in the list of pending approvals: the nearest deadline first.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The deadline; far away where there is none.
    pub expires_at: Option<Timestamp>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// The approval.
    pub id: ApprovalId,
}

/// Pending approvals that fit the filter, the nearest deadline first and then the oldest, after `place`.
///
/// # Errors
/// When the database does not answer.
pub async fn pending(
    tx: &mut TenantTx,
    viewer: Viewer,
    filter: &ApprovalFilter,
    place: Option<Place>,
    limit: i64,
) -> Result<Vec<Approval>> {
    let rows = approvals!(
        tx,
        viewer,
        r#"
        and a.state = 'pending'
        and ($3::text is null or a.kind = $3)
        and ($4::uuid is null or r.workflow_id = $4)
        and (not $5 or $2 = any(a.decider_ids)
             or (a.decider_ids = '{}' or a.decider_role is not null) and coalesce(a.decider_role, 'member') = any($6))
        and ($7::uuid is null
             or (coalesce(a.expires_at, 'infinity'), a.created_at, a.id)
                > (coalesce($8::timestamptz, 'infinity'), $9::timestamptz, $7))
        order by coalesce(a.expires_at, 'infinity'), a.created_at, a.id
        limit $10
        "#,
        filter.kind.map(ApprovalKind::as_str),
        filter.workflow.map(WorkflowId::uuid),
        filter.mine,
        &deciding_roles_for(viewer),
        place.map(|place| place.id.uuid()),
        place.and_then(|place| place.expires_at),
        place.map(|place| place.created_at),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| row.approval(viewer)).collect()
}

/// The roles whose approvals a viewer may decide: their own and those below, when they may decide at all.
fn deciding_roles_for(viewer: Viewer) -> Vec<String> {
    if !viewer.role.may(Permission::Decide) {
        return Vec::new();
    }
    Role::ALL.into_iter().filter(|role| *role <= viewer.role).map(|role| role.as_str().to_owned()).collect()
}

/// Approvals that were decided or ended lately, the newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn decided(
    tx: &mut TenantTx,
    viewer: Viewer,
    filter: &ApprovalFilter,
    before: Option<Timestamp>,
    limit: i64,
) -> Result<Vec<Approval>> {
    let rows = approvals!(
        tx,
        viewer,
        r#"
        and a.state <> 'pending'
        and a.decided_at is not null
        and ($3::text is null or a.kind = $3)
        and ($4::uuid is null or r.workflow_id = $4)
        and (not $5 or a.decided_by = $2)
        and ($6::timestamptz is null or a.decided_at < $6)
        order by a.decided_at desc
        limit $7
        "#,
        filter.kind.map(ApprovalKind::as_str),
        filter.workflow.map(WorkflowId::uuid),
        filter.mine,
        before,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| row.approval(viewer)).collect()
}

/// One approval.
///
/// # Errors
/// When the database does not answer.
pub async fn find(tx: &mut TenantTx, viewer: Viewer, id: ApprovalId) -> Result<Option<Approval>> {
    let row = approvals!(tx, viewer, "and a.id = $3", id.uuid()).fetch_optional(tx.conn()).await?;
    row.map(|row| row.approval(viewer)).transpose()
}

/// How many approvals wait that the viewer may decide.
///
/// # Errors
/// When the database does not answer.
pub async fn pending_count(tx: &mut TenantTx, viewer: Viewer) -> Result<i64> {
    let org = tx.org();
    Ok(sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from approvals
        where organization_id = $1
          and state = 'pending'
          and ($2 = any(decider_ids)
               or (decider_ids = '{}' or decider_role is not null) and coalesce(decider_role, 'member') = any($3))
        "#,
        org.uuid(),
        viewer.id(),
        &deciding_roles_for(viewer),
    )
    .fetch_one(tx.conn())
    .await?)
}

/// The approval that a run's step waits for.
///
/// # Errors
/// When the database does not answer.
pub async fn of_step(tx: &mut TenantTx, run: RunId, step: &StepId) -> Result<Option<ApprovalId>> {
    let org = tx.org();
    Ok(sqlx::query_scalar!(
        r#"select id as "id: ApprovalId" from approvals where organization_id = $1 and run_id = $2 and step_id = $3"#,
        org.uuid(),
        run.uuid(),
        step.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Locks the run, and tells its state and the moment. Whoever changes a run and what belongs to it locks the run first:
/// the engine does the same, so the two never wait for each other.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_run(tx: &mut TenantTx, run: RunId) -> Result<Option<(RunState, Timestamp)>> {
    let org = tx.org();
    let row = sqlx::query!(
        "select state from runs where organization_id = $1 and id = $2 for update",
        org.uuid(),
        run.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    // Asked after the lock was given: `now()` would be the moment before the wait.
    let now = now(tx).await?;
    let state =
        RunState::parse(&row.state).ok_or_else(|| Error::internal(format!("unknown run state {}", row.state)))?;
    Ok(Some((state, now)))
}

/// A decision to be written.
pub struct NewDecision<'a> {
    /// Approved, rejected, or changes requested.
    pub state: ApprovalState,
    /// Who decides.
    pub by: &'a Actor,
    /// When.
    pub at: Timestamp,
    /// From when on it acts.
    pub effective_at: Timestamp,
    /// Why not, or the answer.
    pub reason: Option<&'a str>,
    /// What was approved instead, or is to be the output of a step that is gone on without.
    pub edited_payload: Option<&'a Value>,
    /// Whether the failed step is gone on without.
    pub skips: bool,
}

/// Decides a pending approval. `false` when it was not pending any more, or its deadline has passed.
///
/// # Errors
/// When the database does not answer.
pub async fn decide(tx: &mut TenantTx, id: ApprovalId, decision: &NewDecision<'_>) -> Result<bool> {
    let org = tx.org();
    let asks_changes = decision.state == ApprovalState::ChangesRequested;
    let state = if asks_changes { ApprovalState::Rejected } else { decision.state };
    let (user, key) = match decision.by {
        Actor::User { id, .. } => (Some(id.uuid()), None),
        Actor::Key { id, .. } => (None, Some(id.uuid())),
        Actor::Run { .. } => (None, None),
    };
    let done = sqlx::query!(
        r#"
        update approvals
        set state = $3, decided_by = $4, decided_by_name = $5, decided_at = $6, effective_at = $7, reason = $8,
            edited_payload = $9, decided_by_key = $10, asks_changes = $11, skips = $12
        where organization_id = $1
          and id = $2
          and state = 'pending'
          and (expires_at is null or expires_at > $6)
        "#,
        org.uuid(),
        id.uuid(),
        state.as_str(),
        user,
        decision.by.name(),
        decision.at,
        decision.effective_at,
        decision.reason,
        decision.edited_payload,
        key,
        asks_changes,
        decision.skips,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a decision undone while it does not act yet. `false` when it was too late, or somebody else's.
///
/// # Errors
/// When the database does not answer.
pub async fn reopen(tx: &mut TenantTx, id: ApprovalId, by: UserId) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        r#"
        update approvals
        set state = 'pending', decided_by = null, decided_by_name = null, decided_at = null, effective_at = null,
            reason = null, edited_payload = null, decided_by_key = null, asks_changes = false,
            skips = false
        where organization_id = $1
          and id = $2
          and state in ('approved', 'rejected')
          and decided_by = $3
          and applied_at is null
          and effective_at > clock_timestamp()
        "#,
        org.uuid(),
        id.uuid(),
        by.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Seconds in which a person's reversible decision can be undone; none when they prefer to confirm each.
///
/// # Errors
/// When the database does not answer.
pub async fn undo_window_s(tx: &mut TenantTx, user: UserId) -> Result<Option<i32>> {
    let org = tx.org();
    let window = sqlx::query_scalar!(
        r#"
        select u.undo_window_s
        from memberships m
        join users u on u.id = m.user_id
        where m.organization_id = $1
          and m.user_id = $2
        "#,
        org.uuid(),
        user.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(window.flatten())
}

/// The tool that a step calls, as the run keeps it, for checking edited arguments.
///
/// # Errors
/// When the database does not answer.
pub async fn tool(tx: &mut TenantTx, run: RunId, step: &StepId) -> Result<Option<ToolSpec>> {
    let org = tx.org();
    let tool = sqlx::query_scalar!(
        r#"
        select a.body -> 'tools' -> s.name as "tool: sqlx::types::Json<ToolSpec>"
        from steps s
        join runs r on r.organization_id = s.organization_id and r.id = s.run_id
        join artifacts a on a.organization_id = r.organization_id and a.sha256 = r.plan_sha256
        where s.organization_id = $1
          and s.run_id = $2
          and s.id = $3
        "#,
        org.uuid(),
        run.uuid(),
        step.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(tool.flatten().map(|tool| tool.0))
}

/// The moment, by the database's clock.
///
/// # Errors
/// When the database does not answer.
pub async fn now(tx: &mut TenantTx) -> Result<Timestamp> {
    Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(tx.conn()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_decide() {
        let (ana, ben) = (UserId::new(), UserId::new());
        let viewer = |user, role| Viewer { user: Some(user), role };
        let named = [ana.uuid()];
        // Nobody named: whoever may decide approvals.
        assert!(viewer(ben, Role::Member).may_decide(None, &[]));
        assert!(!viewer(ben, Role::Viewer).may_decide(None, &[]));
        // A role: it and those above.
        assert!(viewer(ben, Role::Owner).may_decide(Some(Role::Admin), &[]));
        assert!(!viewer(ben, Role::Member).may_decide(Some(Role::Admin), &[]));
        // A role below those that decide opens nothing to it.
        assert!(!viewer(ben, Role::Viewer).may_decide(Some(Role::Viewer), &[]));
        // People: they, whatever their role, and nobody else.
        assert!(viewer(ana, Role::Viewer).may_decide(None, &named));
        assert!(!viewer(ben, Role::Owner).may_decide(None, &named));
        // A role or people.
        assert!(viewer(ana, Role::Viewer).may_decide(Some(Role::Admin), &named));
        assert!(viewer(ben, Role::Admin).may_decide(Some(Role::Admin), &named));
        // A program has a role and no name.
        assert!(Viewer { user: None, role: Role::Member }.may_decide(None, &[]));
        assert!(!Viewer { user: None, role: Role::Admin }.may_decide(None, &named));
    }
}
