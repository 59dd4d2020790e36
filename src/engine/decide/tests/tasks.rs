//! An agent's own limits for a task, and answers that do not have the agreed form.

use super::*;
use crate::{
    access::Role,
    engine::{
        machine::{Most, TaskLimit},
        plan::{ModelOptions, ToolSource},
        port::{MAX_ANSWER, ModelCall},
    },
};

/// An agent at work, with these limits, whose model's calls may cost so many millionths of a dollar for each token of the
/// answer, and cost 3 each ([`said`]).
fn world(
    limits: AgentLimits,
    per_token: i64,
    perform: impl FnMut(&Call, &str, u32) -> Result<Answer, StepError> + 'static,
) -> World {
    let nodes = json!({ "nodes": [
        { "id": "work", "kind": "agent", "agent": "helper", "prompt": "Do it." },
        { "id": "end", "kind": "end", "output": "{{ steps.work.output }}", "after": ["work"] },
    ]});
    let mut world = World::new(nodes, Value::Null, perform);
    edit(&mut world, |plan| {
        if let Some(helper) = plan.agents.get_mut("helper") {
            helper.limits = limits;
        }
    });
    world.machine.most = Most::new(move |call| Usage {
        tokens_in: 10,
        tokens_out: 0,
        cost: Money(per_token * call.max_answer().unwrap().cast_signed()),
    });
    world
}

fn edit(world: &mut World, change: impl FnOnce(&mut Plan)) {
    let mut plan = (*world.machine.plan).clone();
    change(&mut plan);
    world.machine.plan = Arc::new(plan);
}

fn cost(micros: i64) -> AgentLimits {
    AgentLimits { max_cost: Money(micros), ..AgentLimits::default() }
}

/// Looks so often before it answers, each time at something else.
fn looks(times: u32) -> impl FnMut(&Call, &str, u32) -> Result<Answer, StepError> {
    move |call, step, attempt| match step.rsplit_once(".model").and_then(|(_, turn)| turn.parse::<u32>().ok()) {
        Some(turn) if turn <= times => {
            let mut wish = wants("look");
            wish.arguments = json!({ "q": turn });
            said("", vec![wish])
        }
        _ => echo(call, step, attempt),
    }
}

fn model_calls(world: &World) -> usize {
    world.calls.iter().filter(|(step, _)| step.contains("model")).count()
}

const BOUNDED: i64 = MAX_ANSWER as i64;

#[test]
fn a_call_that_could_pass_the_tasks_limit_of_money_is_not_made_and_an_admin_may_raise_it() {
    for crash in 0..20 {
        // Two bounded calls fit, as the first costs 3 in fact; the third does not.
        let mut world = world(cost(BOUNDED + 5), 1, looks(2));
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Waiting);
        assert_eq!(model_calls(&world), 2);
        let work = &world.machine.steps[&StepId::root("work")];
        let error = work.error.clone().unwrap();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Budget, "agent.limit"));
        assert!(error.message.contains("and the next model call may cost $0.0082"), "{}", error.message);
        assert_eq!(work.detail.at_limit, Some(TaskLimit::Cost));
        let asked = world.asked.last().unwrap();
        assert_eq!((asked.step.as_str(), asked.role), ("work.~ask1", Some(Role::Admin)));
        world.verdicts.insert("work.~ask1".to_owned(), (Ruling::Approved, Value::Null));
        assert_eq!(world.run(), RunState::Succeeded);
        assert_eq!(model_calls(&world), 3, "it goes on where it stood");
        assert_eq!(world.machine.steps[&StepId::root("work")].detail.raised, [TaskLimit::Cost]);
    }
    let mut dear = world(cost(BOUNDED - 1), 1, echo);
    assert_eq!((dear.run(), dear.calls.len()), (RunState::Waiting, 0), "not a cent is spent");
}

#[test]
fn an_answer_is_bounded_where_one_of_any_length_has_no_room_and_a_no_is_a_failure() {
    let bound = |micros: i64| {
        let mut world = world(cost(micros), 1, |call, _, _| match call {
            Call::Model(ModelCall { max_tokens, .. }) => said(&format!("{max_tokens:?}"), Vec::new()),
            _ => panic!("a tool"),
        });
        assert_eq!(world.run(), RunState::Succeeded);
        world.machine.output.clone().unwrap()
    };
    assert_eq!((bound(BOUNDED), bound(1_000_000)), (json!("Some(8192)"), json!("None")));
    let mut small = world(cost(1_999), 1, echo);
    edit(&mut small, |plan| {
        let options = ModelOptions { max_output_tokens: Some(2_000), ..ModelOptions::default() };
        plan.agents.values_mut().for_each(|agent| agent.options = options);
    });
    small.verdicts.insert("work.~ask1".to_owned(), (Ruling::Rejected, Value::Null));
    assert_eq!((small.run(), small.calls.len()), (RunState::Failed, 0), "it is not made shorter than its agent says");
}

#[test]
fn tokens_are_looked_at_with_the_most_where_the_agent_names_its_longest_answer() {
    let limits = AgentLimits { max_tokens: 130, ..AgentLimits::default() };
    let mut named = world(limits, 0, looks(2));
    edit(&mut named, |plan| {
        let options = ModelOptions { max_output_tokens: Some(100), ..ModelOptions::default() };
        plan.agents.values_mut().for_each(|agent| agent.options = options);
    });
    assert_eq!((named.run(), model_calls(&named)), (RunState::Waiting, 2), "15, 30, and 110 do not fit");
    assert_eq!(named.asked.last().unwrap().role, None, "it is not money");
    let mut unnamed = world(limits, 0, looks(2));
    assert_eq!((unnamed.run(), model_calls(&unnamed)), (RunState::Succeeded, 3));
    let mut spent = world(AgentLimits { max_tokens: 30, ..limits }, 0, looks(2));
    assert_eq!((spent.run(), model_calls(&spent)), (RunState::Waiting, 2));
    spent.verdicts.insert("work.~ask1".to_owned(), (Ruling::Approved, Value::Null));
    assert_eq!((spent.run(), model_calls(&spent)), (RunState::Succeeded, 3));
}

#[test]
fn more_turns_are_granted_where_the_task_stands() {
    let mut world = world(AgentLimits { max_turns: 2, ..AgentLimits::default() }, 0, looks(3));
    assert_eq!((world.run(), model_calls(&world)), (RunState::Waiting, 2));
    world.verdicts.insert("work.~ask1".to_owned(), (Ruling::Approved, Value::Null));
    assert_eq!((world.run(), model_calls(&world)), (RunState::Succeeded, 4));
}

#[test]
fn who_is_called_by_an_agent_spends_its_limits() {
    let parameters = json!({ "type": "object", "properties": { "prompt": { "type": "string" } } });
    let expert = ToolSpec {
        name: "agent_expert".to_owned(),
        parameters,
        source: ToolSource::Agent { agent: "expert".to_owned() },
        ..ToolSpec::default()
    };
    let with_expert = |limit: i64| {
        let mut world = world(cost(limit), 1, |call, step, attempt| match step {
            "work.model1" => {
                let mut wish = wants("agent_expert");
                wish.arguments = json!({ "prompt": "How tall?" });
                // Two at the same time: together they spend what their caller may.
                let second = ToolRequest { id: "2".to_owned(), ..wish.clone() };
                said("", vec![wish, second])
            }
            _ => echo(call, step, attempt),
        });
        edit(&mut world, |plan| {
            plan.tools.insert(expert.name.clone(), expert.clone());
            let rich =
                AgentSpec { name: "Expert".to_owned(), limits: cost(1_000_000), ..plan.agents["helper"].clone() };
            plan.agents.insert("expert".to_owned(), rich);
            if let Some(helper) = plan.agents.get_mut("helper") {
                helper.tools.insert(expert.name.clone(), ToolPermission::Allowed);
            }
        });
        world
    };
    let mut enough = with_expert(BOUNDED + 9);
    assert_eq!((enough.run(), model_calls(&enough)), (RunState::Succeeded, 4), "one after the other");
    let mut short = with_expert(BOUNDED + 3);
    assert_eq!((short.run(), model_calls(&short)), (RunState::Waiting, 2), "the second, and the caller, have no room");
    let refused = short.machine.steps[&StepId::from_text("work.tool1_2")].error.clone().unwrap();
    assert_eq!(refused.code, "agent.limit");
    assert!(refused.message.starts_with("Helper has cost <$0.0001 of"), "{}", refused.message);
    let asked = short.asked.last().unwrap();
    assert_eq!((asked.step.as_str(), asked.role), ("work.~ask1", Some(Role::Admin)));
}

#[test]
fn a_task_has_its_time_for_all_of_its_turns() {
    for (task_s, end) in [(Some(30), RunState::Failed), (Some(90), RunState::Succeeded), (None, RunState::Succeeded)] {
        let mut later = true;
        let mut world = world(AgentLimits { task_s, ..AgentLimits::default() }, 0, move |call, step, attempt| {
            if step == "work.tool1_1" && std::mem::take(&mut later) {
                let at = Timestamp::UNIX_EPOCH + TimeDelta::seconds(60);
                return Ok(Answer::Later { at, why: "api.example.com".to_owned() });
            }
            looks(1)(call, step, attempt)
        });
        assert_eq!(world.run(), end, "{task_s:?}");
        if end == RunState::Failed {
            let error = world.machine.error.clone().unwrap();
            assert_eq!((error.class, error.code.as_str()), (ErrorClass::Timeout, "agent.timeout"));
            let why = "within the 30.0\u{a0}s that its agent has for a task";
            assert!(error.message.contains(why), "{}", error.message);
            assert_eq!(world.now, Timestamp::UNIX_EPOCH + TimeDelta::seconds(30));
        }
    }
}

/// A model that misses the agreed form so often, and then keeps to it.
fn misses(times: usize) -> World {
    let answer = move |call: &Call, _: &str, _: u32| {
        let Call::Model(call) = call else { panic!("a tool") };
        let told = |message: &&Message| matches!(message, Message::User { text } if text.starts_with("This answer cannot be used. n: Is missing."));
        let shown = call.messages.iter().filter(told).count();
        assert_eq!(call.messages.len(), 1 + 2 * shown, "each faulty answer is shown with its fault");
        let answer = said(if shown < times { "{}" } else { "{\"n\":1}" }, Vec::new());
        let fault = (shown < times).then(|| "n: Is missing.".to_owned());
        answer.map(|answer| match answer {
            Answer::Model(answer) => Answer::Model(ModelAnswer { fault, ..answer }),
            other => other,
        })
    };
    let mut world = world(AgentLimits::default(), 0, answer);
    edit(&mut world, |plan| {
        let schema = json!({ "type": "object", "required": ["n"] });
        plan.agents.values_mut().for_each(|agent| agent.output_schema = schema.clone());
    });
    world
}

#[test]
fn a_faulty_answer_is_shown_to_the_model_twice_and_the_third_fails_the_task() {
    for crash in 0..8 {
        let mut world = misses(2);
        world.crashes = vec![crash];
        assert_eq!(world.run(), RunState::Succeeded);
        assert_eq!((world.machine.output.clone(), model_calls(&world)), (Some(json!({ "n": 1 })), 3));
        assert_eq!(world.machine.usage.cost, Money(9), "faulty answers are paid for");
    }
    let mut world = misses(3);
    assert_eq!((world.run(), model_calls(&world)), (RunState::Failed, 3));
    let error = world.machine.steps[&StepId::root("work")].error.clone().unwrap();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::InvalidOutput, "agent.invalid_output"));
    assert_eq!(error.caused_by, Some(StepId::from_text("work.model3")));
    assert!(error.message.contains("Helper did not give an answer of the agreed form. n: Is missing."), "{error:?}");
}
