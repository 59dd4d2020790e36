//! One's own profile.

use agentflow::accounts::{Profile, UndoWindow};
use leptos::prelude::*;

use crate::kit::{Checkbox, Choice, Field, Form, FormAction, Kv, KvList, RadioGroup, Submit};

/// The name that others see, and how long a decision can be undone.
#[component]
pub(super) fn ProfileForm(
    /// The profile as it is.
    profile: Profile,
    /// What saves it.
    action: FormAction<()>,
) -> impl IntoView {
    let windows = UndoWindow::ALL.map(|window| match window.seconds() {
        Some(seconds) => Choice::new(window.as_str(), format!("{seconds} seconds")),
        None => Choice::new(window.as_str(), "None: ask me to confirm instead"),
    });
    view! {
        <div class="stack">
            <KvList>
                <Kv name="E-mail address">{profile.email}</Kv>
            </KvList>
            <Form action done="Your profile is saved.">
                <Field name="name" label="Your name" value=profile.name autocomplete="name"/>
                <RadioGroup
                    name="undo"
                    label="Time to undo a decision"
                    hint="After you approve or reject, the decision waits this long before it acts."
                    choices=windows.to_vec()
                    value=profile.undo.as_str()
                />
                <Checkbox
                    name="email_notices"
                    label="Send me e-mail"
                    hint="When an approval waits that you may decide, and when a run of yours fails."
                    checked=profile.email_notices
                />
                <Checkbox
                    name="single_keys"
                    label="Keys of a single letter"
                    hint="In the inbox and on the page of a run, such as j, k and a. Switch them off if you press them by mistake."
                    checked=profile.single_keys
                />
                <Submit look=crate::kit::Look::Default>"Save profile"</Submit>
            </Form>
        </div>
    }
    .into_any()
}
