//! Steps that hold named locks.

use super::*;
use crate::engine::state::WaitingOn;

impl World {
    /// A step asks for its locks.
    pub(super) fn lock(&mut self, step: StepId, names: Vec<String>, limit_s: u32) -> Input {
        let now = self.now;
        if self.held.get(&step).is_some_and(|(_, grant)| grant.until <= now) {
            self.held.remove(&step);
        }
        if !self.held.contains_key(&step) {
            self.wanted.insert(step.clone(), (names.clone(), limit_s));
            self.grant(&step);
        }
        let answer = match self.held.get(&step) {
            Some((_, grant)) => LockAnswer::Granted(*grant),
            None => LockAnswer::Queued { name: names[0].clone(), holder: None },
        };
        Input::Locked(step, answer)
    }

    /// A call is made under the locks that its step, or what it stands in, needs.
    pub(super) fn is_locked(&self, scope: &CallScope) {
        for above in std::iter::successors(Some(scope.step.clone()), StepId::parent) {
            let Some(step) = self.machine.steps.get(&above).filter(|step| Machine::is_of_node(step)) else { continue };
            let named = Machine::node_of(&self.machine.plan, &above).is_some_and(|node| !node.locks.is_empty());
            if named && step.detail.locks.as_ref().is_none_or(|names| !names.is_empty()) {
                let (_, grant) =
                    self.held.get(&above).unwrap_or_else(|| panic!("{} without the lock of {above}", scope.step));
                assert!(grant.until > self.now && scope.until <= grant.until && scope.lock_fence == Some(grant.fence));
            }
        }
    }

    /// Gives a step its locks, if they are free. Returns whether it did.
    pub(super) fn grant(&mut self, step: &StepId) -> bool {
        let rows = &self.rows;
        let has_ended = |step: &StepId| rows.values().any(|row| row.id == *step && row.state.is_end());
        let now = self.now;
        self.held.retain(|step, (_, grant)| grant.until > now && !has_ended(step));
        let Some((names, limit_s)) = self.wanted.get(step) else { return false };
        let mut held = self.held.values().flat_map(|(names, _)| names).chain(&self.taken);
        if held.any(|name| names.contains(name)) {
            return false;
        }
        self.fence += 1;
        let until = self.now + TimeDelta::seconds(i64::from(*limit_s));
        let grant = LockGrant { fence: self.fence, since: self.now, until };
        self.held.insert(step.clone(), (names.clone(), grant));
        self.wanted.remove(step);
        true
    }
}

fn graph(nodes: Value) -> Value {
    let Value::Array(inner) = nodes else { panic!("a list") };
    let last = inner.last().unwrap()["id"].clone();
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    nodes.extend(inner);
    nodes.push(json!({ "id": "end", "kind": "end", "after": [last] }));
    json!({ "nodes": nodes })
}

fn pay(more: Value) -> Value {
    let mut node = json!({ "id": "pay", "kind": "tool", "tool": "look", "arguments": { "q": 1 }, "after": ["start"],
        "locks": ["invoice", "{{ input.account }}"], "lock_s": 60 });
    let (Value::Object(fields), Value::Object(more)) = (&mut node, more) else { panic!("objects") };
    fields.extend(more);
    graph(json!([node]))
}

fn step<'w>(world: &'w World, id: &str) -> &'w Step {
    &world.machine.steps[&StepId::from_text(id)]
}

fn timeout(_: &Call, _: &str, _: u32) -> Result<Answer, StepError> {
    Err(StepError::new(ErrorClass::Timeout, "step.timeout", "late"))
}

#[test]
fn a_step_waits_for_all_of_its_locks_and_lets_go_of_them_when_it_ends() {
    for crashes in [vec![2, 3, 4], vec![1, 5], vec![]] {
        let mut world = World::new(pay(json!({})), json!({ "account": "till" }), echo);
        world.crashes = crashes;
        world.taken.insert("till".to_owned());
        assert_eq!(world.run(), RunState::Waiting);
        assert_eq!(world.machine.waiting_on, Some(WaitingOn::Lock));
        let view = world.view();
        let pay = view.step(&StepId::root("pay")).unwrap();
        assert_eq!((pay.state, pay.lock.as_deref()), (StepState::Waiting, Some("invoice")));
        assert_eq!(world.times("pay"), 0, "nothing was called");
        world.taken.clear();
        assert_eq!(world.run(), RunState::Succeeded);
        assert_eq!(step(&world, "pay").output, Some(json!({ "q": 1 })));
        let has_ended = |id: &StepId| world.machine.steps[id].state.is_end();
        assert!(world.held.keys().all(has_ended), "it let go, or counts no more");
    }
}

#[test]
fn a_name_that_is_filled_in_as_empty_is_no_lock() {
    let mut world = World::new(pay(json!({ "locks": ["{{ input.account }}"] })), json!({}), echo);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!((world.times("pay"), world.fence), (1, 0));
}

#[test]
fn a_person_says_yes_before_the_lock_is_taken() {
    let mut world = World::new(pay(json!({ "requires_approval": "always" })), json!({ "account": "till" }), echo);
    world.taken.insert("till".to_owned());
    assert_eq!(world.run(), RunState::Waiting);
    assert!(world.wanted.is_empty(), "nothing is asked for yet");
    world.verdicts.insert("pay".to_owned(), (Ruling::Approved, json!({ "q": 2 })));
    let decided = world.wake().unwrap();
    // Whoever looks finds the decision again and again.
    for _ in 0..3 {
        let turn = decide(&mut world.machine, decided.clone(), world.now);
        world.write(&turn);
        for effect in turn.effects {
            let input = world.act(effect).unwrap();
            let turn = decide(&mut world.machine, input, world.now);
            world.write(&turn);
        }
    }
    assert_eq!(world.machine.waiting_on, Some(WaitingOn::Lock));
    world.taken.clear();
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(step(&world, "pay").output, Some(json!({ "q": 2 })));
}

#[test]
fn the_lock_is_held_over_all_attempts_and_alternatives() {
    let more = json!({ "alternatives": [{ "tool": { "name": "send" } }] });
    let mut world = World::new(pay(more), json!({ "account": "till" }), |call, step, attempt| match step {
        "pay" => Err(StepError::new(ErrorClass::Unavailable, "test", "down")),
        _ => echo(call, step, attempt),
    });
    world.crashes = vec![3, 5];
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!((world.times("pay") >= 3, world.times("pay.~alt1"), world.fence), (true, 1, 1));
}

#[test]
fn what_is_cut_off_when_its_time_is_over_is_not_tried_again() {
    let more = json!({ "lock_s": 2, "retry": { "attempts": 9, "backoff_ms": 1000, "jitter": false },
        "alternatives": [{ "tool": { "name": "send" } }] });
    let mut world = World::new(pay(more), json!({ "account": "till" }), timeout);
    assert_eq!(world.run(), RunState::Failed);
    let error = world.machine.error.clone().unwrap();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Timeout, "lock.expired"));
    assert_eq!((world.times("pay"), world.times("pay.~alt1")), (2, 0), "after 0 and 1 s, and not after 3");
}

#[test]
fn a_group_holds_its_locks_for_all_that_is_in_it_and_is_cut_off_with_them() {
    let map = |wait: u32| {
        graph(json!([{ "id": "each", "kind": "map", "items": "{{ input.list }}", "after": ["start"], "locks": ["till"],
            "lock_s": 60, "nodes": [
                { "id": "rest", "kind": "wait", "seconds": wait },
                { "id": "one", "kind": "tool", "tool": "look", "after": ["rest"] },
        ]}]))
    };
    let mut world = World::new(map(5), json!({ "list": [1, 2] }), echo);
    world.crashes = vec![2, 4];
    assert_eq!(world.run(), RunState::Succeeded);
    let mut world = World::new(map(90), json!({ "list": [1, 2] }), echo);
    assert_eq!(world.run(), RunState::Failed);
    assert_eq!(world.machine.error.clone().unwrap().code, "lock.expired");
    assert_eq!(step(&world, "each.1").state, StepState::Cancelled);
    assert!(world.held.is_empty());
}

#[test]
fn a_person_who_has_it_tried_again_later_has_the_lock_taken_anew() {
    let mut failed = 0;
    let more = json!({ "lock_s": 30, "on_error": "ask", "retry": { "attempts": 1 } });
    let mut world = World::new(pay(more), json!({ "account": "till" }), move |call, step, attempt| {
        failed += 1;
        if failed == 1 { timeout(call, step, attempt) } else { echo(call, step, attempt) }
    });
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!(world.held.len(), 1, "it is held while a person is asked");
    world.now += TimeDelta::seconds(60);
    world.taken.insert("till".to_owned());
    world.verdicts.insert("pay.~ask1".to_owned(), (Ruling::Approved, json!({ "q": 3 })));
    let first = world.writes + 1;
    world.crashes = vec![first];
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!((world.machine.waiting_on, world.times("pay")), (Some(WaitingOn::Lock), 1));
    world.taken.clear();
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!((step(&world, "pay").output.clone(), world.fence), (Some(json!({ "q": 3 })), 2));
}

#[test]
fn a_group_that_is_taken_over_takes_its_locks_before_it_goes_on() {
    let nodes = json!([{ "id": "each", "kind": "map", "items": "{{ input.list }}", "after": ["start"], "locks": ["till"],
        "nodes": [{ "id": "one", "kind": "tool", "tool": "look" }, { "id": "two", "kind": "tool", "tool": "look", "after": ["one"] }]}]);
    let mut fails = true;
    let perform = move |call: &Call, step: &str, attempt: u32| {
        let fault = step == "each.1.two" && std::mem::take(&mut fails);
        if fault { Err(StepError::new(ErrorClass::BadInput, "test", "no")) } else { echo(call, step, attempt) }
    };
    let mut world = World::new(graph(nodes), json!({ "list": [1, 2] }), perform);
    assert_eq!(world.run(), RunState::Failed);
    // What a retry takes over: steps that succeeded, and the groups around them as they would be begun.
    let machine = &mut world.machine;
    machine.steps.retain(|id, step| step.state == StepState::Succeeded || ["each", "each.1"].contains(&id.as_str()));
    for id in ["each", "each.1"] {
        let step = machine.steps.get_mut(&StepId::from_text(id)).unwrap();
        (step.state, step.error, step.output) = (StepState::Running, None, None);
        (step.detail.locks, step.detail.lock) = (None, None);
    }
    (machine.state, machine.started, machine.error) = (RunState::Queued, false, None);
    machine.maps.clear();
    world.rows = machine.steps.values().map(|step| ((step.ordinal, step.id.clone()), step.clone())).collect();
    world.events.truncate(1);
    world.calls.clear();
    world.taken.insert("till".to_owned());
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!((world.machine.waiting_on, world.calls.len()), (Some(WaitingOn::Lock), 0));
    world.crash();
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!(world.calls.len(), 0, "what is in it waits along");
    world.taken.clear();
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.calls, [("each.1.two".to_owned(), 1)]);
}

#[test]
fn a_run_that_is_held_asks_anew_when_it_goes_on() {
    let mut world = World::new(pay(json!({})), json!({ "account": "till" }), echo);
    world.taken.insert("till".to_owned());
    assert_eq!(world.run(), RunState::Waiting);
    let turn = decide(&mut world.machine, Input::Pause("Ana".to_owned()), world.now);
    world.write(&turn);
    world.taken.clear();
    let turn = decide(&mut world.machine, Input::Resume("Ana".to_owned()), world.now);
    world.write(&turn);
    assert!(turn.effects.iter().any(|effect| matches!(effect, Effect::Lock(..))));
}

#[test]
fn who_is_stopped_lets_go() {
    let mut world = World::new(pay(json!({ "on_error": "ask" })), json!({ "account": "till" }), |_, _, _| {
        Err(StepError::new(ErrorClass::Auth, "test", "no"))
    });
    assert_eq!(world.run(), RunState::Waiting);
    let turn = decide(&mut world.machine, Input::Cancel("Ana".to_owned()), world.now);
    assert!(turn.effects.contains(&Effect::Unlock(StepId::root("pay"))));
}

#[test]
fn locks_do_not_nest() {
    let nodes = json!([{ "id": "each", "kind": "map", "items": "{{ input.list }}", "after": ["start"], "locks": ["till"],
        "nodes": [{ "id": "one", "kind": "tool", "tool": "look", "locks": ["drawer"] }]}]);
    let mut world = World::new(graph(nodes), json!({ "list": [1] }), echo);
    assert_eq!(world.run(), RunState::Failed);
    assert_eq!(world.machine.error.clone().unwrap().code, "lock.nested");
}

#[test]
fn what_was_granted_and_passed_on_while_nobody_was_there_is_asked_for_anew() {
    let mut world = World::new(pay(json!({})), json!({ "account": "till" }), echo);
    world.taken.insert("till".to_owned());
    assert_eq!(world.run(), RunState::Waiting);
    let asks = |turn: &Turn| turn.effects.iter().filter(|effect| matches!(effect, Effect::Lock(..))).count();
    let queued = Input::Held(vec![(StepId::root("pay"), None)]);
    assert_eq!(asks(&decide(&mut world.machine, queued, world.now)), 0, "it stands in the queue");
    // It was granted its locks, was not there, and somebody else has them now: it stands in no queue any more.
    world.wanted.clear();
    let turn = decide(&mut world.machine, Input::Held(Vec::new()), world.now);
    world.write(&turn);
    assert_eq!(asks(&turn), 1);
    assert_eq!(asks(&decide(&mut world.machine, Input::Held(Vec::new()), world.now)), 0, "it has asked already");
    for effect in turn.effects {
        let input = world.act(effect).unwrap();
        let turn = decide(&mut world.machine, input, world.now);
        world.write(&turn);
    }
    assert_eq!((world.machine.waiting_on, world.wanted.len()), (Some(WaitingOn::Lock), 1));
    world.taken.clear();
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.times("pay"), 1);
}

#[test]
fn of_several_steps_the_one_that_stands_in_no_queue_asks_anew_unless_the_run_is_held() {
    let wants = |id: &str| json!({ "id": id, "kind": "tool", "tool": "look", "after": ["start"], "locks": [id] });
    let nodes = graph(json!([wants("a"), wants("b"), wants("c")]));
    let mut world = World::new(nodes, Value::Null, echo);
    world.taken.extend(["a", "b", "c"].map(str::to_owned));
    assert_eq!(world.run(), RunState::Waiting);
    let grant = LockGrant { fence: 7, since: world.now, until: world.now + TimeDelta::seconds(60) };
    let stand = || Input::Held(vec![(StepId::root("a"), Some(grant)), (StepId::root("b"), None)]);
    let turn = decide(&mut world.machine, Input::Pause("Ana".to_owned()), world.now);
    world.write(&turn);
    assert!(decide(&mut world.machine, stand(), world.now).effects.is_empty(), "nothing begins while it is held");
    let turn = decide(&mut world.machine, Input::Resume("Ana".to_owned()), world.now);
    world.write(&turn);
    // Each of them is told how it stands, so that nobody has to be asked again for now.
    for id in ["a", "b", "c"] {
        let answer = LockAnswer::Queued { name: id.to_owned(), holder: None };
        let turn = decide(&mut world.machine, Input::Locked(StepId::root(id), answer), world.now);
        world.write(&turn);
    }
    let turn = decide(&mut world.machine, stand(), world.now);
    let asked = turn.effects.iter().filter_map(|effect| match effect {
        Effect::Lock(step, ..) => Some(step.as_str()),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), ["c"]);
    assert!(
        turn.effects.iter().any(|effect| matches!(effect, Effect::Perform(_, scope, _) if scope.step.as_str() == "a"))
    );
}
