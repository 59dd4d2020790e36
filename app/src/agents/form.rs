//! An agent's form.

use agentflow::{
    agents::{Agent, form::AgentForm},
    engine::plan::ToolEffect,
    kernel::Kind,
};
use leptos::{prelude::*, task::spawn_local};

use super::api::{AgentPage, ArchiveAgent, CreateAgent, DeployAgent, SaveAgent, ToolChoice, load_agent};
use crate::{
    kit::{Callout, Card, Choice, Field, Form, FormAction, Look, Select, Submit, TextArea},
    wire::{hidden, on_success},
};

/// The form of an agent, or of a new one.
#[component]
pub fn AgentEditor(
    /// The organization's part of the address.
    org: String,
    /// What the form shows and offers.
    page: AgentPage,
    /// Raised when the agent was saved.
    renewed: RwSignal<u32>,
) -> impl IntoView {
    if !page.can_build {
        return view! {
            <Callout><p>"You can look at this agent. Members, admins and owners can change it."</p></Callout>
            <fieldset class="stack" disabled>{fields(&page)}</fieldset>
        }
        .into_any();
    }
    match page.agent.clone() {
        None => {
            let create = FormAction::new::<CreateAgent>();
            let entries = hidden([("org", org.clone())]);
            view! {
                <Form action=create>
                    {entries}
                    {fields(&page)}
                    <Submit busy="Creating…">"Create agent"</Submit>
                </Form>
            }
            .into_any()
        }
        Some(agent) => save_form(org, &agent, page, renewed),
    }
}

fn save_form(org: String, agent: &Agent, page: AgentPage, renewed: RwSignal<u32>) -> AnyView {
    let save = FormAction::new::<SaveAgent>();
    on_success(save, move || renewed.update(|count| *count += 1));
    let base = RwSignal::new(agent.version);
    let (id, slug) = (agent.id, org.clone());
    // Who came second sees what happened and can save again: then on top of the newer version.
    Effect::new(move |_| {
        let stale = save.value().with(|value| matches!(value, Some(Err(error)) if error.0.kind == Kind::Stale));
        let slug = slug.clone();
        if stale {
            spawn_local(async move {
                if let Ok(AgentPage { agent: Some(agent), .. }) = load_agent(slug, Some(id), None).await {
                    base.set(agent.version);
                }
            });
        }
    });
    let entries = hidden([("org", org.clone()), ("agent", agent.id.to_string())]);
    view! {
        <Form action=save done="Saved.">
            {entries}
            <input type="hidden" name="base" value=move || base.get().to_string()/>
            {fields(&page)}
            <Submit>"Save as a new version"</Submit>
        </Form>
    }
    .into_any()
}

fn fields(page: &AgentPage) -> AnyView {
    let form = page.form.clone();
    view! {
        <Card title="What it is">
            <div class="stack">
                <Field name="form[name]" label="Name" value=form.name longest=80/>
                <Field name="form[role]" label="Role" optional=true value=form.role hint="In a few words, such as: sales assistant."/>
                <TextArea
                    name="form[instructions]"
                    label="Instructions"
                    rows=12
                    value=form.instructions
                    hint="What it does, how, and what it must not do. The model reads this before every task."
                />
            </div>
        </Card>
        {model_card(page)}
        {tools_card(page)}
        {limits_card(page)}
        <Card title="Form of the answer">
            <TextArea
                name="form[output_schema]"
                label="JSON Schema"
                optional=true
                class="mono"
                rows=6
                value=form.output_schema
                hint="Empty: the answer is text. With a schema the answer is checked; an answer that does not fit goes back to the model with the fault."
            />
        </Card>
    }
    .into_any()
}

fn model_card(page: &AgentPage) -> AnyView {
    let chosen = page.form.model.clone();
    let mut choices: Vec<Choice> =
        page.models.iter().map(|(id, label)| Choice::new(id.clone(), label.clone())).collect();
    if !page.models.iter().any(|(id, _)| *id == chosen) {
        choices.push(Choice::new(chosen.clone(), format!("{chosen} (not connected)")));
    }
    let only_sandbox = page.models.iter().all(|(id, _)| id.starts_with("sandbox/"));
    let note = only_sandbox.then(|| {
        view! {
            <p class="hint">
                "The sandbox model answers by rule, costs nothing, and is good for trying things out. Other models appear here when their provider's key is in the server's environment."
            </p>
        }
    });
    let AgentForm { other_model, temperature, .. } = page.form.clone();
    view! {
        <Card title="Model">
            <div class="stack">
                <Select name="form[model]" label="Model" choices value=chosen/>
                {note}
                <Field
                    name="form[other_model]"
                    label="Another model"
                    optional=true
                    value=other_model
                    hint="For a model that is not in the list: provider/name. It takes the place of the choice above."
                />
                <Field
                    name="form[temperature]"
                    label="Temperature"
                    optional=true
                    class="short"
                    inputmode="decimal"
                    value=temperature
                    hint="0: the same words each time. 2: very free. Empty: the model's own setting."
                />
            </div>
        </Card>
    }
    .into_any()
}

fn tools_card(page: &AgentPage) -> AnyView {
    let selects: Vec<_> = page
        .tools
        .iter()
        .map(|tool| {
            let value = page.form.tools.get(&tool.name).cloned().unwrap_or_else(|| "off".to_owned());
            let name = format!("form[tools][{}]", tool.name);
            view! { <Select name label=tool.title.clone() hint=tool.description.clone() choices=permissions(tool) value/> }
        })
        .collect();
    view! {
        <Card title="Tools">
            <div class="stack">
                <p class="hint">"What the agent can do besides writing. A call that needs approval waits in the inbox until somebody decides."</p>
                {selects}
            </div>
        </Card>
    }
    .into_any()
}

fn permissions(tool: &ToolChoice) -> Vec<Choice> {
    let policy = match tool.effect {
        ToolEffect::Read => "By policy: allowed, it only reads",
        ToolEffect::Write => "By policy: needs approval, it changes or sends something",
        ToolEffect::Destructive => "By policy: needs approval, it cannot be undone",
    };
    vec![
        Choice::new("off", "Off"),
        Choice::new("policy", policy),
        Choice::new("allowed", "Always allowed"),
        Choice::new("needs_approval", "Each call needs approval"),
    ]
}

fn limits_card(page: &AgentPage) -> AnyView {
    let form = page.form.clone();
    view! {
        <Card title="Limits for each task">
            <div class="stack">
                <Field
                    name="form[max_turns]" label="Turns" class="short" inputmode="numeric" value=form.max_turns
                    hint="Model calls, 1 to 50. After the last one the step fails with what was reached."
                />
                <Field
                    name="form[max_tokens]" label="Tokens" class="short" inputmode="numeric" value=form.max_tokens
                    hint="In and out together. When they are used up the step stops before its next model call and fails."
                />
                <Field
                    name="form[max_cost]" label="Cost in dollars" class="short" inputmode="decimal" value=form.max_cost
                    hint="Checked before each model call. A call that could go beyond it is not made; the step fails."
                />
                <Field
                    name="form[timeout_s]" label="Seconds for one model call" class="short" inputmode="numeric" value=form.timeout_s
                    hint="5 to 600. A call that takes longer is cut off and tried again, as often as the step allows."
                />
            </div>
        </Card>
    }
    .into_any()
}

/// The button that deploys the version that is shown, where it is not deployed.
pub fn deploy_button(org: &str, agent: &Agent, page: &AgentPage, renewed: RwSignal<u32>) -> Option<AnyView> {
    if agent.deployed_version == Some(page.shown) {
        return None;
    }
    if !page.can_deploy {
        return Some(view! { <p class="muted">"An admin or owner can deploy it."</p> }.into_any());
    }
    let label = format!("Deploy version {}", page.shown);
    let deploy = FormAction::new::<DeployAgent>();
    on_success(deploy, move || renewed.update(|count| *count += 1));
    let entries =
        hidden([("org", org.to_owned()), ("agent", agent.id.to_string()), ("version", page.shown.to_string())]);
    let view = view! {
        <Form action=deploy class="inline">
            {entries}
            <Submit busy="Deploying…">{label}</Submit>
        </Form>
    };
    Some(view.into_any())
}

/// Taking the agent out of use.
pub fn archive_card(org: &str, agent: &Agent, page: &AgentPage) -> Option<AnyView> {
    if !page.can_build {
        return None;
    }
    if !page.used_by.is_empty() {
        let words = "It can be archived once no workflow names it.";
        return Some(view! { <Card title="Archive"><p class="hint">{words}</p></Card> }.into_any());
    }
    let archive = FormAction::new::<ArchiveAgent>();
    let entries = hidden([("org", org.to_owned()), ("agent", agent.id.to_string())]);
    let view = view! {
        <Card title="Archive">
            <Form action=archive>
                <p class="hint">"The agent leaves the lists, and no new run can use it. Runs that have begun keep it."</p>
                {entries}
                <Submit look=Look::Default busy="Archiving…">"Archive agent"</Submit>
            </Form>
        </Card>
    };
    Some(view.into_any())
}
