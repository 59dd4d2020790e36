//! One approval, with everything that a person needs to decide it, in the order in which they ask for it.

use agentflow::{
    approvals::{Approval, ApprovalKind, ApprovalState, Decision, Details, Shown},
    kernel::{ApprovalId, Timestamp, text},
};
use leptos::prelude::*;
use serde_json::Value;

use super::{
    decide::{AnswerForm, ApproveForm, ChangesForm, RejectForm, SkipForm, TakeBack, Undo},
    edit::EditForm,
    hands::hands,
};
use crate::kit::{Callout, Json, Kv, KvList, Reversibility, Status, StatusBadge, Time, Tone};

/// What a decision is about to make of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sending {
    /// It is on its way, and will be this.
    Going(ApprovalState),
    /// It came to nothing, for this reason.
    Refused(String),
}

/// The actions of a card are those of this approval alone.
#[derive(Clone)]
pub(super) struct Desk {
    /// The organization's part of the address.
    pub org: String,
    /// Told what an approval became.
    pub on_change: Callback<(Shown,)>,
    /// Told what it is about to become, where that is shown somewhere else.
    pub on_send: Option<Callback<(ApprovalId, Sending)>>,
    /// The address of this approval with the confirmation in sight, for browsers without JavaScript.
    pub confirm_href: String,
    /// The address without it.
    pub plain_href: String,
    /// Whether the confirmation is in sight.
    pub confirms: Signal<bool>,
}

/// An approval and what can be done with it. `on_change` is told what it became after a decision or an undo.
#[component]
pub fn ApprovalCard(
    /// The organization's part of the address.
    #[prop(into)]
    org: String,
    /// The approval.
    #[prop(into)]
    shown: Signal<Shown>,
    /// Told what it became.
    on_change: Callback<(Shown,)>,
    /// The address where this card shows.
    #[prop(into)]
    href: String,
    /// Whether the address asks for the confirmation of what cannot be undone.
    #[prop(optional, into)]
    confirms: Signal<bool>,
    /// Told what it is about to become.
    #[prop(optional, into)]
    on_send: Option<Callback<(ApprovalId, Sending)>>,
) -> impl IntoView {
    let joint = if href.contains('?') { '&' } else { '?' };
    let desk =
        Desk { org, on_change, on_send, confirm_href: format!("{href}{joint}confirm=1"), plain_href: href, confirms };
    // What was typed stays while only the moment of the answer changes.
    let stage = Memo::new(move |_| {
        shown.with(|shown| {
            let at = shown.approval.decision.as_ref().map(|decision| (decision.at, decision.can_undo));
            let approval = &shown.approval;
            // Another payload is another question.
            let payload = approval.payload_sha256.clone();
            let hands = approval.hands.clone();
            (approval.id, approval.state, approval.may_decide, approval.voted, payload, at, hands)
        })
    });
    move || {
        // Read, not only tracked: a memo that nobody reads never runs, and never tells of a change.
        let _ = stage.get();
        body(shown, desk.clone())
    }
}

fn body(fresh: Signal<Shown>, desk: Desk) -> AnyView {
    let shown = fresh.get_untracked();
    let Approval { id, kind, reversible, title, message, payload, .. } = shown.approval.clone();
    let heading = format!("card-{id}");
    let is_question = kind == ApprovalKind::Question;
    let message =
        (!message.is_empty() && message != title).then(|| view! { <p class="approval-message">{message}</p> });
    let edits = edits(&shown.approval);
    // What was approved is then below it.
    let edited = shown.approval.decision.as_ref().is_some_and(is_edited);
    let payload = (!payload.is_null() && !is_question).then(|| {
        let what = match kind {
            _ if edited => "What was proposed",
            ApprovalKind::Tool => "The tool gets exactly this",
            _ => "Exactly this",
        };
        view! {
            <section class="approval-payload">
                <h3>{what}</h3>
                <Json value=payload label=what/>
            </section>
        }
    });
    let outcome = match shown.approval.state {
        ApprovalState::Pending => pending(&shown, desk.clone()),
        _ => ended(&shown, desk.clone()),
    };
    let facts = facts(shown.approval, &desk.org, !is_question, reversible);
    // Who has agreed so far changes while one looks and types.
    let notes = move || {
        let notes = fresh.with(|shown| shown.approval.notes.clone());
        notes.into_iter().map(|note| view! { <p class="hint">{note}</p> }).collect::<Vec<_>>()
    };
    view! {
        <article class="approval-card" aria-labelledby=heading.clone()>
            <header class="approval-head">
                <h2 id=heading.clone() tabindex="-1">{title}</h2>
                {message}
            </header>
            {payload}
            {edits}
            {facts}
            {notes}
            {outcome}
        </article>
    }
    .into_any()
}

/// What is to be known besides, in the order in which people ask for it.
fn facts(approval: Approval, org: &str, can_act: bool, reversible: bool) -> AnyView {
    let run = format!("/o/{org}/runs/{}", approval.run_id);
    let (deadline, others) = (deadline(&approval), others(&approval));
    let Details { amount, why, confidence, reversible_until, .. } = approval.details;
    let reversibility = (can_act && approval.kind != ApprovalKind::Failure).then(|| {
        view! { <Kv name="Can it be undone"><Reversibility reversible until=reversible_until/></Kv> }
    });
    let amount = amount.map(|amount| view! { <Kv name="Amount">{amount.to_string()}</Kv> });
    let why = (!why.is_empty()).then(|| view! { <Kv name="Why">{why}</Kv> });
    let confidence = confidence.map(|share| view! { <Kv name="Confidence">{sure(share)}</Kv> });
    let name = if approval.kind == ApprovalKind::Failure { "What you can do" } else { "Impact" };
    let impact = (!approval.impact.is_empty()).then(|| view! { <Kv name>{approval.impact}</Kv> });
    let version = format!(", version {}", approval.workflow_version);
    view! {
        <KvList>
            {reversibility}
            {impact}
            {amount}
            {confidence}
            {why}
            <Kv name="Cost of the run so far">{approval.cost_so_far.to_string()}</Kv>
            <Kv name="Who asks">{approval.requested_by}</Kv>
            <Kv name="For the run">
                <a href=run>{approval.run_title}</a>
                " · " {approval.workflow_name} {version}
            </Kv>
            <Kv name="Asked"><Time at=approval.created_at/></Kv>
            {deadline}
            {others}
        </KvList>
    }
    .into_any()
}

/// A share as a number and a word.
fn sure(share: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let percent = (share.clamp(0.0, 1.0) * 100.0 + 0.5) as u8;
    let word = match percent {
        90.. => "very likely",
        70..90 => "likely",
        40..70 => "possible",
        0..40 => "weak",
    };
    format!("{percent}\u{a0}%, {word}")
}

fn deadline(approval: &Approval) -> Option<AnyView> {
    if approval.state != ApprovalState::Pending {
        return None;
    }
    let then = format!(", then it {}", approval.then);
    let late = approval.overdue.then(|| view! { <strong>"Overdue "</strong> });
    Some(match approval.expires_at {
        Some(at) => view! {
            <Kv name="Deadline">{late} <Time at=at/> {then}</Kv>
        }
        .into_any(),
        None => view! { <Kv name="Deadline">"None: the run waits"</Kv> }.into_any(),
    })
}

fn others(approval: &Approval) -> Option<AnyView> {
    if approval.state != ApprovalState::Pending {
        return None;
    }
    let names = match approval.deciders.as_slice() {
        [] => "Nobody else".to_owned(),
        names => names.join(", "),
    };
    let name = if approval.may_decide { "Who else may decide" } else { "Who may decide" };
    Some(view! { <Kv name=name>{names}</Kv> }.into_any())
}

fn pending(shown: &Shown, desk: Desk) -> AnyView {
    let approval = &shown.approval;
    let others = hands(shown, &desk);
    if approval.voted {
        return view! { <div class="approval-actions"><TakeBack id=approval.id desk/>{others}</div> }.into_any();
    }
    if !approval.may_decide {
        let refusal = approval.refusal.clone();
        return view! { <Callout tone=Tone::Info><p>{refusal}</p></Callout> }.into_any();
    }
    if approval.kind == ApprovalKind::Question {
        return view! {
            <div class="approval-answer">
                <AnswerForm id=approval.id desk=desk.clone()/>
                <RejectForm id=approval.id desk kind=approval.kind/>
                {others}
            </div>
        }
        .into_any();
    }
    let (id, kind) = (approval.id, approval.kind);
    let edits = (!shown.fields.is_empty()).then(|| view! { <EditForm shown=shown.clone() desk=desk.clone()/> });
    let skip = (kind == ApprovalKind::Failure).then(|| view! { <SkipForm id desk=desk.clone()/> });
    let changes = approval.details.takes_changes.then(|| view! { <ChangesForm id kind desk=desk.clone()/> });
    view! {
        <div class="approval-actions">
            <ApproveForm shown=shown.clone() desk=desk.clone()/>
            <RejectForm id desk=desk.clone() kind/>
            {changes}
            {edits}
            {skip}
            {others}
        </div>
    }
    .into_any()
}

fn ended(shown: &Shown, desk: Desk) -> AnyView {
    let approval = &shown.approval;
    let state = Signal::stored(Status::from((
        approval.state,
        approval.kind,
        approval.decision.as_ref().is_some_and(|decision| decision.skips),
    )));
    let Some(decision) = approval.decision.clone() else {
        let why = match approval.state {
            ApprovalState::Withdrawn => "The run ended first, so there is nothing to decide any more.",
            _ => "The deadline passed before anybody decided.",
        };
        return view! { <div class="approval-outcome"><StatusBadge status=state/><p>{why}</p></div> }.into_any();
    };
    let output = match &decision.edited_payload {
        Some(output) if decision.skips => {
            Some(view! { <section class="approval-edits"><h3>"Output to go on with"</h3><Json value=output.clone() label="Output to go on with"/></section> }.into_any())
        }
        _ => None,
    };
    let reason = decision.reason.clone().map(|reason| {
        let name = match (approval.kind, approval.state) {
            (ApprovalKind::Question, _) => "Answer",
            (_, ApprovalState::ChangesRequested) => "What should be different",
            (ApprovalKind::Failure, _) => "Why it fails",
            _ => "Reason",
        };
        view! { <p class="approval-reason"><strong>{name}</strong> " " {reason}</p> }
    });
    let undo = decision
        .can_undo
        .then(|| view! { <Undo id=approval.id until=decision.effective_at now=shown.now desk place="card"/> });
    view! {
        <div class="approval-outcome">
            <p class="approval-verdict">
                <StatusBadge status=state/>
                {by(&decision.by_name, decision.at, is_edited(&decision))}
            </p>
            {reason}
            {output}
            {undo}
        </div>
    }
    .into_any()
}

/// "by Ana 4 s ago", and with edits if there were any.
pub(super) fn by(name: &str, at: Timestamp, edited: bool) -> impl IntoView + use<> {
    let edited = edited.then_some("with edits ");
    // Nobody, but a deadline: its name stands in the middle of a sentence here.
    let name = match name {
        "The deadline" => "the deadline".to_owned(),
        name => name.to_owned(),
    };
    view! { <span>{edited} "by " {name} " " <Time at/></span> }
}

/// Whether something else was approved than what was proposed.
const fn is_edited(decision: &Decision) -> bool {
    decision.edited_payload.is_some() && !decision.skips
}

/// What differs from the proposal, entry by entry.
fn edits(approval: &Approval) -> Option<AnyView> {
    // Before there is a decision the payload is the edited one, and what it was before is not told.
    let proposal = approval.decision.as_ref().map(|_| &approval.payload);
    differences("Edits", changes(proposal, &approval.edits))
}

/// Differences: of each the name, what was, where that is known, and what is.
pub(super) fn differences(heading: &'static str, changes: Vec<(String, Option<String>, String)>) -> Option<AnyView> {
    let rows: Vec<_> = changes
        .into_iter()
        .map(|(name, old, new)| {
            let old = old.map(|old| view! { <del><span class="visually-hidden">"was "</span>{old}</del> });
            view! {
                <li>
                    <span class="edit-name">{name}</span>
                    {old}
                    " "
                    <ins><span class="visually-hidden">"is now "</span>{new}</ins>
                </li>
            }
        })
        .collect();
    (!rows.is_empty())
        .then(|| view! { <section class="approval-edits"><h3>{heading}</h3><ul>{rows}</ul></section> }.into_any())
}

/// The entries of a JSON Patch: name, old value where the proposal is known, and new value as short texts.
fn changes(proposal: Option<&Value>, patch: &Value) -> Vec<(String, Option<String>, String)> {
    let short = |value: Option<&Value>| match value {
        None => "nothing".to_owned(),
        Some(Value::String(it)) => text::shortened(it, 300),
        Some(other) => text::shortened(&other.to_string(), 300),
    };
    let entry = |change: &Value| {
        let path = change["path"].as_str()?;
        let name = if path.is_empty() { "Value".to_owned() } else { path[1..].replace('/', " › ") };
        Some((name, proposal.map(|proposal| short(proposal.pointer(path))), short(change.get("value"))))
    };
    patch.as_array().into_iter().flatten().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_confidence_is_a_number_and_a_word() {
        for (share, words) in [
            (0.9, "90\u{a0}%, very likely"),
            (0.7, "70\u{a0}%, likely"),
            (0.4, "40\u{a0}%, possible"),
            (0.394, "39\u{a0}%, weak"),
        ] {
            assert_eq!(sure(share), words);
        }
    }

    #[test]
    fn edits_name_what_differs_and_nothing_else() {
        let patch = json!([
            { "op": "replace", "path": "/lines/0/sum", "value": 41 },
            { "op": "add", "path": "/cc", "value": "ben" },
            { "op": "remove", "path": "/note" },
        ]);
        let proposal = json!({ "lines": [{ "sum": 40 }], "note": "x" });
        let texts = |name: &str, old: &str, new: &str| (name.to_owned(), Some(old.to_owned()), new.to_owned());
        assert_eq!(
            changes(Some(&proposal), &patch),
            [texts("lines › 0 › sum", "40", "41"), texts("cc", "nothing", "ben"), texts("note", "x", "nothing")]
        );
        let whole = json!([{ "op": "replace", "path": "", "value": "b" }]);
        assert_eq!(changes(Some(&json!("a")), &whole), [texts("Value", "a", "b")]);
        assert_eq!(changes(None, &whole), [("Value".to_owned(), None, "b".to_owned())]);
    }
}
