//! The test cases of an agent.

use agentflow::{
    agents::cases::{CaseForm, Check, TestCase},
    kernel::ConversationId,
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    address, agent_id,
    api::{AddTestCase, AgentCasesPage, AgentHead, RehearseAgent, RemoveTestCase, SaveTestCase, load_agent_cases},
    head,
};
use crate::{
    frame::use_org,
    kit::{
        Card, Choice, DataTable, EmptyState, Field, Form, FormAction, Glyph, Look, RadioGroup, Submit, TextArea, Th,
        Time,
    },
    wire::{Loaded, hidden, loading, on_success},
};

/// The test cases of an agent.
#[component]
pub fn AgentCasesPageView() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let renewed = RwSignal::new(0_u32);
    let source = move || {
        let asked = |name: &str| query.with(|query| query.get(name));
        let conversation = asked("conversation").and_then(|id| id.parse::<ConversationId>().ok());
        let turn = asked("turn").and_then(|turn| turn.parse::<i32>().ok());
        // The case is part of the source, so that another case's form is another page.
        (org.get(), params.with(|params| params.get("id")), conversation, turn, (asked("case"), renewed.get()))
    };
    let page = loading(source, |(org, id, conversation, turn, _)| async move {
        load_agent_cases(org, agent_id(id)?, conversation, turn).await
    });
    let view = move |page| body(&org.get_untracked(), page, query.with_untracked(|query| query.get("case")), renewed);
    view! { <Loaded resource=page view/> }.into_any()
}

fn body(org: &str, page: AgentCasesPage, open: Option<String>, renewed: RwSignal<u32>) -> AnyView {
    let here = format!("{}/tests", address(org, page.head.id));
    let AgentCasesPage { head: top, cases, of_turn } = page;
    let open = open.and_then(|id| cases.iter().find(|case| case.id.to_string() == id).cloned());
    let form = top.can_build.then(|| match open {
        Some(case) => change_card(org, &here, &top.id.to_string(), &case),
        None => add_card(org, &top.id.to_string(), of_turn, renewed),
    });
    let run = (top.can_try && !cases.is_empty()).then(|| run_button(org, &top));
    let list = if cases.is_empty() {
        view! {
            <EmptyState title="No test cases yet" glyph=Glyph::Check>
                <p>"A test case is a task with what its answer must be like. It shows whether a change made the agent better or worse."</p>
            </EmptyState>
        }
        .into_any()
    } else {
        table(&here, cases, top.can_build)
    };
    view! {
        {head(org, &top, "tests", run)}
        <div class="with-aside">
            <div class="stack">{list}</div>
            <div class="stack">{form}</div>
        </div>
    }
    .into_any()
}

fn table(here: &str, cases: Vec<TestCase>, can_build: bool) -> AnyView {
    let rows: Vec<_> = cases
        .into_iter()
        .map(|case| {
            let kind = case.check.kind();
            let words = Check::KINDS.iter().find(|(word, _)| *word == kind).map_or("", |(_, words)| words);
            let expected: String = case.check.expected().chars().take(120).collect();
            let prompt: String = case.prompt.chars().take(200).collect();
            let name = if can_build {
                view! { <a href=format!("{here}?case={}", case.id)>{case.name}</a> }.into_any()
            } else {
                case.name.into_any()
            };
            view! {
                <tr>
                    <th scope="row">{name}</th>
                    <td data-label="Task"><span class="clamp">{prompt}</span></td>
                    <td data-label="Answer">{words}<span class="sub clamp">{expected}</span></td>
                    <td data-label="Changed"><Time at=case.updated_at/></td>
                </tr>
            }
        })
        .collect();
    let head = || view! { <Th>"Name"</Th><Th>"Task"</Th><Th>"Answer"</Th><Th>"Changed"</Th> };
    view! { <DataTable caption="Test cases" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

/// Runs the cases with the newest version, whether it is to be deployed or not.
fn run_button(org: &str, top: &AgentHead) -> AnyView {
    let action = FormAction::new::<RehearseAgent>();
    let entries =
        hidden([("org", org.to_owned()), ("agent", top.id.to_string()), ("version", top.version.to_string())]);
    let words = format!("Run the cases with version {}", top.version);
    let last = format!("{}/deploy?v={}", address(org, top.id), top.version);
    view! {
        <a class="btn btn-quiet" href=last>"Last results"</a>
        <Form action class="inline">
            {entries}
            <Submit busy="Starting…">{words}</Submit>
        </Form>
    }
    .into_any()
}

fn add_card(org: &str, agent: &str, of_turn: Option<CaseForm>, renewed: RwSignal<u32>) -> AnyView {
    let add = FormAction::new::<AddTestCase>();
    on_success(add, move || renewed.update(|count| *count += 1));
    let entries = hidden([("org", org.to_owned()), ("agent", agent.to_owned())]);
    let made = of_turn.is_some().then(|| {
        view! {
            {hidden([("of_turn", "true".to_owned())])}
            <p class="hint">
                "Made of your message and its answer. What was said before does not go along: write into the task what the agent needs to know of it."
            </p>
        }
    });
    let form = of_turn.unwrap_or_else(|| CaseForm { check: "contains".to_owned(), ..CaseForm::default() });
    view! {
        <Card title="New test case">
            <Form action=add clear=true>
                {entries}
                {made}
                {fields(form)}
                <Submit>"Add test case"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}

fn change_card(org: &str, here: &str, agent: &str, case: &TestCase) -> AnyView {
    let (save, remove) = (FormAction::new::<SaveTestCase>(), FormAction::new::<RemoveTestCase>());
    let entries = || hidden([("org", org.to_owned()), ("agent", agent.to_owned()), ("case", case.id.to_string())]);
    let (to_save, to_remove, form, here) = (entries(), entries(), CaseForm::of(case), here.to_owned());
    view! {
        <Card title="Change test case">
            <div class="stack">
                <Form action=save>
                    {to_save}
                    {fields(form)}
                    <Submit>"Save test case"</Submit>
                </Form>
                <Form action=remove class="inline">
                    {to_remove}
                    <Submit look=Look::Quiet busy="Removing…">"Remove test case"</Submit>
                </Form>
                <p><a href=here>"New test case"</a></p>
            </div>
        </Card>
    }
    .into_any()
}

fn fields(form: CaseForm) -> AnyView {
    let kinds: Vec<Choice> = Check::KINDS.iter().map(|(word, label)| Choice::new(*word, *label)).collect();
    view! {
        <Field name="form[name]" label="Name" value=form.name longest=80/>
        <TextArea name="form[prompt]" label="Task" value=form.prompt hint="What the agent gets, as a run would give it."/>
        <RadioGroup name="form[check]" label="The answer" choices=kinds value=form.check/>
        <TextArea name="form[expected]" label="Expected" class="mono" value=form.expected/>
    }
    .into_any()
}
