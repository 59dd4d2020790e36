//! The decisions against a small world in memory: what is written survives, all else can be lost at any write.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{decide, suspected_calls};
use crate::{
    engine::{
        journal::{Event, LogLevel, RunView, StoredEvent, Usage},
        machine::{Applied, Effect, Input, LockAnswer, LockGrant, Machine, NewApproval, POISON, Ruling, Step, Turn},
        plan::{AgentLimits, AgentSpec, Graph, Plan, ToolEffect, ToolPermission, ToolSpec, template},
        port::{Answer, Call, CallScope, Evaluation, Message, ModelAnswer, ToolRequest},
        state::{ErrorClass, RunState, StepError, StepId, StepState},
    },
    kernel::{Money, OrgId, RunId, Timestamp},
};

type Judge = Box<dyn Fn(&str) -> Ruling>;
type Perform = Box<dyn FnMut(&Call, &str, u32) -> Result<Answer, StepError>>;

mod agents;
mod budgets;
mod gates;
mod kinds;
mod limits;
mod locks;
mod memory;
mod messages;
mod model;
mod suspects;
mod tasks;

/// A run and its world. `rows` and `events` are what a database would hold.
struct World {
    machine: Machine,
    rows: BTreeMap<(i32, StepId), Step>,
    events: Vec<StoredEvent>,
    now: Timestamp,
    perform: Perform,
    /// Calls that were performed, by step and attempt.
    calls: Vec<(String, u32)>,
    /// What was asked of people.
    asked: Vec<NewApproval>,
    /// Answers to approvals, by step.
    verdicts: BTreeMap<String, (Ruling, Value)>,
    /// Who answers approvals that no verdict is given for.
    judge: Option<Judge>,
    /// Events that have come, by key.
    received: BTreeMap<String, Value>,
    /// Names of locks that other runs hold.
    taken: BTreeSet<String>,
    /// The names that each step holds, and how.
    held: BTreeMap<StepId, (Vec<String>, LockGrant)>,
    /// The names that each step waits for, and for how many seconds.
    wanted: BTreeMap<StepId, (Vec<String>, u32)>,
    /// Writes after which the owner is lost.
    crashes: Vec<usize>,
    /// The last fence of a lock.
    fence: i64,
    /// Whether a lost owner counts as one that died.
    owners_die: bool,
    writes: usize,
}

fn plan(graph: Value) -> Plan {
    let tool = |name: &str, effect| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: json!({}),
        effect,
        timeout_s: 10,
        at_most_once: false,
        repeatable: effect == ToolEffect::Read,
        cost: Money::ZERO,
        ..ToolSpec::default()
    };
    let agent = AgentSpec {
        name: "Helper".to_owned(),
        version: 1,
        instructions: "Help.".to_owned(),
        model: "sandbox/sandbox".to_owned(),
        temperature: None,
        tools: BTreeMap::from([
            ("look".to_owned(), ToolPermission::Policy),
            ("send".to_owned(), ToolPermission::Policy),
        ]),
        output_schema: Value::Null,
        limits: AgentLimits { max_turns: 4, ..AgentLimits::default() },
        ..AgentSpec::default()
    };
    Plan {
        graph: serde_json::from_value::<Graph>(graph).unwrap(),
        agents: BTreeMap::from([("helper".to_owned(), agent)]),
        tools: BTreeMap::from([
            ("look".to_owned(), tool("look", ToolEffect::Read)),
            ("send".to_owned(), tool("send", ToolEffect::Write)),
        ]),
        ..Plan::default()
    }
}

impl World {
    fn new(
        graph: Value,
        input: Value,
        perform: impl FnMut(&Call, &str, u32) -> Result<Answer, StepError> + 'static,
    ) -> Self {
        let machine = Machine {
            org: OrgId::from_uuid(uuid::Uuid::nil()),
            run: RunId::from_uuid(uuid::Uuid::from_u128(7)),
            fence: 1,
            plan: Arc::new(plan(graph)),
            started_by: "Ana".to_owned(),
            input,
            state: RunState::Queued,
            waiting_on: None,
            started: false,
            recovered: false,
            crashes: 0,
            suspect: None,
            poison: POISON,
            deadline_at: None,
            output: None,
            error: None,
            usage: Usage::default(),
            steps: Default::default(),
            next_ordinal: 0,
            signals_seen: 0,
            evaluating: Default::default(),
            received: Default::default(),
            in_flight: Default::default(),
            draining: false,
            maps: Default::default(),
            most: Default::default(),
            short: Default::default(),
            seen: Default::default(),
            heard: Default::default(),
        };
        let queued =
            StoredEvent { seq: 1, at: Timestamp::UNIX_EPOCH, event: Event::RunQueued { by: "Ana".to_owned() } };
        Self {
            machine,
            rows: BTreeMap::new(),
            events: vec![queued],
            now: Timestamp::UNIX_EPOCH,
            perform: Box::new(perform),
            calls: Vec::new(),
            asked: Vec::new(),
            verdicts: BTreeMap::new(),
            received: BTreeMap::new(),
            taken: BTreeSet::new(),
            held: BTreeMap::new(),
            wanted: BTreeMap::new(),
            judge: None,
            crashes: Vec::new(),
            fence: 0,
            owners_die: false,
            writes: 0,
        }
    }

    fn write(&mut self, turn: &Turn) {
        for event in &turn.events {
            let seq = self.events.len() as i64 + 1;
            self.events.push(StoredEvent { seq, at: self.now, event: event.clone() });
        }
        for key in &turn.touched {
            let step = self.machine.steps[&key.1].clone();
            if let Some(old) = self.rows.get(key) {
                assert!(!old.state.is_end(), "{} had ended and was written again", key.1);
            }
            self.rows.insert(key.clone(), step);
        }
        self.asked.extend(turn.approvals.iter().cloned());
        self.machine.crashes = 0;
        self.writes += 1;
    }

    /// The owner is lost: what was not written is gone.
    fn crash(&mut self) {
        let machine = &mut self.machine;
        machine.steps = self.rows.values().map(|step| (step.id.clone(), step.clone())).collect();
        machine.next_ordinal = self.rows.keys().map(|(ordinal, _)| ordinal + 1).max().unwrap_or(0);
        machine.recovered = machine.steps.values().any(|step| step.state == StepState::Running);
        machine.evaluating.clear();
        machine.received.clear();
        machine.in_flight.clear();
        machine.maps.clear();
        machine.short.clear();
        machine.fence += 1;
        if self.owners_die && machine.crashes == 0 {
            // A suspect is out from its beginning on.
            let out = |step: &&Step| step.state == StepState::Running && step.detail.crashes >= 2;
            machine.suspect = machine.steps.values().find(out).map(|step| step.id.clone());
        }
        machine.crashes += u32::from(self.owners_die);
    }

    /// Runs until the end, or until nothing moves any more.
    fn run(&mut self) -> RunState {
        let mut inputs = vec![Input::Loaded];
        for _ in 0..10_000 {
            if self.machine.state.is_end() {
                return self.machine.state;
            }
            if inputs.is_empty() {
                match self.wake() {
                    Some(input) => inputs.push(input),
                    None => return self.machine.state,
                }
            }
            let input = inputs.remove(0);
            let turn = decide(&mut self.machine, input, self.now);
            if !turn.is_silent() {
                self.write(&turn);
                if self.crashes.contains(&self.writes) && !self.machine.state.is_end() {
                    self.crash();
                    inputs = vec![Input::Loaded];
                    continue;
                }
            }
            for effect in turn.effects {
                inputs.extend(self.act(effect));
            }
        }
        panic!("the run does not end");
    }

    fn act(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Evaluate(step, evaluation) => Some(Input::Evaluated(step, Ok(filled_in(&evaluation)))),
            Effect::Perform(call, scope, _) => {
                let row = self.rows.values().find(|step| step.id == scope.step).unwrap();
                assert_eq!(
                    (row.state, row.attempt),
                    (StepState::Running, scope.attempt),
                    "performed before it was written"
                );
                self.calls.push((scope.step.to_string(), scope.attempt));
                self.is_locked(&scope);
                let result = (self.perform)(&call, scope.step.as_str(), scope.attempt);
                Some(Input::Performed(scope.step, scope.attempt, result, vec![(LogLevel::Info, "done".to_owned())]))
            }
            Effect::Expect(step, _) => Some(Input::Evaluated(step, Ok(Value::Null))),
            Effect::Lock(step, names, limit_s) => Some(self.lock(step, names, limit_s)),
            Effect::Unlock(step) => {
                self.held.remove(&step);
                self.wanted.remove(&step);
                None
            }
            Effect::AbortAll | Effect::AbortBelow(_) => None,
        }
    }

    fn wake(&mut self) -> Option<Input> {
        if self.machine.state != RunState::Paused {
            for step in self.wanted.keys().cloned().collect::<Vec<_>>() {
                if self.grant(&step) {
                    let (_, grant) = self.held[&step];
                    // The others of the run stand where they stood.
                    let others = self.wanted.keys().map(|step| (step.clone(), None)).collect::<Vec<_>>();
                    return Some(Input::Held([vec![(step, Some(grant))], others].concat()));
                }
            }
        }
        let waits = |step: &&Step| step.state == StepState::Waiting && !step.waits_for_lock();
        for step in self.machine.steps.values().filter(waits) {
            let given = self.verdicts.get(step.id.as_str()).cloned();
            let judged = || self.judge.as_ref().map(|judge| (judge(step.id.as_str()), Value::Null));
            let asked = step.detail.approval.filter(|_| step.waits_for_person());
            if let (Some(id), Some((ruling, payload))) = (asked, given.or_else(judged)) {
                return Some(Input::Decided(vec![Applied {
                    id,
                    step: step.id.clone(),
                    ruling,
                    expired: false,
                    by: "Ben".to_owned(),
                    reason: Some("because".to_owned()),
                    payload,
                }]));
            }
        }
        for step in self.machine.steps.values().filter(|step| step.state == StepState::Waiting) {
            if let Some(data) = step.detail.event.as_ref().and_then(|key| self.received.get(key)) {
                return Some(Input::Received(vec![(step.id.clone(), data.clone())]));
            }
        }
        if self.machine.state == RunState::Paused {
            return None;
        }
        self.now = self.machine.next_wake()?;
        Some(Input::Tick)
    }

    fn view(&self) -> RunView {
        let mut view = RunView::default();
        for event in &self.events {
            assert!(view.apply(event));
        }
        assert_eq!(view.usage, self.machine.usage, "what is seen is what is counted");
        view
    }

    fn times(&self, step: &str) -> usize {
        self.calls.iter().filter(|(id, _)| id == step).count()
    }
}

/// A stand-in for the interpreter: an expression is a path, `a.b == c` compares with a word, `a.b > n` with a number.
fn filled_in(evaluation: &Evaluation) -> Value {
    fn look(path: &str, scope: &Value) -> Value {
        if let Some((left, right)) = path.split_once(" > ") {
            return json!(look(left, scope).as_f64() > right.parse().ok());
        }
        path.split('.').try_fold(scope, |value, key| value.get(key)).cloned().unwrap_or_default()
    }
    fn fill(value: &Value, scope: &Value) -> Value {
        match value {
            Value::String(text) => match template::whole_expression(text) {
                Some(path) => look(path, scope),
                None => value.clone(),
            },
            Value::Array(items) => items.iter().map(|item| fill(item, scope)).collect(),
            Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), fill(field, scope))).collect(),
            _ => value.clone(),
        }
    }
    fill(&evaluation.template, &evaluation.scope)
}

fn said(text: &str, tool_calls: Vec<ToolRequest>) -> Result<Answer, StepError> {
    Ok(Answer::Model(ModelAnswer {
        text: text.to_owned(),
        tool_calls,
        model: "sandbox/sandbox".to_owned(),
        usage: Usage { tokens_in: 10, tokens_out: 5, cost: Money(3) },
        fault: None,
        stop_reason: "stop".to_owned(),
        provider_request_id: None,
        ..ModelAnswer::default()
    }))
}

fn wants(tool: &str) -> ToolRequest {
    ToolRequest { id: "1".to_owned(), tool: tool.to_owned(), arguments: json!({ "q": 1 }), signatures: Vec::new() }
}

fn echo(call: &Call, _: &str, _: u32) -> Result<Answer, StepError> {
    match call {
        Call::Tool(tool) => Ok(Answer::Tool { output: tool.arguments.clone() }),
        Call::Memory(_) => Ok(Answer::Tool { output: Value::Null }),
        Call::Model(_) => said("hello", Vec::new()),
    }
}

fn branching() -> Value {
    json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "size", "kind": "decision", "branches": [{ "name": "large", "when": "{{ input.amount > 10 }}" }], "after": ["start"] },
        { "id": "ask", "kind": "approval", "title": "Pay", "payload": "{{ input.amount }}", "after": ["size.large"] },
        { "id": "pay", "kind": "tool", "tool": "look", "arguments": { "amount": "{{ input.amount }}" }, "after": ["ask", "size.otherwise"] },
        { "id": "end", "kind": "end", "output": "{{ steps.pay.output.amount }}", "after": ["pay"] },
    ]})
}

#[test]
fn a_branch_that_is_not_taken_is_skipped_and_the_run_goes_on() {
    let mut world = World::new(branching(), json!({ "amount": 5 }), echo);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.output, Some(json!(5)));
    assert_eq!(world.view().step(&StepId::root("ask")).unwrap().state, StepState::Skipped);
}

#[test]
fn a_run_waits_for_a_person_and_goes_on_after_a_yes() {
    let mut world = World::new(branching(), json!({ "amount": 50 }), echo);
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!(world.times("pay"), 0);
    world.verdicts.insert("ask".to_owned(), (Ruling::Approved, json!(50)));
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.times("pay"), 1);
}

#[test]
fn a_no_without_a_branch_for_it_fails_the_run_with_the_reason() {
    let mut world = World::new(branching(), json!({ "amount": 50 }), echo);
    world.verdicts.insert("ask".to_owned(), (Ruling::Rejected, Value::Null));
    assert_eq!(world.run(), RunState::Failed);
    let error = world.machine.error.clone().unwrap();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Rejected, "approval.rejected"));
    assert!(error.message.contains("because"));
    assert_eq!(world.times("pay"), 0);
}

#[test]
fn a_failed_attempt_is_tried_again_and_a_hopeless_one_is_not() {
    let flaky = |call: &Call, step: &str, attempt: u32| match attempt {
        1 | 2 => Err(StepError::new(ErrorClass::Unavailable, "x", "away")),
        _ => echo(call, step, attempt),
    };
    let mut world = World::new(branching(), json!({ "amount": 1 }), flaky);
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.times("pay"), 3);
    let mut world =
        World::new(branching(), json!({ "amount": 1 }), |_, _, _| Err(StepError::new(ErrorClass::BadInput, "x", "no")));
    assert_eq!(world.run(), RunState::Failed);
    assert_eq!(world.times("pay"), 1);
    assert_eq!(world.machine.error.unwrap().caused_by, Some(StepId::root("pay")));
}

#[test]
fn an_agent_calls_its_tools_and_a_write_that_it_chose_waits_for_a_person() {
    let graph = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "work", "kind": "agent", "agent": "helper", "prompt": "{{ input.ask }}", "after": ["start"] },
        { "id": "end", "kind": "end", "output": "{{ steps.work.output }}", "after": ["work"] },
    ]});
    let model = |call: &Call, step: &str, attempt: u32| match call {
        Call::Model(model) => match model.messages.len() {
            1 => said("", vec![wants("look"), wants("send"), wants("forbidden")]),
            _ => {
                let tools = model.messages.iter().filter(|message| matches!(message, Message::Tool { .. })).count();
                let failed =
                    model.messages.iter().filter(|message| matches!(message, Message::Tool { failed: true, .. }));
                said(&format!("{tools} calls, {} failed", failed.count()), Vec::new())
            }
        },
        Call::Tool(_) | Call::Memory(_) => echo(call, step, attempt),
    };
    let mut world = World::new(graph, json!({ "ask": "do it" }), model);
    assert_eq!(world.run(), RunState::Waiting);
    assert_eq!((world.times("work.tool1_1"), world.times("work.tool1_2")), (1, 0));
    world.verdicts.insert("work.tool1_2".to_owned(), (Ruling::Approved, json!({ "q": 2 })));
    assert_eq!(world.run(), RunState::Succeeded);
    assert_eq!(world.machine.output, Some(json!("3 calls, 1 failed")));
    let sent = &world.machine.steps[&StepId::from_text("work.tool1_2")];
    assert_eq!(sent.input, Some(json!({ "q": 2 })), "the edited arguments are what is performed");
    assert_eq!(world.view().usage, Usage { tokens_in: 20, tokens_out: 10, cost: Money(6) });
}

#[test]
fn an_agent_that_never_answers_is_stopped_by_its_turns() {
    let graph = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "work", "kind": "agent", "agent": "helper", "prompt": "go", "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["work"] },
    ]});
    let mut world = World::new(graph, json!({}), |call, step, attempt| match call {
        Call::Model(_) => said("", vec![wants("look")]),
        Call::Tool(_) | Call::Memory(_) => echo(call, step, attempt),
    });
    assert_eq!(world.run(), RunState::Waiting, "a person may give it more");
    world.verdicts.insert("work.~ask1".to_owned(), (Ruling::Rejected, Value::Null));
    assert_eq!(world.run(), RunState::Failed);
    assert_eq!(world.machine.error.unwrap().class, ErrorClass::Budget);
    assert_eq!(world.calls.iter().filter(|(step, _)| step.contains("model")).count(), 4);
}

fn mapping() -> Value {
    json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "each", "kind": "map", "items": "{{ input.list }}", "concurrency": 2, "after": ["start"],
          "result": { "is": "{{ steps.look.output.it }}", "at": "{{ index }}" },
          "nodes": [{ "id": "look", "kind": "tool", "tool": "look", "arguments": { "it": "{{ item }}" }, "on_error": "continue" }] },
        { "id": "end", "kind": "end", "output": "{{ steps.each.output }}", "after": ["each"] },
    ]})
}

#[test]
fn a_map_works_on_each_item_and_keeps_their_order() {
    let mut world =
        World::new(mapping(), json!({ "list": ["a", "b", "c", "d", "e"] }), |call, step, attempt| match step {
            "each.2.look" => Err(StepError::new(ErrorClass::BadInput, "x", "no")),
            _ => echo(call, step, attempt),
        });
    assert_eq!(world.run(), RunState::Succeeded);
    let output = world.machine.output.clone().unwrap();
    assert_eq!(output[4], json!({ "is": "e", "at": 4 }));
    assert_eq!(output[2], json!({ "is": null, "at": 2 }), "a tolerated failure leaves a null");
}

#[test]
fn a_deadline_ends_the_run_and_everything_in_it() {
    let mut world = World::new(branching(), json!({ "amount": 50 }), echo);
    world.machine.deadline_at = Some(Timestamp::UNIX_EPOCH + TimeDelta::seconds(20));
    assert_eq!(world.run(), RunState::Failed);
    assert_eq!(world.machine.error.clone().unwrap().code, "run.deadline");
    assert!(world.view().steps.iter().all(|step| step.state.is_end()));
}

#[test]
fn a_stopped_run_starts_nothing_more() {
    let mut world = World::new(branching(), json!({ "amount": 50 }), echo);
    world.run();
    let turn = decide(&mut world.machine, Input::Cancel("Ana".to_owned()), world.now);
    world.write(&turn);
    assert_eq!(world.machine.state, RunState::Cancelled);
    assert_eq!(turn.withdrawn, [StepId::root("ask")]);
    world.verdicts.insert("ask".to_owned(), (Ruling::Approved, json!(50)));
    assert!(decide(&mut world.machine, Input::Tick, world.now).is_silent());
    assert_eq!(world.view().state, RunState::Cancelled);
}

/// A graph of layers: each node runs after some of the layer before it.
fn layered(layers: Vec<Vec<u8>>) -> Value {
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    let mut before = vec!["start".to_owned()];
    for (depth, layer) in layers.iter().enumerate() {
        let mut these = Vec::new();
        for (place, pick) in layer.iter().enumerate() {
            let id = format!("n{depth}_{place}");
            let after: Vec<_> = before
                .iter()
                .enumerate()
                .filter(|(bit, _)| pick >> (bit % 8) & 1 == 1)
                .map(|(_, id)| id.clone())
                .collect();
            let after = if after.is_empty() { vec![before[0].clone()] } else { after };
            nodes.push(json!({ "id": id, "kind": "tool", "tool": "look", "arguments": { "n": id }, "after": after }));
            these.push(id);
        }
        before = these;
    }
    nodes.push(json!({ "id": "end", "kind": "end", "output": 1, "after": before }));
    json!({ "nodes": nodes })
}

fn one_call() -> Value {
    json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "one", "kind": "tool", "tool": "look", "after": ["start"], "arguments": {} },
        { "id": "end", "kind": "end", "after": ["one"] },
    ]})
}

#[test]
fn a_call_that_was_there_when_three_owners_died_is_given_up_and_one_that_lives_is_not() {
    for (crashes, state) in [(vec![2, 3], RunState::Succeeded), (vec![2, 3, 4], RunState::Failed)] {
        let mut world = World::new(one_call(), json!({}), echo);
        world.owners_die = true;
        world.crashes = crashes;
        // About what takes its process down a person is asked.
        world.verdicts.insert("one.~ask1".to_owned(), (Ruling::Rejected, Value::Null));
        assert_eq!(world.run(), state);
        let one = world.rows.values().find(|step| step.id.as_str() == "one").unwrap();
        assert_eq!(one.attempt, 3);
        assert_eq!(one.detail.crashes, if state == RunState::Failed { 3 } else { 0 });
        let class = one.error.as_ref().map(|error| error.class);
        assert_eq!(class, (state == RunState::Failed).then_some(ErrorClass::Poison));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever write the owner is lost after: the run ends the same, no recorded result is asked for again, and the
    /// journal alone tells the same as the rows.
    #[test]
    fn a_lost_owner_changes_nothing(
        layers in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4), 1..5),
        crashes in prop::collection::vec(1_usize..40, 0..6),
    ) {
        let mut world = World::new(layered(layers), json!({}), echo);
        world.crashes = crashes;
        prop_assert_eq!(world.run(), RunState::Succeeded);
        let view = world.view();
        prop_assert_eq!(view.state, RunState::Succeeded);
        for step in world.rows.values() {
            let seen = view.step(&step.id).unwrap();
            prop_assert_eq!((seen.state, seen.attempt, seen.usage), (step.state, step.attempt, step.usage));
        }
        let mut recorded = world.calls.clone();
        recorded.sort();
        let before = recorded.len();
        recorded.dedup();
        prop_assert_eq!(before, recorded.len(), "an attempt was performed twice");
    }

    #[test]
    fn a_map_survives_a_lost_owner(count in 0_usize..9, crashes in prop::collection::vec(1_usize..30, 0..4)) {
        let list: Vec<_> = (0..count).map(|n| json!(n)).collect();
        let mut world = World::new(mapping(), json!({ "list": list }), echo);
        world.crashes = crashes;
        prop_assert_eq!(world.run(), RunState::Succeeded);
        prop_assert_eq!(world.machine.output.clone().unwrap().as_array().unwrap().len(), count);
    }
}
