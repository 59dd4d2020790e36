//! Agents that call other agents and workflows, that run in circles, that combine what they must not, and that are tried.

use serde_json::json;

use super::*;
use crate::engine::plan::{FIND_TOOLS, Flow, SubWorkflow, ToolSource};

fn ask(prompt: &str) -> Value {
    json!({ "nodes": [
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": prompt },
        { "id": "end", "kind": "end", "output": "{{ steps.ask.output }}", "after": ["ask"] },
    ] })
}

fn request(tool: &str, arguments: Value) -> ToolRequest {
    ToolRequest { id: format!("call-{tool}"), tool: tool.to_owned(), arguments, signatures: Vec::new() }
}

/// A world whose helper may also use these tools.
fn world(
    tools: &[(ToolSpec, ToolPermission)],
    perform: impl FnMut(&Call, &str, u32) -> Result<Answer, StepError> + 'static,
) -> World {
    let mut world = World::new(ask("Do it"), json!({}), perform);
    let mut plan = (*world.machine.plan).clone();
    for (tool, permission) in tools {
        plan.tools.insert(tool.name.clone(), tool.clone());
        if let Some(helper) = plan.agents.get_mut("helper") {
            helper.tools.insert(tool.name.clone(), *permission);
            helper.limits.max_turns = 20;
        }
    }
    world.machine.plan = Arc::new(plan);
    world
}

fn reading(name: &str) -> ToolSpec {
    ToolSpec { name: name.to_owned(), effect: ToolEffect::Read, timeout_s: 10, ..ToolSpec::default() }
}

fn agent_tool(key: &str) -> ToolSpec {
    let parameters = json!({
        "type": "object", "properties": { "prompt": { "type": "string" } }, "required": ["prompt"],
        "additionalProperties": false
    });
    ToolSpec { parameters, source: ToolSource::Agent { agent: key.to_owned() }, ..reading(&format!("agent_{key}")) }
}

fn add_agent(world: &mut World, key: &str, tools: &[(&str, ToolPermission)]) {
    let mut plan = (*world.machine.plan).clone();
    let tools = tools.iter().map(|(name, permission)| ((*name).to_owned(), *permission)).collect();
    let spec = AgentSpec { name: key.to_owned(), tools, ..plan.agents["helper"].clone() };
    plan.agents.insert(key.to_owned(), spec);
    world.machine.plan = Arc::new(plan);
}

fn last_text(call: &Call) -> String {
    let Call::Model(call) = call else { return String::new() };
    match call.messages.last() {
        Some(Message::User { text } | Message::Assistant { text, .. }) => text.clone(),
        Some(Message::Tool { output, .. }) => output.as_str().map_or_else(|| output.to_string(), str::to_owned),
        None => String::new(),
    }
}

#[test]
fn an_agent_hands_a_part_of_its_task_to_another_one() {
    for crash in 0..12 {
        let mut world = world(&[(agent_tool("expert"), ToolPermission::Policy)], |call, step, _| match step {
            "ask.model1" => said("", vec![request("agent_expert", json!({ "prompt": "How tall?" }))]),
            "ask.tool1_1.model1" => {
                assert_eq!(last_text(call), "How tall?");
                said("Eight metres.", Vec::new())
            }
            "ask.model2" => {
                assert_eq!(last_text(call), "Eight metres.");
                said("It is eight metres tall.", Vec::new())
            }
            other => panic!("{other}"),
        });
        add_agent(&mut world, "expert", &[]);
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Succeeded, "{crash}");
        assert_eq!(world.machine.output, Some(json!("It is eight metres tall.")));
        assert_eq!(world.times("ask.tool1_1.model1"), 1);
    }
}

#[test]
fn agents_do_not_call_themselves_nor_each_other_without_end() {
    let mut world =
        world(&[(agent_tool("expert"), ToolPermission::Allowed)], |call, step, _| match step.matches("tool").count() {
            _ if step.ends_with("model2") => said(&last_text(call), Vec::new()),
            1 => said("", vec![request("agent_helper", json!({ "prompt": "And you?" }))]),
            _ => said("", vec![request("agent_expert", json!({ "prompt": "What do you say?" }))]),
        });
    add_agent(&mut world, "expert", &[("agent_helper", ToolPermission::Allowed)]);
    let mut plan = (*world.machine.plan).clone();
    plan.tools.insert("agent_helper".to_owned(), agent_tool("helper"));
    world.machine.plan = Arc::new(plan);
    assert_eq!(world.run(), RunState::Succeeded);
    let refused = world.machine.steps[&StepId::from_text("ask.tool1_1.tool1_1")].error.clone().unwrap();
    assert_eq!(refused.code, "tools.recursive");
}

#[test]
fn a_workflow_is_a_tool_and_its_steps_nest_in_the_call() {
    for crash in 0..12 {
        let tool = ToolSpec {
            parameters: json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
            source: ToolSource::Workflow { workflow: "wf_double".to_owned() },
            effect: ToolEffect::Write,
            ..reading("workflow_double")
        };
        let mut world = world(&[(tool, ToolPermission::Policy)], |call, step, _| match step {
            "ask.model1" => said(
                "",
                vec![request("workflow_double", json!({ "n": "two" })), request("workflow_double", json!({ "n": 2 }))],
            ),
            "ask.tool1_2:wf_double.look" => Ok(Answer::Tool { output: json!(4) }),
            "ask.model2" => said(&last_text(call), Vec::new()),
            other => panic!("{other}"),
        });
        let mut plan = (*world.machine.plan).clone();
        let graph = serde_json::from_value(json!({ "nodes": [
            { "id": "look", "kind": "tool", "tool": "look", "arguments": { "n": "{{ input.n }}" } },
            { "id": "end", "kind": "end", "output": "{{ steps.look.output }}", "after": ["look"] },
        ] }))
        .unwrap();
        plan.workflows.insert("wf_double".to_owned(), SubWorkflow { name: "Double".to_owned(), version: 3, graph });
        world.machine.plan = Arc::new(plan);
        world.judge = Some(Box::new(|_| Ruling::Approved));
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Succeeded, "{crash}: {:?}", world.machine.error);
        assert_eq!(world.machine.output, Some(json!("4")));
        let wrong = &world.machine.steps[&StepId::from_text("ask.tool1_1:wf_double")];
        assert_eq!(wrong.error.as_ref().map(|error| error.code.as_str()), Some("tool.arguments"));
        assert_eq!(world.times("ask.tool1_2:wf_double.look"), 1);
    }
}

#[test]
fn who_makes_the_same_call_again_and_again_is_told_and_then_stopped() {
    let mut told = 0;
    let mut world = world(&[(reading("peek"), ToolPermission::Allowed)], move |call, step, _| {
        if step.contains("tool") {
            return Ok(Answer::Tool { output: json!("nothing new") });
        }
        told += usize::from(last_text(call).contains("made these calls before"));
        assert!(told <= 2, "it is told, and then it is over");
        said("", vec![request("peek", json!({ "at": "the door" }))])
    });
    assert_eq!(world.run(), RunState::Waiting, "a person is asked");
    let error = world.machine.steps[&StepId::root("ask")].error.clone().unwrap();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Budget, "agent.no_progress"));
    assert!(error.message.contains("5 turns") && error.message.contains("made before"), "{}", error.message);
    assert_eq!(world.calls.iter().filter(|(step, _)| step.contains("tool")).count(), 5);
}

#[test]
fn who_finds_something_new_each_time_is_left_alone() {
    let mut count = 0;
    let mut world = world(&[(reading("peek"), ToolPermission::Allowed)], move |_, step, _| {
        if step.contains("tool") {
            count += 1;
            return Ok(Answer::Tool { output: json!(count) });
        }
        match step {
            "ask.model12" => said("There are eleven.", Vec::new()),
            _ => said("", vec![request("peek", json!({}))]),
        }
    });
    assert_eq!(world.run(), RunState::Succeeded);
}

#[test]
fn the_same_error_again_and_again_ends_the_task() {
    let mut place = 0;
    let mut world = world(&[(reading("peek"), ToolPermission::Allowed)], move |_, step, _| {
        if step.contains("tool") {
            return Err(StepError::new(ErrorClass::BadInput, "peek.refused", "That place is closed."));
        }
        place += 1;
        said("", vec![request("peek", json!({ "at": place }))])
    });
    assert_eq!(world.run(), RunState::Waiting);
    let error = world.machine.steps[&StepId::root("ask")].error.clone().unwrap();
    assert!(error.message.contains("That place is closed."), "{}", error.message);
    assert_eq!(world.calls.iter().filter(|(step, _)| step.contains("tool")).count(), 6);
}

#[test]
fn strangers_text_and_private_data_do_not_go_out_unseen() {
    let flow = |untrusted, private, outbound| Flow { untrusted, private, outbound };
    let tools = [
        (ToolSpec { flow: flow(true, false, true), ..reading("page") }, ToolPermission::Allowed),
        (ToolSpec { flow: flow(false, true, false), ..reading("records") }, ToolPermission::Allowed),
    ];
    for approved in [true, false] {
        let mut world = world(&tools, |call, step, _| match step {
            "ask.model1" => said("", vec![request("page", json!({ "url": "a" }))]),
            "ask.model2" => said("", vec![request("records", json!({}))]),
            "ask.model3" => said("", vec![request("page", json!({ "url": "b?secret" }))]),
            "ask.model4" => said(&last_text(call), Vec::new()),
            _ => Ok(Answer::Tool { output: json!(step) }),
        });
        let ruling = if approved { Ruling::Approved } else { Ruling::Rejected };
        world.judge = Some(Box::new(move |_| ruling));
        assert_eq!(world.run(), RunState::Succeeded);
        assert_eq!((world.times("ask.tool1_1"), world.times("ask.tool3_1")), (1, usize::from(approved)));
        assert!(world.machine.steps[&StepId::from_text("ask.tool3_1")].detail.approval.is_some());
        assert!(world.machine.steps[&StepId::from_text("ask.tool1_1")].detail.approval.is_none());
    }
    // Who has been told that it is all right is not asked.
    let mut world = world(&tools, |_, step, _| match step {
        "ask.model1" => said("", vec![request("page", json!({})), request("records", json!({}))]),
        "ask.model2" => said("", vec![request("page", json!({}))]),
        "ask.model3" => said("Done.", Vec::new()),
        _ => Ok(Answer::Tool { output: json!(1) }),
    });
    let mut plan = (*world.machine.plan).clone();
    plan.agents.get_mut("helper").unwrap().guardrails.rule_of_two = false;
    world.machine.plan = Arc::new(plan);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.times("ask.tool2_1"), 1);
}

#[test]
fn what_a_step_has_used_counts_though_it_is_stopped_before_its_next_attempt() {
    let graph = json!({ "nodes": [
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": "Hello" },
        { "id": "end", "kind": "end", "after": ["ask"] },
    ] });
    let used = Usage { tokens_in: 5, tokens_out: 1, cost: Money(3) };
    let mut world = World::new(graph, Value::Null, move |_, _, _| {
        let mut error = StepError::new(ErrorClass::Unavailable, "x", "cut off");
        error.set_used(used);
        Err(error)
    });
    world.machine.deadline_at = Some(Timestamp::UNIX_EPOCH + TimeDelta::milliseconds(100));
    assert_eq!(world.run(), RunState::Failed);
    assert_eq!(world.view().step(&StepId::from_text("ask.model1")).unwrap().state, StepState::Cancelled);
    assert_eq!(world.view().usage, used);
}

#[test]
fn what_tools_cost_counts_for_the_task_and_holds_the_next_model_call() {
    let paid = |output| {
        let answer = Box::new(Answer::Tool { output });
        Ok(Answer::Paid { answer, cost: Money(700) })
    };
    let tools = [(reading("page"), ToolPermission::Allowed)];
    for (limit, calls) in [(1_500, 2), (600, 1)] {
        let mut world = world(&tools, move |_, step, _| match step {
            "ask.model1" => said("", vec![request("page", json!({ "url": "a" }))]),
            "ask.model2" => said("Done.", Vec::new()),
            _ => paid(json!("text")),
        });
        let mut plan = (*world.machine.plan).clone();
        plan.agents.get_mut("helper").unwrap().limits.max_cost = Money(limit);
        world.machine.plan = Arc::new(plan);
        let end = world.run();
        assert_eq!(
            (world.times("ask.model1") + world.times("ask.model2"), end == RunState::Succeeded),
            (calls, calls == 2)
        );
        assert_eq!(world.machine.steps[&StepId::from_text("ask.tool1_1")].usage.cost, Money(700));
    }
}

#[test]
fn nobody_is_asked_for_leave_without_end() {
    let mut world = world(&[], |_, step, _| match step.contains("model") {
        true => said("", (0..16).map(|n| request("send", json!({ "n": n }))).collect()),
        false => Ok(Answer::Tool { output: json!("sent") }),
    });
    world.judge = Some(Box::new(|step| if step.contains('~') { Ruling::Rejected } else { Ruling::Approved }));
    assert_eq!(world.run(), RunState::Failed, "it asks on and on, which is no progress");
    let asked = world.machine.steps.values().filter(|step| step.id.key().starts_with("tool"));
    assert_eq!(asked.filter(|step| step.detail.approval.is_some()).count(), 20);
    let refused = world.machine.steps.values().filter_map(|step| step.error.as_ref());
    assert_eq!(refused.filter(|error| error.code == "tools.too_many_approvals").count(), 12);
}

#[test]
fn a_trial_asks_nobody_and_says_that_the_call_is_simulated() {
    let mut world = world(&[(reading("peek"), ToolPermission::NeedsApproval)], |call, step, _| match (step, call) {
        ("ask.model1", _) => said("", vec![request("send", json!({ "to": "x" }))]),
        ("ask.model2", _) => said("Done.", Vec::new()),
        (_, Call::Tool(call)) => {
            assert!(call.simulated);
            Ok(Answer::Tool { output: json!({ "simulated": true }) })
        }
        other => panic!("{other:?}"),
    });
    let mut plan = (*world.machine.plan).clone();
    plan.simulate = true;
    world.machine.plan = Arc::new(plan);
    assert_eq!(world.run(), RunState::Succeeded);
}

#[test]
fn what_was_said_before_comes_first() {
    let graph = json!({ "nodes": [
        { "id": "ask", "kind": "agent", "agent": "helper", "prompt": "{{ input.prompt }}", "history": "{{ input.history }}" },
        { "id": "end", "kind": "end", "output": "{{ steps.ask.output }}", "after": ["ask"] },
    ] });
    let input = json!({ "prompt": "And now?", "history": [
        { "role": "user", "text": "Hello" }, { "role": "assistant", "text": "Good day" },
    ] });
    let mut world = World::new(graph, input, |call, _, _| {
        let Call::Model(call) = call else { panic!("a tool") };
        let texts: Vec<_> = call
            .messages
            .iter()
            .map(|message| match message {
                Message::User { text } => format!("user: {text}"),
                Message::Assistant { text, .. } => format!("assistant: {text}"),
                Message::Tool { .. } => "tool".to_owned(),
            })
            .collect();
        assert_eq!(texts, ["user: Hello", "assistant: Good day", "user: And now?"]);
        said("Evening.", Vec::new())
    });
    assert_eq!(world.run(), RunState::Succeeded);
}

#[test]
fn of_many_tools_those_that_fit_are_shown_and_the_others_can_be_found() {
    let mut tools: Vec<_> = (0..100)
        .map(|n| {
            (
                ToolSpec { description: format!("Does thing number {n}."), ..reading(&format!("thing_{n}")) },
                ToolPermission::Allowed,
            )
        })
        .collect();
    tools
        .push((ToolSpec { description: "Rings the old bell.".to_owned(), ..reading("ring") }, ToolPermission::Allowed));
    let offered = |call: &Call| match call {
        Call::Model(call) => call.tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>(),
        Call::Tool(_) | Call::Memory(_) => Vec::new(),
    };
    let mut world = world(&tools, move |call, step, _| match step {
        "ask.model1" => {
            let offered = offered(call);
            assert!(offered.len() <= 17 && !offered.contains(&"ring".to_owned()), "{offered:?}");
            assert!(offered.contains(&FIND_TOOLS.to_owned()));
            said("", vec![request(FIND_TOOLS, json!({ "query": "ring a bell" }))])
        }
        "ask.model2" => {
            assert!(last_text(call).contains("Rings the old bell."));
            assert!(offered(call).contains(&"ring".to_owned()));
            said("", vec![request("ring", json!({}))])
        }
        "ask.model3" => said("It rang.", Vec::new()),
        "ask.tool2_1" => Ok(Answer::Tool { output: json!("ding") }),
        other => panic!("{other}"),
    });
    assert_eq!(world.run(), RunState::Succeeded, "{:?}", world.machine.error);
}

#[test]
fn what_a_model_had_written_when_its_call_failed_stays_with_the_step_and_is_no_answer() {
    let heard = crate::engine::machine::Heard::default();
    let call = heard.clone();
    let mut world = world(&[], move |_, step, _| {
        call.hear(&StepId::from_text(step.to_owned()), Some("It is eight "));
        Err(StepError::new(ErrorClass::BadInput, "model.refused", "No."))
    });
    world.machine.heard = heard;
    assert_eq!(world.run(), RunState::Failed);
    let model = &world.machine.steps[&StepId::from_text("ask.model1".to_owned())];
    assert_eq!(model.output, Some(json!({ "text": "It is eight ", "unfinished": true })));
    assert!(world.machine.steps[&StepId::root("ask")].output.is_none() && world.machine.output.is_none());
}
