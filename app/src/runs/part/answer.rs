//! What a call of a model recorded besides its text: which model was asked for and which answered, what was tried before,
//! why it ended, its tokens by kind, its cost, and the provider's name for it.

use agentflow::{
    engine::state::StepKind,
    kernel::{Money, text},
};
use leptos::prelude::*;
use serde_json::Value;

use crate::kit::{CopyButton, Kv, KvList};

/// What a model's or an agent's step says, which reads better as text: an answer, or what there was of one.
#[component]
pub fn Said(
    /// What the step is.
    kind: StepKind,
    /// What came out of it.
    output: Option<Value>,
) -> impl IntoView {
    said(kind, output.as_ref())
        .map(|(heading, text)| view! { <section class="said"><h3>{heading}</h3><p>{text}</p></section> })
        .into_any()
}

fn said(kind: StepKind, output: Option<&Value>) -> Option<(&'static str, String)> {
    let output = output.filter(|_| matches!(kind, StepKind::Model | StepKind::Agent))?;
    let text = output.get("text").and_then(Value::as_str).filter(|text| !text.trim().is_empty())?;
    let unfinished = kind == StepKind::Model && output.get("unfinished").is_some();
    Some((if unfinished { "Written until it was cut off" } else { "Answer" }, text.to_owned()))
}

/// The facts of a call of a model, once it has answered.
#[component]
pub fn ModelFacts(
    /// What the step is.
    kind: StepKind,
    /// What came out of it.
    output: Option<Value>,
) -> impl IntoView {
    let answer = output.as_ref().filter(|output| kind == StepKind::Model && output.get("model").is_some());
    let Some(answer) = answer else { return ().into_any() };
    let word = |name: &str| text_of(answer, name).filter(|text| !text.is_empty()).map(str::to_owned);
    let (answered, tokens) = (answered_by(answer), tokens(answer));
    let tried: Vec<_> = answer
        .get("tried")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|tried| {
            let [model, message] = ["model", "message"].map(|name| text_of(tried, name).unwrap_or_default().to_owned());
            view! { <li><code>{model}</code>": "{message}</li> }
        })
        .collect();
    let tried =
        (!tried.is_empty()).then(|| view! { <Kv name="Tried before"><ol class="tried-models">{tried}</ol></Kv> });
    let ended = word("stop_reason").map(|reason| view! { <Kv name="Ended because"><code>{reason}</code></Kv> });
    let first = answer.get("first_token_ms").and_then(Value::as_i64);
    let first = first.map(|ms| view! { <Kv name="First word after">{text::duration(ms)}</Kv> });
    let request = word("provider_request_id").map(|id| {
        view! {
            <Kv name="Provider's id"><code>{id.clone()}</code>" "<CopyButton text=id label="Copy the provider's id"/></Kv>
        }
    });
    let asked = word("requested").or_else(|| word("model"));
    let cost = Money(answer.pointer("/usage/cost").and_then(Value::as_i64).unwrap_or_default());
    view! {
        <section class="model-facts">
            <h3>"Model call"</h3>
            <KvList>
                <Kv name="Asked for"><code>{asked}</code></Kv>
                <Kv name="Answered by"><code>{answered}</code></Kv>
                {tried}
                {ended}
                <Kv name="Tokens">{tokens}</Kv>
                <Kv name="Cost">{cost.to_string()}</Kv>
                {first}
                {request}
            </KvList>
        </section>
    }
    .into_any()
}

fn text_of<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

/// The model that was called, with the name that its provider gives it where that is another one.
fn answered_by(answer: &Value) -> String {
    let model = text_of(answer, "model").unwrap_or_default();
    match text_of(answer, "served") {
        Some(served) => format!("{model} ({served})"),
        None => model.to_owned(),
    }
}

/// `1,204 in (800 from the provider's cache), 340 out (120 of them reasoning)`.
fn tokens(answer: &Value) -> String {
    let count = |place: &str| answer.pointer(place).and_then(Value::as_u64).unwrap_or_default();
    let some = |place: &str| Some(count(place)).filter(|count| *count > 0).map(text::grouped);
    let read: Vec<_> = [
        some("/tokens/cached").map(|count| format!("{count} from the provider's cache")),
        some("/tokens/cache_write").map(|count| format!("{count} put into it")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let read = if read.is_empty() { String::new() } else { format!(" ({})", read.join(", ")) };
    let thought = some("/tokens/reasoning").map(|count| format!(" ({count} of them reasoning)")).unwrap_or_default();
    let [tokens_in, tokens_out] = ["/usage/tokens_in", "/usage/tokens_out"].map(|place| text::grouped(count(place)));
    format!("{tokens_in} in{read}, {tokens_out} out{thought}")
}

#[cfg(test)]
mod tests {
    use agentflow::engine::{
        journal::Usage,
        port::{ModelAnswer, Served, TokenKinds},
    };
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_told_by_kind_where_there_are_kinds() {
        let usage = Usage { tokens_in: 1_204, tokens_out: 340, ..Usage::default() };
        let mut answer = ModelAnswer { usage, model: "openai/gpt-5".to_owned(), ..ModelAnswer::default() };
        let recorded = |answer: &ModelAnswer| serde_json::to_value(answer).expect("JSON");
        assert_eq!(tokens(&recorded(&answer)), "1,204 in, 340 out");
        answer.tokens = TokenKinds { cached: 800, cache_write: 100, reasoning: 120 };
        let words = "1,204 in (800 from the provider's cache, 100 put into it), 340 out (120 of them reasoning)";
        assert_eq!(tokens(&recorded(&answer)), words);
        assert_eq!(answered_by(&recorded(&answer)), "openai/gpt-5");
        answer.served = Some(Box::new(Served("gpt-5-2026-08-07".to_owned())));
        assert_eq!(answered_by(&recorded(&answer)), "openai/gpt-5 (gpt-5-2026-08-07)");
    }

    #[test]
    fn what_was_cut_off_is_not_called_an_answer() {
        let half = json!({ "text": "Half an ", "unfinished": true });
        assert_eq!(said(StepKind::Model, Some(&half)).map(|said| said.0), Some("Written until it was cut off"));
        // An agent whose answer has such an entry is an agent that answered.
        assert_eq!(said(StepKind::Agent, Some(&half)).map(|said| said.0), Some("Answer"));
        assert!(said(StepKind::Tool, Some(&half)).is_none() && said(StepKind::Model, None).is_none());
        assert!(ModelAnswer::deserialize(&half).is_err());
    }
}
