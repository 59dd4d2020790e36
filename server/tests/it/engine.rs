//! The engine on a real database: owners that are lost, that sleep too long, that are asked to stop; runs that are
//! stopped, that pass their deadline; a database that cuts its connections.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use agentflow::{
    access::{Actor, Ctx, OrgRef, Role},
    accounts::service::NewAccount,
    db::TenantTx,
    engine::{
        counters::Counters,
        journal::Event,
        machine::Input,
        plan::{Graph, Plan, ToolEffect, ToolSpec},
        port::{Answer, Call, CallScope, Effects, Evaluation, Progress},
        runner::{Runner, Settings},
        state::{Priority, RunState, StepError, StepId},
        store::{self, Commit, Committed, NewRun, Plans, Room, Round, Signal},
    },
    kernel::{NodeId, RunId, UserId, WorkflowId},
    workflows::{self, NewWorkflow},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Effects that do as they are told by the step's name: `slow…` takes half a second, `hang…` never answers on the first
/// attempt, everything else echoes at once. Each call is written down before it is answered.
#[derive(Clone, Default)]
pub struct Script {
    calls: Arc<Mutex<Vec<(String, u32)>>>,
}

impl Script {
    pub fn calls_of(&self, step: &str) -> Vec<u32> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(key, _)| key.ends_with(&format!("/{step}"))).map(|(_, attempt)| *attempt).collect()
    }
}

#[async_trait::async_trait]
impl Effects for Script {
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        self.calls.lock().unwrap().push((scope.idempotency_key(), scope.attempt));
        progress(Progress::Partial("…".to_owned()));
        let name = scope.step.as_str();
        if name.starts_with("hang") && scope.attempt == 1 {
            std::future::pending::<()>().await;
        }
        if name.starts_with("slow") {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        match call {
            Call::Tool(tool) => Ok(Answer::Tool { output: tool.arguments }),
            Call::Model(_) | Call::Memory(_) => unreachable!("no graph of these tests has an agent"),
        }
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        Ok(evaluation.template)
    }
}

pub fn fast() -> Settings {
    Settings {
        lease: Duration::from_millis(1_500),
        heartbeat: Duration::from_millis(400),
        reaper: Duration::from_millis(300),
        poll: Duration::from_millis(200),
        ..Settings::default()
    }
}

/// A node on a runtime of its own, so that a test can lose it whole.
pub struct Node {
    runtime: Option<tokio::runtime::Runtime>,
    stop: CancellationToken,
    done: Option<tokio::sync::oneshot::Receiver<()>>,
}

impl Node {
    pub async fn start(world: &World, script: &(impl Effects + Clone)) -> Self {
        Self::start_with(world, script, fast()).await
    }

    pub async fn start_with(world: &World, script: &(impl Effects + Clone), settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let (url, script, token) = (world.database_url().to_owned(), script.clone(), stop.clone());
        let (ready, started) = tokio::sync::oneshot::channel();
        let (end, done) = tokio::sync::oneshot::channel();
        // Its own pools and its own handle: another process in all but name.
        runtime.spawn(async move {
            let db = agentflow::db::Db::connect(&url, 4).await.unwrap();
            let hub = agentflow::live::Hub::default();
            let engine = agentflow::engine::handle::Engine::new(Arc::new(hub));
            let pool = db.engine().clone();
            let runner = Runner::register(pool, engine, Arc::new(script), settings, "test", token).await.unwrap();
            ready.send(()).unwrap();
            runner.run("test").await;
            let _ = end.send(());
        });
        started.await.unwrap();
        Self { runtime: Some(runtime), stop, done: Some(done) }
    }

    /// The process is gone from one moment to the next: nothing is given back.
    pub fn lose(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.done.take().unwrap().await.unwrap();
        self.lose();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.lose();
    }
}

/// An organization with a workflow that runs can name.
pub struct Place {
    pub ctx: Ctx,
    pub workflow: WorkflowId,
}

impl Place {
    pub async fn new(world: &World) -> Self {
        Self::named(world, "Acme", "ana@example.com").await
    }

    pub async fn named(world: &World, organization: &str, email: &str) -> Self {
        let deps = world.deps().clone();
        let account = NewAccount {
            name: "Ana".to_owned(),
            email: email.to_owned(),
            password: crate::people::PASSWORD.to_owned(),
            organization: organization.to_owned(),
        };
        let org: OrgRef = agentflow::accounts::service::create(&deps, account).await.unwrap();
        let actor = Actor::User { id: UserId::new(), name: "Ana".to_owned() };
        let ctx = Ctx::new(deps, actor, org, Role::Owner, "test".to_owned());
        let new = NewWorkflow {
            name: "A place for runs".to_owned(),
            description: String::new(),
            graph: graph(
                json!([{ "id": "start", "kind": "start" }, { "id": "end", "kind": "end", "after": ["start"] }]),
            ),
            agents: BTreeMap::new(),
            deploy: true,
        };
        let workflow = workflows::service::create(&ctx.grant().unwrap(), new).await.unwrap().id;
        Self { ctx, workflow }
    }

    async fn tx(&self) -> TenantTx {
        self.ctx.deps().db.tenant(self.ctx.org_id()).await.unwrap()
    }

    pub async fn start(&self, nodes: Value, deadline_s: Option<u64>) -> RunId {
        self.start_new(self.new_run(nodes, deadline_s)).await
    }

    pub fn new_run(&self, nodes: Value, deadline_s: Option<u64>) -> NewRun {
        let tool = ToolSpec {
            at_most_once: false,
            repeatable: false,
            name: "echo".to_owned(),
            description: String::new(),
            parameters: json!({}),
            effect: ToolEffect::Read,
            timeout_s: 60,
            ..ToolSpec::default()
        };
        let plan = Plan {
            graph: graph(nodes),
            agents: BTreeMap::new(),
            tools: BTreeMap::from([("echo".to_owned(), tool)]),
            ..Plan::default()
        };
        self.run_of(plan, deadline_s)
    }

    /// Starts a run of a plan as it is.
    pub async fn start_plan(&self, plan: Plan, deadline_s: Option<u64>) -> RunId {
        self.start_new(self.run_of(plan, deadline_s)).await
    }

    fn run_of(&self, plan: Plan, deadline_s: Option<u64>) -> NewRun {
        NewRun {
            id: RunId::new(),
            workflow: self.workflow,
            workflow_version: 1,
            plan: Arc::new(plan),
            title: "A run".to_owned(),
            trigger: "test",
            started_by: self.ctx.actor().reference(),
            started_by_name: "Ana".to_owned(),
            input: json!({}),
            deadline_s,
            retry_of: None,
            priority: Priority::Normal,
            group: None,
            labels: Vec::new(),
        }
    }

    pub async fn start_new(&self, run: NewRun) -> RunId {
        let mut tx = self.tx().await;
        store::start_run(&mut tx, &run, None).await.unwrap();
        tx.commit().await.unwrap();
        self.ctx.deps().engine.committed(self.ctx.org_id(), run.id);
        run.id
    }

    /// What somebody tells a run.
    pub async fn tell(&self, run: RunId, signal: Signal) {
        let mut tx = self.tx().await;
        store::signal(&mut tx, run, &signal, &[]).await.unwrap();
        tx.commit().await.unwrap();
        self.ctx.deps().engine.committed(self.ctx.org_id(), run);
    }

    pub async fn state(&self, run: RunId) -> RunState {
        let mut tx = self.tx().await;
        let word: String = sqlx::query_scalar("select state from runs where organization_id = $1 and id = $2")
            .bind(self.ctx.org_id())
            .bind(run)
            .fetch_one(tx.conn())
            .await
            .unwrap();
        RunState::parse(&word).unwrap()
    }

    pub async fn until(&self, run: RunId, wanted: RunState) -> Duration {
        let begun = Instant::now();
        loop {
            let state = self.state(run).await;
            if state == wanted {
                return begun.elapsed();
            }
            assert!(!state.is_end(), "{run} is {state}, not {wanted}");
            assert!(begun.elapsed() < Duration::from_secs(30), "{run} is still {state}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The names of a run's events, after a look that their numbers have no gap.
    pub async fn events(&self, run: RunId) -> Vec<Event> {
        let mut tx = self.tx().await;
        let rows: Vec<(i64, Value)> =
            sqlx::query_as("select seq, data from run_events where organization_id = $1 and run_id = $2 order by seq")
                .bind(self.ctx.org_id())
                .bind(run)
                .fetch_all(tx.conn())
                .await
                .unwrap();
        rows.into_iter()
            .zip(1..)
            .map(|((seq, data), expected)| {
                assert_eq!(seq, expected, "a gap in the journal");
                serde_json::from_value(data).unwrap()
            })
            .collect()
    }
}

fn graph(nodes: Value) -> Graph {
    serde_json::from_value(json!({ "nodes": nodes })).unwrap()
}

/// start → the named steps one after the other → end.
pub fn chain(steps: &[&str]) -> Value {
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    let mut before = "start";
    for step in steps {
        nodes.push(json!({
            "id": step, "kind": "tool", "tool": "echo", "arguments": { "from": step }, "after": [before],
        }));
        before = step;
    }
    nodes.push(json!({ "id": "end", "kind": "end", "output": "done", "after": [before] }));
    Value::Array(nodes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_owner_is_lost_is_taken_up_again_and_repeats_no_recorded_step() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let mut first = Node::start(&world, &script).await;
    let run = place.start(chain(&["one", "hang", "two"]), None).await;
    while script.calls_of("hang").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.lose();
    let _second = Node::start(&world, &script).await;
    let took = place.until(run, RunState::Succeeded).await;
    // Lease, reaper, and a second for the rest.
    assert!(took < Duration::from_millis(1_500 + 300 + 1_500), "taken over after {took:?}");
    assert_eq!(script.calls_of("one"), [1], "a recorded result was asked for again");
    assert_eq!(script.calls_of("hang"), [1, 2], "the same key, another attempt");
    assert_eq!(script.calls_of("two"), [1]);
    let events = place.events(run).await;
    assert!(events.contains(&Event::RunResumed { recovered: true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_its_turn_uses_up_none_of_its_own_time() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let _node = Node::start_with(&world, &script, Settings { max_calls: 1, ..fast() }).await;
    let names = ["slow1", "slow2", "slow3", "slow4"];
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    for name in names {
        nodes.push(json!({ "id": name, "kind": "tool", "tool": "echo", "after": ["start"], "timeout_s": 1 }));
    }
    nodes.push(json!({ "id": "end", "kind": "end", "after": names }));
    let run = place.start(Value::Array(nodes), None).await;
    let took = place.until(run, RunState::Succeeded).await;
    assert!(took >= Duration::from_secs(2), "one after the other: {took:?}");
    for name in names {
        assert_eq!(script.calls_of(name), [1], "{name} was cut off before its turn");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_takes_its_waiting_calls_along() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let _node = Node::start_with(&world, &script, Settings { max_calls: 1, ..fast() }).await;
    let held = place.start(chain(&["hang"]), Some(4)).await;
    while script.calls_of("hang").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let waiting = place.start(chain(&["one"]), Some(1)).await;
    let took = place.until(waiting, RunState::Failed).await;
    assert!(took < Duration::from_secs(3), "its deadline came and it still waited: {took:?}");
    assert_eq!(script.calls_of("one"), [0; 0]);
    place.until(held, RunState::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_old_owner_writes_is_accepted() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let run = place.start(chain(&["one"]), None).await;
    let pool = world.deps().db.engine();
    let (old, new) = (NodeId::new(), NodeId::new());
    store::register(pool, old, "old", 60_000).await.unwrap();
    let stale = Round::default().claim(pool, old, &Room::of(10)).await.unwrap()[0];
    // Its lease runs out while it sleeps; another takes the run.
    sqlx::query("update nodes set lease_until = now() - interval '1 second' where id = $1")
        .bind(old)
        .execute(pool)
        .await
        .unwrap();
    let write = |claim| Commit {
        claim,
        events: vec![Event::RunStarted],
        steps: Vec::new(),
        approvals: Vec::new(),
        withdrawn: Vec::new(),
        state: RunState::Succeeded,
        waiting_on: None,
        output: None,
        error: None,
        usage: Default::default(),
        signals_seen: 0,
        needs_sync: false,
        release: None,
    };
    let refused = |outcome: &[Committed]| matches!(outcome, [Committed::Refused]);
    assert!(
        refused(&store::commit(pool, old, &[write(stale)], &Counters::default()).await.unwrap()),
        "a lease that ran out still writes"
    );
    store::register(pool, new, "new", 60_000).await.unwrap();
    assert_eq!(store::reap(pool).await.unwrap(), 1);
    let fresh = Round::default().claim(pool, new, &Room::of(10)).await.unwrap()[0];
    assert!(fresh.fence > stale.fence);
    // Even with a lease again, and even pretending to be the new owner under the old fence.
    store::register(pool, old, "old", 60_000).await.unwrap();
    assert!(refused(&store::commit(pool, old, &[write(stale)], &Counters::default()).await.unwrap()));
    assert!(refused(&store::commit(pool, new, &[write(stale)], &Counters::default()).await.unwrap()));
    assert!(store::load(pool, old, stale, &Plans::default()).await.unwrap().is_none());
    assert_eq!(place.events(run).await.len(), 1);
    assert!(!refused(&store::commit(pool, new, &[write(fresh)], &Counters::default()).await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_reaches_a_call_under_way_and_nothing_begins_after_it() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let _node = Node::start(&world, &script).await;
    let run = place.start(chain(&["hang", "two"]), None).await;
    while script.calls_of("hang").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut tx = place.tx().await;
    let event = Event::RunCancelling { by: "Ana".to_owned() };
    let state = store::signal(&mut tx, run, &Signal::Cancel { by: "Ana".to_owned() }, &[event]).await.unwrap();
    assert_eq!(state, Some(RunState::Cancelling));
    tx.commit().await.unwrap();
    // No notification: the node finds out by itself.
    let took = place.until(run, RunState::Cancelled).await;
    assert!(took < Duration::from_secs(2), "stopped after {took:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(script.calls_of("two").is_empty());
    let mut tx = place.tx().await;
    let again = store::signal(&mut tx, run, &Signal::Cancel { by: "Ana".to_owned() }, &[]).await.unwrap();
    assert_eq!(again, None, "an end never changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_was_not_read_yet_refuses_the_next_start() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let run = place.start(chain(&["one"]), None).await;
    let pool = world.deps().db.engine();
    let node = NodeId::new();
    store::register(pool, node, "test", 60_000).await.unwrap();
    let claim = Round::default().claim(pool, node, &Room::of(1)).await.unwrap()[0];
    let mut machine = store::load(pool, node, claim, &Plans::default()).await.unwrap().unwrap().machine;
    let mut tx = place.tx().await;
    store::signal(&mut tx, run, &Signal::Cancel { by: "Ana".to_owned() }, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let now = chrono::DateTime::UNIX_EPOCH;
    let turn = agentflow::engine::decide::decide(&mut machine, Input::Loaded, now);
    let write = |needs_sync| Commit {
        claim,
        events: turn.events.clone(),
        steps: Vec::new(),
        approvals: Vec::new(),
        withdrawn: Vec::new(),
        state: RunState::Running,
        waiting_on: None,
        output: None,
        error: None,
        usage: Default::default(),
        signals_seen: machine.signals_seen,
        needs_sync,
        release: None,
    };
    assert!(matches!(
        store::commit(pool, node, &[write(true)], &Counters::default()).await.unwrap()[..],
        [Committed::Refused]
    ));
    // What only records is written, and the run still shows that it is being stopped.
    assert!(matches!(
        store::commit(pool, node, &[write(false)], &Counters::default()).await.unwrap()[..],
        [Committed::Written(_)]
    ));
    assert_eq!(place.state(run).await, RunState::Cancelling);
    assert_eq!(store::signals_after(pool, claim, 0).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds_although_its_owner_is_lost() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let mut first = Node::start(&world, &script).await;
    let begun = Instant::now();
    let run = place.start(chain(&["hang"]), Some(3)).await;
    while script.calls_of("hang").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.lose();
    tokio::time::sleep(Duration::from_millis(3_200).saturating_sub(begun.elapsed())).await;
    let _second = Node::start(&world, &script).await;
    let after_boot = place.until(run, RunState::Failed).await;
    assert!(after_boot < Duration::from_millis(300 + 1_500), "failed {after_boot:?} after the restart");
    let events = place.events(run).await;
    assert!(events.iter().any(|event| matches!(event, Event::RunFailed { error } if error.code == "run.deadline")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_holds_nothing_and_wakes_by_itself() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let node = Node::start(&world, &script).await;
    let nodes = json!([
        { "id": "start", "kind": "start" },
        { "id": "pause", "kind": "wait", "seconds": 4, "after": ["start"] },
        { "id": "end", "kind": "end", "output": 1, "after": ["pause"] },
    ]);
    let run = place.start(nodes, None).await;
    place.until(run, RunState::Waiting).await;
    let mut tx = place.tx().await;
    let owner: Option<uuid::Uuid> =
        sqlx::query_scalar("select owner from runs where id = $1").bind(run).fetch_one(tx.conn()).await.unwrap();
    drop(tx);
    assert_eq!(owner, None);
    // It does not matter who wakes it.
    node.stop().await;
    let _other = Node::start(&world, &script).await;
    let took = place.until(run, RunState::Succeeded).await;
    assert!(took < Duration::from_secs(6), "woke after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_lets_a_call_finish_and_another_node_goes_on() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let node = Node::start(&world, &script).await;
    let run = place.start(chain(&["slow_one", "slow_two"]), None).await;
    while script.calls_of("slow_one").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
    assert!(script.calls_of("slow_two").is_empty(), "a new step began after the wish to stop");
    let _other = Node::start(&world, &script).await;
    place.until(run, RunState::Succeeded).await;
    assert_eq!((script.calls_of("slow_one"), script.calls_of("slow_two")), (vec![1], vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_nothing_and_repeat_nothing_recorded() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let _node = Node::start(&world, &script).await;
    let mut runs = Vec::new();
    for _ in 0..40 {
        runs.push(place.start(chain(&["one", "slow_two", "three"]), None).await);
    }
    let mut owner = world.owner().await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        // The server's own processes, such as those that vacuum, are none of the connections.
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'",
        )
        .execute(&mut owner)
        .await
        .unwrap();
    }
    for run in runs {
        loop {
            // The test's own pool was cut as well.
            let Ok(mut tx) = place.ctx.deps().db.tenant(place.ctx.org_id()).await else { continue };
            let state: Result<String, _> =
                sqlx::query_scalar("select state from runs where id = $1").bind(run).fetch_one(tx.conn()).await;
            match state.as_deref() {
                Ok("succeeded") => break,
                Ok("failed" | "cancelled") => panic!("{run} is {state:?}"),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        let events = place.events(run).await;
        let ends = events.iter().filter(|event| matches!(event, Event::StepSucceeded { .. })).count();
        assert_eq!(ends, 5, "each step has one result");
        for step in ["one", "slow_two", "three"] {
            let id = StepId::root(step);
            let started =
                events.iter().filter(|event| matches!(event, Event::StepStarted { step, .. } if step.id == id));
            let key = format!("{run}/{step}");
            let called = script.calls.lock().unwrap().iter().filter(|(called, _)| *called == key).count();
            assert!(called <= started.count(), "{key} was called without a recorded start");
        }
    }
}
