//! G25: the server of the commit before the newest change of the schema goes on beside this one, on the changed schema,
//! and is replaced under load, one process after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    arena::Arena,
    chaos,
    faults::{Breaker, Fault},
    load::Load,
    report::Part,
};

/// The process of this version; the others are of the former one at first.
const NEW: usize = 2;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let mut part = Part::new("the version before and this one, side by side");
    let Some(former) = arena.options.former.clone() else {
        println!("  G25 is left out: the version before is not there (its commit, or its build)");
        return part;
    };
    let fleet = arena.other_fleet("versions", &["all", "all", "all"]).await;
    let olds: Vec<usize> = (0..fleet.count()).filter(|place| *place != NEW).collect();
    for place in &olds {
        fleet.set_binary(*place, Some(former.clone()));
        assert!(fleet.start(*place).await, "the version before does not start");
    }
    // Changes the schema under the others.
    assert!(fleet.start(NEW).await, "this version does not start beside the one before");
    let here = arena.elsewhere("versions", fleet).await;
    let begun = Instant::now();
    let load = Load::new(here.client.clone(), here.options.seed + 9);
    load.begin(Duration::from_millis(here.extent.pace_ms), here.tables.clone());
    let beside = Duration::from_secs(here.extent.beside_s);
    tokio::time::sleep(beside).await;
    // Whatever one of them leaves, the other takes up. The former one does not start on a newer schema: who is killed
    // comes back as this version.
    olds.iter().for_each(|place| here.fleet.set_binary(*place, None));
    let mut breaker = Breaker::new(here.clone(), here.client.clone(), here.options.seed + 9);
    breaker.perform(Fault::KillAtCall, &mut part).await;
    breaker.perform(Fault::KillAtAnswer, &mut part).await;
    let replaced = olds.len();
    for place in olds {
        here.fleet.signal(place, Signal::TERM);
        let ended = here.fleet.ended(place, Duration::from_secs(35)).await;
        part.find_if(!ended.is_some_and(|status| status.success()), "G14", || format!("it ended with {ended:?}"));
        part.fault("replaced by this version");
        assert!(here.fleet.start(place).await, "this version does not start");
        tokio::time::sleep(beside / 3).await;
    }
    load.come_to_rest(&mut part, &here.tables, Duration::from_secs(120)).await;
    breaker.finish(&mut part).await;
    let runs = here.client.started_since(begun).len();
    part.note("G25", format!("runs {runs} while two versions were at work, processes replaced under them {replaced}"));
    chaos::check(&here, &[&load], begun, &mut part).await;
    arena.return_from(&here).await;
    part
}
