//! Saved views above a list: links to the filters that a person gave a name, and what keeps, renames and removes them.

pub mod api;

use agentflow::views::SavedView;
use leptos::prelude::*;

use self::api::{RemoveView, RenameView, SaveView};
use crate::{
    kit::{Field, Form, FormAction, Look, Submit},
    wire::{hidden, on_success},
};

/// The views of a page.
#[component]
pub fn SavedViews(
    /// The organization.
    org: String,
    /// The page's name.
    page: &'static str,
    /// The page's address.
    base: String,
    /// What is there.
    views: Vec<SavedView>,
    /// The filters of the list as it is, or nothing.
    kept: String,
    /// Counts what was changed, so that the page reads them again.
    changes: RwSignal<u32>,
) -> impl IntoView {
    let is_kept = views.iter().any(|view| view.query == kept);
    let current = kept.clone();
    let links: Vec<_> = views
        .iter()
        .map(|view| {
            let is_current = (view.query == current).then_some("page");
            view! { <li><a href=format!("{base}?{}", view.query) aria-current=is_current>{view.name.clone()}</a></li> }
        })
        .collect();
    let nav = (!links.is_empty()).then(|| {
        view! { <nav class="views" aria-label="Saved views"><ul>{links}</ul></nav> }
    });
    let save = (!kept.is_empty() && !is_kept).then(|| keep(&org, page, kept, changes));
    let edit = (!views.is_empty()).then(|| edit(&org, page, views, changes));
    view! { <div class="views-bar">{nav}{save}{edit}</div> }.into_any()
}

fn keep(org: &str, page: &'static str, kept: String, changes: RwSignal<u32>) -> AnyView {
    let save = FormAction::new::<SaveView>();
    on_success(save, move || changes.update(|count| *count += 1));
    let entries = hidden([("org", org.to_owned()), ("page", page.to_owned()), ("kept", kept)]);
    view! {
        <details class="views-form">
            <summary>"Save this view"</summary>
            <Form action=save>
                {entries}
                <Field name="name" label="Name" hint="A view with this name is replaced. You alone see it." longest=60/>
                <Submit busy="Saving…">"Save view"</Submit>
            </Form>
        </details>
    }
    .into_any()
}

fn edit(org: &str, page: &'static str, views: Vec<SavedView>, changes: RwSignal<u32>) -> AnyView {
    let rows: Vec<_> = views
        .into_iter()
        .enumerate()
        .map(|(place, view)| {
            let (rename, remove) = (FormAction::new::<RenameView>(), FormAction::new::<RemoveView>());
            on_success(rename, move || changes.update(|count| *count += 1));
            on_success(remove, move || changes.update(|count| *count += 1));
            let entries = || hidden([("org", org.to_owned()), ("page", page.to_owned()), ("view", view.name.clone())]);
            let (of_rename, of_remove) = (entries(), entries());
            let (name, of_name) = (view.name.clone(), format!(" “{}”", view.name));
            let of_name_too = of_name.clone();
            view! {
                <li>
                    <Form action=rename id=format!("rename-view-{place}") class="inline">
                        {of_rename}
                        <Field name="name" label=format!("Name of{of_name}") value=name longest=60/>
                        <Submit busy="Renaming…">"Rename" <span class="visually-hidden">{of_name}</span></Submit>
                    </Form>
                    <Form action=remove id=format!("remove-view-{place}") class="inline">
                        {of_remove}
                        <Submit look=Look::Quiet busy="Removing…">
                            "Remove" <span class="visually-hidden">{of_name_too}</span>
                        </Submit>
                    </Form>
                </li>
            }
        })
        .collect();
    view! {
        <details class="views-form">
            <summary>"Edit views"</summary>
            <ul class="views-edit">{rows}</ul>
        </details>
    }
    .into_any()
}
