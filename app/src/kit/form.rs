//! Forms that work with and without JavaScript.
//!
//! A [`Form`] posts to a server function. In the browser it does so in place: the fields keep what was typed, a failure
//! puts an error summary above them and moves the focus there, and a second press while the first is under way does
//! nothing. Without JavaScript the browser posts the form itself; a failure is answered with the same page again and a
//! [`FormReplay`], from which the form takes the typed values and the error. Both ways show the same words.

use agentflow::kernel::Error;
use leptos::{
    html,
    prelude::*,
    server_fn::{
        Http, ServerFn,
        codec::{Json, PostUrl},
        error::{FromServerFnError, ServerFnErrorErr},
    },
    task::spawn_local,
};
use leptos_router::{hooks::use_location, params::ParamsMap};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, SubmitEvent};

use crate::{error::ApiError, host};

/// The name of the hidden entry that tells forms of the same action apart.
pub const FORM_ENTRY: &str = "_form";
/// The name of the hidden entry that says on which page a form stands. The `Referer` cannot: a page that answers a form
/// has the form's address in the browser, and so have the forms on it.
pub const PAGE_ENTRY: &str = "_page";

/// A form that was sent without JavaScript, as the page that answers it shows it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormReplay {
    /// The path that it was sent to.
    pub action: String,
    /// Which of the forms with that action.
    pub form: String,
    /// What was typed, without passwords.
    pub values: Vec<(String, String)>,
    /// Why it was refused; nothing if it was done.
    pub error: Option<Error>,
    /// What the function answered, where the page shows it this once: JSON.
    pub answer: Option<String>,
}

/// The replay of this page, if it answers a form. Gone as soon as another page is opened.
#[derive(Debug, Clone, Copy)]
pub struct Replay(pub RwSignal<Option<FormReplay>>);

/// What the fields and buttons of a form know of it.
#[derive(Clone, Copy)]
pub struct FormState {
    /// The form's id: the beginning of its fields' ids.
    pub id: StoredValue<String>,
    /// Why it was refused, the last time it was sent.
    pub error: Signal<Option<Error>>,
    /// Whether it is on its way.
    pub pending: Signal<bool>,
    values: StoredValue<Vec<(String, String)>>,
}

/// What a function answered to a form that was sent without JavaScript, where the page shows it this once.
#[must_use]
pub fn replayed_answer<S: ServerFn<Output: DeserializeOwned>>() -> Option<S::Output> {
    let Replay(replay) = use_context()?;
    let replay = replay.get_untracked().filter(|replay| replay.action == S::url())?;
    serde_json::from_slice(replay.answer.as_deref()?.as_bytes()).ok()
}

impl FormState {
    /// The id of a field's control.
    #[must_use]
    pub fn field_id(&self, name: &str) -> String {
        let plain = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        self.id.with_value(|form| format!("{form}-{plain}"))
    }

    /// What was typed into a field before, if the form is shown again.
    #[must_use]
    pub fn kept(&self, name: &str) -> Option<String> {
        self.values.with_value(|values| values.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
    }

    /// Whether the form is shown again with what was typed. A box that is not among the values was not ticked then.
    #[must_use]
    pub fn is_replayed(&self) -> bool {
        self.values.with_value(|values| !values.is_empty())
    }

    /// What is wrong with a field.
    #[must_use]
    pub fn field_error(&self, path: String) -> Signal<Option<String>> {
        let error = self.error;
        Signal::derive(move || {
            error.with(|error| error.as_ref().and_then(|error| error.field(&path).map(str::to_owned)))
        })
    }
}

/// Whether an enhanced form of this page was refused: the title says so.
#[derive(Debug, Clone, Copy)]
pub struct PageRefused(pub RwSignal<bool>);

/// A server function, to be called with the entries of a form. What it does is the same for all of them but for what
/// the answer is read as: this keeps the browser's half small.
pub struct FormAction<T: 'static> {
    url: &'static str,
    answer: RwSignal<Option<Result<T, ApiError>>>,
    pending: RwSignal<bool>,
}

impl<T> Clone for FormAction<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for FormAction<T> {}

impl<T: Clone + Send + Sync + DeserializeOwned + 'static> FormAction<T> {
    /// To call this function.
    #[must_use]
    pub fn new<S>() -> Self
    where
        S: ServerFn<Output = T, Error = ApiError, Protocol = Http<PostUrl, Json>>,
    {
        Self { url: S::url(), answer: RwSignal::new(None), pending: RwSignal::new(false) }
    }

    /// The last answer.
    #[must_use]
    pub fn value(self) -> Signal<Option<Result<T, ApiError>>> {
        self.answer.into()
    }

    /// Whether it is on its way.
    #[must_use]
    pub fn pending(self) -> Signal<bool> {
        self.pending.into()
    }

    fn send(self, event: &SubmitEvent) {
        self.pending.set(true);
        let sent = host::send_form(self.url, event);
        spawn_local(async move {
            let answer = match sent.await {
                Ok(bytes) => serde_json::from_slice(&bytes)
                    .map_err(|_| ApiError::from_server_fn_error(ServerFnErrorErr::Deserialization(String::new()))),
                Err(error) => Err(error),
            };
            // The page may have been left meanwhile.
            self.pending.try_set(false);
            self.answer.try_set(Some(answer));
        });
    }
}

/// A form that calls a server function.
#[component]
pub fn Form<T>(
    /// The function.
    action: FormAction<T>,
    /// The form's id, where a page has several with the same action.
    #[prop(optional, into)]
    id: Option<String>,
    /// Further classes.
    #[prop(optional)]
    class: &'static str,
    /// Whether the fields go back to the beginning once it was done.
    #[prop(optional)]
    clear: bool,
    /// What to say once it was done, where nothing else on the page shows it.
    #[prop(optional, into)]
    done: Option<String>,
    /// The fields and a [`super::Submit`].
    children: Children,
) -> impl IntoView
where
    T: Clone + Send + Sync + DeserializeOwned + 'static,
{
    let answer = action.answer;
    let outcome = Signal::derive(move || {
        answer.with(|answer| answer.as_ref().map(|answer| answer.as_ref().err().map(|error| error.0.clone())))
    });
    let send = Callback::new(move |event: SubmitEvent| action.send(&event));
    let parts = Parts { url: action.url, id, class, clear, done, outcome, pending: action.pending.into(), send };
    plain_form(parts, children)
}

struct Parts {
    url: &'static str,
    id: Option<String>,
    class: &'static str,
    clear: bool,
    done: Option<String>,
    /// Nothing yet, done, or refused.
    outcome: Signal<Option<Option<Error>>>,
    pending: Signal<bool>,
    send: Callback<SubmitEvent>,
}

/// The part of a form that is the same for all server functions.
fn plain_form(parts: Parts, children: Children) -> AnyView {
    let Parts { url, id, class, clear, done, outcome, pending, send } = parts;
    let id = id.unwrap_or_else(|| url.rsplit('/').next().unwrap_or("form").to_owned());
    let replay = use_context::<Replay>()
        .and_then(|replay| replay.0.get_untracked())
        .filter(|replay| replay.action == url && replay.form == id);
    let values = replay.as_ref().filter(|replay| replay.error.is_some()).map(|replay| replay.values.clone());
    let replayed = replay.map(|replay| replay.error);
    let last = Memo::new(move |_| outcome.get().or_else(|| replayed.clone()));
    let state = FormState {
        id: StoredValue::new(id.clone()),
        error: Signal::derive(move || last.get().flatten()),
        pending,
        values: StoredValue::new(values.unwrap_or_default()),
    };
    let form = NodeRef::<html::Form>::new();
    let summary = NodeRef::<html::Div>::new();
    after_answer(outcome, state.error, clear, form, summary);

    let on_submit = move |event: SubmitEvent| {
        if event.default_prevented() {
            return;
        }
        event.prevent_default();
        if !pending.get_untracked() {
            send.run(event);
        }
    };
    let entry = id.clone();
    let page = this_page();
    view! {
        <form
            id=id
            class=format!("form {class}")
            action=url
            method="post"
            novalidate
            node_ref=form
            aria-busy=move || pending.get().then_some("true")
            on:submit=on_submit
        >
            <input type="hidden" name=FORM_ENTRY value=entry/>
            <input type="hidden" name=PAGE_ENTRY value=page/>
            <ErrorSummary state node_ref=summary/>
            {move || done.clone().filter(|_| last.get() == Some(None)).map(|words| view! {
                <p class="form-done" role="status"><super::Icon glyph=super::Glyph::Check/>{words}</p>
            })}
            {provide(state, children)}
        </form>
    }
    .into_any()
}

/// The address of the page, as a path.
fn this_page() -> String {
    let location = use_location();
    let (path, search) = (location.pathname.get_untracked(), location.search.get_untracked());
    if search.is_empty() { path } else { format!("{path}?{search}") }
}

/// The sign-in for somebody who is signed in, and back to this page.
fn sign_in_again(page: String) -> String {
    let mut query = ParamsMap::new();
    query.insert("again", "true".to_owned());
    query.insert("next", page);
    format!("/login{}", query.to_query_string())
}

/// The children with the form's state in their context, and in no one else's.
fn provide(state: FormState, children: Children) -> AnyView {
    view! {
        <leptos::context::Provider value=state>{children()}</leptos::context::Provider>
    }
    .into_any()
}

/// What follows an answer in the browser: the focus goes to the summary, the title says "Error:", fields are cleared.
fn after_answer(
    outcome: Signal<Option<Option<Error>>>,
    error: Signal<Option<Error>>,
    clear: bool,
    form: NodeRef<html::Form>,
    summary: NodeRef<html::Div>,
) {
    let refused = use_context::<PageRefused>();
    Effect::new(move |_| {
        // A second refusal for the same reason leads to the summary again.
        outcome.track();
        let is_refused = error.with(Option::is_some);
        if let Some(PageRefused(refused)) = refused
            && refused.get_untracked() != is_refused
        {
            refused.set(is_refused);
        }
        if is_refused && let Some(summary) = summary.get() {
            let _ = summary.focus();
        }
        if clear
            && outcome.get() == Some(None)
            && let Some(form) = form.get_untracked()
        {
            form.reset();
        }
    });
}

/// What is wrong with the form, above its fields, with a link to each of them. It takes the focus when it appears.
#[component]
fn ErrorSummary(state: FormState, node_ref: NodeRef<html::Div>) -> impl IntoView {
    let page = this_page();
    move || {
        state.error.get().map(|error| {
            let heading = state.id.with_value(|id| format!("{id}-problem"));
            let named_by = heading.clone();
            let fields: Vec<_> = error
                .fields
                .iter()
                .map(|entry| {
                    let target = state.field_id(&entry.field);
                    let href = format!("#{target}");
                    let to_field = move |event: web_sys::MouseEvent| {
                        if let Some(field) = document().get_element_by_id(&target)
                            && let Some(field) = field.dyn_ref::<HtmlElement>()
                        {
                            event.prevent_default();
                            let _ = field.focus();
                        }
                    };
                    view! { <li><a href=href on:click=to_field>{entry.message.clone()}</a></li> }
                })
                .collect();
            let words = fields.is_empty().then(|| view! { <p>{error.message.clone()}</p> });
            let again = (error.code == Error::REAUTH).then(|| {
                view! { <p><a href=sign_in_again(page.clone())>"Sign in again"</a></p> }
            });
            let list = (!fields.is_empty()).then(|| view! { <ul>{fields}</ul> });
            view! {
                <div
                    class="error-summary"
                    tabindex="-1"
                    autofocus
                    role="group"
                    aria-labelledby=named_by
                    node_ref=node_ref
                >
                    <h2 id=heading>"There is a problem"</h2>
                    {words}
                    {again}
                    {list}
                </div>
            }
        })
    }
}
