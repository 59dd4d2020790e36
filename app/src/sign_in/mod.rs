//! The sign-in, and the frame that it shares with the sign-up: a brand, a heading, one form.

pub mod api;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::kit::{Field, Form, FormAction, Glyph, Icon, Submit, Title};
use api::SignIn;

/// The page of the sign-in.
#[component]
pub fn SignInPage() -> impl IntoView {
    let action = FormAction::new::<SignIn>();
    let next = wanted_page();
    let words = match use_query_map().with_untracked(|query| query.get("again").is_some()) {
        true => "Sign in again, and go on where you were.",
        false => "Sign in to open the page that you wanted.",
    };
    // Loaded anew: the server says with that page whether one may sign up.
    let to_sign_up = next.clone().map_or_else(|| "/signup".to_owned(), |next| with_next("/signup", &next));
    view! {
        <Title text="Sign in"/>
        <Entrance heading="Sign in">
            {next.is_some().then(|| view! { <p class="muted">{words}</p> })}
            <Form action>
                <input type="hidden" name="next" value=next.unwrap_or_default()/>
                <Field name="email" label="E-mail address" kind="email" autocomplete="username"/>
                <Field name="password" label="Password" kind="password" autocomplete="current-password"/>
                <Submit busy="Signing in…">"Sign in"</Submit>
            </Form>
            <p class="entrance-other">"New to AgentFlow? " <a href=to_sign_up rel="external">"Sign up"</a></p>
        </Entrance>
    }
    .into_any()
}

/// The frame of the pages before one is signed in.
#[component]
pub fn Entrance(
    /// The heading.
    heading: &'static str,
    /// A form, and where else to go.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="entrance">
            <header><a class="brand" href="/"><Icon glyph=Glyph::Logo/>"AgentFlow"</a></header>
            <main id="content" class="entrance-card">
                <h1 tabindex="-1">{heading}</h1>
                {children()}
            </main>
        </div>
    }
    .into_any()
}

/// The page that was asked for before signing in, if it is one of ours.
#[must_use]
pub fn wanted_page() -> Option<String> {
    let next = use_query_map().with_untracked(|query| query.get("next"))?;
    agentflow::accounts::local_path(&next).map(str::to_owned)
}

/// An address that passes the wanted page on.
#[must_use]
pub fn with_next(path: &str, next: &str) -> String {
    let mut query = leptos_router::params::ParamsMap::new();
    query.insert("next", next.to_owned());
    format!("{path}{}", query.to_query_string())
}
