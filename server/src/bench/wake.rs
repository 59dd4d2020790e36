//! 10,000 runs that wait, woken at once.

use std::time::Instant;

use super::{
    Options,
    effects::Manner,
    floor::{self, Recorded},
    graphs,
    node::Node,
    place::Place,
    report::{Report, Section},
    store,
};
use crate::startup::Trouble;

/// Measures how fast runs are put to sleep, and how fast they are done once they wake.
pub async fn measure(place: &Place, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    let count = options.size(10_000);
    let plan = graphs::sleeper()?;
    let about = format!("{count} runs: a wait, then a step; all woken at the same moment");
    let mut section = Section::new("wake", about);
    let begun = Instant::now();
    let runs = place.submit(&plan, count).await?;
    let node = Node::start(place, Manner::AtOnce).await?;
    node.watch.waiting(count).await?;
    section.line("put to sleep", count as f64 / begun.elapsed().as_secs_f64(), "runs/s");
    store::analyze(&place.url).await?;
    store::wake(place.db().engine(), place.org, &runs).await?;
    let begun = Instant::now();
    for run in &runs {
        node.engine.committed(place.org, *run);
    }
    node.watch.succeeded(count).await?;
    let took = begun.elapsed().as_secs_f64();
    node.stop().await;
    section.line("woken, all done after", took, "s");
    section.line("woken and done", count as f64 / took, "runs/s");
    let recorded = Recorded::read(place, runs[0]).await?;
    let copies = place.submit(&plan, count).await?;
    floor::batched_until(place, &recorded, recorded.after_wait, &copies).await?;
    let floor = floor::batched(place, &recorded, recorded.after_wait, &copies).await?;
    section.line("batched floor", count as f64 / floor, "runs/s");
    section.line("engine to batched floor", floor / took, "×");
    report.add(section);
    Ok(())
}
