//! Background work: jobs are asked for with a transaction or not at all, are done by whoever is there, and survive whoever
//! dies over them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use agentflow::{
    db::{self, Db},
    deps::Deps,
    jobs::{self, Crew, Job, Pace},
    kernel::{Error, Kind, OrgId, Result},
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use crate::{
    office::Office,
    world::{World, base_url},
};

/// How often each job was begun, by its word.
static BEGUN: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

fn begun(word: &str) -> u32 {
    BEGUN.lock().unwrap_or_else(PoisonError::into_inner).get(word).copied().unwrap_or(0)
}

/// A job that fails as often as it is told, or hangs at its first attempt.
#[derive(Serialize, Deserialize)]
struct Probe {
    word: String,
    fails: u32,
    hangs: bool,
}

impl Probe {
    fn named(world: &World, word: &str) -> Self {
        Self { word: format!("{}/{word}", world.database()), fails: 0, hangs: false }
    }
}

impl Job for Probe {
    const NAME: &'static str = "probe";
    const MAX_ATTEMPTS: i32 = 2;

    fn key(&self) -> String {
        self.word.clone()
    }

    async fn run(self, _: &Deps, _: OrgId) -> Result<()> {
        let attempt = {
            let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
            let count = begun.entry(self.word).or_default();
            *count += 1;
            *count
        };
        if self.hangs && attempt == 1 {
            std::future::pending::<()>().await;
        }
        if attempt <= self.fails {
            return Err(Error::new(Kind::Unavailable, "probe.fails", "As it was told to."));
        }
        Ok(())
    }
}

/// Fast enough for a test.
const PACE: Pace = Pace {
    poll: Duration::from_millis(200),
    heartbeat: Duration::from_millis(300),
    dead_after: Duration::from_millis(1_500),
};

fn crew(deps: &Deps, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::spawn(Crew::new(deps.clone(), PACE).job::<Probe>().run(stop.clone()))
}

async fn ask(world: &World, org: OrgId, probe: &Probe) {
    let mut tx = world.deps().db.tenant(org).await.unwrap();
    jobs::enqueue(&mut tx, probe).await.unwrap();
    tx.commit().await.unwrap();
}

/// The jobs that there are: how often each was tried.
async fn waiting(world: &World) -> Vec<i16> {
    let text = "select attempts from graphile_worker._private_jobs order by id";
    sqlx::query_scalar(text).fetch_all(&mut world.owner().await).await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within 20 s: {what}");
}

#[tokio::test]
async fn a_job_comes_with_its_commit_and_two_workers_do_it_once() {
    let world = World::new().await;
    let org = Office::new(&world, "Acme").await.owner.org_id();
    let (kept, undone) = (Probe::named(&world, "kept"), Probe::named(&world, "undone"));
    let mut tx = world.deps().db.tenant(org).await.unwrap();
    jobs::enqueue(&mut tx, &undone).await.unwrap();
    drop(tx);
    ask(&world, org, &kept).await;
    ask(&world, org, &kept).await;
    assert_eq!(waiting(&world).await, [0], "one that waits is not joined by another of its key");

    let stop = CancellationToken::new();
    let crews = [crew(world.deps(), &stop), crew(world.deps(), &stop)];
    until("it is done", async || waiting(&world).await.is_empty()).await;
    for number in 0..20 {
        ask(&world, org, &Probe::named(&world, &format!("n{number}"))).await;
    }
    until("all are done", async || waiting(&world).await.is_empty()).await;
    stop.cancel();
    for crew in crews {
        crew.await.unwrap();
    }
    assert_eq!((begun(&kept.word), begun(&undone.word)), (1, 0));
    let each: Vec<u32> = (0..20).map(|number| begun(&Probe::named(&world, &format!("n{number}")).word)).collect();
    assert_eq!(each, [1; 20]);
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_and_one_that_always_fails_is_told_of() {
    let world = World::new().await;
    let org = Office::new(&world, "Acme").await.owner.org_id();
    let once = Probe { fails: 1, ..Probe::named(&world, "once") };
    let always = Probe { fails: 99, ..Probe::named(&world, "always") };
    ask(&world, org, &once).await;
    ask(&world, org, &always).await;
    let stop = CancellationToken::new();
    let crew = crew(world.deps(), &stop);
    until("both were tried twice", async || waiting(&world).await == [2]).await;
    let keeper = world.deps().db.keeper();
    until("the worker let go", async || !jobs::failed_for_good(keeper).await.unwrap().is_empty()).await;
    stop.cancel();
    crew.await.unwrap();
    assert_eq!((begun(&once.word), begun(&always.word)), (2, 2));
    assert_eq!(jobs::failed_for_good(keeper).await.unwrap(), [("probe".to_owned(), 1)]);
    let text: String = sqlx::query_scalar("select last_error from graphile_worker._private_jobs")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    assert!(text.contains("probe.fails"), "{text}");
}

#[tokio::test]
async fn what_a_dead_worker_had_begun_is_done_by_another() {
    let world = World::new().await;
    let org = Office::new(&world, "Acme").await.owner.org_id();
    let probe = Probe { hangs: true, ..Probe::named(&world, "hangs") };
    ask(&world, org, &probe).await;
    // A process of its own, as far as can be: its tasks and its connections end at one moment, without a word.
    let (url, deps) = (world.database_url().to_owned(), world.deps().clone());
    let word = probe.word.clone();
    std::thread::spawn(move || {
        let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        doomed.block_on(async move {
            let deps = Deps { db: Db::connect(&url, 2).await.unwrap(), ..deps };
            let _crew = crew(&deps, &CancellationToken::new());
            until("it is begun", async || begun(&word) == 1).await;
        });
        doomed.shutdown_background();
    })
    .join()
    .unwrap();
    assert_eq!(waiting(&world).await.len(), 1, "it is not done");
    let stop = CancellationToken::new();
    let crew = crew(world.deps(), &stop);
    until("another has done it", async || waiting(&world).await.is_empty()).await;
    stop.cancel();
    crew.await.unwrap();
    assert_eq!(begun(&probe.word), 2);
}

#[tokio::test]
async fn an_organization_sees_its_own_jobs_alone_and_can_ask_in_no_others_name() {
    let world = World::new().await;
    let (ours, theirs) =
        (Office::new(&world, "Ours").await.owner.org_id(), Office::new(&world, "Theirs").await.owner.org_id());
    ask(&world, theirs, &Probe::named(&world, "theirs")).await;
    ask(&world, ours, &Probe::named(&world, "ours")).await;
    let mut tx = world.deps().db.tenant(ours).await.unwrap();
    let seen = sqlx::query("select payload ->> 'organization' from graphile_worker._private_jobs")
        .fetch_all(tx.conn())
        .await
        .unwrap();
    assert_eq!(seen.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>(), [ours.uuid().to_string()]);
    let changed =
        sqlx::query("update graphile_worker._private_jobs set attempts = 99").execute(tx.conn()).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let forged = sqlx::query("select from graphile_worker.add_job('probe', json_build_object('organization', $1))")
        .bind(theirs.uuid())
        .execute(tx.conn())
        .await;
    assert!(forged.is_err(), "a job of another organization");
    drop(tx);
    for statement in [
        "delete from graphile_worker._private_jobs",
        "select from graphile_worker._private_workers",
        "update graphile_worker._private_tasks set identifier = 'x'",
    ] {
        let mut tx = world.deps().db.tenant(ours).await.unwrap();
        let refused = sqlx::query(statement).execute(tx.conn()).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
        assert_eq!(code, "42501", "{statement}");
    }
    let mut tx = world.deps().db.tenant(ours).await.unwrap();
    let text = "select graphile_worker.permanently_fail_jobs(array(select generate_series(1::bigint, 9)))";
    let given_up = sqlx::query(text).fetch_all(tx.conn()).await.unwrap();
    assert_eq!(given_up.len(), 1, "one's own");
    tx.commit().await.unwrap();
    assert_eq!(waiting(&world).await, [0, 2], "theirs is as it was");
}

#[tokio::test]
async fn several_processes_that_start_at_once_make_one_queue() {
    let world = World::new().await;
    let name = format!("{}_fresh", world.database());
    let mut owner = world.owner().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}"))).execute(&mut owner).await.unwrap();
    let mut url = base_url();
    url.set_path(&name);
    let starts = (0..4).map(|_| db::prepare(url.as_str()));
    for start in futures::future::join_all(starts).await {
        start.unwrap();
    }
    db::prepare(url.as_str()).await.unwrap();
    let db = Db::connect(url.as_str(), 1).await.unwrap();
    assert_eq!(jobs::failed_for_good(db.keeper()).await.unwrap(), []);
    db.close().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop database {name} with (force)"))).execute(&mut owner).await.unwrap();
}
