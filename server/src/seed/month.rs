//! `org_month`: a month of an organization's history. Real runs of real workflows, made now; only their times are moved
//! afterwards, since the database's clock gives them. Nothing else is changed after the engine wrote it.

use agentflow::{
    engine::{state::RunState, store},
    kernel::{Kind, RunId, WorkflowId},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{
    dice::Dice,
    ground::{Ground, said},
};
use crate::startup::Trouble;

/// The workflows, and how often of a hundred each runs.
const WORKFLOWS: [(&str, usize); 4] = [
    (include_str!("graphs/tickets.yaml"), 50),
    (include_str!("graphs/invoices.yaml"), 32),
    (include_str!("graphs/stock.yaml"), 15),
    (include_str!("graphs/reminders.yaml"), 3),
];
/// Of a hundred runs, how many fail.
const FAILING: usize = 6;
/// The workflow whose runs wait until they are stopped.
const REMINDERS: usize = 3;
/// Runs under way at once: few enough for the node of this process to keep all of them.
const AT_ONCE: usize = 24;

const DAY_S: f64 = 86_400.0;
/// A month, as far back as nothing is removed that is kept for thirty days.
const DAYS: usize = 29;
/// How busy the hours are, from midnight on.
const HOURS: [usize; 24] = [2, 1, 1, 1, 2, 3, 6, 12, 22, 30, 32, 28, 20, 26, 30, 28, 24, 18, 12, 8, 6, 5, 4, 3];
/// How busy the days are, in turn: five and two quiet ones.
const WEEK: [usize; 7] = [30, 32, 28, 30, 24, 6, 4];

const MATTERS: [(&str, &str); 6] = [
    ("Broken lamp", "The glass of the lamp is broken. I need a new one urgently, the party is on Saturday."),
    ("Where is my order?", "I ordered ten days ago and have not heard anything since. Can you tell me where it is?"),
    ("Invoice is wrong", "The invoice names two chairs, but I bought only one. Please send me a correct one."),
    ("Cannot sign in", "The site says that my password is wrong, and no mail comes when I ask for another one."),
    ("Thank you", "The table arrived today and looks great. Thank you for the quick delivery!"),
    ("A question about size", "Does the shelf of 80 cm fit under a sloping roof of 120 cm, and can it be shortened?"),
];
const WAREHOUSES: [&str; 4] = ["Graz", "Lyon", "Porto", "Tampere"];

/// One run of the month.
struct Plan {
    workflow: usize,
    input: Value,
    ends: RunState,
    by_program: bool,
    ago_s: f64,
    took_s: f64,
}

/// So many ended runs, spread over a month.
pub async fn make(ground: &Ground, seed: u64, runs: usize) -> Result<Vec<RunId>, Trouble> {
    let mut dice = Dice::new(seed, "org_month");
    let failing = dice.choose(runs * FAILING / 100, runs);
    let plans: Vec<Plan> =
        failing.into_iter().enumerate().map(|(number, fails)| Plan::draw(&mut dice, number, fails)).collect();
    let mut workflows = Vec::new();
    for (file, _) in WORKFLOWS {
        workflows.push(ground.workflow(file).await?);
    }
    let works = ground.engine().await?;
    let made = stream::iter(&plans)
        .map(|plan| plan.run(ground, workflows[plan.workflow]))
        .buffered(AT_ONCE)
        .try_collect::<Vec<RunId>>()
        .await;
    works.stop().await;
    let made = made?;
    let moved: Vec<_> = made
        .iter()
        .zip(&plans)
        .map(|(run, plan)| store::Moved { run: *run, ago_s: plan.ago_s, took_s: plan.took_s })
        .collect();
    let db = &ground.ctx().deps().db;
    store::move_ended(db.engine(), ground.ctx().org_id(), &moved).await.map_err(|error| match error.kind {
        Kind::Internal => Trouble::new(
            format!("The runs could not be moved into the month: {error}."),
            "The user of DATABASE_URL has to own the schema.",
        ),
        _ => said(error),
    })?;
    Ok(made)
}

impl Plan {
    fn draw(dice: &mut Dice, number: usize, fails: bool) -> Self {
        let mut weights = WORKFLOWS.map(|(_, weight)| weight);
        if fails {
            weights[REMINDERS] = 0;
        }
        let workflow = dice.weighted(&weights);
        let input = match workflow {
            0 => {
                let (subject, message) = dice.pick(&MATTERS);
                let order = json!({ "number": format!("A-{}", 1_000 + dice.below(9_000)) });
                // A ticket without an order cannot be filed under one.
                let order = if fails { Value::Null } else { order };
                json!({ "ticket": 10_000 + number, "subject": subject, "message": message, "order": order })
            }
            1 => json!({
                "invoice": format!("R-{}", 20_000 + number),
                "amount": 100 + dice.below(9_900),
                "parts": if fails { 0 } else { 1 + dice.below(20) },
            }),
            2 => {
                let mut shelves: Vec<usize> = (0..2 + dice.below(6)).map(|_| 1 + dice.below(96)).collect();
                if fails {
                    let place = dice.below(shelves.len());
                    shelves[place] = 0;
                }
                json!({ "warehouse": dice.pick(&WAREHOUSES), "shelves": shelves })
            }
            _ => json!({ "invoice": format!("R-{}", 20_000 + number) }),
        };
        let ends = match workflow {
            REMINDERS => RunState::Cancelled,
            _ if fails => RunState::Failed,
            _ => RunState::Succeeded,
        };
        let days: Vec<usize> = (0..DAYS).map(|day| WEEK[day % WEEK.len()]).collect();
        let moment = dice.weighted(&HOURS) as f64 * 3_600.0 + dice.part() * 3_600.0;
        let begun_s = dice.weighted(&days) as f64 * DAY_S + moment;
        // Most take seconds, few take minutes; who waits for a payment waits for hours.
        let took_s = match workflow {
            REMINDERS => 3_600.0 * (1.0 + dice.part() * 40.0),
            _ => 0.8 * (dice.part() * 5.5).exp(),
        };
        // All of it is over by now.
        let ago_s = (DAYS as f64 * DAY_S - begun_s).max(took_s + 60.0);
        Self { workflow, input, ends, by_program: dice.below(3) == 0, ago_s, took_s }
    }

    async fn run(&self, ground: &Ground, workflow: WorkflowId) -> Result<RunId, Trouble> {
        let run = ground.start(workflow, self.input.clone(), self.by_program).await?;
        if self.ends == RunState::Cancelled {
            ground.until(run, RunState::Waiting).await?;
            ground.cancel(run).await?;
        }
        ground.until(run, self.ends).await?;
        Ok(run)
    }
}
