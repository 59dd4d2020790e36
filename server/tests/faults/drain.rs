//! G14: a process is told to end while it works, streams and answers, and another is there to take what it lets go.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt;
use rustix::process::Signal;
use serde_json::json;

use crate::{
    arena::Arena,
    chaos,
    client::{Request, lock},
    load::Load,
    options::Dice,
    place::Shape,
    report::Part,
    snapshot::Snapshot,
};

/// The process that is told to end.
const ENDING: usize = 0;
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(25);
/// How long the calls under way take.
const CALL_MS: u64 = 4_000;
/// Runs that are at work.
const RUNS: usize = 24;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let streams = arena.extent.streams;
    let mut part = Part::new(&format!("a process is told to end, with {streams} open streams"));
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 5);
    let mut dice = Dice::new(arena.options.seed, 70);
    let mut runs = Vec::new();
    for number in 0..RUNS {
        let input = json!({ "ms": CALL_MS });
        runs.extend(arena.client.start_with(Shape::Slow, &format!("drain-{number}"), &input, &mut dice).await);
    }
    let (told, ends) = open_streams(arena, &runs, streams);
    let asking = Asking::begin(arena);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    arena.fleet.signal(ENDING, Signal::TERM);
    let signal = Instant::now();
    part.fault("SIGTERM");
    let unready = unready_after(arena, signal).await;
    tokio::time::sleep(Duration::from_secs(1).saturating_sub(signal.elapsed())).await;
    // From now on it must take nothing up.
    for number in 0..RUNS {
        let token = format!("drain-late-{number}");
        let place = 1 + number % (arena.fleet.count() - 1);
        let request = Request::post(arena.client.path_of(Shape::Chain), json!({ "input": {} })).with_token(&token);
        let reply = arena.client.send(place, &arena.place.keys[0], request).await;
        if let (Some(202), Some(run)) = (reply.status, reply.body["id"].as_str()) {
            arena.client.accepted(run, Shape::Chain, &token, 0, false);
        }
    }
    let stolen = owned_late(arena, signal).await;
    let status = arena.fleet.ended(ENDING, LIMIT + Duration::from_secs(10)).await;
    let took = signal.elapsed();
    let failed = asking.end(signal);
    part.note("G14", format!("unready after {unready} ms, ended after {} ms with {status:?}", took.as_millis()));
    part.find_if(unready > 500, "G14", || format!("it was unready only after {unready} ms"));
    part.find_if(!status.is_some_and(|status| status.success()), "G14", || format!("it ended with {status:?}"));
    part.find_if(took > LIMIT, "G14", || format!("it took {} s to end", took.as_secs()));
    part.find_if(stolen > 0, "G14", || format!("{stolen} runs were taken up more than a second after the signal"));
    for failure in &failed {
        part.find("G14", format!("a request that had arrived got no answer {failure}"));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (told, ends) = (told.load(Ordering::Relaxed), ends.load(Ordering::Relaxed));
    part.note(
        "G14",
        format!(
            "streams {streams}, ended {ends}, told to come again {told}; requests without an answer {}",
            failed.len()
        ),
    );
    part.find_if(told < streams, "G14", || format!("only {told} of {streams} streams were told to come again"));
    arena.fleet.start(ENDING).await;
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(60)).await;
    let tables = Snapshot::read(&arena.tables, arena.place.org).await;
    let again = runs.iter().filter_map(|run| tables.step(run, "slow")).filter(|step| step.attempt > 1).count();
    part.note("G14", format!("runs at work {RUNS}, calls of {CALL_MS} ms, begun a second time {again}"));
    part.find_if(again > 0, "G14", || format!("{again} calls were begun a second time, although there was time"));
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}

/// Opens streams at the process; counts those that are told to come again, and those that have ended.
fn open_streams(arena: &Arc<Arena>, runs: &[String], streams: usize) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (told, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for number in 0..streams {
        let url = arena.fleet.url(ENDING, &format!("/api/v1/runs/{}/events", runs[number % runs.len()]));
        let request = arena.fleet.http.get(url).bearer_auth(&arena.place.keys[0]).timeout(Duration::from_secs(120));
        let (told, ends) = (told.clone(), ends.clone());
        tokio::spawn(async move {
            let Ok(answer) = request.send().await else { return };
            let mut bytes = answer.bytes_stream();
            let mut all = Vec::new();
            while let Some(Ok(piece)) = bytes.next().await {
                all.extend_from_slice(&piece);
            }
            let heard = String::from_utf8_lossy(&all).contains("event: reconnect");
            told.fetch_add(usize::from(heard), Ordering::Relaxed);
            ends.fetch_add(1, Ordering::Relaxed);
        });
    }
    (told, ends)
}

/// Somebody who asks the process all the time.
struct Asking {
    ends: Arc<AtomicBool>,
    /// When requests that may have arrived had no answer, and why.
    failed: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Asking {
    fn begin(arena: &Arc<Arena>) -> Self {
        let asking = Self { ends: Arc::default(), failed: Arc::default() };
        for _ in 0..4 {
            let (ends, failed, arena) = (asking.ends.clone(), asking.failed.clone(), arena.clone());
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let reply =
                        arena.client.send(ENDING, &arena.place.keys[0], Request::get("/api/v1/runs?limit=5")).await;
                    if reply.status.is_none() && reply.arrived {
                        lock(&failed).push((Instant::now(), reply.broke));
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
        asking
    }

    /// The failures, with their milliseconds since a moment.
    fn end(self, since: Instant) -> Vec<String> {
        self.ends.store(true, Ordering::Relaxed);
        let failed = lock(&self.failed);
        failed.iter().map(|(at, why)| format!("after {} ms: {why}", (*at - since).as_millis())).collect()
    }
}

/// Milliseconds until it says that it is not ready, or does not answer any more.
async fn unready_after(arena: &Arena, signal: Instant) -> u64 {
    while arena.fleet.is_ready(ENDING).await && signal.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    u64::try_from(signal.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How many runs that were started after the signal are in the hands of the ending process, looked at for two seconds.
async fn owned_late(arena: &Arena, signal: Instant) -> usize {
    let mut seen = BTreeSet::new();
    while signal.elapsed() < Duration::from_millis(3_500) {
        let rows: Vec<uuid::Uuid> = sqlx::query_scalar(
            "select r.id from runs r join nodes n on n.id = r.owner
              where n.host like $1 and r.created_at > clock_timestamp() - make_interval(secs => $2)",
        )
        .bind(format!("slot{ENDING}:%"))
        .bind((signal.elapsed().as_secs_f64() - 1.0).max(0.0))
        .fetch_all(&arena.tables)
        .await
        .unwrap_or_default();
        seen.extend(rows);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    seen.len()
}
