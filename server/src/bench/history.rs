//! Whether a run costs the same beside many old events as in empty tables.

use super::{
    Options,
    cluster::Cluster,
    graphs,
    place::Place,
    report::{Aim, Report, Section},
    store,
    throughput::rounds,
};
use crate::startup::Trouble;

/// Measures W1, fills the tables, and measures it again.
pub async fn measure(cluster: &Cluster, place: &Place, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    let (runs, events) = (options.size(500), options.old_events);
    let about = format!("{runs} runs of 5 steps beside {events} events of ended runs, against tables without them");
    let mut section = Section::new("history", about);
    let plan = graphs::chain(5)?;
    let empty = rounds(place, &plan, runs, options.repeat()).await?;
    eprintln!("writing {events} old events");
    store::fill(&cluster.superuser_url(), place.org, events).await?;
    let full = rounds(place, &plan, runs, options.repeat()).await?;
    let cost = |seconds: f64| seconds * 1_000_000.0 / runs as f64;
    section.line("a run in empty tables", cost(empty.engine()), "µs");
    section.line("a run beside them", cost(full.engine()), "µs");
    section.aim("cost beside them to cost without", full.engine() / empty.engine(), "×", Aim::AtMost(1.1));
    section.line("engine to batched floor, without", empty.of_batched(), "×");
    section.line("engine to batched floor, beside them", full.of_batched(), "×");
    report.add(section);
    Ok(())
}
