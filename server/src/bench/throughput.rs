//! W1 and W2: how fast runs that are there get done, beside the same rows written by hand.

use std::time::Instant;

use agentflow::{engine::plan::Plan, live::Hub};

use super::{
    Options,
    effects::Manner,
    floor::{self, Recorded},
    graphs,
    node::Node,
    place::Place,
    report::{Aim, Report, Section, median},
    stats::{self, Counted},
    store,
    watch::Watch,
};
use crate::startup::Trouble;

/// Seconds that the engine and the floors took for the same work, measured in turn.
#[derive(Default)]
pub struct Measured {
    engine: Vec<f64>,
    batched: Vec<f64>,
    one_commit: Vec<f64>,
}

impl Measured {
    /// The engine's median, in seconds.
    pub fn engine(&self) -> f64 {
        median(self.engine.clone())
    }

    /// The engine's rate as a share of the batched floor's: the median over the turns.
    pub fn of_batched(&self) -> f64 {
        median(self.engine.iter().zip(&self.batched).map(|(engine, floor)| floor / engine).collect())
    }

    /// The same against one commit per step.
    pub fn of_one_commit(&self) -> f64 {
        median(self.engine.iter().zip(&self.one_commit).map(|(engine, floor)| floor / engine).collect())
    }

    fn tell(&self, section: &mut Section, units: usize, aim: f64) {
        let rate = |times: &[f64]| units as f64 / median(times.to_vec());
        section.line("engine", rate(&self.engine), "steps/s");
        section.line("batched floor", rate(&self.batched), "steps/s");
        section.line("one-commit floor", rate(&self.one_commit), "steps/s");
        section.aim("engine to batched floor", self.of_batched(), "×", Aim::AtLeast(aim));
        section.line("engine to one-commit floor", self.of_one_commit(), "×");
    }
}

/// 500 runs of 5 steps.
pub async fn w1(place: &Place, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    let (runs, steps) = (options.size(500), 5);
    let about = format!("{runs} runs of {steps} steps one after the other, from the node's start until all are done");
    let mut section = Section::new("w1", about);
    let plan = graphs::chain(steps)?;
    let measured = rounds(place, &plan, runs, options.repeat()).await?;
    measured.tell(&mut section, runs * steps, 0.4);
    section.line("engine", runs as f64 / measured.engine(), "runs/s");
    account(place, &plan, runs, steps, &mut section).await?;
    report.add(section);
    Ok(())
}

/// One run with 200 and with 1,000 steps side by side.
pub async fn w2(place: &Place, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    for (width, aim) in [(200, 0.3), (1_000, 0.3)] {
        let width = options.size(width);
        let mut section =
            Section::new(format!("w2, {width} wide"), "one run: that many steps side by side, and a join");
        let plan = graphs::fan_out(width)?;
        let measured = rounds(place, &plan, 1, options.repeat() * 3).await?;
        measured.tell(&mut section, width, aim);
        section.line("engine, the whole run", measured.engine() * 1_000.0, "ms");
        account(place, &plan, 1, width, &mut section).await?;
        report.add(section);
    }
    Ok(())
}

/// The engine and the floors in turn.
pub async fn rounds(place: &Place, plan: &Plan, runs: usize, repeat: usize) -> Result<Measured, Trouble> {
    let mut measured = Measured::default();
    // The first fills the caches, and shows which rows there are to write.
    let shown = place.submit(plan, runs.min(50)).await?;
    engine(place, shown.len()).await?;
    let recorded = Recorded::read(place, shown[0]).await?;
    store::analyze(&place.url).await?;
    for _ in 0..repeat {
        place.submit(plan, runs).await?;
        measured.engine.push(engine(place, runs).await?);
        let copies = place.submit(plan, runs).await?;
        measured.batched.push(floor::batched(place, &recorded, 0, &copies).await?);
        let copies = place.submit(plan, runs).await?;
        measured.one_commit.push(floor::one_commit(place, &recorded, &copies).await?);
    }
    Ok(measured)
}

/// Seconds until a node has done the runs that wait.
async fn engine(place: &Place, runs: usize) -> Result<f64, Trouble> {
    let db = place.connect().await?;
    floor::warm(db.engine()).await?;
    let watch = Watch::new(Hub::default(), false);
    let begun = Instant::now();
    let node = Node::of(place, db, watch, Manner::AtOnce).await?;
    node.watch.succeeded(runs).await?;
    let took = begun.elapsed().as_secs_f64();
    node.stop().await;
    Ok(took)
}

/// Where the time goes: once more, with the counters.
async fn account(place: &Place, plan: &Plan, runs: usize, steps: usize, section: &mut Section) -> Result<(), Trouble> {
    place.submit(plan, runs).await?;
    let before = Counted::now(place.db().engine()).await?;
    let node = Node::start(place, Manner::AtOnce).await?;
    node.watch.succeeded(runs).await?;
    let engine = node.engine.clone();
    node.stop().await;
    Counted::now(place.db().engine()).await?.tell(before, runs * steps, section);
    stats::tell(engine.counters(), runs * steps, section);
    Ok(())
}
