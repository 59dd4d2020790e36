//! Dialogs: the browser's own `<dialog>`, which keeps the focus inside, closes on Escape and gives the focus back.

use leptos::{html, prelude::*};

use super::{
    button::Look,
    icon::{Glyph, Icon},
};

/// The button that opens a dialog. Newer browsers open it by themselves, before and without any script.
#[component]
pub fn OpenDialog(
    /// The dialog's id.
    #[prop(into)]
    dialog: String,
    /// How loud the button is.
    #[prop(optional)]
    look: Look,
    /// Verb and object, with an ellipsis as more is asked.
    children: Children,
) -> impl IntoView {
    let id = dialog.clone();
    let open = move |_| {
        use wasm_bindgen::JsCast;
        let found = document().get_element_by_id(&id);
        if let Some(dialog) = found.and_then(|it| it.dyn_into::<web_sys::HtmlDialogElement>().ok())
            && !dialog.open()
        {
            let _ = dialog.show_modal();
        }
    };
    view! {
        <button type="button" class=look.class() command="show-modal" commandfor=dialog aria-haspopup="dialog" on:click=open>
            {children()}
        </button>
    }
    .into_any()
}

/// A dialog. Its content is usually a [`super::Form`]; Cancel comes first in `actions` when it destroys something.
#[component]
pub fn Dialog(
    /// Its id, which [`OpenDialog`] names.
    #[prop(into)]
    id: String,
    /// Its heading.
    #[prop(into)]
    title: String,
    /// Closes the dialog when it becomes true, as after a form was done.
    #[prop(optional, into)]
    close: Signal<bool>,
    /// What is in it.
    children: Children,
) -> impl IntoView {
    let node = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        if close.get()
            && let Some(dialog) = node.get_untracked()
        {
            dialog.close();
        }
    });
    let (heading, named_by) = (format!("{id}-title"), format!("{id}-title"));
    view! {
        <dialog class="dialog" id=id aria-labelledby=named_by node_ref=node>
            <div class="dialog-head">
                <h2 id=heading>{title}</h2>
                <form method="dialog">
                    <button class="btn btn-quiet btn-icon" aria-label="Close">
                        <Icon glyph=Glyph::Close/>
                    </button>
                </form>
            </div>
            <div class="dialog-body">{children()}</div>
        </dialog>
    }
    .into_any()
}

/// The button that closes the dialog around it.
#[component]
pub fn CancelDialog() -> impl IntoView {
    let cancel = move |event: web_sys::MouseEvent| {
        use wasm_bindgen::JsCast;
        let element = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        let dialog = element.and_then(|element| element.closest("dialog").ok().flatten());
        if let Some(dialog) = dialog.and_then(|it| it.dyn_into::<web_sys::HtmlDialogElement>().ok()) {
            event.prevent_default();
            dialog.close();
        }
    };
    // Sent to the dialog instead of the server, so that it also works without JavaScript.
    view! {
        <button class="btn" type="submit" formmethod="dialog" formnovalidate autofocus on:click=cancel>
            "Cancel"
        </button>
    }
    .into_any()
}
