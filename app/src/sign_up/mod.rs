//! The sign-up: an account and its first organization.

pub mod api;

use agentflow::accounts::Admission;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::{
    host,
    kit::{Callout, Field, Form, FormAction, Submit, Title, Tone},
    sign_in::{Entrance, wanted_page, with_next},
};
use api::SignUp;

/// The page of the sign-up.
#[component]
pub fn SignUpPage() -> impl IntoView {
    let action = FormAction::new::<SignUp>();
    let to_sign_in = wanted_page().map_or_else(|| "/login".to_owned(), |next| with_next("/login", &next));
    // Of the link that the console shows while there is no account.
    let first = use_query_map().with_untracked(|query| query.get("first")).unwrap_or_default();
    let form = match SharedValue::new(host::admission).into_inner() {
        Admission::Closed => view! { <Closed/> }.into_any(),
        admission => {
            let words = (admission == Admission::First)
                .then(|| view! { <p>"This is the first account of this server. Its organization is yours."</p> });
            view! { {words} <SignUpForm action first/> }.into_any()
        }
    };
    view! {
        <Title text="Sign up"/>
        <Entrance heading="Sign up">
            {form}
            <p class="entrance-other">"You have an account? " <a href=to_sign_in>"Sign in"</a></p>
        </Entrance>
    }
    .into_any()
}

#[component]
fn SignUpForm(
    action: FormAction<()>,
    /// The secret of the link to the first account, or nothing.
    first: String,
) -> impl IntoView {
    view! {
        <Form action>
            <input type="hidden" name="first" value=first/>
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
    }
    .into_any()
}

/// What to do where nobody can sign up by themselves.
#[component]
fn Closed() -> impl IntoView {
    view! {
        <Callout tone=Tone::Info>
            <p>"Sign-up is closed on this server. Ask whoever runs it to make an account for you."</p>
            <p>
                "You run it? " <code>"agentflow admin create-user"</code>
                " makes an account. For the very first one, the server prints a link when it starts; it works once, until the server stops."
            </p>
        </Callout>
    }
    .into_any()
}
