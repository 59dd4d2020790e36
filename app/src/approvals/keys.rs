//! The inbox by keyboard: letters act only while the list or the card has the focus, and never in a text field.

use std::time::Duration;

use leptos::{
    html,
    prelude::*,
    web_sys::{Element, HtmlElement, KeyboardEvent},
};
use wasm_bindgen::JsCast;

/// Where letters are typed. A box to tick takes none.
const FIELDS: &str = "input:not([type=checkbox]), textarea, select, dialog";

/// The handler of the region that holds list and card. `by_key` notes whether the last decision came from here.
pub(super) fn handler(
    region: NodeRef<html::Div>,
    by_key: StoredValue<bool>,
    are_on: impl Fn() -> bool + Copy + 'static,
) -> impl Fn(KeyboardEvent) + Clone + 'static {
    move |event: KeyboardEvent| {
        if event.ctrl_key() || event.meta_key() || event.alt_key() || event.repeat() || event.default_prevented() {
            return;
        }
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        // Fields and dialogs have their own use for letters.
        if target.as_ref().is_some_and(|it| matches!(it.closest(FIELDS), Ok(Some(_)))) {
            return;
        }
        let key = event.key();
        // Who has switched letters off keeps the arrows. A letter after `g` leads to a place, and decides nothing.
        if key.len() == 1 && (!are_on() || crate::palette::waits_for_letter()) {
            return;
        }
        let Some(region) = region.get_untracked() else { return };
        let region: &Element = region.as_ref();
        let done = match key.as_str() {
            "j" | "ArrowDown" => step(region, 1),
            "k" | "ArrowUp" => step(region, -1),
            // Nobody decides what they do not see: a row whose card does not show is opened first.
            "a" | "r" | "c" | "e" | "h" if open_row(target.as_ref()) => true,
            "a" => press(region, ".inbox-card", "a"),
            // These open a form, and decide nothing: they wait for a card that is on its way.
            "r" | "c" | "e" | "h" => {
                if !press(region, ".inbox-card", &key) {
                    press_soon(region.clone(), key, current(region), 40);
                }
                true
            }
            "x" => pick(region, target.as_ref()),
            "z" => press(region, ".inbox", "z") || press(region, "", "z"),
            _ => return,
        };
        if done {
            by_key.set_value(true);
            event.prevent_default();
        }
    }
}

/// Goes to the next or previous row: the focus, and with it the card.
fn step(region: &Element, by: i32) -> bool {
    let Ok(rows) = region.query_selector_all(".inbox-rows .inbox-title") else { return false };
    let rows: Vec<HtmlElement> =
        (0..rows.length()).filter_map(|at| rows.item(at)).filter_map(|it| it.dyn_into().ok()).collect();
    let active = document().active_element();
    let here = rows.iter().position(|row| active.as_ref().is_some_and(|it| it.is_same_node(Some(row))));
    let here = here.or_else(|| rows.iter().position(|row| row.get_attribute("aria-current").is_some()));
    let to = match (here, by) {
        (None, _) => 0,
        (Some(here), 1) => (here + 1).min(rows.len().saturating_sub(1)),
        (Some(here), _) => here.saturating_sub(1),
    };
    let Some(row) = rows.get(to) else { return false };
    row.click();
    let _ = row.focus();
    true
}

/// Selects the row that has the focus, else the one whose card shows, or lets it go again.
fn pick(region: &Element, target: Option<&Element>) -> bool {
    let of = |row: &Element| row.query_selector(".inbox-pick").ok().flatten();
    let row = target.and_then(|it| it.closest(".inbox-row").ok().flatten());
    let row = row.or_else(|| region.query_selector(".inbox-row.is-selected").ok().flatten());
    let Some(Ok(found)) = row.as_ref().and_then(of).map(|found| found.dyn_into::<HtmlElement>()) else { return false };
    found.click();
    true
}

/// Opens the row that has the focus, if its card is not the one that shows.
fn open_row(target: Option<&Element>) -> bool {
    let Some(row) = target.and_then(|it| it.closest(".inbox-title").ok().flatten()) else { return false };
    if row.get_attribute("aria-current").is_some() {
        return false;
    }
    let Ok(row) = row.dyn_into::<HtmlElement>() else { return false };
    row.click();
    true
}

/// Does what a letter stands for, as if its button was pressed.
fn press(region: &Element, within: &str, key: &str) -> bool {
    let selector = format!(
        "{within} a[data-key={key}], {within} summary[data-key={key}], {within} [data-key={key}]:not([hidden]) button[type=submit]"
    );
    let Ok(Some(found)) = region.query_selector(&selector) else { return false };
    let Ok(found) = found.dyn_into::<HtmlElement>() else { return false };
    let _ = found.focus();
    found.click();
    // What opened begins with a field.
    if found.tag_name() == "SUMMARY"
        && let Ok(Some(more)) = found.closest("details")
        && let Ok(Some(field)) = more.query_selector("input:not([type=hidden]), textarea")
        && let Ok(field) = field.dyn_into::<HtmlElement>()
    {
        set_timeout(move || drop(field.focus()), Duration::ZERO);
    }
    true
}

/// The row whose card shows, or is about to.
fn current(region: &Element) -> String {
    let row = region.query_selector(".inbox-title[aria-current]").ok().flatten();
    row.map(|row| row.id()).unwrap_or_default()
}

/// The card of the row is on its way: what its letter stands for is done when it is there, unless one has gone on to
/// another row by then.
fn press_soon(region: Element, key: String, row: String, tries: u32) {
    let look = move || {
        if tries > 0 && current(&region) == row && !press(&region, ".inbox-card", &key) {
            // A card that is there and has no such button will have none.
            if matches!(region.query_selector(".inbox-card .approval-card"), Ok(None)) {
                press_soon(region, key, row, tries - 1);
            }
        }
    };
    set_timeout(look, Duration::from_millis(25));
}

/// Puts the focus on an element once it is there.
pub(super) fn focus_soon(id: String) {
    set_timeout(
        move || {
            let found = document().get_element_by_id(&id).and_then(|it| it.dyn_into::<HtmlElement>().ok());
            if let Some(found) = found {
                let _ = found.focus();
            }
        },
        Duration::from_millis(30),
    );
}
