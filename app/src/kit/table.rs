//! Tables: real ones, with a caption, a head that stays in sight, and a region of their own to scroll in.

use leptos::prelude::*;

use super::icon::{Glyph, Icon};

/// A table in its scrolling region.
#[component]
pub fn DataTable(
    /// What the table shows; read out, not seen.
    #[prop(into)]
    caption: String,
    /// The head's cells: [`Th`].
    head: ViewFnOnce,
    /// Further classes; `cards` turns rows into cards on a phone (cells then carry `data-label`).
    #[prop(optional)]
    class: &'static str,
    /// The rows.
    children: Children,
) -> impl IntoView {
    let name = caption.clone();
    view! {
        <div class="table-region" role="region" aria-label=name tabindex="0">
            <table class=format!("table {class}")>
                <caption class="visually-hidden">{caption}</caption>
                <thead>
                    <tr>{head.run()}</tr>
                </thead>
                <tbody>{children()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// The order of a sorted column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// The head of a column. With `href` it is a link that sorts by the column.
#[component]
pub fn Th(
    /// Whether numbers stand below: they are set to the right.
    #[prop(optional)]
    num: bool,
    /// The order, if the table is sorted by this column.
    #[prop(optional_no_strip)]
    order: Option<Order>,
    /// The address of the list sorted by this column.
    #[prop(optional, into)]
    href: Option<String>,
    /// The column's name.
    children: Children,
) -> impl IntoView {
    let sort = order.map(|order| match order {
        Order::Ascending => ("ascending", Glyph::ArrowUp),
        Order::Descending => ("descending", Glyph::ArrowDown),
    });
    let glyph = sort.map(|(_, glyph)| view! { <Icon glyph/> });
    let content = match href {
        Some(href) => view! { <a href=href>{children()}{glyph}</a> }.into_any(),
        None => view! { {children()}{glyph} }.into_any(),
    };
    view! {
        <th scope="col" class:num=num aria-sort=sort.map(|(word, _)| word)>
            {content}
        </th>
    }
    .into_any()
}

/// A value that is not there: a dash for the eye, words for the ear.
#[component]
pub fn NoValue() -> impl IntoView {
    view! {
        <span class="no-value">
            <span aria-hidden="true">"—"</span>
            <span class="visually-hidden">"no value"</span>
        </span>
    }
    .into_any()
}
