//! Use cases of approvals: look at one, decide it, take a decision back.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::Value;

pub use super::lists::{inbox, list, look, pending_count, rows};
use super::{
    Approval, ApprovalKind, ApprovalState, Shown, Verdict,
    edit::{check_edit, schema_of},
    fields::{entered, fields},
    store::{self, NewDecision, Viewer},
    votes,
};
use crate::{
    access::{Actor, Ctx, Grant, right},
    db::TenantTx,
    engine::{
        journal::Event,
        state::StepId,
        store::{self as engine, Signal},
    },
    kernel::{ApprovalId, Error, Kind, Result, RunId, Timestamp, text::NUL_REFUSED},
    runs::service::check_json,
};

/// The longest reason or answer in characters.
const TEXT_LENGTH: usize = 4_000;

/// One approval.
///
/// # Errors
/// `not_found`.
pub async fn find(grant: &Grant<right::ViewPayloads>, id: ApprovalId) -> Result<Approval> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    read(&mut tx, &viewer(grant), id).await
}

/// One approval, with what its card needs besides.
///
/// # Errors
/// `not_found`.
pub async fn show(grant: &Grant<right::ViewPayloads>, id: ApprovalId) -> Result<Shown> {
    let viewer = &viewer(grant);
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let approval = read(&mut tx, viewer, id).await?;
    let candidates = match viewer.user {
        Some(_) if approval.may_decide || approval.voted => store::hands::candidates(&mut tx, id).await?,
        _ => Vec::new(),
    };
    let fields = match approval.kind {
        ApprovalKind::Question => Vec::new(),
        _ if !approval.may_decide => Vec::new(),
        _ => fields(&approval.payload, schema_of(&mut tx, &approval).await?.as_ref()),
    };
    let undo_window_s = undo_window(&mut tx, viewer).await?;
    Ok(Shown { approval, candidates, fields, undo_window_s, now: store::now(&mut tx).await? })
}

/// The approval that a run's step waits for, or waited for.
///
/// # Errors
/// `not_found`.
pub async fn find_of_step(grant: &Grant<right::ViewPayloads>, run: RunId, step: &StepId) -> Result<Approval> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let id = store::of_step(&mut tx, run, step).await?.ok_or_else(unknown)?;
    read(&mut tx, &viewer(grant), id).await
}

/// Decides a pending approval. It counts at once; where what follows can be undone it acts when the person's undo window
/// ends, else immediately. Where several must say yes, a yes is a vote, and the last one decides. The same decision of the
/// same person again (a double click) answers the same.
///
/// # Errors
/// `not_found`; `forbidden`, saying who may (`approvals.own_run` for whoever started the run); `invalid`, with the fields;
/// `conflict`: `approvals.already_decided`, saying who was first, or `approvals.payload_changed`.
pub async fn decide(grant: &Grant<right::View>, id: ApprovalId, verdict: &Verdict) -> Result<Approval> {
    decide_on(grant, id, verdict, None).await
}

/// Decides as [`decide`], for a payload with this hash and no other.
///
/// # Errors
/// As [`decide`].
pub async fn decide_on(
    grant: &Grant<right::View>,
    id: ApprovalId,
    verdict: &Verdict,
    payload_sha256: Option<&str>,
) -> Result<Approval> {
    let viewer = &viewer(grant);
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let seen = read(&mut tx, viewer, id).await?;
    if seen.state != ApprovalState::Pending {
        return outcome(grant, seen, verdict);
    }
    if seen.voted {
        return votes::repeated(seen, verdict);
    }
    if !seen.may_decide || matches!(grant.actor(), Actor::Run { .. }) {
        return Err(not_a_decider(&seen));
    }
    let checked = check(&mut tx, &seen, verdict).await?;
    if checked.state == ApprovalState::Approved {
        votes::check_hash(&seen, verdict, payload_sha256)?;
    }
    let (run_state, now) = store::lock_run(&mut tx, seen.run_id).await?.ok_or_else(unknown)?;
    if run_state.is_end() {
        // Perhaps by the decision of somebody who was first.
        let now_there = read(&mut tx, viewer, id).await?;
        if now_there.state != ApprovalState::Pending {
            return outcome(grant, now_there, verdict);
        }
        return Err(Error::conflict("approvals.run_ended", format!("The run has ended meanwhile: it is {run_state}.")));
    }
    let mut by_name = grant.actor().name().to_owned();
    let mut events = Vec::new();
    if seen.rules.quorum > 1 || seen.rules.escalates_to.is_some() {
        // From here on nobody else votes or decides, nor does a deadline: what was read before the lock may have changed.
        let there = read(&mut tx, viewer, id).await?;
        if there.state != ApprovalState::Pending || there.expires_at.is_some_and(|at| at <= now) {
            return outcome(grant, there, verdict);
        }
        if there.voted {
            return votes::repeated(there, verdict);
        }
        if !there.may_decide {
            return Err(not_a_decider(&there));
        }
        if checked.state == ApprovalState::Approved && there.rules.quorum > 1 {
            if there.payload_sha256 != seen.payload_sha256 {
                return Err(votes::payload_changed());
            }
            let cast = votes::cast(&mut tx, viewer, &there, grant.actor().name(), checked.payload, now).await?;
            events = cast.events;
            match cast.decided_by {
                Some(names) => by_name = names,
                None => {
                    if !engine::tell(&mut tx, seen.run_id, &events).await? {
                        return Err(run_ended());
                    }
                    tx.commit().await?;
                    grant.deps().engine.committed(grant.org_id(), seen.run_id);
                    return find_again(grant, viewer, id).await;
                }
            }
        }
    }
    let effective_at = match viewer.user {
        // A program decides and acts: nobody sits in front of an undo button.
        Some(user) if seen.reversible => {
            let window = store::undo_window_s(&mut tx, user).await?.unwrap_or(0);
            now + TimeDelta::seconds(i64::from(window))
        }
        _ => now,
    };
    let proposal = seen.rules.proposal.as_ref().unwrap_or(&seen.payload);
    let approved = checked.payload.unwrap_or(&seen.payload);
    let edits = match checked.state {
        ApprovalState::Approved if !checked.skips => votes::edits(proposal, approved),
        _ => Value::Null,
    };
    let decision = NewDecision {
        state: checked.state,
        by: grant.actor(),
        by_name: &by_name,
        at: now,
        effective_at,
        reason: checked.text,
        edited_payload: Some(approved).filter(|_| checked.skips || !edits.is_null()),
        skips: checked.skips,
    };
    if !store::decide(&mut tx, id, &decision).await? {
        let now_there = read(&mut tx, viewer, id).await?;
        return outcome(grant, now_there, verdict);
    }
    events.push(Event::ApprovalDecided {
        approval: id,
        step: seen.step_id.clone(),
        decision: checked.state.as_str().to_owned(),
        by: by_name,
        effective_at,
        edits,
    });
    tell_run(grant, tx, &seen, effective_at, &events).await?;
    find_again(grant, viewer, id).await
}

/// Approves with what a form's fields say instead of the proposal. Each entry is read as the type that it has by its
/// schema, or there.
///
/// # Errors
/// As [`decide`]; what cannot be read is `invalid` at its field.
pub async fn approve_edited(
    grant: &Grant<right::View>,
    id: ApprovalId,
    entries: &BTreeMap<String, String>,
    amount: Option<String>,
) -> Result<Approval> {
    let (proposal, schema) = {
        let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
        let approval = read(&mut tx, &viewer(grant), id).await?;
        let schema = schema_of(&mut tx, &approval).await?;
        (approval.payload, schema)
    };
    let payload = entered(&proposal, schema.as_ref(), entries)?;
    decide(grant, id, &Verdict::Approve { payload: Some(payload), amount }).await
}

/// Takes one's own decision back while it does not act yet: the approval waits again. Where several must say yes and not
/// all have, takes one's own yes back.
///
/// # Errors
/// `not_found`; `conflict` when it was too late, or is somebody else's decision.
pub async fn undo(grant: &Grant<right::View>, id: ApprovalId) -> Result<Approval> {
    let viewer = &viewer(grant);
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let seen = read(&mut tx, viewer, id).await?;
    if seen.state == ApprovalState::Pending && seen.voted {
        return take_vote_back(grant, viewer, tx, seen).await;
    }
    let Some(decision) = &seen.decision else {
        return Err(Error::conflict(
            "approvals.not_decided",
            "This approval is not decided: there is nothing to undo.",
        ));
    };
    let Some(user) = viewer.user.filter(|user| decision.by == Some(*user)) else {
        return Err(Error::conflict(
            "approvals.not_yours",
            format!("{} decided this, so only they can undo it.", decision.by_name),
        ));
    };
    let (_, now) = store::lock_run(&mut tx, seen.run_id).await?.ok_or_else(unknown)?;
    if !store::reopen(&mut tx, id, user).await? {
        return Err(Error::conflict(
            "approvals.too_late",
            "It is too late to undo this: the decision has taken effect.",
        ));
    }
    if seen.voted {
        store::votes::remove(&mut tx, viewer, id).await?;
    }
    let event =
        Event::ApprovalReopened { approval: id, step: seen.step_id.clone(), by: grant.actor().name().to_owned() };
    tell_run(grant, tx, &seen, now, &[event]).await?;
    find_again(grant, viewer, id).await
}

/// Takes one's own yes back, as long as it has decided nothing.
async fn take_vote_back(cx: &Ctx, viewer: &Viewer, mut tx: TenantTx, seen: Approval) -> Result<Approval> {
    store::lock_run(&mut tx, seen.run_id).await?.ok_or_else(unknown)?;
    let there = read(&mut tx, viewer, seen.id).await?;
    if there.state != ApprovalState::Pending {
        let message = "It is too late to take your yes back: this was decided meanwhile.";
        return Err(Error::conflict("approvals.too_late", message));
    }
    store::votes::remove(&mut tx, viewer, seen.id).await?;
    if !engine::tell(&mut tx, seen.run_id, &votes::taken_back(&there, cx.actor().name())).await? {
        return Err(run_ended());
    }
    tx.commit().await?;
    cx.deps().engine.committed(cx.org_id(), seen.run_id);
    find_again(cx, viewer, seen.id).await
}

/// Writes the events and wakes the run, in the decision's own transaction.
async fn tell_run(cx: &Ctx, mut tx: TenantTx, approval: &Approval, at: Timestamp, events: &[Event]) -> Result<()> {
    let signal = Signal::Approval { id: approval.id, at };
    if engine::signal(&mut tx, approval.run_id, &signal, events).await?.is_none() {
        return Err(run_ended());
    }
    tx.commit().await?;
    cx.deps().engine.committed(cx.org_id(), approval.run_id);
    Ok(())
}

/// What to answer to somebody who comes when the approval is not pending any more.
pub(super) fn outcome(cx: &Ctx, approval: Approval, verdict: &Verdict) -> Result<Approval> {
    if is_repetition(cx, &approval, verdict) {
        return Ok(approval);
    }
    let error = match (&approval.decision, approval.state) {
        (Some(decision), ApprovalState::Approved | ApprovalState::Rejected | ApprovalState::ChangesRequested) => {
            let what = match approval.state {
                ApprovalState::ChangesRequested => "asked for changes to",
                state => state.as_str(),
            };
            let at = decision.at.format("%H:%M:%S");
            Error::conflict("approvals.already_decided", format!("{} {what} this at {at} UTC.", decision.by_name))
        }
        (_, ApprovalState::Withdrawn) => Error::conflict(
            "approvals.withdrawn",
            "The run was stopped or failed, so there is nothing to decide any more.",
        ),
        // Pending, and yet it could not be decided: the deadline has passed, and the run will notice any moment.
        _ => Error::conflict("approvals.expired", "The deadline has passed, so this cannot be decided any more."),
    };
    Err(error)
}

/// Whether this is the decision that was made already, by the same actor: a double click, or a repeated request.
fn is_repetition(cx: &Ctx, approval: &Approval, verdict: &Verdict) -> bool {
    let Some(decision) = &approval.decision else { return false };
    let same_actor = match cx.actor() {
        _ if approval.voted && matches!(verdict, Verdict::Approve { .. }) => true,
        Actor::User { id, .. } => decision.by == Some(*id),
        Actor::Key { id, .. } => decision.by_key == Some(*id),
        Actor::Run { .. } => false,
    };
    let same = match verdict {
        Verdict::Approve { payload, .. } => {
            let approved = decision.edited_payload.as_ref().unwrap_or(&approval.payload);
            let same_payload = match payload {
                Some(payload) => payload == approved,
                None => approval.voted || decision.edited_payload.is_none(),
            };
            approval.state == ApprovalState::Approved && !decision.skips && same_payload
        }
        Verdict::Skip { output } => {
            decision.skips && decision.edited_payload.as_ref().unwrap_or(&Value::Null) == output
        }
        Verdict::Reject { reason } => {
            approval.state == ApprovalState::Rejected && decision.reason.as_deref() == Some(reason.trim())
        }
        Verdict::RequestChanges { text } => {
            approval.state == ApprovalState::ChangesRequested && decision.reason.as_deref() == Some(text.trim())
        }
        Verdict::Answer { text } => {
            approval.state == ApprovalState::Approved && decision.reason.as_deref() == Some(text.trim())
        }
    };
    same_actor && same
}

struct Checked<'a> {
    state: ApprovalState,
    text: Option<&'a str>,
    payload: Option<&'a Value>,
    skips: bool,
}

async fn check<'a>(tx: &mut TenantTx, approval: &Approval, verdict: &'a Verdict) -> Result<Checked<'a>> {
    match (approval.kind, verdict) {
        (_, Verdict::Reject { reason }) => {
            let text = checked_text("reason", reason, "Say why you reject this.")?;
            Ok(Checked { state: ApprovalState::Rejected, text: Some(text), payload: None, skips: false })
        }
        (_, Verdict::RequestChanges { text }) => {
            if !approval.details.takes_changes {
                let message = "Nobody can work on this again: approve it, or reject it with a reason.";
                return Err(Error::invalid("decision", message));
            }
            let text = checked_text("text", text, "Say what should be different.")?;
            Ok(Checked { state: ApprovalState::ChangesRequested, text: Some(text), payload: None, skips: false })
        }
        (ApprovalKind::Question, Verdict::Answer { text }) => {
            let text = checked_text("text", text, "Enter an answer.")?;
            Ok(Checked { state: ApprovalState::Approved, text: Some(text), payload: None, skips: false })
        }
        (ApprovalKind::Question, Verdict::Approve { .. }) => {
            Err(Error::invalid("decision", "This is a question: answer it, or reject it with a reason."))
        }
        (ApprovalKind::Failure, Verdict::Skip { output }) => {
            check_json(output, "output")?;
            Ok(Checked { state: ApprovalState::Approved, text: None, payload: Some(output), skips: true })
        }
        (_, Verdict::Skip { .. }) => Err(Error::invalid("decision", "Only a step that failed can be gone on without.")),
        (_, Verdict::Answer { .. }) => {
            Err(Error::invalid("decision", "This is not a question: approve it, or reject it with a reason."))
        }
        (_, Verdict::Approve { payload, amount }) => {
            check_amount(approval, amount.as_deref().unwrap_or_default())?;
            let payload = payload.as_ref().filter(|payload| **payload != approval.payload);
            if let Some(payload) = payload {
                check_edit(tx, approval, payload).await?;
            }
            Ok(Checked { state: ApprovalState::Approved, text: None, payload, skips: false })
        }
    }
}

/// Above the organization's limit, what cannot be undone is confirmed by typing the amount.
fn check_amount(approval: &Approval, typed: &str) -> Result<()> {
    match &approval.details.amount {
        Some(amount) if approval.types_amount && !amount.is_typed_as(typed) => {
            Err(Error::invalid("amount", format!("Enter the amount, {amount}, to approve this.")))
        }
        _ => Ok(()),
    }
}

fn checked_text<'a>(field: &str, text: &'a str, missing: &str) -> Result<&'a str> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::invalid(field, missing));
    }
    if text.chars().count() > TEXT_LENGTH {
        return Err(Error::invalid(field, format!("Use at most {TEXT_LENGTH} characters.")));
    }
    if text.contains('\0') {
        return Err(Error::invalid(field, NUL_REFUSED));
    }
    Ok(text)
}

pub(super) fn not_a_decider(approval: &Approval) -> Error {
    match approval.refusal.as_str() {
        "" => Error::forbidden("You cannot decide this."),
        why if approval.rules.is_own => Error::new(Kind::Forbidden, "approvals.own_run", why),
        why => Error::forbidden(why),
    }
}

pub(super) fn run_ended() -> Error {
    Error::conflict("approvals.run_ended", "The run has ended meanwhile.")
}

pub(super) async fn undo_window(tx: &mut TenantTx, viewer: &Viewer) -> Result<Option<i32>> {
    match viewer.user {
        Some(user) => store::undo_window_s(tx, user).await,
        None => Ok(None),
    }
}

pub(super) fn viewer(cx: &Ctx) -> Viewer {
    Viewer { user: cx.actor().user(), actor: cx.actor().reference(), role: cx.role() }
}

pub(super) async fn read(tx: &mut TenantTx, viewer: &Viewer, id: ApprovalId) -> Result<Approval> {
    store::find(tx, viewer, id).await?.ok_or_else(unknown)
}

pub(super) async fn find_again(cx: &Ctx, viewer: &Viewer, id: ApprovalId) -> Result<Approval> {
    let mut tx = cx.deps().db.tenant(cx.org_id()).await?;
    read(&mut tx, viewer, id).await
}

pub(super) fn unknown() -> Error {
    Error::not_found("approval")
}
