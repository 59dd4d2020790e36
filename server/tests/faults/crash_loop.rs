//! G19 and G12: a process that lives for two seconds at a time, and no other. What is recorded stays, and nobody's retries
//! are used up; a deadline that passed while nobody lived is kept at the next boot.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use serde_json::json;
use sqlx::PgPool;

use crate::{arena::Arena, chaos, load::Load, options::Dice, place::Shape, processes::REAPER_MS, report::Part};

/// How long each boot lasts.
const BOOT: Duration = Duration::from_secs(2);

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let (boots, waiting) = arena.extent.boots;
    let mut part = Part::new(&format!("{boots} boots of two seconds, {waiting} runs"));
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 4);
    let mut dice = Dice::new(arena.options.seed, 60);
    // Half of them wait and wake up in the middle of it, one after the other.
    let starts = (0..waiting).map(|number| {
        let shape = if number % 2 == 0 {
            Shape::Wait
        } else {
            dice.pick(&[Shape::Chain, Shape::Agent, Shape::Map, Shape::Flaky])
        };
        (number, shape, json!({ "seconds": 2 + dice.below(boots * 2) }), dice.clone())
    });
    let starts: Vec<_> = starts.collect();
    stream::iter(starts)
        .for_each_concurrent(24, |(number, shape, input, mut dice)| async move {
            arena.client.start_with(shape, &format!("loop-{number}"), &input, &mut dice).await;
        })
        .await;
    arena.fleet.kill_all().await;
    let mut known = recorded(&arena.tables).await;
    let mut back = 0;
    let mut progress = Vec::new();
    for _ in 0..boots {
        let boot = Instant::now();
        tokio::select! {
            _ = arena.fleet.start(0) => tokio::time::sleep(BOOT.saturating_sub(boot.elapsed())).await,
            () = tokio::time::sleep(BOOT) => {}
        }
        arena.fleet.kill(0).await;
        part.fault("kill after two seconds");
        let now = recorded(&arena.tables).await;
        back += known.difference(&now).count();
        progress.push(now.len());
        known = now;
    }
    part.note("G19", format!("steps recorded after each boot {progress:?}, taken back {back}"));
    part.find_if(back > 0, "G19", || format!("{back} recorded steps were not recorded any more"));
    deadline(arena, &mut part, &mut dice).await;
    arena.fleet.start_all().await;
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(120)).await;
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}

/// A deadline of four seconds, and nobody there from the first second to the tenth.
async fn deadline(arena: &Arc<Arena>, part: &mut Part, dice: &mut Dice) {
    arena.fleet.start(0).await;
    let input = json!({ "seconds": 1 });
    let run = arena.client.start_with(Shape::Late, "late", &input, dice).await.unwrap_or_default();
    tokio::time::sleep(Duration::from_secs(1)).await;
    arena.fleet.kill(0).await;
    part.fault("kill before a deadline");
    tokio::time::sleep(Duration::from_secs(9)).await;
    arena.fleet.start(0).await;
    let booted = Instant::now();
    while booted.elapsed() < Duration::from_secs(30) {
        let id: agentflow::kernel::RunId = run.parse().expect("a run's id");
        let state: Option<String> = sqlx::query_scalar("select state from runs where id = $1")
            .bind(id.uuid())
            .fetch_one(&arena.tables)
            .await
            .ok();
        if state.as_deref() == Some("failed") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = booted.elapsed().as_millis() as u64;
    part.note("G12", format!("a deadline that passed while nobody lived was kept {took} ms after the boot"));
    part.find_if(took > REAPER_MS + 1_000, "G12", || format!("the deadline was noticed {took} ms after the boot"));
}

/// The steps whose result is recorded.
async fn recorded(tables: &PgPool) -> BTreeSet<(uuid::Uuid, String)> {
    sqlx::query_as("select run_id, id from steps where state = 'succeeded'")
        .fetch_all(tables)
        .await
        .expect("the steps")
        .into_iter()
        .collect()
}
