//! The floors: loops without an engine that write the very rows which the engine wrote for one of its runs, read back
//! from the tables. *Batched* writes each next part of up to 256 runs in one statement, on one connection; *one-commit*
//! writes each part of each run in a commit of its own, over a pool like the engine's.

use std::{collections::HashSet, time::Instant};

use agentflow::kernel::RunId;
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;

use super::{
    place::Place,
    store::{self, EventRow, StepRow},
};
use crate::startup::Trouble;

/// Runs that a batch holds: as many as the engine's own writer takes.
const BATCH: usize = 256;

/// What is written of one run at a time: the results of steps that began before, and the beginnings that follow.
#[derive(Debug, Clone)]
pub struct Part {
    /// Events.
    pub events: Vec<EventRow>,
    /// Steps that come to be.
    pub inserts: Vec<StepRow>,
    /// Steps that go on or end.
    pub updates: Vec<StepRow>,
    /// The run's state from then on.
    pub state: &'static str,
}

/// What the engine wrote for a run.
#[derive(Debug)]
pub struct Recorded {
    /// In as few parts as the results of steps allow.
    pub batches: Vec<Part>,
    /// In one part for each step's result.
    pub commits: Vec<Part>,
    /// The first of the batches that follow a wait.
    pub after_wait: usize,
}

impl Recorded {
    /// Reads it back.
    pub async fn read(place: &Place, run: RunId) -> Result<Self, Trouble> {
        let (events, steps) = store::recorded(place.db().engine(), place.org, run).await?;
        let batches = parts(&events, &steps, false);
        let waits = batches.iter().position(|part| part.state == "waiting");
        Ok(Self { commits: parts(&events, &steps, true), after_wait: waits.map_or(0, |place| place + 1), batches })
    }
}

/// A new part begins where a step that began in an earlier one has its result.
fn parts(events: &[EventRow], steps: &[StepRow], by_step: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = Part::default();
    let (mut begun, mut known) = (HashSet::new(), HashSet::new());
    for event in events {
        let result = matches!(event.kind.as_str(), "log" | "step.succeeded");
        if let Some(step) = event.step.as_ref().filter(|step| result && begun.contains(*step)) {
            if by_step {
                begun.remove(step);
            } else {
                begun.clear();
            }
            parts.push(std::mem::take(&mut part));
        }
        match event.kind.as_str() {
            "run.waiting" => part.state = "waiting",
            "run.succeeded" => part.state = "succeeded",
            _ => {}
        }
        if let Some(id) = event.step.as_ref().filter(|_| event.kind.starts_with("step.")) {
            if let Some(whole) = steps.iter().find(|step| step.id == *id) {
                part.write(whole, &event.kind, known.insert(id.clone()));
            }
            if event.kind != "step.succeeded" {
                begun.insert(id.clone());
            }
        }
        part.events.push(event.clone());
    }
    parts.push(part);
    parts
}

impl Default for Part {
    fn default() -> Self {
        Self { events: Vec::new(), inserts: Vec::new(), updates: Vec::new(), state: "running" }
    }
}

impl Part {
    /// The step's row as it is after an event; once in a part.
    fn write(&mut self, whole: &StepRow, kind: &str, is_new: bool) {
        let row = match kind {
            "step.succeeded" => whole.clone(),
            "step.waiting" => StepRow { state: "waiting".to_owned(), output: None, ..whole.clone() },
            _ => StepRow { state: "running".to_owned(), output: None, ..whole.clone() },
        };
        match self.inserts.iter_mut().chain(&mut self.updates).find(|step| step.id == row.id) {
            Some(step) => *step = row,
            None if is_new => self.inserts.push(row),
            None => self.updates.push(row),
        }
    }
}

/// Writes the parts before `last`, so that the others can be measured.
pub async fn batched_until(place: &Place, recorded: &Recorded, last: usize, runs: &[RunId]) -> Result<(), Trouble> {
    let parts = &recorded.batches[..last];
    write_batches(place, parts, runs).await.map(drop)
}

/// Seconds for the parts from `first` on, batch by batch.
pub async fn batched(place: &Place, recorded: &Recorded, first: usize, runs: &[RunId]) -> Result<f64, Trouble> {
    write_batches(place, &recorded.batches[first..], runs).await
}

async fn write_batches(place: &Place, parts: &[Part], runs: &[RunId]) -> Result<f64, Trouble> {
    let db = place.connect().await?;
    let pool = db.engine();
    warm(pool).await?;
    let owner = store::floor_node(pool).await?;
    let begun = Instant::now();
    for batch in runs.chunks(BATCH) {
        store::take(pool, place.org, owner, batch).await?;
        for part in parts {
            store::write(pool, place.org, owner, part, batch).await?;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    store::forget(pool, owner).await?;
    db.close().await;
    Ok(took)
}

/// Seconds for all parts of all runs, one commit each.
pub async fn one_commit(place: &Place, recorded: &Recorded, runs: &[RunId]) -> Result<f64, Trouble> {
    let db = place.connect().await?;
    let pool = db.engine();
    warm(pool).await?;
    let owner = store::floor_node(pool).await?;
    let begun = Instant::now();
    let clients = place.state.config.database.connections as usize;
    stream::iter(runs)
        .map(|run| async move {
            for part in &recorded.commits {
                store::write(pool, place.org, owner, part, std::slice::from_ref(run)).await?;
            }
            Ok::<_, Trouble>(())
        })
        .buffer_unordered(clients)
        .try_collect::<Vec<_>>()
        .await?;
    let took = begun.elapsed().as_secs_f64();
    store::forget(pool, owner).await?;
    db.close().await;
    Ok(took)
}

/// Opens the connections of a pool before the clock runs.
pub async fn warm(pool: &PgPool) -> Result<(), Trouble> {
    let size = pool.options().get_max_connections();
    let opened = (0..size).map(|_| pool.acquire());
    let opened = futures::future::try_join_all(opened).await;
    opened.map(drop).map_err(|error| Trouble::new(format!("The database gives no connections: {error}."), ""))
}
