//! The document's title: "{Object} · {Section} · {Organization}", with "Error:" before it while a form is refused.

use leptos::prelude::*;

use super::form::{PageRefused, Replay};
use crate::host;

/// The organization's name for titles; the frame sets it. Not in the arena: the head is written outside of it.
#[derive(Debug, Clone)]
pub struct OrgName(pub ArcRwSignal<Option<String>>);

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
    let words = move || {
        let replayed =
            replay.is_some_and(|replay| replay.0.with(|it| it.as_ref().is_some_and(|it| it.error.is_some())));
        let error = if replayed || refused.is_some_and(|refused| refused.0.get()) { "Error: " } else { "" };
        // While a page goes, its title is asked for once more.
        format!("{error}{}", text.try_get().unwrap_or_default())
    };
    let words = host::settled(words);
    let full = move || {
        let org = org.as_ref().and_then(|org| org.0.get()).unwrap_or_else(|| "AgentFlow".to_owned());
        format!("{} · {org}", words())
    };
    view! { <leptos_meta::Title text=full/> }.into_any()
}
