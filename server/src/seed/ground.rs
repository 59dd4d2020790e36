//! Where seeds fall: an organization, its workflows, and the engine that runs them in this process.

use std::{sync::Arc, time::Duration};

use agentflow::{
    access::{Actor, Ctx, OrgRef, Role},
    deps::Deps,
    effects::Performer,
    engine::{
        journal::Usage,
        port::{Answer, Call, CallScope, Effects, Evaluation, ModelCall, Place, Progress},
        runner::{self, Runner, Settings},
        state::{RunState, StepError},
    },
    kernel::{ApiKeyId, Error, Money, OrgId, RunId, UserId, WorkflowId},
    models::SANDBOX,
    runs::{self, service::Start},
    workflows,
};
use async_trait::async_trait;
use serde_json::Value;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::startup::Trouble;

/// Who did it, wherever it is shown.
const NAME: &str = "Seed";
/// The longest that a run may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// The longest pause between two looks at a run.
const LOOK: Duration = Duration::from_millis(100);

/// An organization that is seeded.
pub struct Ground {
    person: Ctx,
    program: Ctx,
}

impl Ground {
    /// An organization that is there. What is committed for it is told to the other processes from here on.
    pub fn new(deps: &Deps, org: OrgRef) -> Self {
        let acting = |actor| Ctx::new(deps.clone(), actor, org.clone(), Role::Owner, "seed".to_owned());
        let person = acting(Actor::User { id: UserId::new(), name: NAME.to_owned() });
        let program = acting(Actor::Key { id: ApiKeyId::new(), name: NAME.to_owned() });
        tokio::spawn(runner::notifier(deps.db.engine().clone(), deps.engine.clone()));
        Self { person, program }
    }

    /// Who seeds it.
    pub fn ctx(&self) -> &Ctx {
        &self.person
    }

    /// The address of a run's page, without the server's own.
    pub fn page(&self, run: RunId) -> String {
        format!("o/{}/runs/{run}", self.person.org().slug)
    }

    /// The deployed workflow of a file: the one with its name, if there is one.
    pub async fn workflow(&self, file: &str) -> Result<WorkflowId, Trouble> {
        let new = workflows::yaml::import(file).map_err(said)?;
        let there = workflows::service::list(&self.person.grant().map_err(said)?).await.map_err(said)?;
        if let Some(found) = there.into_iter().find(|workflow| workflow.name == new.name) {
            return Ok(found.id);
        }
        let made = workflows::service::create(&self.person.grant().map_err(said)?, new).await.map_err(said)?;
        match made.deployed_version {
            Some(_) => Ok(made.id),
            None => Err(Trouble::new(format!("The workflow “{}” of a seed cannot run.", made.name), "")),
        }
    }

    /// Starts a run.
    pub async fn start(&self, workflow: WorkflowId, input: Value, by_program: bool) -> Result<RunId, Trouble> {
        let ctx = if by_program { &self.program } else { &self.person };
        let start = Start { workflow, version: None, input, priority: None, labels: Vec::new(), idempotency_key: None };
        Ok(runs::service::start(&ctx.grant().map_err(said)?, start).await.map_err(said)?.run)
    }

    /// Stops a run.
    pub async fn cancel(&self, run: RunId) -> Result<(), Trouble> {
        runs::control::cancel(&self.person.grant().map_err(said)?, run).await.map(drop).map_err(said)
    }

    /// Waits until a run is in this state.
    pub async fn until(&self, run: RunId, wanted: RunState) -> Result<(), Trouble> {
        let grant = self.person.grant().map_err(said)?;
        let begun = Instant::now();
        let mut pause = Duration::from_millis(5);
        while begun.elapsed() < PATIENCE {
            let (state, _) = runs::service::find_state(&grant, run).await.map_err(said)?;
            if state == wanted {
                return Ok(());
            }
            if state.is_end() {
                return Err(Trouble::new(format!("The run {run} of a seed is {state} and should be {wanted}."), ""));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LOOK);
        }
        Err(Trouble::new(format!("The run {run} of a seed is not {wanted} after a quarter of an hour."), ""))
    }

    /// The engine, at work in this process until it is stopped.
    pub async fn engine(&self) -> Result<Works, Trouble> {
        let deps = self.person.deps();
        let effects = Arc::new(Priced { performer: Performer::of(deps), org: self.person.org_id() });
        let stop = CancellationToken::new();
        let (pool, engine, settings) = (deps.db.engine().clone(), deps.engine.clone(), Settings::default());
        let runner = Runner::register(pool, engine, effects, settings, "seed", stop.clone()).await.map_err(said)?;
        Ok(Works { stop, work: tokio::spawn(async move { runner.run("seed").await }) })
    }
}

/// The engine at work.
pub struct Works {
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Works {
    /// Lets what is under way come to its end, and gives back what it has.
    pub async fn stop(self) {
        self.stop.cancel();
        drop(self.work.await);
    }
}

/// What runs ask for, done as in a server; but the sandbox model's answers cost what a usual model's would, so that there
/// is money to be shown. No budget counts it.
struct Priced {
    performer: Performer,
    org: OrgId,
}

/// Millionths of a dollar for a token that is read, and for one that is written.
const PRICES: (u64, u64) = (3, 15);

#[async_trait]
impl Effects for Priced {
    async fn place(&self, call: &Call, scope: &CallScope) -> Option<Box<dyn Place>> {
        self.performer.place(call, scope).await
    }

    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let mut answer = self.performer.perform(call, scope, progress).await?;
        if let Answer::Model(answer) = &mut answer
            && answer.model == SANDBOX
            // A process that seeds works on whatever is due: others' runs cost what they cost elsewhere.
            && scope.org == self.org
        {
            let Usage { tokens_in, tokens_out, .. } = answer.usage;
            answer.usage.cost = Money((tokens_in * PRICES.0 + tokens_out * PRICES.1).cast_signed());
        }
        Ok(answer)
    }

    fn most(&self, call: &ModelCall) -> Usage {
        self.performer.most(call)
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        self.performer.evaluate(evaluation).await
    }
}

/// What the product says, as a seed's trouble.
pub fn said(error: Error) -> Trouble {
    let fields = error.fields.iter().map(|entry| format!("\n  {}: {}", entry.field, entry.message));
    Trouble::new(format!("The seed stopped: {}{}", error.message, fields.collect::<String>()), "")
}
