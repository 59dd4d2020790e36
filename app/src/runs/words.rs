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
use crate::kit::{
    Family, Glyph, Status, kind_word,
    status::{WAITS_FOR_LIMIT, WAITS_FOR_LOCK},
    time::in_full,
};

/// How a step's state is shown: what it waits for counts, and so does what waits below it.
#[must_use]
pub fn status(step: &StepView, node: &Node) -> Status {
    match step.state {
        StepState::Waiting if step.lock.is_some() => WAITS_FOR_LOCK,
        StepState::Waiting | StepState::Running if node.asks => {
            Status::new("Needs approval", Glyph::Hand, Family::Attention)
        }
        StepState::Waiting if waits_for_limit(step) => WAITS_FOR_LIMIT,
        StepState::Running if is_mended(step) => Status::new("Trying instead", Glyph::Retry, Family::Warning),
        StepState::Failed if is_timeout(step.error.as_ref()) => {
            Status::new("Timed out", Glyph::TimedOut, Family::Danger)
        }
        StepState::Succeeded if step.reused => Status::new("Reused", Glyph::Succeeded, Family::Success),
        StepState::Succeeded if step.cached => Status::new("From the cache", Glyph::Succeeded, Family::Success),
        state => (state, step.kind).into(),
    }
}

/// Whether a call waits until the other side may be called again. Whatever else has a moment is a timer, or ends then.
fn waits_for_limit(step: &StepView) -> bool {
    let calls = matches!(step.kind, StepKind::Tool | StepKind::Http | StepKind::Model);
    let asks = step.approval.is_some() || step.lock.is_some();
    step.state == StepState::Waiting && calls && !asks && step.wake_at.is_some()
}

/// Whether its own attempts are spent, and something is tried instead.
fn is_mended(step: &StepView) -> bool {
    step.failures.last().is_some_and(|last| last.attempt == step.attempt && last.next_at.is_none())
}

/// Whether a step waits for something of its own, and not for what is inside of it.
#[must_use]
pub fn waits_itself(step: &StepView) -> bool {
    let leaf = matches!(step.kind, StepKind::Wait | StepKind::WaitEvent | StepKind::Approval);
    leaf || step.lock.is_some() || step.approval.is_some() || step.state != StepState::Waiting || waits_for_limit(step)
}

/// What a step waits for and until when, or whose result it has, in a sentence; nothing where there is nothing to say.
#[must_use]
pub fn waits(step: &StepView, now: Timestamp) -> Option<String> {
    let in_time = |at: Timestamp| format!("in {} ({})", whole_seconds(at, now), in_full(at));
    let of = step.attempts.map(|of| format!(" of {of}")).unwrap_or_default();
    match (step.state, step.wake_at) {
        (StepState::Waiting, _) if step.lock.is_some() => {
            step.lock.as_ref().map(|name| format!("Waits for the lock “{name}”."))
        }
        (StepState::Waiting, _) if step.approval.is_some() || step.kind == StepKind::Approval => None,
        (StepState::Waiting, until) if step.kind == StepKind::WaitEvent => {
            let key = step.about.as_deref().unwrap_or_default();
            let until = until.map(|at| format!(", until {} at the latest", in_full(at))).unwrap_or_default();
            Some(format!("Waits for the event {key}{until}."))
        }
        (StepState::Waiting, Some(at)) if step.kind == StepKind::Wait => Some(format!("Goes on {}.", in_time(at))),
        (StepState::Waiting, Some(at)) if waits_for_limit(step) => {
            Some(format!("Waits for a rate limit: goes on {}.", in_time(at)))
        }
        (StepState::Retrying, Some(at)) => {
            Some(format!("Attempt {}{of} begins in {}.", step.attempt + 1, whole_seconds(at, now)))
        }
        (StepState::Running, _) if is_mended(step) => {
            Some("Its own attempts failed. What is done about it is below it.".to_owned())
        }
        (StepState::Succeeded, _) if is_mended(step) => {
            Some("Its own attempts failed. The result is that of what was done instead, below it.".to_owned())
        }
        (StepState::Failed, _) if is_mended(step) => Some(
            "Its own attempts failed, and so did what was tried instead, below it. This is the last error.".to_owned(),
        ),
        (StepState::Uncertain, _) => Some(
            "It began, and it is not known whether it happened. It is not repeated unless a person says so.".to_owned(),
        ),
        _ => None,
    }
}

/// The run that held a lock when the step began to wait for it: what the step is about says so.
#[must_use]
pub fn held_by(step: &StepView) -> Option<&str> {
    step.lock.as_ref()?;
    let (_, run) = step.about.as_deref()?.rsplit_once(", held by ")?;
    run.starts_with("run_").then_some(run)
}

/// How long a timer still runs: `58 min 12 s left`.
#[must_use]
pub fn left(step: &StepView, now: Timestamp) -> Option<String> {
    let timer = step.state == StepState::Waiting && step.kind == StepKind::Wait;
    step.wake_at.filter(|_| timer).map(|at| format!("{} left", whole_seconds(at, now)))
}

/// Whether a run that has ended can be run again from this step: a node of its own that began, and no part of an agent's
/// work.
#[must_use]
pub fn can_begin_again(view: &RunView, step: &StepView) -> bool {
    let is_node = step.id.key().starts_with(|first: char| first.is_ascii_lowercase());
    let in_agent = || {
        let above = step.id.parent().and_then(|above| view.step(&above));
        above.is_some_and(|above| above.kind == StepKind::Agent)
    };
    step.started_at.is_some() && is_node && !in_agent()
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
        // The status in full stands in the panel; in a line there is little room.
        (StepState::Waiting, _) if step.lock.is_some() => "Waits for lock".to_owned(),
        (StepState::Waiting, _) if step.kind == StepKind::WaitEvent => "Waits for event".to_owned(),
        (StepState::Waiting, _) if waits_for_limit(step) => "Waits for limit".to_owned(),
        (StepState::Running, Some(of)) if step.attempt > 1 && !is_mended(step) => {
            format!("Running, attempt {} of {of}", step.attempt)
        }
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

/// What a step is about, where its name does not say just that: a tool's call is often called by the tool.
#[must_use]
pub fn about(step: &StepView) -> Option<String> {
    step.about.clone().filter(|about| *about != step.name)
}

/// What is read out for a line: `Draft reply, Model call, running, 6.8 s, 9,860 tokens, $0.052`.
#[must_use]
pub fn label(step: &StepView, state: &str, usage: Usage, more: Option<&str>, now: Timestamp) -> String {
    let mut parts = vec![step.name.clone(), kind_word(step.kind).to_owned()];
    parts.extend(about(step));
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

/// The text with a small letter at its beginning, for the middle of a sentence.
#[must_use]
pub fn lower_first(text: &str) -> String {
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

/// What a run that does another one again, by its trigger, is of that one.
#[must_use]
pub fn again_of(trigger: &str) -> &'static str {
    match trigger {
        "rerun" => "Rerun of",
        "fork" => "Fork of",
        _ => "Retry of",
    }
}

/// What a run is called that does this one again, by its trigger.
#[must_use]
pub fn again_as(trigger: &str) -> &'static str {
    match trigger {
        "rerun" => "Rerun as",
        "fork" => "Forked as",
        _ => "Retried as",
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
    use agentflow::engine::{journal::Event, state::StepId};
    use serde_json::json;

    use super::*;
    use crate::runs::{
        fixture::{at, error, failing_run, folded, head, numbered, started, succeeded},
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
    fn what_a_step_waits_for_is_a_sentence_and_a_timeout_of_an_event_is_no_timer() {
        let waiting = |kind: StepKind, about: Option<&str>, until: Option<i64>| {
            let mut step = head("paid", kind, 0);
            step.about = about.map(str::to_owned);
            let event = json!({ "type": "step.waiting", "step": step, "attempt": 1, "until": until.map(at) });
            let event = serde_json::from_value(event).expect("an event");
            let view = folded(&numbered([(0, event)]));
            let tree = Tree::of(&view.steps);
            (status(&view.steps[0], tree.node(0).expect("a node")).word, waits(&view.steps[0], at(1_000)))
        };
        let (word, sentence) = waiting(StepKind::WaitEvent, Some("payment.7"), Some(86_400_000));
        assert_eq!(word, "Waiting for an event");
        assert_eq!(
            sentence.as_deref(),
            Some("Waits for the event payment.7, until 18 Mar 2030, 17:46:40 UTC at the latest.")
        );
        let (word, sentence) = waiting(StepKind::Wait, None, Some(61_000));
        assert_eq!(word, "Scheduled");
        assert_eq!(sentence.as_deref(), Some("Goes on in 1\u{a0}min\u{a0}00\u{a0}s (17 Mar 2030, 17:47:41 UTC)."));
        assert_eq!(waiting(StepKind::Http, None, Some(61_000)).0, "Waiting for a rate limit");
        assert_eq!(waiting(StepKind::Map, None, Some(61_000)), ("Running", None), "what it has to end by is no timer");
    }

    #[test]
    fn a_step_that_waits_for_a_lock_says_which_and_who_held_it() {
        let mut step = head("write", StepKind::Http, 0);
        step.about = Some("lock “a, held by b”, held by run_01m8c418sde538tdba2j2vacy9".to_owned());
        let event = json!({ "type": "step.waiting", "step": step, "attempt": 1, "lock": "a, held by b" });
        let view = folded(&numbered([(0, serde_json::from_value(event).expect("an event"))]));
        let step = &view.steps[0];
        let node = Tree::of(&view.steps);
        assert_eq!(state_words(step, status(step, node.node(0).expect("a node")), at(9)), "Waits for lock");
        assert_eq!(waits(step, at(9)).as_deref(), Some("Waits for the lock “a, held by b”."));
        assert_eq!(held_by(step), Some("run_01m8c418sde538tdba2j2vacy9"));
    }

    #[test]
    fn an_address_tells_an_attempt_from_a_step_that_mends_another() {
        let of = |wanted| crate::runs::model::step_of(wanted);
        assert_eq!(of("fetch~2"), (StepId::from_text("fetch"), 2));
        assert_eq!(of("fetch.~alt1"), (StepId::from_text("fetch.~alt1"), 0));
        assert_eq!(of("fetch.~alt1~2"), (StepId::from_text("fetch.~alt1"), 2));
    }

    #[test]
    fn what_is_tried_instead_is_said_of_the_step_that_failed() {
        let fetch = head("fetch", StepKind::Http, 0);
        let failed = Event::StepAttemptFailed { step: fetch.id.clone(), attempt: 1, error: error("No.") };
        let view = folded(&numbered([(0, started(&fetch, 1)), (5, failed)]));
        let node = Tree::of(&view.steps);
        assert_eq!(status(&view.steps[0], node.node(0).expect("a node")).word, "Trying instead");
        assert!(waits(&view.steps[0], at(9)).is_some_and(|words| words.starts_with("Its own attempts failed.")));
        assert!(can_begin_again(&view, &view.steps[0]));
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
