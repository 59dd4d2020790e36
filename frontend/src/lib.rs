//! Hydrates the app in the browser, and nothing else.

use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page that the server rendered. When that is done, `<html>` carries `data-hydrated`.
#[wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
    if let Some(root) = leptos::prelude::document().document_element() {
        // A page without the mark works as well; it only is not known to be ready.
        drop(root.set_attribute("data-hydrated", ""));
    }
}
