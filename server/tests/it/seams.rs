//! Where parts of the engine meet: suspected calls beside others, owners that do not know yet that they are none, a write
//! that is refused while answers of templates are under way, and what a run takes over from another.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use agentflow::{
    deps::Deps,
    engine::{
        port::{self, Answer, Call, CallScope, Effects, Evaluation, Progress},
        runner::Settings,
        state::{RunState, StepError, StepId},
        store::{self, Signal},
    },
    kernel::RunId,
    runs,
};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    engine::{Node, Place, Script, chain, fast},
    world::World,
};

/// Effects with a side that has a window for so many calls at a time. `doom…` never comes back on its first attempts,
/// `busy…` when it is let go.
#[derive(Clone)]
struct Side {
    window: Arc<Semaphore>,
    /// Attempts of `doom…` that never come back.
    doomed: u32,
    calls: Arc<Mutex<Vec<(String, u32)>>>,
    released: Arc<AtomicBool>,
}

impl Side {
    fn with(window: usize, doomed: u32) -> Self {
        Self { window: Arc::new(Semaphore::new(window)), doomed, calls: Arc::default(), released: Arc::default() }
    }

    fn calls_of(&self, step: &str) -> Vec<u32> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(called, _)| called == step).map(|(_, attempt)| *attempt).collect()
    }

    async fn until_called(&self, step: &str) {
        let begun = Instant::now();
        while self.calls_of(step).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{step} was not called");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A place at the side's window.
struct AtTheWindow {
    _permit: OwnedSemaphorePermit,
}

impl port::Place for AtTheWindow {
    fn came_back(&self, _: &Result<Answer, StepError>) {}
}

#[async_trait::async_trait]
impl Effects for Side {
    async fn place(&self, _: &Call, _: &CallScope) -> Option<Box<dyn port::Place>> {
        let permit = self.window.clone().acquire_owned().await.unwrap();
        Some(Box::new(AtTheWindow { _permit: permit }))
    }

    async fn perform(
        &self,
        _: Call,
        scope: &CallScope,
        _: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let name = scope.step.as_str();
        self.calls.lock().unwrap().push((name.to_owned(), scope.attempt));
        if name.starts_with("doom") && scope.attempt <= self.doomed {
            std::future::pending::<()>().await;
        }
        while name.starts_with("busy") && !self.released.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Answer::Tool { output: Value::Null })
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        Ok(evaluation.template)
    }
}

/// Runs whose calls were under way when two nodes were lost.
async fn suspected(world: &World, place: &Place, steps: &[&str]) -> Vec<RunId> {
    let mut runs = Vec::new();
    for step in steps {
        runs.push(place.start(chain(&[step]), None).await);
    }
    for _ in 0..2 {
        let effects = Side::with(9, 9);
        let mut node = Node::start(world, &effects).await;
        for step in steps {
            effects.until_called(step).await;
        }
        node.lose();
    }
    runs
}

/// The suspected call that is noted as out, by run.
async fn noted(world: &World, run: RunId) -> Option<String> {
    let statement = "select suspect from runs where id = $1";
    sqlx::query_scalar(statement).bind(run).fetch_one(world.deps().db.engine()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_waits_for_its_turn_like_every_call() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let doom = suspected(&world, &place, &["doom"]).await[0];
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(place.start(chain(&["busy"]), None).await);
    }
    let effects = Side::with(1, 2);
    let _node = Node::start_with(&world, &effects, Settings { max_calls: 1, ..fast() }).await;
    effects.until_called("busy").await;
    let begun = Instant::now();
    let begun_again = "select exists (select from steps where run_id = $1 and id = 'doom' and attempt = 3)";
    while !sqlx::query_scalar::<_, bool>(begun_again).bind(doom).fetch_one(world.deps().db.engine()).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was not taken up again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    effects.released.store(true, Ordering::Relaxed);
    place.until(doom, RunState::Succeeded).await;
    for run in others {
        place.until(run, RunState::Succeeded).await;
    }
    assert_eq!((effects.calls_of("doom"), effects.calls_of("busy")), (vec![3], vec![1; 3]));
    assert_eq!(noted(&world, doom).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_suspects_one_is_out_at_a_time_and_it_alone_is_given_up_when_its_node_is_lost() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let steps = ["doom1", "doom2"];
    let runs = suspected(&world, &place, &steps).await;
    let busy = place.start(chain(&["busy"]), None).await;
    let effects = Side::with(9, 9);
    let mut node = Node::start(&world, &effects).await;
    let begun = Instant::now();
    let called = |effects: &Side| steps.map(|step| effects.calls_of(step).len());
    while called(&effects) == [0, 0] {
        assert!(begun.elapsed() < Duration::from_secs(20), "no suspect was called");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whatever is not suspected does not wait for it.
    effects.until_called("busy").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let out = usize::from(called(&effects) == [0, 1]);
    assert_eq!(called(&effects)[out] + called(&effects)[1 - out], 1);
    assert_eq!(noted(&world, runs[out]).await.as_deref(), Some(steps[out]));
    node.lose();

    let effects = Side::with(9, 9);
    let _node = Node::start(&world, &effects).await;
    effects.until_called(steps[1 - out]).await;
    let crashes = async |run: RunId, step: &str| -> i64 {
        let statement = "select coalesce((detail ->> 'crashes')::bigint, 0) from steps where run_id = $1 and id = $2";
        sqlx::query_scalar(statement).bind(run).bind(step).fetch_one(world.deps().db.engine()).await.unwrap()
    };
    let begun = Instant::now();
    while crashes(runs[out], steps[out]).await < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the suspect that was out is not given up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(crashes(runs[1 - out], steps[1 - out]).await, 2, "the other one waited");
    effects.released.store(true, Ordering::Relaxed);
    place.until(busy, RunState::Succeeded).await;
    assert_eq!(effects.calls_of(steps[out]), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_that_waits_for_its_turn_can_be_stopped_and_keeps_its_deadline() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let steps = ["doom1", "doom2", "doom3"];
    let runs = suspected(&world, &place, &steps).await;
    let effects = Side::with(9, 9);
    let _node = Node::start(&world, &effects).await;
    let begun = Instant::now();
    let out = loop {
        if let Some(out) = steps.iter().position(|step| !effects.calls_of(step).is_empty()) {
            break out;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no suspect was called");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let waiting: Vec<RunId> = (0..3).filter(|number| *number != out).map(|number| runs[number]).collect();
    place.tell(waiting[0], Signal::Cancel { by: "Ana".to_owned() }).await;
    let passed = "update runs set deadline_at = now() + interval '1 second' where id = $1";
    sqlx::query(passed).bind(waiting[1]).execute(world.deps().db.engine()).await.unwrap();
    place.until(waiting[0], RunState::Cancelled).await;
    place.until(waiting[1], RunState::Failed).await;
    assert_eq!(place.state(runs[out]).await, RunState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_none_any_more_makes_no_call() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    // Its lease runs out before the next heartbeat, as if it slept in between.
    let asleep = Settings { heartbeat: Duration::from_secs(5), reaper: Duration::from_secs(3_600), ..fast() };
    let effects = Side::with(1, 0);
    let open = effects.window.clone().acquire_owned().await.unwrap();
    let _asleep = Node::start_with(&world, &effects, asleep).await;
    let run = place.start(chain(&["one"]), None).await;
    let begun = Instant::now();
    while place.state(run).await != RunState::Running {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was not taken up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let other = Side::with(9, 0);
    let _awake = Node::start(&world, &other).await;
    place.until(run, RunState::Succeeded).await;
    // It is a node again, and its lease holds.
    let alive = "select count(*) from nodes where lease_until > clock_timestamp()";
    while sqlx::query_scalar::<_, i64>(alive).fetch_one(world.deps().db.engine()).await.unwrap() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(open);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((effects.calls_of("one"), other.calls_of("one")), (vec![], vec![2]));
}

/// Effects that know the answers to two conditions. Just before the second is answered for the first time, the run is told
/// something, so that the write that follows from the answer is refused.
#[derive(Clone)]
struct Judge {
    deps: Deps,
    /// How often the first was asked for, by run.
    asked: Arc<Mutex<BTreeMap<RunId, u32>>>,
    script: Script,
}

#[async_trait::async_trait]
impl Effects for Judge {
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        self.script.perform(call, scope, progress).await
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        if evaluation.template == "{{ first }}" {
            *self.asked.lock().unwrap().entry(evaluation.run).or_default() += 1;
            return Ok(json!(false));
        }
        if self.asked.lock().unwrap()[&evaluation.run] == 1 {
            let mut tx = self.deps.db.tenant(evaluation.org).await.unwrap();
            let signal = Signal::Event { step: StepId::root("size") };
            store::signal(&mut tx, evaluation.run, &signal, &[]).await.unwrap();
            tx.commit().await.unwrap();
        }
        Ok(json!(true))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_before_a_refused_write_is_not_taken_for_a_later_one() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let judge = Judge { deps: world.deps().clone(), asked: Arc::default(), script: Script::default() };
    let _node = Node::start(&world, &judge).await;
    let tool = |id: &str, after: &str| json!({ "id": id, "kind": "tool", "tool": "echo", "arguments": { "q": 1 }, "after": [after] });
    let nodes = json!([
        { "id": "start", "kind": "start" },
        { "id": "size", "kind": "decision", "after": ["start"],
          "branches": [{ "name": "first", "when": "{{ first }}" }, { "name": "second", "when": "{{ second }}" }] },
        tool("wrong", "size.first"),
        tool("right", "size.second"),
        { "id": "end", "kind": "end", "after": ["wrong", "right"] },
    ]);
    for _ in 0..5 {
        let run = place.start(nodes.clone(), None).await;
        place.until(run, RunState::Succeeded).await;
    }
    assert_eq!((judge.script.calls_of("wrong"), judge.script.calls_of("right")), (vec![], vec![1; 5]));
    // Now and then the node may have heard of the signal before it wrote.
    let asked = judge.asked.lock().unwrap();
    assert!(asked.values().any(|times| *times > 1), "no write was refused: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_approvals_stay_with_the_run_that_they_were_given_to() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let mut node = Node::start(&world, &Script::default()).await;
    let nodes = json!([
        { "id": "start", "kind": "start" },
        { "id": "again", "kind": "loop", "until": "{{ true }}", "max": 1, "after": ["start"], "nodes": [
            { "id": "one", "kind": "tool", "tool": "echo" },
            { "id": "rest", "kind": "wait", "seconds": 3600, "after": ["one"] },
        ] },
        { "id": "end", "kind": "end", "after": ["again"] },
    ]);
    let run = place.start(nodes, Some(1)).await;
    place.until(run, RunState::Failed).await;
    node.lose();
    let pool = world.deps().db.engine();
    // What stands there once a person let it begin, and gave it more twice, and it has used that up.
    let notes = json!({ "count": 1, "granted": 2, "spent": true, "approval": uuid::Uuid::nil() });
    let note = "update steps set detail = detail || $2 where run_id = $1 and id = 'again'";
    sqlx::query(note).bind(run).bind(notes).execute(pool).await.unwrap();
    let retry = runs::control::retry(&place.ctx.grant().unwrap(), run, None).await.unwrap().run;
    let detail: Value = sqlx::query_scalar("select detail from steps where run_id = $1 and id = 'again'")
        .bind(retry)
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(detail["count"], 1, "how far it is stays: {detail}");
    for note in ["granted", "spent", "approval"] {
        assert_eq!(detail.get(note), None, "{detail}");
    }
}
