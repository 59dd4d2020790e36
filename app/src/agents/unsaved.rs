//! What is typed and not saved: said in words, kept in this browser, and asked about before the page is left.

use std::time::Duration;

use agentflow::kernel::Timestamp;
use leptos::{ev, leptos_dom::helpers::TimeoutHandle, prelude::*};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Element, MouseEvent};

use crate::{host, kit::Time};

/// What is asked before a link leads away from what is not saved.
const QUESTION: &str = "Your changes are not saved. Leave the page without them?";
/// At most how often what is typed is kept.
const PAUSE: Duration = Duration::from_secs(1);
/// What the names of an agent's entries begin with.
const ENTRIES: &str = "form[";

/// Whether something was typed since the form was saved.
#[derive(Debug, Clone, Copy)]
pub struct Unsaved {
    typed: RwSignal<bool>,
    /// Whether this browser keeps it.
    keeps: RwSignal<bool>,
}

/// What is typed, as this browser keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// When, by the browser's clock.
    at_ms: f64,
    entries: Vec<(String, String)>,
}

impl Unsaved {
    /// Nothing was typed yet. From now on it is asked about before the page is left.
    pub fn new() -> Self {
        let unsaved = Self { typed: RwSignal::new(false), keeps: RwSignal::new(false) };
        unsaved.ask_before_leaving();
        unsaved
    }

    /// Something is being typed.
    pub fn typing(self) {
        self.typed.set(true);
    }

    /// It is saved, or given up.
    pub fn settled(self) {
        self.keeps.set(false);
        self.typed.set(false);
    }

    /// Asks before the page is left while something typed is not saved: the browser where it goes elsewhere, and we where
    /// a link leads to another page of ours.
    fn ask_before_leaving(self) {
        Effect::new(move |_| {
            let unload = window_event_listener(ev::beforeunload, move |event| {
                if self.typed.get_untracked() {
                    event.prevent_default();
                }
            });
            let ask = Closure::<dyn FnMut(MouseEvent)>::new(move |event: MouseEvent| {
                if self.typed.get_untracked() && leads_away(&event) {
                    if window().confirm_with_message(QUESTION).unwrap_or(true) {
                        self.settled();
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
}

/// Whether what stands in the form is saved.
#[component]
pub fn SaveState(
    /// The version that the form shows.
    version: i32,
    /// When it was saved.
    saved_at: Timestamp,
    /// Whether something was typed since.
    unsaved: Unsaved,
) -> impl IntoView {
    let saved = move || match (unsaved.typed.get(), unsaved.keeps.get()) {
        (true, true) => "Changes not saved as a version. This browser keeps them.".into_any(),
        (true, false) => "Changes not saved".into_any(),
        (false, _) => view! { {format!("Saved as version {version}, ")}<Time at=saved_at/> }.into_any(),
    };
    view! { <p class="hint save-state" role="status">{saved}</p> }.into_any()
}

/// Keeps what is typed into a form in this browser until it is saved or given up, and brings it back when the page is
/// opened again after a reload or a crash. Says so then, with the way back to what is saved.
#[component]
pub fn KeptDraft(
    /// What the form is of: the agent and its version.
    of: String,
    /// The form, as a selector.
    form: &'static str,
    /// Whether something was typed since it was saved.
    unsaved: Unsaved,
) -> impl IntoView {
    let name = StoredValue::new(format!("agent-draft:{of}"));
    let saved = StoredValue::new(Vec::new());
    let back = RwSignal::new(None::<f64>);
    let timer = StoredValue::new(None::<TimeoutHandle>);
    let forget = move || {
        if let Some(timer) = timer.try_update_value(Option::take).flatten() {
            timer.clear();
        }
        name.with_value(|name| host::keep(name, None));
    };
    let keep = move || {
        // The page may have been left meanwhile.
        let Some(name) = name.try_get_value() else { return };
        let _ = timer.try_set_value(None);
        let entries = host::entries(form, ENTRIES);
        let differs = saved.try_with_value(|saved| *saved != entries) == Some(true) && !entries.is_empty();
        let kept = Kept { at_ms: host::now_ms(), entries };
        let text = serde_json::to_string(&kept).ok().filter(|_| differs);
        host::keep(&name, text.as_deref());
        unsaved.keeps.try_set(text.is_some() && host::kept(&name) == text);
    };
    let bring_back = move || {
        let Some(name) = name.try_get_value() else { return };
        let kept = host::kept(&name).and_then(|text| serde_json::from_slice::<Kept>(text.as_bytes()).ok());
        let Some(Kept { at_ms, entries }) = kept else {
            let _ = saved.try_set_value(host::entries(form, ENTRIES));
            return;
        };
        // A browser may have filled in something by itself: what is saved is what the server wrote.
        host::fill_in(form, ENTRIES, None);
        let as_saved = host::entries(form, ENTRIES);
        let differs = as_saved != entries;
        saved.set_value(as_saved);
        if differs {
            host::fill_in(form, ENTRIES, Some(&entries));
            back.set(Some(at_ms));
            unsaved.typing();
        } else {
            unsaved.settled();
            forget();
        }
    };
    Effect::new(move |_| {
        // Once the form is a part of the page.
        set_timeout(bring_back, Duration::ZERO);
        let unload = window_event_listener(ev::beforeunload, move |_| {
            if unsaved.typed.get_untracked() {
                keep();
            }
        });
        on_cleanup(move || unload.remove());
    });
    // Each time that something is typed.
    Effect::new(move |before: Option<bool>| {
        let typed = unsaved.typed.get();
        if typed && timer.with_value(Option::is_none) {
            timer.set_value(set_timeout_with_handle(keep, PAUSE).ok());
        } else if !typed && before == Some(true) {
            forget();
        }
        typed
    });
    on_cleanup(move || {
        if let Some(timer) = timer.try_update_value(Option::take).flatten() {
            timer.clear();
        }
    });
    let discard = move |_| {
        host::fill_in(form, ENTRIES, None);
        back.set(None);
        unsaved.settled();
    };
    let line = move || {
        back.get().map(|at_ms| {
            view! {
                <p>{format!("Your unsaved changes of {} are back.", host::local_time(at_ms))}</p>
                <button type="button" class="btn btn-small" on:click=discard>"Discard"</button>
            }
        })
    };
    view! { <div class="kept-draft" role="status">{line}</div> }.into_any()
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
