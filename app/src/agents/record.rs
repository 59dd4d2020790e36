//! What came of an agent's tasks.

use agentflow::{
    agents::record::{Period, Record},
    kernel::text,
    models,
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    address, agent_id,
    api::{AgentRecordPage, load_agent_record},
    head, percent,
};
use crate::{
    frame::use_org,
    kit::{Card, DataTable, EmptyState, Glyph, Kv, KvList, NoValue, Tab, Tabs, Th},
    wire::{Loaded, loading},
};

/// The record of an agent.
#[component]
pub fn AgentRecordPageView() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let source = move || {
        let days = query.with(|query| query.get("days")).and_then(|days| days.parse::<i32>().ok());
        (org.get(), params.with(|params| params.get("id")), days)
    };
    let page = loading(source, |(org, id, days)| async move { load_agent_record(org, agent_id(id)?, days).await });
    view! { <Loaded resource=page view=move |page| body(&org.get_untracked(), page)/> }.into_any()
}

fn body(org: &str, page: AgentRecordPage) -> AnyView {
    let here = format!("{}/record", address(org, page.head.id));
    let AgentRecordPage { head: top, record } = page;
    let tabs = Period::ALL.map(|period| {
        let days = period.days();
        Tab::new(format!("{days} days"), format!("{here}?days={days}"), period == record.period)
    });
    let tabs = Signal::stored(tabs.to_vec());
    let by_kind: Vec<_> = record.by_kind.iter().map(|(kind, figures)| (kind.words().to_owned(), *figures)).collect();
    let by_kind = (!by_kind.is_empty()).then(|| table("By kind of task", "Workflow", by_kind));
    let figures = if record.all.tasks == 0 {
        view! {
            <EmptyState title="No tasks yet" glyph=Glyph::Agents>
                <p>"Each task that a run gives this agent counts here, once it has ended. Tests do not count."</p>
            </EmptyState>
            {by_kind}
        }
        .into_any()
    } else {
        let by_model = record.by_model.into_iter().map(|(model, figures)| (models::label(&model).to_owned(), figures));
        let by_version =
            record.by_version.into_iter().map(|(version, figures)| (format!("Version {version}"), figures));
        view! {
            {all(record.all)}
            {by_kind}
            {table("By model", "Model", by_model.collect())}
            {table("By version", "Version", by_version.collect())}
            <p class="hint">
                "Time is from the begin of a task to its end, with what it waited for. A task that something else had to mend counts as failed. Tests and conversations to try the agent have lines of their own and count nowhere else."
            </p>
        }
        .into_any()
    };
    view! {
        {head(org, &top, "record", None)}
        <div class="stack">
            <Tabs label="Period" tabs/>
            {figures}
        </div>
    }
    .into_any()
}

fn all(record: Record) -> AnyView {
    let rate = record.success_permille().map(percent).unwrap_or_default();
    let ended = format!("{rate}, {} of {}", count(record.succeeded), count(record.tasks));
    view! {
        <Card title="All tasks">
            <KvList>
                <Kv name="Success rate">{ended}</Kv>
                <Kv name="Median time">{or_none(record.p50_ms.map(text::duration))}</Kv>
                <Kv name="95 of 100 within">{or_none(record.p95_ms.map(text::duration))}</Kv>
                <Kv name="Cost per task">{or_none(record.p50_cost.map(|cost| cost.to_string()))}</Kv>
                <Kv name="Cost of all">{record.cost.to_string()}</Kv>
            </KvList>
        </Card>
    }
    .into_any()
}

fn table(title: &'static str, by: &'static str, rows: Vec<(String, Record)>) -> AnyView {
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, record)| {
            view! {
                <tr>
                    <th scope="row">{name}</th>
                    <td data-label="Tasks" class="num">{count(record.tasks)}</td>
                    <td data-label="Success rate" class="num">{or_none(record.success_permille().map(percent))}</td>
                    <td data-label="Median time" class="num">{or_none(record.p50_ms.map(text::duration))}</td>
                    <td data-label="95 of 100 within" class="num">{or_none(record.p95_ms.map(text::duration))}</td>
                    <td data-label="Cost per task" class="num">{or_none(record.p50_cost.map(|cost| cost.to_string()))}</td>
                    <td data-label="Cost of all" class="num">{record.cost.to_string()}</td>
                </tr>
            }
        })
        .collect();
    let head = move || {
        view! {
            <Th>{by}</Th><Th num=true>"Tasks"</Th><Th num=true>"Success rate"</Th><Th num=true>"Median time"</Th>
            <Th num=true>"95 of 100 within"</Th><Th num=true>"Cost per task"</Th><Th num=true>"Cost of all"</Th>
        }
    };
    view! {
        <Card title=title class="flush">
            <DataTable caption=title head=head.into() class="cards">{rows}</DataTable>
        </Card>
    }
    .into_any()
}

fn or_none(value: Option<String>) -> AnyView {
    match value {
        None => view! { <NoValue/> }.into_any(),
        Some(value) => value.into_any(),
    }
}

fn count(number: i64) -> String {
    text::grouped(number.unsigned_abs())
}
