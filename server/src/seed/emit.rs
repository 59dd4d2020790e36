//! `emit`: a run that goes on and says something so many times a second, for measuring how long an event takes to a screen.
//! Each event is stamped by the database's clock when it is committed, as all events are.

use std::time::Duration;

use agentflow::{
    engine::{
        journal::{Event, LogLevel},
        machine::Step,
        state::{StepId, StepKind},
    },
    kernel::RunId,
};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    ground::Ground,
    hand::{End, Hand, Page, Story},
};
use crate::{shutdown::Stop, startup::Trouble};

const GRAPH: &str = include_str!("graphs/emit.yaml");

/// Steps of one commit, before the emission begins.
const STEPS: usize = 500;
/// The shortest pause between two commits. What is due meanwhile goes together, as under load.
const PAUSE: Duration = Duration::from_millis(2);

/// What is emitted.
#[derive(Debug, Clone, Copy)]
pub struct Emission {
    /// Events a second.
    pub rate: u32,
    /// For how long.
    pub length: Duration,
    /// Steps that the run has done before.
    pub before: usize,
}

/// Starts a run, tells which, and emits until the time is over or the process is told to stop. Events come in threes: a
/// step begins, it says a line, it ends.
pub async fn make(
    ground: &Ground,
    emission: Emission,
    stop: &Stop,
    begun: impl FnOnce(RunId),
) -> Result<RunId, Trouble> {
    let Emission { rate, length, before } = emission;
    let workflow = ground.workflow(GRAPH).await?;
    let mut hand = Hand::new(ground.ctx()).await?;
    let title = format!("{rate} events a second");
    let mut story = hand.begin(workflow, &title, json!({ "rate": rate, "seconds": length.as_secs() })).await?;
    fill(&mut hand, &mut story, before).await?;
    begun(story.run);
    let total = (f64::from(rate) * length.as_secs_f64()) as usize;
    let mut emitter = Emitter { done: 0, first: before, open: None };
    let from = Instant::now();
    let mut ticks = tokio::time::interval((Duration::from_secs(1) / rate.max(1)).max(PAUSE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while emitter.done < total && !stop.is_requested() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.requested() => {}
        }
        let due = ((from.elapsed().as_secs_f64() * f64::from(rate)) as usize + 1).min(total);
        let mut page = Page::default();
        while emitter.done < due {
            emitter.next(&mut story, &mut page);
        }
        if !page.events.is_empty() {
            hand.write(&mut story, page).await?;
        }
    }
    let mut page = Page::default();
    if let Some(mut step) = emitter.open.take() {
        page.succeeds(&mut step, Value::Null);
    }
    let run = hand.end(story, page, End::Succeeded(json!({ "events": emitter.done }))).await?;
    hand.retire().await?;
    Ok(run)
}

/// Writes steps that are done.
async fn fill(hand: &mut Hand, story: &mut Story, count: usize) -> Result<(), Trouble> {
    for first in (0..count).step_by(STEPS) {
        let mut page = Page::default();
        for number in first..(first + STEPS).min(count) {
            let mut step = step(story, number);
            page.begins(&step);
            page.succeeds(&mut step, json!(number + 1));
        }
        hand.write(story, page).await?;
    }
    Ok(())
}

fn step(story: &mut Story, number: usize) -> Step {
    story.step(StepId::root(&format!("step{}", number + 1)), StepKind::Tool, format!("Step {}", number + 1))
}

struct Emitter {
    done: usize,
    first: usize,
    open: Option<Step>,
}

impl Emitter {
    /// Adds the next event.
    fn next(&mut self, story: &mut Story, page: &mut Page) {
        let number = self.done / 3 + self.first;
        match (self.done % 3, self.open.as_mut()) {
            (1, Some(step)) => page.events.push(Event::Log {
                level: LogLevel::Info,
                step: Some(step.id.clone()),
                message: format!("Event {} of this emission.", self.done + 1),
                fields: json!({ "event": self.done + 1 }),
            }),
            (2, Some(step)) => {
                page.succeeds(step, json!(number + 1));
                self.open = None;
            }
            _ => {
                let step = step(story, number);
                page.begins(&step);
                self.open = Some(step);
            }
        }
        self.done += 1;
    }
}
