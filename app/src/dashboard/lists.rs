//! What waits, what fails, what is spent, and what ran last.

use agentflow::{
    approvals::ApprovalRow,
    budgets::Budget,
    dashboard::Failing,
    kernel::{Money, text},
    runs::RunSummary,
};
use leptos::prelude::*;

use super::tiles::count;
use crate::kit::{Card, DataTable, NoValue, Status, StatusBadge, Th, Time, time::exactly};

/// The approvals that wait for the person who looks.
pub(super) fn waiting(org: &str, waiting: &[ApprovalRow], count: i64) -> AnyView {
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
        .iter()
        .map(|approval| {
            let href = format!("/o/{org}/approvals?sel={}", approval.id);
            let due = approval.expires_at.map(|at| view! { <span class="sub">"Expires " <Time at/></span> });
            view! {
                <li>
                    <a href=href>{approval.title.clone()}</a>
                    <span class="sub">{approval.workflow_name.clone()} " · " <Time at=approval.created_at/></span>
                    {due}
                </li>
            }
        })
        .collect();
    let rest =
        more.then(|| view! { <p><a href=format!("{inbox}?mine=true")>{format!("All {}", self::count(count))}</a></p> });
    view! {
        <Card title="Waiting for you" aside=move || view! { <a href=inbox>"Approvals"</a> }>
            <ul class="waiting-list">{items}</ul>
            {rest}
        </Card>
    }
    .into_any()
}

/// The workflows whose last runs failed.
pub(super) fn failing(org: &str, failing: &[Failing]) -> AnyView {
    if failing.is_empty() {
        return view! {
            <Card title="Failing now">
                <p class="muted">"No workflow fails: the last runs of each one succeeded, or go on."</p>
            </Card>
        }
        .into_any();
    }
    let items: Vec<_> = failing
        .iter()
        .map(|it| {
            let href =
                format!("/o/{org}/runs?state=failed&workflow={}&trigger=live&from={}", it.workflow, exactly(it.since));
            let words = format!(
                "{} failed",
                if it.runs == 1 { "1 run".to_owned() } else { format!("{} runs", count(it.runs)) }
            );
            let error = (!it.error.is_empty()).then(|| {
                view! { <span class="sub">"Last: " {text::shortened(&it.error, 200)}</span> }
            });
            view! {
                <li>
                    <a href=format!("/o/{org}/workflows/{}", it.workflow)>{it.name.clone()}</a>
                    <span class="sub"><a href=href>{words}</a> " since " <Time at=it.since/></span>
                    {error}
                </li>
            }
        })
        .collect();
    view! { <Card title="Failing now"><ul class="waiting-list">{items}</ul></Card> }.into_any()
}

/// What is spent of the budgets.
pub(super) fn budgets(org: &str, budgets: &[Budget]) -> AnyView {
    let all = format!("/o/{org}/settings/budgets");
    if budgets.is_empty() {
        return view! {
            <Card title="Cost against budget">
                <p class="muted">"No budget bounds what is spent. " <a href=all>"Set one"</a></p>
            </Card>
        }
        .into_any();
    }
    let items: Vec<_> = budgets
        .iter()
        .map(|budget| {
            let standing = budget.standing;
            let percent = standing.percent();
            let class = match percent {
                _ if budget.refused || percent >= 100 => "budget-bar is-spent",
                _ if budget.is_near() => "budget-bar is-near",
                _ => "budget-bar",
            };
            let left = Money((standing.limit.micros() - standing.spent.micros()).max(0));
            let resets = budget.resets_at.map(|at| view! { " · begins anew " <Time at/> });
            let held = budget.refused.then_some(" · calls that do not fit wait for a decision");
            view! {
                <li>
                    <span>{budget.title()}</span>
                    <span class="num">{format!("{} of {}, {percent}\u{a0}%", standing.spent, standing.limit)}</span>
                    <svg class=class viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                        <rect width=percent.clamp(0, 100).to_string() height="1"></rect>
                    </svg>
                    <span class="sub">{format!("{left} left")} {resets} {held}</span>
                </li>
            }
        })
        .collect();
    view! {
        <Card title="Cost against budget" aside=move || view! { <a href=all>"All budgets"</a> }>
            <ul class="waiting-list">{items}</ul>
        </Card>
    }
    .into_any()
}

/// The newest runs.
pub(super) fn recent(org: &str, recent: &[RunSummary]) -> AnyView {
    let all = format!("/o/{org}/runs");
    let rows: Vec<_> = recent.iter().map(|run| recent_row(org, run)).collect();
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

fn recent_row(org: &str, run: &RunSummary) -> AnyView {
    let href = format!("/o/{org}/runs/{}", run.id);
    let took = match (run.started_at, run.finished_at) {
        (Some(start), Some(end)) => text::duration((end - start).num_milliseconds()).into_any(),
        _ => view! { <NoValue/> }.into_any(),
    };
    view! {
        <tr>
            <td>
                <a href=href>{run.title.clone()}</a>
                <span class="sub">{run.workflow_name.clone()} {format!(" v{}", run.workflow_version)}</span>
            </td>
            <td data-label="Status"><StatusBadge status=Signal::stored(Status::from((run.state, run.waiting_on)))/></td>
            <td data-label="Started"><Time at=run.created_at/></td>
            <td class="num" data-label="Duration">{took}</td>
            <td class="num" data-label="Cost">{run.usage.cost.to_string()}</td>
        </tr>
    }
    .into_any()
}
