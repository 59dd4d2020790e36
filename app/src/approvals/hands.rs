//! In whose hands an approval is: handing it on to a member, and putting it off for oneself. Both are plain forms.

use agentflow::{approvals::Shown, kernel::Timestamp};
use leptos::prelude::*;

use super::{
    api::{AssignApproval, SnoozeApproval, WakeApproval},
    card::Desk,
    decide::{Which, report, was_refused},
};
use crate::kit::{Choice, Field, Form, FormAction, Look, RadioGroup, Select, Submit, Time};

/// For how long something is put off, in hours.
const SPANS: [(&str, i64, &str); 5] =
    [("1", 1, "1 hour"), ("4", 4, "4 hours"), ("24", 24, "1 day"), ("72", 72, "3 days"), ("168", 168, "1 week")];

/// The ways to let somebody else, or oneself at another time, decide.
pub(super) fn hands(shown: &Shown, desk: &Desk) -> AnyView {
    let put_off = match shown.approval.hands.snoozed_until {
        Some(until) => wake(shown, until, desk.clone()),
        None => snooze(shown, desk.clone()),
    };
    let hand_on = (!shown.candidates.is_empty()).then(|| assign(shown, desk.clone()));
    view! {
        {hand_on}
        {put_off}
    }
    .into_any()
}

fn assign(shown: &Shown, desk: Desk) -> AnyView {
    let id = shown.approval.id;
    let action = FormAction::new::<AssignApproval>();
    report(action, id, &desk, None);
    let form = format!("assign-{id}");
    let open_at_first = was_refused::<AssignApproval>(&form);
    let choices = shown.candidates.iter().map(|(id, name)| Choice::new(id.to_string(), name.clone())).collect();
    view! {
        <details class="approval-more" name="decide" open=open_at_first>
            <summary class="btn">"Hand on…"</summary>
            <Form action id=form>
                <Which org=desk.org id/>
                <Select
                    name="to" label="Who should decide this?" choices optional=true
                    hint="Those who may. The run's log says so, and they are told. “None” gives it back to all who may decide it."
                />
                <Submit busy="Handing on…">"Hand on"</Submit>
            </Form>
        </details>
    }
    .into_any()
}

fn snooze(shown: &Shown, desk: Desk) -> AnyView {
    let approval = &shown.approval;
    let id = approval.id;
    let action = FormAction::new::<SnoozeApproval>();
    report(action, id, &desk, None);
    let form = format!("snooze-{id}");
    let open_at_first = was_refused::<SnoozeApproval>(&form);
    // None that the deadline comes before.
    let left = approval.expires_at.map(|at| at.signed_duration_since(shown.now).num_hours());
    let fitting = SPANS.into_iter().filter(|(_, hours, _)| left.is_none_or(|left| *hours <= left));
    let choices: Vec<_> = fitting.map(|(value, _, words)| Choice::new(value, words)).collect();
    let spans = (!choices.is_empty()).then(|| view! { <RadioGroup name="hours" label="For how long" choices/> });
    let hint = approval.expires_at.map(|at| format!("Before the deadline: {}.", crate::kit::time::in_full(at)));
    view! {
        <details class="approval-more" name="decide" open=open_at_first>
            <summary class="btn" data-key="h">"Put off…"</summary>
            <Form action id=form>
                <Which org=desk.org id/>
                {spans}
                <Field name="until" label="Or until (UTC)" kind="datetime-local" class="short" optional=true hint=hint.unwrap_or_default()/>
                <Submit busy="Putting off…">"Put off"</Submit>
            </Form>
        </details>
    }
    .into_any()
}

fn wake(shown: &Shown, until: Timestamp, desk: Desk) -> AnyView {
    let id = shown.approval.id;
    let action = FormAction::new::<WakeApproval>();
    report(action, id, &desk, None);
    view! {
        <Form action id=format!("wake-{id}") class="inline">
            <Which org=desk.org id/>
            <span>"You have put this off until " <Time at=until absolute=true/> "."</span>
            <Submit look=Look::Default busy="Bringing back…">"Bring back now"</Submit>
        </Form>
    }
    .into_any()
}
