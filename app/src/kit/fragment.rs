//! Parts of pages that the server writes as HTML, and that the browser only puts in: what is merely read needs no code in
//! the browser.
//!
//! The server makes one from a view, with `Html::of`, and a server function answers with it. A page that begins with such
//! a part must not send it twice, as HTML and as data. So in what the page's resource loads the field is skipped:
//!
//! ```ignore
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Loaded {
//!     total: u64,
//!     #[serde(skip)]
//!     rows: Html,
//! }
//! ```
//!
//! On the server the page is written from the very value that was loaded, with its HTML. In the browser the first value
//! comes out of the page's data, where the HTML is empty: an element whose `inner_html` it is keeps what the server wrote
//! into it, as an element that is hydrated does not set its `inner_html`. On later pages the value comes from the server
//! function, whole.

#[cfg(feature = "ssr")]
mod made;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// HTML that the server made from a view. Nothing else can make one, other than the reading of the server's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Html(String);

impl Html {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the `inner_html` of an element.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

/// A part in an element of its own.
#[component]
pub fn Fragment(
    /// The part.
    html: Html,
    /// The element's classes.
    #[prop(optional)]
    class: &'static str,
) -> impl IntoView {
    view! { <div class=class inner_html=html.into_inner()></div> }.into_any()
}
