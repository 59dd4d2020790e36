//! Going anywhere and finding by name: a page, and the same as a palette over every page (Ctrl K). Its lists are written by
//! the server; the palette only moves in them.

pub mod api;
#[cfg(feature = "ssr")]
mod commands;
#[cfg(feature = "ssr")]
mod found;
mod keys;
mod open;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::{
    frame::use_org,
    kit::{
        Glyph, Icon, PageHeader, Title,
        fragment::{Fragment, Html},
    },
    wire::{Loaded, loading},
};

pub use self::{keys::waits_for_letter, open::Palette};

/// The page where things are found by name.
#[component]
pub fn SearchPage() -> impl IntoView {
    let org = use_org();
    let query = use_query_map();
    let typed = Memo::new(move |_| query.read().get("q").unwrap_or_default());
    let slug = org.clone();
    let found = loading(
        move || typed.get(),
        move |q| {
            let found = api::find(slug.clone(), q);
            async move { found.await.map(Part) }
        },
    );
    view! {
        <Title text="Search"/>
        <PageHeader title="Search"/>
        <form class="find-form" role="search" method="get" action=format!("/o/{org}/search")>
            <input type="search" name="q" aria-label="Search by name or run id" value=move || typed.get()/>
            <button type="submit" class="btn btn-primary">
                <Icon glyph=Glyph::Search/>
                "Search"
            </button>
        </form>
        <Loaded resource=found view=|Part(html)| view! { <Fragment html class="found"/> }.into_any()/>
    }
    .into_any()
}

/// The page of the keyboard shortcuts.
#[component]
pub fn ShortcutsPage() -> impl IntoView {
    let org = use_org();
    let shortcuts = loading(
        || (),
        move |()| {
            let shortcuts = api::shortcuts(org.clone());
            async move { shortcuts.await.map(Part) }
        },
    );
    view! {
        <Title text="Keyboard shortcuts"/>
        <PageHeader title="Keyboard shortcuts"/>
        <Loaded resource=shortcuts view=|Part(html)| view! { <Fragment html class="shortcuts"/> }.into_any()/>
    }
    .into_any()
}

/// A part that the page begins with: it is in the page's HTML and not in its data once more.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Part(#[serde(skip)] Html);
