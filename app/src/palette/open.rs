//! The palette over a page: the lists that the server writes, moved in with the keyboard. What is typed narrows down what is
//! there at once, and the server's answer takes its place.

use std::time::Duration;

use leptos::{ev, html, leptos_dom::helpers::TimeoutHandle, prelude::*, task::spawn_local};
use leptos_router::hooks::use_navigate;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

use super::{
    api,
    keys::{self, Wish},
};
use crate::kit::{Dialog, Glyph, Icon};

/// So long nothing more must be typed before the server is asked.
const REST: Duration = Duration::from_millis(80);
const HELP: &str = "shortcut-help";

/// The button and the dialog. The button is a link to the same as a page.
#[component]
pub fn Palette(
    /// The organization, as in the address.
    org: String,
) -> impl IntoView {
    let palette = Open {
        org: StoredValue::new(org.clone()),
        dialog: NodeRef::new(),
        field: NodeRef::new(),
        list: NodeRef::new(),
        help: NodeRef::new(),
        chosen: RwSignal::new(0),
        count: RwSignal::new(0),
        rest: StoredValue::new(None),
    };
    let navigate = use_navigate();
    keys::listen(move |wish| match wish {
        Wish::Palette => palette.open(),
        Wish::Shortcuts => palette.explain(),
        Wish::Place(below) => {
            navigate(&format!("/o/{}/{below}", palette.org.get_value()), Default::default());
            true
        }
        Wish::Find => focus("main input[type=search]"),
    });
    let on_click = move |event: ev::MouseEvent| {
        let plain = !(event.ctrl_key() || event.meta_key() || event.shift_key());
        if plain && palette.open() {
            event.prevent_default();
        }
    };
    let active = move || (palette.count.get() > 0).then(|| format!("found-{}", palette.chosen.get()));
    let told = move || match palette.count.get() {
        0 => "No results".to_owned(),
        1 => "1 result".to_owned(),
        more => format!("{more} results"),
    };
    let close = move |_| {
        if let Some(dialog) = palette.dialog.get_untracked() {
            dialog.close();
        }
    };
    view! {
        <a class="btn btn-quiet btn-icon" href=format!("/o/{org}/search") aria-keyshortcuts="Control+K Meta+K" title="Search (Ctrl K)" on:click=on_click>
            <Icon glyph=Glyph::Search/>
            <span class="visually-hidden">"Search"</span>
        </a>
        <dialog class="dialog palette" aria-label="Search and go anywhere" node_ref=palette.dialog>
            <input
                type="text"
                inputmode="search"
                role="combobox"
                aria-label="Search by name, or go to a page"
                aria-expanded="true"
                aria-autocomplete="list"
                aria-controls="palette-list"
                aria-activedescendant=active
                autocomplete="off"
                spellcheck="false"
                placeholder="A page, an action, a name or a run's id"
                node_ref=palette.field
                on:input=move |_| palette.typed()
                on:keydown=move |event| palette.press(&event)
            />
            <div id="palette-list" class="found" role="listbox" aria-label="Results" node_ref=palette.list on:click=close></div>
            <p class="palette-foot">
                <kbd>">"</kbd>" actions " <kbd>"#"</kbd>" runs " <kbd>"@"</kbd>" agents"
                <span class="visually-hidden" role="status">{told}</span>
            </p>
        </dialog>
        <Dialog id=HELP title="Keyboard shortcuts">
            <div class="shortcuts" node_ref=palette.help></div>
        </Dialog>
    }
    .into_any()
}

#[derive(Clone, Copy)]
struct Open {
    org: StoredValue<String>,
    dialog: NodeRef<html::Dialog>,
    field: NodeRef<html::Input>,
    list: NodeRef<html::Div>,
    help: NodeRef<html::Div>,
    /// Which of those that are shown would be opened.
    chosen: RwSignal<usize>,
    /// How many are shown.
    count: RwSignal<usize>,
    rest: StoredValue<Option<TimeoutHandle>>,
}

impl Open {
    fn open(self) -> bool {
        let (Some(dialog), Some(field)) = (self.dialog.get_untracked(), self.field.get_untracked()) else {
            return false;
        };
        if dialog.open() {
            dialog.close();
        } else if dialog.show_modal().is_ok() {
            field.select();
            self.ask();
        }
        true
    }

    fn explain(self) -> bool {
        let dialog = document().get_element_by_id(HELP).and_then(|it| it.dyn_into::<web_sys::HtmlDialogElement>().ok());
        let Some(dialog) = dialog else { return false };
        let org = self.org.get_value();
        spawn_local(async move {
            if let Ok(html) = api::shortcuts(org).await
                && let Some(Some(help)) = self.help.try_get_untracked()
            {
                help.set_inner_html(&html.into_inner());
            }
        });
        dialog.show_modal().is_ok()
    }

    fn text(self) -> String {
        self.field.get_untracked().map(|field| field.value()).unwrap_or_default()
    }

    fn typed(self) {
        let text = self.text();
        let name = text.trim().trim_start_matches(['>', '#', '@']).trim().to_ascii_lowercase();
        for item in all(self.list, "li") {
            let fits = item.text_content().unwrap_or_default().to_ascii_lowercase().contains(&name);
            let _ = item.toggle_attribute_with_force("hidden", !fits);
        }
        self.choose(0);
        if let Some(Some(rest)) = self.rest.try_update_value(Option::take) {
            rest.clear();
        }
        self.rest.set_value(set_timeout_with_handle(move || self.ask(), REST).ok());
    }

    /// Asks the server for what fits now.
    fn ask(self) {
        let (org, text) = (self.org.get_value(), self.text());
        spawn_local(async move {
            let Ok(html) = api::find(org, text.clone()).await else { return };
            let Some(Some(list)) = self.list.try_get_untracked() else { return };
            // An answer to what was typed before is none any more.
            if self.text() == text {
                list.set_inner_html(&html.into_inner());
                self.choose(0);
            }
        });
    }

    /// Chooses one of those that are shown. Links are the options of a list here.
    fn choose(self, place: usize) {
        for (selector, role) in [("h2, p, li", "presentation"), ("ul", "group")] {
            for element in all(self.list, selector) {
                let _ = element.set_attribute("role", role);
            }
        }
        let options = all(self.list, "li:not([hidden]) > a");
        for (at, option) in options.iter().enumerate() {
            let chosen = at == place;
            for (name, value) in
                [("role", "option"), ("tabindex", "-1"), ("aria-selected", if chosen { "true" } else { "false" })]
            {
                let _ = option.set_attribute(name, value);
            }
            option.set_id(&format!("found-{at}"));
            if chosen {
                option.scroll_into_view_with_scroll_into_view_options(&nearest());
            }
        }
        self.count.set(options.len());
        self.chosen.set(place);
    }

    fn press(self, event: &ev::KeyboardEvent) {
        let (chosen, count) = (self.chosen.get_untracked(), self.count.get_untracked());
        match event.key().as_str() {
            "ArrowDown" => self.choose((chosen + 1) % count.max(1)),
            "ArrowUp" => self.choose((chosen + count.max(1) - 1) % count.max(1)),
            "Enter" => {
                let options = all(self.list, "li:not([hidden]) > a");
                if let Some(link) = options.get(chosen).and_then(|it| it.dyn_ref::<HtmlElement>()) {
                    link.click();
                }
            }
            _ => return,
        }
        event.prevent_default();
    }
}

fn nearest() -> web_sys::ScrollIntoViewOptions {
    let options = web_sys::ScrollIntoViewOptions::new();
    options.set_block(web_sys::ScrollLogicalPosition::Nearest);
    options
}

fn all(list: NodeRef<html::Div>, selector: &str) -> Vec<Element> {
    let found = list.get_untracked().and_then(|list| list.query_selector_all(selector).ok());
    let Some(found) = found else { return Vec::new() };
    (0..found.length()).filter_map(|at| found.item(at)?.dyn_into().ok()).collect()
}

fn focus(selector: &str) -> bool {
    let field = document().query_selector(selector).ok().flatten().and_then(|it| it.dyn_into::<HtmlElement>().ok());
    field.is_some_and(|field| field.focus().is_ok())
}
