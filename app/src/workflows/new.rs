//! A new workflow: from a template, empty, or from a file.

use agentflow::workflows::TemplateCard;
use leptos::prelude::*;

use super::{
    api::{CreateWorkflow, ImportWorkflow, UseTemplate, list_templates},
    glyph_of, word_of,
};
use crate::{
    frame::use_org,
    kit::{Card, Crumb, Field, Form, FormAction, Icon, Look, PageHeader, Submit, TextArea, Title},
    wire::{Loaded, hidden, loading},
};

/// The ways to a new workflow.
#[component]
pub fn NewWorkflowPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let templates = loading(move || org.get(), list_templates);
    view! {
        <Title text=Signal::stored("New workflow · Workflows".to_owned())/>
        <Loaded resource=templates view=move |cards| body(&org.get_untracked(), cards)/>
    }
    .into_any()
}

fn body(org: &str, cards: Vec<TemplateCard>) -> AnyView {
    let crumbs = vec![Crumb::new("Workflows", format!("/o/{org}/workflows"))];
    let take = FormAction::new::<UseTemplate>();
    let cards: Vec<_> = cards.into_iter().map(|card| template(org, card, take)).collect();
    view! {
        <PageHeader title=Signal::stored("New workflow".to_owned()) crumbs/>
        <section class="stack" aria-labelledby="templates">
            <h2 id="templates">"Start from a template"</h2>
            <div class="template-grid">{cards}</div>
        </section>
        <div class="two-columns">
            {blank(org)}
            {import(org)}
        </div>
    }
    .into_any()
}

fn template(org: &str, card: TemplateCard, take: FormAction<()>) -> AnyView {
    let steps: Vec<_> = card
        .steps
        .into_iter()
        .map(|(depth, kind, label)| {
            let class = format!("template-step depth-{}", depth.min(4));
            view! { <li class=class><Icon glyph=glyph_of(&kind)/>{label}<span class="muted">{word_of(&kind)}</span></li> }
        })
        .collect();
    let count = steps.len();
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let (title, name) = (card.name.clone(), card.name);
    let (agents, tools) = (list(card.agents), list(card.tools));
    let id = format!("use-{}", card.id);
    let entries = hidden([("org", org.to_owned()), ("template", card.id)]);
    view! {
        <Card title=title>
            <div class="template">
                <p>{card.description}</p>
                <dl class="kv">
                    <div><dt>"Brings agents"</dt><dd>{agents}</dd></div>
                    <div><dt>"Uses tools"</dt><dd>{tools}</dd></div>
                </dl>
                <details>
                    <summary>{format!("{count} steps")}</summary>
                    <ol class="template-steps">{steps}</ol>
                </details>
                <Form action=take id=id>
                    {entries}
                    <Submit look=Look::Default busy="Creating…">
                        "Use template"
                        <span class="visually-hidden">{format!(" {name}")}</span>
                    </Submit>
                </Form>
            </div>
        </Card>
    }
    .into_any()
}

fn blank(org: &str) -> AnyView {
    let create = FormAction::new::<CreateWorkflow>();
    let entries = hidden([("org", org.to_owned())]);
    view! {
        <Card title="Start empty">
            <Form action=create>
                {entries}
                <Field name="name" label="Name" longest=80/>
                <TextArea name="description" label="What it is for" optional=true rows=2/>
                <Submit look=Look::Default busy="Creating…">"Create workflow"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}

fn import(org: &str) -> AnyView {
    let import = FormAction::new::<ImportWorkflow>();
    let entries = hidden([("org", org.to_owned())]);
    view! {
        <Card title="Import a file">
            <Form action=import>
                {entries}
                <TextArea
                    name="yaml"
                    label="YAML"
                    class="mono"
                    rows=8
                    hint="What a workflow's export gives: name, input, nodes, and the agents that it needs. Agents that are there already are used as they are."
                />
                <Submit look=Look::Default busy="Importing…">"Import workflow"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}
