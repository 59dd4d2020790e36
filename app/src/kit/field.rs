//! Fields of a form: label above, hint under the label, error under the hint. What was typed before is kept.
//!
//! The browser owns what stands in a field from the first byte on: values are attributes, never properties, so that what
//! was typed before hydration stays.

use leptos::prelude::*;

use super::form::FormState;

/// The ids and texts that a control and its label, hint and error share.
struct Wiring {
    id: String,
    hint_id: Option<String>,
    error_id: String,
    error: Signal<Option<String>>,
    value: Option<String>,
}

impl Wiring {
    fn new(name: &str, path: Option<String>, hint: Option<&String>, value: Option<String>) -> Self {
        let form = use_context::<FormState>();
        let id = form.map_or_else(|| name.to_owned(), |form| form.field_id(name));
        Self {
            hint_id: hint.filter(|hint| !hint.is_empty()).map(|_| format!("{id}-hint")),
            error_id: format!("{id}-error"),
            error: form
                .map_or_else(|| Signal::stored(None), |form| form.field_error(path.unwrap_or_else(|| name.to_owned()))),
            value: form.and_then(|form| form.kept(name)).or(value),
            id,
        }
    }

    fn described_by(&self) -> Signal<Option<String>> {
        let (hint, error_id, error) = (self.hint_id.clone(), self.error_id.clone(), self.error);
        Signal::derive(move || match (hint.clone(), error.with(Option::is_some)) {
            (Some(hint), true) => Some(format!("{hint} {error_id}")),
            (None, true) => Some(error_id.clone()),
            (hint, false) => hint,
        })
    }

    fn invalid(&self) -> Signal<Option<&'static str>> {
        let error = self.error;
        Signal::derive(move || error.with(Option::is_some).then_some("true"))
    }
}

/// Label, hint and error around a control.
fn labelled(wiring: &Wiring, label: String, hint: Option<String>, optional: bool, control: AnyView) -> AnyView {
    view! {
        <div class="field" class:has-error={ let error = wiring.error; move || error.with(Option::is_some) }>
            <label class="label" for=wiring.id.clone()>
                {label}
                {optional.then(|| view! { <span class="optional">" (optional)"</span> })}
            </label>
            {hint_view(wiring, hint)}
            {error_view(wiring)}
            {control}
        </div>
    }
    .into_any()
}

fn hint_view(wiring: &Wiring, hint: Option<String>) -> Option<AnyView> {
    let id = wiring.hint_id.clone();
    hint.filter(|hint| !hint.is_empty()).map(|hint| view! { <p class="hint" id=id>{hint}</p> }.into_any())
}

fn error_view(wiring: &Wiring) -> impl IntoView + use<> {
    let (id, error) = (wiring.error_id.clone(), wiring.error);
    move || {
        let id = id.clone();
        error.get().map(|message| {
            view! { <p class="field-error" id=id><span class="visually-hidden">"Error: "</span>{message}</p> }
        })
    }
}

/// A line of text.
#[component]
pub fn Field(
    /// The entry's name.
    #[prop(into)]
    name: String,
    /// What to type.
    #[prop(into)]
    label: String,
    /// How to type it.
    #[prop(optional, into)]
    hint: Option<String>,
    /// What stands there at first.
    #[prop(optional, into)]
    value: Option<String>,
    /// The type of the input.
    #[prop(default = "text")]
    kind: &'static str,
    /// What the browser may fill in.
    #[prop(optional)]
    autocomplete: Option<&'static str>,
    /// Which keyboard a phone shows.
    #[prop(optional)]
    inputmode: Option<&'static str>,
    /// Whether it may stay empty.
    #[prop(optional)]
    optional: bool,
    /// The least number.
    #[prop(optional, into)]
    min: Option<String>,
    /// The greatest number.
    #[prop(optional, into)]
    max: Option<String>,
    /// The step of numbers.
    #[prop(optional, into)]
    step: Option<String>,
    /// The most characters that fit.
    #[prop(optional)]
    longest: Option<u32>,
    /// What errors call it, where that is not its name.
    #[prop(optional, into)]
    path: Option<String>,
    /// Further classes of the input, such as `mono` or `short`.
    #[prop(optional)]
    class: &'static str,
) -> impl IntoView {
    let wiring = Wiring::new(&name, path, hint.as_ref(), value);
    let value = wiring.value.clone().filter(|_| kind != "password");
    let control = view! {
        <input
            class=format!("input {class}")
            type=kind
            id=wiring.id.clone()
            name=name
            value=value
            autocomplete=autocomplete
            inputmode=inputmode
            spellcheck=matches!(kind, "email" | "password" | "url").then_some("false")
            autocapitalize=matches!(kind, "email" | "password" | "url").then_some("none")
            required=!optional
            min=min
            max=max
            step=step
            maxlength=longest.map(|longest| longest.to_string())
            aria-invalid=wiring.invalid()
            aria-describedby=wiring.described_by()
        />
    };
    labelled(&wiring, label, hint, optional, control.into_any())
}

/// Several lines of text.
#[component]
pub fn TextArea(
    /// The entry's name.
    #[prop(into)]
    name: String,
    /// What to type.
    #[prop(into)]
    label: String,
    /// How to type it.
    #[prop(optional, into)]
    hint: Option<String>,
    /// What stands there at first.
    #[prop(optional, into)]
    value: Option<String>,
    /// How many lines are seen.
    #[prop(default = 4)]
    rows: u32,
    /// Whether it may stay empty.
    #[prop(optional)]
    optional: bool,
    /// What errors call it, where that is not its name.
    #[prop(optional, into)]
    path: Option<String>,
    /// Further classes, such as `mono`.
    #[prop(optional)]
    class: &'static str,
) -> impl IntoView {
    let wiring = Wiring::new(&name, path, hint.as_ref(), value);
    let text = within_textarea(wiring.value.clone().unwrap_or_default());
    let control = view! {
        <textarea
            class=format!("input {class}")
            id=wiring.id.clone()
            name=name
            rows=rows.to_string()
            required=!optional
            aria-invalid=wiring.invalid()
            aria-describedby=wiring.described_by()
        >
            {text}
        </textarea>
    };
    labelled(&wiring, label, hint, optional, control.into_any())
}

/// A text as it stands between the tags of a text area. Leptos writes it there as it is, so it is made safe here; in the
/// browser it is a text node, which needs neither.
fn within_textarea(text: String) -> String {
    if !cfg!(feature = "ssr") {
        return text;
    }
    // A parser drops one line break after the start tag; a text that begins with one needs two.
    let first = if text.starts_with('\n') { "\n" } else { "" };
    format!("{first}{}", text.replace('&', "&amp;").replace('<', "&lt;"))
}

/// One of several choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub label: String,
    /// More about it.
    pub hint: Option<String>,
}

impl Choice {
    /// A choice without more about it.
    pub fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into(), hint: None }
    }

    /// The same choice with more about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One choice out of a list.
#[component]
pub fn Select(
    /// The entry's name.
    #[prop(into)]
    name: String,
    /// What to choose.
    #[prop(into)]
    label: String,
    /// The choices.
    choices: Vec<Choice>,
    /// How to choose.
    #[prop(optional, into)]
    hint: Option<String>,
    /// What is chosen at first.
    #[prop(optional, into)]
    value: Option<String>,
    /// Whether it may stay empty: an empty choice comes first.
    #[prop(optional)]
    optional: bool,
    /// What errors call it, where that is not its name.
    #[prop(optional, into)]
    path: Option<String>,
) -> impl IntoView {
    let wiring = Wiring::new(&name, path, hint.as_ref(), value);
    let chosen = wiring.value.clone().unwrap_or_default();
    let none = optional.then(|| view! { <option value="">"None"</option> });
    let options: Vec<_> = choices
        .into_iter()
        .map(|choice| {
            let selected = choice.value == chosen;
            view! { <option value=choice.value selected=selected>{choice.label}</option> }
        })
        .collect();
    let control = view! {
        <select
            class="input select"
            id=wiring.id.clone()
            name=name
            required=!optional
            aria-invalid=wiring.invalid()
            aria-describedby=wiring.described_by()
        >
            {none}
            {options}
        </select>
    };
    labelled(&wiring, label, hint, optional, control.into_any())
}

/// A box to tick. It sends `true`, or nothing: the server function's argument is `#[server(default)]`.
#[component]
pub fn Checkbox(
    /// The entry's name.
    #[prop(into)]
    name: String,
    /// What a tick means.
    #[prop(into)]
    label: String,
    /// More about it.
    #[prop(optional, into)]
    hint: Option<String>,
    /// What is sent when it is ticked.
    #[prop(default = "true".to_owned(), into)]
    value: String,
    /// Whether it is ticked at first.
    #[prop(optional)]
    checked: bool,
) -> impl IntoView {
    let form = use_context::<FormState>();
    let checked = match form {
        Some(form) if form.is_replayed() => form.kept(&name).is_some(),
        _ => checked,
    };
    let wiring = Wiring::new(&name, None, hint.as_ref(), None);
    view! {
        <div class="field check">
            <input
                type="checkbox"
                id=wiring.id.clone()
                name=name
                value=value
                checked=checked
                aria-invalid=wiring.invalid()
                aria-describedby=wiring.described_by()
            />
            <div>
                <label for=wiring.id.clone()>{label}</label>
                {hint_view(&wiring, hint)}
                {error_view(&wiring)}
            </div>
        </div>
    }
    .into_any()
}

/// One choice out of a few, all in sight.
#[component]
pub fn RadioGroup(
    /// The entry's name.
    #[prop(into)]
    name: String,
    /// What to choose.
    #[prop(into)]
    label: String,
    /// The choices.
    choices: Vec<Choice>,
    /// How to choose.
    #[prop(optional, into)]
    hint: Option<String>,
    /// What is chosen at first.
    #[prop(optional, into)]
    value: Option<String>,
) -> impl IntoView {
    let wiring = Wiring::new(&name, None, hint.as_ref(), value);
    let chosen = wiring.value.clone().unwrap_or_default();
    let choices: Vec<_> = choices
        .into_iter()
        .enumerate()
        .map(|(place, choice)| {
            // The first has the field's own id: that is where the error summary leads.
            let id = if place == 0 { wiring.id.clone() } else { format!("{}-{place}", wiring.id) };
            let hint_id = format!("{id}-about");
            let described_by = choice.hint.as_ref().map(|_| hint_id.clone());
            let checked = choice.value == chosen;
            view! {
                <div class="check">
                    <input
                        type="radio"
                        id=id.clone()
                        name=name.clone()
                        value=choice.value
                        checked=checked
                        aria-describedby=described_by
                    />
                    <div>
                        <label for=id>{choice.label}</label>
                        {choice.hint.map(|hint| view! { <p class="hint" id=hint_id>{hint}</p> })}
                    </div>
                </div>
            }
        })
        .collect();
    view! {
        <fieldset class="field" aria-describedby=wiring.described_by()>
            <legend class="label">{label}</legend>
            {hint_view(&wiring, hint)}
            {error_view(&wiring)}
            {choices}
        </fieldset>
    }
    .into_any()
}
