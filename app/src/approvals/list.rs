//! The rows of the inbox.

use agentflow::{
    approvals::{Approval, ApprovalKind, ApprovalState, Shown},
    kernel::ApprovalId,
};
use leptos::prelude::*;

use super::{
    State,
    card::{Desk, by},
    decide::Undo,
    place::Place,
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
    view! {
        <ul class="inbox-rows" aria-label="Waiting">
            <For
                each=ids
                key=|id| *id
                children=move |id| {
                    let row = Memo::new(move |_| state.rows.with(|rows| rows.iter().find(|row| row.id == id).cloned()));
                    let org = org.clone();
                    view! {
                        <li class="inbox-row" class:is-selected=move || selected.get() == Some(id)>
                            {move || row.get().map(|row| pending_row(&row, &org, place, state, selected, on_change))}
                        </li>
                    }
                }
            />
        </ul>
    }
    .into_any()
}

fn pending_row(
    row: &Approval,
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
    let waits = row.state == ApprovalState::Pending;
    let undo = row.decision.as_ref().is_some_and(|decision| decision.can_undo);
    let outcome = (!waits).then(|| outcome(row));
    let undo =
        undo.then(|| view! { <Undo shown=shown_of(row, state) desk=desk_of(row, org, place, on_change) place="row"/> });
    let signs = waits.then(|| {
        let deadline = row.expires_at.map(|at| view! { <span>"Deadline " <Time at=at/></span> });
        // Of several who must agree, how many have: a browser gets it in words alone.
        let agreed = row.notes.iter().find(|note| note.contains(" approvals")).cloned();
        let agreed = agreed.map(|words| view! { <span>{words}</span> });
        let voted = row.voted.then(|| view! { <span class="tag">"You approved"</span> });
        view! {
            <span class="inbox-signs">
                {(!matches!(row.kind, ApprovalKind::Question | ApprovalKind::Failure)).then(|| view! { <Reversibility reversible=row.reversible until=row.details.reversible_until/> })}
                {(row.kind == ApprovalKind::Question).then(|| view! { <span class="tag">"Question"</span> })}
                {(row.kind == ApprovalKind::Failure).then(|| view! { <span class="tag">"Failed step"</span> })}
                {deadline}
                {agreed}
                {voted}
            </span>
        }
    });
    view! {
        <a class="inbox-title" id=format!("row-{id}") href=href aria-current=is_current data-noscroll>{row.title.clone()}</a>
        <span class="inbox-meta">{row.workflow_name.clone()} " · " {row.requested_by.clone()}</span>
        {signs}
        {outcome}
        {undo}
    }
    .into_any()
}

fn outcome(row: &Approval) -> AnyView {
    let status = Signal::stored(Status::from((row.state, row.kind, row.decision.as_ref())));
    view! { <span class="inbox-outcome"><StatusBadge status/> {row.decision.as_ref().map(by)}</span> }.into_any()
}

fn shown_of(row: &Approval, state: State) -> Shown {
    let (now, undo_window_s) = state.answer.get_untracked();
    Shown { approval: row.clone(), undo_window_s, now }
}

fn desk_of(row: &Approval, org: &str, place: Memo<Place>, on_change: Callback<(Shown,)>) -> Desk {
    let href = place.with_untracked(|place| place.select(row.id)).href(org);
    Desk {
        org: org.to_owned(),
        on_change,
        confirm_href: href.clone(),
        plain_href: href,
        confirms: Signal::stored(false),
    }
}

/// What was decided lately, one's own with the way back while there is one.
#[component]
pub(super) fn DecidedRows(
    rows: RwSignal<Vec<Approval>>,
    org: String,
    place: Memo<Place>,
    state: State,
    on_change: Callback<(Shown,)>,
    heading: &'static str,
) -> impl IntoView {
    let keys = move || {
        let key = |row: &Approval| (row.id, row.decision.as_ref().map(|it| (it.at, it.can_undo)));
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

fn decided_row(row: &Approval, org: &str, place: Memo<Place>, state: State, on_change: Callback<(Shown,)>) -> AnyView {
    let (id, to) = (row.id, org.to_owned());
    let href = move || place.get().select(id).href(&to);
    let status = Signal::stored(Status::from((row.state, row.kind, row.decision.as_ref())));
    let undo = row.decision.as_ref().is_some_and(|decision| decision.can_undo);
    let undo = undo
        .then(|| view! { <Undo shown=shown_of(row, state) desk=desk_of(row, org, place, on_change) place="decided"/> });
    view! {
        <li class="inbox-row">
            <a class="inbox-title" href=href data-noscroll>{row.title.clone()}</a>
            <span class="inbox-meta"><StatusText status/> " " {row.decision.as_ref().map(by)}</span>
            {undo}
        </li>
    }
    .into_any()
}
