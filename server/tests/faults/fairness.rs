//! G24: one organization has thousands of runs waiting, and another one's begin all the same.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use uuid::Uuid;

use crate::{
    arena::Arena,
    chaos,
    client::Request,
    load::Load,
    options::Dice,
    place::Shape,
    report::{Part, quantiles},
};

/// Between two starts of the organization that wants little.
const PACE: Duration = Duration::from_secs(1);
/// The longest that one of its runs may wait until it begins, in milliseconds.
const PATIENCE_MS: u64 = 5_000;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let (flood, starts) = arena.extent.flood;
    let mut part = Part::new(&format!("{flood} runs of another organization wait"));
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed + 6);
    let mut dice = Dice::new(arena.options.seed, 60);
    let alone = delays(arena, "alone", starts, &mut dice).await;
    let many = pour(arena, flood).await;
    let beside = delays(arena, "beside", starts, &mut dice).await;
    let left = left_over(arena, many).await;
    part.note(
        "G24",
        format!(
            "a run begins after: alone {}; beside {flood} others {}; {left} of these were left at the last start",
            quantiles(&alone),
            quantiles(&beside)
        ),
    );
    part.find_if(many.is_none(), "G24", || "the other organization could not start its runs".to_owned());
    let slowest = beside.iter().max().copied().unwrap_or(u64::MAX);
    part.find_if(slowest > PATIENCE_MS, "G24", || format!("a run waited {slowest} ms behind another organization's"));
    // The other parts have the processes for themselves.
    if let Some(many) = many {
        let drain = "update runs set wake_at = null, state = 'cancelled', finished_at = now()
                      where organization_id = $1 and state = 'queued' and owner is null";
        drop(sqlx::query(drain).bind(many).execute(&arena.tables).await);
    }
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(60)).await;
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}

/// Starts a run a second, and says how many milliseconds after its start each began.
async fn delays(arena: &Arena, name: &str, starts: usize, dice: &mut Dice) -> Vec<u64> {
    let mut runs = Vec::new();
    for number in 0..starts {
        let next = tokio::time::Instant::now() + PACE;
        runs.extend(arena.client.start(Shape::Chain, &format!("fair-{name}-{number}"), dice).await);
        tokio::time::sleep_until(next).await;
    }
    let mut delays = Vec::new();
    for run in runs {
        let begun = Instant::now();
        let id = run.parse::<agentflow::kernel::RunId>().map(agentflow::kernel::RunId::uuid).unwrap_or_default();
        let delay = loop {
            let waited: Option<i64> = sqlx::query_scalar(
                "select (extract(epoch from started_at - created_at) * 1000)::bigint from runs where id = $1",
            )
            .bind(id)
            .fetch_one(&arena.tables)
            .await
            .unwrap_or_default();
            match waited {
                Some(waited) => break waited.unsigned_abs(),
                None if begun.elapsed() > Duration::from_secs(30) => break u64::MAX,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        delays.push(delay);
    }
    delays
}

/// The other organization starts one run by the API, and has as many copies of it in the table.
async fn pour(arena: &Arena, count: usize) -> Option<Uuid> {
    let path = format!("/api/v1/workflows/{}/run", arena.place.foreign_workflow);
    let place = arena.fleet.serving().into_iter().next()?;
    let request = Request::post(path, json!({ "input": {} }));
    let reply = arena.client.send(place, &arena.place.foreign, request).await;
    let run: agentflow::kernel::RunId = reply.body["id"].as_str()?.parse().ok()?;
    sqlx::query_scalar(
        "with made as (
           insert into runs (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
                             started_by_name, input, last_seq, wake_at)
           select organization_id, gen_random_uuid(), workflow_id, workflow_version, plan_sha256, title, trigger,
                  started_by, started_by_name, input, 1, now()
             from runs, generate_series(1, $2) where id = $1
           returning organization_id, id
         ),
         told as (
           insert into run_events (organization_id, run_id, seq, kind, data)
           select made.organization_id, made.id, 1, e.kind, e.data
             from made, run_events e where e.run_id = $1 and e.seq = 1
         )
         select organization_id from made limit 1",
    )
    .bind(run.uuid())
    .bind(i32::try_from(count).unwrap_or(i32::MAX))
    .fetch_optional(&arena.tables)
    .await
    .ok()
    .flatten()
}

/// How many of the other organization's runs had not ended when the last of the few was started.
async fn left_over(arena: &Arena, many: Option<Uuid>) -> i64 {
    let statement = "select count(*) from runs where organization_id = $1
                        and coalesce(finished_at, 'infinity') > (
                          select max(created_at) from runs where organization_id <> $1
                        )";
    sqlx::query_scalar(statement).bind(many).fetch_one(&arena.tables).await.unwrap_or_default()
}
