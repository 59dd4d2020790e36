//! A run in memory: what its owner knows of it, and what one decision changes. Data and small helpers; the decisions
//! stand in [`super::decide`].

mod heard;
mod step;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::Value;

pub use heard::Heard;
pub use step::{AgentTask, Detail, Lock, LockAnswer, LockGrant, Step, TaskLimit};

use super::{
    journal::{Event, LogLevel, Usage},
    plan::{Flow, HTTP_TOOL, Node, NodeKind, OnExpiry, Plan, SubWorkflow},
    port::{Call, CallScope, Evaluation, ModelCall, Recalled},
    state::{RunState, StepError, StepId, StepKind, StepState, WaitingOn},
};
use crate::{
    access::Role,
    approvals::{ApprovalKind, Details},
    kernel::{ApprovalId, OrgId, RunId, Timestamp},
};

/// An approval to be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct NewApproval {
    /// Its id, made of the run and the step: a step asks once.
    pub id: ApprovalId,
    /// The step that waits.
    pub step: StepId,
    /// What is asked.
    pub kind: ApprovalKind,
    /// What will happen, one sentence.
    pub title: String,
    /// What the decider should know.
    pub message: String,
    /// Exactly what is approved.
    pub payload: Value,
    /// Who and what is touched.
    pub impact: String,
    /// Whether what follows can be undone.
    pub reversible: bool,
    /// What it says besides.
    pub details: Details,
    /// The least role that may decide.
    pub role: Option<Role>,
    /// Who asks.
    pub requested_by: String,
    /// The deadline.
    pub expires_at: Option<Timestamp>,
    /// What happens then.
    pub on_expiry: OnExpiry,
    /// Who decides besides, and how many.
    pub rules: GateRules,
}

/// Who decides, beyond the role; by default whoever may decide approvals, and one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateRules {
    /// The people who may, by address in lower case.
    pub people: Vec<String>,
    /// How many must say yes.
    pub quorum: u32,
    /// Whether whoever started the run may not.
    pub not_own: bool,
    /// Whom the deadline hands it over to, and the seconds that they have.
    pub escalate: Option<(Role, i64)>,
}

impl Default for GateRules {
    fn default() -> Self {
        Self { people: Vec::new(), quorum: 1, not_own: false, escalate: None }
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Yes.
    Approved,
    /// No.
    Rejected,
    /// Not like this.
    ChangesRequested,
    /// Go on without it, with the payload as its output.
    Skipped,
}

/// A decision that has begun to act, or a deadline that has passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// Which approval.
    pub id: ApprovalId,
    /// The step that waits for it.
    pub step: StepId,
    /// What was decided.
    pub ruling: Ruling,
    /// Whether the deadline decided, just now.
    pub expired: bool,
    /// Who decided.
    pub by: String,
    /// The reason, or the answer to a question.
    pub reason: Option<String>,
    /// What to go on with: the edited payload, or the proposal.
    pub payload: Value,
}

/// A deadline has handed an approval over, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalated {
    /// Which approval.
    pub id: ApprovalId,
    /// The step that waits for it.
    pub step: StepId,
    /// The least role of those who decide from now on.
    pub to: Role,
    /// Their deadline.
    pub until: Timestamp,
}

/// What comes in to a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The run was claimed and loaded (or loaded again after a write that did not go through).
    Loaded,
    /// Templates were filled in.
    Evaluated(StepId, Result<Value, StepError>),
    /// A call came back: the attempt, the answer, and the log lines that it left.
    Performed(StepId, u32, Result<super::port::Answer, StepError>, Vec<(LogLevel, String)>),
    /// Somebody stops the run.
    Cancel(String),
    /// Somebody holds the run.
    Pause(String),
    /// Somebody lets a held run go on.
    Resume(String),
    /// A step that asked for its locks was answered.
    Locked(StepId, LockAnswer),
    /// The steps of the run that have asked for locks, and what they hold.
    Held(Vec<(StepId, Option<LockGrant>)>),
    /// The events that steps waited for, as far as they came.
    Received(Vec<(StepId, Value)>),
    /// Approvals were decided.
    Decided(Vec<Applied>),
    /// Deadlines have handed approvals over.
    Escalated(Vec<Escalated>),
    /// A moment has come.
    Tick,
    /// The run's data cannot be written, whatever is tried.
    Broken,
}

/// What the owner is to do once the decision is committed.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Fill in templates. Leaves no trace by itself and may be done again.
    Evaluate(StepId, Box<Evaluation>),
    /// Note that a step waits for an event with this key. May be done again.
    Expect(StepId, String),
    /// Ask for all of a step's locks: the names, and how many seconds it may hold them. May be done again.
    Lock(StepId, Vec<String>, u32),
    /// Let go of a step's locks, and of its place in the queue. May be done again, or by others.
    Unlock(StepId),
    /// Perform a call, whose start is recorded. The scope's moment is the last one for it, and the seconds are what it
    /// may take of that itself, once it is begun.
    Perform(Box<Call>, CallScope, TimeDelta),
    /// Drop all that is under way.
    AbortAll,
    /// Drop what is under way below this step.
    AbortBelow(StepId),
}

/// What one decision changes: one atomic write, then effects.
#[derive(Debug, Default)]
pub struct Turn {
    /// Events, in order.
    pub events: Vec<Event>,
    /// Steps whose row is to be written, each once.
    pub touched: BTreeSet<(i32, StepId)>,
    /// Approvals to be opened.
    pub approvals: Vec<NewApproval>,
    /// Stopped steps whose approvals, if they are pending, are withdrawn.
    pub withdrawn: Vec<StepId>,
    /// What to do after the commit.
    pub effects: Vec<Effect>,
    /// What the run's totals grow by.
    pub usage: Usage,
    /// Whether it begins effects or ends the run: then no signal may be left unread.
    pub needs_sync: bool,
}

impl Turn {
    /// Whether there is anything to write.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.events.is_empty() && self.touched.is_empty() && self.approvals.is_empty()
    }

    /// Takes in what another decision changes on top.
    pub fn absorb(&mut self, later: Self) {
        self.events.extend(later.events);
        self.touched.extend(later.touched);
        // One that is opened and withdrawn in the same write was never there.
        self.approvals.retain(|approval| !later.withdrawn.contains(&approval.step));
        self.approvals.extend(later.approvals);
        self.withdrawn.extend(later.withdrawn);
        if later.effects.contains(&Effect::AbortAll) {
            self.effects.retain(|effect| matches!(effect, Effect::Unlock(_)));
        }
        self.effects.extend(later.effects);
        self.usage += later.usage;
        self.needs_sync |= later.needs_sync;
    }

    /// A line for the run's log.
    pub fn log(&mut self, level: LogLevel, step: Option<&StepId>, message: impl Into<String>) {
        self.events.push(Event::Log { level, step: step.cloned(), message: message.into(), fields: Value::Null });
    }
}

/// Says the most that a model call uses. What calls cost is known to the port alone.
#[derive(Clone)]
pub struct Most(Arc<dyn Fn(&ModelCall) -> Usage + Send + Sync>);

impl Most {
    /// As this says.
    pub fn new(most: impl Fn(&ModelCall) -> Usage + Send + Sync + 'static) -> Self {
        Self(Arc::new(most))
    }

    /// The most that a call uses.
    #[must_use]
    pub fn of(&self, call: &ModelCall) -> Usage {
        (self.0)(call)
    }
}

impl Default for Most {
    fn default() -> Self {
        Self::new(|_| Usage::default())
    }
}

impl fmt::Debug for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Most")
    }
}

/// How many processes in a row may die under a call, where nothing else is said.
pub const POISON: u32 = 3;

/// A run in its owner's memory.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The organization.
    pub org: OrgId,
    /// The run.
    pub run: RunId,
    /// The owner's fence.
    pub fence: i64,
    /// What it executes.
    pub plan: Arc<Plan>,
    /// Who started it, by name.
    pub started_by: String,
    /// Its input.
    pub input: Value,
    /// Its state.
    pub state: RunState,
    /// What it waits for.
    pub waiting_on: Option<WaitingOn>,
    /// Whether a node has ever taken it up.
    pub started: bool,
    /// Whether its last owner was lost.
    pub recovered: bool,
    /// How many owners were lost since the last one wrote anything.
    pub crashes: u32,
    /// The suspected call that was out when the first of them was lost.
    pub suspect: Option<StepId>,
    /// How many processes a call may take down.
    pub poison: u32,
    /// When it must have ended.
    pub deadline_at: Option<Timestamp>,
    /// Its output.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<StepError>,
    /// What its steps used.
    pub usage: Usage,
    /// Its steps.
    pub steps: HashMap<StepId, Step>,
    /// The place of the next step in the order.
    pub next_ordinal: i32,
    /// The last signal that was read.
    pub signals_seen: i64,
    /// Steps whose templates are being filled in (or whose events are being asked for), and where in the node's list of
    /// templates each is.
    pub evaluating: HashMap<StepId, usize>,
    /// Events that came for steps that are about to wait for them.
    pub received: HashMap<StepId, Value>,
    /// Steps with an attempt under way here.
    pub in_flight: BTreeSet<StepId>,
    /// Whether nothing new may begin: the process is about to end.
    pub draining: bool,
    /// How far each map at work is.
    pub maps: HashMap<StepId, MapProgress>,
    /// The most that a model call uses.
    pub most: Most,
    /// Agents that wait until others have used less of a budget than is reserved for them.
    pub short: BTreeSet<StepId>,
    /// What its tools have brought in so far.
    pub seen: Flow,
    /// What its models under way have written so far.
    pub heard: Heard,
}

/// How far a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapProgress {
    /// The first item that was not begun.
    pub next: usize,
    /// Items under way.
    pub open: usize,
    /// Items that failed.
    pub failed: u32,
}

impl Machine {
    /// A run that nobody has begun.
    #[must_use]
    pub fn new(
        org: OrgId,
        run: RunId,
        fence: i64,
        plan: Arc<Plan>,
        started_by: String,
        input: Value,
        deadline_at: Option<Timestamp>,
    ) -> Self {
        Self {
            org,
            run,
            fence,
            plan,
            started_by,
            input,
            state: RunState::Queued,
            waiting_on: None,
            started: false,
            recovered: false,
            crashes: 0,
            suspect: None,
            poison: POISON,
            deadline_at,
            output: None,
            error: None,
            usage: Usage::default(),
            steps: HashMap::new(),
            next_ordinal: 0,
            signals_seen: 0,
            evaluating: HashMap::new(),
            received: HashMap::new(),
            in_flight: BTreeSet::new(),
            draining: false,
            maps: HashMap::new(),
            most: Most::default(),
            short: BTreeSet::new(),
            seen: Flow::default(),
            heard: Heard::default(),
        }
    }

    /// Whether nothing new may begin: the process is about to end, or somebody holds the run.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.draining || self.state == RunState::Paused
    }

    /// Whether something is under way that will come back by itself.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.evaluating.is_empty() || !self.in_flight.is_empty()
    }

    /// Whether this attempt of a step is the one that is under way.
    #[must_use]
    pub fn is_at(&self, step: &StepId, attempt: u32) -> bool {
        self.steps.get(step).is_some_and(|step| step.state == StepState::Running && step.attempt == attempt)
    }

    /// The next moment at which the run has something to do by itself.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let steps = self.steps.values().filter(|step| !step.state.is_end()).filter_map(|step| step.wake_at);
        steps.chain(self.deadline_at.filter(|_| !self.state.is_end())).min()
    }

    /// What the run waits for, when nothing is under way: the first of approval, event, lock, retry, limit, timer.
    #[must_use]
    pub fn waits_on(&self) -> Option<(WaitingOn, Option<Timestamp>)> {
        let mut found: Option<(WaitingOn, Option<Timestamp>)> = None;
        for step in self.steps.values() {
            let on = match step.state {
                StepState::Waiting if step.waits_for_person() => WaitingOn::Approval,
                StepState::Waiting if step.detail.limit.is_some() => WaitingOn::Limit,
                StepState::Waiting if step.waits_for_lock() => WaitingOn::Lock,
                // Whoever is to answer waits, too, or does not come: then there is only the time.
                StepState::Waiting if step.waits_for_answer() => WaitingOn::Timer,
                StepState::Waiting if step.kind == StepKind::WaitEvent => WaitingOn::Event,
                StepState::Waiting if step.kind == StepKind::Wait => WaitingOn::Timer,
                StepState::Retrying => WaitingOn::Retry,
                _ => continue,
            };
            let rank = |on: WaitingOn| match on {
                WaitingOn::Approval => 0,
                WaitingOn::Event => 1,
                WaitingOn::Lock => 2,
                WaitingOn::Retry => 3,
                WaitingOn::Limit => 4,
                WaitingOn::Timer => 5,
            };
            found = match found {
                Some((other, until)) if rank(other) < rank(on) => Some((other, until)),
                Some((other, until)) if other == on => Some((other, until.into_iter().chain(step.wake_at).min())),
                _ => Some((on, step.wake_at)),
            };
        }
        found
    }

    /// The node that a step belongs to.
    #[must_use]
    pub fn node_of<'p>(plan: &'p Plan, id: &StepId) -> Option<&'p Node> {
        // `map.3.inner` → the node `inner` inside of the node `map`: the number is an item's, and `~again1` would be the
        // map begun anew. `agent.tool1_1:wf_x.inner` → the node `inner` of a workflow that an agent calls as a tool.
        let mut nodes = plan.graph.nodes.as_slice();
        let mut found = None;
        for key in id.as_str().split('.') {
            if let Some(called) = called_workflow(plan, key) {
                nodes = called;
                continue;
            }
            if !key.starts_with(|first: char| first.is_ascii_lowercase()) {
                continue;
            }
            let Some(node) = nodes.iter().find(|node| node.id.as_str() == key) else { break };
            found = Some(node);
            nodes = inside_of(plan, node).unwrap_or_default();
        }
        found
    }

    /// The nodes that run as steps right below this one: those of the graph for nobody, those of a group for an item, a
    /// round or a workflow.
    #[must_use]
    pub fn frame<'p>(&self, plan: &'p Plan, owner: Option<&StepId>) -> Option<&'p [Node]> {
        let Some(owner) = owner else { return Some(&plan.graph.nodes) };
        match self.steps.get(owner)?.kind {
            StepKind::Item | StepKind::Round | StepKind::Workflow => nodes_below(plan, owner),
            _ => None,
        }
    }

    /// What the tools of these steps have brought in.
    #[must_use]
    pub fn brought_in<'s>(plan: &Plan, steps: impl IntoIterator<Item = &'s Step>) -> Flow {
        let mut seen = Flow::default();
        for step in steps.into_iter().filter(|step| step.state == StepState::Succeeded) {
            let tool = match step.kind {
                StepKind::Http => Some(HTTP_TOOL),
                StepKind::Tool => step.detail.about.as_deref(),
                // What is remembered is about somebody, and whoever gave the tasks wrote a part of it.
                StepKind::Memory => {
                    let recalled = step.output.clone().and_then(|output| Recalled::deserialize(output).ok());
                    let some = recalled.is_some_and(|recalled| !recalled.tasks.is_empty());
                    seen.untrusted |= some;
                    seen.private |= some;
                    None
                }
                _ => None,
            };
            if let Some(spec) = tool.and_then(|tool| plan.tools.get(tool)) {
                seen.untrusted |= spec.flow.untrusted;
                seen.private |= spec.flow.private;
            }
        }
        seen
    }

    /// Whether a step is a node's own, and not one of those that nest in it: an item, a turn, an alternative.
    #[must_use]
    pub fn is_of_node(step: &Step) -> bool {
        step.id.key() == step.node
    }
}

/// The nodes that the steps below a group's part (or a workflow's step) are of.
#[must_use]
pub fn nodes_below<'p>(plan: &'p Plan, owner: &StepId) -> Option<&'p [Node]> {
    called_workflow(plan, owner.key()).or_else(|| inside_of(plan, Machine::node_of(plan, owner)?))
}

/// The nodes of the workflow that an agent's tool call runs.
fn called_workflow<'p>(plan: &'p Plan, key: &str) -> Option<&'p [Node]> {
    let (_, workflow) = key.split_once(':')?;
    Some(&plan.workflows.get(workflow)?.graph.nodes)
}

/// The nodes inside of a node: of a map or loop its own, of a workflow those of the plan that it names.
fn inside_of<'p>(plan: &'p Plan, node: &'p Node) -> Option<&'p [Node]> {
    match &node.kind {
        NodeKind::Workflow { workflow, version, .. } => {
            let sub = plan.workflows.get(&SubWorkflow::key(workflow, *version))?;
            Some(&sub.graph.nodes)
        }
        kind => kind.inner().map(Vec::as_slice),
    }
}
