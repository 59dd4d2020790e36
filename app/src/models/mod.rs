//! Task classes: which models stand behind each kind of work.

pub mod api;

use agentflow::{
    access::Permission,
    models::{ClassModels, label},
};
use leptos::prelude::*;

use crate::{
    frame::use_org,
    kit::{Card, Crumb, Form, FormAction, Look, PageHeader, Submit, TextArea, Title},
    wire::{Loaded, hidden, loading, on_success},
};
use api::{ClassesPage, SetModelClass, load_model_classes};

/// The page of the task classes.
#[component]
pub fn ModelClassesPageView() -> impl IntoView {
    let org = use_org();
    // Counts what was changed.
    let changes = RwSignal::new(0_u32);
    let slug = org.clone();
    let page = loading(move || changes.get(), move |_| load_model_classes(slug.clone()));
    let crumbs = vec![Crumb::new("Settings", format!("/o/{org}/settings"))];
    view! {
        <Title text="Task classes"/>
        <PageHeader
            title="Task classes"
            crumbs
            about=|| view! {
                <p class="muted">
                    "An agent can name a class of work in place of a model. The first model of the class that is connected \
                     is asked, the others in their order when it cannot be had."
                </p>
            }
        />
        <Loaded resource=page view=move |page| show(&org, page, changes)/>
    }
    .into_any()
}

fn show(org: &str, page: ClassesPage, changes: RwSignal<u32>) -> AnyView {
    let ClassesPage { classes, connected, role } = page;
    let may_change = role.may(Permission::Deploy);
    let cards: Vec<_> = classes.into_iter().map(|class| card(org, class, &connected, may_change, changes)).collect();
    let connect = format!("/o/{org}/integrations");
    view! {
        <div class="stack narrow">
            {cards}
            <p class="muted">
                "Models that are not connected are passed over. When none of a class is, another connected model is asked, the sandbox model last. "
                <a href=connect>"Connect a provider"</a>
            </p>
        </div>
    }
    .into_any()
}

fn card(org: &str, class: ClassModels, connected: &[String], may_change: bool, changes: RwSignal<u32>) -> AnyView {
    let lines: Vec<_> = class
        .models
        .iter()
        .map(|id| {
            let absent = (!connected.contains(id)).then(|| view! { <span class="muted">" · not connected"</span> });
            let provider = id.split_once('/').map_or("", |(provider, _)| provider).to_owned();
            view! { <li>{label(id).to_owned()} <span class="muted">{format!(" · {provider}")}</span> {absent}</li> }
        })
        .collect();
    let whose = if class.is_own { "Chosen by your organization." } else { "The usual models." };
    let forms = may_change.then(|| forms(org, &class, changes));
    view! {
        <Card title=class.class.label()>
            <div class="stack">
                <p>{class.class.about()} " " <code>{class.class.id()}</code></p>
                <p class="muted">{whose}</p>
                <ol class="class-models">{lines}</ol>
                {forms}
            </div>
        </Card>
    }
    .into_any()
}

fn forms(org: &str, class: &ClassModels, changes: RwSignal<u32>) -> AnyView {
    let (save, reset) = (FormAction::new::<SetModelClass>(), FormAction::new::<SetModelClass>());
    on_success(save, move || changes.update(|count| *count += 1));
    on_success(reset, move || changes.update(|count| *count += 1));
    let (name, models) = (class.class.name(), class.models.join("\n"));
    let entries = || hidden([("org", org.to_owned()), ("class", name.to_owned())]);
    let (to_save, to_reset) = (entries(), entries());
    let reset = class.is_own.then(|| {
        view! {
            <Form action=reset id=format!("usual-{name}") class="inline">
                {to_reset}
                <Submit look=Look::Quiet busy="Changing…">"Back to the usual models"</Submit>
            </Form>
        }
    });
    view! {
        <details class="integration-form">
            <summary>"Change" <span class="visually-hidden">{format!(": {}", class.class.label())}</span></summary>
            <Form action=save id=format!("class-{name}") done="The class is changed. Calls from now on go by it.">
                {to_save}
                <TextArea
                    name="models" label="Models" rows=7 class="mono" value=models
                    hint="One on a line, the first choice first, such as openai/gpt-5. Empty: the usual ones."
                />
                <Submit look=Look::Default>"Save class"</Submit>
            </Form>
            {reset}
        </details>
    }
    .into_any()
}
