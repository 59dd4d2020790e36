//! The parts of the panel as the server writes them.

use agentflow::{
    engine::{
        journal::{LogLevel, StoredEvent},
        plan::{Join, OnError},
    },
    kernel::{RunId, Timestamp, text},
    runs::{LogLine, RunPayloads, StepDetail, StepRules},
};
use leptos::prelude::*;
use serde_json::Value;

use super::{
    super::{line::encoded, words},
    answer::{ModelFacts, Said},
};
use crate::kit::{Json, Kv, KvList, fragment::Html, time::for_machines};

/// Where the part stands: what its links begin with.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The organization, as in the address.
    pub org: &'a str,
    /// The run.
    pub run: RunId,
}

impl Place<'_> {
    fn base(self) -> String {
        format!("/o/{}/runs/{}", self.org, self.run)
    }
}

/// What a step was given and what came out of it, with what its node says of it.
#[must_use]
pub fn of_step(place: Place<'_>, detail: StepDetail) -> Html {
    let StepDetail { view, rules, input, input_bytes, output, output_bytes } = detail;
    let in_full = format!("{}?step={}&full=1", place.base(), encoded(view.id.as_str()));
    let empty = if view.state.is_end() { "No output." } else { "Not there yet." };
    let org = place.org.to_owned();
    Html::of(move || {
        view! {
            <Rules org rules/>
            <Said kind=view.kind output=output.clone()/>
            <ModelFacts kind=view.kind output=output.clone()/>
            <Payload title="Output" value=output bytes=output_bytes in_full=in_full.clone() empty/>
            <Payload title="Input" value=input bytes=input_bytes in_full empty="No input."/>
        }
    })
}

/// What a run was started with and what came out.
#[must_use]
pub fn of_run(place: Place<'_>, ended: bool, payloads: RunPayloads) -> Html {
    let in_full = format!("{}?full=1", place.base());
    let empty = if ended { "No output." } else { "Not there yet." };
    let RunPayloads { input, input_bytes, output, output_bytes } = payloads;
    Html::of(move || {
        view! {
            <Payload title="Output" value=output bytes=output_bytes in_full=in_full.clone() empty/>
            <Payload title="Input" value=input bytes=input_bytes in_full empty="No input."/>
        }
    })
}

/// One value: shown, or offered where it is large.
#[component]
fn Payload(
    title: &'static str,
    value: Option<Value>,
    bytes: u64,
    in_full: String,
    empty: &'static str,
) -> impl IntoView {
    let body = match value {
        Some(value) => view! { <Json value label=title/> }.into_any(),
        None if bytes > 0 => {
            let words = format!("Show {} of {}", words::bytes(bytes), title.to_lowercase());
            view! { <p><a class="btn" href=in_full data-noscroll>{words}</a></p> }.into_any()
        }
        None => view! { <p class="quiet">{empty}</p> }.into_any(),
    };
    view! {
        <section class="payload">
            <h3>{title}</h3>
            {body}
        </section>
    }
    .into_any()
}

/// What the graph says of a step. Nothing where that is nothing to speak of.
#[component]
fn Rules(org: String, rules: StepRules) -> impl IntoView {
    let StepRules { after, join, attempts, alternatives, on_error, at_most_once, locks, workflow } = rules;
    let mut lines: Vec<(&'static str, AnyView)> = Vec::new();
    if let Some((id, name, version)) = workflow {
        let href = format!("/o/{org}/workflows/{id}");
        lines.push(("Workflow", view! { <a href=href>{name}</a>" version "{version} }.into_any()));
    }
    if !after.is_empty() {
        let names = after.join(", ");
        lines.push(match join {
            _ if after.len() == 1 => ("Runs after", names.into_any()),
            Join::All => ("Runs when", format!("all of: {names}").into_any()),
            Join::Any => ("Runs when", format!("any of: {names}").into_any()),
            Join::Count(count) => ("Runs when", format!("{count} of: {names}").into_any()),
        });
    }
    if !locks.is_empty() {
        lines.push(("Holds the locks", locks.join(", ").into_any()));
    }
    if let Some(attempts) = attempts {
        let words = if attempts == 1 { "1 attempt".to_owned() } else { format!("up to {attempts} attempts") };
        lines.push(("Tried with", words.into_any()));
    }
    if !alternatives.is_empty() {
        lines.push(("Then instead", alternatives.join(", then ").into_any()));
    }
    let fails = match on_error {
        OnError::Default => None,
        OnError::Fail => Some("the run fails"),
        OnError::Continue => Some("the run goes on without it"),
        OnError::Ask => Some("a person is asked"),
    };
    lines.extend(fails.map(|words| ("If all that fails", words.into_any())));
    let any = !lines.is_empty();
    if at_most_once {
        lines.push(("Never repeated", "where it is not known whether it happened".into_any()));
    }
    let lines: Vec<_> = lines.into_iter().map(|(name, value)| view! { <Kv name>{value}</Kv> }).collect();
    any.then(|| view! { <KvList>{lines}</KvList> }).into_any()
}

/// The lines that a step and those below it wrote.
#[must_use]
pub fn of_log(place: Place<'_>, zero: Timestamp, lines: &[LogLine]) -> Html {
    let whole = format!("{}?view=logs", place.base());
    let lines: Vec<_> = lines.to_vec();
    Html::of(move || {
        let none = lines.is_empty().then(|| view! { <p class="quiet">"This step has written no lines."</p> });
        let rows: Vec<_> = lines.iter().map(|line| row(line, zero)).collect();
        view! {
            <div class="log log-small" role="region" tabindex="0" aria-label="Log of this step">
                {none}
                <ol>{rows}</ol>
            </div>
            <p><a href=whole>"Log of the whole run"</a></p>
        }
    })
}

fn row(line: &LogLine, zero: Timestamp) -> AnyView {
    let after = format!("+{}", text::duration((line.at - zero).num_milliseconds()));
    let level = match line.level {
        LogLevel::Debug | LogLevel::Info => "log-level neutral",
        LogLevel::Warn => "log-level warning",
        LogLevel::Error => "log-level danger",
    };
    view! {
        <li class="log-line">
            <span class="log-seq">{line.seq}</span>
            <time class="log-at" datetime=for_machines(line.at)>{after}</time>
            <span class=level>{line.level.as_str()}</span>
            <span class="log-text">{line.message.clone()}</span>
        </li>
    }
    .into_any()
}

/// A step's part of the journal.
#[must_use]
pub fn of_events(zero: Timestamp, events: Vec<StoredEvent>) -> Html {
    Html::of(move || {
        if events.is_empty() {
            return view! { <p class="quiet">"Nothing has happened to this step yet."</p> }.into_any();
        }
        let row = |StoredEvent { seq, at, event }: StoredEvent| {
            let after = text::duration((at - zero).num_milliseconds());
            let data = serde_json::to_value(&event).unwrap_or_default();
            view! {
                <li>
                    <details>
                        <summary>
                            <span class="event-seq">{seq}</span>
                            <code>{event.name()}</code>
                            <span class="event-at">"+"{after}</span>
                        </summary>
                        <Json value=data label=format!("Event {seq}")/>
                    </details>
                </li>
            }
        };
        let rows: Vec<_> = events.into_iter().map(row).collect();
        view! { <ol class="events">{rows}</ol> }.into_any()
    })
}
