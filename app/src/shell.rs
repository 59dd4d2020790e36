//! The document around the app. It is made by the server alone; the browser's half begins in the body.

use std::collections::BTreeMap;

use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::MetaTags;
use serde::Deserialize;

use crate::{App, host, kit::icon::SPRITE};

/// The addresses of the files that a page begins with, hashes and all. The server puts them into the context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Assets {
    /// The styles.
    pub css: String,
    /// The glue that loads the WASM.
    pub js: String,
    /// The WASM of the entry.
    pub wasm: String,
    /// The glue that loads chunks.
    pub split: String,
    /// The WASM of each chunk.
    pub chunks: BTreeMap<String, Vec<String>>,
}

/// The document. Its only script is ours, and carries the nonce of the answer's Content-Security-Policy. Its theme is
/// right in the first byte: from the cookie, else from what the browser prefers.
#[must_use]
pub fn shell() -> impl IntoView {
    let assets = use_context::<Assets>().unwrap_or_default();
    let nonce = use_nonce();
    let theme = host::cookie("theme").filter(|theme| theme == "light" || theme == "dark");
    let scheme = theme.clone().unwrap_or_else(|| "light dark".to_owned());
    // A server that was built without its browser's half serves pages that work as they do with JavaScript off.
    let files = (!assets.js.is_empty()).then(|| {
        let start = format!(
            "import({:?}).then(m => m.default({{ module_or_path: {:?} }}).then(() => m.hydrate()))",
            assets.js, assets.wasm
        );
        view! {
            <link rel="stylesheet" href=assets.css />
            <link rel="modulepreload" href=assets.js nonce=nonce.clone() />
            <link rel="modulepreload" href=assets.split nonce=nonce.clone() />
            <link rel="preload" href=assets.wasm r#as="fetch" r#type="application/wasm" crossorigin="" />
            <script type="module" nonce=nonce.clone()>{start}</script>
        }
    });
    // A page that answers a form has the form's address; the browser is to know it by its own.
    let address = host::replayed_page().map(|page| {
        let page = serde_json::Value::String(page).to_string().replace('<', "\\u003c");
        view! { <script nonce=nonce>{format!("history.replaceState(null, \"\", {page})")}</script> }
    });
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme>
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover" />
                <meta name="color-scheme" content=scheme />
                {address}
                <link rel="icon" type="image/svg+xml" href="/favicon.svg" />
                {files}
                <MetaTags />
            </head>
            <body>
                <App />
                <svg class="sprite" aria-hidden="true" inner_html=SPRITE></svg>
            </body>
        </html>
    }
}
