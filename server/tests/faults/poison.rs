//! G18: a step that takes its process down at every attempt, among good ones. The tool server has the caller killed
//! while its call is under way: for the engine the same as a tool that aborts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    arena::Arena,
    chaos,
    load::{Load, under_way},
    options::Dice,
    place::Shape,
    report::Part,
    snapshot::Snapshot,
};

/// How often a step may take its process down.
const MOST: usize = 3;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let good = arena.extent.good;
    let mut part = Part::new(&format!("a poisonous step among {good} good runs"));
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 3);
    let mut dice = Dice::new(arena.options.seed, 50);
    drop(arena.outside.take_sprung());
    let mut poison = String::new();
    for number in 0..=good {
        let (shape, token) = match number == good / 2 {
            true => (Shape::Poison, "poison".to_owned()),
            false => (dice.pick(&[Shape::Chain, Shape::Map, Shape::Agent]), format!("good-{number}")),
        };
        let run = arena.client.start(shape, &token, &mut dice).await.unwrap_or_default();
        if shape == Shape::Poison {
            poison = run;
        }
    }
    let mut crashes = 0;
    while begun.elapsed() < Duration::from_secs(120) && under_way(&arena.tables).await != Some(0) {
        for sprung in arena.outside.take_sprung() {
            crashes += 1;
            part.fault("kill by a step");
            if crashes < 20 {
                arena.fleet.start(sprung.place).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    arena.fleet.start_all().await;
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(30)).await;
    let tables = Snapshot::read(&arena.tables, arena.place.org).await;
    let done = arena.client.started_since(begun);
    let done = done.keys().filter(|run| tables.runs.get(*run).is_some_and(|row| row.state == "succeeded")).count();
    let error = tables.runs.get(&poison).and_then(|row| row.error.clone()).unwrap_or_default();
    part.note(
        "G18",
        format!("crashes {crashes}, the poisonous run: {}, good runs done {done} of {good}", error["class"]),
    );
    part.find_if(crashes > MOST, "G18", || format!("the step took its process down {crashes} times"));
    part.find_if(error["class"] != "poison", "G18", || format!("the poisonous run ended with {error}"));
    part.find_if(done < good, "G18", || format!("{} good runs were not done", good - done));
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}
