//! `/api/v1/approvals`.

use agentflow::{
    access::Role,
    approvals::{
        Amount, Approval, ApprovalFilter, ApprovalKind, ApprovalState, Decision, Details, Risk, Verdict, service,
    },
    engine::state::StepId,
    kernel::{ApprovalId, Cursor, Error, RunId, Timestamp},
};
use axum::{Json, extract::Path};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    input::{Body, List, Query, id, limit},
    key::Caller,
    problem::Answer,
    runs::Nothing,
};

/// An approval.
#[derive(Debug, Serialize)]
pub struct WireApproval {
    id: ApprovalId,
    kind: ApprovalKind,
    state: ApprovalState,
    title: String,
    message: String,
    payload: Value,
    impact: String,
    reversible: bool,
    reversible_until: Option<Timestamp>,
    amount_micros: Option<i64>,
    currency: Option<String>,
    why: String,
    confidence: Option<f64>,
    takes_changes: bool,
    types_amount: bool,
    run_id: RunId,
    run_title: String,
    workflow_name: String,
    workflow_version: i32,
    step_id: StepId,
    cost_so_far_micros: i64,
    requested_by: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    on_expiry: String,
    escalates_to: Option<Role>,
    escalated_at: Option<Timestamp>,
    decider_role: Option<Role>,
    people: Vec<String>,
    deciders: Vec<String>,
    not_own: bool,
    quorum: u32,
    votes: Vec<WireVote>,
    voted: bool,
    assigned_to: Option<String>,
    may_decide: bool,
    payload_sha256: String,
    edits: Value,
    decision: Option<WireDecision>,
}

/// A yes of one of several.
#[derive(Debug, Serialize)]
pub struct WireVote {
    by: String,
    at: Timestamp,
}

/// A decision that was made.
#[derive(Debug, Serialize)]
pub struct WireDecision {
    by: String,
    at: Timestamp,
    effective_at: Timestamp,
    reason: Option<String>,
    edited_payload: Option<Value>,
    skips: bool,
}

impl From<Decision> for WireDecision {
    fn from(decision: Decision) -> Self {
        Self {
            by: decision.by_name,
            at: decision.at,
            effective_at: decision.effective_at,
            reason: decision.reason,
            edited_payload: decision.edited_payload,
            skips: decision.skips,
        }
    }
}

impl From<Approval> for WireApproval {
    fn from(approval: Approval) -> Self {
        let Details { amount, why, confidence, reversible_until, takes_changes } = approval.details;
        let rules = approval.rules;
        Self {
            id: approval.id,
            kind: approval.kind,
            state: approval.state,
            title: approval.title,
            message: approval.message,
            payload: approval.payload,
            impact: approval.impact,
            reversible: approval.reversible,
            reversible_until,
            amount_micros: amount.as_ref().map(Amount::micros),
            currency: amount.map(|amount| amount.currency().to_owned()),
            why,
            confidence,
            takes_changes,
            types_amount: approval.types_amount,
            run_id: approval.run_id,
            run_title: approval.run_title,
            workflow_name: approval.workflow_name,
            workflow_version: approval.workflow_version,
            step_id: approval.step_id,
            cost_so_far_micros: approval.cost_so_far.micros(),
            requested_by: approval.requested_by,
            created_at: approval.created_at,
            expires_at: approval.expires_at,
            on_expiry: approval.on_expiry,
            escalates_to: rules.escalates_to,
            escalated_at: rules.escalated_at,
            decider_role: approval.decider_role,
            people: rules.people,
            deciders: approval.deciders,
            not_own: rules.not_own,
            quorum: rules.quorum,
            votes: rules.votes.into_iter().map(|vote| WireVote { by: vote.by, at: vote.at }).collect(),
            voted: approval.voted,
            assigned_to: approval.hands.assigned_to,
            may_decide: approval.may_decide,
            payload_sha256: approval.payload_sha256,
            edits: approval.edits,
            decision: approval.decision.map(WireDecision::from),
        }
    }
}

/// Which approvals, and where in the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<Cursor>,
    /// `pending` (the default) or `decided`.
    state: Option<String>,
    kind: Option<ApprovalKind>,
    workflow: Option<String>,
    /// `reversible`, `irreversible` or `above_limit`.
    risk: Option<Risk>,
    #[serde(default)]
    mine: bool,
}

/// `GET /api/v1/approvals`
pub async fn list(caller: Caller, Query(query): Query<ListQuery>) -> Answer<Json<List<WireApproval>>> {
    let decided = match query.state.as_deref() {
        None | Some("pending") => false,
        Some("decided") => true,
        Some(_) => return Err(Error::invalid("state", "Ask for `pending` or `decided`.").into()),
    };
    let workflow = match query.workflow {
        Some(text) => {
            Some(text.parse().map_err(|_| Error::invalid("workflow", "This is no id of a workflow, such as wf_…."))?)
        }
        None => None,
    };
    let filter = ApprovalFilter {
        decided,
        kind: query.kind,
        workflow,
        risk: query.risk,
        mine: query.mine,
        ..ApprovalFilter::default()
    };
    let page = service::list(&caller.cx.grant()?, &filter, query.cursor.as_ref(), limit(query.limit)?).await?;
    Ok(Json(List::of(page)))
}

/// `GET /api/v1/approvals/{id}`
pub async fn find(caller: Caller, Path(approval): Path<String>) -> Answer<Json<WireApproval>> {
    Ok(Json(service::find(&caller.cx.grant()?, id(&approval, "approval")?).await?.into()))
}

/// What is decided: `approve` (with a `payload`, if it was edited, or the `payload_sha256` of the one that was looked at, and
/// the `amount` as text, where it has to be typed),
/// `reject` with a `reason`, `request_changes` or `answer` with a `text`. Of a failed step: `approve` tries it again,
/// `skip` goes on with an `output` of one's own, `reject` lets it fail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideBody {
    decision: Word,
    payload: Option<Value>,
    payload_sha256: Option<String>,
    amount: Option<String>,
    output: Option<Value>,
    reason: Option<String>,
    text: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
    Reject,
    RequestChanges,
    Skip,
    Answer,
}

impl DecideBody {
    fn verdict(self) -> Result<Verdict, Error> {
        let misplaced = |field: &str| Error::invalid(field, format!("{field} does not go with this decision."));
        let approves = matches!(self.decision, Word::Approve);
        if !approves && self.payload.is_some() {
            return Err(misplaced("payload"));
        }
        if !approves && self.payload_sha256.is_some() {
            return Err(misplaced("payload_sha256"));
        }
        if !approves && self.amount.is_some() {
            return Err(misplaced("amount"));
        }
        if !matches!(self.decision, Word::Skip) && self.output.is_some() {
            return Err(misplaced("output"));
        }
        match (self.decision, self.reason, self.text) {
            (Word::Approve, None, None) => Ok(Verdict::Approve { payload: self.payload, amount: self.amount }),
            (Word::Reject, reason, None) => Ok(Verdict::Reject { reason: reason.unwrap_or_default() }),
            (Word::RequestChanges, None, text) => Ok(Verdict::RequestChanges { text: text.unwrap_or_default() }),
            (Word::Skip, None, None) => Ok(Verdict::Skip { output: self.output.unwrap_or_default() }),
            (Word::Answer, None, text) => Ok(Verdict::Answer { text: text.unwrap_or_default() }),
            (Word::Approve | Word::RequestChanges | Word::Skip | Word::Answer, Some(_), _) => Err(misplaced("reason")),
            _ => Err(misplaced("text")),
        }
    }
}

/// `POST /api/v1/approvals/{id}/decide`
pub async fn decide(
    caller: Caller,
    Path(approval): Path<String>,
    Body(body): Body<DecideBody>,
) -> Answer<Json<WireApproval>> {
    let approval = id(&approval, "approval")?;
    let hash = body.payload_sha256.clone();
    let verdict = body.verdict()?;
    Ok(Json(service::decide_on(&caller.cx.grant()?, approval, &verdict, hash.as_deref()).await?.into()))
}

/// `POST /api/v1/approvals/{id}/undo`
pub async fn undo(
    caller: Caller,
    Path(approval): Path<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<WireApproval>> {
    Ok(Json(service::undo(&caller.cx.grant()?, id(&approval, "approval")?).await?.into()))
}
