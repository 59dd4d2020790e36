//! What a call of a model recorded besides its text: which model was asked for and which answered, what was tried before,
//! why it ended, its tokens by kind, its cost, and the provider's name for it.

use agentflow::{
    engine::{port::ModelAnswer, state::StepKind},
    kernel::text,
};
use leptos::prelude::*;
use serde::Deserialize;
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
    let answer = output.as_ref().filter(|_| kind == StepKind::Model);
    let Some(answer) = answer.and_then(|output| ModelAnswer::deserialize(output).ok()) else {
        return ().into_any();
    };
    let (answered, tokens, first) = (answered_by(&answer), tokens(&answer), answer.first_token_ms);
    let tried: Vec<_> = answer
        .tried
        .iter()
        .map(|tried| view! { <li><code>{tried.model.clone()}</code>": "{tried.message.clone()}</li> })
        .collect();
    let tried =
        (!tried.is_empty()).then(|| view! { <Kv name="Tried before"><ol class="tried-models">{tried}</ol></Kv> });
    let ended = (!answer.stop_reason.is_empty())
        .then(|| view! { <Kv name="Ended because"><code>{answer.stop_reason.clone()}</code></Kv> });
    let first = first.map(|ms| {
        view! { <Kv name="First word after">{text::duration(i64::from(ms))}</Kv> }
    });
    let request = answer.provider_request_id.clone().map(|id| {
        view! {
            <Kv name="Provider's id"><code>{id.clone()}</code>" "<CopyButton text=id label="Copy the provider's id"/></Kv>
        }
    });
    let asked = answer.requested.clone().unwrap_or_else(|| answer.model.clone());
    view! {
        <section class="model-facts">
            <h3>"Model call"</h3>
            <KvList>
                <Kv name="Asked for"><code>{asked}</code></Kv>
                <Kv name="Answered by"><code>{answered}</code></Kv>
                {tried}
                {ended}
                <Kv name="Tokens">{tokens}</Kv>
                <Kv name="Cost">{answer.usage.cost.to_string()}</Kv>
                {first}
                {request}
            </KvList>
        </section>
    }
    .into_any()
}

/// The model that was called, with the name that its provider gives it where that is another one.
fn answered_by(answer: &ModelAnswer) -> String {
    match &answer.served {
        Some(served) => format!("{} ({})", answer.model, served.0),
        None => answer.model.clone(),
    }
}

/// `1,204 in (800 from the provider's cache), 340 out (120 of them reasoning)`.
fn tokens(answer: &ModelAnswer) -> String {
    let (usage, kinds) = (answer.usage, answer.tokens);
    let mut read = Vec::new();
    if kinds.cached > 0 {
        read.push(format!("{} from the provider's cache", text::grouped(kinds.cached)));
    }
    if kinds.cache_write > 0 {
        read.push(format!("{} put into it", text::grouped(kinds.cache_write)));
    }
    let read = if read.is_empty() { String::new() } else { format!(" ({})", read.join(", ")) };
    let thought = match kinds.reasoning {
        0 => String::new(),
        count => format!(" ({} of them reasoning)", text::grouped(count)),
    };
    format!("{} in{read}, {} out{thought}", text::grouped(usage.tokens_in), text::grouped(usage.tokens_out))
}

#[cfg(test)]
mod tests {
    use agentflow::engine::{
        journal::Usage,
        port::{Served, TokenKinds},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_told_by_kind_where_there_are_kinds() {
        let usage = Usage { tokens_in: 1_204, tokens_out: 340, ..Usage::default() };
        let mut answer = ModelAnswer { usage, model: "openai/gpt-5".to_owned(), ..ModelAnswer::default() };
        assert_eq!(tokens(&answer), "1,204 in, 340 out");
        answer.tokens = TokenKinds { cached: 800, cache_write: 100, reasoning: 120 };
        let words = "1,204 in (800 from the provider's cache, 100 put into it), 340 out (120 of them reasoning)";
        assert_eq!(tokens(&answer), words);
        assert_eq!(answered_by(&answer), "openai/gpt-5");
        answer.served = Some(Box::new(Served("gpt-5-2026-08-07".to_owned())));
        assert_eq!(answered_by(&answer), "openai/gpt-5 (gpt-5-2026-08-07)");
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
