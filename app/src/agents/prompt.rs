//! The editor of an agent's instructions: what stands in braces is marked, the variables are told, and how long it is.

use agentflow::{
    engine::{plan::template, port::tokens_at_most},
    kernel::text,
};
use leptos::{ev::Event, html, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::HtmlTextAreaElement;

use crate::kit::TextArea;

/// Instructions to edit. Without JavaScript a plain text area, with what was true when the page was made below it.
#[component]
pub fn PromptEditor(
    /// The entry's name.
    name: &'static str,
    /// What to type.
    label: &'static str,
    /// How to type it.
    hint: &'static str,
    /// What stands there at first.
    value: String,
) -> impl IntoView {
    let typed = RwSignal::new(value.clone());
    let editor = NodeRef::<html::Div>::new();
    // A form that was refused, or that the browser has restored, has another text than the one it was made with.
    Effect::new(move |_| {
        let found = editor.get().and_then(|editor| editor.query_selector("textarea").ok().flatten());
        if let Some(area) = found.and_then(|area| area.dyn_into::<HtmlTextAreaElement>().ok()) {
            typed.set(area.value());
        }
    });
    let listen = move |event: Event| {
        if let Some(area) = event.target().and_then(|area| area.dyn_into::<HtmlTextAreaElement>().ok()) {
            typed.set(area.value());
        }
    };
    view! {
        <div class="prompt-editor" node_ref=editor on:input=listen>
            <TextArea name label rows=12 value hint/>
            <div class="prompt-behind" aria-hidden="true">{move || typed.with(|typed| marked(typed))}</div>
        </div>
        <p class="hint prompt-length">{move || typed.with(|typed| length(typed))}</p>
        {move || typed.with(|typed| variables(typed))}
    }
    .into_any()
}

/// The text with its expressions marked. It stands behind the letters of the text area, in the same places.
fn marked(typed: &str) -> Vec<AnyView> {
    let spans = template::spans(typed).into_iter().map(|(is_expression, span)| {
        let span = span.to_owned();
        if is_expression { view! { <mark>{span}</mark> }.into_any() } else { span.into_any() }
    });
    // A line end at the very end has a line of its own in a text area.
    spans.chain(std::iter::once("\u{200b}".into_any())).collect()
}

fn length(typed: &str) -> String {
    let characters = text::grouped(typed.chars().count() as u64);
    let tokens = text::grouped(tokens_at_most(typed.len()));
    format!("{characters} characters, about {tokens} tokens at most. They are read again with each model call.")
}

fn variables(typed: &str) -> Option<AnyView> {
    let found = template::variables(typed);
    if found.is_empty() {
        return None;
    }
    let unknown: Vec<_> = found.iter().filter(|(_, known)| !known).map(|(path, _)| format!("“{path}”")).collect();
    let chips: Vec<_> = found
        .into_iter()
        .map(|(path, known)| {
            let class = if known { "tag" } else { "tag is-unknown" };
            view! { <li class=class><code>{path.to_owned()}</code></li> }
        })
        .collect();
    let unknown = (!unknown.is_empty()).then(|| {
        let words = format!(
            "There is nothing called {}. Instructions can read input, steps, context, item, index, previous, run and now.",
            unknown.join(", "),
        );
        view! { <p class="field-error" role="status">{words}</p> }
    });
    let view = view! {
        <div class="prompt-variables">
            <p class="label" id="prompt-variables">"Filled in for each task"</p>
            <ul class="tags" aria-labelledby="prompt-variables">{chips}</ul>
            {unknown}
        </div>
    };
    Some(view.into_any())
}
