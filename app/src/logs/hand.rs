//! Keys of a log, and what its values offer.

use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement};

use crate::host;

/// Whether no other key is held that would make it a command of the browser's.
pub fn is_plain(event: &ev::KeyboardEvent) -> bool {
    !(event.ctrl_key() || event.meta_key() || event.alt_key())
}

/// Enter goes from hit to hit while the text is the one that was searched for.
pub fn search_key(event: &ev::KeyboardEvent) {
    let field = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
    if event.key() == "Enter"
        && let Some(field) = field.filter(|field| field.id() == "log-q")
        && !field.value().is_empty()
        && field.get_attribute("data-q") == Some(field.value())
        && document().query_selector(".log-hits [rel=next]").ok().flatten().is_some()
    {
        event.prevent_default();
        press(if event.shift_key() { ".log-hits [rel=prev]" } else { ".log-hits [rel=next]" });
    }
}

/// `/` goes to the search from everywhere on the page; the browser's own search is only spoken of.
pub fn page_keys(hint: RwSignal<bool>, keys_are_on: impl Fn() -> bool + Copy + 'static) {
    Effect::new(move |_| {
        let handle = window_event_listener(ev::keydown, move |event| {
            let typing = host::is_in_form(&event, "input, textarea, select, [contenteditable], dialog");
            match event.key().as_str() {
                "/" if is_plain(&event) && !typing && keys_are_on() && !crate::palette::waits_for_letter() => {
                    hint.set(false);
                    // The keys of every page may have been there already.
                    if !event.default_prevented() {
                        event.prevent_default();
                        focus_search();
                    }
                }
                "f" if event.ctrl_key() || event.meta_key() => hint.set(true),
                _ => {}
            }
        });
        on_cleanup(move || handle.remove());
    });
}

/// Goes into the search.
pub fn focus_search() {
    let field = document().get_element_by_id("log-q").and_then(|field| field.dyn_into::<HtmlInputElement>().ok());
    if let Some(field) = field {
        drop(field.focus());
        field.select();
    }
}

/// Follows a link of the view.
pub fn press(selector: &str) {
    let link = document().query_selector(selector).ok().flatten().and_then(|link| link.dyn_into::<HtmlElement>().ok());
    if let Some(link) = link {
        link.click();
    }
}

/// Closes what a value offers.
pub fn close_menu() {
    if let Ok(Some(menu)) = document().query_selector(".log-menu") {
        menu.remove();
    }
}

/// Closes it and goes back to the value.
pub fn leave_menu() {
    if let Ok(Some(value)) = document().query_selector("[data-pick]:has(+ .log-menu)") {
        close_menu();
        if let Ok(value) = value.dyn_into::<HtmlElement>() {
            drop(value.focus());
        }
    }
}

/// Only these lines, or none of them; and those around the line.
pub fn open_menu(at: &Element, field: &str, only: &str, address: &str, has_context: bool) {
    let Some(parent) = at.parent_element() else { return };
    let value = host::encoded(&at.text_content().unwrap_or_default());
    let row = at.closest(".log-line").ok().flatten().map(|row| row.id()).unwrap_or_default();
    let mut links = vec![
        (if field == "level" { "This and above" } else { "Only this" }, only.to_owned()),
        ("Without this", format!("?{address}&not_{field}={value}")),
    ];
    if has_context {
        links.push(("Show context", format!("?{address}&around={}", row.trim_start_matches('L'))));
    }
    let Ok(menu) = document().create_element("span") else { return };
    menu.set_class_name("log-menu");
    for (words, href) in links {
        if let Ok(link) = document().create_element("a") {
            link.set_text_content(Some(words));
            drop(link.set_attribute("href", &href));
            drop(link.set_attribute("data-noscroll", ""));
            drop(menu.append_child(&link));
        }
    }
    drop(parent.append_child(&menu));
    if let Some(first) = menu.first_element_child().and_then(|link| link.dyn_into::<HtmlElement>().ok()) {
        drop(first.focus());
    }
}
