//! Budgets: what is reserved and used never passes them, and a person may grant as much again.

use super::*;
use crate::engine::{machine::Most, port::BUDGET_SPENT, state::StepKind};

/// What a call may cost at most, and what it does cost ([`said`]).
const MOST: i64 = 5;
const COST: i64 = 3;

fn world(nodes: Value, perform: impl FnMut(&Call, &str, u32) -> Result<Answer, StepError> + 'static) -> World {
    let Value::Array(inner) = nodes else { panic!("a list") };
    let last = inner.last().unwrap()["id"].clone();
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    nodes.extend(inner);
    nodes.push(json!({ "id": "end", "kind": "end", "after": [last], "output": "done" }));
    let mut world = World::new(json!({ "nodes": nodes }), Value::Null, perform);
    world.machine.most = Most::new(|call| {
        assert!(call.max_tokens.is_some(), "an answer under a budget is bounded");
        Usage { tokens_in: 10, tokens_out: 0, cost: Money(MOST) }
    });
    world
}

/// Four agents at the same time, who may spend so many millionths of a dollar together.
fn four(micros: i64) -> Value {
    json!([{ "id": "each", "kind": "map", "items": "{{ input.list }}", "concurrency": 4, "after": ["start"],
        "budget": { "cost": micros as f64 / 1e6 },
        "nodes": [{ "id": "work", "kind": "agent", "agent": "helper", "prompt": "{{ item }}" }] }])
}

fn with_list(mut world: World) -> World {
    world.machine.input = json!({ "list": [1, 2, 3, 4] });
    world
}

/// The most that was used and reserved at any moment.
fn peak(world: &World) -> i64 {
    let (mut open, mut ended, mut peak) = (BTreeMap::new(), 0, 0);
    for stored in &world.events {
        match &stored.event {
            Event::StepStarted { step, .. } if step.kind == StepKind::Model => {
                open.insert(step.id.clone(), MOST);
            }
            Event::StepSucceeded { step, .. } if step.kind == StepKind::Model => {
                open.remove(&step.id);
                ended += COST;
            }
            _ => {}
        }
        peak = peak.max(ended + open.values().sum::<i64>());
    }
    peak
}

#[test]
fn agents_that_work_at_the_same_time_never_pass_their_budget_together() {
    for crash in 0..40 {
        let mut world = with_list(world(four(17), echo));
        world.crashes = vec![crash, crash + 5];
        assert_eq!(world.run(), RunState::Succeeded, "who finds no room waits for it");
        assert_eq!(world.machine.usage.cost, Money(4 * COST));
        assert!(peak(&world) <= 17, "{}", peak(&world));
        assert!(world.machine.short.is_empty());
    }
    let mut free = with_list(world(four(20), echo));
    assert_eq!((free.run(), peak(&free)), (RunState::Succeeded, 4 * MOST), "all at once where there is room");
}

#[test]
fn a_budget_that_is_used_up_asks_and_a_person_may_grant_as_much_again() {
    for crash in 0..40 {
        let mut world = with_list(world(four(12), echo));
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Waiting);
        assert!(peak(&world) <= 12 && world.machine.usage.cost == Money(3 * COST));
        let asked: Vec<_> = world
            .machine
            .steps
            .values()
            .filter(|step| step.waits_for_person())
            .map(|step| (step.id.to_string(), step.id.parent().unwrap()))
            .collect();
        let [(ask, agent)] = &asked[..] else { panic!("{asked:?}") };
        let error = world.machine.steps[agent].error.clone().unwrap();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Budget, "node.budget"));
        world.verdicts.insert(ask.clone(), (Ruling::Approved, Value::Null));
        assert_eq!(world.run(), RunState::Succeeded);
        assert_eq!(world.machine.steps[&StepId::root("each")].detail.granted, 1);
        assert_eq!(world.machine.usage.cost, Money(4 * COST));
    }
}

#[test]
fn an_agents_conversation_goes_on_where_its_budget_ended_it() {
    let looks_once = |call: &Call, _: &str, _: u32| match call {
        Call::Model(call) if call.messages.len() == 1 => said("", vec![wants("look")]),
        _ => echo(call, "", 0),
    };
    let nodes = json!([{ "id": "work", "kind": "agent", "agent": "helper", "prompt": "Do it.", "after": ["start"],
        "budget": { "cost": 0.000005 } }]);
    let mut world = world(nodes, looks_once);
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!(world.calls.len(), 2, "{:?}", world.calls);
    world.verdicts.insert("work.~ask1".to_owned(), (Ruling::Approved, Value::Null));
    assert_eq!(world.run(), RunState::Succeeded);
    let called: Vec<&str> = world.calls.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(called, ["work.model1", "work.tool1_1", "work.model2"], "nothing is paid for twice");
}

#[test]
fn what_is_tried_again_from_the_beginning_is_on_the_same_account() {
    let mut world = with_list(world(four(12), echo));
    let mut plan = (*world.machine.plan).clone();
    if let Some(inner) = plan.graph.nodes[1].kind.inner_mut() {
        inner[0].on_error = crate::engine::plan::OnError::Fail;
    }
    world.machine.plan = Arc::new(plan);
    assert_eq!(world.run(), RunState::Waiting);
    world.verdicts.insert("each.~ask1".to_owned(), (Ruling::Approved, json!([1, 2, 3, 4])));
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.steps[&StepId::root("each")].detail.granted, 1);
    assert_eq!(world.machine.usage.cost, Money(7 * COST), "three of the first time, and four");
    assert!(peak(&world) <= 24, "{}", peak(&world));
}

#[test]
fn without_a_price_tokens_can_be_bounded() {
    let mut plan = four(1);
    plan[0]["budget"] = json!({ "tokens": 8_300 });
    let mut world = with_list(world(plan, echo));
    assert_eq!(world.run(), RunState::Succeeded, "10 and 8,192 at most, one after the other; 15 in fact");
    assert_eq!(world.machine.usage.tokens(), 60);
}

/// An agent in whose way a budget of the organization is, once, and who may ask its model once.
fn refused_once(on_error: &str) -> World {
    let refuses = |call: &Call, step: &str, attempt: u32| match call {
        Call::Model(_) if step == "work.model1" => Err(StepError::new(ErrorClass::Budget, BUDGET_SPENT, "Spent.")),
        _ => echo(call, step, attempt),
    };
    let nodes = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "work", "kind": "agent", "agent": "helper", "prompt": "Do it.", "after": ["start"], "on_error": on_error },
        { "id": "end", "kind": "end", "after": ["work"], "output": "{{ steps.work.output }}" },
    ]});
    let mut world = World::new(nodes, Value::Null, refuses);
    let mut plan = (*world.machine.plan).clone();
    plan.agents.values_mut().for_each(|agent| agent.limits.max_turns = 1);
    world.machine.plan = Arc::new(plan);
    world
}

#[test]
fn what_an_organizations_budget_refuses_is_asked_whatever_the_node_says_and_goes_on_after_a_yes() {
    for on_error in ["fail", "continue", "ask"] {
        for crash in 0..12 {
            let mut world = refused_once(on_error);
            world.crashes = vec![crash];
            assert_eq!(world.run(), RunState::Waiting, "{on_error}");
            let work = StepId::root("work");
            assert!(!world.machine.steps[&work].detail.beyond_budget);
            world.verdicts.insert("work.~ask1".to_owned(), (Ruling::Approved, Value::Null));
            assert_eq!(world.run(), RunState::Succeeded, "{on_error}");
            assert!(world.machine.steps[&work].detail.beyond_budget);
            // What did not go out is no turn: the agent has one, and has it yet.
            let last = world.calls.last().map(|(step, _)| step.as_str());
            assert_eq!(last, Some("work.model2"), "{:?}", world.calls);
        }
    }
}

#[test]
fn a_no_to_going_beyond_the_budget_is_what_the_node_says_of_errors() {
    for (on_error, end) in [("fail", RunState::Failed), ("continue", RunState::Succeeded)] {
        let mut world = refused_once(on_error);
        assert_eq!(world.run(), RunState::Waiting);
        world.verdicts.insert("work.~ask1".to_owned(), (Ruling::Rejected, Value::Null));
        assert_eq!(world.run(), end);
        assert_eq!(world.calls.len(), 1, "nothing more is asked of the model");
        assert!(!world.machine.steps[&StepId::root("work")].detail.beyond_budget);
    }
}
