//! The rows of the inbox.

use agentflow::{
    approvals::{ApprovalKind, ApprovalRow, ApprovalState, Shown},
    kernel::ApprovalId,
};
use leptos::prelude::*;

use super::{
    card::{Desk, Sending, by},
    decide::Undo,
    place::Place,
    state::State,
};
use crate::kit::{Reversibility, Status, StatusBadge, StatusText, Time};

/// What waits. A row that was decided while one looks stays where it is and says so.
#[component]
pub(super) fn PendingRows(
    org: String,
    place: Memo<Place>,
    state: State,
    selected: Memo<Option<ApprovalId>>,
    on_change: Callback<(Shown,)>,
) -> impl IntoView {
    let ids = move || state.rows.with(|rows| rows.iter().map(|row| row.id).collect::<Vec<_>>());
    let picks = Memo::new(move |_| state.rows.with(|rows| rows.iter().filter(|row| can_be_picked(row)).count() > 1));
    let bulk = format!("/o/{org}/approvals/bulk");
    view! {
        // Around no row: each box names the form that it belongs to.
        <form id="pick" class="inbox-together" method="get" action=bulk hidden=move || !picks.get()>
            <button class="btn btn-small" type="submit">"Decide selected together…"</button>
        </form>
        <ul class="inbox-rows" aria-label="Waiting">
            <For
                each=ids
                key=|id| *id
                children=move |id| {
                    let row = Memo::new(move |_| state.rows.with(|rows| rows.iter().find(|row| row.id == id).cloned()));
                    let sent = Memo::new(move |_| {
                        state.sent.with(|sent| sent.as_ref().filter(|(of, _)| *of == id).map(|(_, sending)| sending.clone()))
                    });
                    let org = org.clone();
                    view! {
                        <li class="inbox-row" class:is-selected=move || selected.get() == Some(id)>
                            {move || row.get().map(|row| pending_row(row, sent.get(), &org, place, state, selected, on_change))}
                        </li>
                    }
                }
            />
        </ul>
    }
    .into_any()
}

/// Whether it can be decided together with others.
fn can_be_picked(row: &ApprovalRow) -> bool {
    row.may_decide
        && row.reversible
        && !row.above_limit
        && matches!(row.kind, ApprovalKind::Approval | ApprovalKind::Tool)
}

fn pending_row(
    row: ApprovalRow,
    sent: Option<Sending>,
    org: &str,
    place: Memo<Place>,
    state: State,
    selected: Memo<Option<ApprovalId>>,
    on_change: Callback<(Shown,)>,
) -> AnyView {
    let id = row.id;
    let to = org.to_owned();
    let href = move || place.get().select(id).href(&to);
    let is_current = move || (selected.get() == Some(id)).then_some("true");
    // What was sent is in sight before its answer has come.
    let (going, refused) = match sent {
        Some(Sending::Going(becomes)) => (Some(becomes), None),
        Some(Sending::Refused(why)) => (None, Some(why)),
        None => (None, None),
    };
    let waits = row.state == ApprovalState::Pending && going.is_none();
    let pick = (waits && can_be_picked(&row)).then(|| {
        let label = format!("Select {}", row.title);
        view! { <input class="inbox-pick" type="checkbox" name="pick" value=id.to_string() form="pick" aria-label=label/> }
    });
    let outcome = match going {
        Some(becomes) => {
            let status = Signal::stored(Status::from((becomes, row.kind, false)));
            Some(view! { <span class="inbox-outcome"><StatusBadge status/> "sending…"</span> }.into_any())
        }
        None => (!waits).then(|| outcome(&row)),
    };
    let refused = refused.map(|why| view! { <span class="inbox-refused" role="alert">{why}</span> });
    let undo = undo(&row, org, place, state, on_change, "row");
    let signs = waits.then(|| signs(&row));
    view! {
        {pick}
        <a class="inbox-title" id=format!("row-{id}") href=href aria-current=is_current data-noscroll>{row.title}</a>
        <span class="inbox-meta">{row.workflow_name} " · " {row.requested_by}</span>
        {signs}
        {outcome}
        {refused}
        {undo}
    }
    .into_any()
}

/// What is to be seen of one that waits, at a glance.
fn signs(row: &ApprovalRow) -> AnyView {
    let kind = match row.kind {
        ApprovalKind::Question => view! { <span class="tag">"Question"</span> }.into_any(),
        ApprovalKind::Failure => view! { <span class="tag">"Failed step"</span> }.into_any(),
        ApprovalKind::Approval | ApprovalKind::Tool => {
            view! { <Reversibility reversible=row.reversible until=row.reversible_until/> }.into_any()
        }
    };
    let amount = row.amount.clone().map(|amount| view! { <span>{amount}</span> });
    let above = row.above_limit.then(|| view! { <span class="tag">"Above the limit"</span> });
    let late = row.overdue.then(|| view! { <span class="tag overdue">"Overdue"</span> });
    let deadline = row.expires_at.map(|at| view! { <span>"Deadline " <Time at=at/></span> });
    let agreed = row.agreed.clone().map(|words| view! { <span>{words}</span> });
    let voted = row.voted.then(|| view! { <span class="tag">"You approved"</span> });
    let assigned = match (&row.assigned_to, row.assigned_to_me) {
        (Some(_), true) => Some("Assigned to you".to_owned()),
        (Some(name), false) => Some(format!("Assigned to {name}")),
        (None, _) => None,
    };
    let assigned = assigned.map(|words| view! { <span class="tag">{words}</span> });
    let put_off = row.snoozed_until.map(|at| view! { <span>"Put off until " <Time at=at absolute=true/></span> });
    view! { <span class="inbox-signs">{kind} {amount} {above} {late} {deadline} {agreed} {voted} {assigned} {put_off}</span> }
        .into_any()
}

fn outcome(row: &ApprovalRow) -> AnyView {
    let skips = row.decision.as_ref().is_some_and(|decision| decision.skips);
    let status = Signal::stored(Status::from((row.state, row.kind, skips)));
    let by = row.decision.as_ref().map(|decision| by(&decision.by_name, decision.at, decision.edited));
    view! { <span class="inbox-outcome"><StatusBadge status/> {by}</span> }.into_any()
}

/// The way back, while there is one.
fn undo(
    row: &ApprovalRow,
    org: &str,
    place: Memo<Place>,
    state: State,
    on_change: Callback<(Shown,)>,
    where_it_stands: &'static str,
) -> Option<AnyView> {
    let decision = row.decision.as_ref().filter(|decision| decision.can_undo)?;
    let (id, until, now) = (row.id, decision.effective_at, state.now.get_untracked());
    let desk = desk_of(row, org, place, on_change);
    Some(view! { <Undo id until now desk place=where_it_stands/> }.into_any())
}

fn desk_of(row: &ApprovalRow, org: &str, place: Memo<Place>, on_change: Callback<(Shown,)>) -> Desk {
    let href = place.with_untracked(|place| place.select(row.id)).href(org);
    Desk {
        org: org.to_owned(),
        on_change,
        on_send: None,
        confirm_href: href.clone(),
        plain_href: href,
        confirms: Signal::stored(false),
    }
}

/// What was decided lately, one's own with the way back while there is one.
#[component]
pub(super) fn DecidedRows(
    org: String,
    place: Memo<Place>,
    state: State,
    on_change: Callback<(Shown,)>,
    heading: &'static str,
) -> impl IntoView {
    let rows = state.decided;
    let keys = move || {
        let key = |row: &ApprovalRow| (row.id, row.decision.as_ref().map(|it| (it.at, it.can_undo)));
        rows.with(|rows| rows.iter().map(key).collect::<Vec<_>>())
    };
    view! {
        <section class="inbox-decided" hidden=move || rows.with(Vec::is_empty)>
            <h2>{heading}</h2>
            <ul class="inbox-rows">
                <For
                    each=keys
                    key=|key| *key
                    children=move |(id, _)| {
                        let row = rows.with_untracked(|rows| rows.iter().find(|row| row.id == id).cloned());
                        row.map(|row| decided_row(&row, &org, place, state, on_change))
                    }
                />
            </ul>
        </section>
    }
    .into_any()
}

/// Links to the rest of a list that is longer than a page.
#[component]
pub(super) fn MorePages(org: String, place: Memo<Place>, state: State) -> impl IntoView {
    move || {
        let here = place.get();
        let first = here.filter.after.is_some().then(|| {
            let href = here.page(None).href(&org);
            view! { <a class="btn" href=href>"First page"</a> }
        });
        let next = state.next.get().map(|next| {
            let href = here.page(Some(next)).href(&org);
            view! { <a class="btn" href=href rel="next">"Next page"</a> }
        });
        (first.is_some() || next.is_some())
            .then(|| view! { <nav class="pager" aria-label="Pages">{first}{next}</nav> }.into_any())
    }
}

fn decided_row(
    row: &ApprovalRow,
    org: &str,
    place: Memo<Place>,
    state: State,
    on_change: Callback<(Shown,)>,
) -> AnyView {
    let (id, to) = (row.id, org.to_owned());
    let href = move || place.get().select(id).href(&to);
    let skips = row.decision.as_ref().is_some_and(|decision| decision.skips);
    let status = Signal::stored(Status::from((row.state, row.kind, skips)));
    let by = row.decision.as_ref().map(|decision| by(&decision.by_name, decision.at, decision.edited));
    let undo = undo(row, org, place, state, on_change, "decided");
    view! {
        <li class="inbox-row">
            <a class="inbox-title" href=href data-noscroll>{row.title.clone()}</a>
            <span class="inbox-meta"><StatusText status/> " " {by}</span>
            {undo}
        </li>
    }
    .into_any()
}
