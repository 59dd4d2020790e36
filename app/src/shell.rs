//! The document around the app. It is made by the server alone; the browser's half begins in the body.

use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::MetaTags;

use crate::App;

/// The addresses of the files that a page begins with, hashes and all. The server puts them into the context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assets {
    /// The styles.
    pub css: String,
    /// The glue that loads the WASM.
    pub js: String,
    /// The WASM.
    pub wasm: String,
}

/// The document. Its only script is ours, and carries the nonce of the answer's Content-Security-Policy.
#[must_use]
pub fn shell() -> impl IntoView {
    let assets = use_context::<Assets>().unwrap_or_default();
    let nonce = use_nonce();
    let start = format!(
        "import({:?}).then(m => m.default({{ module_or_path: {:?} }}).then(() => m.hydrate()))",
        assets.js, assets.wasm
    );
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <link rel="stylesheet" href=assets.css />
                <link rel="modulepreload" href=assets.js nonce=nonce.clone() />
                <link rel="preload" href=assets.wasm r#as="fetch" r#type="application/wasm" crossorigin="" />
                <script type="module" nonce=nonce>{start}</script>
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}
