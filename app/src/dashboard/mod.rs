//! The dashboard: how the organization's runs are doing, what waits, and for a new organization the way to its first
//! finished run.

pub mod api;
mod chart;
mod guide;
mod tiles;

use agentflow::{
    approvals::ApprovalRow,
    dashboard::{Dashboard, Range},
    kernel::text,
    runs::RunSummary,
};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use self::{api::DashboardPage, chart::Outcomes, guide::GuideCard, tiles::Tiles};
use crate::{
    budgets,
    frame::use_org,
    kit::{
        Card, DataTable, EmptyState, Glyph, NoValue, PageFailure, PageHeader, Skeleton, Status, StatusBadge, Tab, Tabs,
        Th, Time, Title,
        time::{for_machines, in_clock},
    },
    live::{Topic, use_live},
    wire::loading,
};

/// The page.
#[component]
pub fn DashboardPageView() -> impl IntoView {
    let org = use_org();
    let query = use_query_map();
    let range =
        Memo::new(move |_| query.with(|query| query.get("range").and_then(|it| Range::parse(&it))).unwrap_or_default());
    let fresh = calm(use_live().ticks(org.clone(), Topic::Runs));
    let slug = org.clone();
    let page = loading(move || (range.get(), fresh.get()), move |(range, _)| api::read_dashboard(slug.clone(), range));
    view! {
        <Title text=Signal::stored("Dashboard".to_owned())/>
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match page.await {
                        Ok(page) => body(page, &org),
                        Err(error) => view! { <PageFailure error=error.0/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}

/// Changes come in bursts while a run is under way: the figures are read again at most every two seconds.
fn calm(ticks: ReadSignal<u32>) -> ReadSignal<u32> {
    let (calm, set_calm) = signal(0);
    let waiting = StoredValue::new(false);
    Effect::new(move |_| {
        let now = ticks.get();
        if now > 0 && !waiting.get_value() {
            waiting.set_value(true);
            let catch_up = move || {
                let _ = waiting.try_set_value(false);
                let _ = set_calm.try_set(ticks.try_get_untracked().unwrap_or(now));
            };
            set_timeout(catch_up, std::time::Duration::from_secs(2));
        }
    });
    calm
}

fn body(page: DashboardPage, org: &str) -> AnyView {
    let DashboardPage { dashboard, guided, may_build } = page;
    let is_new = dashboard.guide.run.is_none();
    let ranges: Vec<Tab> = Range::ALL
        .into_iter()
        .map(|range| {
            let href = if range == Range::default() {
                format!("/o/{org}/")
            } else {
                format!("/o/{org}/?range={}", range.as_str())
            };
            Tab::new(range.words(), href, range == dashboard.range)
        })
        .collect();
    let guide = guided
        .then(|| view! { <GuideCard org=org.to_owned() guide=dashboard.guide.clone() approvals=dashboard.approvals/> });
    if is_new {
        let rest = (!guided).then(|| nothing_yet(org, may_build));
        return view! {
            <PageHeader title=Signal::stored("Dashboard".to_owned())/>
            {guide}
            {rest}
        }
        .into_any();
    }
    let near = budgets::near(org, dashboard.budgets.clone());
    let as_of = view! {
        <p class="muted dense">
            "As of " <time datetime=for_machines(dashboard.now)>{in_clock(dashboard.now)}</time> " UTC"
            <span class="needs-js">" · renewed as runs go on"</span>
        </p>
    };
    view! {
        <PageHeader title=Signal::stored("Dashboard".to_owned()) about=move || as_of>
            <Tabs label="Period" tabs=Signal::stored(ranges)/>
        </PageHeader>
        <div class="dashboard">
            {guide}
            {near}
            <Tiles org=org.to_owned() dashboard=dashboard.clone()/>
            <div class="dashboard-row">
                <Outcomes org=org.to_owned() dashboard=dashboard.clone()/>
                <Waiting org=org.to_owned() waiting=dashboard.waiting.clone() count=dashboard.approvals/>
            </div>
            <Recent org=org.to_owned() dashboard/>
        </div>
    }
    .into_any()
}

/// A new organization, seen by somebody who does not build, or who put the checklist away.
fn nothing_yet(org: &str, may_build: bool) -> AnyView {
    let next = if may_build {
        view! { <p><a class="btn btn-primary" href=format!("/o/{org}/workflows/new")>"Choose a template"</a></p> }
            .into_any()
    } else {
        view! { <p>"A member, an admin or an owner can start one."</p> }.into_any()
    };
    view! {
        <EmptyState title="No runs yet" glyph=Glyph::Runs>
            <p>"Here you see how your workflows are doing: how many ran, how they ended, how long they took and what they cost."</p>
            {next}
        </EmptyState>
    }
    .into_any()
}

/// The approvals that wait for the person who looks.
#[component]
fn Waiting(org: String, waiting: Vec<ApprovalRow>, count: i64) -> impl IntoView {
    let inbox = format!("/o/{org}/approvals");
    let more = count > waiting.len().try_into().unwrap_or(i64::MAX);
    if waiting.is_empty() {
        return view! {
            <Card title="Waiting for you">
                <p class="muted">"Nothing waits for your decision."</p>
            </Card>
        }
        .into_any();
    }
    let items: Vec<_> = waiting
        .into_iter()
        .map(|approval| {
            let href = format!("/o/{org}/approvals?sel={}", approval.id);
            let due = approval.expires_at.map(|at| view! { <span class="sub">"Expires " <Time at/></span> });
            view! {
                <li>
                    <StatusBadge status=Signal::stored(Status::from(approval.state))/>
                    <div>
                        <a href=href>{approval.title}</a>
                        <span class="sub">{approval.workflow_name} " · " <Time at=approval.created_at/></span>
                        {due}
                    </div>
                </li>
            }
        })
        .collect();
    let rest = more.then(|| view! { <p><a href=inbox.clone()>{format!("All {count}")}</a></p> });
    view! {
        <Card title="Waiting for you" aside=move || view! { <a href=inbox>"Approvals"</a> }>
            <ul class="waiting-list">{items}</ul>
            {rest}
        </Card>
    }
    .into_any()
}

/// The newest runs.
#[component]
fn Recent(org: String, dashboard: Dashboard) -> impl IntoView {
    let all = format!("/o/{org}/runs");
    let rows: Vec<_> = dashboard.recent.into_iter().map(|run| recent_row(&org, run)).collect();
    view! {
        <Card title="Recent runs" class="flush" aside=move || view! { <a href=all>"All runs"</a> }>
            <DataTable
                caption="Recent runs, the newest first"
                class="cards"
                head=ViewFnOnce::from(|| view! {
                    <Th>"Run"</Th>
                    <Th>"Status"</Th>
                    <Th>"Started"</Th>
                    <Th num=true>"Duration"</Th>
                    <Th num=true>"Cost"</Th>
                })
            >
                {rows}
            </DataTable>
        </Card>
    }
    .into_any()
}

fn recent_row(org: &str, run: RunSummary) -> AnyView {
    let href = format!("/o/{org}/runs/{}", run.id);
    let took = match (run.started_at, run.finished_at) {
        (Some(start), Some(end)) => text::duration((end - start).num_milliseconds()).into_any(),
        _ => view! { <NoValue/> }.into_any(),
    };
    view! {
        <tr>
            <td>
                <a href=href>{run.title}</a>
                <span class="sub">{run.workflow_name} {format!(" v{}", run.workflow_version)}</span>
            </td>
            <td data-label="Status"><StatusBadge status=Signal::stored(Status::from((run.state, run.waiting_on)))/></td>
            <td data-label="Started"><Time at=run.created_at/></td>
            <td class="num" data-label="Duration">{took}</td>
            <td class="num" data-label="Cost">{run.usage.cost.to_string()}</td>
        </tr>
    }
    .into_any()
}
