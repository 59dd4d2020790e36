//! The approval inbox: what waits for a person, what was decided a moment ago, and the card of the one that is looked at.

pub mod api;
pub mod bulk;
pub mod card;
mod decide;
mod edit;
mod filters;
mod hands;
mod keys;
mod list;
mod place;
mod state;

use agentflow::approvals::{Approval, ApprovalFilter, ApprovalState, Shown};
use agentflow::kernel::{ApprovalId, text};
use leptos::{html, prelude::*};
use leptos_router::{
    NavigateOptions,
    hooks::{use_navigate, use_query_map},
};

use self::{
    api::InboxPage,
    card::{ApprovalCard, Sending},
    filters::{Filters, empty},
    list::{DecidedRows, MorePages, PendingRows},
    place::{Place, View},
    state::State,
};
use crate::{
    frame::{single_keys, use_org},
    kit::{Announcer, Glyph, Icon, PageFailure, PageHeader, Skeleton, Tab, Tabs, Title},
    live::{Topic, use_live},
    refresh,
    wire::loading,
};

/// The page of the inbox. What it shows stands in its address.
#[component]
pub fn ApprovalsPage() -> impl IntoView {
    let org = use_org();
    let slug = org.clone();
    let query = use_query_map();
    let place = Memo::new(move |_| query.with(Place::read));
    let filter = Memo::new(move |_| place.with(|place| place.filter.clone()));
    let page = loading(
        move || filter.get(),
        move |filter| {
            let selected = place.with_untracked(|place| place.selected);
            api::load_inbox(slug.clone(), filter, selected)
        },
    );
    view! {
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match page.await {
                        Ok(page) => view! { <InboxBody page org place/> }.into_any(),
                        Err(error) => view! { <PageFailure error=error.0/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}

#[component]
fn InboxBody(page: InboxPage, org: String, place: Memo<Place>) -> impl IntoView {
    let InboxPage { inbox, selected: first_shown, workflows, agents } = page;
    let state = State::new(inbox, first_shown);
    let announcer = use_context::<Announcer>();
    let view = place.with_untracked(Place::view);
    let first = Memo::new(move |_| {
        let rows = if view == View::Decided { state.decided } else { state.rows };
        rows.with(|rows| rows.first().map(|row| row.id))
    });
    // Without a choice in the address the first one shows beside the list; on a phone the list alone does.
    let selected = Memo::new(move |_| place.with(|place| place.selected).or_else(|| first.get()));
    keep_fresh(state, org.clone(), place, selected, announcer);
    let region = NodeRef::<html::Div>::new();
    let by_key = StoredValue::new(false);
    let on_change = {
        let (org, navigate) = (org.clone(), use_navigate());
        Callback::new(move |(shown,): (Shown,)| {
            let approval = shown.approval.clone();
            state.change(shown);
            if let Some(announcer) = announcer {
                announcer.say(said(&approval));
            }
            let is_done = approval.state != ApprovalState::Pending || approval.hands.snoozed_until.is_some();
            match by_key.get_value().then(|| state.after(approval.id)).flatten() {
                Some(next) if is_done => {
                    let href = place.with_untracked(|place| place.select(next)).href(&org);
                    navigate(&href, NavigateOptions { replace: true, scroll: false, ..Default::default() });
                    keys::focus_soon(format!("row-{next}"));
                }
                _ => keys::focus_soon(format!("card-{}", approval.id)),
            }
        })
    };
    let title = Signal::derive(move || match state.waiting.get() {
        0 => "Approvals".to_owned(),
        count => format!("Approvals ({count})"),
    });
    let on_key = keys::handler(region, by_key, single_keys());
    let is_filtered = place.with_untracked(Place::is_filtered);
    let (tabs_org, empty_org) = (org.clone(), org.clone());
    let tabs = Signal::derive(move || tabs(&tabs_org, place, state.waiting.get()));
    view! {
        <Title text=title/>
        <PageHeader title=Signal::stored("Approvals".to_owned())/>
        <Tabs label="Approvals" tabs/>
        <Filters place org=org.clone() workflows agents/>
        <div
            class="inbox"
            class:has-choice=move || place.with(|place| place.selected.is_some())
            node_ref=region
            on:keydown=on_key
        >
            <div class="inbox-lists">
                <NewsPill state/>
                {if view == View::Decided {
                    view! {
                        <DecidedRows org=org.clone() place state on_change heading="Decided"/>
                        <MorePages org=org.clone() place state/>
                    }
                    .into_any()
                } else {
                    view! {
                        <PendingRows org=org.clone() place state selected on_change/>
                        <MorePages org=org.clone() place state/>
                        {move || state.rows.with(Vec::is_empty).then(|| empty(is_filtered, &place.get_untracked(), &empty_org))}
                        <DecidedRows org=org.clone() place state on_change heading="Just decided"/>
                    }
                    .into_any()
                }}
                <p class="hint needs-js">
                    "Keys while the list has the focus: " <kbd>"j"</kbd> " " <kbd>"k"</kbd> " move, " <kbd>"a"</kbd>
                    " approve, " <kbd>"r"</kbd> " reject, " <kbd>"c"</kbd> " ask for changes, " <kbd>"e"</kbd> " edit, " <kbd>"h"</kbd>
                    " put off, " <kbd>"x"</kbd> " select, " <kbd>"z"</kbd> " undo. "
                    <a href=format!("/o/{org}/settings")>"Switch them off"</a>
                </p>
            </div>
            <div class="inbox-card">
                <a class="inbox-back" href={
                    let org = org.clone();
                    move || place.get().without_choice().href(&org)
                }>
                    <Icon glyph=Glyph::ArrowLeft/> "All approvals"
                </a>
                {move || selected.get().map(|id| view! { <Selected id org=org.clone() place state on_change/> })}
            </div>
        </div>
    }
    .into_any()
}

/// The card of the chosen approval. What is not there yet is fetched.
#[component]
fn Selected(
    id: ApprovalId,
    org: String,
    place: Memo<Place>,
    state: State,
    on_change: Callback<(Shown,)>,
) -> impl IntoView {
    let wanted = org.clone();
    Effect::new(move |_| {
        if state.shown_is(id) {
            return;
        }
        let org = wanted.clone();
        leptos::task::spawn_local(async move {
            // Whoever has gone on to another one meanwhile gets that one's own answer.
            let _ = state.fetched.try_set(Some((id, api::approval(org, id).await.map_err(|error| error.0))));
        });
    });
    Effect::new(move |_| {
        if let Some((of, Ok(shown))) = state.fetched.get()
            && of == id
        {
            state.shown.set(Some(shown));
        }
    });
    let href = place.with_untracked(|place| place.select(id)).href(&org);
    let confirms = Signal::derive(move || place.with(|place| place.confirm));
    let on_send = Callback::new(move |(id, sending): (ApprovalId, Sending)| state.sent.set(Some((id, sending))));
    let is_there = Memo::new(move |_| state.shown.with(|shown| shown.as_ref().is_some_and(|it| it.approval.id == id)));
    let failed = Memo::new(move |_| {
        state.fetched.with(|fetched| match fetched {
            Some((of, Err(error))) if *of == id => Some(error.clone()),
            _ => None,
        })
    });
    move || {
        let now = is_there.get().then(|| state.shown.get_untracked()).flatten();
        match (now, failed.get()) {
            (Some(shown), _) => {
                let last = StoredValue::new(shown);
                let shown = Signal::derive(move || {
                    if let Some(fresh) = state.shown.get().filter(|fresh| fresh.approval.id == id) {
                        last.set_value(fresh);
                    }
                    last.get_value()
                });
                view! { <ApprovalCard org=org.clone() shown on_change href=href.clone() confirms on_send/> }.into_any()
            }
            (None, Some(error)) => view! { <PageFailure error/> }.into_any(),
            (None, None) => view! { <Skeleton lines=6/> }.into_any(),
        }
    }
}

/// Reads the inbox again whenever something changed, and says what came.
fn keep_fresh(
    state: State,
    org: String,
    place: Memo<Place>,
    selected: Memo<Option<ApprovalId>>,
    announcer: Option<Announcer>,
) {
    let ticks = use_live().ticks(org.clone(), Topic::Approvals);
    refresh::on_tick(
        ticks,
        move || {
            let filter = place.with_untracked(|place| place.filter.clone());
            api::read_inbox(org.clone(), filter, selected.get_untracked())
        },
        move |(inbox, shown)| {
            let more = state.merge(inbox, shown, selected.get_untracked());
            if more > 0
                && let Some(announcer) = announcer
            {
                announcer.say(format!("{more} new {}", if more == 1 { "approval" } else { "approvals" }));
            }
        },
    );
}

fn said(approval: &Approval) -> String {
    match approval.state {
        ApprovalState::Pending if approval.hands.snoozed_until.is_some() => format!("Put off: {}", approval.title),
        ApprovalState::Pending => format!("Waits: {}", approval.title),
        state => format!("{}: {}", crate::kit::Status::from(state).word, approval.title),
    }
}

fn tabs(org: &str, place: Memo<Place>, waiting: i64) -> Vec<Tab> {
    let here = place.with(Place::view);
    let tab = |name: &'static str, view: View| {
        let href = place.with(|place| place.in_view(view)).href(org);
        Tab::new(name, href, view == here)
    };
    let waits = tab("Waiting", View::Waiting).with_count(waiting.unsigned_abs());
    vec![waits, tab("Put off", View::Snoozed), tab("Decided", View::Decided)]
}

/// "2 new · Show".
#[component]
fn NewsPill(state: State) -> impl IntoView {
    move || {
        let count = state.news.with(Vec::len);
        (count > 0).then(|| {
            view! {
                <p class="news">
                    <button type="button" class="btn btn-small" on:click=move |_| state.show_news()>
                        {format!("{} new · Show", text::grouped(count as u64))}
                    </button>
                </p>
            }
        })
    }
}

/// The filter as an address says it, for other features that link here.
#[must_use]
pub fn inbox_href(org: &str, filter: &ApprovalFilter) -> String {
    Place { filter: filter.clone(), ..Place::default() }.href(org)
}
