//! What the pages of agents and workflows share: loading, what follows a form that was done, and faults under the names
//! that a form's entries have.

#[cfg(feature = "ssr")]
mod faults;

use leptos::{
    prelude::*,
    server_fn::{ServerFn, error::FromServerFnError},
};
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "ssr")]
pub use faults::in_form;

use crate::{
    error::ApiError,
    kit::{PageFailure, Skeleton},
};

/// A page made of a resource. While it is renewed the old page stays.
#[component]
pub fn Loaded<T>(
    /// What the page is made of.
    resource: Resource<Result<T, ApiError>>,
    /// The page.
    view: impl Fn(T) -> AnyView + Clone + Send + Sync + 'static,
) -> impl IntoView
where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let content = move || {
        let view = view.clone();
        Suspend::new(async move {
            match resource.await {
                Ok(data) => view(data),
                Err(error) => view! { <PageFailure error=error.0/> }.into_any(),
            }
        })
    };
    view! { <Transition fallback=|| view! { <Skeleton lines=6/> }>{content}</Transition> }.into_any()
}

/// Entries of a form that nobody sees.
pub fn hidden<const N: usize>(entries: [(&'static str, String); N]) -> AnyView {
    let inputs: Vec<_> =
        entries.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect();
    inputs.into_any()
}

/// Calls `then` each time the action was done.
pub fn on_success<S>(action: ServerAction<S>, then: impl Fn() + 'static)
where
    S: ServerFn + Clone + Send + Sync + 'static,
    S::Output: Send + Sync + 'static,
    S::Error: FromServerFnError + Send + Sync + 'static,
{
    let value = action.value();
    Effect::new(move |_| {
        if value.with(|value| matches!(value, Some(Ok(_)))) {
            then();
        }
    });
}
