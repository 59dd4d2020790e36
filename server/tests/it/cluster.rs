//! Several processes on one database, and how they share the work: fairly between organizations, within limits, by
//! priority; and runs that start in the hands of the process that took them in.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use agentflow::{
    engine::{
        plan::Concurrency,
        runner::Settings,
        state::{Priority, RunState},
        store::{self, Begin, Group, NewRun, Room, Round},
    },
    kernel::{NodeId, RunId},
    orgs,
    runs::service::{self as runs, Start},
};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{
    crash::{client, free_port},
    engine::{Node, Place, Script, chain, fast},
    world::World,
};

impl Place {
    /// A run of a group that `limit` runs share at once.
    fn grouped(&self, key: &str, limit: u32, priority: Priority, steps: &[&str]) -> NewRun {
        let mut run = self.new_run(chain(steps), None);
        Arc::make_mut(&mut run.plan).graph.concurrency = Some(Concurrency { limit, key: key.to_owned() });
        run.group = Some(Group { key: key.to_owned(), limit });
        run.priority = priority;
        run
    }

    async fn start_at_once(&self) -> RunId {
        let start = Start {
            workflow: self.workflow,
            version: None,
            input: json!({}),
            priority: None,
            labels: Vec::new(),
            idempotency_key: None,
        };
        runs::start(&self.ctx.grant().unwrap(), start).await.unwrap().run
    }

    /// Copies of a queued run, made by the table alone.
    async fn copies(&self, world: &World, of: RunId, count: i32) {
        sqlx::query(
            "with made as (
               insert into runs (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
                                 started_by_name, input, last_seq, wake_at)
               select organization_id, gen_random_uuid(), workflow_id, workflow_version, plan_sha256, title, trigger,
                      started_by, started_by_name, input, last_seq, wake_at
                 from runs, generate_series(1, $2) where id = $1
               returning organization_id, id
             )
             insert into run_events (organization_id, run_id, seq, kind, data)
             select made.organization_id, made.id, e.seq, e.kind, e.data from made, run_events e where e.run_id = $1",
        )
        .bind(of.uuid())
        .bind(count)
        .execute(world.deps().db.engine())
        .await
        .unwrap();
    }
}

async fn number(world: &World, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(world.deps().db.engine()).await.unwrap()
}

/// The most runs that were between their first write and their end at the same moment, by group or by organization.
async fn most_at_once(world: &World) -> i64 {
    number(
        world,
        "select coalesce(max(together), 0) from (
           select (
             select count(*) from runs b
              where b.organization_id = a.organization_id
                and coalesce(b.concurrency_key, '') = coalesce(a.concurrency_key, '')
                and b.started_at <= a.started_at and coalesce(b.finished_at, 'infinity') > a.started_at
           ) as together
           from runs a where a.started_at is not null
         ) t",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_runs_of_one_organization_do_not_stop_another() {
    let world = World::new().await;
    let (many, one) = (Place::new(&world).await, Place::named(&world, "Bravo", "bea@example.com").await);
    let first = many.start(chain(&["slow"]), None).await;
    many.copies(&world, first, 1_999).await;
    let other = one.start(chain(&["quick"]), None).await;
    let script = Script::default();
    let _node = Node::start_with(&world, &script, Settings { max_runs: 8, ..fast() }).await;
    one.until(other, RunState::Succeeded).await;
    let before = number(
        &world,
        "select count(*) from runs a
          where a.started_at < (select b.started_at from runs b where b.organization_id <> a.organization_id limit 1)
            and a.organization_id = (select organization_id from runs group by 1 order by count(*) desc limit 1)",
    )
    .await;
    assert!(before <= 8, "{before} of the others went first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_one_organization_fills_takes_the_others_runs_first() {
    let world = World::new().await;
    let (many, one) = (Place::new(&world).await, Place::named(&world, "Bravo", "bea@example.com").await);
    let first = many.start(chain(&["slow", "slow2", "slow3"]), None).await;
    many.copies(&world, first, 60).await;
    let script = Script::default();
    let _node = Node::start_with(&world, &script, Settings { max_runs: 16, ..fast() }).await;
    while number(&world, "select count(*) from runs where owner is not null").await < 14 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The last eighth of the node is nobody's who has the rest.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(number(&world, "select count(*) from runs where owner is not null").await, 14);
    let began = Instant::now();
    let other = one.start(chain(&["quick"]), None).await;
    one.until(other, RunState::Succeeded).await;
    // Nobody tells this node of the run: it looks every 200 ms. The others take 1.5 seconds each.
    assert!(began.elapsed() < Duration::from_millis(1_000), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_an_organization_holds_over_two_nodes() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let grant = place.ctx.grant().unwrap();
    for wrong in ["0", "-3", "many", "100001"] {
        let error = orgs::service::update_max_running(&grant, wrong).await.unwrap_err();
        assert_eq!(error.fields[0].field, "max_running");
    }
    orgs::service::update_max_running(&grant, " 3 ").await.unwrap();
    let first = place.start(chain(&["slow"]), None).await;
    place.copies(&world, first, 39).await;
    let script = Script::default();
    let (_one, _two) = (Node::start(&world, &script).await, Node::start(&world, &script).await);
    let began = Instant::now();
    let mut seen = 0;
    while number(&world, "select count(*) from runs where state <> 'succeeded'").await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "they do not all end");
        let owned = number(&world, "select count(*) from runs where owner is not null").await;
        assert!(owned <= 3, "{owned} at once");
        seen = seen.max(owned);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((seen, most_at_once(&world).await), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_at_their_limit_take_no_places_of_a_claim() {
    let world = World::new().await;
    let (pool, busy, node) = (world.deps().db.engine(), NodeId::new(), NodeId::new());
    for node in [busy, node] {
        store::register(pool, node, "test", 60_000).await.unwrap();
    }
    let mut full = Vec::new();
    for number in 0..5 {
        let place = Place::named(&world, &format!("Full {number}"), &format!("ana{number}@example.com")).await;
        orgs::service::update_max_running(&place.ctx.grant().unwrap(), "1").await.unwrap();
        let at_work = place.start(chain(&["one"]), None).await;
        let work = "update runs set owner = $2, fence = 1, wake_at = null, state = 'running' where id = $1";
        sqlx::query(work).bind(at_work).bind(busy).execute(pool).await.unwrap();
        let due = place.start(chain(&["one"]), None).await;
        full.push((place, due));
    }
    // Behind all of them, by the time and by the organization.
    let free = Place::named(&world, "Free", "bea@example.com").await;
    let claim = async || {
        let run = free.start(chain(&["one"]), None).await;
        let claims = Round::default().claim(pool, node, &Room::of(4)).await.unwrap();
        assert_eq!(claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), [run]);
    };
    claim().await;
    // So many that a node goes round.
    for (place, due) in &full {
        place.copies(&world, *due, 40).await;
    }
    claim().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_key_one_run_at_a_time() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let (_one, _two) = (Node::start(&world, &script).await, Node::start(&world, &script).await);
    let mut started = Vec::new();
    for number in 0..30 {
        let run = place.grouped(&format!("customer {}", number % 3), 1, Priority::Normal, &["one", "two"]);
        started.push(place.start_new(run).await);
    }
    for run in started {
        place.until(run, RunState::Succeeded).await;
    }
    assert_eq!(most_at_once(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_runs_are_let_in_by_priority_and_the_last_start_says_the_limit() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let mut order = Vec::new();
    for priority in [Priority::Normal, Priority::Low, Priority::Normal, Priority::High] {
        order.push(place.start_new(place.grouped("g", 1, priority, &["one"])).await);
    }
    assert_eq!(number(&world, "select count(*) from runs where held").await, 3);
    let script = Script::default();
    let _node = Node::start(&world, &script).await;
    for run in &order {
        place.until(*run, RunState::Succeeded).await;
    }
    let begun: Vec<uuid::Uuid> = sqlx::query_scalar("select id from runs order by started_at")
        .fetch_all(world.deps().db.engine())
        .await
        .unwrap();
    assert_eq!(begun, [order[0], order[3], order[2], order[1]].map(RunId::uuid));
    // A new version allows more at once: those that are held from before need not wait for an empty group.
    let blocked = [
        place.start_new(place.grouped("h", 1, Priority::Normal, &["hang"])).await,
        place.start_new(place.grouped("h", 1, Priority::Normal, &["one"])).await,
    ];
    let newer = place.start_new(place.grouped("h", 3, Priority::Normal, &["one"])).await;
    place.until(blocked[1], RunState::Succeeded).await;
    place.until(newer, RunState::Succeeded).await;
    assert_eq!(place.state(blocked[0]).await, RunState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_died_before_it_let_the_next_one_in_stops_nobody() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let ended = place.start_new(place.grouped("g", 1, Priority::Normal, &["one"])).await;
    let next = place.start_new(place.grouped("g", 1, Priority::Normal, &["one"])).await;
    sqlx::query("update runs set state = 'succeeded', finished_at = now(), wake_at = null where id = $1")
        .bind(ended)
        .execute(world.deps().db.engine())
        .await
        .unwrap();
    let script = Script::default();
    let _node = Node::start(&world, &script).await;
    place.until(next, RunState::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_run_can_be_stopped_and_keeps_its_deadline() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let _node = Node::start(&world, &script).await;
    let first = place.start_new(place.grouped("g", 1, Priority::Normal, &["hang"])).await;
    let stopped = place.start_new(place.grouped("g", 1, Priority::High, &["two"])).await;
    let late =
        place.start_new(NewRun { deadline_s: Some(1), ..place.grouped("g", 1, Priority::Normal, &["three"]) }).await;
    agentflow::runs::control::cancel(&place.ctx.grant().unwrap(), stopped).await.unwrap();
    assert!(place.until(stopped, RunState::Cancelled).await < Duration::from_secs(2));
    let took = place.until(late, RunState::Failed).await;
    assert!(took < Duration::from_secs(4), "its deadline came after {took:?}");
    assert_eq!((script.calls_of("two"), script.calls_of("three")), (vec![], vec![]));
    assert_eq!(place.state(first).await, RunState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_starts_in_the_hands_of_the_process_that_took_it_in() {
    let world = World::with(&[("AGENTFLOW_REAPER_MS", "300")]).await;
    let place = Place::new(&world).await;
    world.work();
    let engine = &world.deps().engine;
    let org = place.ctx.org_id();
    while engine.begin(org, &place.new_run(chain(&[]), None)).is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sum = || {
        let sum = json!({ "id": "sum", "kind": "transform", "value": "{{ 1 + 1 }}", "after": ["start"] });
        place.new_run(crate::node_kinds::through(&[sum], "sum"), None)
    };
    for _ in 0..20 {
        let run = sum();
        let mut tx = place.ctx.deps().db.tenant(org).await.unwrap();
        let fresh = store::start_run(&mut tx, &run, engine.begin(org, &run)).await.unwrap();
        tx.commit().await.unwrap();
        engine.started(org, run.id, fresh);
        place.until(run.id, RunState::Succeeded).await;
    }
    let claimed = || engine.counters().claimed.get();
    assert_eq!((claimed(), engine.counters().loaded.get()), (0, 0), "somebody had to look for them");
    // The process dies between the commit and the word to its node: the run is found all the same.
    let mut tx = place.ctx.deps().db.tenant(org).await.unwrap();
    let run = sum();
    let fresh = store::start_run(&mut tx, &run, engine.begin(org, &run)).await.unwrap();
    tx.commit().await.unwrap();
    let names: Vec<_> = fresh.unwrap().events.iter().map(|stored| stored.event.name()).collect();
    assert_eq!(names[..2], ["run.queued", "run.started"], "it has begun with the start's own commit");
    let written: Vec<_> = place.events(run.id).await.iter().map(agentflow::engine::journal::Event::name).collect();
    assert_eq!(written, names);
    place.until(run.id, RunState::Succeeded).await;
    assert_eq!(claimed(), 1);
    // A node that is not alive gets none.
    let mut tx = place.ctx.deps().db.tenant(place.ctx.org_id()).await.unwrap();
    let run = sum();
    let begin = engine.begin(org, &run).unwrap();
    let begin = Begin { node: NodeId::new(), ..begin };
    let fresh = store::start_run(&mut tx, &run, Some(begin)).await.unwrap();
    assert!(fresh.is_none());
    tx.commit().await.unwrap();
    assert_eq!(place.events(run.id).await.len(), 1, "what was decided for the other node is not written");
    place.until(run.id, RunState::Succeeded).await;
    // Where runs are counted, they are claimed.
    orgs::service::update_max_running(&place.ctx.grant().unwrap(), "1").await.unwrap();
    let before = claimed();
    let run = place.start_at_once().await;
    place.until(run, RunState::Succeeded).await;
    assert_eq!(claimed(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_says_what_it_waits_for() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let why = async |run: RunId| {
        runs::find(&place.ctx.grant().unwrap(), run).await.unwrap().summary.queued_because.unwrap_or_default()
    };
    let first = place.start_new(place.grouped("g", 1, Priority::Normal, &["hang"])).await;
    let held = place.start_new(place.grouped("g", 1, Priority::Normal, &["one"])).await;
    assert!(why(held).await.contains("another run of this workflow is"), "{}", why(held).await);
    assert_eq!(why(first).await, "", "it is not even a second old");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(why(first).await.contains("no process"), "{}", why(first).await);
    orgs::service::update_max_running(&place.ctx.grant().unwrap(), "1").await.unwrap();
    let script = Script::default();
    let _node = Node::start(&world, &script).await;
    place.until(first, RunState::Running).await;
    let more = place.start(chain(&["one"]), None).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(why(more).await.contains("one run of the organization"), "{}", why(more).await);
    let listed = runs::list(&place.ctx.grant().unwrap(), &Default::default(), None, 50).await.unwrap();
    let said: HashMap<RunId, bool> =
        listed.items.into_iter().map(|run| (run.id, run.queued_because.is_some())).collect();
    assert_eq!((said[&first], said[&held], said[&more]), (false, true, true));
    // One that waited and has been due for a moment says so as well.
    let mut owner = world.owner().await;
    let due = "update runs set state = 'waiting', waiting_on = 'timer', wake_at = now() - interval '2 seconds'
                where id = $1 and owner is null";
    assert_eq!(sqlx::query(due).bind(more).execute(&mut owner).await.unwrap().rows_affected(), 1);
    assert!(why(more).await.contains("run of the organization"), "{}", why(more).await);
}

/// The built binary in one role.
struct Process {
    _child: Child,
    base: String,
}

impl Process {
    async fn start(world: &World, role: &str) -> Self {
        let port = free_port().await;
        let child = Command::new(env!("CARGO_BIN_EXE_agentflow"))
            .args(["serve", "--role", role])
            .env("DATABASE_URL", world.database_url())
            .env("AGENTFLOW_ADDRESS", format!("127.0.0.1:{port}"))
            .env("AGENTFLOW_DATABASE_CONNECTIONS", "4")
            .env("AGENTFLOW_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let process = Self { _child: child, base: format!("http://127.0.0.1:{port}") };
        for _ in 0..400 {
            let ready = client().get(format!("{}/health/ready", process.base)).send().await;
            if ready.is_ok_and(|reply| reply.status().is_success()) {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the process was not ready within 20 seconds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_serves_and_another_works() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let wish = agentflow::keys::service::Wish { name: "test".to_owned(), role: "member".to_owned(), days: 1 };
    let key = agentflow::keys::service::create_as_operator(world.deps(), place.ctx.org_id(), &wish).await.unwrap();
    let web = Process::start(&world, "web").await;
    let http = client();
    let start = || {
        let url = format!("{}/api/v1/workflows/{}/run", web.base, place.workflow);
        http.post(url).bearer_auth(&key.secret).json(&json!({ "input": {}, "priority": "high" })).send()
    };
    let reply = start().await.unwrap();
    assert_eq!(reply.status(), 202);
    let accepted: Value = reply.json().await.unwrap();
    let run = accepted["id"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(number(&world, "select count(*) from nodes").await, 0, "a process that serves only is no node");
    assert_eq!(number(&world, "select count(*) from runs where owner is not null or started_at is not null").await, 0);
    assert_eq!(number(&world, "select sum(priority) from runs").await, 1);
    let stream = http.get(format!("{}/api/v1/runs/{run}/events", web.base)).bearer_auth(&key.secret).send();
    let mut stream = stream.await.unwrap();
    let worker = Process::start(&world, "worker").await;
    // Read at the one while the other works.
    let mut text = String::new();
    let read = async {
        while !text.contains("run.succeeded") {
            match stream.chunk().await.unwrap() {
                Some(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                None => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the stream tells the end");
    assert!(text.contains("run.queued") && text.contains("run.started") && text.contains("run.succeeded"), "{text}");
    for path in ["/", "/signin", "/api/v1/runs"] {
        let reply = http.get(format!("{}{path}", worker.base)).bearer_auth(&key.secret).send().await.unwrap();
        assert_eq!(reply.status(), 404, "a process that works only answers {path}");
    }
    let reply = start().await.unwrap();
    assert_eq!(reply.status(), 202);
}

#[tokio::test]
async fn an_input_is_seen_from_the_first_as_the_database_gives_it_back() {
    let world = World::new().await;
    let text = r#"{"bb": {"zz": 1, "a": [1e16, -0.0, 0.1, 1e300, 5e-324, 1.5e-10, 2e3, 100.0, 18446744073709551615, -7]},
                   "a": "é\"\\\n", "ab": {"é": null, "e": true, "ee": 1e22}, "": [], "c": {}, "B": 0.0}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    let back: Value =
        sqlx::query_scalar("select $1::jsonb").bind(&value).fetch_one(&mut world.owner().await).await.unwrap();
    assert_eq!(store::as_stored(value).to_string(), back.to_string());
}
