//! A node like a server's: its own pools, the real engine, and the benchmark's steps.

use std::sync::Arc;

use agentflow::{
    db::Db,
    engine::{
        handle::Engine,
        runner::{self, Runner, Settings},
    },
    live::Hub,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    effects::{Manner, Steps},
    place::{Place, said},
    watch::Watch,
};
use crate::startup::Trouble;

/// A node at work.
pub struct Node {
    /// Its pools.
    pub db: Db,
    /// Its engine.
    pub engine: Engine,
    /// What it commits.
    pub watch: Arc<Watch>,
    /// What its runs ask for.
    pub steps: Arc<Steps>,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Node {
    /// Starts one whose steps answer in this manner.
    pub async fn start(place: &Place, manner: Manner) -> Result<Self, Trouble> {
        let watch = Watch::new(Hub::default(), false);
        Self::of(place, place.connect().await?, watch, manner).await
    }

    /// Starts one over these pools, seen by this watch.
    pub async fn of(place: &Place, db: Db, watch: Arc<Watch>, manner: Manner) -> Result<Self, Trouble> {
        let engine = Engine::new(watch.clone());
        let steps = Steps::new(manner);
        let stop = CancellationToken::new();
        let settings = Settings { drain: std::time::Duration::from_millis(100), ..place.state.config.engine.clone() };
        let pool = db.engine().clone();
        let runner = Runner::register(pool.clone(), engine.clone(), steps.clone(), settings, "bench", stop.clone())
            .await
            .map_err(said)?;
        // As in a server: the other processes are told, too.
        tokio::spawn(runner::notifier(pool, engine.clone()));
        let work = tokio::spawn(async move { runner.run("bench").await });
        Ok(Self { db, engine, watch, steps, stop, work })
    }

    /// Stops it, and closes its pools: then the database has counted all that they did.
    pub async fn stop(self) {
        self.stop.cancel();
        drop(self.work.await);
        self.db.close().await;
    }
}
