//! The document's title: "{Object} · {Section} · {Organization}", with "Error:" before it while a form is refused.

use leptos::prelude::*;

use super::form::{PageRefused, Replay};

/// The organization's name for titles; the frame sets it.
#[derive(Debug, Clone, Copy)]
pub struct OrgName(pub RwSignal<Option<String>>);

/// Sets the document's title. `text` is "{Object} · {Section}", or the section alone.
#[component]
pub fn Title(
    /// The part before the organization.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    let org = use_context::<OrgName>();
    let replay = use_context::<Replay>();
    let refused = use_context::<PageRefused>();
    let full = move || {
        let replayed =
            replay.is_some_and(|replay| replay.0.with(|it| it.as_ref().is_some_and(|it| it.error.is_some())));
        let error = if replayed || refused.is_some_and(|refused| refused.0.get()) { "Error: " } else { "" };
        let org = org.and_then(|org| org.0.get()).unwrap_or_else(|| "AgentFlow".to_owned());
        // While a page goes, its title is asked for once more.
        format!("{error}{} · {org}", text.try_get().unwrap_or_default())
    };
    view! { <leptos_meta::Title text=full/> }.into_any()
}
