//! `log_100k`: a run with a very long log, in which exactly so many lines hold the word "timeout". No tool writes lines of
//! its own choice, so no workflow makes it.

use agentflow::{
    engine::{
        journal::{Event, LogLevel},
        state::{StepId, StepKind},
    },
    kernel::RunId,
};
use serde_json::{Value, json};

use super::{
    dice::Dice,
    ground::Ground,
    hand::{End, Hand, Page},
};
use crate::startup::Trouble;

const GRAPH: &str = include_str!("graphs/log.yaml");

/// The word that is searched for. No other line holds it, in whatever case.
pub const TERM: &str = "timeout";
/// Lines of one commit.
const LINES: usize = 500;
/// The steps that the lines are about, as in the graph.
const STEPS: [(&str, &str); 4] = [
    ("fetch", "Fetch the orders"),
    ("match", "Match the payments"),
    ("ship", "Book the parcels"),
    ("tell", "Tell the customers"),
];
const HOSTS: [&str; 5] = ["eu-1", "eu-2", "us-1", "us-2", "ap-1"];

/// A run with so many lines, of which so many hold [`TERM`].
pub async fn make(ground: &Ground, seed: u64, lines: usize, matching: usize) -> Result<RunId, Trouble> {
    let mut dice = Dice::new(seed, "log_100k");
    let workflow = ground.workflow(GRAPH).await?;
    let mut hand = Hand::new(ground.ctx()).await?;
    let title = format!("A log of {lines} lines");
    let mut story = hand.begin(workflow, &title, json!({ "lines": lines })).await?;
    let choice = dice.choose(matching, lines);
    let mut page = Page::default();
    let mut written = 0;
    for (place, (key, name)) in STEPS.into_iter().enumerate() {
        let id = StepId::root(key);
        let mut step = story.step(id.clone(), StepKind::Transform, name);
        page.begins(&step);
        let end = lines * (place + 1) / STEPS.len();
        for (number, matches) in choice.iter().enumerate().take(end).skip(written) {
            let (level, message) = if *matches { slow(&mut dice) } else { usual(&mut dice, number) };
            page.events.push(Event::Log { level, step: Some(id.clone()), message, fields: Value::Null });
            if page.events.len() >= LINES {
                hand.write(&mut story, std::mem::take(&mut page)).await?;
            }
        }
        let count = end - written;
        written = end;
        page.succeeds(&mut step, json!({ "lines": count }));
        hand.write(&mut story, std::mem::take(&mut page)).await?;
    }
    let run = hand.end(story, page, End::Succeeded(json!({ "lines": lines }))).await?;
    hand.retire().await?;
    Ok(run)
}

/// A line with the term.
fn slow(dice: &mut Dice) -> (LogLevel, String) {
    let (host, order) = (dice.pick(&HOSTS), order(dice));
    let ms = 5_000 + dice.below(25_000);
    match dice.below(3) {
        0 => (LogLevel::Error, format!("order {order}: timeout after {ms} ms at {host}, given up")),
        1 => (LogLevel::Warn, format!("{host} did not answer order {order}: timeout, trying again")),
        _ => (LogLevel::Warn, json!({ "host": host, "order": order, "error": "timeout", "ms": ms }).to_string()),
    }
}

/// A line without it: plain, with colours, or as JSON.
fn usual(dice: &mut Dice, number: usize) -> (LogLevel, String) {
    let (host, order) = (dice.pick(&HOSTS), order(dice));
    let ms = 4 + dice.below(900);
    match dice.weighted(&[40, 25, 15, 12, 5, 3]) {
        0 => (LogLevel::Info, format!("order {order} done at {host} in {ms} ms")),
        1 => (LogLevel::Debug, format!("record {number}: {} bytes read from {host}", 200 + dice.below(9_000))),
        2 => (LogLevel::Info, json!({ "host": host, "order": order, "state": "done", "ms": ms }).to_string()),
        3 => (LogLevel::Info, format!("\u{1b}[32mok\u{1b}[0m order {order} \u{1b}[2m({host}, {ms} ms)\u{1b}[0m")),
        4 => (LogLevel::Warn, format!("order {order}: the address has no house number, taken as it is")),
        _ => (LogLevel::Error, format!("order {order}: {host} refused it with the status {}", 500 + dice.below(4))),
    }
}

fn order(dice: &mut Dice) -> String {
    format!("A-{}", 100_000 + dice.below(900_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_are_to_match_do() {
        let mut dice = Dice::new(9, "lines");
        for number in 0..5_000 {
            let (_, with) = slow(&mut dice);
            let (_, without) = usual(&mut dice, number);
            assert!(with.contains(TERM), "{with}");
            assert!(!without.to_lowercase().contains(TERM), "{without}");
        }
        assert!(STEPS.iter().all(|(key, name)| !format!("{key} {name}").to_lowercase().contains(TERM)));
    }
}
