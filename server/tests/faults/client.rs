//! A program that uses the API as programs should: it repeats what had no answer, with the same key, until there is one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    options::Dice,
    place::{Place, Shape},
    processes::Fleet,
};

/// How long somebody goes on asking.
const PATIENCE: Duration = Duration::from_secs(180);

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status; none: the connection broke, and what happened is unknown.
    pub status: Option<u16>,
    /// The body, where it is JSON.
    pub body: Value,
    /// Whether it says that this was answered before.
    pub repeated: bool,
    /// Whether the request may have arrived.
    pub arrived: bool,
    /// Why there is no answer.
    pub broke: String,
}

/// A run that was started, as the program that started it knows it.
#[derive(Debug, Clone)]
pub struct Started {
    /// What it is.
    pub shape: Shape,
    /// When it was accepted.
    pub accepted: Instant,
    /// How many tries were left without an answer.
    pub unknown: usize,
    /// Whether one of those had been heard all the same.
    pub was_heard: bool,
}

/// How requests went.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Requests to processes that nothing was done to.
    pub offered: usize,
    /// Those of them that were served.
    pub served: usize,
    /// Requests without an answer.
    pub unknown: usize,
    /// Requests that were told to come again.
    pub unavailable: usize,
    /// How long the slowest answer took that said so.
    pub slowest_refusal: Duration,
    /// Answers that nobody should get.
    pub strange: Vec<String>,
}

/// The program.
pub struct Client {
    /// The processes.
    pub fleet: Arc<Fleet>,
    /// The organization and its workflows.
    pub place: Arc<Place>,
    tally: Mutex<Tally>,
    started: Mutex<BTreeMap<String, Started>>,
    answers: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Client {
    /// A program that has done nothing yet.
    pub fn new(fleet: Arc<Fleet>, place: Arc<Place>) -> Arc<Self> {
        Arc::new(Self { fleet, place, tally: Mutex::default(), started: Mutex::default(), answers: Mutex::default() })
    }

    /// How requests went since this was asked last.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut *lock(&self.tally))
    }

    /// The runs that were accepted since a moment, by their ids.
    pub fn started_since(&self, moment: Instant) -> BTreeMap<String, Started> {
        let started = lock(&self.started);
        started.iter().filter(|(_, run)| run.accepted >= moment).map(|(id, run)| (id.clone(), run.clone())).collect()
    }

    /// Whether somebody was told of this run.
    pub fn knows(&self, run: &str) -> bool {
        lock(&self.started).contains_key(run)
    }

    /// The ids that were answered to each key.
    pub fn answers(&self) -> BTreeMap<String, BTreeSet<String>> {
        lock(&self.answers).clone()
    }

    /// One request to one process.
    pub async fn send(&self, place: usize, key: &str, request: Request<'_>) -> Reply {
        let begun = Instant::now();
        let url = self.fleet.url(place, &request.path);
        let mut sending = match request.body {
            Some(body) => self.fleet.http.post(url).json(&body),
            None => self.fleet.http.get(url),
        };
        sending = sending.bearer_auth(key);
        if let Some(token) = request.token {
            sending = sending.header("idempotency-key", token);
        }
        let reply = match sending.send().await {
            Ok(answer) => {
                let (status, repeated) =
                    (answer.status().as_u16(), answer.headers().contains_key("idempotent-replayed"));
                match answer.bytes().await {
                    Ok(bytes) => {
                        let body = serde_json::from_slice(&bytes).unwrap_or_default();
                        Reply { status: Some(status), body, repeated, arrived: true, broke: String::new() }
                    }
                    Err(error) => broken(&error),
                }
            }
            Err(error) => broken(&error),
        };
        self.count(place, begun, &request.path, &reply);
        reply
    }

    fn count(&self, place: usize, begun: Instant, path: &str, reply: &Reply) {
        let calm = self.fleet.was_calm_since(place, begun);
        let mut tally = lock(&self.tally);
        let served = reply.status.is_some_and(|status| status < 500);
        tally.offered += usize::from(calm);
        tally.served += usize::from(calm && served);
        match reply.status {
            None => tally.unknown += usize::from(reply.arrived),
            Some(503) => {
                tally.unavailable += 1;
                tally.slowest_refusal = tally.slowest_refusal.max(begun.elapsed());
            }
            Some(status) if status >= 500 => tally.strange.push(format!("{path}: {status} {}", reply.body)),
            Some(_) => {}
        }
    }

    /// Starts a run, however often it has to be said. `None`: it was not accepted within the patience of a program.
    pub async fn start(&self, shape: Shape, token: &str, dice: &mut Dice) -> Option<String> {
        let input = json!({ "seconds": 1 + dice.below(3), "ms": 25_000 });
        self.start_with(shape, token, &input, dice).await
    }

    /// The same, with an input.
    pub async fn start_with(&self, shape: Shape, token: &str, input: &Value, dice: &mut Dice) -> Option<String> {
        let begun = Instant::now();
        let path = self.path_of(shape);
        let (mut unknown, serving) = (0, self.fleet.serving());
        while begun.elapsed() < PATIENCE {
            let place = dice.pick(&serving);
            let request = Request::post(&path, json!({ "input": input })).with_token(token);
            let reply = self.send(place, &self.place.keys[0], request).await;
            if reply.status == Some(202) {
                let run = reply.body["id"].as_str().unwrap_or_default().to_owned();
                self.accepted(&run, shape, token, unknown, reply.repeated);
                return Some(run);
            }
            unknown += usize::from(reply.status.is_none() && reply.arrived);
            match reply.status {
                None | Some(503 | 409) => {}
                Some(status) => lock(&self.tally).strange.push(format!("a start: {status} {}", reply.body)),
            }
            tokio::time::sleep(dice.millis(40, 200)).await;
        }
        None
    }

    /// Where runs of a shape are started.
    pub fn path_of(&self, shape: Shape) -> String {
        format!("/api/v1/workflows/{}/run", self.place.workflows[&shape])
    }

    /// Writes down that a run was accepted.
    pub fn accepted(&self, run: &str, shape: Shape, token: &str, unknown: usize, repeated: bool) {
        lock(&self.answers).entry(token.to_owned()).or_default().insert(run.to_owned());
        let started = Started { shape, accepted: Instant::now(), unknown, was_heard: unknown > 0 && repeated };
        lock(&self.started).entry(run.to_owned()).or_insert(started);
    }

    /// Asks until there is an answer that is one.
    pub async fn ask(&self, key: &str, request: Request<'_>, dice: &mut Dice) -> Option<Reply> {
        let begun = Instant::now();
        let serving = self.fleet.serving();
        while begun.elapsed() < PATIENCE {
            let reply = self.send(dice.pick(&serving), key, request.clone()).await;
            if reply.status.is_some_and(|status| status < 500) {
                return Some(reply);
            }
            tokio::time::sleep(dice.millis(40, 200)).await;
        }
        None
    }
}

/// A connection that broke, with the reasons one under the other.
fn broken(error: &reqwest::Error) -> Reply {
    let reasons = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let broke = reasons.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    Reply { status: None, body: Value::Null, repeated: false, arrived: !error.is_connect(), broke }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    path: String,
    body: Option<Value>,
    token: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads something.
    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), body: None, token: None }
    }

    /// Does something.
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { path: path.into(), body: Some(body), token: None }
    }

    /// The same, with an idempotency key.
    pub fn with_token(self, token: &'a str) -> Self {
        Self { token: Some(token), ..self }
    }
}

/// A lock that a panic elsewhere does not spoil.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
