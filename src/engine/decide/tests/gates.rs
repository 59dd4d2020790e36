//! Who an approval asks, and what a deadline that hands it over does to a run.

use super::*;
use crate::{
    access::Role,
    engine::machine::{Escalated, GateRules, NewApproval},
};

/// A run that asks, as far as it goes without an answer, and what it opened.
fn opened(approval: Value, input: Value) -> (World, Vec<NewApproval>) {
    let mut ask = json!({ "id": "ask", "kind": "approval", "title": "Pay", "after": ["start"] });
    ask.as_object_mut().unwrap().extend(approval.as_object().unwrap().clone());
    let graph = json!({ "nodes": [
        { "id": "start", "kind": "start" }, ask, { "id": "end", "kind": "end", "after": ["ask"] },
    ]});
    let mut world = World::new(graph, input, echo);
    let (mut inputs, mut approvals) = (vec![Input::Loaded], Vec::new());
    while let Some(input) = inputs.pop() {
        let turn = decide(&mut world.machine, input, world.now);
        world.write(&turn);
        approvals.extend(turn.approvals.clone());
        for effect in turn.effects {
            inputs.extend(world.act(effect));
        }
    }
    (world, approvals)
}

#[test]
fn the_people_are_those_that_templates_give_each_once() {
    let rules = json!({
        "people": [" Ana@Example.com", "{{ input.boss }}", "{{ input.others }}"], "quorum": 2, "not_own": true,
        "expires_s": 600, "on_expiry": "escalate", "escalate_to": "owner",
    });
    let input = json!({ "boss": "ben@example.com", "others": ["ANA@example.com", "cleo@example.com"] });
    let (_, approvals) = opened(rules, input);
    let people = ["ana@example.com", "ben@example.com", "cleo@example.com"].map(str::to_owned).to_vec();
    let wanted = GateRules { people, quorum: 2, not_own: true, escalate: Some((Role::Owner, 600)) };
    assert_eq!(approvals[0].rules, wanted);
}

#[test]
fn what_is_no_address_fails_the_step_in_words() {
    for (people, words) in [(json!("nobody"), "“nobody”"), (json!(7), "not by 7")] {
        let (world, approvals) = opened(json!({ "people": ["{{ input.boss }}"] }), json!({ "boss": people }));
        let error = world.machine.error.clone().unwrap();
        assert_eq!((error.code.as_str(), approvals.len()), ("approval.people", 0));
        assert!(error.message.contains(words), "{}", error.message);
    }
    let (_, approvals) = opened(json!({ "people": ["{{ input.boss }}"] }), json!({}));
    assert_eq!(approvals[0].rules, GateRules::default(), "a template that gives nobody names nobody");
}

#[test]
fn a_deadline_that_hands_over_moves_the_next_one_and_is_told_once() {
    let (mut world, approvals) = opened(json!({ "expires_s": 600, "on_expiry": "escalate" }), json!({}));
    let [first] = approvals.as_slice() else { panic!("one approval") };
    assert_eq!(first.rules.escalate, Some((Role::Admin, 600)));
    world.now = first.expires_at.unwrap();
    let until = world.now + TimeDelta::seconds(600);
    let escalated =
        || Input::Escalated(vec![Escalated { id: first.id, step: first.step.clone(), to: Role::Admin, until }]);
    let told =
        |turn: &Turn| turn.events.iter().filter(|event| matches!(event, Event::ApprovalEscalated { .. })).count();
    // Nobody is to act while the run is held, nor is it forgotten.
    let turn = decide(&mut world.machine, Input::Pause("Ana".to_owned()), world.now);
    world.write(&turn);
    assert!(decide(&mut world.machine, escalated(), world.now).is_silent());
    let turn = decide(&mut world.machine, Input::Resume("Ana".to_owned()), world.now);
    world.write(&turn);
    // An owner that is lost before it has written this down changes nothing: its successor is told the same.
    assert_eq!(told(&decide(&mut world.machine, escalated(), world.now)), 1);
    world.crash();
    let turn = decide(&mut world.machine, escalated(), world.now);
    world.write(&turn);
    assert_eq!(told(&turn), 1);
    assert_eq!((world.machine.next_wake(), world.machine.state), (Some(until), RunState::Waiting));
    assert_eq!(world.view().step(&first.step).unwrap().wake_at, Some(until));
    world.crash();
    assert!(decide(&mut world.machine, escalated(), world.now).is_silent());
    world.verdicts.insert("ask".to_owned(), (Ruling::Approved, Value::Null));
    assert_eq!(world.run(), RunState::Succeeded);
    assert!(decide(&mut world.machine, escalated(), world.now).is_silent());
}

#[test]
fn a_deadline_is_told_once_although_the_owner_is_lost_before_what_follows() {
    let graph = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "pay", "kind": "tool", "tool": "look", "requires_approval": "always", "locks": ["till"], "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["pay"] },
    ]});
    let mut world = World::new(graph, Value::Null, echo);
    assert_eq!(world.run(), RunState::Waiting);
    // As a gate with a deadline stands there.
    let (pay, deadline) = (StepId::root("pay"), world.now + TimeDelta::seconds(60));
    let step = world.machine.steps.get_mut(&pay).unwrap();
    step.wake_at = Some(deadline);
    let (ordinal, id) = (step.ordinal, step.detail.approval.unwrap());
    world.rows.get_mut(&(ordinal, pay.clone())).unwrap().wake_at = Some(deadline);
    world.now = deadline;
    let expired = Applied {
        id,
        step: pay.clone(),
        ruling: Ruling::Approved,
        expired: true,
        by: "The deadline".to_owned(),
        reason: None,
        payload: json!({ "q": 1 }),
    };
    // Lost each time before it has its lock.
    for _ in 0..3 {
        let turn = decide(&mut world.machine, Input::Decided(vec![expired.clone()]), world.now);
        world.write(&turn);
        assert!(matches!(&turn.effects[..], [Effect::Lock(step, ..)] if *step == pay), "{:?}", turn.effects);
        world.crash();
        let turn = decide(&mut world.machine, Input::Loaded, world.now);
        world.write(&turn);
    }
    let told = world.events.iter().filter(|stored| matches!(stored.event, Event::ApprovalDecided { .. }));
    assert_eq!(told.count(), 1);
    world.verdicts.insert("pay".to_owned(), (Ruling::Approved, json!({ "q": 1 })));
    assert_eq!(world.run(), RunState::Succeeded);
}

#[test]
fn a_question_needs_no_leave_to_be_asked() {
    let graph = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "work", "kind": "agent", "agent": "helper", "prompt": "Ask.", "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["work"] },
    ]});
    let mut world = World::new(graph, Value::Null, |call, _, _| match call {
        Call::Model(model) if model.messages.len() == 1 => said("", vec![wants("ask_human")]),
        Call::Model(_) => said("done", Vec::new()),
        Call::Tool(_) | Call::Memory(_) => Ok(Answer::AskHuman { question: "Is it ready?".to_owned() }),
    });
    let mut plan = (*world.machine.plan).clone();
    let spec = ToolSpec { name: "ask_human".to_owned(), ..plan.tools["look"].clone() };
    plan.tools.insert("ask_human".to_owned(), spec);
    let helper = plan.agents.get_mut("helper").unwrap();
    helper.tools.insert("ask_human".to_owned(), ToolPermission::NeedsApproval);
    world.machine.plan = Arc::new(plan);
    assert_eq!(world.run(), RunState::Waiting);
    world.verdicts.insert("work.tool1_1".to_owned(), (Ruling::Approved, Value::Null));
    assert_eq!(world.run(), RunState::Succeeded);
    let asked = world.events.iter().filter_map(|stored| match &stored.event {
        Event::ApprovalRequested { title, .. } => Some(title.as_str()),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), ["Is it ready?"]);
    let call = &world.machine.steps[&StepId::from_text("work.tool1_1")];
    assert_eq!(call.output, Some(json!({ "answer": "because" })), "what the person said");
}
