//! Each kind of node and each way to mend a failure, one at a time.

use super::*;
use crate::engine::{plan::SubWorkflow, state::StepKind};

fn unavailable(message: &str) -> StepError {
    StepError::new(ErrorClass::Unavailable, "test.unavailable", message)
}

fn refused() -> StepError {
    StepError::new(ErrorClass::Auth, "test.auth", "The key is refused.")
}

/// A start, these nodes, and an end after the last of them.
fn graph(nodes: Value, output: &str) -> Value {
    let Value::Array(inner) = nodes else { panic!("a list") };
    let last = inner.last().unwrap()["id"].clone();
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    nodes.extend(inner);
    nodes.push(json!({ "id": "end", "kind": "end", "after": [last], "output": output }));
    json!({ "nodes": nodes })
}

fn state_of(world: &World, step: &str) -> StepState {
    world.machine.steps.get(&StepId::from_text(step)).map_or(StepState::Pending, |step| step.state)
}

#[test]
fn a_loop_goes_round_until_its_condition_holds_and_hands_each_result_on() {
    let nodes = json!([{ "id": "again", "kind": "loop", "after": ["start"], "until": "{{ index > 1 }}", "nodes": [
        { "id": "draft", "kind": "tool", "tool": "look", "arguments": { "before": "{{ previous }}", "n": "{{ index }}" } },
    ]}]);
    let mut world = World::new(graph(nodes, "{{ steps.again.output }}"), Value::Null, echo);
    assert_eq!(world.run(), RunState::Succeeded);
    let first = json!({ "before": null, "n": 0 });
    let second = json!({ "before": first, "n": 1 });
    assert_eq!(world.machine.output, Some(json!({ "before": second, "n": 2 })));
    assert_eq!(world.view().step(&StepId::from_text("again.2")).unwrap().kind, StepKind::Round);
}

#[test]
fn a_loop_that_never_ends_asks_a_person_who_may_let_it_go_on() {
    let nodes = json!([{ "id": "again", "kind": "loop", "after": ["start"], "until": "{{ index > 3 }}", "max": 3,
        "nodes": [{ "id": "draft", "kind": "tool", "tool": "look" }] }]);
    let mut world = World::new(graph(nodes, ""), Value::Null, echo);
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!(state_of(&world, "again.~ask1"), StepState::Waiting);
    world.verdicts.insert("again.~ask1".to_owned(), (Ruling::Approved, Value::Null));
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.calls.len(), 5, "three rounds, and two more");
}

#[test]
fn a_workflow_runs_inside_of_the_tree_and_sees_itself_alone() {
    let inner = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "fetch", "kind": "tool", "tool": "look", "arguments": { "of": "{{ input.city }}", "outer": "{{ steps.sub }}" }, "after": ["start"] },
        { "id": "end", "kind": "end", "output": "{{ steps.fetch.output }}", "after": ["fetch"] },
    ]});
    let nodes = json!([{ "id": "sub", "kind": "workflow", "workflow": "wf_1", "input": { "city": "{{ input.name }}" }, "after": ["start"] }]);
    let mut world = World::new(graph(nodes, "{{ steps.sub.output.of }}"), json!({ "name": "Rome" }), echo);
    let mut with_sub = (*world.machine.plan).clone();
    let sub = SubWorkflow { name: "Inner".to_owned(), version: 4, graph: serde_json::from_value(inner).unwrap() };
    with_sub.workflows.insert("wf_1".to_owned(), sub);
    world.machine.plan = Arc::new(with_sub);
    world.crashes = vec![2, 4, 6];
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.output, Some(json!("Rome")));
    let fetched = world.machine.steps[&StepId::from_text("sub.fetch")].output.clone().unwrap();
    assert_eq!(fetched["outer"], Value::Null);
    assert_eq!(world.view().step(&StepId::root("sub")).unwrap().about.as_deref(), Some("Inner, version 4"));
}

#[test]
fn an_event_is_waited_for_and_its_data_is_the_output() {
    let nodes = json!([{ "id": "paid", "kind": "wait_event", "event": "{{ input.key }}", "after": ["start"] }]);
    let mut world = World::new(graph(nodes, "{{ steps.paid.output.sum }}"), json!({ "key": "payment.7" }), echo);
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!(world.machine.waiting_on, Some(crate::engine::state::WaitingOn::Event));
    world.received.insert("payment.7".to_owned(), json!({ "sum": 40 }));
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.output, Some(json!(40)));
}

#[test]
fn an_event_that_does_not_come_in_time_takes_the_error_edge() {
    let nodes = json!([
        { "id": "paid", "kind": "wait_event", "event": "x", "timeout_s": 60, "after": ["start"] },
        { "id": "remind", "kind": "tool", "tool": "look", "after": ["paid.error"] },
    ]);
    let mut world = World::new(graph(nodes, "{{ steps.paid.error }}"), Value::Null, echo);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!((world.times("remind"), state_of(&world, "paid")), (1, StepState::Failed));
}

#[test]
fn a_join_waits_for_as_many_as_it_says() {
    let tool =
        |id: &str| json!({ "id": id, "kind": "tool", "tool": "look", "after": ["start"], "on_error": "continue" });
    let nodes = json!([
        tool("a"), tool("b"), { "id": "c", "kind": "wait", "seconds": 60, "after": ["start"] },
        { "id": "two", "kind": "transform", "value": 1, "after": ["a", "b", "c"], "join": 2 },
    ]);
    let mut world = World::new(graph(nodes, "{{ steps.two.output }}"), Value::Null, echo);
    assert_eq!(world.run(), RunState::Succeeded);
    let order: Vec<_> = world
        .events
        .iter()
        .filter_map(|stored| match &stored.event {
            Event::StepSucceeded { step, .. } => Some(step.id.to_string()),
            _ => None,
        })
        .collect();
    let place = |id: &str| order.iter().position(|other| other == id).unwrap();
    assert!(place("two") < place("c") && place("two") > place("b"), "{order:?}");
}

#[test]
fn a_join_of_more_than_can_come_is_passed_over() {
    let nodes = json!([
        { "id": "size", "kind": "decision", "branches": [{ "name": "large", "when": "{{ input.n > 5 }}" }], "after": ["start"] },
        { "id": "both", "kind": "transform", "value": 1, "after": ["size.large", "size.otherwise"], "join": 2 },
    ]);
    let mut world = World::new(graph(nodes, ""), json!({ "n": 9 }), echo);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(state_of(&world, "both"), StepState::Skipped);
}

#[test]
fn items_may_fail_as_far_as_the_map_tolerates_it() {
    for (tolerated, state) in [(0, RunState::Failed), (1, RunState::Failed), (2, RunState::Succeeded)] {
        let nodes = json!([{ "id": "each", "kind": "map", "items": "{{ input.list }}", "max_failures": tolerated,
            "concurrency": 2, "after": ["start"],
            "nodes": [{ "id": "look", "kind": "tool", "tool": "look", "arguments": "{{ item }}" }] }]);
        let fails = |call: &Call, step: &str, attempt: u32| match step {
            "each.1.look" | "each.2.look" => Err(StepError::new(ErrorClass::BadInput, "test", "no")),
            _ => echo(call, step, attempt),
        };
        let mut world = World::new(graph(nodes, "{{ steps.each.output }}"), json!({ "list": [1, 2, 3, 4] }), fails);
        world.crashes = vec![3, 7];
        assert_eq!(world.run(), state, "{tolerated} may fail");
        if state == RunState::Succeeded {
            assert_eq!(world.machine.output, Some(json!([1, null, null, 4])));
        }
    }
}

#[test]
fn an_alternative_is_tried_when_the_attempts_are_spent() {
    let nodes = json!([{ "id": "fetch", "kind": "tool", "tool": "look", "arguments": { "q": 1 }, "after": ["start"],
        "retry": { "attempts": 2, "backoff_ms": 10 },
        "alternatives": [{ "tool": { "name": "send" } }, { "tool": { "name": "send", "arguments": { "q": "{{ input.n }}" } } }] }]);
    let fails = |call: &Call, step: &str, attempt: u32| match step {
        "fetch" | "fetch.~alt1" => Err(unavailable("down")),
        _ => echo(call, step, attempt),
    };
    let mut world = World::new(graph(nodes, "{{ steps.fetch.output.q }}"), json!({ "n": 2 }), fails);
    world.crashes = vec![4, 6, 8];
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.output, Some(json!(2)));
    let view = world.view();
    let fetch = view.step(&StepId::root("fetch")).unwrap();
    assert_eq!((fetch.failures.len(), fetch.failures[1].next_at), (2, None), "both attempts are told");
    assert!(view.step(&StepId::from_text("fetch.~alt2")).is_some());
}

#[test]
fn another_agent_takes_over_with_the_same_prompt() {
    let nodes = json!([{ "id": "ask", "kind": "agent", "agent": "helper", "prompt": "Hello?", "after": ["start"],
        "retry": { "attempts": 1 }, "alternatives": [{ "model": "sandbox/other" }] }]);
    let by_model = |call: &Call, _: &str, _: u32| match call {
        Call::Model(model) if model.model == "sandbox/other" => said("here", Vec::new()),
        _ => Err(unavailable("down")),
    };
    let mut world = World::new(graph(nodes, "{{ steps.ask.output }}"), Value::Null, by_model);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.output, Some(json!("here")));
}

#[test]
fn a_person_is_asked_and_may_have_it_tried_again_gone_on_without_or_failed() {
    let nodes = json!([{ "id": "fetch", "kind": "tool", "tool": "look", "arguments": { "q": 1 }, "after": ["start"] }]);
    let fails = |call: &Call, _: &str, _: u32| match call {
        Call::Tool(tool) if tool.arguments["q"] == 2 => Ok(Answer::Tool { output: json!("found") }),
        _ => Err(refused()),
    };
    let world = || World::new(graph(nodes.clone(), "{{ steps.fetch.output }}"), Value::Null, fails);

    let mut again = world();
    assert_eq!(again.run(), RunState::Waiting, "credentials are a person's matter");
    again.verdicts.insert("fetch.~ask1".to_owned(), (Ruling::Approved, json!({ "q": 1 })));
    assert_eq!(again.run(), RunState::Waiting, "it failed again, so it is asked again");
    again.verdicts.insert("fetch.~ask2".to_owned(), (Ruling::Approved, json!({ "q": 2 })));
    again.crashes = vec![again.writes + 1, again.writes + 2];
    assert_eq!(again.run(), RunState::Succeeded);
    assert_eq!(again.machine.output, Some(json!("found")));

    let mut without = world();
    without.verdicts.insert("fetch.~ask1".to_owned(), (Ruling::Skipped, json!("mine")));
    assert_eq!((without.run(), without.machine.output), (RunState::Succeeded, Some(json!("mine"))));

    let mut failed = world();
    failed.verdicts.insert("fetch.~ask1".to_owned(), (Ruling::Rejected, Value::Null));
    assert_eq!(failed.run(), RunState::Failed);
    assert_eq!(failed.machine.error.as_ref().map(|error| error.code.as_str()), Some("test.auth"));
}

#[test]
fn a_group_that_a_person_has_tried_again_begins_anew_below_itself() {
    let nodes = json!([{ "id": "each", "kind": "map", "items": "{{ input.list }}", "on_error": "ask", "after": ["start"],
        "nodes": [{ "id": "look", "kind": "tool", "tool": "look", "arguments": "{{ item }}" }] }]);
    let fails = |call: &Call, step: &str, attempt: u32| match step {
        "each.1.look" => Err(StepError::new(ErrorClass::BadInput, "test", "no")),
        _ => echo(call, step, attempt),
    };
    let mut world = World::new(graph(nodes, "{{ steps.each.output }}"), json!({ "list": [1, 2] }), fails);
    assert_eq!(world.run(), RunState::Waiting);
    world.verdicts.insert("each.~ask1".to_owned(), (Ruling::Approved, json!([1, 2, 3])));
    let writes = world.writes;
    world.crashes = (writes..writes + 6).collect();
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.output, Some(json!([1, 2, 3])));
    assert_eq!(world.times("each.~again1.1.look"), 1);
}

#[test]
fn what_must_not_be_repeated_is_not_and_a_person_says_whether_it_happened() {
    let nodes = json!([{ "id": "pay", "kind": "http", "method": "POST", "url": "https://example.com", "at_most_once": true,
        "after": ["start"] }]);
    let mut world = World::new(graph(nodes.clone(), "{{ steps.pay.output }}"), Value::Null, echo);
    // The owner is lost between the start of the call and its result.
    world.crashes = vec![2];
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!((world.times("pay"), state_of(&world, "pay")), (0, StepState::Uncertain));
    assert_eq!(world.view().step(&StepId::root("pay")).unwrap().state, StepState::Uncertain);
    world.verdicts.insert("pay.~ask1".to_owned(), (Ruling::Skipped, json!({ "receipt": 7 })));
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!((world.times("pay"), world.machine.output), (0, Some(json!({ "receipt": 7 }))));

    let lost = StepError { effect_unknown: true, ..unavailable("cut off") };
    let mut world = World::new(graph(nodes, ""), Value::Null, move |_, _, attempt| match attempt {
        1 => Err(lost.clone()),
        _ => Ok(Answer::Tool { output: Value::Null }),
    });
    assert_eq!(world.run(), RunState::Waiting, "an answer that was cut off is not tried again either");
    world.verdicts.insert("pay.~ask1".to_owned(), (Ruling::Approved, json!({ "url": "https://example.com" })));
    assert_eq!((world.run(), world.times("pay")), (RunState::Succeeded, 2));
}

#[test]
fn a_node_that_needs_a_word_first_waits_for_it() {
    let nodes = json!([{ "id": "send", "kind": "tool", "tool": "send", "arguments": { "n": "{{ input.n }}" },
        "requires_approval": "{{ input.n > 5 }}", "after": ["start"] }]);
    let mut small = World::new(graph(nodes.clone(), "{{ steps.send.output.n }}"), json!({ "n": 3 }), echo);
    assert_eq!((small.run(), small.machine.output), (RunState::Succeeded, Some(json!(3))));
    let mut large = World::new(graph(nodes, "{{ steps.send.output.n }}"), json!({ "n": 9 }), echo);
    assert_eq!((large.run(), large.times("send")), (RunState::Waiting, 0));
    large.verdicts.insert("send".to_owned(), (Ruling::Approved, json!({ "n": 6 })));
    assert_eq!((large.run(), large.machine.output), (RunState::Succeeded, Some(json!(6))));
}

#[test]
fn a_held_run_begins_nothing_and_loses_nothing() {
    let nodes = json!([
        { "id": "a", "kind": "tool", "tool": "look", "after": ["start"] },
        { "id": "b", "kind": "tool", "tool": "look", "after": ["a"] },
    ]);
    let mut world = World::new(graph(nodes, "done"), Value::Null, echo);
    let turn = decide(&mut world.machine, Input::Pause("Ana".to_owned()), world.now);
    world.write(&turn);
    assert_eq!((world.run(), world.calls.len()), (RunState::Paused, 0));
    let turn = decide(&mut world.machine, Input::Resume("Ana".to_owned()), world.now);
    world.write(&turn);
    let effects = turn.effects.into_iter().filter_map(|effect| world.act(effect)).collect::<Vec<_>>();
    for input in effects {
        let turn = decide(&mut world.machine, input, world.now);
        world.write(&turn);
    }
    world.crash();
    assert_eq!((world.run(), world.machine.output.clone()), (RunState::Succeeded, Some(json!("done"))));
    assert!(world.view().started_at.is_some());
}

#[test]
fn a_group_that_takes_too_long_is_cut_off_with_all_inside() {
    let nodes = json!([{ "id": "each", "kind": "map", "items": "{{ input.list }}", "timeout_s": 30, "after": ["start"],
        "on_error": "continue", "nodes": [{ "id": "rest", "kind": "wait", "seconds": 600 }] }]);
    let mut world = World::new(graph(nodes, "late"), json!({ "list": [1, 2] }), echo);
    assert_eq!((world.run(), world.machine.output.clone()), (RunState::Succeeded, Some(json!("late"))));
    assert_eq!(state_of(&world, "each.0.rest"), StepState::Cancelled);
    assert_eq!(world.now, Timestamp::UNIX_EPOCH + TimeDelta::seconds(30));
}

#[test]
fn a_pinned_output_stands_for_the_work() {
    let nodes = json!([{ "id": "fetch", "kind": "tool", "tool": "send", "pinned": { "n": 7 }, "after": ["start"] }]);
    let mut world = World::new(graph(nodes, "{{ steps.fetch.output.n }}"), Value::Null, echo);
    assert_eq!((world.run(), world.machine.output.clone()), (RunState::Succeeded, Some(json!(7))));
    assert_eq!(world.calls.len(), 0);
    assert_eq!(world.view().step(&StepId::root("fetch")).unwrap().about.as_deref(), Some("pinned output"));
}

#[test]
fn an_event_that_comes_while_a_step_is_about_to_wait_is_not_lost() {
    let nodes = json!([{ "id": "paid", "kind": "wait_event", "event": "x", "after": ["start"] }]);
    let mut world = World::new(graph(nodes, "{{ steps.paid.output }}"), Value::Null, echo);
    let mut effects = decide(&mut world.machine, Input::Loaded, world.now).effects;
    let Some(input) = effects.pop().and_then(|effect| world.act(effect)) else { panic!("the key is asked for") };
    let mut tell = |input: Input| decide(&mut world.machine, input, Timestamp::UNIX_EPOCH).events.len();
    tell(input);
    let paid = StepId::root("paid");
    assert_eq!(tell(Input::Received(vec![(paid.clone(), json!(40))])), 0);
    tell(Input::Evaluated(paid.clone(), Ok(Value::Null)));
    assert_eq!(state_of(&world, "paid"), StepState::Succeeded);
    assert_eq!(world.machine.steps[&paid].output, Some(json!(40)));
}
