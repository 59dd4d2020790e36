//! What a run's lines say: states, times, sums, and the sentence that is read out. Texts only, the same on the server and
//! in the browser: every moment is passed in.

use agentflow::{
    engine::{
        journal::{FailedAttempt, RunView, StepView, Usage},
        state::{ErrorClass, RunState, StepError, StepKind, StepState},
    },
    kernel::{Timestamp, text},
};

use super::tree::Node;
use crate::kit::{Family, Glyph, Status, kind_word};

/// How a step's state is shown: what it waits for counts, and so does what waits below it.
#[must_use]
pub fn status(step: &StepView, node: &Node) -> Status {
    match step.state {
        StepState::Waiting if node.asks => Status::new("Needs approval", Glyph::Hand, Family::Attention),
        StepState::Waiting if step.lock.is_some() => Status::new("Waiting for lock", Glyph::Clock, Family::Neutral),
        StepState::Waiting if step.wake_at.is_some() && calls(step.kind) => {
            Status::new("Rate limited", Glyph::Clock, Family::Neutral)
        }
        StepState::Waiting if step.wake_at.is_some() => Status::new("Scheduled", Glyph::Clock, Family::Neutral),
        StepState::Failed if is_timeout(step.error.as_ref()) => {
            Status::new("Timed out", Glyph::TimedOut, Family::Danger)
        }
        StepState::Succeeded if step.reused => Status::new("Reused", Glyph::Succeeded, Family::Success),
        StepState::Succeeded if step.cached => Status::new("From the cache", Glyph::Succeeded, Family::Success),
        state => (state, step.kind).into(),
    }
}

fn calls(kind: StepKind) -> bool {
    matches!(kind, StepKind::Model | StepKind::Tool | StepKind::Http)
}

fn is_timeout(error: Option<&StepError>) -> bool {
    error.is_some_and(|error| error.class == ErrorClass::Timeout)
}

/// The state in words: `Retrying, attempt 2 of 3, next in 8 s`.
#[must_use]
pub fn state_words(step: &StepView, status: Status, now: Timestamp) -> String {
    match (step.state, step.attempts) {
        (StepState::Retrying, of) => {
            let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
            let next = step.wake_at.map(|at| format!(", next in {}", whole_seconds(at, now))).unwrap_or_default();
            format!("Retrying, attempt {}{of}{next}", step.attempt + 1)
        }
        (StepState::Running, Some(of)) if step.attempt > 1 => format!("Running, attempt {} of {of}", step.attempt),
        _ => status.word.to_owned(),
    }
}

fn whole_seconds(at: Timestamp, now: Timestamp) -> String {
    let seconds = ((at - now).num_milliseconds().max(0) + 999) / 1_000;
    if seconds < 60 { format!("{seconds}\u{a0}s") } else { text::duration(seconds * 1_000) }
}

/// How long a step has taken: nothing before it begins, up to `now` while it goes on.
#[must_use]
pub fn lasted(step: &StepView, now: Timestamp) -> Option<i64> {
    if step.state == StepState::Skipped {
        return None;
    }
    let began = step.started_at?;
    Some((step.finished_at.unwrap_or(now) - began).num_milliseconds().max(0))
}

/// How long a run has taken since it was accepted.
#[must_use]
pub fn run_lasted(view: &RunView, accepted: Timestamp, now: Timestamp) -> i64 {
    (view.finished_at.unwrap_or(now) - accepted).num_milliseconds().max(0)
}

/// `9,860 tokens`, or nothing.
#[must_use]
pub fn tokens(usage: Usage) -> Option<String> {
    (usage.tokens() > 0).then(|| format!("{} tokens", text::grouped(usage.tokens())))
}

/// What is read out for a line: `Draft reply, Model call, running, 6.8 s, 9,860 tokens, $0.052`.
#[must_use]
pub fn label(step: &StepView, state: &str, usage: Usage, more: Option<&str>, now: Timestamp) -> String {
    let mut parts = vec![step.name.clone(), kind_word(step.kind).to_owned()];
    parts.extend(step.about.clone());
    parts.push(lower_first(state));
    parts.extend(more.map(str::to_owned));
    parts.extend(lasted(step, now).map(text::duration));
    parts.extend(tokens(usage));
    if usage.cost.micros() > 0 {
        parts.push(usage.cost.to_string());
    }
    parts.join(", ")
}

/// What is read out for the line of a failed attempt.
#[must_use]
pub fn attempt_label(failure: &FailedAttempt) -> String {
    let then = backoff(failure).map_or_else(String::new, |pause| format!(", then a pause of {pause}"));
    format!("Attempt {}, failed, {}{then}", failure.attempt, failure.error.message)
}

/// How long the pause after a failed attempt was to be; nothing where something else followed.
#[must_use]
pub fn backoff(failure: &FailedAttempt) -> Option<String> {
    failure.next_at.map(|next_at| text::duration((next_at - failure.at).num_milliseconds()))
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The class of an error in words.
#[must_use]
pub const fn class_words(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::RateLimited => "Rate limited",
        ErrorClass::Timeout => "Timed out",
        ErrorClass::Unavailable => "Not available",
        ErrorClass::InvalidOutput => "Output not as agreed",
        ErrorClass::Auth => "Credentials refused",
        ErrorClass::Quota => "Quota used up",
        ErrorClass::Budget => "Limit reached",
        ErrorClass::BadInput => "Wrong input",
        ErrorClass::Rejected => "Rejected",
        ErrorClass::Poison => "Crashes its process",
        ErrorClass::Internal => "Internal error",
    }
}

/// `3 errors`.
#[must_use]
pub fn counted(count: usize, one: &str, more: &str) -> String {
    let number = text::grouped(count as u64);
    format!("{number} {}", if count == 1 { one } else { more })
}

/// The summary that is read out while a run goes on: `3 of 9 steps done`.
#[must_use]
pub fn progress(view: &RunView) -> String {
    let done = view.steps.iter().filter(|step| step.state.is_end()).count();
    format!("{done} of {} steps done", view.steps.len())
}

/// What a run's trigger is called.
#[must_use]
pub fn trigger(word: &str) -> &str {
    match word {
        "person" => "Started by",
        "api" => "Started through the API by",
        "test" => "Test by",
        "retry" => "Retried by",
        "rerun" => "Run again by",
        "fork" => "Forked by",
        other => other,
    }
}

/// `212 KB`, `2.1 MB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count}\u{a0}B"),
        1_024..1_048_576 => format!("{}\u{a0}KB", count / 1_024),
        _ => format!("{}.{}\u{a0}MB", count / 1_048_576, count % 1_048_576 * 10 / 1_048_576),
    }
}

/// Whether the state of a run may still change.
#[must_use]
pub const fn goes_on(state: RunState) -> bool {
    !state.is_end()
}

#[cfg(test)]
mod tests {
    use agentflow::engine::state::{StepId, StepKind};

    use super::*;
    use crate::runs::{
        fixture::{at, failing_run, folded, head, numbered, started, succeeded},
        tree::Tree,
    };

    #[test]
    fn a_pause_between_attempts_says_which_attempt_follows_and_when() {
        let events: Vec<_> = failing_run().into_iter().take_while(|event| event.at < at(2_000)).collect();
        let view = folded(&events);
        let tree = Tree::of(&view.steps);
        let place = tree.find(&StepId::from_text("triage.lookup1")).expect("a step");
        let (step, node) = (&view.steps[place], tree.node(place).expect("a node"));
        let words = state_words(step, status(step, node), at(1_500));
        assert_eq!(words, "Retrying, attempt 2 of 3, next in 2\u{a0}s");
        assert_eq!(backoff(&step.failures[0]).as_deref(), Some("1.5\u{a0}s"));
    }

    #[test]
    fn a_line_is_read_out_as_one_sentence() {
        let draft = head("draft", StepKind::Model, 0);
        let view = folded(&numbered([(0, started(&draft, 1)), (6_800, succeeded(&draft, 9_860))]));
        let words = label(&view.steps[0], "Succeeded", view.usage, None, at(9_999));
        assert_eq!(words, "draft, Model call, succeeded, 6.8\u{a0}s, 9,860 tokens, $0.0986");
        assert_eq!((bytes(900).as_str(), bytes(2_210_000).as_str()), ("900\u{a0}B", "2.1\u{a0}MB"));
    }
}
