//! What is typed and not saved: said in words, and asked about before the page is left.

use agentflow::kernel::Timestamp;
use leptos::{ev, prelude::*};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Element, MouseEvent};

use crate::kit::Time;

/// What is asked before a link leads away from what is not saved.
const QUESTION: &str = "Your changes are not saved. Leave the page without them?";

/// Whether what stands in the form is saved.
#[component]
pub fn SaveState(
    /// The version that the form shows.
    version: i32,
    /// When it was saved.
    saved_at: Timestamp,
    /// Whether something was typed since.
    typed: RwSignal<bool>,
) -> impl IntoView {
    let saved = move || {
        if typed.get() {
            "Changes not saved".into_any()
        } else {
            view! { {format!("Saved as version {version}, ")}<Time at=saved_at/> }.into_any()
        }
    };
    view! { <p class="hint save-state" role="status">{saved}</p> }.into_any()
}

/// Asks before the page is left while something typed is not saved: the browser where it goes elsewhere, and we where a
/// link leads to another page of ours.
pub fn ask_before_leaving(typed: RwSignal<bool>) {
    Effect::new(move |_| {
        let unload = window_event_listener(ev::beforeunload, move |event| {
            if typed.get_untracked() {
                event.prevent_default();
            }
        });
        let ask = Closure::<dyn FnMut(MouseEvent)>::new(move |event: MouseEvent| {
            if typed.get_untracked() && leads_away(&event) {
                if window().confirm_with_message(QUESTION).unwrap_or(true) {
                    typed.set(false);
                } else {
                    event.prevent_default();
                    event.stop_propagation();
                }
            }
        });
        // On the way down, before the router hears of it.
        let _ = document().add_event_listener_with_callback_and_bool("click", ask.as_ref().unchecked_ref(), true);
        #[expect(clippy::disallowed_methods, reason = "an effect runs in the browser alone")]
        let ask = StoredValue::new_local(ask);
        on_cleanup(move || {
            unload.remove();
            ask.try_with_value(|ask| {
                let listener = ask.as_ref().unchecked_ref();
                let _ = document().remove_event_listener_with_callback_and_bool("click", listener, true);
            });
        });
    });
}

/// Whether a click opens another page in the place of this one.
fn leads_away(event: &MouseEvent) -> bool {
    if event.button() != 0 || event.meta_key() || event.ctrl_key() || event.shift_key() || event.alt_key() {
        return false;
    }
    let element = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let link = element.and_then(|element| element.closest("a[href]").ok().flatten());
    link.is_some_and(|link| {
        let href = link.get_attribute("href").unwrap_or_default();
        !href.starts_with('#') && !link.has_attribute("download") && link.get_attribute("target").is_none()
    })
}
