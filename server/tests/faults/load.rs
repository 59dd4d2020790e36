//! Runs of all shapes, started at a steady pace; people who decide, stop, and look on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    client::{Client, Request, lock},
    options::Dice,
    place::Shape,
    readers::Readers,
    report::Part,
    snapshot::Snapshot,
};

/// The most runs that are under way at once.
const UNDER_WAY: i64 = 120;
/// The shapes of the load, the frequent ones more than once.
const MIX: [Shape; 14] = [
    Shape::Chain,
    Shape::Chain,
    Shape::Chain,
    Shape::Agent,
    Shape::Agent,
    Shape::Agent,
    Shape::Map,
    Shape::Map,
    Shape::Wait,
    Shape::Approval,
    Shape::Approval,
    Shape::Flaky,
    Shape::Hopeless,
    Shape::Refused,
];

/// Somebody who stopped a run.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// The run.
    pub run: String,
    /// When it was confirmed; none: the run had ended before.
    pub confirmed: Option<Instant>,
}

/// The load, and what those who made it have seen.
pub struct Load {
    /// The program.
    pub client: Arc<Client>,
    /// Those who look on.
    pub readers: Readers,
    cancels: Mutex<Vec<Cancel>>,
    /// Who was told that their decision counts, by approval.
    winners: Mutex<BTreeMap<String, Vec<(usize, Value)>>>,
    asked: Mutex<BTreeSet<String>>,
    /// No more starts.
    ends: AtomicBool,
    /// Nothing at all is left to do.
    rests: AtomicBool,
    /// Starts and cancels that have no answer yet.
    open: AtomicUsize,
    /// Starts that were given up.
    given_up: AtomicUsize,
    seed: u64,
}

impl Load {
    /// A load that has not begun.
    pub fn new(client: Arc<Client>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            client,
            readers: Readers::default(),
            cancels: Mutex::default(),
            winners: Mutex::default(),
            asked: Mutex::default(),
            ends: AtomicBool::new(false),
            rests: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
            seed,
        })
    }

    /// Begins: starts a run every `pace`, and has approvals decided by three people at once.
    pub fn begin(self: &Arc<Self>, pace: Duration, tables: PgPool) {
        tokio::spawn(self.clone().keep_starting(pace, tables));
        tokio::spawn(self.clone().keep_deciding(3));
    }

    /// Those who stopped runs.
    pub fn cancels(&self) -> Vec<Cancel> {
        lock(&self.cancels).clone()
    }

    async fn keep_starting(self: Arc<Self>, pace: Duration, tables: PgPool) {
        let mut dice = Dice::new(self.seed, 1);
        for number in 0_u64.. {
            if self.ends.load(Ordering::Relaxed) {
                return;
            }
            // Now and then one that comes to its deadline.
            let shape = if number % 25 == 24 { Shape::Late } else { dice.pick(&MIX) };
            tokio::spawn(self.clone().one(shape, number));
            tokio::time::sleep(pace).await;
            while number % 10 == 0 && under_way(&tables).await.is_some_and(|count| count > UNDER_WAY) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// Starts a run, and does what somebody might do with it.
    pub async fn one(self: Arc<Self>, shape: Shape, number: u64) {
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice::new(self.seed, 1_000 + number);
        match self.client.start(shape, &format!("load-{}-{number}", self.seed), &mut dice).await {
            None => drop(self.given_up.fetch_add(1, Ordering::Relaxed)),
            Some(run) => {
                if dice.below(10) < 4 {
                    self.readers.follow(&self.client, &run, dice.clone(), true);
                }
                if dice.below(14) == 0 {
                    tokio::time::sleep(dice.millis(0, 1_500)).await;
                    self.cancel(&run, &mut dice).await;
                }
            }
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Stops a run, as often as it has to be said.
    pub async fn cancel(&self, run: &str, dice: &mut Dice) {
        let request = Request::post(format!("/api/v1/runs/{run}/cancel"), json!({}));
        let Some(reply) = self.client.ask(&self.client.place.keys[0], request, dice).await else { return };
        let confirmed = (reply.status == Some(202)).then(Instant::now);
        lock(&self.cancels).push(Cancel { run: run.to_owned(), confirmed });
    }

    /// Looks for approvals and has each decided by several people at once, until the load ends.
    pub async fn keep_deciding(self: Arc<Self>, deciders: usize) {
        let mut dice = Dice::new(self.seed, 2);
        while !self.rests.load(Ordering::Relaxed) {
            let request = Request::get("/api/v1/approvals?state=pending&limit=200");
            let pending = self.client.ask(&self.client.place.keys[0], request, &mut dice).await;
            let pending = pending.map(|reply| reply.body["items"].as_array().cloned().unwrap_or_default());
            for approval in pending.unwrap_or_default() {
                let id = approval["id"].as_str().unwrap_or_default().to_owned();
                if !lock(&self.asked).insert(id.clone()) {
                    continue;
                }
                let run = approval["run_id"].as_str().unwrap_or_default().to_owned();
                for decider in 0..deciders {
                    tokio::spawn(self.clone().decide(id.clone(), run.clone(), decider));
                }
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// One person decides: approves, and writes their own name into what they approve.
    pub async fn decide(self: Arc<Self>, approval: String, run: String, decider: usize) {
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice::new(self.seed, 5_000_000 + decider as u64);
        let payload = json!({ "run": run, "by": format!("decider {decider}") });
        let body = json!({ "decision": "approve", "payload": payload });
        let request = Request::post(format!("/api/v1/approvals/{approval}/decide"), body);
        let reply = self.client.ask(&self.client.place.keys[decider], request, &mut dice).await;
        if reply.is_some_and(|reply| reply.status == Some(200)) {
            lock(&self.winners).entry(approval).or_default().push((decider, payload));
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// No more starts; waits until everything that was begun has ended, or patience has.
    pub async fn come_to_rest(&self, part: &mut Part, tables: &PgPool, patience: Duration) {
        self.ends.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let mut left = Some(0);
        while begun.elapsed() < patience {
            left = under_way(tables).await;
            if left == Some(0) && self.open.load(Ordering::Relaxed) == 0 && self.readers.open() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.rests.store(true, Ordering::Relaxed);
        let given_up = self.given_up.load(Ordering::Relaxed);
        part.find_if(given_up > 0, "G1", || format!("{given_up} starts were not accepted within three minutes"));
        let open = (self.open.load(Ordering::Relaxed), self.readers.open());
        part.find_if(left != Some(0) || open != (0, 0), "G8", || {
            format!(
                "after {} s there are {left:?} runs, {} requests and {} readers without an end",
                patience.as_secs(),
                open.0,
                open.1
            )
        });
    }

    /// G9: who won, what acted, and how often the run went on.
    pub fn check_decisions(&self, part: &mut Part, tables: &Snapshot, calls: &[crate::outside::Call]) {
        let (mut several, mut none, mut others) = (0, 0, 0);
        let winners = lock(&self.winners).clone();
        let asked = lock(&self.asked).clone();
        for id in &asked {
            let Some((run, state, decided)) = tables.approvals.get(id) else { continue };
            let won = winners.get(id).map(Vec::as_slice).unwrap_or_default();
            several += usize::from(won.len() > 1);
            // A run that was stopped withdraws what it asked.
            none += usize::from(won.is_empty() && state == "approved");
            let right = won.first().is_none_or(|(_, payload)| payload == decided);
            let acted = calls.iter().filter(|call| call.run() == run && call.body.get("approved").is_some());
            let acted_rightly = acted.clone().all(|call| call.body["approved"] == *decided);
            let attempts: BTreeSet<_> = acted.map(|call| call.attempt).collect();
            let resumed = tables
                .events
                .get(run)
                .into_iter()
                .flatten()
                .filter(|event| event.kind == "step.succeeded" && event.step.as_deref() == Some("gate"));
            others += usize::from(!right || !acted_rightly || resumed.count() > 1);
            part.find_if(!right || !acted_rightly, "G9", || {
                format!("{id}: another decision acted than the one that won (attempts {attempts:?})")
            });
        }
        part.find_if(several > 0, "G9", || format!("{several} approvals have more than one winner"));
        part.find_if(none > 0, "G9", || format!("{none} approvals were decided, and nobody was told so"));
        part.note(
            "G9",
            format!("approvals {}, with several winners {several}, resumed or acted otherwise {others}", asked.len()),
        );
    }

    /// G11: nothing begins after a stop was confirmed.
    pub fn check_cancels(&self, part: &mut Part, tables: &Snapshot) -> BTreeSet<String> {
        let cancels = self.cancels();
        let mut begun_after = 0;
        for cancel in &cancels {
            let events = tables.events.get(&cancel.run).map(Vec::as_slice).unwrap_or_default();
            let told = events.iter().position(|event| event.kind == "run.cancelling");
            let begun =
                told.map_or(0, |place| events[place..].iter().filter(|event| event.kind == "step.started").count());
            begun_after += begun;
            part.find_if(begun > 0, "G11", || format!("{}: {begun} steps began after it was stopped", cancel.run));
            let state = tables.runs.get(&cancel.run).map(|row| row.state.as_str());
            part.find_if(cancel.confirmed.is_some() && state != Some("cancelled"), "G11", || {
                format!("{}: the stop was confirmed, and it is {state:?}", cancel.run)
            });
        }
        let confirmed = cancels.iter().filter(|cancel| cancel.confirmed.is_some()).count();
        part.note(
            "G11",
            format!("stops {}, confirmed {confirmed}, steps begun after one {begun_after}", cancels.len()),
        );
        cancels.into_iter().map(|cancel| cancel.run).collect()
    }
}

/// Runs that have not ended; none while the database is away.
pub async fn under_way(tables: &PgPool) -> Option<i64> {
    sqlx::query_scalar("select count(*) from runs where state not in ('succeeded', 'failed', 'cancelled')")
        .fetch_one(tables)
        .await
        .ok()
}
