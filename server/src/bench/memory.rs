//! What runs cost in this process's memory.

use std::time::Duration;

use super::{
    Options,
    effects::Manner,
    graphs,
    node::Node,
    place::Place,
    report::{Aim, Report, Section},
    store,
};
use crate::startup::Trouble;

/// Measures waiting runs, then running ones.
pub async fn measure(place: &Place, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    let (waiting, running) = (options.size(100_000), options.size(500));
    let mut section = Section::new(
        "memory",
        "resident memory of this process, server and benchmark together; only alone (`bench memory`) does it say what a \
                 run costs, since memory that earlier workloads gave back is used again",
    );
    let node = Node::start(place, Manner::Never).await?;
    let before = resident_kib();
    let first = place.submit(&graphs::sleeper()?, 1).await?;
    node.engine.committed(place.org, first[0]);
    node.watch.waiting(1).await?;
    store::copy_waiting(place.db().engine(), place.org, first[0], waiting).await?;
    // The node looks for work a few times meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let with_waiting = resident_kib();
    section.line(format!("per run, {waiting} that wait"), (with_waiting - before) * 1_024.0 / waiting as f64, "bytes");
    section.aim("all of it then", with_waiting / 1_024.0, "MiB", Aim::AtMost(512.0));
    let runs = place.submit(&graphs::chain(5)?, running).await?;
    for run in &runs {
        node.engine.committed(place.org, *run);
    }
    let calls = running.min(place.state.config.engine.max_calls);
    while node.steps.count() < calls || node.engine.counters().decisions.get() < running as u64 + 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    section.line(format!("per run, {running} at work"), (resident_kib() - with_waiting) / running as f64, "KiB");
    node.stop().await;
    store::end_all(place.db().engine(), place.org).await?;
    report.add(section);
    Ok(())
}

/// The resident memory of this process; 0 where the system does not say.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or_default()
}
