//! `run_30k` and `run_loop400`: large runs of real workflows, by the real engine.

use agentflow::{
    engine::state::RunState,
    kernel::{RunId, WorkflowId},
};
use serde_json::{Value, json};

use super::{dice::Dice, ground::Ground};
use crate::startup::Trouble;

const MANY: &str = include_str!("graphs/many.yaml");
const ITEMS: &str = include_str!("graphs/items.yaml");

/// The maps of the graph, side by side.
const MAPS: usize = 4;
/// The steps of one item: itself, and two calls.
const OF_ITEM: usize = 3;
/// The steps besides: the start, the maps, the end.
const BESIDES: usize = MAPS + 2;

/// A run of about so many steps, and exactly so many where they can be shared out to the items. Some calls fail.
pub async fn many_steps(ground: &Ground, seed: u64, steps: usize, failing: usize) -> Result<RunId, Trouble> {
    let mut dice = Dice::new(seed, "run_30k");
    let workflow = ground.workflow(MANY).await?;
    let items = steps.saturating_sub(BESIDES).div_ceil(OF_ITEM).max(MAPS);
    let first = |map: usize| items * map / MAPS + 1;
    let sizes: Vec<usize> = (0..MAPS).map(|map| first(map + 1) - first(map)).collect();
    let from: Vec<usize> = (0..MAPS).map(first).collect();
    let choice = dice.choose(failing, items);
    let broken: Vec<usize> = (1..=items).filter(|number| choice[number - 1]).collect();
    let steps = items * OF_ITEM + BESIDES;
    let input = json!({ "steps": steps, "sizes": sizes, "from": from, "broken": broken });
    run(ground, workflow, input).await
}

/// A run that works on each of so many items, of which so many fail.
pub async fn items(ground: &Ground, seed: u64, count: usize, failing: usize) -> Result<RunId, Trouble> {
    let mut dice = Dice::new(seed, "run_loop400");
    let workflow = ground.workflow(ITEMS).await?;
    let choice = dice.choose(failing, count);
    let items: Vec<_> = choice
        .into_iter()
        .map(|fails| {
            json!({
                "order": format!("A-{}", 1_000 + dice.below(9_000)),
                "amount": 10 + dice.below(990),
                // Shared among nobody: that has no result.
                "parts": if fails { 0 } else { 1 + dice.below(9) },
            })
        })
        .collect();
    run(ground, workflow, json!({ "count": count, "items": items })).await
}

async fn run(ground: &Ground, workflow: WorkflowId, input: Value) -> Result<RunId, Trouble> {
    let works = ground.engine().await?;
    let done = async {
        let run = ground.start(workflow, input, false).await?;
        ground.until(run, RunState::Succeeded).await?;
        Ok(run)
    };
    let done = done.await;
    works.stop().await;
    done
}
