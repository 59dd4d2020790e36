//! Keys that act on every page.

use std::cell::Cell;

use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent, js_sys};

/// The places that `g` and a letter lead to, below the organization's address.
pub const PLACES: [(char, &str); 8] = [
    ('d', ""),
    ('r', "runs"),
    ('a', "approvals"),
    ('l', "logs"),
    ('g', "agents"),
    ('w', "workflows"),
    ('t', "tools"),
    ('s', "settings"),
];

/// For so many milliseconds a `g` waits for its letter.
const WAITS_MS: f64 = 1_200.0;

thread_local! {
    /// When a `g` was pressed that waits for its letter.
    static BEGAN: Cell<f64> = const { Cell::new(0.0) };
}

/// Whether a `g` was pressed a moment ago: the next letter is for a place, and means nothing else on the page.
#[must_use]
pub fn waits_for_letter() -> bool {
    js_sys::Date::now() - BEGAN.get() < WAITS_MS
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The palette.
    Palette,
    /// The list of shortcuts.
    Shortcuts,
    /// A place, below the organization's address.
    Place(&'static str),
    /// The search or filter of the page.
    Find,
}

/// Calls `on` with what the keys of the page ask for, for as long as the component lives. Single letters count only where
/// nothing is typed, and no dialog is open.
pub fn listen(on: impl Fn(Wish) -> bool + 'static) {
    let keys_are_on = crate::frame::single_keys();
    let handle = window_event_listener(ev::keydown, move |event| {
        let key = event.key();
        let mut letters = key.chars();
        let (Some(letter), None) = (letters.next(), letters.next()) else { return };
        if (event.ctrl_key() || event.meta_key()) && !event.alt_key() && !event.shift_key() && letter == 'k' {
            if on(Wish::Palette) {
                event.prevent_default();
            }
            return;
        }
        if !keys_are_on() || event.ctrl_key() || event.meta_key() || event.alt_key() || is_typing(&event) {
            return;
        }
        let wish = if waits_for_letter() {
            BEGAN.set(0.0);
            place(letter).map(Wish::Place)
        } else {
            match letter {
                'g' => {
                    BEGAN.set(js_sys::Date::now());
                    None
                }
                '?' => Some(Wish::Shortcuts),
                '/' => Some(Wish::Find),
                _ => None,
            }
        };
        if wish.is_some_and(&on) {
            event.prevent_default();
        }
    });
    on_cleanup(move || handle.remove());
}

fn place(letter: char) -> Option<&'static str> {
    PLACES.iter().find(|(key, _)| *key == letter).map(|(_, below)| *below)
}

/// Whether the key goes into a field, or a dialog is in front of the page.
fn is_typing(event: &KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok());
    let field = target.is_some_and(|target| {
        target.is_content_editable()
            || target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select").unwrap_or(false)
    });
    field || event.default_prevented() || document().query_selector("dialog[open]").ok().flatten().is_some()
}
