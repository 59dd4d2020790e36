//! How an event is read: all fields of all events side by side, and then those that the event's name asks for. What serde
//! makes of a tag by itself reads everything twice and is ten times as large, which a browser would have to load.
//!
//! So a field's name means the same, and has the same type, in every event that has it, for good: a version reads what a
//! newer one wrote, and all fields are read before the name says that it does not know the event.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use super::{Event, LogLevel, StepHead, StoredEvent, Usage};
use crate::{
    access::Role,
    engine::state::{StepError, StepId, WaitingOn},
    kernel::{ApprovalId, Timestamp},
};

/// A row of the journal, or an event alone.
#[derive(Deserialize)]
pub(super) struct Flat {
    seq: Option<i64>,
    at: Option<Timestamp>,
    r#type: String,
    by: Option<String>,
    on: Option<WaitingOn>,
    until: Option<Timestamp>,
    #[serde(default)]
    recovered: bool,
    error: Option<StepError>,
    step: Option<Step>,
    attempt: Option<u32>,
    done: Option<u64>,
    total: Option<u64>,
    approval: Option<ApprovalId>,
    lock: Option<String>,
    tool: Option<String>,
    call: Option<StepId>,
    ok: Option<bool>,
    #[serde(default)]
    usage: Usage,
    #[serde(default)]
    reused: bool,
    #[serde(default)]
    cached: bool,
    of: Option<u32>,
    next_at: Option<Timestamp>,
    title: Option<String>,
    decision: Option<String>,
    effective_at: Option<Timestamp>,
    #[serde(default)]
    edits: Value,
    #[serde(default)]
    taken_back: bool,
    votes: Option<u32>,
    quorum: Option<u32>,
    to: Option<Role>,
    level: Option<LogLevel>,
    message: Option<String>,
    #[serde(default)]
    fields: Value,
}

/// A step by its id, or with all that is said of it.
enum Step {
    Id(StepId),
    Head(Box<StepHead>),
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a step or its id")
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<Step, E> {
        Ok(Step::Id(StepId::from_text(id)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Step, A::Error> {
        StepHead::deserialize(MapAccessDeserializer::new(map)).map(|head| Step::Head(Box::new(head)))
    }
}

/// A field that the event's name asks for is not there.
pub(super) struct Missing(&'static str);

impl fmt::Display for Missing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "missing field `{}`", self.0)
    }
}

fn need<T>(value: Option<T>, name: &'static str) -> Result<T, Missing> {
    value.ok_or(Missing(name))
}

fn id(step: Option<Step>) -> Result<StepId, Missing> {
    need(step, "step").map(|step| match step {
        Step::Id(id) => id,
        Step::Head(head) => head.id,
    })
}

fn head(step: Option<Step>) -> Result<StepHead, Missing> {
    match step {
        Some(Step::Head(head)) => Ok(*head),
        _ => Err(Missing("step")),
    }
}

impl TryFrom<Flat> for StoredEvent {
    type Error = Missing;

    fn try_from(flat: Flat) -> Result<Self, Missing> {
        Ok(Self { seq: need(flat.seq, "seq")?, at: need(flat.at, "at")?, event: flat.try_into()? })
    }
}

impl TryFrom<Flat> for Event {
    type Error = Missing;

    fn try_from(flat: Flat) -> Result<Self, Missing> {
        let Flat { step, until, approval, usage, .. } = flat;
        let by = || need(flat.by, "by");
        let error = || need(flat.error, "error");
        let attempt = || need(flat.attempt, "attempt");
        Ok(match flat.r#type.as_str() {
            "run.queued" => Self::RunQueued { by: by()? },
            "run.started" => Self::RunStarted,
            "run.waiting" => Self::RunWaiting { on: need(flat.on, "on")?, until },
            "run.paused" => Self::RunPaused { by: by()? },
            "run.resumed" => Self::RunResumed { recovered: flat.recovered },
            "run.cancelling" => Self::RunCancelling { by: by()? },
            "run.succeeded" => Self::RunSucceeded,
            "run.failed" => Self::RunFailed { error: error()? },
            "run.cancelled" => Self::RunCancelled,
            "step.started" => Self::StepStarted { step: head(step)?, attempt: attempt()? },
            "step.progress" => Self::StepProgress {
                step: id(step)?,
                done: need(flat.done, "done")?,
                total: need(flat.total, "total")?,
            },
            "step.waiting" => {
                Self::StepWaiting { step: head(step)?, attempt: attempt()?, until, approval, lock: flat.lock }
            }
            "step.tool_use" => {
                Self::StepToolUse { step: id(step)?, tool: need(flat.tool, "tool")?, call: need(flat.call, "call")? }
            }
            "step.tool_result" => {
                Self::StepToolResult { step: id(step)?, call: need(flat.call, "call")?, ok: need(flat.ok, "ok")? }
            }
            "step.succeeded" => Self::StepSucceeded {
                step: head(step)?,
                attempt: attempt()?,
                usage,
                reused: flat.reused,
                cached: flat.cached,
            },
            "step.skipped" => Self::StepSkipped { step: head(step)? },
            "step.failed" => Self::StepFailed { step: head(step)?, attempt: attempt()?, error: error()?, usage },
            "step.cancelled" => Self::StepCancelled { step: id(step)?, usage },
            "step.retrying" => Self::StepRetrying {
                step: id(step)?,
                attempt: attempt()?,
                of: need(flat.of, "of")?,
                error: error()?,
                next_at: need(flat.next_at, "next_at")?,
            },
            "step.attempt_failed" => Self::StepAttemptFailed { step: id(step)?, attempt: attempt()?, error: error()? },
            "step.uncertain" => Self::StepUncertain { step: head(step)?, attempt: attempt()?, error: error()? },
            "approval.requested" => Self::ApprovalRequested {
                approval: need(approval, "approval")?,
                step: id(step)?,
                title: need(flat.title, "title")?,
            },
            "approval.decided" => Self::ApprovalDecided {
                approval: need(approval, "approval")?,
                step: id(step)?,
                decision: need(flat.decision, "decision")?,
                by: by()?,
                effective_at: need(flat.effective_at, "effective_at")?,
                edits: flat.edits,
            },
            "approval.voted" => Self::ApprovalVoted {
                approval: need(approval, "approval")?,
                step: id(step)?,
                by: by()?,
                taken_back: flat.taken_back,
                votes: need(flat.votes, "votes")?,
                quorum: need(flat.quorum, "quorum")?,
            },
            "approval.escalated" => Self::ApprovalEscalated {
                approval: need(approval, "approval")?,
                step: id(step)?,
                to: need(flat.to, "to")?,
                until: need(until, "until")?,
            },
            "approval.reopened" => {
                Self::ApprovalReopened { approval: need(approval, "approval")?, step: id(step)?, by: by()? }
            }
            "log" => Self::Log {
                level: need(flat.level, "level")?,
                step: step.map(|step| id(Some(step))).transpose()?,
                message: need(flat.message, "message")?,
                fields: flat.fields,
            },
            _ => Self::Unknown,
        })
    }
}
