//! The view of a run: the fold of its journal. The server folds what is stored; the browser begins with that and applies
//! the events that follow.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    journal::{Event, StepHead, StoredEvent, Usage},
    state::{RunState, StepError, StepId, StepKind, StepState, WaitingOn},
};
use crate::kernel::{ApprovalId, Timestamp};

/// Why a step that began does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseKind {
    /// A person was asked.
    Person,
    /// It waits for a moment.
    Timer,
    /// An attempt failed and another will follow.
    Retry,
    /// It waits for an event from the outside.
    Event,
    /// Others hold a lock that it needs.
    Lock,
}

/// A time in which a step that began did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub kind: PauseKind,
    /// Since when.
    pub from: Timestamp,
    /// Until when; nothing while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// An attempt that failed and was followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which one, from 1.
    pub attempt: u32,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// When it failed.
    pub at: Timestamp,
    /// Why.
    pub error: StepError,
    /// When the next one was to begin; none where something else followed: an alternative, or a person's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// A step as the tree shows it. No payloads: those are loaded for the step that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Its path.
    pub id: StepId,
    /// What it is.
    pub kind: StepKind,
    /// What is shown.
    pub name: String,
    /// What it is about, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Its state.
    pub state: StepState,
    /// The attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Attempts in all, known when one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When it became ready.
    pub queued_at: Timestamp,
    /// When its first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When it goes on, if it waits for a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<Timestamp>,
    /// When the attempt under way, or the last one, began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_at: Option<Timestamp>,
    /// When it did not work although it had begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// The attempts that failed and were followed by another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedAttempt>,
    /// Its last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// The approval that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// The lock that it waits for, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// What it used itself, its children apart.
    #[serde(default)]
    pub usage: Usage,
    /// Whether the result was taken over from the run that this one retries.
    #[serde(default)]
    pub reused: bool,
    /// Whether the result is an earlier call's, out of the cache.
    #[serde(default)]
    pub cached: bool,
}

impl StepView {
    fn new(head: &StepHead, state: StepState) -> Self {
        Self {
            id: head.id.clone(),
            kind: head.kind,
            name: head.name.clone(),
            about: head.about.clone(),
            state,
            attempt: 0,
            attempts: None,
            queued_at: head.queued_at,
            started_at: None,
            finished_at: None,
            wake_at: None,
            attempt_at: None,
            pauses: Vec::new(),
            failures: Vec::new(),
            error: None,
            approval: None,
            lock: None,
            usage: Usage::default(),
            reused: false,
            cached: false,
        }
    }

    /// A pause that lasts ends here.
    fn goes_on(&mut self, at: Timestamp) {
        if let Some(pause) = self.pauses.last_mut() {
            pause.to.get_or_insert(at);
        }
    }

    fn ends(&mut self, at: Timestamp) {
        self.goes_on(at);
        self.started_at.get_or_insert(at);
        self.finished_at = Some(at);
        self.wake_at = None;
    }
}

/// A run as its page shows it: the header and the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its state.
    pub state: RunState,
    /// What it waits for, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// When the first node took it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// What all its steps used.
    #[serde(default)]
    pub usage: Usage,
    /// The steps, in the order in which they came to be. The tree follows from their ids.
    pub steps: Vec<StepView>,
    /// The number of the last event that is in this view.
    pub last_seq: i64,
    #[serde(skip)]
    places: Places,
}

/// Where each step stands among the steps. It is made anew for a view that came from elsewhere, and says nothing of its own.
#[derive(Debug, Clone, Default)]
struct Places(HashMap<StepId, usize>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Default for RunView {
    fn default() -> Self {
        Self {
            state: RunState::Queued,
            waiting_on: None,
            started_at: None,
            finished_at: None,
            error: None,
            usage: Usage::default(),
            steps: Vec::new(),
            last_seq: 0,
            places: Places::default(),
        }
    }
}

impl RunView {
    /// The step of an id.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&StepView> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// Takes an event in. One that is in the view already (by its number) changes nothing.
    ///
    /// Returns whether the event was the next one: `false` for a repeated event and for a gap, which a reader mends by
    /// loading the view anew.
    pub fn apply(&mut self, stored: &StoredEvent) -> bool {
        if stored.seq != self.last_seq + 1 {
            return false;
        }
        self.last_seq = stored.seq;
        let at = stored.at;
        match &stored.event {
            Event::RunQueued { .. } => self.state = RunState::Queued,
            Event::RunStarted => {
                self.run_goes_on();
                self.started_at = Some(at);
            }
            Event::RunWaiting { on, .. } => {
                self.state = RunState::Waiting;
                self.waiting_on = Some(*on);
            }
            Event::RunPaused { .. } => {
                self.state = RunState::Paused;
                self.waiting_on = None;
            }
            Event::RunResumed { .. } => self.run_goes_on(),
            Event::RunCancelling { .. } => {
                self.state = RunState::Cancelling;
                self.waiting_on = None;
            }
            Event::RunSucceeded => self.run_ends(RunState::Succeeded, at),
            Event::RunCancelled => self.run_ends(RunState::Cancelled, at),
            Event::RunFailed { error } => {
                self.run_ends(RunState::Failed, at);
                self.error = Some(error.clone());
            }
            Event::StepStarted { step, attempt } => {
                let view = self.enter(step, StepState::Running);
                view.goes_on(at);
                view.attempt = *attempt;
                view.attempt_at = Some(at);
                view.started_at.get_or_insert(at);
                view.wake_at = None;
            }
            Event::StepWaiting { step, attempt, until, approval, lock } => {
                let view = self.enter(step, StepState::Waiting);
                view.goes_on(at);
                view.attempt = *attempt;
                view.started_at.get_or_insert(at);
                view.wake_at = *until;
                view.approval = *approval;
                view.lock.clone_from(lock);
                let kind = match (approval, step.kind, until) {
                    _ if lock.is_some() => Some(PauseKind::Lock),
                    (Some(_), _, _) => Some(PauseKind::Person),
                    (None, StepKind::WaitEvent, _) => Some(PauseKind::Event),
                    (None, _, Some(_)) => Some(PauseKind::Timer),
                    // It waits for its children: that is its work.
                    (None, _, None) => None,
                };
                view.pauses.extend(kind.map(|kind| Pause { kind, from: at, to: None }));
            }
            Event::StepSucceeded { step, attempt, usage, reused, cached } => {
                let view = self.enter(step, StepState::Succeeded);
                view.ends(at);
                view.attempt = *attempt;
                view.error = None;
                view.usage += *usage;
                view.reused = *reused;
                view.cached = *cached;
                self.usage += *usage;
            }
            Event::StepFailed { step, attempt, error, usage } => {
                let view = self.enter(step, StepState::Failed);
                view.ends(at);
                view.attempt = *attempt;
                view.error = Some(error.clone());
                view.usage += *usage;
                self.usage += *usage;
            }
            Event::StepSkipped { step } => {
                self.enter(step, StepState::Skipped).finished_at = Some(at);
            }
            Event::StepCancelled { step, usage } => {
                self.usage += *usage;
                if let Some(view) = self.find(step) {
                    view.goes_on(at);
                    view.usage += *usage;
                    view.state = StepState::Cancelled;
                    view.finished_at = Some(at);
                    view.wake_at = None;
                }
            }
            Event::StepRetrying { step, attempt, of, error, next_at } => {
                if let Some(view) = self.find(step) {
                    view.goes_on(at);
                    view.pauses.push(Pause { kind: PauseKind::Retry, from: at, to: None });
                    view.failures.push(FailedAttempt {
                        attempt: *attempt,
                        from: view.attempt_at,
                        at,
                        error: error.clone(),
                        next_at: Some(*next_at),
                    });
                    view.state = StepState::Retrying;
                    view.attempt = *attempt;
                    view.attempts = Some(*of);
                    view.error = Some(error.clone());
                    view.wake_at = Some(*next_at);
                }
            }
            Event::StepAttemptFailed { step, attempt, error } => {
                if let Some(view) = self.find(step) {
                    view.goes_on(at);
                    let from = view.attempt_at;
                    let failed = FailedAttempt { attempt: *attempt, from, at, error: error.clone(), next_at: None };
                    view.failures.push(failed);
                    view.state = StepState::Running;
                    view.error = Some(error.clone());
                    view.wake_at = None;
                }
            }
            Event::StepUncertain { step, attempt, error } => {
                let view = self.enter(step, StepState::Uncertain);
                view.goes_on(at);
                view.pauses.push(Pause { kind: PauseKind::Person, from: at, to: None });
                view.attempt = *attempt;
                view.error = Some(error.clone());
            }
            Event::ApprovalEscalated { step, until, .. } => {
                if let Some(view) = self.find(step) {
                    view.wake_at = Some(*until);
                }
            }
            Event::StepProgress { .. }
            | Event::StepToolUse { .. }
            | Event::StepToolResult { .. }
            | Event::ApprovalRequested { .. }
            | Event::ApprovalDecided { .. }
            | Event::ApprovalReopened { .. }
            | Event::ApprovalVoted { .. }
            | Event::Log { .. }
            | Event::Unknown => {}
        }
        true
    }

    fn run_goes_on(&mut self) {
        self.state = RunState::Running;
        self.waiting_on = None;
    }

    fn run_ends(&mut self, state: RunState, at: Timestamp) {
        self.state = state;
        self.waiting_on = None;
        self.finished_at = Some(at);
    }

    /// Where a step stands among the steps.
    fn place(&mut self, id: &StepId) -> Option<usize> {
        if self.places.0.len() != self.steps.len() {
            self.places.0 = self.steps.iter().enumerate().map(|(place, step)| (step.id.clone(), place)).collect();
        }
        self.places.0.get(id).copied()
    }

    fn find(&mut self, id: &StepId) -> Option<&mut StepView> {
        let place = self.place(id)?;
        self.steps.get_mut(place)
    }

    fn enter(&mut self, head: &StepHead, state: StepState) -> &mut StepView {
        let place = self.place(&head.id).unwrap_or_else(|| {
            self.steps.push(StepView::new(head, state));
            self.places.0.insert(head.id.clone(), self.steps.len() - 1);
            self.steps.len() - 1
        });
        let view = &mut self.steps[place];
        view.state = state;
        view.about.clone_from(&head.about);
        view
    }
}
