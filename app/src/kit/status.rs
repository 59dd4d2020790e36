//! The one vocabulary of states: an icon, a word and a family of colours each, the same on every page.

use agentflow::{
    approvals::{ApprovalKind, ApprovalState},
    engine::state::{RunState, StepKind, StepState, WaitingOn},
    kernel::Timestamp,
};
use leptos::prelude::*;

use super::{
    icon::{Glyph, Icon},
    time::Time,
};

/// A family of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Nothing is going on.
    Neutral,
    /// It is under way.
    Info,
    /// It went well.
    Success,
    /// It needs care.
    Warning,
    /// It failed.
    Danger,
    /// It needs a person.
    Attention,
}

impl Family {
    /// The class that sets the family's colours.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Danger => "danger",
            Self::Attention => "attention",
        }
    }
}

/// How a state is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The word.
    pub word: &'static str,
    /// The icon.
    pub glyph: Glyph,
    /// The colours.
    pub family: Family,
}

impl Status {
    /// A state's word, icon and colours.
    #[must_use]
    pub const fn new(word: &'static str, glyph: Glyph, family: Family) -> Self {
        Self { word, glyph, family }
    }
}

/// What waits until others give a lock back.
pub const WAITS_FOR_LOCK: Status = Status::new("Waiting for a lock", Glyph::Key, Family::Neutral);
/// What waits until the other side may be called again.
pub const WAITS_FOR_LIMIT: Status = Status::new("Waiting for a rate limit", Glyph::Clock, Family::Neutral);

impl From<RunState> for Status {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued => Self::new("Queued", Glyph::Queued, Family::Neutral),
            RunState::Running => Self::new("Running", Glyph::Running, Family::Info),
            RunState::Waiting => Self::new("Waiting", Glyph::Clock, Family::Neutral),
            RunState::Paused => Self::new("Paused", Glyph::Paused, Family::Neutral),
            RunState::Cancelling => Self::new("Stopping", Glyph::Stopped, Family::Warning),
            RunState::Succeeded => Self::new("Succeeded", Glyph::Succeeded, Family::Success),
            RunState::Failed => Self::new("Failed", Glyph::Failed, Family::Danger),
            RunState::Cancelled => Self::new("Stopped", Glyph::Stopped, Family::Neutral),
        }
    }
}

/// A run's state together with what it waits for.
impl From<(RunState, Option<WaitingOn>)> for Status {
    fn from((state, waiting_on): (RunState, Option<WaitingOn>)) -> Self {
        match (state, waiting_on) {
            (RunState::Waiting, Some(WaitingOn::Approval)) => {
                Self::new("Needs approval", Glyph::Hand, Family::Attention)
            }
            (RunState::Waiting, Some(WaitingOn::Timer)) => Self::new("Scheduled", Glyph::Clock, Family::Neutral),
            (RunState::Waiting, Some(WaitingOn::Event)) => {
                Self::new("Waiting for an event", Glyph::Bell, Family::Neutral)
            }
            (RunState::Waiting, Some(WaitingOn::Limit)) => WAITS_FOR_LIMIT,
            (RunState::Waiting, Some(WaitingOn::Lock)) => WAITS_FOR_LOCK,
            (RunState::Waiting, Some(WaitingOn::Retry)) => Self::new("Retrying", Glyph::Retry, Family::Warning),
            (state, _) => state.into(),
        }
    }
}

impl From<StepState> for Status {
    fn from(state: StepState) -> Self {
        match state {
            StepState::Pending => Self::new("Not started", Glyph::Pending, Family::Neutral),
            StepState::Queued => Self::new("Queued", Glyph::Queued, Family::Neutral),
            StepState::Running => Self::new("Running", Glyph::Running, Family::Info),
            StepState::Waiting => Self::new("Waiting", Glyph::Clock, Family::Neutral),
            StepState::Retrying => Self::new("Retrying", Glyph::Retry, Family::Warning),
            StepState::Uncertain => Self::new("Outcome unknown", Glyph::Question, Family::Attention),
            StepState::Succeeded => Self::new("Succeeded", Glyph::Succeeded, Family::Success),
            StepState::Failed => Self::new("Failed", Glyph::Failed, Family::Danger),
            StepState::Skipped => Self::new("Skipped", Glyph::Skipped, Family::Neutral),
            StepState::Cancelled => Self::new("Stopped", Glyph::Stopped, Family::Neutral),
        }
    }
}

/// A step's state together with its kind: an approval that waits needs a person.
impl From<(StepState, StepKind)> for Status {
    fn from((state, kind): (StepState, StepKind)) -> Self {
        match (state, kind) {
            (StepState::Waiting, StepKind::Approval) => Self::new("Needs approval", Glyph::Hand, Family::Attention),
            (StepState::Waiting, StepKind::Wait) => Self::new("Scheduled", Glyph::Clock, Family::Neutral),
            (StepState::Waiting, StepKind::WaitEvent) => {
                Self::new("Waiting for an event", Glyph::Bell, Family::Neutral)
            }
            (
                StepState::Waiting,
                StepKind::Map
                | StepKind::Item
                | StepKind::Loop
                | StepKind::Round
                | StepKind::Workflow
                | StepKind::Agent,
            ) => Self::new("Running", Glyph::Running, Family::Info),
            (state, _) => state.into(),
        }
    }
}

impl From<ApprovalState> for Status {
    fn from(state: ApprovalState) -> Self {
        match state {
            ApprovalState::Pending => Self::new("Needs approval", Glyph::Hand, Family::Attention),
            ApprovalState::Approved => Self::new("Approved", Glyph::Succeeded, Family::Success),
            ApprovalState::Rejected => Self::new("Rejected", Glyph::Failed, Family::Danger),
            ApprovalState::ChangesRequested => Self::new("Changes asked for", Glyph::Edit, Family::Warning),
            ApprovalState::Expired => Self::new("Timed out", Glyph::TimedOut, Family::Warning),
            ApprovalState::Withdrawn => Self::new("Withdrawn", Glyph::Stopped, Family::Neutral),
        }
    }
}

/// An approval's state together with what was asked, and whether a failed step is gone on without: of such a one it is
/// told what happens with it.
impl From<(ApprovalState, ApprovalKind, bool)> for Status {
    fn from((state, kind, skips): (ApprovalState, ApprovalKind, bool)) -> Self {
        match (kind, state) {
            (ApprovalKind::Failure, ApprovalState::Pending) => {
                Self::new("Needs a decision", Glyph::Hand, Family::Attention)
            }
            (ApprovalKind::Failure, ApprovalState::Approved) if skips => {
                Self::new("Gone on without", Glyph::Skipped, Family::Neutral)
            }
            (ApprovalKind::Failure, ApprovalState::Approved) => Self::new("Tried again", Glyph::Retry, Family::Info),
            (ApprovalKind::Failure, ApprovalState::Rejected) => {
                Self::new("Left to fail", Glyph::Failed, Family::Danger)
            }
            (_, state) => state.into(),
        }
    }
}

/// What is drawn for a kind of step.
#[must_use]
pub const fn kind_glyph(kind: StepKind) -> Glyph {
    match kind {
        StepKind::Start => Glyph::Start,
        StepKind::Agent => Glyph::Agents,
        StepKind::Model => Glyph::Model,
        StepKind::Tool => Glyph::Tool,
        StepKind::Memory => Glyph::Clock,
        StepKind::Http => Glyph::Globe,
        StepKind::Transform => Glyph::Transform,
        StepKind::Decision => Glyph::Decision,
        StepKind::Approval => Glyph::Hand,
        StepKind::Map => Glyph::Map,
        StepKind::Item | StepKind::Round => Glyph::Item,
        StepKind::Loop => Glyph::Loop,
        StepKind::Workflow => Glyph::Workflows,
        StepKind::Wait => Glyph::Clock,
        StepKind::WaitEvent => Glyph::Bell,
        StepKind::End => Glyph::End,
    }
}

/// What a kind of step is called.
#[must_use]
pub const fn kind_word(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Start => "Start",
        StepKind::Agent => "Agent",
        StepKind::Model => "Model call",
        StepKind::Tool => "Tool call",
        StepKind::Memory => "Memory",
        StepKind::Http => "HTTP request",
        StepKind::Transform => "Transform",
        StepKind::Decision => "Decision",
        StepKind::Approval => "Approval",
        StepKind::Map => "For each",
        StepKind::Item => "Item",
        StepKind::Loop => "Loop",
        StepKind::Round => "Round",
        StepKind::Workflow => "Workflow",
        StepKind::Wait => "Wait",
        StepKind::WaitEvent => "Wait for event",
        StepKind::End => "End",
    }
}

/// A state as a badge: icon and word on the family's tint.
#[component]
pub fn StatusBadge(
    /// The state, such as a `RunState` or `(RunState, Option<WaitingOn>)`.
    #[prop(into)]
    status: Signal<Status>,
) -> impl IntoView {
    view! {
        <span class=move || format!("badge {}", status.get().family.class())>
            {move || {
                let Status { word, glyph, .. } = status.get();
                view! { <Icon glyph/>{word} }
            }}
        </span>
    }
    .into_any()
}

/// A state as an icon and a word without a tint, for dense rows. With `bare` the word is only read out.
#[component]
pub fn StatusText(
    /// The state.
    #[prop(into)]
    status: Signal<Status>,
    /// Whether the word is hidden from the eye, where the row shows it elsewhere.
    #[prop(optional)]
    bare: bool,
) -> impl IntoView {
    view! {
        <span class=move || format!("status-text {}", status.get().family.class())>
            {move || {
                let Status { word, glyph, .. } = status.get();
                view! { <Icon glyph/><span class:visually-hidden=bare>{word}</span> }
            }}
        </span>
    }
    .into_any()
}

/// Whether what follows a step can be undone.
#[component]
pub fn Reversibility(
    /// Whether it can.
    reversible: bool,
    /// Until when; none: at any time.
    until: Option<Timestamp>,
) -> impl IntoView {
    let until = until.filter(|_| reversible);
    let status = match (reversible, until) {
        (true, Some(_)) => Status::new("Reversible until", Glyph::ReversibleUntil, Family::Warning),
        (true, None) => Status::new("Reversible", Glyph::Reversible, Family::Success),
        (false, _) => Status::new("Cannot be undone", Glyph::Irreversible, Family::Danger),
    };
    let until = until.map(|at| view! { " " <Time at absolute=true/> });
    view! { <span><StatusBadge status=Signal::stored(status)/> {until}</span> }.into_any()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_shape_never_stands_for_two_different_words_of_runs_and_steps() {
        let mut words: HashMap<&str, &str> = HashMap::new();
        let states = RunState::ALL
            .iter()
            .map(|state| Status::from(*state))
            .chain(StepState::ALL.iter().map(|state| Status::from(*state)))
            // "Waiting" and "Scheduled" share the clock, "Stopping" becomes "Stopped".
            .filter(|status| !matches!(status.word, "Waiting" | "Scheduled" | "Stopping"));
        for status in states {
            let word = words.entry(status.glyph.href()).or_insert(status.word);
            assert_eq!(*word, status.word, "{:?}", status.glyph);
        }
    }
}
