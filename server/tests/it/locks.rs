//! Named locks, over two processes on one database.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use agentflow::{
    engine::{
        journal::Event,
        machine::LockAnswer,
        port::{Answer, Call, CallScope, Effects, Evaluation, Progress},
        state::{ErrorClass, RunState, StepError, StepId},
        store::{self, Claim, LockWish, Room, Round, Signal},
    },
    kernel::{NodeId, RunId},
};
use serde_json::{Value, json};

use crate::{
    engine::{Node, Place},
    world::World,
};

/// Effects that hold what their arguments name for a moment, and count who is in at the same time. `hang…` does not answer
/// until it is let go, and on the first attempt never.
#[derive(Clone, Default)]
struct Gauge {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    inside: BTreeMap<String, usize>,
    most: BTreeMap<String, usize>,
    /// Run, attempt and the locks' fence, in the order in which the calls began.
    calls: Vec<(RunId, u32, Option<i64>)>,
    released: bool,
}

/// That a call is at work. It ends however the call does.
struct Inside(Gauge, Vec<String>);

impl Drop for Inside {
    fn drop(&mut self) {
        let mut seen = self.0.seen.lock().unwrap();
        for name in &self.1 {
            *seen.inside.get_mut(name).unwrap() -= 1;
        }
    }
}

impl Gauge {
    fn enter(&self, names: Vec<String>, scope: &CallScope) -> Inside {
        let mut seen = self.seen.lock().unwrap();
        seen.calls.push((scope.run, scope.attempt, scope.lock_fence));
        for name in &names {
            let inside = seen.inside.entry(name.clone()).or_default();
            *inside += 1;
            let now = *inside;
            let most = seen.most.entry(name.clone()).or_default();
            *most = now.max(*most);
        }
        Inside(self.clone(), names)
    }

    fn calls(&self) -> Vec<(RunId, u32, Option<i64>)> {
        self.seen.lock().unwrap().calls.clone()
    }

    fn most(&self) -> BTreeMap<String, usize> {
        self.seen.lock().unwrap().most.clone()
    }

    fn release(&self) {
        self.seen.lock().unwrap().released = true;
    }

    async fn until_calls(&self, count: usize) {
        let begun = Instant::now();
        while self.calls().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(20), "{} calls and not {count}", self.calls().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[async_trait::async_trait]
impl Effects for Gauge {
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        _: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let Call::Tool(tool) = call else { unreachable!("no graph of these tests has an agent") };
        let names = tool.arguments["locks"].as_array().into_iter().flatten();
        let names = names.filter_map(Value::as_str).map(str::to_owned).collect();
        let _inside = self.enter(names, scope);
        if scope.step.as_str().starts_with("hang") {
            while scope.attempt == 1 && !self.seen.lock().unwrap().released {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        Ok(Answer::Tool { output: Value::Null })
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        Ok(evaluation.template)
    }
}

/// One step that holds these locks.
fn holding(step: &str, locks: &[&str], lock_s: u32) -> Value {
    json!([
        { "id": "start", "kind": "start" },
        { "id": step, "kind": "tool", "tool": "echo", "arguments": { "locks": locks }, "locks": locks, "lock_s": lock_s,
          "after": ["start"] },
        { "id": "end", "kind": "end", "after": [step] },
    ])
}

async fn rows(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from locks").fetch_one(world.deps().db.engine()).await.unwrap()
}

/// A run in the hands of nobody in particular, for asking in its name.
async fn claimed(world: &World, place: &Place) -> Claim {
    let (pool, node) = (world.deps().db.engine(), NodeId::new());
    place.start(holding("work", &["till"], 60), None).await;
    store::register(pool, node, "test", 60_000).await.unwrap();
    Round::default().claim(pool, node, &Room::of(1)).await.unwrap()[0]
}

async fn ask(world: &World, claim: Claim, step: &str, names: &[&str], limit_s: u32) -> LockAnswer {
    let wish = LockWish { names: names.iter().map(|name| (*name).to_owned()).collect(), limit_s };
    let asked = store::ask_for_locks(world.deps().db.engine(), claim, &StepId::root(step), &wish).await;
    asked.unwrap().1
}

/// Until nobody holds or waits any more.
async fn until_free(world: &World) {
    for _ in 0..100 {
        if rows(world).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} locks are left", rows(world).await);
}

/// Waits until a run waits for a lock, holding nothing of its process.
async fn until_waiting(world: &World, place: &Place, run: RunId) {
    place.until(run, RunState::Waiting).await;
    let (on, owner): (Option<String>, Option<uuid::Uuid>) =
        sqlx::query_as("select waiting_on, owner from runs where id = $1")
            .bind(run)
            .fetch_one(world.deps().db.engine())
            .await
            .unwrap();
    assert_eq!((on.as_deref(), owner), (Some("lock"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_processes_one_step_at_a_time_holds_a_lock() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let _nodes = [Node::start(&world, &gauge).await, Node::start(&world, &gauge).await];
    let mut runs = Vec::new();
    for _ in 0..40 {
        runs.push(place.start(holding("work", &["till"], 60), None).await);
    }
    for run in &runs {
        place.until(*run, RunState::Succeeded).await;
    }
    assert_eq!(gauge.most(), BTreeMap::from([("till".to_owned(), 1)]));
    let calls = gauge.calls();
    assert_eq!(calls.len(), 40);
    let fences: Vec<_> = calls.iter().map(|(_, _, fence)| fence.unwrap()).collect();
    assert!(fences.is_sorted_by(|before, after| before < after), "each holder has a higher number: {fences:?}");
    until_free(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_first_is_first() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let _nodes = [Node::start(&world, &gauge).await, Node::start(&world, &gauge).await];
    let mut runs = vec![place.start(holding("hang", &["till"], 60), None).await];
    gauge.until_calls(1).await;
    for _ in 0..6 {
        let run = place.start(holding("work", &["till"], 60), None).await;
        until_waiting(&world, &place, run).await;
        runs.push(run);
    }
    let waits = place.events(runs[1]).await.into_iter().find_map(|event| match event {
        Event::StepWaiting { step, lock, .. } => Some((lock, step.about)),
        _ => None,
    });
    let (lock, about) = waits.unwrap();
    assert_eq!((lock.as_deref(), about), (Some("till"), Some(format!("lock “till”, held by {}", runs[0]))));
    gauge.release();
    for run in &runs {
        place.until(*run, RunState::Succeeded).await;
    }
    let order: Vec<RunId> = gauge.calls().into_iter().map(|(run, ..)| run).collect();
    assert_eq!(order, runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_locks_in_opposite_order_never_wait_for_each_other() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let _nodes = [Node::start(&world, &gauge).await, Node::start(&world, &gauge).await];
    let mut runs = Vec::new();
    for number in 0..30 {
        let locks: &[&str] = [&["a", "b"][..], &["b", "a"], &["b"], &["a", "c"]][number % 4];
        runs.push(place.start(holding("work", locks, 60), None).await);
    }
    for run in &runs {
        place.until(*run, RunState::Succeeded).await;
    }
    assert!(gauge.most().values().all(|most| *most == 1), "{:?}", gauge.most());
    until_free(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_outlives_the_process_of_its_holder() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let mut first = Node::start(&world, &gauge).await;
    let holder = place.start(holding("hang", &["till"], 60), None).await;
    gauge.until_calls(1).await;
    let waiter = place.start(holding("work", &["till"], 60), None).await;
    until_waiting(&world, &place, waiter).await;
    first.lose();
    let _second = Node::start(&world, &gauge).await;
    place.until(holder, RunState::Succeeded).await;
    place.until(waiter, RunState::Succeeded).await;
    let calls = gauge.calls();
    let who: Vec<_> = calls.iter().map(|(run, attempt, _)| (*run, *attempt)).collect();
    assert_eq!(who, [(holder, 1), (holder, 2), (waiter, 1)]);
    assert!(calls[0].2 == calls[1].2 && calls[1].2 < calls[2].2, "the same grant, then another: {calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_is_cut_off_when_its_time_is_over() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let _nodes = [Node::start(&world, &gauge).await, Node::start(&world, &gauge).await];
    let holder = place.start(holding("hang", &["till"], 2), None).await;
    gauge.until_calls(1).await;
    let waiter = place.start(holding("work", &["till"], 2), None).await;
    place.until(waiter, RunState::Succeeded).await;
    place.until(holder, RunState::Failed).await;
    let failed = place.events(holder).await.into_iter().find_map(|event| match event {
        Event::RunFailed { error } => Some((error.class, error.code)),
        _ => None,
    });
    assert_eq!(failed, Some((ErrorClass::Timeout, "lock.expired".to_owned())));
    assert_eq!(gauge.most()["till"], 1, "the one had ended when the other began");
    assert_eq!(gauge.calls().len(), 2, "not tried again without the lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_stopped_lets_go_and_who_is_held_lets_others_by() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let _nodes = [Node::start(&world, &gauge).await, Node::start(&world, &gauge).await];
    let holder = place.start(holding("hang", &["till"], 600), None).await;
    gauge.until_calls(1).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let run = place.start(holding("hang", &["till"], 600), None).await;
        until_waiting(&world, &place, run).await;
        waiting.push(run);
    }
    place.tell(waiting[0], Signal::Cancel { by: "Ana".to_owned() }).await;
    place.tell(waiting[1], Signal::Pause { by: "Ana".to_owned() }).await;
    place.until(waiting[0], RunState::Cancelled).await;
    place.until(waiting[1], RunState::Paused).await;
    place.tell(holder, Signal::Cancel { by: "Ana".to_owned() }).await;
    gauge.until_calls(2).await;
    assert_eq!(gauge.calls()[1].0, waiting[2], "the first that may go on");
    // It has kept its place before whoever came after it.
    place.tell(waiting[1], Signal::Resume { by: "Ana".to_owned() }).await;
    until_waiting(&world, &place, waiting[1]).await;
    gauge.release();
    for run in &waiting[1..] {
        place.until(*run, RunState::Succeeded).await;
    }
    let order: Vec<RunId> = gauge.calls().into_iter().map(|(run, ..)| run).collect();
    assert_eq!(order, [holder, waiting[2], waiting[1], waiting[3]]);
    assert_eq!(gauge.most()["till"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_nobody_let_go_of_is_passed_on() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let _nodes = [Node::start(&world, &gauge).await, Node::start(&world, &gauge).await];
    let ended = place.start(holding("work", &["other"], 60), None).await;
    place.until(ended, RunState::Succeeded).await;
    until_free(&world).await;
    // As a process would leave it that died right after the write of the end.
    let left =
        "insert into locks (organization_id, run_id, step_id, name, place, limit_s, fence, granted_at, expires_at)
                select organization_id, id, 'work', 'till', 0, 3600, 0, now(), now() + interval '1 hour'
                  from runs where id = $1";
    sqlx::query(left).bind(ended).execute(world.deps().db.engine()).await.unwrap();
    let next = place.start(holding("hang", &["till"], 60), None).await;
    gauge.until_calls(2).await;
    let waiter = place.start(holding("work", &["till"], 60), None).await;
    until_waiting(&world, &place, waiter).await;
    // As though it had let go and died before it could tell.
    sqlx::query("delete from locks where run_id = $1").bind(next).execute(world.deps().db.engine()).await.unwrap();
    place.until(waiter, RunState::Succeeded).await;
    gauge.release();
    place.until(next, RunState::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_holds_a_lock_for_all_that_is_in_it() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let _nodes = [Node::start(&world, &gauge).await, Node::start(&world, &gauge).await];
    let nodes = json!([
        { "id": "start", "kind": "start" },
        { "id": "each", "kind": "loop", "until": "{{ true }}", "max": 1, "locks": ["till"], "after": ["start"],
          "nodes": [
            { "id": "one", "kind": "tool", "tool": "echo", "arguments": { "locks": ["till"] } },
            { "id": "rest", "kind": "wait", "seconds": 0.05, "after": ["one"] },
            { "id": "two", "kind": "tool", "tool": "echo", "arguments": { "locks": ["till"] }, "after": ["rest"] },
          ] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(place.start(nodes.clone(), None).await);
    }
    for run in &runs {
        place.until(*run, RunState::Succeeded).await;
    }
    let calls = gauge.calls();
    assert_eq!(calls.len(), 16);
    for pair in calls.chunks(2) {
        assert_eq!((pair[0].0, pair[0].2), (pair[1].0, pair[1].2), "nobody came in between: {calls:?}");
        assert!(pair[0].2.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_and_passed_on_while_nobody_was_there_is_asked_for_anew() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let gauge = Gauge::default();
    let mut first = Node::start(&world, &gauge).await;
    let holder = place.start(holding("hang", &["till"], 60), None).await;
    gauge.until_calls(1).await;
    let mut waiters = Vec::new();
    for limit_s in [1, 60] {
        let run = place.start(holding("work", &["till"], limit_s), None).await;
        until_waiting(&world, &place, run).await;
        waiters.push(run);
    }
    first.lose();
    // Its holder has ended, and while no node is there the first that waits is granted the lock, and after its second the
    // next one.
    let pool = world.deps().db.engine();
    let end = "update runs set state = 'cancelled', finished_at = now(), owner = null, wake_at = null where id = $1";
    sqlx::query(end).bind(holder).execute(pool).await.unwrap();
    let till = ["till".to_owned()];
    assert_eq!(store::pass_on(pool, place.ctx.org_id(), &till).await.unwrap(), [waiters[0]]);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(store::pass_on(pool, place.ctx.org_id(), &till).await.unwrap(), [waiters[1]]);
    let _second = Node::start(&world, &gauge).await;
    for run in waiters {
        place.until(run, RunState::Succeeded).await;
    }
    until_free(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_how_each_of_its_steps_stands_that_has_asked() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let claim = claimed(&world, &place).await;
    let LockAnswer::Granted(grant) = ask(&world, claim, "holds", &["till"], 60).await else { panic!("it is free") };
    for (step, names) in [("waits", &["till"][..]), ("both", &["drawer", "till"])] {
        assert!(matches!(ask(&world, claim, step, names, 60).await, LockAnswer::Queued { .. }));
    }
    let stand = store::held_locks(world.deps().db.engine(), claim).await.unwrap();
    let of = |step: &str, grant| (StepId::root(step), grant);
    assert_eq!(stand, [of("both", None), of("holds", Some(grant)), of("waits", None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_when_its_own_time_is_over_is_granted_anew_or_waits() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let claim = claimed(&world, &place).await;
    let ask = async |step: &str| ask(&world, claim, step, &["till"], 20).await;
    // A holder is cut off a second before somebody else may have its lock, and begins nothing new just before that.
    let pass = async |seconds: f64| {
        let pass = "update locks set granted_at = granted_at - make_interval(secs => $1),
                                     expires_at = expires_at - make_interval(secs => $1)";
        sqlx::query(pass).bind(seconds).execute(world.deps().db.engine()).await.unwrap();
    };
    let LockAnswer::Granted(first) = ask("holds").await else { panic!("it is free") };
    assert_eq!(ask("holds").await, LockAnswer::Granted(first), "there is time");
    pass(19.5).await;
    let LockAnswer::Granted(second) = ask("holds").await else { panic!("nobody else asks") };
    assert!(second.fence > first.fence && second.until > first.until, "{first:?} {second:?}");
    assert!(matches!(ask("waits").await, LockAnswer::Queued { .. }));
    pass(18.98).await;
    assert_eq!(
        ask("holds").await,
        LockAnswer::Queued { name: "till".to_owned(), holder: Some(claim.run) },
        "who has waited is first"
    );
    let stand = store::held_locks(world.deps().db.engine(), claim).await.unwrap();
    assert!(matches!(&stand[..], [(_, None), (waits, Some(_))] if waits.as_str() == "waits"), "{stand:?}");
}
