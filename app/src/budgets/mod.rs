//! Budgets: what may be spent on model calls, how much of it is, and who may change that.

pub mod api;

use agentflow::{
    access::Permission,
    approvals::amount::in_units,
    budgets::{Budget, Period},
};
use leptos::prelude::*;

use crate::{
    frame::use_org,
    kit::{
        Card, Checkbox, Choice, Crumb, EmptyState, Field, Form, FormAction, Glyph, Look, PageHeader, Select, Submit,
        Time, Title,
    },
    wire::{Loaded, hidden, loading, on_success},
};
use api::{BudgetsPage, ChangeBudget, CreateBudget, RemoveBudget, load_budgets};

/// The page of the budgets.
#[component]
pub fn BudgetsPageView() -> impl IntoView {
    let org = use_org();
    let create = FormAction::new::<CreateBudget>();
    // Counts what was changed.
    let changes = RwSignal::new(0_u32);
    on_success(create, move || changes.update(|count| *count += 1));
    let slug = org.clone();
    let page = loading(move || changes.get(), move |_| load_budgets(slug.clone()));
    let crumbs = vec![Crumb::new("Settings", format!("/o/{org}/settings"))];
    view! {
        <Title text="Budgets"/>
        <PageHeader
            title="Budgets"
            crumbs
            about=|| view! {
                <p class="muted">
                    "What may be spent on model calls and on tools that cost something. A call goes out only where the most that it can cost fits into every \
                     budget; else its task waits until an admin or owner lets it go on."
                </p>
            }
        />
        <Loaded resource=page view=move |page| show(&org, page, create, changes)/>
    }
    .into_any()
}

fn show(org: &str, page: BudgetsPage, create: FormAction<()>, changes: RwSignal<u32>) -> AnyView {
    let BudgetsPage { budgets, subjects, role } = page;
    let may_change = role.may(Permission::Deploy);
    let list = if budgets.is_empty() {
        view! {
            <EmptyState title="There are no budgets yet" glyph=Glyph::Coins>
                <p>"Without one, only the limits of each agent and workflow bound what runs cost."</p>
            </EmptyState>
        }
        .into_any()
    } else {
        let items: Vec<_> = budgets.into_iter().map(|budget| item(org, budget, may_change, changes)).collect();
        view! { <ul class="budgets">{items}</ul> }.into_any()
    };
    let form = may_change.then(|| {
        let periods = Period::CHOICES.map(|period| {
            Choice::new(
                period.as_str(),
                match period {
                    Period::Month => "A month",
                    Period::Total => "No period: once and for all",
                    _ => "A day",
                },
            )
        });
        let subjects: Vec<_> = subjects.into_iter().map(|(value, words)| Choice::new(value, words)).collect();
        let org = hidden([("org", org.to_owned())]);
        view! {
            <Card title="Set a budget">
                <Form action=create clear=true done="The budget is set. It counts from now on.">
                    {org}
                    <Select name="subject" label="What it bounds" choices=subjects value="organization"/>
                    <Select
                        name="period"
                        label="Period"
                        hint="Days and months begin at midnight UTC. A call or run is a period of its own."
                        choices=periods.to_vec()
                        value="month"
                    />
                    <Field name="limit" label="Limit in US dollars" inputmode="decimal" class="short"/>
                    <Submit look=Look::Default>"Set budget"</Submit>
                </Form>
            </Card>
        }
    });
    view! {
        <div class="stack narrow">
            {list}
            {form}
        </div>
    }
    .into_any()
}

/// A budget with its bar, and its forms for those who may change it.
fn item(org: &str, budget: Budget, may_change: bool, changes: RwSignal<u32>) -> AnyView {
    let title = budget.title();
    let forms = may_change.then(|| forms(org, &budget, &title, changes));
    view! {
        <li class="card budget">
            <h2>{title}</h2>
            {bar(&budget)}
            <p class="budget-figures">{figures(&budget)}</p>
            {forms}
        </li>
    }
    .into_any()
}

/// How much of a budget is spent, as a drawing beside the words that say the same.
fn bar(budget: &Budget) -> Option<AnyView> {
    let percent = budget.standing.percent().clamp(0, 100);
    let class = match percent {
        _ if budget.refused || percent >= 100 => "budget-bar is-spent",
        80.. => "budget-bar is-near",
        _ => "budget-bar",
    };
    (!budget.subject.is_each()).then(|| {
        view! {
            <svg class=class viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                <rect width=percent.to_string() height="1"></rect>
            </svg>
        }
        .into_any()
    })
}

/// `$12.40 of $50.00, 24 %, begins anew on 1 Dec`.
fn figures(budget: &Budget) -> AnyView {
    let standing = budget.standing;
    let off = (!budget.enabled).then_some(" · Switched off: it counts and holds nothing back");
    if budget.subject.is_each() {
        return view! { {format!("{} at most", standing.limit)} {off} }.into_any();
    }
    let reserved = (standing.reserved.micros() > 0)
        .then(|| format!(" · {} reserved for calls that are under way", standing.reserved));
    let resets = budget.resets_at.map(|at| view! { " · Begins anew " <Time at/> });
    let since = budget.since.map(|at| view! { " · Counted since " <Time at/> });
    let held = (budget.refused && budget.enabled).then_some(" · Calls that do not fit wait for a decision");
    view! {
        {format!("{} of {}, {}\u{a0}%", standing.spent, standing.limit, standing.percent())}
        {reserved}
        {resets}
        {since}
        {held}
        {off}
    }
    .into_any()
}

fn forms(org: &str, budget: &Budget, title: &str, changes: RwSignal<u32>) -> AnyView {
    let (change, remove) = (FormAction::new::<ChangeBudget>(), FormAction::new::<RemoveBudget>());
    on_success(change, move || changes.update(|count| *count += 1));
    on_success(remove, move || changes.update(|count| *count += 1));
    let id = budget.id.to_string();
    let entries = || hidden([("org", org.to_owned()), ("budget", id.clone())]);
    let (of_change, of_removal) = (entries(), entries());
    let (limit, enabled) = (in_units(budget.standing.limit.micros()), budget.enabled);
    view! {
        <details class="budget-forms">
            <summary>"Change or remove" <span class="visually-hidden">{format!(": {title}")}</span></summary>
            <Form action=change id=format!("change-{id}") done="The budget is changed.">
                {of_change}
                <Field
                    name="limit"
                    label="Limit in US dollars"
                    value=limit
                    inputmode="decimal"
                    class="short"
                />
                <Checkbox
                    name="enabled"
                    label="Hold calls back"
                    hint="Without it the budget only counts."
                    checked=enabled
                />
                <Submit look=Look::Default>"Save budget"</Submit>
            </Form>
            <Form action=remove id=format!("remove-{id}")>
                {of_removal}
                <p class="muted">"Removing it forgets what it has counted. What waits for a decision goes on waiting."</p>
                <Submit look=Look::Danger busy="Removing…">"Remove budget"</Submit>
            </Form>
        </details>
    }
    .into_any()
}
