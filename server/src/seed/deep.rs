//! `run_deep`: steps in steps in steps, and the innermost one fails. Groups nest four deep and agents ask three deep, so no
//! workflow makes it.

use agentflow::{
    engine::{
        journal::{Event, LogLevel},
        state::{ErrorClass, StepError, StepId, StepKind},
    },
    kernel::RunId,
};
use serde_json::json;

use super::{
    dice::Dice,
    ground::Ground,
    hand::{End, Hand, Page},
};
use crate::startup::Trouble;

const GRAPH: &str = include_str!("graphs/deep.yaml");

/// What somebody passes on, for the names of levels.
const MATTERS: [&str; 8] = [
    "the yearly report",
    "the contract with the carrier",
    "a complaint about order 4812",
    "the move of the warehouse",
    "the audit of the travel costs",
    "the price list for the north",
    "the recall of the lamps",
    "the offer to the city",
];
const DEEDS: [&str; 6] = ["Review", "Split up", "Check", "Pass on", "Summarize", "Compare"];

/// A run whose steps nest so deep, and that fails at the bottom.
pub async fn make(ground: &Ground, seed: u64, levels: usize) -> Result<RunId, Trouble> {
    let mut dice = Dice::new(seed, "run_deep");
    let workflow = ground.workflow(GRAPH).await?;
    let mut hand = Hand::new(ground.ctx()).await?;
    let title = format!("{levels} levels of delegation");
    let mut story = hand.begin(workflow, &title, json!({ "levels": levels })).await?;
    let mut open = Vec::new();
    let mut id = StepId::root("level1");
    for level in 1..=levels.max(1) {
        if level > 1 {
            id = id.child(format_args!("level{level}"));
        }
        let kind = if level == levels { StepKind::Tool } else { StepKind::Agent };
        let name = format!("Level {level}: {} {}", dice.pick(&DEEDS).to_lowercase(), dice.pick(&MATTERS));
        let mut step = story.step(id.clone(), kind, name);
        step.input = Some(json!({ "level": level, "ticket": 1_000 + dice.below(9_000) }));
        step.detail.about = Some(format!("level {level} of {levels}"));
        let mut page = Page::default();
        page.begins(&step);
        page.events.push(Event::Log {
            level: LogLevel::Info,
            step: Some(id.clone()),
            message: format!("Level {level} of {levels} begins."),
            fields: json!(null),
        });
        hand.write(&mut story, page).await?;
        open.push(step);
    }
    let message = "The archive answered with the status 503: it is being moved.";
    let cause = StepError::new(ErrorClass::Unavailable, "http.status_503", message);
    let mut page = Page::default();
    while let Some(mut step) = open.pop() {
        let own = cause.clone();
        let error = if step.id == id { own } else { StepError { caused_by: Some(id.clone()), ..own } };
        page.fails(&mut step, error);
        if !open.is_empty() {
            hand.write(&mut story, std::mem::take(&mut page)).await?;
        }
    }
    let error = StepError { caused_by: Some(id), ..cause };
    let run = hand.end(story, page, End::Failed(error)).await?;
    hand.retire().await?;
    Ok(run)
}
