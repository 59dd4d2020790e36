//! Buttons, and links that look like them.

use leptos::prelude::*;

use super::form::FormState;

/// How loud a button is. One primary at most in a view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// The one next step.
    Primary,
    /// Any other step.
    #[default]
    Default,
    /// A step beside the point, without an edge.
    Quiet,
    /// What destroys something; in dialogs only.
    Danger,
}

impl Look {
    /// The classes.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Primary => "btn btn-primary",
            Self::Default => "btn",
            Self::Quiet => "btn btn-quiet",
            Self::Danger => "btn btn-danger",
        }
    }
}

/// A button that does something in the browser. What changes data is a [`Submit`] in a form.
#[component]
pub fn Button(
    /// How loud it is.
    #[prop(optional)]
    look: Look,
    /// Verb and object.
    children: Children,
) -> impl IntoView {
    view! {
        <button type="button" class=look.class()>
            {children()}
        </button>
    }
    .into_any()
}

/// A link that looks like a button.
#[component]
pub fn LinkButton(
    /// Where to.
    #[prop(into)]
    href: Signal<String>,
    /// How loud it is.
    #[prop(optional)]
    look: Look,
    /// Verb and object.
    children: Children,
) -> impl IntoView {
    view! {
        <a class=look.class() href=move || href.get()>
            {children()}
        </a>
    }
    .into_any()
}

/// The button that sends the form around it. While the form is on its way the button says so and takes no second press.
#[component]
pub fn Submit(
    /// How loud it is.
    #[prop(default = Look::Primary)]
    look: Look,
    /// What it says on the way.
    #[prop(default = "Saving…")]
    busy: &'static str,
    /// The field that it sends, where a form has several such buttons.
    #[prop(optional)]
    name: Option<&'static str>,
    /// That field's value.
    #[prop(optional, into)]
    value: Option<String>,
    /// Verb and object.
    children: Children,
) -> impl IntoView {
    let pending = use_context::<FormState>().map(|form| form.pending);
    let is_pending = move || pending.is_some_and(|pending| pending.get());
    view! {
        <button type="submit" class=look.class() name=name value=value aria-disabled=move || is_pending().then_some("true")>
            <span class="btn-label" class:is-away=is_pending>
                {children()}
            </span>
            <span class="btn-busy" class:is-away=move || !is_pending() aria-hidden=move || (!is_pending()).then_some("true")>
                {busy}
            </span>
        </button>
    }
    .into_any()
}
