//! The sign-up: an account and its first organization.

pub mod api;

use leptos::prelude::*;

use crate::{
    kit::{Field, Form, FormAction, Submit, Title},
    sign_in::{Entrance, wanted_page, with_next},
};
use api::SignUp;

/// The page of the sign-up.
#[component]
pub fn SignUpPage() -> impl IntoView {
    let action = FormAction::new::<SignUp>();
    let to_sign_in = wanted_page().map_or_else(|| "/login".to_owned(), |next| with_next("/login", &next));
    view! {
        <Title text="Sign up"/>
        <Entrance heading="Sign up">
            <Form action>
                <Field name="name" label="Your name" autocomplete="name"/>
                <Field
                    name="email"
                    label="E-mail address"
                    hint="You sign in with it."
                    kind="email"
                    autocomplete="username"
                />
                <Field
                    name="password"
                    label="Password"
                    hint="8 characters or more. A few unrelated words are good."
                    kind="password"
                    autocomplete="new-password"
                />
                <Field
                    name="organization"
                    label="Organization"
                    hint="Your company, team or project: agents and workflows live in it."
                    autocomplete="organization"
                />
                <Submit busy="Signing up…">"Sign up"</Submit>
            </Form>
            <p class="entrance-other">"You have an account? " <a href=to_sign_in>"Sign in"</a></p>
        </Entrance>
    }
    .into_any()
}
