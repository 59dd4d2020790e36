//! The main part: all shapes of runs under all faults.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    arena::{Arena, OrphanWatch},
    checks::{self, Evidence},
    client::{Client, Request},
    faults::{Breaker, schedule},
    load::Load,
    report::Part,
    snapshot::Snapshot,
};

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let mut part = Part::new("runs of all shapes under all faults");
    let begun = Instant::now();
    let client = arena.client.clone();
    let load = Load::new(client.clone(), arena.options.seed);
    let watch = OrphanWatch::begin(arena);
    load.begin(Duration::from_millis(arena.extent.pace_ms), arena.tables.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut breaker = Breaker::new(arena.clone(), client.clone(), arena.options.seed);
    for (pause, fault) in schedule(&arena.extent, arena.options.seed, !arena.options.short) {
        if begun.elapsed() > Duration::from_secs(arena.extent.seconds) {
            break;
        }
        tokio::time::sleep(pause).await;
        breaker.perform(fault, &mut part).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(120)).await;
    breaker.finish(&mut part).await;
    watch.end(&mut part, &arena.tables).await;
    check(arena, &[&load], begun, &mut part).await;
    if let Some(file) = &arena.options.record {
        crate::record::write(arena, file).await;
    }
    part
}

/// Everything that is checked of loads that have come to rest.
pub async fn check(arena: &Arena, loads: &[&Arc<Load>], begun: Instant, part: &mut Part) {
    let (client, started) = (&arena.client, arena.client.started_since(begun));
    let tables = Snapshot::read(&arena.tables, arena.place.org).await;
    let calls = arena.outside.calls();
    let cancelled = loads.iter().flat_map(|load| load.check_cancels(part, &tables)).collect();
    let crashes = part.faults.values().sum();
    let evidence =
        Evidence { started: &started, tables: &tables, calls: &calls, answers: &calls, cancelled: &cancelled, crashes };
    evidence.check(part);
    let several = client.answers().values().filter(|runs| runs.len() > 1).count();
    part.find_if(several > 0, "G2", || format!("{several} keys were answered with more than one run"));
    part.note("G2", format!("keys {}, with more than one run {several}", client.answers().len()));
    let strangers = tables.runs.keys().filter(|run| !client.knows(run)).count();
    part.doubled += strangers;
    part.find_if(strangers > 0, "G16", || format!("{strangers} runs that nobody was told of"));
    for load in loads {
        load.check_decisions(part, &tables, &calls);
        checks::streams(part, &load.readers.readings(), &tables);
    }
    same_everywhere(arena, client, &tables, part).await;
    let tally = client.take_tally();
    part.offered = (tally.offered, tally.served);
    part.note(
        "G15",
        format!("told to come again {}, the slowest after {} ms", tally.unavailable, tally.slowest_refusal.as_millis()),
    );
    part.find_if(tally.slowest_refusal > Duration::from_millis(5_500), "G15", || {
        format!("an answer that the database is away took {} ms", tally.slowest_refusal.as_millis())
    });
    part.find_if(tally.served * 100 < tally.offered * 95, "G1", || {
        format!("only {} of {} requests between faults were served", tally.served, tally.offered)
    });
    for strange in tally.strange.iter().take(5) {
        part.find("G15", format!("a strange answer: {strange}"));
    }
}

/// G4: the API of each process says what the table says.
async fn same_everywhere(arena: &Arena, client: &Client, tables: &Snapshot, part: &mut Part) {
    let (mut compared, mut conflicts) = (0, 0);
    let step = (tables.runs.len() / 150).max(1);
    for (run, row) in tables.runs.iter().step_by(step) {
        for place in arena.fleet.serving() {
            let request = Request::get(format!("/api/v1/runs/{run}?full=true"));
            let reply = client.send(place, &arena.place.keys[0], request).await;
            let output = reply.body.get("output").cloned().unwrap_or_default();
            let same = reply.status == Some(200)
                && reply.body["state"] == row.state
                && output == row.output.clone().unwrap_or_default();
            compared += 1;
            conflicts += usize::from(!same);
            part.find_if(!same, "G4", || {
                format!("{run}: process {place} says {:?}, the table another thing", reply.status)
            });
        }
    }
    part.conflicting += conflicts;
    part.note("G4", format!("answers of the API compared with the table {compared}, conflicting {conflicts}"));
}
