//! One process that only answers, and two that only work: every run is worked on and followed all the same, whoever is
//! killed, and the one that answers owns none.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    arena::Arena,
    chaos,
    faults::{Breaker, Fault, owned_by},
    load::Load,
    report::Part,
};

/// The process that only answers.
const WEB: usize = 0;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let mut part = Part::new("a process that answers beside two that work");
    let fleet = arena.other_fleet("roles", &["web", "worker", "worker"]).await;
    assert!(fleet.start_all().await, "the processes do not start");
    let here = arena.elsewhere("roles", fleet).await;
    let begun = Instant::now();
    let load = Load::new(here.client.clone(), here.options.seed + 8);
    load.begin(Duration::from_millis(here.extent.pace_ms), here.tables.clone());
    let mut breaker = Breaker::new(here.clone(), here.client.clone(), here.options.seed + 8);
    let mut owned = 0;
    while begun.elapsed() < Duration::from_secs(here.extent.beside_s) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        breaker.perform(Fault::KillAtCall, &mut part).await;
        owned += owned_by(&here.tables, &format!("slot{WEB}:%")).await.unwrap_or(0);
    }
    load.come_to_rest(&mut part, &here.tables, Duration::from_secs(120)).await;
    breaker.finish(&mut part).await;
    part.find_if(owned > 0, "G7", || format!("the process that only answers owned {owned} runs"));
    chaos::check(&here, &[&load], begun, &mut part).await;
    arena.return_from(&here).await;
    part
}
