//! W3: how long one run takes while nothing else does, beside the same rows written by hand with a commit per step.

use std::time::{Duration, Instant};

use agentflow::{engine::store as engine, kernel::RunId};

use super::{
    Options,
    effects::Manner,
    floor::{self, Recorded},
    graphs,
    node::Node,
    place::{Place, said},
    report::{Aim, Report, Section, Times},
    store,
};
use crate::startup::Trouble;

/// Steps of a run.
const STEPS: usize = 3;
/// Between two runs: then nothing of the last one is under way.
const PAUSE: Duration = Duration::from_millis(3);

/// Until the first step begins, and until the run is done.
#[derive(Default)]
struct Samples {
    first: Vec<Duration>,
    done: Vec<Duration>,
}

/// Measures the engine and the floor in turn, run by run.
pub async fn measure(place: &Place, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    let plan = graphs::chain(STEPS)?;
    let node = Node::start(place, Manner::AtOnce).await?;
    let shown = place.new_run(&plan);
    let mut ended = 0;
    let mut of_engine = Samples::default();
    let mut of_floor = Samples::default();
    let text = serde_json::to_string(&plan).unwrap_or_default();
    let mut recorded = None;
    let floor_pool = place.connect().await?;
    floor::warm(floor_pool.engine()).await?;
    let owner = store::floor_node(floor_pool.engine()).await?;
    for round in 0..options.size(300) + 10 {
        let mut run = place.new_run(&plan);
        if round == 0 {
            run.id = shown.id;
        }
        let begun = Instant::now();
        let mut tx = node.db.tenant(place.org).await.map_err(said)?;
        let fresh = engine::start_run(&mut tx, &run, node.engine.begin(place.org, &run)).await.map_err(said)?;
        tx.commit().await.map_err(said)?;
        node.engine.started(place.org, run.id, fresh);
        ended += 1;
        node.watch.succeeded(ended).await?;
        // The first ones warm the connections.
        if round >= 10 {
            let since = |moment: Option<Instant>| moment.map(|moment| moment - begun).unwrap_or_default();
            of_engine.first.push(since(node.steps.begun(run.id)));
            of_engine.done.push(since(node.watch.ended(run.id)));
        }
        tokio::time::sleep(PAUSE).await;
        if recorded.is_none() {
            recorded = Some(Recorded::read(place, shown.id).await?);
        }
        let Some(recorded) = &recorded else { continue };
        let begun = Instant::now();
        let copy = RunId::new();
        store::start(floor_pool.engine(), place.org, shown.id, copy, &text).await?;
        for (number, part) in recorded.commits.iter().enumerate() {
            store::write(floor_pool.engine(), place.org, owner, part, &[copy]).await?;
            if number == 0 && round >= 10 {
                of_floor.first.push(begun.elapsed());
            }
        }
        if round >= 10 {
            of_floor.done.push(begun.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
    store::forget(floor_pool.engine(), owner).await?;
    floor_pool.close().await;
    node.stop().await;
    tell(of_engine, of_floor, report);
    Ok(())
}

fn tell(engine: Samples, floor: Samples, report: &mut Report) {
    let about = format!("one run of {STEPS} steps at a time; the floor commits once per step, and once for the start");
    let mut section = Section::new("w3", about);
    let (first, done) = (Times::new(engine.first), Times::new(engine.done));
    let (floor_first, floor_done) = (Times::new(floor.first), Times::new(floor.done));
    section.times("start → first step begins", &first);
    section.times("start → done", &done);
    section.times("floor, first step", &floor_first);
    section.times("floor, done", &floor_done);
    section.aim("first step, p50 to the floor's", first.at(0.5) / floor_first.at(0.5), "×", Aim::AtMost(1.0));
    section.aim("done, p50 to the floor's", done.at(0.5) / floor_done.at(0.5), "×", Aim::AtMost(1.25));
    section.aim("done, p99 to p50", done.at(0.99) / done.at(0.5), "×", Aim::AtMost(3.0));
    report.add(section);
}
