//! What must hold when everything has come to rest: what the harness itself has seen, against the tables and the API.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use crate::{
    client::Started,
    model,
    outside::Call,
    place::Shape,
    processes::{LEASE_MS, REAPER_MS},
    readers::Reading,
    report::Part,
    snapshot::{EventRow, Snapshot, StepRow},
};

/// Processes that must have died under a call before it is given up, as the servers are set.
const POISON: usize = 3;

/// What is checked.
pub struct Evidence<'a> {
    /// The runs that were accepted.
    pub started: &'a BTreeMap<String, Started>,
    /// The tables.
    pub tables: &'a Snapshot,
    /// What the outside saw.
    pub calls: &'a [Call],
    /// All that it ever answered: results may be those of a call that is not to be checked itself.
    pub answers: &'a [Call],
    /// Runs that somebody cancelled: these may end so.
    pub cancelled: &'a BTreeSet<String>,
    /// Processes that died under a call, at most: so many calls may have been made again for nothing.
    pub crashes: usize,
}

impl Evidence<'_> {
    /// The calls of each step, by key, of the runs that are checked.
    fn by_key<'b>(&self, calls: &'b [Call]) -> BTreeMap<&'b str, Vec<&'b Call>> {
        let mut by_key: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        for call in calls.iter().filter(|call| self.started.contains_key(call.run())) {
            by_key.entry(&call.key).or_default().push(call);
        }
        by_key
    }

    /// Everything that follows from the tables, the ledger and the journal.
    pub fn check(&self, part: &mut Part) {
        part.runs += self.started.len();
        part.steps +=
            self.started.keys().filter_map(|run| self.tables.steps.get(run)).map(BTreeMap::len).sum::<usize>();
        self.accepted(part);
        self.ends(part);
        self.journals(part);
        self.effects(part);
        self.results(part);
        self.retries(part);
        self.money(part);
        self.deadlines(part);
    }

    /// G1, G16: what was accepted is there, and nothing besides.
    fn accepted(&self, part: &mut Part) {
        let lost: Vec<_> = self.started.keys().filter(|run| !self.tables.runs.contains_key(*run)).collect();
        part.lost += lost.len();
        part.note(
            "G1",
            format!("accepted {}, found {}, lost {}", self.started.len(), self.started.len() - lost.len(), lost.len()),
        );
        for run in lost {
            part.find("G1", format!("{run} was accepted and is gone"));
        }
        let unknown: usize = self.started.values().map(|started| started.unknown).sum();
        let heard = self.started.values().filter(|started| started.was_heard).count();
        part.note("G16", format!("starts without an answer {unknown}, of these had been heard {heard}"));
    }

    /// Each run ended, and as its shape says.
    fn ends(&self, part: &mut Part) {
        let mut unlucky = 0;
        for (run, started) in self.started {
            let Some(row) = self.tables.runs.get(run) else { continue };
            if !row.is_end() {
                part.stuck += 1;
                part.find("G8", format!("{run} ({:?}) is {} and came to no end", started.shape, row.state));
            } else if row.state != started.shape.end() && !(self.cancelled.contains(run) && row.state == "cancelled") {
                if self.was_there_thrice(run) {
                    unlucky += 1;
                    continue;
                }
                let error = row.error.clone().unwrap_or_default();
                part.find("G4", format!("{run} ({:?}) is {}: {error}", started.shape, row.state));
            }
        }
        part.note("G18", format!("calls given up because three processes were killed under them {unlucky}"));
    }

    /// Whether a call of the run was given up as poisonous, and rightly so by all that can be known: it had been begun as
    /// often as that takes, and had come to the outside the last time. Whoever kills at random hits the same call again now
    /// and then.
    fn was_there_thrice(&self, run: &str) -> bool {
        let events = self.tables.events.get(run).map(Vec::as_slice).unwrap_or_default();
        let poison = |event: &&EventRow| event.kind == "step.failed" && event.data["error"]["class"] == "poison";
        // What failed first; the steps around it fail with it.
        let Some(step) = events.iter().find(poison).and_then(|event| event.step.as_deref()) else { return false };
        let last = attempts(events, step).len();
        let key = format!("{run}/{step}");
        let calls: Vec<_> = self.calls.iter().filter(|call| call.key == key).collect();
        // Models are not told the attempt: all but one of them may have been cut off on their way.
        let is_model = calls.iter().all(|call| call.attempt == 0);
        let seen =
            if is_model { calls.len() + 1 >= last } else { calls.iter().any(|call| call.attempt as usize == last) };
        last >= POISON && seen
    }

    /// G4, G7, G10: each journal is whole, has one end, and tells each step once.
    fn journals(&self, part: &mut Part) {
        let none = Vec::new();
        let (mut gaps, mut stale) = (0, 0);
        for run in self.started.keys() {
            let Some(row) = self.tables.runs.get(run) else { continue };
            let events = self.tables.events.get(run).unwrap_or(&none);
            let whole = events.iter().map(|event| event.seq).eq(1..=row.last_seq);
            gaps += usize::from(!whole);
            part.find_if(!whole, "G10", || format!("{run}: the numbers of its events are not 1 to {}", row.last_seq));
            let ends = events.iter().filter(|event| is_end(&event.kind)).count();
            let last = events.last().is_some_and(|event| is_end(&event.kind));
            part.find_if(row.is_end() && !(ends == 1 && last), "G11", || {
                format!(
                    "{run}: {ends} events say that it ended, and the last event is {:?}",
                    events.last().map(|e| &e.kind)
                )
            });
            for (step, fault) in step_faults(events) {
                stale += 1;
                part.find("G7", format!("{run}/{step}: {fault}"));
            }
        }
        part.note("G7", format!("stale writes accepted {stale}"));
        part.note("G10", format!("journals {}, with gaps {gaps}", self.started.len()));
    }

    /// G3, G5, G7: what the outside saw of each step, against what the journal says was begun.
    fn effects(&self, part: &mut Part) {
        let by_key = self.by_key(self.calls);
        let mut late = 0;
        let mut again = 0;
        for (key, calls) in &by_key {
            let Some((run, step)) = key.split_once('/') else { continue };
            let events = self.tables.events.get(run).map(Vec::as_slice).unwrap_or_default();
            let begun = attempts(events, step);
            let recorded = recorded(events, step);
            let is_model = calls.iter().all(|call| call.attempt == 0);
            if is_model {
                part.find_if(calls.len() > begun.len(), "G3", || {
                    format!("{key} was called {} times and begun {} times", calls.len(), begun.len())
                });
            }
            let mut seen = BTreeSet::new();
            for call in calls.iter().filter(|_| !is_model) {
                part.find_if(!begun.contains(&call.attempt), "G3", || {
                    format!("{key} was called as attempt {}, whose beginning is not recorded", call.attempt)
                });
                part.find_if(!seen.insert(call.attempt), "G7", || {
                    format!("{key} was called twice as attempt {}", call.attempt)
                });
            }
            let mut fences: Vec<_> = calls.iter().map(|call| (call.attempt, call.fence)).collect();
            fences.sort_unstable();
            let grows = fences.windows(2).all(|pair| pair[0].1 <= pair[1].1);
            part.find_if(!grows || (!is_model && fences[0].1 == 0), "G5", || {
                format!("{key}: the fences that came along are {fences:?}")
            });
            let Some((attempt, at)) = recorded else { continue };
            for call in calls {
                if after(call.wall, at, Duration::from_millis(500)) {
                    // Begun by a former owner before it was stopped; the other side can refuse it by its fence.
                    let former = !is_model && call.attempt < attempt;
                    late += usize::from(former);
                    again += usize::from(!former);
                    part.find_if(!former, "G3", || format!("{key} was called after its result was recorded"));
                }
            }
        }
        self.duplicates(part, &by_key);
        part.note(
            "G3",
            format!(
                "effects {}, called again after the record {again}, late calls of former owners {late}",
                by_key.len()
            ),
        );
    }

    /// G5: raw repetitions, and what is left of them for a service that knows the key.
    fn duplicates(&self, part: &mut Part, by_key: &BTreeMap<&str, Vec<&Call>>) {
        let mut retried = 0;
        let mut raw = 0;
        let mut keys_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (key, calls) in by_key {
            // What was refused or failed is asked again on purpose.
            let meant = calls.iter().filter(|call| call.answered.is_some_and(|(status, _)| status >= 400)).count();
            retried += meant;
            raw += calls.len().saturating_sub(meant).saturating_sub(1);
            for call in calls {
                keys_of.entry(&call.about).or_default().insert(key);
            }
        }
        let doubled: Vec<_> = keys_of.iter().filter(|(_, keys)| keys.len() > 1).collect();
        part.raw += raw;
        part.doubled += doubled.len();
        for (about, keys) in &doubled {
            part.find("G5", format!("{about} happened under {} keys", keys.len()));
        }
        for (run, started) in self.started {
            if self.tables.runs.get(run).is_none_or(|row| row.state != "succeeded") {
                continue;
            }
            for step in started.shape.calls() {
                let key = format!("{run}/{step}");
                part.find_if(!by_key.contains_key(key.as_str()), "G3", || format!("{key} never happened"));
            }
        }
        part.note(
            "G5",
            format!(
                "raw duplicates {raw} (crashes under calls {}), after dedup {}; retries on purpose {retried}",
                self.crashes,
                doubled.len()
            ),
        );
    }

    /// G4: what is recorded of a call is what was answered to the attempt that is recorded.
    fn results(&self, part: &mut Part) {
        let by_key = self.by_key(self.answers);
        let (mut compared, mut conflicts) = (0, 0);
        for run in self.started.keys() {
            for (id, step) in self.tables.steps.get(run).into_iter().flatten() {
                let Some(nonce) = nonce_of(step) else { continue };
                compared += 1;
                let key = format!("{run}/{id}");
                let calls = by_key.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
                let answered = calls.iter().find(|call| call.nonce == nonce);
                if answered.is_none_or(|call| i64::from(call.attempt) != i64::from(step.attempt)) {
                    conflicts += 1;
                    part.find(
                        "G4",
                        format!("{key}: the recorded result is not the answer to attempt {}", step.attempt),
                    );
                }
            }
        }
        part.conflicting += conflicts;
        part.note("G4", format!("results compared with what was answered {compared}, conflicting {conflicts}"));
    }

    /// G13: as many attempts as the policy says, none of them early.
    fn retries(&self, part: &mut Part) {
        let by_key = self.by_key(self.calls);
        let (mut checked, mut early) = (0, 0);
        for (run, started) in self.started {
            let (step, failures) = match started.shape {
                Shape::Flaky => ("flaky", 2),
                Shape::Hopeless => ("hopeless", 4),
                Shape::Refused => ("refused", 1),
                _ => continue,
            };
            let Some(row) = self.tables.step(run, step).filter(|row| row.state != "cancelled") else { continue };
            checked += 1;
            // An answer that its process did not live to record is asked for again, and may be the next of the script.
            let cut = self.crashes > 0 && started.shape == Shape::Flaky;
            let right = row.failures == failures || (cut && row.failures < failures);
            part.find_if(!right, "G13", || {
                format!("{run}/{step}: {} attempts failed, the policy says {failures}", row.failures)
            });
            let events = self.tables.events.get(run).map(Vec::as_slice).unwrap_or_default();
            for early_by in early_attempts(events, step) {
                early += 1;
                part.find("G13", format!("{run}/{step}: an attempt began {early_by} before its moment"));
            }
            let key = format!("{run}/{step}");
            for pair in by_key.get(key.as_str()).map(Vec::as_slice).unwrap_or_default().windows(2) {
                let (first, second) = (pair[0], pair[1]);
                let Some((429, told)) = first.answered else { continue };
                let recorded = events.iter().any(|event| {
                    event.kind == "step.retrying"
                        && event.step.as_deref() == Some(step)
                        && event.data["attempt"] == first.attempt
                });
                let soon = second.at < told + Duration::from_millis(990);
                early += usize::from(recorded && soon);
                part.find_if(recorded && soon, "G13", || {
                    format!("{key}: asked to wait 1000 ms, came after {} ms", (second.at - told).as_millis())
                });
            }
        }
        part.note("G13", format!("steps with a policy {checked}, early retries {early}"));
    }

    /// G23: the totals are what the model wrote into its own books, each call once.
    fn money(&self, part: &mut Part) {
        let by_key = self.by_key(self.answers);
        let (mut calls, mut difference) = (0, 0);
        for run in self.started.keys() {
            let Some(row) = self.tables.runs.get(run) else { continue };
            let mut booked = (0, 0);
            for (id, step) in self.tables.steps.get(run).into_iter().flatten() {
                if step.kind != "model" || step.state != "succeeded" {
                    continue;
                }
                calls += 1;
                let key = format!("{run}/{id}");
                let known = by_key.get(key.as_str()).and_then(|calls| calls.first()).map(|call| call.tokens);
                let (read, written) = known.unwrap_or_else(|| model::billed(&key));
                let (read, written) = (read.cast_signed(), written.cast_signed());
                booked = (booked.0 + read, booked.1 + written);
                part.find_if(step.tokens != (read, written), "G23", || {
                    format!("{key}: {:?} recorded, {:?} in the model's books", step.tokens, (read, written))
                });
            }
            let off = (row.tokens.0 - booked.0).abs() + (row.tokens.1 - booked.1).abs();
            difference += off;
            part.find_if(off != 0, "G23", || format!("{run}: total {:?}, booked {booked:?}", row.tokens));
        }
        part.note("G23", format!("model calls {calls}, difference {difference} tokens"));
    }

    /// G12: how far runs passed their deadlines. What a stopped database adds is told, not judged, here.
    fn deadlines(&self, part: &mut Part) {
        let mut over = Vec::new();
        for run in self.started.keys() {
            let Some(row) = self.tables.runs.get(run) else { continue };
            let (Some(deadline), Some(end)) = (row.deadline_at, row.finished_at) else { continue };
            if row.state == "failed" {
                over.push(u64::try_from((end - deadline).num_milliseconds()).unwrap_or(0));
                part.find_if(end < deadline, "G12", || format!("{run} failed before its deadline"));
            }
        }
        if !over.is_empty() {
            part.note("G12", format!("overshoot of deadlines, faults included: {}", crate::report::quantiles(&over)));
        }
    }
}

/// G10: what readers saw, against the table.
pub fn streams(part: &mut Part, readings: &[Reading], tables: &Snapshot) {
    let (mut gaps, mut repeats, mut disorder, mut conflicts, mut ended, mut cuts, mut resets) = (0, 0, 0, 0, 0, 0, 0);
    for reading in readings {
        cuts += reading.cuts;
        resets += reading.resets;
        ended += usize::from(reading.ended);
        let numbers: Vec<i64> = reading.events.iter().map(|(number, ..)| *number).collect();
        for pair in numbers.windows(2) {
            gaps += usize::from(pair[1] > pair[0] + 1);
            repeats += usize::from(pair[1] == pair[0]);
            disorder += usize::from(pair[1] < pair[0]);
        }
        gaps += usize::from(numbers.first().is_some_and(|first| *first != 1));
        let events = tables.events.get(&reading.run).map(Vec::as_slice).unwrap_or_default();
        part.find_if(reading.ended && reading.events.len() != events.len(), "G10", || {
            format!("{}: a reader saw {} events of {}", reading.run, reading.events.len(), events.len())
        });
        for (number, name, data) in &reading.events {
            let row = events.iter().find(|event| event.seq == *number);
            if row.is_none_or(|row| row.kind != *name || !says(data, &row.data)) {
                conflicts += 1;
                part.find("G4", format!("{}: event {number} is another one in the table", reading.run));
            }
        }
        part.find_if(!reading.ended, "G10", || format!("{}: a reader never saw its end", reading.run));
    }
    let wrong = gaps + repeats + disorder + resets;
    part.find_if(wrong > 0, "G10", || format!("gaps {gaps}, repeats {repeats}, disorder {disorder}, resets {resets}"));
    part.conflicting += conflicts;
    part.note(
        "G10",
        format!(
            "readers {}, cuts {cuts}, gaps {gaps}, repeats {repeats}, disorder {disorder}, ends seen {ended} of {}",
            readings.len(),
            readings.len()
        ),
    );
}

/// Whether an event on the stream says all that the row says.
fn says(data: &serde_json::Value, row: &serde_json::Value) -> bool {
    row.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| data.get(name) == Some(value)))
}

/// How long it may take until others go on with the runs of a process that is gone.
pub fn takeover_limit_ms() -> u64 {
    LEASE_MS + REAPER_MS + 1_000
}

fn is_end(kind: &str) -> bool {
    matches!(kind, "run.succeeded" | "run.failed" | "run.cancelled")
}

/// The attempts of a step whose beginning is recorded.
fn attempts(events: &[EventRow], step: &str) -> BTreeSet<u32> {
    let begun = events.iter().filter(|event| event.kind == "step.started" && event.step.as_deref() == Some(step));
    begun.filter_map(|event| event.data["attempt"].as_u64()?.try_into().ok()).collect()
}

/// The attempt whose result is recorded, and when.
fn recorded(events: &[EventRow], step: &str) -> Option<(u32, SystemTime)> {
    let ended = |event: &&EventRow| {
        matches!(event.kind.as_str(), "step.succeeded" | "step.failed") && event.step.as_deref() == Some(step)
    };
    let event = events.iter().find(ended)?;
    Some((event.data["attempt"].as_u64()?.try_into().ok()?, event.at.into()))
}

fn after(moment: SystemTime, other: SystemTime, margin: Duration) -> bool {
    moment.duration_since(other).is_ok_and(|late| late > margin)
}

fn nonce_of(step: &StepRow) -> Option<String> {
    if step.kind != "tool" || step.state != "succeeded" {
        return None;
    }
    step.output.as_ref()?["body"]["nonce"].as_str().map(str::to_owned)
}

/// What a journal says of a step that cannot be: attempts that go back, an end twice, anything after an end.
fn step_faults(events: &[EventRow]) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut begun: BTreeMap<&str, u64> = BTreeMap::new();
    let mut ended: BTreeSet<&str> = BTreeSet::new();
    for event in events {
        let Some(step) = event.step.as_deref() else { continue };
        let attempt = event.data["attempt"].as_u64().unwrap_or(0);
        match event.kind.as_str() {
            "step.started" => {
                let before = begun.insert(step, attempt).unwrap_or(0);
                if attempt != before + 1 || ended.contains(step) {
                    faults.push((step.to_owned(), format!("attempt {attempt} begins after attempt {before}")));
                }
            }
            // Held back by another side's limit before it went out: the same attempt begins again.
            "step.waiting" if event.data["approval"].is_null() => {
                begun.entry(step).and_modify(|attempt| *attempt = attempt.saturating_sub(1));
            }
            "step.succeeded" | "step.failed" | "step.retrying" => {
                let current = begun.get(step).copied().unwrap_or(attempt);
                if attempt != current || ended.contains(step) {
                    faults.push((
                        step.to_owned(),
                        format!("{} of attempt {attempt} during attempt {current}", event.kind),
                    ));
                }
                if event.kind != "step.retrying" {
                    ended.insert(step);
                }
            }
            _ => {}
        }
    }
    faults
}

/// Attempts that began before the moment that was announced for them.
fn early_attempts(events: &[EventRow], step: &str) -> Vec<String> {
    let mut announced: Option<agentflow::kernel::Timestamp> = None;
    let mut early = Vec::new();
    for event in events.iter().filter(|event| event.step.as_deref() == Some(step)) {
        match event.kind.as_str() {
            "step.retrying" => announced = event.data["next_at"].as_str().and_then(|at| at.parse().ok()),
            "step.started" => {
                if let Some(at) = announced.take().filter(|at| event.at < *at) {
                    early.push(format!("{} ms", (at - event.at).num_microseconds().unwrap_or(0) as f64 / 1e3));
                }
            }
            _ => {}
        }
    }
    early
}
