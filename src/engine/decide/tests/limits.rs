//! Calls that do not go out because the other side asked to be left alone.

use super::*;
use crate::engine::state::WaitingOn;

/// A side that is to be left alone until a minute has passed, and echoes then.
fn later(world_time: i64) -> impl FnMut(&Call, &str, u32) -> Result<Answer, StepError> {
    let mut asked = 0;
    move |call, step, attempt| {
        asked += 1;
        if asked == 1 {
            let at = Timestamp::UNIX_EPOCH + TimeDelta::seconds(world_time);
            return Ok(Answer::Later { at, why: "api.example.com".to_owned() });
        }
        echo(call, step, attempt)
    }
}

fn one(more: Value) -> Value {
    let mut node = json!({ "id": "look", "kind": "tool", "tool": "look", "arguments": { "a": 1 }, "after": ["start"] });
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "nodes": [
        { "id": "start", "kind": "start" }, node,
        { "id": "end", "kind": "end", "output": "{{ steps.look.output }}", "after": ["look"] },
    ]})
}

#[test]
fn a_call_that_is_put_off_is_the_same_attempt_and_no_failure() {
    for crash in 0..8 {
        let mut world = World::new(one(json!({ "retry": { "attempts": 1 } })), Value::Null, later(60));
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Succeeded);
        assert_eq!(world.now, Timestamp::UNIX_EPOCH + TimeDelta::seconds(60));
        let step = &world.machine.steps[&StepId::root("look")];
        assert_eq!((&step.detail.limit, step.detail.failures), (&None, 0));
        let waits = world.events.iter().filter_map(|stored| match &stored.event {
            Event::RunWaiting { on, until } => Some((*on, *until)),
            _ => None,
        });
        assert_eq!(waits.collect::<Vec<_>>(), [(WaitingOn::Limit, Some(world.now))]);
        if crash == 0 {
            assert_eq!(world.calls, [("look".to_owned(), 1), ("look".to_owned(), 1)]);
            let view = world.view();
            let seen = view.step(&StepId::root("look")).unwrap();
            assert_eq!((seen.attempt, seen.failures.len(), seen.pauses.len()), (1, 0, 1));
        }
    }
}

#[test]
fn an_agent_waits_with_its_call() {
    let nodes = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "work", "kind": "agent", "agent": "helper", "prompt": "Do it.", "after": ["start"] },
        { "id": "end", "kind": "end", "output": "{{ steps.work.output }}", "after": ["work"] },
    ]});
    let mut world = World::new(nodes, Value::Null, later(3_600));
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.calls, [("work.model1".to_owned(), 1), ("work.model1".to_owned(), 1)]);
}

#[test]
fn what_a_person_allowed_is_not_decided_again_while_it_waits() {
    let mut world = World::new(one(json!({ "requires_approval": "always" })), Value::Null, later(60));
    assert_eq!(world.run(), RunState::Waiting);
    let id = world.machine.steps[&StepId::root("look")].detail.approval.unwrap();
    let yes = Applied {
        id,
        step: StepId::root("look"),
        ruling: Ruling::Approved,
        expired: false,
        by: "Ben".to_owned(),
        reason: None,
        payload: json!({ "a": 1 }),
    };
    let turn = decide(&mut world.machine, Input::Decided(vec![yes.clone()]), world.now);
    world.write(&turn);
    let at = world.now + TimeDelta::seconds(60);
    let put_off = Ok(Answer::Later { at, why: "api.example.com".to_owned() });
    let turn = decide(&mut world.machine, Input::Performed(StepId::root("look"), 1, put_off, Vec::new()), world.now);
    world.write(&turn);
    // All decisions of a run are read again with each of its signals.
    let again = decide(&mut world.machine, Input::Decided(vec![yes]), world.now);
    assert!(again.is_silent() && again.effects.is_empty());
    assert_eq!((world.machine.state, world.machine.waiting_on), (RunState::Waiting, Some(WaitingOn::Limit)));
    let due = decide(&mut world.machine, Input::Tick, at);
    assert!(matches!(&due.effects[..], [Effect::Perform(_, scope, _)] if scope.attempt == 1), "{:?}", due.effects);
}

#[test]
fn a_run_that_is_stopped_drops_what_was_put_off() {
    let mut world = World::new(one(json!({})), Value::Null, later(3_600));
    let mut inputs = vec![Input::Loaded];
    while world.machine.state != RunState::Waiting {
        let turn = decide(&mut world.machine, inputs.remove(0), world.now);
        world.write(&turn);
        for effect in turn.effects {
            inputs.extend(world.act(effect));
        }
    }
    let turn = decide(&mut world.machine, Input::Cancel("Ana".to_owned()), world.now);
    world.write(&turn);
    assert_eq!(world.machine.state, RunState::Cancelled);
    assert_eq!(world.machine.steps[&StepId::root("look")].state, StepState::Cancelled);
}
