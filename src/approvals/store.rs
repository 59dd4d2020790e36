//! Statements about approvals. The engine opens them, takes decisions in and ends them; here they are read, decided and
//! reopened, always on the condition that nobody was first.

pub mod hands;
pub mod links;
pub mod rows;
pub mod votes;

use serde_json::Value;
use uuid::Uuid;

use super::{Approval, ApprovalKind, ApprovalState, Decision, Details, Hands, Rules, Vote};
use crate::{
    access::{Actor, Role},
    db::TenantTx,
    engine::{
        plan::ToolSpec,
        state::{RunState, StepId},
    },
    kernel::{ApiKeyId, ApprovalId, Error, Money, Result, RunId, Timestamp, UserId},
};

/// Who looks: what an approval says of itself depends on it. Whether they may decide, the database says: `may_decide`.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The person; none for a program.
    pub user: Option<UserId>,
    /// As the database names them: [`Actor::reference`].
    pub actor: String,
    /// Their role.
    pub role: Role,
}

impl Viewer {
    fn id(&self) -> Uuid {
        self.user.map_or(Uuid::nil(), UserId::uuid)
    }
}

struct Row {
    id: ApprovalId,
    kind: String,
    state: String,
    title: String,
    message: String,
    payload: Value,
    payload_sha256: Vec<u8>,
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
    decider_emails: Vec<String>,
    quorum: i32,
    not_own: bool,
    escalate_to: Option<String>,
    escalated_at: Option<Timestamp>,
    overdue: bool,
    assigned_to: Option<UserId>,
    assigned_name: Option<String>,
    assigned_by: Option<String>,
    snoozed_until: Option<Timestamp>,
    may_decide: bool,
    is_own: bool,
    owners_step_in: bool,
    votes: sqlx::types::Json<Vec<Vote>>,
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
    fn approval(self, viewer: &Viewer) -> Result<Approval> {
        let unknown = |what: &str, word: &str| Error::internal(format!("unknown approval {what} {word}"));
        let role = self.decider_role.as_deref().and_then(Role::parse);
        let state = match ApprovalState::parse(&self.state).ok_or_else(|| unknown("state", &self.state))? {
            ApprovalState::Rejected if self.asks_changes => ApprovalState::ChangesRequested,
            state => state,
        };
        let details = self.details.0;
        let above_limit = details.amount.as_ref().is_some_and(|amount| amount.micros() > self.typed_amount_micros);
        let waits = state == ApprovalState::Pending;
        let hands = Hands {
            assigned_to_me: self.assigned_to.is_some() && self.assigned_to == viewer.user,
            assigned_to: self.assigned_name.filter(|_| waits),
            assigned_by: self.assigned_by.filter(|_| waits).unwrap_or_default(),
            snoozed_until: self.snoozed_until.filter(|_| waits),
        };
        let edited = self.edited_payload.filter(|payload| !payload.is_null());
        let patch = |proposal: &Value, edited: Option<&Value>| {
            edited.filter(|_| !self.skips).map_or(Value::Null, |edited| super::votes::edits(proposal, edited))
        };
        let edits = patch(&self.payload, edited.as_ref());
        // Until there is a yes, what somebody has changed is what all are asked about.
        let (payload, proposal, edited) = match edited {
            Some(edited) if state != ApprovalState::Approved => (edited, Some(self.payload), None),
            edited => (self.payload, None, edited),
        };
        let decision = match (self.decided_at, self.effective_at) {
            (Some(at), effective_at) => Some(Decision {
                can_undo: self.undoable && self.decided_by.is_some() && self.decided_by == viewer.user,
                by: self.decided_by,
                by_key: self.decided_by_key,
                by_name: self.decided_by_name.unwrap_or_else(|| "The deadline".to_owned()),
                at,
                effective_at: effective_at.unwrap_or(at),
                reason: self.reason,
                edited_payload: edited,
                skips: self.skips,
            }),
            _ => None,
        };
        let rules = Rules {
            people: self.decider_emails,
            quorum: self.quorum.cast_unsigned(),
            not_own: self.not_own,
            is_own: self.is_own,
            owners_step_in: self.owners_step_in,
            escalates_to: self.escalate_to.as_deref().and_then(Role::parse).filter(|_| self.on_expiry == "escalate"),
            escalated_at: self.escalated_at,
            votes: self.votes.0,
            proposal,
            above_limit,
        };
        let approval = Approval {
            id: self.id,
            kind: ApprovalKind::parse(&self.kind).ok_or_else(|| unknown("kind", &self.kind))?,
            state,
            title: self.title,
            message: self.message,
            payload,
            payload_sha256: self.payload_sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            edits,
            impact: self.impact,
            reversible: self.reversible,
            details,
            types_amount: !self.reversible && above_limit,
            hands,
            run_id: self.run_id,
            run_title: self.run_title,
            workflow_name: self.workflow_name,
            workflow_version: self.workflow_version,
            cost_so_far: Money(self.cost_micros),
            step_id: StepId::from_text(self.step_id),
            requested_by: self.requested_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
            overdue: waits && self.overdue,
            on_expiry: self.on_expiry,
            decider_role: role,
            deciders: self.deciders,
            may_decide: state == ApprovalState::Pending && self.may_decide,
            voted: rules.votes.iter().any(|vote| vote.mine),
            then: String::new(),
            refusal: String::new(),
            notes: Vec::new(),
            rules,
            decision,
        };
        Ok(super::words::spoken(approval))
    }
}

/// The approvals of an organization (`$1`) as a viewer (`$2`, `$3`, `$4`) sees them. The rest of the statement says which.
macro_rules! approvals {
    ($tx:ident, $viewer:ident, $rest:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"
            select a.id as "id: ApprovalId", a.kind, a.state, a.title, a.message, a.payload, a.payload_sha256, a.impact,
                   a.reversible, a.details as "details: sqlx::types::Json<Details>", o.typed_amount_micros,
                   a.run_id as "run_id: RunId", r.title as run_title, w.name as workflow_name, r.workflow_version,
                   r.cost_micros, a.step_id, a.requested_by, a.created_at, a.expires_at, a.on_expiry, a.decider_role,
                   a.decider_emails, a.quorum, a.not_own, a.escalate_to, a.escalated_at,
                   a.escalated_at is not null or coalesce(a.expires_at <= clock_timestamp(), false) as "overdue!",
                   a.assigned_to as "assigned_to: UserId", a.assigned_by,
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
                   may_decide(a, r.started_by, $3, me.email, $4) as "may_decide!",
                   is_own(a.organization_id, a.not_own, r.started_by, $3) as "is_own!",
                   owners_step_in(a.organization_id, a.decider_emails, a.decider_role, a.quorum, a.not_own, r.started_by)
                       as "owners_step_in!",
                   case when a.quorum > 1 then (
                       select coalesce(jsonb_agg(jsonb_build_object(
                                  'by', v.voter_name, 'at', v.created_at, 'mine', v.voter = person_behind($1, $3)
                              ) order by v.created_at, v.voter), '[]')
                       from approval_votes v
                       where v.organization_id = $1
                         and v.approval_id = a.id
                         and v.payload_sha256 = a.payload_sha256
                   ) else '[]' end as "votes!: sqlx::types::Json<Vec<Vote>>",
                   case when a.state = 'pending' then array(
                       select u.name
                       from memberships m
                       join users u on u.id = m.user_id
                       where m.organization_id = $1
                         and m.user_id <> $2
                         and may_decide(a, r.started_by, 'user:' || m.user_id::text, lower(u.email), m.role)
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

/// One approval.
///
/// # Errors
/// When the database does not answer.
pub async fn find(tx: &mut TenantTx, viewer: &Viewer, id: ApprovalId) -> Result<Option<Approval>> {
    let row = approvals!(tx, viewer, "and a.id = $5", id.uuid()).fetch_optional(tx.conn()).await?;
    row.map(|row| row.approval(viewer)).transpose()
}

/// These, in the order in which they are named.
///
/// # Errors
/// When the database does not answer.
pub async fn of_ids(tx: &mut TenantTx, viewer: &Viewer, ids: &[ApprovalId]) -> Result<Vec<Approval>> {
    let wanted: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = approvals!(tx, viewer, "and a.id = any($5) order by array_position($5, a.id)", &wanted)
        .fetch_all(tx.conn())
        .await?;
    rows.into_iter().map(|row| row.approval(viewer)).collect()
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
    /// The names of all who did.
    pub by_name: &'a str,
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
            -- Of several who are asked, a no is said to what one of them made of the proposal.
            edited_payload = case when quorum > 1 and $3 <> 'approved' then edited_payload else $9 end,
            decided_by_key = $10, asks_changes = $11, skips = $12
        where organization_id = $1
          and id = $2
          and state = 'pending'
          and (expires_at is null or expires_at > $6)
        "#,
        org.uuid(),
        id.uuid(),
        state.as_str(),
        user,
        decision.by_name,
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
            reason = null, edited_payload = case when quorum > 1 then edited_payload end, decided_by_key = null,
            asks_changes = false, skips = false
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
