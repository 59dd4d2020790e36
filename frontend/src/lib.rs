//! Hydrates the app in the browser, and nothing else.

use leptos::{mount::hydrate_from_async, prelude::document, tachys::dom::body};
use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page that the server rendered, once its chunk is there. Then `<html>` carries `data-hydrated`.
#[wasm_bindgen]
pub async fn hydrate() {
    console_error_panic_hook::set_once();
    app::chunks::first().await;
    hydrate_from_async(body(), app::App).await.forget();
    if let Some(root) = document().document_element() {
        // A page without the mark works as well; it only is not known to be ready.
        drop(root.set_attribute("data-hydrated", ""));
    }
}
