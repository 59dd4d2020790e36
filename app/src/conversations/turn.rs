//! One message, and what the agent did and said.

use agentflow::{
    conversations::{CallLine, Reply, Turn},
    engine::state::{RunState, StepId, StepKind, StepState},
    kernel::text,
    models,
};
use leptos::prelude::*;

use super::writing::Writing;
use crate::kit::Glyph;

/// A message with its answer, or its two answers.
#[component]
pub(super) fn TurnView(
    /// The organization's part of the address.
    org: StoredValue<String>,
    /// The message; nothing once it is gone.
    turn: Memo<Option<Turn>>,
    /// What is being written.
    writing: Writing,
    /// Where a test case is made of a message and its answer, by whoever may.
    of_answer: StoredValue<Option<String>>,
) -> impl IntoView {
    let Some(first) = turn.get_untracked() else { return ().into_any() };
    let draft = Memo::new(move |_| turn.with(|turn| turn.as_ref().map(|turn| turn.reply.clone())));
    let deployed = Memo::new(move |_| turn.with(|turn| turn.as_ref().and_then(|turn| turn.deployed.clone())));
    let divider = first.changed.then(|| view! { <p class="trial-divider">"Draft changed"</p> });
    let two = first.deployed.is_some();
    let simulated = first.simulated;
    let other = two.then(|| {
        view! { <ReplyView org reply=deployed writing name="Deployed" simulated/> }
    });
    let name = if two { "Draft" } else { "Agent" };
    let seq = first.seq;
    let keep = move || {
        let answered = draft.with(|reply| reply.as_ref().is_some_and(|reply| reply.state == RunState::Succeeded));
        let href = of_answer.get_value().filter(|_| answered).map(|tests| format!("{tests}&turn={seq}"));
        href.map(|href| view! { <p class="trial-facts"><a href=href>"Save as test case"</a></p> })
    };
    view! {
        {divider}
        <article class="trial-turn">
            <div class="trial-said"><h3 class="visually-hidden">"You"</h3><p>{first.prompt}</p></div>
            <div class=if two { "trial-replies two" } else { "trial-replies" }>
                <ReplyView org reply=draft writing name simulated/>
                {other}
            </div>
            {keep}
            {move || two.then(|| difference(&draft.get(), &deployed.get()))}
        </article>
    }
    .into_any()
}

/// How the draft's answer compares with the deployed version's.
fn difference(draft: &Option<Reply>, deployed: &Option<Reply>) -> Option<AnyView> {
    let (draft, deployed) = (draft.as_ref()?, deployed.as_ref()?);
    let (new, old) = (draft.total_ms?, deployed.total_ms?);
    let cost = draft.usage.cost.micros() - deployed.usage.cost.micros();
    let sign = |number: i64| if number < 0 { "−" } else { "+" };
    let words = format!(
        "Against the deployed version: cost {}${:.6}, time {}{}",
        sign(cost),
        cost.unsigned_abs() as f64 / 1e6,
        sign(new - old),
        text::duration((new - old).abs()),
    );
    Some(view! { <p class="trial-difference">{words}</p> }.into_any())
}

#[component]
fn ReplyView(
    org: StoredValue<String>,
    reply: Memo<Option<Reply>>,
    writing: Writing,
    name: &'static str,
    simulated: bool,
) -> impl IntoView {
    let calls = move || {
        reply.with(|reply| {
            let calls = reply.iter().flat_map(|reply| &reply.calls);
            calls.filter(|call| call.kind != StepKind::Model).map(|call| call.step.clone()).collect::<Vec<_>>()
        })
    };
    let call = move |step: String| {
        Memo::new(move |_| reply.with(|reply| reply.as_ref()?.calls.iter().find(|call| call.step == step).cloned()))
    };
    let answer = move || {
        let said = reply.with(|reply| reply.as_ref().and_then(|reply| reply.text.clone()));
        said.or_else(|| partial(reply, writing))
    };
    let state = move || reply.with(|reply| reply.as_ref().map(|reply| reply.state));
    let error = move || {
        let error = reply.with(|reply| reply.as_ref().and_then(|reply| reply.error.clone()));
        error.map(|error| view! { <p class="trial-error">{error}</p> })
    };
    let stopped = move || (state() == Some(RunState::Cancelled)).then(|| view! { <p class="muted">"Stopped."</p> });
    let cut = move || !state().is_some_and(|state| state == RunState::Succeeded || !state.is_end());
    view! {
        <div class="trial-reply" aria-busy=move || (!state().is_none_or(RunState::is_end)).then_some("true")>
            <h3>{name}{simulated.then(|| view! { " "<span class="tag">"Effects simulated"</span> })}</h3>
            <For each=calls key=|step| step.clone() let:step>
                <CallView org reply call=call(step)/>
            </For>
            <div class="trial-text" class:is-cut=cut>{answer}</div>
            {error}
            {stopped}
            <p class="trial-facts">{move || facts(org, reply)}</p>
        </div>
    }
    .into_any()
}

/// What was written until now: of an answer under way, or of one that was stopped or failed.
fn partial(reply: Memo<Option<Reply>>, writing: Writing) -> Option<String> {
    let (run, step, said) = reply.with(|reply| {
        let reply = reply.as_ref()?;
        let last = reply.calls.iter().rfind(|call| call.kind == StepKind::Model)?;
        Some((reply.run, StepId::from_text(last.step.clone()), last.output.clone()))
    })?;
    if !said.is_empty() {
        return Some(said);
    }
    writing.with(|writing| writing.get(&(run, step)).map(|(_, text)| text.clone()))
}

/// Model, tokens, cost and times, and the way to the run.
fn facts(org: StoredValue<String>, reply: Memo<Option<Reply>>) -> Option<AnyView> {
    let reply = reply.get()?;
    let mut parts = Vec::new();
    if let Some(model) = &reply.model {
        parts.push(models::label(model).to_owned());
    }
    if reply.usage.tokens() > 0 {
        parts.push(format!("{} tokens", text::grouped(reply.usage.tokens())));
        parts.push(reply.usage.cost.to_string());
    }
    if let Some(first) = reply.first_token_ms {
        parts.push(format!("first word after {}", text::duration(i64::try_from(first).unwrap_or(i64::MAX))));
    }
    if let Some(total) = reply.total_ms {
        parts.push(format!("{} in all", text::duration(total)));
    }
    let words = parts.join(" · ");
    let trace = org.with_value(|org| format!("/o/{org}/runs/{}", reply.run));
    let waits = (reply.state == RunState::Waiting).then(|| {
        let inbox = org.with_value(|org| format!("/o/{org}/approvals"));
        view! { " · "<a href=inbox>"Waits for an approval"</a> }
    });
    Some(view! { {words}{waits}" · "<a href=trace>"Open trace"</a> }.into_any())
}

/// A tool call, folded.
#[component]
fn CallView(org: StoredValue<String>, reply: Memo<Option<Reply>>, call: Memo<Option<CallLine>>) -> impl IntoView {
    move || {
        let call = call.get()?;
        let run = reply.with_untracked(|reply| reply.as_ref().map(|reply| reply.run))?;
        let trace = org.with_value(|org| format!("/o/{org}/runs/{run}?step={}", call.step));
        let mut facts = Vec::new();
        if let Some(ms) = call.took_ms {
            facts.push(text::duration(ms));
        }
        if call.usage.tokens() > 0 {
            facts.push(format!("{} tokens", text::grouped(call.usage.tokens())));
        }
        if call.usage.tokens() > 0 || !call.usage.cost.is_zero() {
            facts.push(call.usage.cost.to_string());
        }
        let glyph = match call.state {
            StepState::Succeeded => Glyph::Succeeded,
            StepState::Failed => Glyph::Failed,
            StepState::Waiting => Glyph::Hand,
            _ => Glyph::Running,
        };
        let tag = call.simulated.then(|| view! { " "<span class="tag">"Simulated"</span> });
        let error = call.error.clone().map(|error| view! { <p class="trial-error">{error}</p> });
        let output = (!call.output.is_empty()).then(|| {
            view! { <p class="label">"Result"</p><pre class="mono">{call.output.clone()}</pre> }
        });
        Some(view! {
            <details class="trial-call">
                <summary>
                    <crate::kit::Icon glyph/>" "{call.name.clone()}{tag}
                    " "<span class="muted">{facts.join(" · ")}</span>
                </summary>
                <p class="label">"Input"</p><pre class="mono">{call.input.clone()}</pre>
                {output}
                {error}
                <p><a href=trace>"Open in the run"</a></p>
            </details>
        })
    }
}
