//! The page's two live regions: one speaks when there is a pause, the other at once. Both are there from the first byte.

use leptos::prelude::*;

/// Says something to people who hear the page.
#[derive(Debug, Clone, Copy)]
pub struct Announcer {
    polite: RwSignal<String>,
    assertive: RwSignal<String>,
}

impl Announcer {
    /// An announcer that says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { polite: RwSignal::new(String::new()), assertive: RwSignal::new(String::new()) }
    }

    /// Says it at the next pause.
    pub fn say(self, text: impl Into<String>) {
        speak(self.polite, text.into());
    }

    /// Says it at once: for lost data and the session's end.
    pub fn interrupt(self, text: impl Into<String>) {
        speak(self.assertive, text.into());
    }
}

impl Default for Announcer {
    fn default() -> Self {
        Self::new()
    }
}

/// Emptied first, so that the same words are spoken again.
fn speak(region: RwSignal<String>, text: String) {
    region.set(String::new());
    set_timeout(move || region.set(text), std::time::Duration::from_millis(60));
}

/// The two regions. Once in the app.
#[component]
pub fn LiveRegions(announcer: Announcer) -> impl IntoView {
    view! {
        <div class="visually-hidden" role="status" aria-live="polite">{move || announcer.polite.get()}</div>
        <div class="visually-hidden" role="alert" aria-live="assertive">{move || announcer.assertive.get()}</div>
    }
    .into_any()
}
