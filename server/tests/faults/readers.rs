//! Readers of a run's events, cut off at random and resumed at another process with the last number that they saw.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::StreamExt;
use serde_json::Value;

use crate::{
    client::{Client, lock},
    options::Dice,
};

/// What a reader has seen of a run.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The run.
    pub run: String,
    /// The kept events in the order in which they came: number, name, data.
    pub events: Vec<(i64, String, Value)>,
    /// How often it was cut off or cut itself off.
    pub cuts: usize,
    /// How often it was told to forget what it had.
    pub resets: usize,
    /// Whether it saw the run's end.
    pub ended: bool,
}

/// All readers, and what they have seen.
#[derive(Clone, Default)]
pub struct Readers {
    readings: Arc<Mutex<Vec<Reading>>>,
    open: Arc<std::sync::atomic::AtomicUsize>,
}

impl Readers {
    /// What was seen by readers that have finished.
    pub fn readings(&self) -> Vec<Reading> {
        lock(&self.readings).clone()
    }

    /// How many are not done.
    pub fn open(&self) -> usize {
        self.open.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Follows a run to its end in a task of its own. `restless`: it cuts itself off now and then.
    pub fn follow(&self, client: &Arc<Client>, run: &str, mut dice: Dice, restless: bool) {
        use std::sync::atomic::Ordering;
        let (client, all) = (client.clone(), self.clone());
        let mut reading = Reading { run: run.to_owned(), ..Reading::default() };
        self.open.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let begun = Instant::now();
            let serving = client.fleet.serving();
            while !reading.ended && begun.elapsed() < Duration::from_secs(400) {
                let most = if restless { dice.millis(50, 2_500) } else { Duration::from_secs(300) };
                let place = dice.pick(&serving);
                // A cut: whatever stands in the connection then is lost.
                let _ = tokio::time::timeout(most, read(&client, place, &mut reading)).await;
                reading.cuts += 1;
                tokio::time::sleep(dice.millis(5, 60)).await;
            }
            lock(&all.readings).push(reading);
            all.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Reads on until the connection ends. A reader that is dropped in the middle keeps what it has.
async fn read(client: &Client, place: usize, reading: &mut Reading) {
    let url = client.fleet.url(place, &format!("/api/v1/runs/{}/events", reading.run));
    let mut request = client.fleet.http.get(url).bearer_auth(&client.place.keys[0]).timeout(Duration::from_secs(600));
    if let Some((last, ..)) = reading.events.last() {
        request = request.header("last-event-id", last.to_string());
    }
    let Ok(answer) = request.send().await else { return };
    if answer.status() != 200 {
        return;
    }
    let mut bytes = answer.bytes_stream();
    let mut kept = Vec::new();
    while let Some(Ok(piece)) = bytes.next().await {
        kept.extend_from_slice(&piece);
        while let Some(end) = kept.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = kept.drain(..end + 2).collect();
            take(&String::from_utf8_lossy(&block), reading);
        }
    }
}

fn take(block: &str, reading: &mut Reading) {
    let field = |name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_start_matches(':').trim())
    };
    let name = field("event").unwrap_or_default();
    if name == "reset" {
        reading.resets += 1;
        reading.events.clear();
        return;
    }
    let Some(number) = field("id").and_then(|id| id.parse().ok()) else { return };
    let data = field("data").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    reading.ended |= matches!(name, "run.succeeded" | "run.failed" | "run.cancelled");
    reading.events.push((number, name.to_owned(), data));
}
