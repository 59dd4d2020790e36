//! The forms that decide, and the one that takes a decision back. Each works as a plain form without JavaScript.

use std::time::Duration;

use agentflow::{
    approvals::{Amount, Approval, ApprovalKind, ApprovalState, Shown},
    kernel::{ApprovalId, Kind, Timestamp},
};
use leptos::{prelude::*, server_fn::ServerFn, web_sys::MouseEvent};
use wasm_bindgen::JsCast;

use super::{
    api::{Answer, Approve, Reject, RequestChanges, SkipStep, UndoDecision},
    card::{Desk, Sending},
};
use crate::{
    error::ApiError,
    kit::{CancelDialog, Choice, Dialog, Field, Form, FormAction, Look, RadioGroup, Submit, TextArea, form::Replay},
};

/// The usual reasons to let a failed step fail.
const FAILURE_REASONS: [&str; 4] =
    ["Not needed any more", "Cannot be mended", "Done by hand", "Needs more information"];
/// The usual reasons for a no.
const REASONS: [&str; 4] = ["Not needed", "Details are wrong", "Too risky", "Needs more information"];

/// Tells the card's owner what an action makes of the approval: at once what it is going to be, if that is to be seen,
/// then what came of it; after a refusal because somebody was first, what it is now.
pub(super) fn report(action: FormAction<Shown>, id: ApprovalId, desk: &Desk, becomes: Option<ApprovalState>) {
    let (org, on_change, on_send) = (desk.org.clone(), desk.on_change, desk.on_send);
    if let (Some(on_send), Some(becomes)) = (on_send, becomes) {
        Effect::new(move |_| {
            if action.pending().get() {
                on_send.run((id, Sending::Going(becomes)));
            }
        });
    }
    Effect::new(move |_| match action.value().get() {
        Some(Ok(shown)) => on_change.run((shown,)),
        Some(Err(ApiError(error))) => {
            let moved_on = error.kind == Kind::Conflict;
            if let Some(on_send) = on_send {
                on_send.run((id, Sending::Refused(error.message)));
            }
            if moved_on {
                let org = org.clone();
                leptos::task::spawn_local(async move {
                    if let Ok(shown) = super::api::approval(org, id).await {
                        on_change.run((shown,));
                    }
                });
            }
        }
        None => {}
    });
}

/// Whether this form was sent without JavaScript and refused: what it is folded into is open then.
pub(super) fn was_refused<S: ServerFn>(form: &str) -> bool {
    use_context::<Replay>().is_some_and(|Replay(replay)| {
        replay.with_untracked(|replay| {
            replay.as_ref().is_some_and(|it| it.action == S::PATH && it.form == form && it.error.is_some())
        })
    })
}

/// The hidden entries that each form of an approval sends.
#[component]
pub(super) fn Which(org: String, id: ApprovalId) -> impl IntoView {
    view! {
        <input type="hidden" name="org" value=org/>
        <input type="hidden" name="id" value=id.to_string()/>
    }
}

/// Yes. What cannot be undone is confirmed first, and so is everything for people who want that.
#[component]
pub(super) fn ApproveForm(shown: Shown, desk: Desk) -> impl IntoView {
    let approval = shown.approval;
    let id = approval.id;
    let action = FormAction::new::<Approve>();
    report(action, id, &desk, Some(ApprovalState::Approved));
    let seen = approval.payload_sha256.clone();
    let which = move |org: String| {
        let seen = seen.clone();
        view! { <Which org id/><input type="hidden" name="seen" value=seen/> }
    };
    let failed = approval.kind == ApprovalKind::Failure;
    if failed || approval.reversible && shown.undo_window_s.is_some() {
        let (verb, busy) = if failed { ("Try again", "Trying again…") } else { ("Approve", "Approving…") };
        return view! {
            <div data-key="a">
                <Form action id=format!("approve-{id}")>
                    {which(desk.org)}
                    <Submit busy>{verb}</Submit>
                </Form>
            </div>
        }
        .into_any();
    }
    let dialog = format!("confirm-{id}");
    let words =
        if approval.reversible { "It takes effect at once." } else { "It takes effect at once and cannot be undone." };
    let open = {
        let dialog = dialog.clone();
        move |event: MouseEvent| {
            let found = document().get_element_by_id(&dialog);
            let found = found.and_then(|it| it.dyn_into::<leptos::web_sys::HtmlDialogElement>().ok());
            if let Some(dialog) = found
                && dialog.show_modal().is_ok()
            {
                event.prevent_default();
                event.stop_propagation();
            }
        }
    };
    let look = if approval.reversible { Look::Primary } else { Look::Danger };
    let (org, confirms, cancel_href) = (desk.org.clone(), desk.confirms, desk.plain_href.clone());
    let title = approval.title.clone();
    let amount = amount_to_type(&approval);
    let typed = amount.clone();
    let which_here = which.clone();
    let in_page = move || {
        let (org, cancel, title) = (org.clone(), cancel_href.clone(), title.clone());
        let amount = typed.clone();
        confirms.get().then(|| {
            let which = which_here(org);
            view! {
                <section class="approval-confirm" aria-label="Confirm">
                    <p><strong>{title}</strong> " " {words}</p>
                    <a class="btn" href=cancel>"Cancel"</a>
                    <Form action id=format!("approve-{id}")>
                        {which}
                        <AmountField amount/>
                        <Submit look busy="Approving…">"Approve"</Submit>
                    </Form>
                </section>
            }
        })
    };
    view! {
        <a class="btn btn-primary" data-key="a" aria-haspopup="dialog" href=desk.confirm_href on:click=open>
            "Approve…"
        </a>
        {in_page}
        <Dialog id=dialog title="Approve this?">
            <p><strong>{approval.title}</strong></p>
            <p>{words} " " {approval.impact}</p>
            <Form action id=format!("approve-now-{id}")>
                {which(desk.org)}
                <AmountField amount/>
                <div class="dialog-actions">
                    <CancelDialog/>
                    <Submit look busy="Approving…">"Approve"</Submit>
                </div>
            </Form>
        </Dialog>
    }
    .into_any()
}

/// The amount to be typed, where a yes needs it.
pub(super) fn amount_to_type(approval: &Approval) -> Option<Amount> {
    approval.details.amount.clone().filter(|_| approval.types_amount)
}

/// Where the amount is typed. Inside of its form, which knows what was typed before.
#[component]
pub(super) fn AmountField(amount: Option<Amount>) -> impl IntoView {
    let amount = amount?;
    let label = format!("Type the amount, {amount}, to confirm");
    Some(view! { <Field name="amount" label inputmode="decimal" class="short" autocomplete="off"/> }.into_any())
}

/// No, with a reason.
#[component]
pub(super) fn RejectForm(id: ApprovalId, desk: Desk, kind: ApprovalKind) -> impl IntoView {
    let action = FormAction::new::<Reject>();
    report(action, id, &desk, Some(ApprovalState::Rejected));
    let (verb, open) = match kind {
        ApprovalKind::Question => ("Decline", "Decline to answer…"),
        ApprovalKind::Failure => ("Let it fail", "Let it fail…"),
        ApprovalKind::Approval | ApprovalKind::Tool => ("Reject", "Reject…"),
    };
    let reasons = if kind == ApprovalKind::Failure { FAILURE_REASONS } else { REASONS };
    let choices = reasons.map(|reason| Choice::new(reason, reason)).to_vec();
    let form = format!("reject-{id}");
    let open_at_first = was_refused::<Reject>(&form);
    view! {
        <details class="approval-more" name="decide" open=open_at_first>
            <summary class="btn" data-key="r">{open}</summary>
            <Form action id=form>
                <Which org=desk.org id/>
                <RadioGroup name="quick" label="Reason" choices/>
                <TextArea name="reason" label="In your words" hint="The run's log and its people see it." rows=2 optional=true/>
                <Submit look=Look::Danger busy="Rejecting…">{verb}</Submit>
            </Form>
        </details>
    }
    .into_any()
}

/// Not like this: the proposal goes back with what should be different, and another one may come.
#[component]
pub(super) fn ChangesForm(id: ApprovalId, desk: Desk, kind: ApprovalKind) -> impl IntoView {
    let action = FormAction::new::<RequestChanges>();
    report(action, id, &desk, Some(ApprovalState::ChangesRequested));
    let form = format!("changes-{id}");
    let open_at_first = was_refused::<RequestChanges>(&form);
    let hint = match kind {
        ApprovalKind::Tool => "The agent gets this text instead of a result, and can propose something else.",
        ApprovalKind::Approval | ApprovalKind::Question | ApprovalKind::Failure => {
            "The workflow goes on with this text, and can ask again."
        }
    };
    view! {
        <details class="approval-more" name="decide" open=open_at_first>
            <summary class="btn" data-key="c">"Ask for changes…"</summary>
            <Form action id=form>
                <Which org=desk.org id/>
                <TextArea
                    name="text"
                    label="What should be different?"
                    hint
                    rows=3
                />
                <Submit busy="Sending back…">"Send back"</Submit>
            </Form>
        </details>
    }
    .into_any()
}

/// The run goes on without a failed step, with an output that is given here.
#[component]
pub(super) fn SkipForm(id: ApprovalId, desk: Desk) -> impl IntoView {
    let action = FormAction::new::<SkipStep>();
    report(action, id, &desk, Some(ApprovalState::Approved));
    let form = format!("skip-{id}");
    let open_at_first = was_refused::<SkipStep>(&form);
    view! {
        <details class="approval-more" name="decide" open=open_at_first>
            <summary class="btn" data-key="c">"Go on without it…"</summary>
            <Form action id=form>
                <Which org=desk.org id/>
                <TextArea
                    name="output" label="Output to go on with" rows=4 class="mono" optional=true
                    hint="JSON or a text: what later steps read as this step's output. Empty means null."
                />
                <Submit busy="Going on…">"Go on"</Submit>
            </Form>
        </details>
    }
    .into_any()
}

/// The answer to a question.
#[component]
pub(super) fn AnswerForm(id: ApprovalId, desk: Desk) -> impl IntoView {
    let action = FormAction::new::<Answer>();
    report(action, id, &desk, Some(ApprovalState::Approved));
    view! {
        <div data-key="a">
            <Form action id=format!("answer-{id}")>
                <Which org=desk.org id/>
                <TextArea name="text" label="Your answer" rows=3/>
                <Submit busy="Sending…">"Send answer"</Submit>
            </Form>
        </div>
    }
    .into_any()
}

/// Takes one's own yes back, while the others' is waited for.
#[component]
pub(super) fn TakeBack(id: ApprovalId, desk: Desk) -> impl IntoView {
    let action = FormAction::new::<UndoDecision>();
    report(action, id, &desk, None);
    view! {
        <div data-key="z">
            <Form action id=format!("back-{id}") class="inline">
                <Which org=desk.org id/>
                <span>"You approved this. It waits for the others."</span>
                <Submit look=Look::Default busy="Taking back…">"Take back"</Submit>
            </Form>
        </div>
    }
    .into_any()
}

/// Takes one's own decision back, for as long as the server holds it.
#[component]
pub(super) fn Undo(
    id: ApprovalId,
    /// Until when it can be taken back.
    until: Timestamp,
    /// The moment of the answer that says so.
    now: Timestamp,
    desk: Desk,
    /// Where on the page it stands: the same decision may be shown twice.
    place: &'static str,
) -> impl IntoView {
    let action = FormAction::new::<UndoDecision>();
    report(action, id, &desk, None);
    let milliseconds = until.signed_duration_since(now).num_milliseconds().max(0);
    let left = RwSignal::new((milliseconds + 999) / 1_000);
    Effect::new(move |_| {
        let tick = move || {
            left.try_update(|left| *left = (*left - 1).max(0));
        };
        if let Ok(interval) = set_interval_with_handle(tick, Duration::from_secs(1)) {
            on_cleanup(move || interval.clear());
        }
    });
    let ended = move || left.get() == 0;
    view! {
        <div class="approval-undo" hidden=ended data-key="z">
            <Form action id=format!("undo-{place}-{id}") class="inline">
                <Which org=desk.org id/>
                <Submit look=Look::Default busy="Undoing…">"Undo"</Submit>
                <span class="hint">{move || format!("{}\u{a0}s left", left.get())}</span>
            </Form>
        </div>
    }
    .into_any()
}
