//! What the pages of agents and workflows share: loading, what follows a form that was done, and faults under the names
//! that a form's entries have.

#[cfg(feature = "ssr")]
mod faults;

use codee::{Decoder, Encoder};
use leptos::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "ssr")]
pub use faults::in_form;

use crate::{
    error::ApiError,
    kit::{PageFailure, Skeleton, form::FormAction},
};

/// What a page is made of: loaded by the server with the page, and again when its source changes.
pub type Loading<T> = Resource<Result<T, ApiError>, JsonBytes>;

/// Loads what a page is made of. The page waits for it.
pub fn loading<S, T, F>(
    source: impl Fn() -> S + Send + Sync + 'static,
    fetch: impl Fn(S) -> F + Send + Sync + 'static,
) -> Loading<T>
where
    S: Clone + PartialEq + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    Resource::new_with_options(source, fetch, true)
}

/// JSON that is read from bytes, as the answers of server functions are: the browser's half has one reader for both.
pub struct JsonBytes;

impl<T: Serialize> Encoder<T> for JsonBytes {
    type Error = serde_json::Error;
    type Encoded = String;

    fn encode(value: &T) -> Result<String, Self::Error> {
        serde_json::to_string(value)
    }
}

impl<T: DeserializeOwned> Decoder<T> for JsonBytes {
    type Error = serde_json::Error;
    type Encoded = str;

    fn decode(text: &str) -> Result<T, Self::Error> {
        serde_json::from_slice(text.as_bytes())
    }
}

/// A page made of a resource. While it is renewed the old page stays.
#[component]
pub fn Loaded<T>(
    /// What the page is made of.
    resource: Loading<T>,
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
pub fn on_success<T>(action: FormAction<T>, then: impl Fn() + 'static)
where
    T: Clone + DeserializeOwned + Send + Sync + 'static,
{
    let value = action.value();
    Effect::new(move |_| {
        if value.with(|value| matches!(value, Some(Ok(_)))) {
            then();
        }
    });
}
