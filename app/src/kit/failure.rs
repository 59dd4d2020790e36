//! What a page or a card says when its data could not be had.

use agentflow::kernel::{Error, Kind};
use leptos::prelude::*;

use super::layout::{EmptyState, Tone};
use super::{Callout, CopyButton};
use crate::host;

/// A page that could not be shown. It sets the answer's status; what does not exist looks the same as what is not yours.
#[component]
pub fn PageFailure(
    /// Why.
    #[prop(into)]
    error: Error,
) -> impl IntoView {
    host::set_status(error.kind.status());
    if error.kind == Kind::NotFound {
        return view! { <NotFoundBody message=error.message/> }.into_any();
    }
    let title = match error.kind {
        Kind::Forbidden => "You may not see this",
        Kind::Unavailable => "Not reachable at the moment",
        _ => "This page could not be shown",
    };
    view! {
        <super::Title text=Signal::stored(title.to_owned())/>
        <div class="page-failure">
            <h1 tabindex="-1">{title}</h1>
            <Failure error/>
        </div>
    }
    .into_any()
}

/// A card or list that could not be shown; the rest of the page stays usable.
#[component]
pub fn Failure(
    /// Why.
    #[prop(into)]
    error: Error,
) -> impl IntoView {
    let again = matches!(error.kind, Kind::Unavailable | Kind::Internal | Kind::OverLimit);
    view! {
        <Callout tone=Tone::Danger>
            <p>{error.message}</p>
            {error
                .reference
                .map(|reference| view! { <p class="reference">"Reference " <code>{reference.clone()}</code> <CopyButton text=reference/></p> })}
            {again.then(|| view! { <p><a href="" rel="external">"Try again"</a></p> })}
        </Callout>
    }
    .into_any()
}

/// What the 404 page says.
#[component]
pub fn NotFoundBody(
    /// What does not exist.
    #[prop(into)]
    message: String,
) -> impl IntoView {
    view! {
        <super::Title text=Signal::stored("Not found".to_owned())/>
        <div class="page-failure">
            <h1 tabindex="-1">"Not found"</h1>
            <EmptyState title=message>
                <p>"The address may be mistyped, or it belongs to an organization that you are not in."</p>
                <p><a class="btn" href="/">"Go to your dashboard"</a></p>
            </EmptyState>
        </div>
    }
    .into_any()
}
