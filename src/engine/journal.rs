//! A run's journal: events numbered from 1 without gaps. [`super::view`] is the fold that makes the view of a run out of
//! them; its types are named here too.

mod flat;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::{StepError, StepId, StepKind, WaitingOn};
pub use super::view::{FailedAttempt, Pause, PauseKind, RunView, StepView};
use crate::{
    access::Role,
    kernel::{ApprovalId, Money, Timestamp},
};

/// What a step's events say of the step itself, so that a reader needs nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepHead {
    /// Which step.
    pub id: StepId,
    /// What it is.
    pub kind: StepKind,
    /// What is shown.
    pub name: String,
    /// What it is about, in a few words: the model, the tool, the item, the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// When it became ready.
    pub queued_at: Timestamp,
}

/// Tokens and money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read by the model.
    pub tokens_in: u64,
    /// Tokens written by the model.
    pub tokens_out: u64,
    /// What it cost.
    pub cost: Money,
}

impl Usage {
    /// Whether nothing was used.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Tokens in and out.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.tokens_in + self.tokens_out
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.cost += other.cost;
    }
}

/// How serious a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For finding faults.
    Debug,
    /// What happens.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

impl LogLevel {
    /// The word on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// One event of a run. The tag is the event's name in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", try_from = "flat::Flat")]
pub enum Event {
    /// The run was accepted.
    #[serde(rename = "run.queued")]
    RunQueued {
        /// Who started it.
        by: String,
    },
    /// The first node took it up.
    #[serde(rename = "run.started")]
    RunStarted,
    /// It waits and holds nothing.
    #[serde(rename = "run.waiting")]
    RunWaiting {
        /// What for.
        on: WaitingOn,
        /// Until when at the latest, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Somebody holds it: what is under way comes to its end, and nothing new begins.
    #[serde(rename = "run.paused")]
    RunPaused {
        /// Who.
        by: String,
    },
    /// It goes on after waiting or a pause, or after its node was lost.
    #[serde(rename = "run.resumed")]
    RunResumed {
        /// Whether the node that worked on it was lost.
        recovered: bool,
    },
    /// Somebody stops it.
    #[serde(rename = "run.cancelling")]
    RunCancelling {
        /// Who.
        by: String,
    },
    /// It reached an end.
    #[serde(rename = "run.succeeded")]
    RunSucceeded,
    /// It failed.
    #[serde(rename = "run.failed")]
    RunFailed {
        /// Why.
        error: StepError,
    },
    /// It is stopped.
    #[serde(rename = "run.cancelled")]
    RunCancelled,
    /// An attempt of a step begins.
    #[serde(rename = "step.started")]
    StepStarted {
        /// The step.
        step: StepHead,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// A step tells how far it is.
    #[serde(rename = "step.progress")]
    StepProgress {
        /// The step.
        step: StepId,
        /// How much is done.
        done: u64,
        /// Of how much.
        total: u64,
    },
    /// A step waits: for a person, a moment, a lock, or its children.
    #[serde(rename = "step.waiting")]
    StepWaiting {
        /// The step.
        step: StepHead,
        /// The attempt, from 1; 0 before the first.
        attempt: u32,
        /// Until when, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The approval that it waits for.
        #[serde(skip_serializing_if = "Option::is_none")]
        approval: Option<ApprovalId>,
        /// The lock that it waits for.
        #[serde(skip_serializing_if = "Option::is_none")]
        lock: Option<String>,
    },
    /// An agent chose a tool.
    #[serde(rename = "step.tool_use")]
    StepToolUse {
        /// The agent's step.
        step: StepId,
        /// The tool's name.
        tool: String,
        /// The tool's step.
        call: StepId,
    },
    /// The tool answered the agent.
    #[serde(rename = "step.tool_result")]
    StepToolResult {
        /// The agent's step.
        step: StepId,
        /// The tool's step.
        call: StepId,
        /// Whether it worked.
        ok: bool,
    },
    /// A step is done.
    #[serde(rename = "step.succeeded")]
    StepSucceeded {
        /// The step.
        step: StepHead,
        /// The attempt that worked.
        attempt: u32,
        /// What it used.
        usage: Usage,
        /// Whether the result was taken over from the run that this one retries.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reused: bool,
        /// Whether the result is an earlier call's, out of the cache.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        cached: bool,
    },
    /// A step's branch was not taken.
    #[serde(rename = "step.skipped")]
    StepSkipped {
        /// The step.
        step: StepHead,
    },
    /// A step is given up.
    #[serde(rename = "step.failed")]
    StepFailed {
        /// The step.
        step: StepHead,
        /// The last attempt.
        attempt: u32,
        /// Why.
        error: StepError,
        /// What it used.
        usage: Usage,
    },
    /// A step is stopped with the run.
    #[serde(rename = "step.cancelled")]
    StepCancelled {
        /// The step.
        step: StepId,
        /// What its attempts had used.
        #[serde(skip_serializing_if = "Usage::is_none")]
        usage: Usage,
    },
    /// An attempt failed and another will follow.
    #[serde(rename = "step.retrying")]
    StepRetrying {
        /// The step.
        step: StepId,
        /// The attempt that failed.
        attempt: u32,
        /// Attempts in all.
        of: u32,
        /// Why it failed.
        error: StepError,
        /// When the next one begins.
        next_at: Timestamp,
    },
    /// The last attempt of its own failed; an alternative, or a person, follows.
    #[serde(rename = "step.attempt_failed")]
    StepAttemptFailed {
        /// The step.
        step: StepId,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        error: StepError,
    },
    /// It is not known whether its effect happened, and it must not happen twice: a person says.
    #[serde(rename = "step.uncertain")]
    StepUncertain {
        /// The step.
        step: StepHead,
        /// The attempt.
        attempt: u32,
        /// What is known.
        error: StepError,
    },
    /// A person is asked.
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        /// The approval.
        approval: ApprovalId,
        /// The step that waits.
        step: StepId,
        /// What is asked.
        title: String,
    },
    /// A person (or the deadline) decided.
    #[serde(rename = "approval.decided")]
    ApprovalDecided {
        /// The approval.
        approval: ApprovalId,
        /// The step that waits.
        step: StepId,
        /// `approved`, `rejected` or `expired`.
        decision: String,
        /// Who decided.
        by: String,
        /// When the decision begins to act.
        effective_at: Timestamp,
        /// What was approved differs so from what was proposed: a JSON Patch (RFC 6902). Null without edits.
        #[serde(skip_serializing_if = "Value::is_null")]
        edits: Value,
    },
    /// Of several whose yes is needed one said it, or took it back.
    #[serde(rename = "approval.voted")]
    ApprovalVoted {
        /// The approval.
        approval: ApprovalId,
        /// The step that waits.
        step: StepId,
        /// Who.
        by: String,
        /// Whether they took it back.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        taken_back: bool,
        /// How many have said yes now.
        votes: u32,
        /// How many must.
        quorum: u32,
    },
    /// Nobody decided before the deadline: others may from now on.
    #[serde(rename = "approval.escalated")]
    ApprovalEscalated {
        /// The approval.
        approval: ApprovalId,
        /// The step that waits.
        step: StepId,
        /// The least role of those who decide.
        to: Role,
        /// Their deadline.
        until: Timestamp,
    },
    /// The one who decided took it back: it is pending again.
    #[serde(rename = "approval.reopened")]
    ApprovalReopened {
        /// The approval.
        approval: ApprovalId,
        /// The step that waits.
        step: StepId,
        /// Who took it back.
        by: String,
    },
    /// A line for the log.
    #[serde(rename = "log")]
    Log {
        /// How serious.
        level: LogLevel,
        /// The step that it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
        /// The line.
        message: String,
        /// More, for programs.
        #[serde(skip_serializing_if = "Value::is_null")]
        fields: Value,
    },
    /// An event that a newer version wrote.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Event {
    /// The names of all of them, as in the API: what a browser listens to.
    pub const NAMES: [&str; 27] = [
        "run.queued",
        "run.started",
        "run.waiting",
        "run.paused",
        "run.resumed",
        "run.cancelling",
        "run.succeeded",
        "run.failed",
        "run.cancelled",
        "step.started",
        "step.progress",
        "step.waiting",
        "step.tool_use",
        "step.tool_result",
        "step.succeeded",
        "step.skipped",
        "step.failed",
        "step.cancelled",
        "step.retrying",
        "step.attempt_failed",
        "step.uncertain",
        "approval.requested",
        "approval.decided",
        "approval.reopened",
        "approval.voted",
        "approval.escalated",
        "log",
    ];

    /// The name in the API and in the table: the serde tag.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunQueued { .. } => "run.queued",
            Self::RunStarted => "run.started",
            Self::RunWaiting { .. } => "run.waiting",
            Self::RunPaused { .. } => "run.paused",
            Self::RunResumed { .. } => "run.resumed",
            Self::RunCancelling { .. } => "run.cancelling",
            Self::RunSucceeded => "run.succeeded",
            Self::RunFailed { .. } => "run.failed",
            Self::RunCancelled => "run.cancelled",
            Self::StepStarted { .. } => "step.started",
            Self::StepProgress { .. } => "step.progress",
            Self::StepWaiting { .. } => "step.waiting",
            Self::StepToolUse { .. } => "step.tool_use",
            Self::StepToolResult { .. } => "step.tool_result",
            Self::StepSucceeded { .. } => "step.succeeded",
            Self::StepSkipped { .. } => "step.skipped",
            Self::StepFailed { .. } => "step.failed",
            Self::StepCancelled { .. } => "step.cancelled",
            Self::StepRetrying { .. } => "step.retrying",
            Self::StepAttemptFailed { .. } => "step.attempt_failed",
            Self::StepUncertain { .. } => "step.uncertain",
            Self::ApprovalRequested { .. } => "approval.requested",
            Self::ApprovalDecided { .. } => "approval.decided",
            Self::ApprovalReopened { .. } => "approval.reopened",
            Self::ApprovalVoted { .. } => "approval.voted",
            Self::ApprovalEscalated { .. } => "approval.escalated",
            Self::Log { .. } => "log",
            Self::Unknown => "unknown",
        }
    }

    /// The step that it is about.
    #[must_use]
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepWaiting { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepSkipped { step }
            | Self::StepUncertain { step, .. }
            | Self::StepFailed { step, .. } => Some(&step.id),
            Self::StepProgress { step, .. }
            | Self::StepToolUse { step, .. }
            | Self::StepToolResult { step, .. }
            | Self::StepCancelled { step, .. }
            | Self::StepRetrying { step, .. }
            | Self::StepAttemptFailed { step, .. }
            | Self::ApprovalRequested { step, .. }
            | Self::ApprovalDecided { step, .. }
            | Self::ApprovalReopened { step, .. }
            | Self::ApprovalVoted { step, .. }
            | Self::ApprovalEscalated { step, .. } => Some(step),
            Self::Log { step, .. } => step.as_ref(),
            Self::RunQueued { .. }
            | Self::RunStarted
            | Self::RunWaiting { .. }
            | Self::RunPaused { .. }
            | Self::RunResumed { .. }
            | Self::RunCancelling { .. }
            | Self::RunSucceeded
            | Self::RunFailed { .. }
            | Self::RunCancelled
            | Self::Unknown => None,
        }
    }
}

/// An event with its number and moment: a row of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "flat::Flat")]
pub struct StoredEvent {
    /// Its number in the run, from 1 without gaps.
    pub seq: i64,
    /// When it was written, by the database's clock.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Event, StoredEvent};

    #[test]
    fn the_names_are_those_of_all_events() {
        // An event that is not known is read as `Unknown`; one that is, wants its fields.
        let is_known = |name: &&str| !matches!(serde_json::from_value(json!({ "type": name })), Ok(Event::Unknown));
        assert!(Event::NAMES.iter().all(is_known) && !is_known(&"step.dreamt"));
        let named = include_str!("journal.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \""));
        let mut named: Vec<_> = named.map(|(_, name)| name.trim_end_matches("\",")).collect();
        named.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()) && *name != "unknown");
        assert_eq!(named, Event::NAMES);
    }

    /// Every event as it is kept, with each of its fields.
    fn kept() -> Vec<Value> {
        let at = "2026-11-20T14:02:11.123456Z";
        let approval = "apr_00000000000000000000000001";
        let step = json!({ "id": "a.b", "kind": "model", "name": "B", "about": "sandbox", "queued_at": at });
        let error = json!({ "class": "timeout", "code": "http.timeout", "message": "It took too long." });
        let usage = json!({ "tokens_in": 7, "tokens_out": 8, "cost": 9 });
        let all = [
            json!({ "type": "run.queued", "by": "Ana" }),
            json!({ "type": "run.started" }),
            json!({ "type": "run.waiting", "on": "approval", "until": at }),
            json!({ "type": "run.paused", "by": "Ana" }),
            json!({ "type": "run.resumed", "recovered": true }),
            json!({ "type": "run.cancelling", "by": "Ana" }),
            json!({ "type": "run.succeeded" }),
            json!({ "type": "run.failed", "error": error }),
            json!({ "type": "run.cancelled" }),
            json!({ "type": "step.started", "step": step, "attempt": 2 }),
            json!({ "type": "step.progress", "step": "a.b", "done": 1, "total": 3 }),
            json!({ "type": "step.waiting", "step": step, "attempt": 1, "until": at, "approval": approval, "lock": "x" }),
            json!({ "type": "step.tool_use", "step": "a", "tool": "web_search", "call": "a.b" }),
            json!({ "type": "step.tool_result", "step": "a", "call": "a.b", "ok": false }),
            json!({ "type": "step.succeeded", "step": step, "attempt": 1, "usage": usage, "reused": true, "cached": true }),
            json!({ "type": "step.skipped", "step": step }),
            json!({ "type": "step.failed", "step": step, "attempt": 3, "error": error, "usage": usage }),
            json!({ "type": "step.cancelled", "step": "a.b", "usage": usage }),
            json!({ "type": "step.retrying", "step": "a.b", "attempt": 1, "of": 3, "error": error, "next_at": at }),
            json!({ "type": "step.attempt_failed", "step": "a.b", "attempt": 3, "error": error }),
            json!({ "type": "step.uncertain", "step": step, "attempt": 1, "error": error }),
            json!({ "type": "approval.requested", "approval": approval, "step": "a.b", "title": "Send it?" }),
            json!({ "type": "approval.decided", "approval": approval, "step": "a.b", "decision": "approved", "by": "Ana",
                "effective_at": at, "edits": [{ "op": "remove", "path": "/to" }] }),
            json!({ "type": "approval.reopened", "approval": approval, "step": "a.b", "by": "Ana" }),
            json!({ "type": "approval.voted", "approval": approval, "step": "a.b", "by": "Ana", "taken_back": true,
                "votes": 1, "quorum": 2 }),
            json!({ "type": "approval.escalated", "approval": approval, "step": "a.b", "to": "owner", "until": at }),
            json!({ "type": "log", "level": "warn", "step": "a.b", "message": "Slow.", "fields": { "ms": 12 } }),
        ];
        all.into_iter().zip(1..).map(|(event, seq)| with(event, json!({ "seq": seq, "at": at }))).collect()
    }

    fn with(mut event: Value, more: Value) -> Value {
        let (Some(fields), Value::Object(more)) = (event.as_object_mut(), more) else { panic!("objects") };
        fields.extend(more);
        event
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let kept = kept();
        assert_eq!(kept.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>(), Event::NAMES);
        for event in kept {
            let read: StoredEvent =
                serde_json::from_value(event.clone()).unwrap_or_else(|error| panic!("{event}: {error}"));
            assert_eq!(serde_json::to_value(&read).unwrap(), event);
            // Without its own fields it is not read, or not as the same: each of them counts.
            for field in event.as_object().unwrap().keys().filter(|name| *name != "type") {
                let mut less = event.clone();
                less.as_object_mut().unwrap().remove(field);
                assert_ne!(serde_json::from_value(less).ok().as_ref(), Some(&read), "{event} without {field}");
            }
        }
    }

    #[test]
    fn an_event_of_a_newer_version_has_its_number_all_the_same() {
        let event = json!({ "seq": 4, "at": "2026-11-20T14:02:11Z", "type": "step.dreamt", "of": 7, "sheep": [1] });
        let read: StoredEvent = serde_json::from_value(event).unwrap();
        assert_eq!((read.seq, read.event), (4, Event::Unknown));
    }
}
