//! G11: runs are stopped at any moment, through any process, also at the moment of their end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

use crate::{
    arena::Arena,
    chaos,
    load::Load,
    options::Dice,
    place::Shape,
    report::{Part, quantiles},
};

/// How long a call that is under way may go on after a stop was confirmed.
const ABORT: Duration = Duration::from_secs(2);

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let count = arena.extent.cancels;
    let mut part = Part::new(&format!("{count} runs that are stopped"));
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 2);
    let seed = arena.options.seed;
    stream::iter(0..count)
        .for_each_concurrent(8, |number| {
            let load = load.clone();
            async move {
                let mut dice = Dice::new(seed, 40_000 + number as u64);
                let shape = dice.pick(&[Shape::Slow, Shape::Slow, Shape::Chain, Shape::Map, Shape::Wait]);
                let Some(run) = load.client.start(shape, &format!("stop-{number}"), &mut dice).await else { return };
                load.readers.follow(&load.client, &run, dice.clone(), true);
                tokio::time::sleep(dice.millis(0, 1_200)).await;
                load.cancel(&run, &mut dice).await;
            }
        })
        .await;
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(60)).await;
    check_aborts(arena, &load, &mut part);
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}

/// Calls under way are dropped soon, and none comes later.
fn check_aborts(arena: &Arena, load: &Load, part: &mut Part) {
    let calls = arena.outside.calls();
    let mut aborts = Vec::new();
    for cancel in load.cancels() {
        let Some(confirmed) = cancel.confirmed else { continue };
        for call in calls.iter().filter(|call| call.run() == cancel.run) {
            part.find_if(call.at > confirmed + ABORT, "G11", || format!("{} was called long after the stop", call.key));
            let end = call.dropped.or(call.answered.map(|(_, at)| at));
            match end {
                Some(end) if end > confirmed => {
                    aborts.push(u64::try_from((end - confirmed).as_millis()).unwrap_or(u64::MAX));
                }
                Some(_) => {}
                None => part.find("G11", format!("{} goes on although its run was stopped", call.key)),
            }
        }
    }
    let late = aborts.iter().filter(|ms| **ms > ABORT.as_millis() as u64).count();
    part.find_if(late > 0, "G11", || format!("{late} calls went on for more than two seconds"));
    part.note("G11", format!("calls under way ended after the confirmation: {}", quantiles(&aborts)));
}
