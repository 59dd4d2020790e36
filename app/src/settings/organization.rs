//! What the organization has settled for itself.

use agentflow::{
    access::{Permission, Role},
    approvals::amount::in_units,
    orgs::OrgSettings,
};
use leptos::prelude::*;

use super::api::{UpdateAllowedDomains, UpdateMaxRunning, UpdateOrganization, UpdateRetention};
use crate::kit::{Card, Field, Form, FormAction, Kv, KvList, Look, Submit, TextArea};

/// The organization's rules, to be changed by those who may.
#[component]
pub(super) fn OrganizationCard(
    /// The organization's part of the address.
    org: String,
    /// The rules as they are.
    settings: OrgSettings,
    /// One's own role.
    role: Role,
) -> impl IntoView {
    let (runs, hosts) = (retention(org.clone(), settings.retention_days, role), hosts(org.clone(), &settings, role));
    let action = FormAction::new::<UpdateOrganization>();
    let limit = in_units(settings.typed_amount_micros);
    let rules = if role.may(Permission::Deploy) {
        view! {
            <Form action done="The organization's rules are saved.">
                <input type="hidden" name="org" value=org/>
                <Field
                    name="typed_amount"
                    label="Type the amount to approve more than"
                    hint="In the currency of the approval. Whoever approves a larger amount that cannot be brought back types it first."
                    value=limit
                    inputmode="decimal"
                    class="short"
                />
                <Submit look=Look::Default>"Save rules"</Submit>
            </Form>
        }
        .into_any()
    } else {
        view! { <KvList><Kv name="The amount is typed to approve more than">{limit}</Kv></KvList> }.into_any()
    };
    view! {
        <Card title="Approvals">{rules}</Card>
        <Card title="Ended runs">{runs}</Card>
        <Card title="Tools">{hosts}</Card>
    }
    .into_any()
}

/// How long ended runs are kept, to be changed by those who may.
fn retention(org: String, days: Option<i32>, role: Role) -> AnyView {
    let days = days.map(|days| days.to_string());
    if !role.may(Permission::Deploy) {
        let days = days.unwrap_or_else(|| "As this server does".to_owned());
        return view! { <KvList><Kv name="Days that they are kept">{days}</Kv></KvList> }.into_any();
    }
    let action = FormAction::new::<UpdateRetention>();
    view! {
        <Form action done="It is saved. What is older goes within the hour.">
            <input type="hidden" name="org" value=org/>
            <Field
                name="retention_days"
                label="Keep ended runs for days"
                hint="Older ones are removed with their steps, approvals and logs; what agents remember under keys stays. Empty: as this server does. 0: for ever. A workflow's own number comes first."
                value=days.unwrap_or_default()
                optional=true
                inputmode="numeric"
                class="short"
            />
            <Submit look=Look::Default>"Save days"</Submit>
        </Form>
    }
    .into_any()
}

/// Which hosts alone tools may call, to be changed by those who may.
fn hosts(org: String, settings: &OrgSettings, role: Role) -> AnyView {
    let named = settings.allowed_domains.join("\n");
    if !role.may(Permission::Deploy) {
        let named = if named.is_empty() { "All public ones".to_owned() } else { named };
        return view! { <KvList><Kv name="Hosts that tools may call">{named}</Kv></KvList> }.into_any();
    }
    let action = FormAction::new::<UpdateAllowedDomains>();
    view! {
        <Form action done="It is saved, and counts from the next call on.">
            <input type="hidden" name="org" value=org/>
            <TextArea
                name="allowed_domains" label="Hosts that tools may call" optional=true rows=3 class="mono" value=named
                hint="One on a line, such as example.com with all below it. Web requests, your own tools, tool servers and databases reach no other hosts, whoever uses them. Empty: all public ones. An agent's guardrails can list fewer."
            />
            <Submit look=Look::Default>"Save hosts"</Submit>
        </Form>
    }
    .into_any()
}

/// How much of the organization runs at once, to be changed by those who may.
#[component]
pub(super) fn RunsCard(
    /// The organization's part of the address.
    org: String,
    /// The most runs at work, if that is said.
    max_running: Option<i32>,
    /// One's own role.
    role: Role,
) -> impl IntoView {
    let action = FormAction::new::<UpdateMaxRunning>();
    let most = max_running.map(|most| most.to_string());
    let limit = if role.may(Permission::Deploy) {
        view! {
            <Form action done="Saved.">
                <input type="hidden" name="org" value=org/>
                <Field
                    name="max_running"
                    label="Runs at work at once"
                    hint="Further runs are queued. Runs that wait for somebody or something do not count. Empty: as many as there is room for."
                    value=most.unwrap_or_default()
                    optional=true
                    inputmode="numeric"
                    class="short"
                />
                <Submit look=Look::Default>"Save limit"</Submit>
            </Form>
        }
        .into_any()
    } else {
        let most = most.unwrap_or_else(|| "As many as there is room for".to_owned());
        view! { <KvList><Kv name="Runs at work at once">{most}</Kv></KvList> }.into_any()
    };
    view! { <Card title="Runs">{limit}</Card> }.into_any()
}

/// The way to the budgets and the task classes.
#[component]
pub(super) fn ModelsCard(
    /// The organization's part of the address.
    org: String,
) -> impl IntoView {
    let (budgets, classes) = (format!("/o/{org}/settings/budgets"), format!("/o/{org}/settings/models"));
    view! {
        <Card title="Models">
            <div class="stack">
                <p>"What may be spent on models and tools, by day and by month. " <a href=budgets>"See the budgets"</a></p>
                <p>"Which models do which kind of work. " <a href=classes>"See the task classes"</a></p>
            </div>
        </Card>
    }
    .into_any()
}
