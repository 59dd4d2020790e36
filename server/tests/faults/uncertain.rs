//! G6: calls that must not be repeated, whose process is killed around them. None is made a second time by itself; for
//! each that was cut off a person is asked, who looks at the other side's books.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    arena::Arena,
    chaos,
    client::Request,
    faults::{Breaker, Fault},
    load::Load,
    options::Dice,
    place::Shape,
    report::Part,
    snapshot::{EventRow, Snapshot},
};

/// Runs that are at their call when a process is killed.
const AT_ONCE: usize = 2;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let kills = arena.extent.once;
    let mut part = Part::new(&format!("{kills} kills under calls that must not be repeated"));
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 7);
    let rests = Arc::new(AtomicBool::new(false));
    let person = tokio::spawn(look_and_say(arena.clone(), rests.clone()));
    let mut breaker = Breaker::new(arena.clone(), arena.client.clone(), arena.options.seed + 7);
    let mut dice = Dice::new(arena.options.seed, 90);
    for number in 0..kills {
        let fault = if number % 2 == 0 { Fault::KillAtCall } else { Fault::KillAtAnswer };
        let starting = async {
            // The trap is set first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            for run in 0..AT_ONCE {
                arena.client.start(Shape::Once, &format!("once-{number}-{run}"), &mut dice).await;
            }
        };
        tokio::join!(breaker.perform(fault, &mut part), starting);
    }
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(120)).await;
    breaker.finish(&mut part).await;
    rests.store(true, Ordering::Relaxed);
    drop(person.await);
    check(arena, begun, &mut part).await;
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}

/// Somebody who is asked what became of a call: if it is in the other side's books, its result is taken from there; if
/// not, it is made again.
async fn look_and_say(arena: Arc<Arena>, rests: Arc<AtomicBool>) {
    let mut dice = Dice::new(arena.options.seed, 91);
    let key = &arena.place.keys[0];
    while !rests.load(Ordering::Relaxed) {
        let request = Request::get("/api/v1/approvals?state=pending&kind=failure&limit=200");
        let reply = arena.client.ask(key, request, &mut dice).await;
        let pending = reply.map(|reply| reply.body["items"].as_array().cloned().unwrap_or_default());
        for approval in pending.unwrap_or_default() {
            let run = approval["run_id"].as_str().unwrap_or_default();
            let happened = arena.outside.calls().into_iter().find(|call| call.run() == run);
            let said = match happened {
                Some(call) => json!({ "decision": "skip", "output": { "body": { "nonce": call.nonce } } }),
                None => json!({ "decision": "approve" }),
            };
            let id = approval["id"].as_str().unwrap_or_default();
            arena.client.ask(key, Request::post(format!("/api/v1/approvals/{id}/decide"), said), &mut dice).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// No call came twice, and a person was asked exactly where an attempt was cut off.
async fn check(arena: &Arena, begun: Instant, part: &mut Part) {
    let tables = Snapshot::read(&arena.tables, arena.place.org).await;
    let calls = arena.outside.calls();
    let (mut repeated, mut asked, mut cut) = (0, 0, 0);
    for run in arena.client.started_since(begun).keys() {
        let made = calls.iter().filter(|call| call.run() == run).count();
        repeated += made.saturating_sub(1);
        let events = tables.events.get(run).map(Vec::as_slice).unwrap_or_default();
        let times = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
        asked += times("step.uncertain");
        cut += cut_off(events);
    }
    part.note("G6", format!("attempts cut off {cut}, a person asked {asked} times, made twice by itself {repeated}"));
    part.find_if(repeated > 0, "G6", || format!("{repeated} calls that must not be repeated were"));
    part.find_if(asked != cut, "G6", || format!("{cut} attempts were cut off, and a person was asked {asked} times"));
}

/// How often the run's owner was lost between the beginning of the call's attempt and what was recorded of it.
fn cut_off(events: &[EventRow]) -> usize {
    let (mut open, mut cut) = (false, 0);
    for event in events {
        match event.kind.as_str() {
            "step.started" if event.step.as_deref() == Some("once") => open = true,
            "step.succeeded" if event.step.as_deref() == Some("once") => open = false,
            "run.resumed" if event.data["recovered"] == true && open => {
                cut += 1;
                open = false;
            }
            _ => {}
        }
    }
    cut
}
