//! What the list is narrowed to: a plain form, and what is set with a way to take it away.

use agentflow::{
    kernel::Money,
    runs::{RunOrder, typed_seconds},
};
use leptos::prelude::*;
use leptos_router::components::Form as QueryForm;

use super::{
    api::RunsData,
    place::{Place, STATES, TRIGGERS, day},
};
use crate::kit::{Glyph, Icon, time::exactly};

/// The form above the list, and below it what is set.
#[component]
pub(super) fn Filters(org: String, place: Place, page: StoredValue<RunsData>) -> impl IntoView {
    let filter = place.filter.clone();
    let (workflows, agents, labels) = page.with_value(|page| {
        let workflows: Vec<_> = page.workflows.iter().map(|(id, name)| (id.to_string(), name.clone())).collect();
        (workflows, page.agents.clone(), page.labels.clone())
    });
    let workflow = filter.workflow.map(|id| id.to_string());
    let name = workflow.as_ref().and_then(|id| workflows.iter().find(|(known, _)| known == id)).map(|it| it.1.clone());
    let mut states: Vec<_> = STATES.iter().map(|(word, label, _)| ((*word).to_owned(), (*label).to_owned())).collect();
    if place.state.contains(',') {
        let chip = place.chips(None).into_iter().next().map(|(words, _)| words).unwrap_or_default();
        states.push((place.state.clone(), chip.trim_start_matches("Status: ").to_owned()));
    }
    let triggers = TRIGGERS.iter().map(|(word, label)| ((*word).to_owned(), (*label).to_owned())).collect();
    let labels = labels.into_iter().map(|label| (label.clone(), label)).collect();
    // What has no field stays as it is.
    let mut kept = Vec::new();
    if filter.order != RunOrder::default() {
        kept.push(("order", filter.order.as_str().to_owned()));
    }
    if !filter.runs.is_empty() {
        kept.push(("run", filter.runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")));
    }
    let (from, to) = (day(filter.from, false), day(filter.to, true));
    kept.extend(filter.from.filter(|_| from.is_none()).map(|at| ("from", exactly(at))));
    kept.extend(filter.to.filter(|_| to.is_none()).map(|at| ("to", exactly(at))));
    let exact = [filter.from.is_some() && from.is_none(), filter.to.is_some() && to.is_none()];
    let kept: Vec<_> =
        kept.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect();
    let more = filter.agent.is_some()
        || filter.trigger.is_some()
        || filter.label.is_some()
        || filter.cost_min.is_some()
        || filter.cost_max.is_some()
        || filter.lasts_min.is_some()
        || filter.lasts_max.is_some();
    let chips: Vec<_> = place
        .chips(name)
        .into_iter()
        .map(|(words, without)| {
            let label = format!("Take away: {words}");
            view! {
                <li class="tag">
                    {words}
                    <a href=without.href(&org) aria-label=label.clone() title=label><Icon glyph=Glyph::Close/></a>
                </li>
            }
        })
        .collect();
    let chips = (!chips.is_empty()).then(|| {
        view! {
            <div class="chips">
                <ul aria-label="Filters that are set">{chips}</ul>
                <a class="btn btn-quiet btn-small" href=format!("/o/{org}/runs")>"Clear"</a>
            </div>
        }
    });
    let money = |cost: Option<Money>| cost.map(Money::typed);
    view! {
        <QueryForm action=format!("/o/{org}/runs") method="GET" attr:class="filters" attr:role="search" attr:aria-label="Filter runs">
            <label class="visually-hidden" for="filter-q">"Title or run id"</label>
            <input
                class="input" id="filter-q" type="search" name="q" placeholder="Title or run id" maxlength="200"
                value=filter.q.clone()
            />
            <label class="check">
                <input type="checkbox" name="in" value="all" checked=filter.inside/>
                "also in inputs, outputs and logs"
            </label>
            {choice("state", "Status", "All statuses", states, Some(&place.state))}
            {choice("workflow", "Workflow", "All workflows", workflows, workflow.as_ref())}
            {kept}
            <button class="btn" type="submit"><Icon glyph=Glyph::Filter/> "Filter"</button>
            <details class="more-filters" open=more>
                <summary>"More filters"</summary>
                <div class="more-filters-body">
                    {choice("agent", "Agent", "All agents", agents, filter.agent.as_ref())}
                    {choice("trigger", "Started by", "Anything", triggers, filter.trigger.as_ref())}
                    {choice("label", "Label", "Any label", labels, filter.label.as_ref())}
                    {entry("cost_min", "Cost from, $", "0.10", money(filter.cost_min))}
                    {entry("cost_max", "Cost to, $", "5", money(filter.cost_max))}
                    {entry("lasts_min", "Duration from", "90s, 5m, 2h", filter.lasts_min.map(typed_seconds))}
                    {entry("lasts_max", "Duration to", "90s, 5m, 2h", filter.lasts_max.map(typed_seconds))}
                    {(!exact[0]).then(|| date("from", "Accepted from", from))}
                    {(!exact[1]).then(|| date("to", "Accepted to", to))}
                    <p class="hint">"Days are days in UTC."</p>
                </div>
            </details>
        </QueryForm>
        {chips}
    }
    .into_any()
}

/// One of several, or all. What is set and not among them stays.
fn choice(
    name: &'static str,
    label: &'static str,
    all: &'static str,
    mut choices: Vec<(String, String)>,
    chosen: Option<&String>,
) -> AnyView {
    let chosen = chosen.filter(|chosen| !chosen.is_empty()).cloned();
    if let Some(chosen) = &chosen
        && !choices.iter().any(|(value, _)| value == chosen)
    {
        choices.push((chosen.clone(), chosen.clone()));
    }
    let options: Vec<_> = choices
        .into_iter()
        .map(|(value, label)| {
            let selected = chosen.as_ref() == Some(&value);
            view! { <option value=value selected=selected>{label}</option> }
        })
        .collect();
    let id = format!("filter-{name}");
    let class = if matches!(name, "state" | "workflow") { "visually-hidden" } else { "label" };
    view! {
        <div class="filter">
            <label class=class for=id.clone()>{label}</label>
            <select class="input select" id=id name=name>
                <option value="">{all}</option>
                {options}
            </select>
        </div>
    }
    .into_any()
}

fn entry(name: &'static str, label: &'static str, example: &'static str, value: Option<String>) -> AnyView {
    let id = format!("filter-{name}");
    view! {
        <div class="filter">
            <label class="label" for=id.clone()>{label}</label>
            <input class="input short" id=id type="text" name=name placeholder=example maxlength="20" value=value/>
        </div>
    }
    .into_any()
}

fn date(name: &'static str, label: &'static str, value: Option<String>) -> AnyView {
    let id = format!("filter-{name}");
    view! {
        <div class="filter">
            <label class="label" for=id.clone()>{label}</label>
            <input class="input" id=id type="date" name=name value=value/>
        </div>
    }
    .into_any()
}
