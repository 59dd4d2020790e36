//! G9: many decide one approval at the same moment, at all processes, while processes are killed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

use crate::{
    arena::Arena,
    chaos,
    faults::{Breaker, Fault},
    load::{Load, under_way},
    options::Dice,
    place::Shape,
    report::Part,
};

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let (count, deciders) = arena.extent.approvals;
    let mut part = Part::new(&format!("{count} approvals, {deciders} deciders each"));
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 1);
    tokio::spawn(load.clone().keep_deciding(deciders));
    let seed = arena.options.seed;
    let starting = {
        let arena = arena.clone();
        tokio::spawn(async move {
            stream::iter(0..count)
                .for_each_concurrent(4, |number| {
                    let arena = arena.clone();
                    async move {
                        let mut dice = Dice::new(seed, 30_000 + number as u64);
                        let shape = if number % 3 == 0 { Shape::Approval } else { Shape::Gate };
                        arena.client.start(shape, &format!("gate-{number}"), &mut dice).await;
                        // Not all at once: thirty-two people come to each.
                        while under_way(&arena.tables).await.is_none_or(|open| open > 12) {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                })
                .await;
        })
    };
    let mut breaker = Breaker::new(arena.clone(), arena.client.clone(), seed + 1);
    while !starting.is_finished() {
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        breaker.perform(Fault::Kill, &mut part).await;
    }
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(120)).await;
    breaker.finish(&mut part).await;
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}
