//! G17: one process whose wall clock is wrong by minutes and by a day. Only the database's clock may decide.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    arena::Arena,
    chaos,
    load::Load,
    processes::REAPER_MS,
    report::{Part, quantiles},
    snapshot::Snapshot,
};

/// The process that is wrong.
const WRONG: usize = 1;
/// By how many seconds.
const OFFSETS: [i64; 4] = [300, -300, 86_400, -86_400];

/// Put before the system's own functions: the wall clock is wrong, the clock that only counts on is not.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long long offset(void) {
    const char *text = getenv("WRONG_BY_SECONDS");
    return text ? atoll(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"#;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let mut part = Part::new("a process with a wrong clock");
    let folder = TempDir::new().expect("a folder");
    let Some(shim) = compile(folder.path()) else {
        println!("  G17 is left out: there is no C compiler (cc) to make the wrong clock with");
        return part;
    };
    let offsets: &[i64] = if arena.options.short { &OFFSETS[..2] } else { &OFFSETS };
    let begun = Instant::now();
    let mut loads = Vec::new();
    for (number, offset) in offsets.iter().enumerate() {
        let load = Load::new(arena.client.clone(), arena.options.seed + 100 + number as u64);
        arena.fleet.kill(WRONG).await;
        // Whatever the kill left is taken over first: a takeover later on would be a stolen lease.
        tokio::time::sleep(Duration::from_millis(crate::checks::takeover_limit_ms())).await;
        let preload = shim.to_string_lossy().into_owned();
        arena.fleet.set_extra(WRONG, &[("LD_PRELOAD", preload), ("WRONG_BY_SECONDS", offset.to_string())]);
        arena.fleet.start(WRONG).await;
        part.fault(&format!("clock wrong by {offset} s"));
        let taken_over = recovered(arena).await;
        load.begin(Duration::from_millis(arena.extent.pace_ms), arena.tables.clone());
        tokio::time::sleep(Duration::from_secs(if arena.options.short { 5 } else { 15 })).await;
        load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(60)).await;
        let stolen = recovered(arena).await - taken_over;
        part.find_if(stolen > 0, "G17", || format!("{stolen} runs were taken from a living owner"));
        loads.push(load);
    }
    arena.fleet.kill(WRONG).await;
    arena.fleet.set_extra(WRONG, &[]);
    arena.fleet.start(WRONG).await;
    timers(arena, begun, &mut part).await;
    chaos::check(arena, &loads.iter().collect::<Vec<_>>(), begun, &mut part).await;
    part
}

fn compile(folder: &Path) -> Option<PathBuf> {
    let source = folder.join("wrong_clock.c");
    std::fs::write(&source, SHIM).expect("the source is written");
    let made = folder.join("wrong_clock.so");
    let compiler =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&made, &source]).arg("-ldl").status();
    compiler.is_ok_and(|status| status.success()).then_some(made)
}

/// How often a run was taken over from an owner that was held to be lost.
async fn recovered(arena: &Arena) -> i64 {
    sqlx::query_scalar("select count(*) from run_events where kind = 'run.resumed' and (data ->> 'recovered')::boolean")
        .fetch_one(&arena.tables)
        .await
        .expect("the journal")
}

/// Pauses ended at their moment, by the database's clock.
async fn timers(arena: &Arena, begun: Instant, part: &mut Part) {
    let tables = Snapshot::read(&arena.tables, arena.place.org).await;
    let (mut early, mut late) = (0, Vec::new());
    for run in arena.client.started_since(begun).keys() {
        let mut until: Option<agentflow::kernel::Timestamp> = None;
        for event in tables.events.get(run).into_iter().flatten().filter(|event| event.step.as_deref() == Some("pause"))
        {
            match event.kind.as_str() {
                "step.waiting" => until = event.data["until"].as_str().and_then(|at| at.parse().ok()),
                "step.succeeded" => {
                    if let Some(until) = until {
                        early += usize::from(event.at < until);
                        late.push(u64::try_from((event.at - until).num_milliseconds()).unwrap_or(0));
                    }
                }
                _ => {}
            }
        }
    }
    part.note("G17", format!("pauses {}, ended early {early}, late by {}", late.len(), quantiles(&late)));
    part.find_if(early > 0, "G17", || format!("{early} pauses ended early"));
    let limit = REAPER_MS + 1_000;
    part.find_if(late.iter().any(|ms| *ms > limit), "G17", || format!("a pause ended more than {limit} ms late"));
}
