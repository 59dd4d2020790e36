//! The journal writer: the one place where owned runs are written. It takes whatever has gathered, writes it in one
//! commit, and only then answers each sender: under load hundreds of decisions share a commit, when idle none waits.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use super::{
    handle::Engine,
    store::{self, Commit, Committed},
};
use crate::kernel::{Error, Kind, NodeId, Result};

/// The most runs that share a commit.
const BATCH: usize = 256;
/// How long a commit may take before its outcome counts as unknown.
const PATIENCE: Duration = Duration::from_secs(20);

struct Request {
    commit: Commit,
    answer: oneshot::Sender<Result<Committed>>,
}

/// The way to the writer. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    requests: mpsc::Sender<Request>,
}

impl Writer {
    /// Starts the writer of a node. It ends when all handles are gone.
    #[must_use]
    pub fn start(pool: PgPool, node: NodeId, engine: Engine) -> Self {
        let (requests, mut inbox) = mpsc::channel::<Request>(BATCH * 4);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            loop {
                let idle = Instant::now();
                if inbox.recv_many(&mut batch, BATCH).await == 0 {
                    return;
                }
                engine.counters().idle.add_time(idle.elapsed());
                write(&pool, node, &engine, std::mem::take(&mut batch)).await;
            }
        });
        Self { requests }
    }

    /// Writes one run's decision. When this returns `Written`, it is durable and its readers have been told.
    ///
    /// # Errors
    /// When the database did not confirm: whether it was written is unknown, and the run must be loaded anew.
    pub async fn write(&self, commit: Commit) -> Result<Committed> {
        let (answer, outcome) = oneshot::channel();
        let gone = |_| Error::unavailable();
        self.requests.send(Request { commit, answer }).await.map_err(|_| Error::unavailable())?;
        outcome.await.map_err(gone)?
    }
}

async fn write(pool: &PgPool, node: NodeId, engine: &Engine, batch: Vec<Request>) {
    let (commits, answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|request| (request.commit, request.answer)).unzip();
    #[cfg(agentflow_fault = "early_ack")]
    let answers = told_too_early(answers).await;
    match bounded(pool, node, &commits, engine).await {
        Ok(outcomes) => {
            for ((commit, answer), outcome) in commits.iter().zip(answers).zip(outcomes) {
                tell(engine, commit, &outcome);
                // A sender that is gone has been aborted; its write stands all the same.
                let _ = answer.send(Ok(outcome));
            }
        }
        // One run's data may be what the database refuses: it must not take the others with it.
        Err(error) if error.kind == Kind::Internal && commits.len() > 1 => {
            for (commit, answer) in commits.into_iter().zip(answers) {
                let commit = [commit];
                let outcome = bounded(pool, node, &commit, engine).await.and_then(|mut outcomes| {
                    outcomes.pop().ok_or_else(|| Error::internal("a commit without an outcome"))
                });
                if let Ok(outcome) = &outcome {
                    tell(engine, &commit[0], outcome);
                }
                let _ = answer.send(outcome);
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

/// A deliberate mistake (see `store::broken`): everybody is told that it is written, and a slow disk is still at it.
#[cfg(agentflow_fault = "early_ack")]
async fn told_too_early(answers: Vec<oneshot::Sender<Result<Committed>>>) -> Vec<oneshot::Sender<Result<Committed>>> {
    let told = answers.into_iter().map(|answer| {
        let _ = answer.send(Ok(Committed::Written(std::sync::Arc::from([]))));
        oneshot::channel().0
    });
    let told = told.collect();
    tokio::time::sleep(Duration::from_millis(40)).await;
    told
}

async fn bounded(pool: &PgPool, node: NodeId, commits: &[Commit], engine: &Engine) -> Result<Vec<Committed>> {
    tokio::time::timeout(PATIENCE, store::commit(pool, node, commits, engine.counters()))
        .await
        .unwrap_or_else(|_| Err(Error::unavailable()))
}

fn tell(engine: &Engine, commit: &Commit, outcome: &Committed) {
    if let Committed::Written(events) = outcome {
        engine.publish(commit.claim.org, commit.claim.run, events.clone());
    }
}
