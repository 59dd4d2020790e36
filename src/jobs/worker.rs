//! The worker: takes jobs from the queue and does them, until it is told to stop.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use graphile_worker::{
    Cron, CronBuilder, CrontabFill, CrontabTimerError, IntoTaskHandlerResult, TaskHandler, WorkerContext, WorkerOptions,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Chore, Every, Job};
use crate::{
    deps::Deps,
    kernel::{Error, OrgId},
};

/// How long a stop waits for jobs that are under way. What is not done then is done by another process, or later.
const GRACE: Duration = Duration::from_secs(20);
/// The pause before the worker begins again that could not go on, as when the database was away.
const AGAIN: Duration = Duration::from_secs(5);

/// How fast the worker notices things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The pause between looks for jobs whose time has come. New ones are told of at once.
    pub poll: Duration,
    /// The pause between signs of life.
    pub heartbeat: Duration,
    /// How long a worker is silent until it counts as dead, and its jobs are given to others.
    pub dead_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { poll: Duration::from_secs(5), heartbeat: Duration::from_secs(10), dead_after: Duration::from_secs(60) }
    }
}

type Skill = Box<dyn Fn(WorkerOptions) -> WorkerOptions + Send + Sync>;

/// The jobs and chores that a worker knows.
pub struct Crew {
    deps: Deps,
    pace: Pace,
    skills: Vec<Skill>,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("pace", &self.pace).field("skills", &self.skills.len()).finish_non_exhaustive()
    }
}

impl Crew {
    /// A worker that knows nothing yet.
    #[must_use]
    pub fn new(deps: Deps, pace: Pace) -> Self {
        Self { deps, pace, skills: Vec::new() }
    }

    /// Teaches it a job.
    #[must_use]
    pub fn job<J: Job>(mut self) -> Self {
        self.skills.push(Box::new(|options| options.define_job::<Task<J>>()));
        self
    }

    /// Gives it a chore.
    #[must_use]
    pub fn chore<C: Chore>(mut self, chore: C) -> Self {
        let chore = Held(Arc::new(chore));
        self.skills.push(Box::new(move |options| {
            let options = options.define_job::<Round<C>>().add_extension(chore.clone());
            match rounds::<C>() {
                Ok(rounds) => options.with_cron(rounds),
                Err(error) => {
                    tracing::error!(chore = C::NAME, %error, "a chore has no times to come round");
                    options
                }
            }
        }));
        self
    }

    /// Does what there is to do, until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.work(&stop).await {
                tracing::warn!(%error, "the job worker could not go on; it begins again");
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn work(&self, stop: &CancellationToken) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Pace { poll, heartbeat, dead_after } = self.pace;
        let told = stop.clone();
        let options = WorkerOptions::default()
            .pg_pool(self.deps.db.keeper().clone())
            // A long chore leaves a hand free for mail.
            .concurrency(2)
            .poll_interval(poll)
            .heartbeat_interval(heartbeat)
            .sweep_interval(dead_after / 2)
            .sweep_threshold(dead_after)
            .recovery_delay(Duration::ZERO)
            // The server has its own.
            .listen_os_shutdown_signals(false)
            .shutdown_signal(async move { told.cancelled().await })
            .shutdown_grace_period(GRACE)
            .add_extension(Held(Arc::new(self.deps.clone())));
        let options = self.skills.iter().fold(options, |options, skill| skill(options));
        options.init().await?.run().await?;
        Ok(())
    }
}

/// What the library hands to each job. It wants to print it, and it shall not.
struct Held<T>(Arc<T>);

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// Why a job was not done, as the queue keeps it and the log shows it: our own words, which name nobody.
#[derive(Debug)]
#[expect(dead_code, reason = "read by the library, as text")]
struct Failed(String);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(format!("{}: {}", error.code, error.message))
    }
}

fn held<T: Send + Sync + 'static>(cx: &WorkerContext) -> Result<Arc<T>, Failed> {
    let held = cx.get_ext::<Held<T>>().map(|held| Arc::clone(&held.0));
    held.ok_or_else(|| Failed("the worker was started without what this job needs".to_owned()))
}

/// A job as the queue keeps it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "J: Job")]
struct Task<J> {
    // As the row-level security of the queue reads it.
    organization: Uuid,
    job: J,
}

impl<J: Job> TaskHandler for Task<J> {
    const IDENTIFIER: &'static str = J::NAME;

    async fn run(self, cx: WorkerContext) -> impl IntoTaskHandlerResult {
        let deps = held::<Deps>(&cx)?;
        self.job.run(&deps, OrgId::from_uuid(self.organization)).await.map_err(Failed::from)
    }
}

/// A chore as the queue keeps it: nothing but its name. What the clock writes beside it, such as `null`, is not looked at.
#[derive(Serialize, Deserialize)]
#[serde(from = "IgnoredAny", bound = "")]
struct Round<C> {
    #[serde(skip)]
    chore: PhantomData<fn() -> C>,
}

impl<C> From<IgnoredAny> for Round<C> {
    fn from(_: IgnoredAny) -> Self {
        Self { chore: PhantomData }
    }
}

impl<C: Chore> TaskHandler for Round<C> {
    const IDENTIFIER: &'static str = C::NAME;

    async fn run(self, cx: WorkerContext) -> impl IntoTaskHandlerResult {
        let (deps, chore) = (held::<Deps>(&cx)?, held::<C>(&cx)?);
        chore.run(&deps).await.map_err(Failed::from)
    }
}

/// When a chore comes round. One that still waits is not joined by another, and none begins while one is under way.
fn rounds<C: Chore>() -> Result<CronBuilder<Round<C>>, CrontabTimerError> {
    let rounds = match C::EVERY {
        Every::Minute => Cron::every_minute(),
        // Where no process was there at its time, the first one that comes does it.
        Every::Hour(minute) => Cron::hourly_at(minute)?.fill(CrontabFill::hours(1)),
        Every::Day(hour) => Cron::daily_at(hour, 15)?.fill(CrontabFill::days(1)),
    };
    Ok(rounds.queue(C::NAME).job_key(C::NAME).max_attempts(3))
}
