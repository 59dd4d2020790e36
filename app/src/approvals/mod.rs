//! The approval inbox: what waits for a person, what was decided a moment ago, and the card of the one that is looked at.

pub mod api;
pub mod card;
mod decide;
mod edit;
mod keys;
mod list;
mod place;

use agentflow::approvals::{Approval, ApprovalFilter, ApprovalKind, ApprovalState, Inbox, Shown};
use agentflow::kernel::{ApprovalId, Cursor, WorkflowId, text};
use leptos::{html, prelude::*};
use leptos_router::{
    NavigateOptions,
    components::Form as QueryForm,
    hooks::{use_navigate, use_query_map},
};

use self::{
    api::InboxPage,
    card::ApprovalCard,
    list::{DecidedRows, MorePages, PendingRows},
    place::Place,
};
use crate::{
    frame::use_org,
    kit::{Announcer, EmptyState, Glyph, Icon, PageFailure, PageHeader, Skeleton, Tab, Tabs, Title},
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

/// What the page holds while it is open. Rows stay where they are; news is offered, and put in when it is asked for.
#[derive(Clone, Copy)]
struct State {
    /// The rows of the list.
    rows: RwSignal<Vec<Approval>>,
    /// What came since and is not in the list yet.
    news: RwSignal<Vec<Approval>>,
    /// Decided lately.
    decided: RwSignal<Vec<Approval>>,
    /// One that the address names and no list has.
    other: RwSignal<Option<Approval>>,
    /// Where those come that the list does not show.
    next: RwSignal<Option<Cursor>>,
    /// What the clock of the last answer said, and the undo window.
    answer: RwSignal<(agentflow::kernel::Timestamp, Option<i32>)>,
}

impl State {
    fn new(page: &InboxPage) -> Self {
        Self {
            rows: RwSignal::new(page.inbox.pending.clone()),
            news: RwSignal::new(Vec::new()),
            decided: RwSignal::new(page.inbox.decided.clone()),
            other: RwSignal::new(page.selected.as_ref().map(|shown| shown.approval.clone())),
            next: RwSignal::new(page.inbox.next.clone()),
            answer: RwSignal::new((page.inbox.now, page.inbox.undo_window_s)),
        }
    }

    fn find(self, id: ApprovalId) -> Option<Approval> {
        let find = |rows: &Vec<Approval>| rows.iter().find(|row| row.id == id).cloned();
        self.rows
            .with(find)
            .or_else(|| self.other.get().filter(|other| other.id == id))
            .or_else(|| self.decided.with(find))
            .or_else(|| self.news.with(find))
    }

    /// How many wait, those included that are not in the list yet.
    fn waiting(self) -> usize {
        let waits = |row: &&Approval| row.state == ApprovalState::Pending;
        self.rows.with(|rows| rows.iter().filter(waits).count()) + self.news.with(Vec::len)
    }

    /// Takes a fresh answer in: rows change in place, new ones wait beside the list.
    fn merge(self, inbox: Inbox) -> usize {
        let Inbox { pending, next, decided, undo_window_s, now } = inbox;
        self.answer.set((now, undo_window_s));
        self.next.set(next);
        self.rows.update(|rows| {
            for row in rows.iter_mut() {
                if let Some(fresh) = pending.iter().chain(&decided).find(|fresh| fresh.id == row.id) {
                    row.clone_from(fresh);
                }
            }
        });
        self.decided.set(decided);
        let known = self.rows.with_untracked(|rows| rows.iter().map(|row| row.id).collect::<Vec<_>>());
        let news: Vec<_> = pending.into_iter().filter(|row| !known.contains(&row.id)).collect();
        let before = self.news.with_untracked(Vec::len);
        let more = news.len().saturating_sub(before);
        self.news.set(news);
        more
    }

    /// Puts what came since into the list, and takes out what does not wait any more.
    fn show_news(self) {
        let mut rows = self.rows.get_untracked();
        rows.retain(|row| row.state == ApprovalState::Pending);
        rows.extend(self.news.get_untracked());
        rows.sort_by_key(|row| (row.expires_at.is_none(), row.expires_at, row.created_at, row.id));
        self.news.set(Vec::new());
        self.rows.set(rows);
    }

    /// One approval became something else by this person's doing.
    fn change(self, shown: &Shown) {
        let fresh = &shown.approval;
        self.answer.set((shown.now, shown.undo_window_s));
        let replace = |rows: &mut Vec<Approval>| {
            rows.iter_mut().filter(|row| row.id == fresh.id).for_each(|row| row.clone_from(fresh));
        };
        self.rows.update(replace);
        if self.other.with_untracked(|other| other.as_ref().is_some_and(|other| other.id == fresh.id)) {
            self.other.set(Some(fresh.clone()));
        }
        self.decided.update(|decided| {
            decided.retain(|row| row.id != fresh.id);
            if fresh.decision.is_some() {
                decided.insert(0, fresh.clone());
            }
        });
        let listed = self.rows.with_untracked(|rows| rows.iter().any(|row| row.id == fresh.id));
        if fresh.state == ApprovalState::Pending && !listed {
            self.rows.update(|rows| rows.insert(0, fresh.clone()));
        }
    }
}

#[component]
fn InboxBody(page: InboxPage, org: String, place: Memo<Place>) -> impl IntoView {
    let state = State::new(&page);
    let announcer = use_context::<Announcer>();
    keep_fresh(state, org.clone(), place, announcer);
    let first = Memo::new(move |_| state.rows.with(|rows| rows.first().map(|row| row.id)));
    // Without a choice in the address the first one shows beside the list; on a phone the list alone does.
    let selected = Memo::new(move |_| place.with(|place| place.selected).or_else(|| first.get()));
    let region = NodeRef::<html::Div>::new();
    let by_key = StoredValue::new(false);
    let on_change = {
        let (org, navigate) = (org.clone(), use_navigate());
        Callback::new(move |(shown,): (Shown,)| {
            state.change(&shown);
            if let Some(announcer) = announcer {
                announcer.say(said(&shown.approval));
            }
            let next = by_key.get_value().then(|| next_of(state, shown.approval.id)).flatten();
            match next {
                Some(next) if shown.approval.state != ApprovalState::Pending => {
                    let href = place.with_untracked(|place| place.select(next)).href(&org);
                    navigate(&href, NavigateOptions { replace: true, scroll: false, ..Default::default() });
                    keys::focus_soon(format!("row-{next}"));
                }
                _ => keys::focus_soon(format!("card-{}", shown.approval.id)),
            }
        })
    };
    let title = Signal::derive(move || match state.waiting() {
        0 => "Approvals".to_owned(),
        count => format!("Approvals ({count})"),
    });
    let on_key = keys::handler(region, by_key);
    let (decided_view, is_filtered) =
        (place.with_untracked(|place| place.filter.decided), place.with_untracked(Place::is_filtered));
    let (tabs_org, empty_org) = (org.clone(), org.clone());
    let tabs = Signal::derive(move || tabs(&tabs_org, place, state.waiting()));
    view! {
        <Title text=title/>
        <PageHeader title=Signal::stored("Approvals".to_owned())/>
        <Tabs label="Approvals" tabs/>
        <Filters place org=org.clone() workflows=page.workflows/>
        <div
            class="inbox"
            class:has-choice=move || place.with(|place| place.selected.is_some())
            node_ref=region
            on:keydown=on_key
        >
            <div class="inbox-lists">
                <NewsPill state/>
                {if decided_view {
                    view! {
                        <DecidedRows rows=state.decided org=org.clone() place state on_change heading="Decided"/>
                        <MorePages org=org.clone() place state/>
                    }
                    .into_any()
                } else {
                    view! {
                        <PendingRows org=org.clone() place state selected on_change/>
                        <MorePages org=org.clone() place state/>
                        {move || state.rows.with(Vec::is_empty).then(|| empty(is_filtered, &place.get_untracked(), &empty_org))}
                        <DecidedRows rows=state.decided org=org.clone() place state on_change heading="Just decided"/>
                    }
                    .into_any()
                }}
                <p class="hint needs-js">
                    "Keys while the list has the focus: " <kbd>"j"</kbd> " " <kbd>"k"</kbd> " move, " <kbd>"a"</kbd>
                    " approve, " <kbd>"r"</kbd> " reject, " <kbd>"c"</kbd> " ask for changes, " <kbd>"e"</kbd> " edit, " <kbd>"z"</kbd> " undo."
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

/// The card of the chosen approval.
#[component]
fn Selected(
    id: ApprovalId,
    org: String,
    place: Memo<Place>,
    state: State,
    on_change: Callback<(Shown,)>,
) -> impl IntoView {
    // One that no list has: asked for once.
    let wanted = org.clone();
    Effect::new(move |_| {
        if state.find(id).is_none() {
            let org = wanted.clone();
            leptos::task::spawn_local(async move {
                if let Ok(shown) = api::approval(org, id).await {
                    state.other.set(Some(shown.approval));
                }
            });
        }
    });
    let href = place.with_untracked(|place| place.select(id)).href(&org);
    let confirms = Signal::derive(move || place.with(|place| place.confirm));
    let is_there = Memo::new(move |_| state.find(id).is_some());
    move || {
        let approval = is_there.get().then(|| untrack(|| state.find(id))).flatten()?;
        let last = StoredValue::new(approval);
        let shown = Signal::derive(move || {
            if let Some(fresh) = state.find(id) {
                last.set_value(fresh);
            }
            let (now, undo_window_s) = state.answer.get();
            Shown { approval: last.get_value(), undo_window_s, now }
        });
        Some(view! { <ApprovalCard org=org.clone() shown on_change href=href.clone() confirms/> })
    }
}

/// Reads the inbox again whenever something changed, and says what came.
fn keep_fresh(state: State, org: String, place: Memo<Place>, announcer: Option<Announcer>) {
    let ticks = use_live().ticks(org.clone(), Topic::Approvals);
    refresh::on_tick(
        ticks,
        move || api::read_inbox(org.clone(), place.with_untracked(|place| place.filter.clone())),
        move |inbox| {
            let more = state.merge(inbox);
            if more > 0
                && let Some(announcer) = announcer
            {
                announcer.say(format!("{more} new {}", if more == 1 { "approval" } else { "approvals" }));
            }
        },
    );
}

fn next_of(state: State, id: ApprovalId) -> Option<ApprovalId> {
    state.rows.with_untracked(|rows| {
        let here = rows.iter().position(|row| row.id == id)?;
        let after = rows[here + 1..].iter().chain(&rows[..here]);
        after.clone().find(|row| row.state == ApprovalState::Pending).map(|row| row.id)
    })
}

fn said(approval: &Approval) -> String {
    match approval.state {
        ApprovalState::Pending => format!("Waits again: {}", approval.title),
        state => format!("{}: {}", crate::kit::Status::from(state).word, approval.title),
    }
}

fn tabs(org: &str, place: Memo<Place>, waiting: usize) -> Vec<Tab> {
    let (waits, decided) = place.with(|place| (place.in_view(false), place.in_view(true)));
    let is_decided = place.with(|place| place.filter.decided);
    let first = Tab::new("Waiting", waits.href(org), !is_decided);
    let first = if is_decided { first } else { first.with_count(waiting as u64) };
    vec![first, Tab::new("Decided", decided.href(org), is_decided)]
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

#[component]
fn Filters(place: Memo<Place>, org: String, workflows: Vec<(WorkflowId, String)>) -> impl IntoView {
    let now = place.get_untracked();
    let kind = now.filter.kind;
    let kinds = [
        (ApprovalKind::Approval, "Approvals of workflows"),
        (ApprovalKind::Tool, "Tool calls of agents"),
        (ApprovalKind::Question, "Questions of agents"),
        (ApprovalKind::Failure, "Steps that failed"),
    ];
    let kinds = kinds.map(|(value, word)| {
        view! { <option value=value.as_str() selected=kind == Some(value)>{word}</option> }
    });
    let workflow = now.filter.workflow;
    let workflows: Vec<_> = workflows
        .into_iter()
        .map(|(id, name)| view! { <option value=id.to_string() selected=workflow == Some(id)>{name}</option> })
        .collect();
    let view_entry = now.filter.decided.then(|| view! { <input type="hidden" name="view" value="decided"/> });
    let clear =
        now.is_filtered().then(|| view! { <a class="btn btn-quiet" href=now.unfiltered().href(&org)>"Clear"</a> });
    let mine = if now.filter.decided { "Decided by me" } else { "That I may decide" };
    view! {
        <QueryForm action=format!("/o/{org}/approvals") method="GET" attr:class="filters" attr:role="search" attr:aria-label="Filter approvals">
            {view_entry}
            <label class="visually-hidden" for="filter-kind">"Kind"</label>
            <select class="input select" id="filter-kind" name="kind">
                <option value="">"All kinds"</option>
                {kinds}
            </select>
            <label class="visually-hidden" for="filter-workflow">"Workflow"</label>
            <select class="input select" id="filter-workflow" name="workflow">
                <option value="">"All workflows"</option>
                {workflows}
            </select>
            <span class="check">
                <input type="checkbox" id="filter-mine" name="mine" value="true" checked=now.filter.mine/>
                <label for="filter-mine">{mine}</label>
            </span>
            <button class="btn" type="submit"><Icon glyph=Glyph::Filter/> "Filter"</button>
            {clear}
        </QueryForm>
    }
    .into_any()
}

fn empty(is_filtered: bool, place: &Place, org: &str) -> AnyView {
    if is_filtered {
        let href = place.unfiltered().href(org);
        return view! {
            <EmptyState title="No approvals match these filters" glyph=Glyph::Filter>
                <p><a class="btn" href=href>"Show all"</a></p>
            </EmptyState>
        }
        .into_any();
    }
    let runs = format!("/o/{org}/runs");
    view! {
        <EmptyState title="Nothing waits for a decision" glyph=Glyph::Approvals>
            <p>"When a run reaches a step that needs a person, it shows here and in the navigation."</p>
            <p><a class="btn" href=runs>"See the runs"</a></p>
        </EmptyState>
    }
    .into_any()
}

/// The filter as an address says it, for other features that link here.
#[must_use]
pub fn inbox_href(org: &str, filter: &ApprovalFilter) -> String {
    Place { filter: filter.clone(), ..Place::default() }.href(org)
}
