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
    // While a page goes, its title is asked for once more.
    let full = move || {
        let replayed =
            replay.and_then(|replay| replay.0.try_with(|it| it.as_ref().is_some_and(|it| it.error.is_some())));
        let error =
            if replayed.unwrap_or_default() || refused.and_then(|refused| refused.0.try_get()).unwrap_or_default() {
                "Error: "
            } else {
                ""
            };
        let org = org.and_then(|org| org.0.try_get().flatten()).unwrap_or_else(|| "AgentFlow".to_owned());
        format!("{error}{} · {org}", text.try_get().unwrap_or_default())
    };
    view! { <leptos_meta::Title text=full/> }.into_any()
}
