//! Runs that no workflow can make: written by hand, decision by decision, through the engine's own journal writer. So they
//! have its numbers, its fences and its notifications, and belong to a node whose lease is kept while they are written.

use std::time::Duration;

use agentflow::{
    access::Ctx,
    engine::{
        journal::{Event, Usage},
        machine::{Detail, Step},
        state::{RunState, StepError, StepId, StepKind, StepState},
        store::{self, Begin, Claim, Commit, Committed, NewRun},
        writer::Writer,
    },
    kernel::{NodeId, RunId, Timestamp, WorkflowId},
    workflows,
};
use serde_json::Value;
use tokio::time::Instant;

use super::ground::said;
use crate::startup::Trouble;

/// How long the node counts as alive after it was last heard of, in milliseconds.
const LEASE_MS: i64 = 60_000;
/// How often it lets itself be heard while it writes.
const BEAT: Duration = Duration::from_secs(10);

/// The node in whose hands runs are written.
pub struct Hand {
    ctx: Ctx,
    node: NodeId,
    writer: Writer,
    heard: Instant,
}

/// A run that is being written.
pub struct Story {
    /// The run.
    pub run: RunId,
    claim: Claim,
    steps: i32,
    now: Timestamp,
}

/// What is written of a run at a time.
#[derive(Debug, Default)]
pub struct Page {
    /// Events, in order.
    pub events: Vec<Event>,
    /// Steps that begin, go on or end.
    pub steps: Vec<Step>,
}

/// How a run ends.
#[derive(Debug)]
pub enum End {
    /// With this output.
    Succeeded(Value),
    /// With this error.
    Failed(StepError),
}

impl Hand {
    /// Makes the node known.
    pub async fn new(ctx: &Ctx) -> Result<Self, Trouble> {
        let (pool, engine) = (ctx.deps().db.engine(), ctx.deps().engine.clone());
        let node = NodeId::new();
        store::register(pool, node, "seed", LEASE_MS).await.map_err(said)?;
        let writer = Writer::start(pool.clone(), node, engine);
        Ok(Self { ctx: ctx.clone(), node, writer, heard: Instant::now() })
    }

    /// A run of a deployed workflow that has begun, and that nobody else works on.
    pub async fn begin(&mut self, workflow: WorkflowId, title: &str, input: Value) -> Result<Story, Trouble> {
        self.beat().await?;
        let (org, deps, actor) = (self.ctx.org_id(), self.ctx.deps(), self.ctx.actor());
        let mut tx = deps.db.tenant(org).await.map_err(said)?;
        let ready = workflows::service::plan_for_run(&mut tx, workflow, None).await.map_err(said)?;
        let new = NewRun {
            id: RunId::new(),
            workflow,
            workflow_version: ready.version,
            plan: ready.plan.into(),
            title: title.to_owned(),
            trigger: "person",
            started_by: actor.reference(),
            started_by_name: actor.name().to_owned(),
            input,
            deadline_s: None,
            retry_of: None,
            priority: Default::default(),
            group: None,
            labels: Vec::new(),
        };
        let begin = Begin { node: self.node, first: None };
        let fresh = store::start_run(&mut tx, &new, Some(begin)).await.map_err(said)?;
        // Where runs are counted, a claim gives them out, and nobody could say to whom.
        let fresh = fresh.ok_or_else(|| {
            let remedy = "Lift it in the organization's settings while it is seeded.";
            Trouble::new("The organization has a limit on how many of its runs are at work.", remedy)
        })?;
        let now = fresh.events.last().map(|event| event.at).unwrap_or_default();
        tx.commit().await.map_err(said)?;
        let mut story = Story { run: new.id, claim: fresh.claim, steps: 0, now };
        self.write(&mut story, Page { events: vec![Event::RunStarted], steps: Vec::new() }).await?;
        Ok(story)
    }

    /// Writes what happens next, in one commit.
    pub async fn write(&mut self, story: &mut Story, page: Page) -> Result<(), Trouble> {
        self.commit(story, page, RunState::Running, None).await
    }

    /// Writes the end, after this page, in one commit with it.
    pub async fn end(&mut self, mut story: Story, mut page: Page, end: End) -> Result<RunId, Trouble> {
        let state = match &end {
            End::Succeeded(_) => {
                page.events.push(Event::RunSucceeded);
                RunState::Succeeded
            }
            End::Failed(error) => {
                page.events.push(Event::RunFailed { error: error.clone() });
                RunState::Failed
            }
        };
        self.commit(&mut story, page, state, Some(end)).await?;
        Ok(story.run)
    }

    /// Takes the node off the list.
    pub async fn retire(self) -> Result<(), Trouble> {
        store::retire(self.ctx.deps().db.engine(), self.node).await.map_err(said)
    }

    async fn commit(
        &mut self,
        story: &mut Story,
        page: Page,
        state: RunState,
        end: Option<End>,
    ) -> Result<(), Trouble> {
        self.beat().await?;
        let used = page.steps.iter().filter(|step| step.state.is_end()).map(|step| step.usage);
        let usage = used.fold(Usage::default(), |mut all, used| {
            all += used;
            all
        });
        let release = end.is_some().then_some(None);
        let (output, error) = match end {
            Some(End::Succeeded(output)) => (Some(output), None),
            Some(End::Failed(error)) => (None, Some(error)),
            None => (None, None),
        };
        let commit = Commit {
            claim: story.claim,
            events: page.events,
            steps: page.steps,
            approvals: Vec::new(),
            withdrawn: Vec::new(),
            state,
            waiting_on: None,
            output,
            error,
            usage,
            signals_seen: 0,
            // Somebody may have stopped it: then it is theirs, and no more is written.
            needs_sync: true,
            release,
        };
        match self.writer.write(commit).await.map_err(said)? {
            Committed::Written(events) => {
                story.now = events.last().map_or(story.now, |event| event.at);
                Ok(())
            }
            Committed::Refused => {
                Err(Trouble::new(format!("The run {} was stopped while it was written.", story.run), ""))
            }
        }
    }

    async fn beat(&mut self) -> Result<(), Trouble> {
        if self.heard.elapsed() >= BEAT {
            let alive = store::beat(self.ctx.deps().db.engine(), self.node, LEASE_MS).await.map_err(said)?;
            alive.ok_or_else(|| Trouble::new("This process slept for so long that its runs are others' now.", ""))?;
            self.heard = Instant::now();
        }
        Ok(())
    }
}

impl Story {
    /// A step that begins now.
    pub fn step(&mut self, id: StepId, kind: StepKind, name: impl Into<String>) -> Step {
        let ordinal = self.steps;
        self.steps += 1;
        Step {
            node: id.as_str().split('.').next().unwrap_or_default().to_owned(),
            id,
            kind,
            name: name.into(),
            ordinal,
            state: StepState::Running,
            attempt: 1,
            input: None,
            output: None,
            error: None,
            detail: Detail::default(),
            usage: Usage::default(),
            queued_at: self.now,
            wake_at: None,
        }
    }
}

impl Page {
    /// A step begins.
    pub fn begins(&mut self, step: &Step) {
        self.events.push(Event::StepStarted { step: step.head(), attempt: step.attempt });
        self.put(step);
    }

    /// A step ends well.
    pub fn succeeds(&mut self, step: &mut Step, output: Value) {
        step.state = StepState::Succeeded;
        step.output = Some(output);
        self.events.push(Event::StepSucceeded {
            step: step.head(),
            attempt: step.attempt,
            usage: step.usage,
            reused: false,
            cached: false,
        });
        self.put(step);
    }

    /// A step fails.
    pub fn fails(&mut self, step: &mut Step, error: StepError) {
        step.state = StepState::Failed;
        step.error = Some(error.clone());
        self.events.push(Event::StepFailed { step: step.head(), attempt: step.attempt, error, usage: step.usage });
        self.put(step);
    }

    /// A statement writes a row once: of a step that begins and ends in it, the last counts.
    fn put(&mut self, step: &Step) {
        match self.steps.iter_mut().rev().find(|there| there.id == step.id) {
            Some(there) => there.clone_from(step),
            None => self.steps.push(step.clone()),
        }
    }
}
