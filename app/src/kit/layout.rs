//! The parts that pages are laid out with.

use leptos::prelude::*;

use super::icon::{Glyph, Icon};

/// A step on the way to a page: its name and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crumb {
    /// The name.
    pub label: String,
    /// The address.
    pub href: String,
}

impl Crumb {
    /// A step on the way.
    pub fn new(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self { label: label.into(), href: href.into() }
    }
}

/// The head of a page: the way to it, its only `h1`, a line about it, and what can be done.
#[component]
pub fn PageHeader(
    /// The heading.
    #[prop(into)]
    title: Signal<String>,
    /// The way to the page, without the page itself.
    #[prop(optional)]
    crumbs: Vec<Crumb>,
    /// What stands beside the heading, such as a status.
    #[prop(optional, into)]
    beside: ViewFnOnce,
    /// What stands below the heading in small letters.
    #[prop(optional, into)]
    about: ViewFnOnce,
    /// Buttons and links.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let crumbs = (!crumbs.is_empty()).then(|| {
        let crumbs: Vec<_> =
            crumbs.into_iter().map(|crumb| view! { <li><a href=crumb.href>{crumb.label}</a></li> }).collect();
        view! { <nav class="crumbs" aria-label="Breadcrumbs"><ol>{crumbs}</ol></nav> }
    });
    view! {
        <header class="page-header">
            {crumbs}
            <div class="page-header-row">
                <h1 tabindex="-1">{move || title.get()}</h1>
                {beside.run()}
                {children.map(|children| view! { <div class="page-actions">{children()}</div> })}
            </div>
            {about.run()}
        </header>
    }
    .into_any()
}

/// A panel with a heading.
#[component]
pub fn Card(
    /// The heading.
    #[prop(optional, into)]
    title: Option<String>,
    /// What stands at the heading's end, such as a link.
    #[prop(optional, into)]
    aside: ViewFnOnce,
    /// Further classes; `flush` lets a table reach the edges.
    #[prop(optional)]
    class: &'static str,
    /// What is on it.
    children: Children,
) -> impl IntoView {
    let head = title.map(|title| view! { <div class="card-head"><h2>{title}</h2>{aside.run()}</div> });
    view! {
        <section class=format!("card {class}")>
            {head}
            <div class="card-body">{children()}</div>
        </section>
    }
    .into_any()
}

/// The way a message is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Good to know.
    #[default]
    Info,
    /// It went well.
    Success,
    /// Something is to be looked after.
    Warning,
    /// Something went wrong.
    Danger,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Info => "callout info",
            Self::Success => "callout success",
            Self::Warning => "callout warning",
            Self::Danger => "callout danger",
        }
    }

    const fn glyph(self) -> Glyph {
        match self {
            Self::Info => Glyph::Info,
            Self::Success => Glyph::Succeeded,
            Self::Warning => Glyph::Warning,
            Self::Danger => Glyph::Failed,
        }
    }
}

/// A message at the top of what it is about.
#[component]
pub fn Callout(
    /// The way it is meant.
    #[prop(optional)]
    tone: Tone,
    /// The message; what to do stands in it as a link or button.
    children: Children,
) -> impl IntoView {
    view! {
        <div class=tone.class()>
            <Icon glyph=tone.glyph()/>
            <div class="callout-body">{children()}</div>
        </div>
    }
    .into_any()
}

/// What an empty place says: what belongs here, and the one next step.
#[component]
pub fn EmptyState(
    /// What is not there yet.
    #[prop(into)]
    title: String,
    /// What is drawn above it.
    #[prop(optional)]
    glyph: Option<Glyph>,
    /// A sentence, and a link to the next step.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="empty">
            {glyph.map(|glyph| view! { <Icon glyph/> })}
            <p class="empty-title">{title}</p>
            <div class="empty-body">{children()}</div>
        </div>
    }
    .into_any()
}

/// Grey lines in the place of what is loading. They show after 200 ms.
#[component]
pub fn Skeleton(
    /// How many lines.
    #[prop(default = 3)]
    lines: usize,
) -> impl IntoView {
    let lines: Vec<_> = (0..lines).map(|_| view! { <span class="skeleton-line"></span> }).collect();
    view! {
        <div class="skeleton" aria-hidden="true">{lines}</div>
    }
    .into_any()
}

/// A list of names and values.
#[component]
pub fn KvList(
    /// [`Kv`]s.
    children: Children,
) -> impl IntoView {
    view! { <dl class="kv">{children()}</dl> }.into_any()
}

/// A name and its value.
#[component]
pub fn Kv(
    /// The name.
    #[prop(into)]
    name: String,
    /// The value.
    children: Children,
) -> impl IntoView {
    view! {
        <div>
            <dt>{name}</dt>
            <dd>{children()}</dd>
        </div>
    }
    .into_any()
}

/// A view of the same thing, with its own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    /// The name.
    pub label: String,
    /// The address.
    pub href: String,
    /// Whether it is the one that shows.
    pub current: bool,
    /// How many things are in it.
    pub count: Option<u64>,
}

impl Tab {
    /// A view with its address.
    pub fn new(label: impl Into<String>, href: impl Into<String>, current: bool) -> Self {
        Self { label: label.into(), href: href.into(), current, count: None }
    }

    /// The same, with how many things are in it.
    #[must_use]
    pub const fn with_count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

/// Views of the same thing, as links: each can be opened, bookmarked and shared.
#[component]
pub fn Tabs(
    /// What the views are of.
    #[prop(into)]
    label: String,
    /// The views.
    #[prop(into)]
    tabs: Signal<Vec<Tab>>,
) -> impl IntoView {
    view! {
        <nav class="tabs" aria-label=label>
            <ul>
                {move || {
                    tabs.get()
                        .into_iter()
                        .map(|tab| {
                            let count = tab.count.map(|count| view! { <span class="count">{count}</span> });
                            view! {
                                <li>
                                    <a href=tab.href aria-current=tab.current.then_some("page") data-noscroll>
                                        {tab.label}
                                        {count}
                                    </a>
                                </li>
                            }
                        })
                        .collect::<Vec<_>>()
                }}
            </ul>
        </nav>
    }
    .into_any()
}

/// Links to the page before and after this one of a long list.
#[component]
pub fn Pager(
    /// The address of the first page, where this is not it.
    #[prop(optional, into)]
    first: Option<String>,
    /// The address of the next page, where there is one.
    #[prop(optional, into)]
    next: Option<String>,
) -> impl IntoView {
    (first.is_some() || next.is_some())
        .then(|| {
            view! {
                <nav class="pager" aria-label="Pages">
                    {first.map(|href| view! { <a class="btn" href=href rel="prev">"Newest"</a> })}
                    {next.map(|href| view! { <a class="btn" href=href rel="next">"Older"</a> })}
                </nav>
            }
        })
        .into_any()
}
