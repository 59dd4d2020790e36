//! G26: a dump that is taken in the middle of everything, restored beside it: what had been accepted is there, goes on to
//! its end, and nothing that is recorded in it is done again.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    arena::Arena,
    chaos,
    checks::Evidence,
    faults::{Breaker, Fault},
    load::{Load, under_way},
    outside::Call,
    processes::{Fleet, Settings},
    report::Part,
    snapshot::Snapshot,
};

/// The database that the dump becomes.
const RESTORED: &str = "restored";

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let mut part = Part::new("a dump in the middle, restored");
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 6);
    load.begin(Duration::from_millis(arena.extent.pace_ms), arena.tables.clone());
    tokio::time::sleep(Duration::from_secs(if arena.options.short { 3 } else { 20 })).await;
    let mut breaker = Breaker::new(arena.clone(), arena.client.clone(), arena.options.seed + 6);
    breaker.perform(Fault::KillAtCall, &mut part).await;
    let accepted = arena.client.started_since(begun);
    let dumped_at = Instant::now();
    let (file, ()) = tokio::join!(arena.postgres.dump("moment"), breaker.perform(Fault::KillAtAnswer, &mut part));
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(120)).await;
    breaker.finish(&mut part).await;
    chaos::check(arena, &[&load], begun, &mut part).await;
    arena.fleet.kill_all().await;
    arena.postgres.restore(&file, RESTORED).await;
    let tables = arena.postgres.operator(RESTORED).await;
    let before = Snapshot::read(&tables, arena.place.org).await;
    let until = arena.outside.calls().len();
    let settings = Settings { database_url: arena.postgres.url(RESTORED), ..arena.settings.clone() };
    let fleet = Arc::new(Fleet::new(settings, &["all", "all"]));
    fleet.start_all().await;
    part.fault("restore");
    let restarted = Instant::now();
    // Whoever was to decide has decided in the other world: here nobody does, and those runs wait.
    while restarted.elapsed() < Duration::from_secs(90) && busy(&tables).await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let after = Snapshot::read(&tables, arena.place.org).await;
    let calls = arena.outside.calls();
    let waits: BTreeSet<String> =
        after.runs.iter().filter(|(_, row)| row.state == "waiting").map(|(run, _)| run.clone()).collect();
    let started = accepted.into_iter().filter(|(run, _)| !waits.contains(run)).collect();
    let cancelled = load.cancels().into_iter().map(|cancel| cancel.run).collect();
    // What was called between the dump and the restore belongs to the other world, unless the dump has its result: it
    // shows a moment a little later than the one at which it was asked for.
    let is_in_dump = |call: &&Call| {
        let step = call.key.split_once('/').and_then(|(run, step)| before.step(run, step));
        step.is_some_and(|row| row.state == "succeeded")
    };
    let ours: Vec<_> = calls
        .iter()
        .take(until)
        .filter(|call| call.at < dumped_at || is_in_dump(call))
        .chain(calls.iter().skip(until))
        .cloned()
        .collect();
    let evidence = Evidence {
        started: &started,
        tables: &after,
        calls: &ours,
        answers: &calls,
        cancelled: &cancelled,
        crashes: 2,
    };
    evidence.check(&mut part);
    let mut again = 0;
    for call in calls.iter().skip(until) {
        let Some((run, step)) = call.key.split_once('/') else { continue };
        again += usize::from(before.step(run, step).is_some_and(|row| row.state == "succeeded"));
    }
    let open = before.runs.values().filter(|row| !row.is_end()).count();
    part.note(
        "G26",
        format!(
            "runs in the dump {}, open {open}, waiting for a person {}; recorded steps done again {again}",
            before.runs.len(),
            waits.len()
        ),
    );
    part.find_if(again > 0, "G26", || format!("{again} steps that the dump has were done again"));
    fleet.kill_all().await;
    arena.fleet.start_all().await;
    part.find_if(under_way(&arena.tables).await != Some(0), "G26", || "the first world has open runs".to_owned());
    part
}

/// Whether runs are at work or will be by themselves.
async fn busy(tables: &sqlx::PgPool) -> bool {
    let busy: Result<bool, _> = sqlx::query_scalar(
        "select exists (select from runs where state not in ('succeeded', 'failed', 'cancelled')
                           and not (state = 'waiting' and waiting_on = 'approval'))",
    )
    .fetch_one(tables)
    .await;
    busy.unwrap_or(true)
}
