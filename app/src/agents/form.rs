//! An agent's form.

use agentflow::{
    agents::{Agent, MAX_FALLBACKS, form::AgentForm},
    engine::plan::ToolEffect,
    kernel::Kind,
};
use leptos::{prelude::*, task::spawn_local};
use std::collections::BTreeMap;

use super::{
    api::{AgentPage, ArchiveAgent, CreateAgent, DeployAgent, SaveAgent, ToolChoice, load_agent},
    prompt::PromptEditor,
    unsaved::{KeptDraft, SaveState, Unsaved},
};
use crate::{
    host,
    kit::{Callout, Card, Checkbox, Choice, Field, Form, FormAction, Look, RadioGroup, Select, Submit, TextArea},
    wire::{hidden, on_success},
};

/// What is chosen for each tool, by its name: `off`, `policy`, `allowed` or `needs_approval`.
pub type Chosen = RwSignal<BTreeMap<String, String>>;

/// The form of an agent that is there, and that of a new one.
const SAVED: &str = "form[action$='save_agent']";
const NEW: &str = "form[action$='create_agent']";
/// The most tools that the limits name.
const NAMED_TOOLS: usize = 6;

/// The form of an agent, or of a new one.
#[component]
pub fn AgentEditor(
    /// The organization's part of the address.
    org: String,
    /// What the form shows and offers.
    page: AgentPage,
    /// What is chosen for each tool, as the form stands.
    chosen: Chosen,
    /// Raised when the agent was saved.
    renewed: RwSignal<u32>,
) -> impl IntoView {
    if !page.can_build {
        return view! {
            <Callout><p>"You can look at this agent. Members, admins and owners can change it."</p></Callout>
            <fieldset class="stack" disabled>{fields(&page, chosen)}</fieldset>
        }
        .into_any();
    }
    match page.agent.clone() {
        None => {
            let create = FormAction::new::<CreateAgent>();
            let unsaved = Unsaved::new();
            on_success(create, move || unsaved.settled());
            let entries = hidden([("org", org.clone())]);
            view! {
                <div on:input=move |event| listen(&event, NEW, chosen, unsaved)>
                    <KeptDraft of=format!("new:{org}") form=NEW unsaved/>
                    <Form action=create>
                        {entries}
                        {fields(&page, chosen)}
                        <Submit busy="Creating…">"Create agent"</Submit>
                    </Form>
                </div>
            }
            .into_any()
        }
        Some(agent) => save_form(org, &agent, page, chosen, renewed),
    }
}

/// What was typed is not saved, and may choose other tools.
fn listen(event: &web_sys::Event, form: &str, chosen: Chosen, unsaved: Unsaved) {
    unsaved.typing();
    if host::is_in_form(event, "[name^='form[tools]']") {
        let entries = host::entries(form, "form[tools][");
        let tool = |name: &str| Some(name.strip_prefix("form[tools][")?.strip_suffix(']')?.to_owned());
        chosen.set(entries.into_iter().filter_map(|(name, value)| Some((tool(&name)?, value))).collect());
    }
}

fn save_form(org: String, agent: &Agent, page: AgentPage, chosen: Chosen, renewed: RwSignal<u32>) -> AnyView {
    let save = FormAction::new::<SaveAgent>();
    let unsaved = Unsaved::new();
    on_success(save, move || {
        unsaved.settled();
        renewed.update(|count| *count += 1);
    });
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
    let saved_at = page.versions.iter().find(|line| line.version == page.shown).map(|line| line.created_at);
    let (version, saved_at) = (page.shown, saved_at.unwrap_or(agent.updated_at));
    let (can_deploy, cases) = (page.can_deploy, page.head.as_ref().map_or(0, |head| head.cases));
    view! {
        <div on:input=move |event| listen(&event, SAVED, chosen, unsaved)>
            <KeptDraft of=format!("{id}:{version}") form=SAVED unsaved/>
            <Form action=save done="Saved.">
                {entries}
                <input type="hidden" name="base" value=move || base.get().to_string()/>
                {fields(&page, chosen)}
                <Field
                    name="form[note]" label="Note" optional=true longest=200
                    hint="What you changed and why, for whoever looks at the versions. Empty: told from what differs."
                />
                <SaveState version saved_at unsaved/>
                <div class="form-actions">
                    <Submit>"Save as a new version"</Submit>
                    {deploy_or_hint(can_deploy, cases)}
                </div>
            </Form>
        </div>
    }
    .into_any()
}

fn deploy_or_hint(can_deploy: bool, cases: i64) -> AnyView {
    if can_deploy {
        let first = (cases > 0).then(|| {
            let words = if cases == 1 {
                "Its test case runs first.".to_owned()
            } else {
                format!("Its {cases} test cases run first.")
            };
            view! { <p class="hint">{words}</p> }
        });
        view! {
            <Submit look=Look::Default name="deploy" value="true" busy="Deploying…">"Save and deploy"</Submit>
            {first}
        }
        .into_any()
    } else {
        view! { <p class="hint">"An admin or owner can deploy it."</p> }.into_any()
    }
}

fn fields(page: &AgentPage, chosen: Chosen) -> AnyView {
    let form = page.form.clone();
    view! {
        <Card title="What it is">
            <div class="fields">
                <Field name="form[name]" label="Name" value=form.name longest=80 hint="What people call it."/>
                <Field name="form[role]" label="Role" optional=true value=form.role hint="In a few words, such as: sales assistant."/>
            </div>
        </Card>
        {limits_card(page, chosen)}
        <Card title="How it works">
            <PromptEditor
                name="form[instructions]"
                label="Instructions"
                value=form.instructions
                hint="What it does, how, and what it must not do. The model reads this before every task. {{ input.customer }} is replaced by what the run was given."
            />
        </Card>
        {model_card(page)}
        {memory_card(page)}
        <div id="tools">{tools_card(page)}</div>
        {guardrails_card(page)}
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
        <Card title="What it is good for">
            <div class="stack">
                <Field
                    name="form[about]" label="In a sentence" optional=true value=form.about longest=200
                    hint="Whoever has work to give reads this: people, planners and other agents."
                />
                <Field
                    name="form[tags]" label="Tags" optional=true value=form.tags
                    hint="Up to 12 words in small letters, with commas between them, such as: billing, refunds."
                />
            </div>
        </Card>
    }
    .into_any()
}

/// The models to choose from, with one that is set and not among them.
fn model_choices(page: &AgentPage, chosen: &str) -> Vec<Choice> {
    let mut choices: Vec<Choice> =
        page.models.iter().map(|(id, label)| Choice::new(id.clone(), label.clone())).collect();
    if !chosen.is_empty() && !page.models.iter().any(|(id, _)| id == chosen) {
        choices.push(Choice::new(chosen, format!("{chosen} (not connected)")));
    }
    choices
}

fn model_card(page: &AgentPage) -> AnyView {
    let chosen = page.form.model.clone();
    let choices = model_choices(page, &chosen);
    let only_sandbox = page.models.iter().all(|(id, _)| id.starts_with("sandbox/") || id.starts_with("class/"));
    let note = only_sandbox.then(|| {
        view! {
            <p class="hint">
                "The sandbox model answers by rule, costs nothing, and is good for trying things out. Others appear here when a provider is connected, under Integrations or in the server's environment."
            </p>
        }
    });
    let fallbacks: Vec<_> = (0..MAX_FALLBACKS)
        .map(|place| {
            let value = page.form.fallbacks.get(&place.to_string()).cloned().unwrap_or_default();
            let (choices, name) = (model_choices(page, &value), format!("form[fallbacks][{place}]"));
            view! { <Select name label=format!("Fallback {}", place + 1) choices value optional=true/> }
        })
        .collect();
    let AgentForm { other_model, temperature, top_p, max_output_tokens, reasoning, .. } = page.form.clone();
    let efforts = vec![Choice::new("low", "Little"), Choice::new("medium", "Some"), Choice::new("high", "Much")];
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
                <p class="hint">"When the model cannot be had (it is out of order, at its limit, or too slow), the next one is asked instead, in this order."</p>
                <div class="fields">{fallbacks}</div>
                <div class="fields">
                    <Field
                        name="form[temperature]" label="Temperature" optional=true inputmode="decimal" value=temperature
                        hint="0: the same words each time. 2: very free. Empty: the model's own setting."
                    />
                    <Field
                        name="form[top_p]" label="Top P" optional=true inputmode="decimal" value=top_p
                        hint="Above 0, at most 1: of how much of the likeliest words it chooses."
                    />
                    <Field
                        name="form[max_output_tokens]" label="Longest answer" optional=true inputmode="numeric" value=max_output_tokens
                        hint="In tokens. A longer answer is cut off."
                    />
                    <Select
                        name="form[reasoning]" label="Reasoning" optional=true choices=efforts value=reasoning
                        hint="How much a model that can reason does so before it answers."
                    />
                </div>
            </div>
        </Card>
    }
    .into_any()
}

fn memory_card(page: &AgentPage) -> AnyView {
    let AgentForm { memory, compress, .. } = page.form.clone();
    let choices = vec![
        Choice::new("none", "None").with_hint("Each task begins anew."),
        Choice::new("conversation", "Per conversation")
            .with_hint("It is told of its earlier tasks of the same run: rounds of a loop, other steps, other agents' calls."),
        Choice::new("key", "By key").with_hint(
            "It is told of its earlier tasks of all runs that were given to it under the same key. The workflow's step says which, such as {{ input.customer }}.",
        ),
    ];
    let memory = if memory.is_empty() { "none".to_owned() } else { memory };
    view! {
        <Card title="Memory">
            <div class="stack">
                <RadioGroup
                    name="form[memory]" label="What it remembers" choices value=memory
                    hint="At most the last thirty tasks and 60,000 characters, told to the model as earlier messages."
                />
                <Checkbox
                    name="form[compress]" label="Tell long results in short" checked=compress == "true"
                    hint="Tool results of more than 2,000 characters lose their middle two turns later. The run keeps them whole, and the agent can call the tool again."
                />
            </div>
        </Card>
    }
    .into_any()
}

fn guardrails_card(page: &AgentPage) -> AnyView {
    let AgentForm { injection, max_input_chars, sensitive, allowed_domains, rule_of_two, .. } = page.form.clone();
    let injections = vec![
        Choice::new("warn", "The run's log says so"),
        Choice::new("stop", "The task fails"),
        Choice::new("off", "Nothing"),
    ];
    let asks = vec![Choice::new("ask", "A person is asked before it sends"), Choice::new("off", "Nobody is asked")];
    let kinds = SENSITIVE.into_iter().map(|(kind, label)| {
        let value = sensitive.get(kind).cloned().unwrap_or_default();
        view! { <Select name=format!("form[sensitive][{kind}]") label choices=sensitive_choices() value/> }
    });
    let kinds: Vec<_> = kinds.collect();
    view! {
        <Card title="Guardrails">
            <div class="stack">
                <p class="hint">"What the agent must not take in, say, or combine. We check this ourselves, whatever its model says."</p>
                <Select
                    name="form[injection]" label="Orders in outside text" choices=injections value=injection
                    hint="What happens when a web page, message or file speaks to the model as if it gave orders."
                />
                <Select
                    name="form[rule_of_two]" label="Strangers' text, private data and sending" choices=asks value=rule_of_two
                    hint="What happens when one run has read strangers' text and private data, or its workflow reads the shared context, and the agent is about to send something out."
                />
                <Field
                    name="form[max_input_chars]" label="Longest task" optional=true class="short" inputmode="numeric" value=max_input_chars
                    hint="In characters. A longer one fails before a model is asked. Empty: as long as the model takes."
                />
                <TextArea
                    name="form[allowed_domains]" label="Hosts" optional=true rows=3 class="mono" value=allowed_domains
                    hint="The only hosts that its tools may call, one on a line, such as example.com with all below it. Empty: all public ones. A call to another host is refused."
                />
                <p class="hint">"What is blotted out is unreadable in what the agent says and in what its tools return. What fails the task is looked for in its answer."</p>
                <div class="fields">{kinds}</div>
            </div>
        </Card>
    }
    .into_any()
}

/// The kinds of text that are not everybody's business.
const SENSITIVE: [(&str, &str); 6] = [
    ("credential", "Keys and passwords"),
    ("card", "Card numbers"),
    ("iban", "Bank account numbers"),
    ("ssn", "Social security numbers"),
    ("email", "E-mail addresses"),
    ("phone", "Telephone numbers"),
];

fn sensitive_choices() -> Vec<Choice> {
    vec![
        Choice::new("leave", "Leave as they are"),
        Choice::new("redact", "Blot out"),
        Choice::new("stop", "Fail the task"),
        Choice::new("both", "Blot out, and fail the task"),
    ]
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

/// The tools that an agent may call freely, and those that wait for a person first.
fn tools_in_words(tools: &[ToolChoice], chosen: &BTreeMap<String, String>) -> String {
    let titles = |asks: bool| {
        let fits = |tool: &&ToolChoice| match chosen.get(&tool.name).map(String::as_str) {
            Some("allowed") => !asks,
            Some("needs_approval") => asks,
            Some("policy") => asks == (tool.effect != ToolEffect::Read),
            _ => false,
        };
        let all: Vec<&str> = tools.iter().filter(fits).map(|tool| tool.title.as_str()).collect();
        let more = all.len().saturating_sub(NAMED_TOOLS);
        let named = all[..all.len() - more].join(", ");
        if more > 0 { format!("{named} and {more} more") } else { named }
    };
    match (titles(false), titles(true)) {
        (free, asks) if free.is_empty() && asks.is_empty() => "No tools: it only writes.".to_owned(),
        (free, asks) if asks.is_empty() => format!("Allowed tools: {free}. None waits for an approval."),
        (free, asks) if free.is_empty() => format!("Allowed tools, each call after an approval: {asks}."),
        (free, asks) => format!("Allowed tools: {free}. Each call after an approval: {asks}."),
    }
}

fn limits_card(page: &AgentPage, chosen: Chosen) -> AnyView {
    let form = page.form.clone();
    let tools = page.tools.clone();
    let tools = move || chosen.with(|chosen| tools_in_words(&tools, chosen));
    view! {
        <Card title="Limits for each task">
            <p class="hint">
                "At a limit the task stops before it goes further, and says at which one. In a workflow its step says what follows: usually a person is asked whether it goes on. When you try it here, it ends."
            </p>
            <p class="limits-tools">{tools}" "<a href="#tools">"Choose tools"</a></p>
            <div class="fields limits">
                <Field
                    name="form[max_turns]" label="Turns" inputmode="numeric" value=form.max_turns
                    hint="Model calls, 1 to 50."
                />
                <Field
                    name="form[max_tokens]" label="Tokens" inputmode="numeric" value=form.max_tokens
                    hint="In and out together."
                />
                <Field
                    name="form[max_cost]" label="Cost in dollars" inputmode="decimal" value=form.max_cost
                    hint="A model call that could go beyond it is not made."
                />
                <Field
                    name="form[timeout_s]" label="Seconds for one model call" inputmode="numeric" value=form.timeout_s
                    hint="5 to 600. A slower one is cut off and tried again."
                />
                <Field
                    name="form[task_s]" label="Seconds for a task" optional=true inputmode="numeric" value=form.task_s
                    hint="All turns and tools, and what it waits for. Empty: as long as its step has."
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_are_told_by_who_decides_on_each_call() {
        let tool = |name: &str, effect| ToolChoice {
            name: name.to_lowercase(),
            title: name.to_owned(),
            description: String::new(),
            effect,
        };
        let tools = [
            tool("Calculator", ToolEffect::Read),
            tool("Mail", ToolEffect::Write),
            tool("Erase", ToolEffect::Destructive),
        ];
        let words = |chosen: &[(&str, &str)]| {
            let chosen = chosen.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect();
            tools_in_words(&tools, &chosen)
        };
        assert_eq!(words(&[("mail", "off")]), "No tools: it only writes.");
        assert_eq!(words(&[("calculator", "policy")]), "Allowed tools: Calculator. None waits for an approval.");
        assert_eq!(words(&[("mail", "policy")]), "Allowed tools, each call after an approval: Mail.");
        let both = words(&[("calculator", "needs_approval"), ("mail", "allowed"), ("erase", "policy")]);
        assert_eq!(both, "Allowed tools: Mail. Each call after an approval: Calculator, Erase.");
    }
}
