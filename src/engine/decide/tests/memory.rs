//! What agents remember of their earlier tasks, instructions that are filled in, and long results told in short.

use serde_json::json;

use super::*;
use crate::engine::{
    plan::Memory,
    port::{MemoryCall, MemoryDeed, PastTask},
    state::StepKind,
};

fn with_helper(world: &mut World, change: impl FnOnce(&mut AgentSpec)) {
    let mut plan = (*world.machine.plan).clone();
    change(plan.agents.get_mut("helper").unwrap());
    world.machine.plan = Arc::new(plan);
}

/// What a model is told, a line for each message.
fn told(call: &Call) -> Vec<String> {
    let Call::Model(call) = call else { panic!("no model's call: {call:?}") };
    let line = |message: &Message| match message {
        Message::User { text } => format!("user: {text}"),
        Message::Assistant { text, .. } => format!("assistant: {text}"),
        Message::Tool { output, .. } => format!("tool: {output}"),
    };
    call.messages.iter().map(line).collect()
}

fn of_memory(call: &Call) -> &MemoryCall {
    let Call::Memory(call) = call else { panic!("no memory's call: {call:?}") };
    call
}

fn keyed(prompt: &str, history: Value) -> Value {
    json!({ "nodes": [
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": prompt, "history": history,
          "memory_key": "{{ input.customer }}" },
        { "id": "end", "kind": "end", "output": "{{ steps.ask.output }}", "after": ["ask"] },
    ] })
}

#[test]
fn an_agent_remembers_its_earlier_tasks_of_the_run() {
    let graph = json!({ "nodes": [
        { "id": "each", "kind": "loop", "until": "{{ index > 1 }}", "nodes": [
            { "id": "ask", "kind": "agent", "agent": "helper", "prompt": "{{ index }}" },
        ]},
        { "id": "last", "kind": "agent", "agent": "helper", "prompt": "Last", "after": ["each"] },
        { "id": "end", "kind": "end", "output": "{{ steps.last.output }}", "after": ["last"] },
    ] });
    for crash in 0..16 {
        let mut world = World::new(graph.clone(), json!({}), |call, _, _| said(&told(call).join(", "), Vec::new()));
        with_helper(&mut world, |helper| helper.memory = Memory::Conversation);
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Succeeded, "{crash}: {:?}", world.machine.error);
        let second = world.machine.steps[&StepId::from_text("each.1.ask")].output.clone().unwrap();
        assert_eq!(second, "user: 0, assistant: user: 0, user: 1");
        let last = &world.machine.steps[&StepId::root("last")];
        assert_eq!(last.input.as_ref().unwrap()["remembers"], json!(["each.0.ask", "each.1.ask", "each.2.ask"]));
        assert!(last.output.as_ref().unwrap().as_str().unwrap().ends_with(", user: Last"));
        assert!(world.machine.steps.values().all(|step| step.kind != StepKind::Memory), "the run itself is the memory");
    }
}

#[test]
fn an_agent_that_remembers_nothing_is_told_nothing() {
    let mut world = World::new(keyed("Hello", Value::Null), json!({ "customer": "c-1" }), |call, _, _| {
        assert_eq!(told(call), ["user: Hello"]);
        said("Good day", Vec::new())
    });
    assert_eq!(world.run(), RunState::Succeeded);
}

#[test]
fn a_task_under_a_key_is_told_of_the_last_ones_and_kept() {
    let history = json!("{{ input.history }}");
    let input = json!({ "customer": " c-1 ", "history": [{ "role": "user", "text": "By the way" }] });
    for crash in 0..16 {
        let mut world = World::new(keyed("And now?", history.clone()), input.clone(), |call, step, _| match step {
            "ask.memory-recall" => {
                let call = of_memory(call);
                assert_eq!((call.agent.as_str(), call.key.as_str()), ("helper", "c-1"));
                assert_eq!(call.deed, MemoryDeed::Recall);
                let tasks = json!([{ "prompt": "Hello", "answer": "Good day" }]);
                Ok(Answer::Tool { output: json!({ "tasks": tasks }) })
            }
            "ask.model1" => {
                let Call::Model(model) = call else { panic!("{call:?}") };
                assert_eq!(model.earlier, 3);
                assert_eq!(told(call), ["user: Hello", "assistant: Good day", "user: By the way", "user: And now?"]);
                said("Evening.", Vec::new())
            }
            "ask.memory-keep" => {
                let MemoryDeed::Keep { task, .. } = &of_memory(call).deed else { panic!("{call:?}") };
                assert_eq!(*task, PastTask { prompt: "And now?".to_owned(), answer: "Evening.".to_owned() });
                Ok(Answer::Tool { output: Value::Null })
            }
            other => panic!("{other}"),
        });
        with_helper(&mut world, |helper| helper.memory = Memory::Key);
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Succeeded, "{crash}: {:?}", world.machine.error);
        assert_eq!(world.machine.output, Some(json!("Evening.")));
        assert_eq!(world.times("ask.model1"), 1);
        assert!(world.view().usage.tokens() > 0);
    }
}

#[test]
fn without_a_key_nothing_is_read_or_kept_and_an_input_is_no_key() {
    let said_so = |call: &Call, _: &str, _: u32| said(&told(call).join(", "), Vec::new());
    for empty in [json!({}), json!({ "customer": "  " })] {
        let mut world = World::new(keyed("Hello", Value::Null), empty, said_so);
        with_helper(&mut world, |helper| helper.memory = Memory::Key);
        assert_eq!(world.run(), RunState::Succeeded);
        assert_eq!(world.machine.output, Some(json!("user: Hello")));
    }
    let mut world = World::new(keyed("Hello", Value::Null), json!({ "customer": "x".repeat(201) }), said_so);
    with_helper(&mut world, |helper| helper.memory = Memory::Key);
    assert_eq!(world.run(), RunState::Failed);
    assert_eq!(world.machine.error.unwrap().code, "agent.memory_key");
    // Whoever starts a run does not choose what is remembered: the workflow does.
    let graph = json!({ "nodes": [
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": "{{ input }}" },
        { "id": "end", "kind": "end", "after": ["ask"] },
    ] });
    let mut world = World::new(graph, json!({ "prompt": "Hello", "memory_key": "somebody else's" }), said_so);
    with_helper(&mut world, |helper| helper.memory = Memory::Key);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.calls.len(), 1);
}

#[test]
fn a_trial_reads_and_keeps_nothing() {
    let mut world = World::new(keyed("Hello", Value::Null), json!({ "customer": 7 }), |call, step, _| match step {
        "ask.memory-recall" => {
            assert_eq!(of_memory(call).key, "7");
            Ok(Answer::Tool { output: json!({ "tasks": [] }) })
        }
        "ask.model1" => said("Good day", Vec::new()),
        other => panic!("{other}"),
    });
    with_helper(&mut world, |helper| helper.memory = Memory::Key);
    let mut plan = (*world.machine.plan).clone();
    plan.simulate = true;
    world.machine.plan = Arc::new(plan);
    assert_eq!(world.run(), RunState::Succeeded);
}

#[test]
fn a_memory_that_cannot_be_read_fails_the_task_and_one_that_cannot_be_added_to_does_not() {
    let refused = || Err(StepError::new(ErrorClass::Internal, "memory.test", "It cannot be had."));
    for (fails, end) in [("ask.memory-recall", RunState::Failed), ("ask.memory-keep", RunState::Succeeded)] {
        let mut world =
            World::new(keyed("Hello", Value::Null), json!({ "customer": 7 }), move |_, step, _| match step {
                step if step == fails => refused(),
                "ask.model1" => said("Good day", Vec::new()),
                _ => Ok(Answer::Tool { output: json!({ "tasks": [] }) }),
            });
        with_helper(&mut world, |helper| helper.memory = Memory::Key);
        assert_eq!(world.run(), end, "{fails}");
        let cause = world.machine.error.and_then(|error| error.caused_by);
        assert_eq!(cause, (end == RunState::Failed).then(|| StepId::from_text(fails)));
    }
}

#[test]
fn what_other_runs_have_left_counts_for_the_rule_of_two() {
    let recalled = json!({ "tasks": [{ "prompt": "Hello", "answer": "Good day" }] });
    for (memory, reads) in [(Memory::Key, "input.context"), (Memory::None, "context.notes")] {
        let mut graph = keyed("Send it", Value::Null);
        graph["nodes"].as_array_mut().unwrap().last_mut().unwrap()["output"] = json!(format!("{{{{ {reads} }}}}"));
        let recalled = recalled.clone();
        let mut world = World::new(graph, json!({ "customer": 7 }), move |_, step, _| match step {
            "ask.memory-recall" => Ok(Answer::Tool { output: recalled.clone() }),
            "ask.model1" => said("", vec![wants("send")]),
            "ask.model2" => said("Sent.", Vec::new()),
            _ => Ok(Answer::Tool { output: Value::Null }),
        });
        with_helper(&mut world, |helper| {
            helper.memory = memory;
            helper.tools.insert("send".to_owned(), ToolPermission::Allowed);
        });
        let mut plan = (*world.machine.plan).clone();
        plan.tools.get_mut("send").unwrap().flow.outbound = true;
        world.machine.plan = Arc::new(plan);
        assert_eq!(world.run(), RunState::Waiting, "{reads}: a person is asked");
        assert!(world.machine.steps[&StepId::from_text("ask.tool1_1")].detail.approval.is_some());
    }
}

#[test]
fn instructions_are_filled_in_once_and_recorded() {
    let graph = json!({ "nodes": [
        { "id": "look", "kind": "tool", "tool": "look", "arguments": { "plan": "gold" } },
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": "Hello", "after": ["look"],
          "alternatives": [{ "model": "sandbox/other" }] },
        { "id": "end", "kind": "end", "output": "{{ steps.ask.output }}", "after": ["ask"] },
    ] });
    for crash in 0..16 {
        let mut world = World::new(graph.clone(), json!({ "name": "Ada" }), |call, step, _| {
            let Call::Model(call) = call else { return Ok(Answer::Tool { output: json!({ "plan": "gold" }) }) };
            assert_eq!(call.system, "Help Ada, who has {\"plan\":\"gold\"}.", "{step}");
            assert_eq!(call.filled.is_empty(), step.ends_with("model2"), "{step}");
            match step {
                "ask.model1" => Err(StepError::new(ErrorClass::Auth, "test", "no key")),
                "ask.~alt1.model1" => said("", vec![wants("look")]),
                _ => said("Done.", Vec::new()),
            }
        });
        let instructions = "Help {{ input.name }}, who has {{ steps.look.output }}.";
        with_helper(&mut world, |helper| helper.instructions = instructions.to_owned());
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Succeeded, "{crash}: {:?}", world.machine.error);
        let input = world.machine.steps[&StepId::root("ask")].input.clone().unwrap();
        assert_eq!(input["filled"], json!(["Ada", "{\"plan\":\"gold\"}"]));
    }
}

#[test]
fn what_instructions_name_and_is_not_there_is_told() {
    let graph = json!({ "nodes": [
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": "Hello" },
        { "id": "end", "kind": "end", "after": ["ask"] },
    ] });
    for trial in [false, true] {
        let mut world = World::new(graph.clone(), json!({}), |call, _, _| {
            let Call::Model(call) = call else { panic!("{call:?}") };
            assert_eq!(call.system, "Help [input.name].");
            said("Done.", Vec::new())
        });
        with_helper(&mut world, |helper| helper.instructions = "Help {{ input.name }}.".to_owned());
        let mut plan = (*world.machine.plan).clone();
        plan.trial = trial;
        world.machine.plan = Arc::new(plan);
        let end = world.run();
        assert_eq!(end, if trial { RunState::Succeeded } else { RunState::Failed });
        if let Some(error) = world.machine.error {
            assert_eq!((error.class, error.code.as_str()), (ErrorClass::BadInput, "agent.instructions"));
            assert!(error.message.contains("{{ input.name }}"), "{}", error.message);
        }
    }
    // What is no template was none before, either.
    let mut world = World::new(graph, json!({}), |call, _, _| {
        let Call::Model(call) = call else { panic!("{call:?}") };
        assert_eq!(call.system, "Write {{ and never close it.");
        said("Done.", Vec::new())
    });
    with_helper(&mut world, |helper| helper.instructions = "Write {{ and never close it.".to_owned());
    assert_eq!(world.run(), RunState::Succeeded);
}

#[test]
fn long_results_of_earlier_turns_are_told_in_short_and_recorded_whole() {
    let graph = json!({ "nodes": [
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": "Look four times" },
        { "id": "end", "kind": "end", "after": ["ask"] },
    ] });
    for compress in [false, true] {
        let mut world = World::new(graph.clone(), json!({}), move |call, step, _| {
            let Call::Model(model) = call else { return Ok(Answer::Tool { output: json!("word ".repeat(1_000)) }) };
            let turn: usize = step.trim_start_matches("ask.model").parse().unwrap();
            let lengths: Vec<bool> = told(call)
                .iter()
                .filter(|line| line.starts_with("tool: "))
                .map(|line| line.contains("characters left out; call the tool again"))
                .collect();
            // The last two turns' are whole; what was shortened stays so.
            let short = if compress { (turn - 1).saturating_sub(2) } else { 0 };
            assert_eq!(lengths, [vec![true; short], vec![false; turn - 1 - short]].concat(), "turn {turn}");
            assert_eq!(model.tools.len(), 2);
            match turn {
                5 => said("Done.", Vec::new()),
                _ => said("", vec![ToolRequest { arguments: json!({ "turn": turn }), ..wants("look") }]),
            }
        });
        with_helper(&mut world, |helper| {
            helper.options.compress = compress;
            helper.limits.max_turns = 9;
        });
        assert_eq!(world.run(), RunState::Succeeded, "{:?}", world.machine.error);
        let first = world.machine.steps[&StepId::from_text("ask.tool1_1")].output.clone().unwrap();
        assert_eq!(first.as_str().unwrap().len(), 5_000);
        let last = world.machine.steps[&StepId::from_text("ask.model5")].input.clone().unwrap();
        assert_eq!(last["messages"].as_array().unwrap().len(), 2, "only what is new is recorded");
    }
}
