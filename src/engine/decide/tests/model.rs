//! Random graphs of all kinds of nodes, with random failures and lost owners, against a model that knows nothing of
//! time: how the run ends, which steps were executed, and that each began after all that it depends on had ended.

use std::collections::BTreeMap;

use super::*;
use crate::engine::{
    plan::{Alternative, BranchName, Join, Node, NodeKind, OnError, SubWorkflow},
    retry::scramble,
};

/// How something that is called behaves, by its path: a number made of the seed and the path decides.
#[derive(Clone, Copy)]
struct Script {
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Works,
    /// Fails so often, then works.
    Recovers(u32),
    Fails(ErrorClass),
}

/// The items of every map.
const ITEMS: usize = 2;

impl Script {
    fn roll(self, of: &str) -> u64 {
        scramble(self.seed ^ crate::engine::retry::seed_of(of))
    }

    fn behaviour(self, step: &str) -> Behaviour {
        match self.roll(step) % 12 {
            0 => Behaviour::Fails(ErrorClass::BadInput),
            1 => Behaviour::Fails(ErrorClass::Unavailable),
            2 => Behaviour::Fails(ErrorClass::Auth),
            3 => Behaviour::Recovers(1),
            4 => Behaviour::Recovers(2),
            _ => Behaviour::Works,
        }
    }

    /// What a person says about a step that waits for one.
    fn verdict(self, step: &str) -> Ruling {
        match (self.roll(step) % 4, step.contains("~ask")) {
            (0, _) => Ruling::Rejected,
            (_, true) => Ruling::Skipped,
            _ => Ruling::Approved,
        }
    }

    fn perform(self, call: &Call, step: &str, failures: u32) -> Result<Answer, StepError> {
        match self.behaviour(step) {
            Behaviour::Fails(class) => Err(StepError::new(class, "test", "fails")),
            Behaviour::Recovers(times) if failures < times => {
                Err(StepError::new(ErrorClass::Timeout, "test", "not yet"))
            }
            _ => echo(call, step, failures),
        }
    }
}

/// A random number generator for building graphs.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = scramble(self.0.wrapping_add(1));
        self.0 % sides
    }
}

/// A graph of `size` nodes, groups with nodes of their own among them.
fn nodes(dice: &mut Dice, size: u64, depth: u32, subs: &mut BTreeMap<String, SubWorkflow>, root: bool) -> Vec<Value> {
    let mut made: Vec<Value> = Vec::new();
    if root {
        made.push(json!({ "id": "start", "kind": "start" }));
    }
    for place in 0..size {
        let mut node = kind(dice, place, depth, subs);
        let mut after: Vec<String> = Vec::new();
        for _ in 0..=dice.below(3) {
            if made.is_empty() {
                break;
            }
            let source = made[dice.below(made.len() as u64) as usize].clone();
            let port = port(dice, &source);
            if !after.contains(&port) {
                after.push(port);
            }
        }
        if root && after.is_empty() {
            after.push("start".to_owned());
        }
        match dice.below(4) {
            0 => node["join"] = json!("any"),
            1 if !after.is_empty() => node["join"] = json!(1 + dice.below(after.len() as u64)),
            _ => {}
        }
        // What a group fails of depends on what in it fails first, and the model knows no time: no asking by class.
        let is_group = matches!(node["kind"].as_str(), Some("map" | "loop" | "workflow"));
        match dice.below(8) {
            0 | 4 if is_group => node["on_error"] = json!("continue"),
            _ if is_group => node["on_error"] = json!("fail"),
            0 => node["on_error"] = json!("continue"),
            1 => node["on_error"] = json!("fail"),
            2 => node["on_error"] = json!("ask"),
            _ => {}
        }
        node["after"] = json!(after);
        // Locks that steps of the same run take from each other; not inside of what may hold some.
        let works = matches!(node["kind"].as_str(), Some("tool" | "http" | "agent" | "map" | "loop" | "workflow"));
        if depth == 0 && works && dice.below(3) == 0 {
            node["locks"] = [json!(["a"]), json!(["b"]), json!(["b", "a"])][dice.below(3) as usize].clone();
            node["lock_s"] = json!(86_400);
        }
        made.push(node);
    }
    if root {
        let last = made.last().unwrap()["id"].as_str().unwrap().to_owned();
        made.push(json!({ "id": "end", "kind": "end", "after": [last], "output": "done" }));
    }
    made
}

fn kind(dice: &mut Dice, place: u64, depth: u32, subs: &mut BTreeMap<String, SubWorkflow>) -> Value {
    let id = format!("n{place}");
    let group = |dice: &mut Dice, subs: &mut BTreeMap<String, SubWorkflow>| {
        let size = 1 + dice.below(4);
        nodes(dice, size, depth + 1, subs, false)
    };
    match dice.below(if depth < 2 { 14 } else { 10 }) {
        0 => json!({ "id": id, "kind": "transform", "value": place }),
        1 => json!({ "id": id, "kind": "wait", "seconds": dice.below(50) }),
        2 => json!({ "id": id, "kind": "wait_event", "event": "news" }),
        3 => json!({ "id": id, "kind": "approval", "title": "Go on?" }),
        4 => {
            let taken = if dice.below(2) == 0 { "{{ input.n > 5 }}" } else { "{{ input.n > 50 }}" };
            json!({ "id": id, "kind": "decision", "branches": [{ "name": "large", "when": taken }] })
        }
        5 => json!({ "id": id, "kind": "http", "url": "https://example.com", "alternatives": alternatives(dice) }),
        6 => json!({ "id": id, "kind": "agent", "agent": "helper", "prompt": "Hello?" }),
        10 => json!({ "id": id, "kind": "map", "items": "{{ input.list }}", "concurrency": 1 + dice.below(3),
            "max_failures": dice.below(3), "nodes": group(dice, subs) }),
        11 => json!({ "id": id, "kind": "loop", "until": format!("{{{{ index > {} }}}}", dice.below(3)), "max": 2,
            "nodes": group(dice, subs) }),
        12 | 13 => {
            let size = 1 + dice.below(4);
            let graph = json!({ "nodes": nodes(dice, size, depth + 1, subs, true) });
            let name = format!("wf_{}", subs.len());
            let graph = serde_json::from_value(graph).unwrap();
            subs.insert(name.clone(), SubWorkflow { name: name.clone(), version: 1, graph });
            json!({ "id": id, "kind": "workflow", "workflow": name, "input": { "n": 9, "list": [1, 2] } })
        }
        _ => json!({ "id": id, "kind": "tool", "tool": "look", "alternatives": alternatives(dice) }),
    }
}

fn alternatives(dice: &mut Dice) -> Value {
    match dice.below(3) {
        0 => json!([{ "tool": { "name": "send" } }]),
        1 => json!([{ "tool": { "name": "send" } }, { "tool": { "name": "look", "arguments": { "q": 1 } } }]),
        _ => json!([]),
    }
}

fn port(dice: &mut Dice, source: &Value) -> String {
    let id = source["id"].as_str().unwrap();
    match (source["kind"].as_str().unwrap(), dice.below(4)) {
        ("start", _) => id.to_owned(),
        (_, 0) => format!("{id}.error"),
        ("decision", 1) => format!("{id}.large"),
        ("decision", _) => format!("{id}.otherwise"),
        ("approval", 1) => format!("{id}.rejected"),
        _ => id.to_owned(),
    }
}

/// How a node ended, says the model.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Skipped,
    Succeeded(Option<BranchName>),
    /// It failed, and the graph goes on.
    Failed,
}

/// The model: what a frame's nodes come to, and every step that is executed on the way. An error when the frame fails.
struct Model<'a> {
    script: Script,
    plan: &'a Plan,
    executed: BTreeMap<String, Outcome>,
}

impl Model<'_> {
    fn frame(&mut self, nodes: &[Node], path: &str, n: f64) -> Result<(), ()> {
        let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
        let mut failed = false;
        // Each node stands after all that it depends on.
        for node in nodes {
            let here = if path.is_empty() { node.id.to_string() } else { format!("{path}.{}", node.id) };
            let live = node.after.iter().filter(|port| live(nodes, &outcomes, port)).count();
            let needed = match node.join {
                Join::All | Join::Any => 1,
                Join::Count(count) => count as usize,
            };
            let outcome = if !node.after.is_empty() && live < needed {
                Outcome::Skipped
            } else {
                match self.node(node, nodes, &here, n) {
                    Ok(branch) => Outcome::Succeeded(branch),
                    Err(class) => self.after_failure(node, nodes, &here, class).unwrap_or_else(|()| {
                        failed = true;
                        Outcome::Failed
                    }),
                }
            };
            self.executed.insert(here, outcome.clone());
            outcomes.insert(node.id.to_string(), outcome);
        }
        if failed { Err(()) } else { Ok(()) }
    }

    fn after_failure(&mut self, node: &Node, nodes: &[Node], here: &str, class: ErrorClass) -> Result<Outcome, ()> {
        let mut class = class;
        if class.allows_an_alternative() {
            for (number, alternative) in (1..).zip(&node.alternatives) {
                assert!(matches!(alternative, Alternative::Tool(_)));
                match self.script.behaviour(&format!("{here}.~alt{number}")) {
                    Behaviour::Fails(other) => class = other,
                    _ => return Ok(Outcome::Succeeded(None)),
                }
            }
        }
        let edge = leads_on(nodes, node, &BranchName::error());
        let on_error = if node.on_error == OnError::Default && edge { OnError::Fail } else { node.on_error };
        if on_error.asks(class) && self.script.verdict(&format!("{here}.~ask1")) == Ruling::Skipped {
            return Ok(Outcome::Succeeded(None));
        }
        if edge || node.on_error == OnError::Continue { Ok(Outcome::Failed) } else { Err(()) }
    }

    fn call(&self, step: &str) -> Result<Option<BranchName>, ErrorClass> {
        match self.script.behaviour(step) {
            Behaviour::Fails(class) => Err(class),
            _ => Ok(None),
        }
    }

    fn node(&mut self, node: &Node, nodes: &[Node], here: &str, n: f64) -> Result<Option<BranchName>, ErrorClass> {
        match &node.kind {
            NodeKind::Tool { .. } | NodeKind::Http(_) => self.call(here),
            NodeKind::Agent { .. } => self.call(&format!("{here}.model1")),
            NodeKind::Decision { branches, otherwise } => {
                let taken = n > 5.0 && branches[0].when.contains("> 5 ") || n > 50.0;
                Ok(Some(if taken { branches[0].name.clone() } else { otherwise.clone() }))
            }
            NodeKind::Approval(_) => match self.script.verdict(here) {
                Ruling::Approved => Ok(Some(BranchName::approved())),
                _ if leads_on(nodes, node, &BranchName::rejected()) => Ok(Some(BranchName::rejected())),
                _ => Err(ErrorClass::Rejected),
            },
            NodeKind::Map { nodes, max_failures, .. } => {
                let failures =
                    (0..ITEMS).filter(|item| self.frame(nodes, &format!("{here}.{item}"), n).is_err()).count();
                if failures as u32 > *max_failures { Err(ErrorClass::BadInput) } else { Ok(None) }
            }
            NodeKind::Loop { nodes, until, max, .. } => {
                let last: u32 = until.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap();
                for round in 0..*max {
                    self.frame(nodes, &format!("{here}.{round}"), n).map_err(|()| ErrorClass::BadInput)?;
                    if round > last {
                        return Ok(None);
                    }
                }
                Err(ErrorClass::Budget)
            }
            NodeKind::Workflow { workflow, .. } => {
                let plan = self.plan;
                self.frame(&plan.workflows[workflow].graph.nodes, here, 9.0).map_err(|()| ErrorClass::BadInput)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

fn leads_on(nodes: &[Node], from: &Node, branch: &BranchName) -> bool {
    let mut ports = nodes.iter().flat_map(|node| &node.after);
    ports.any(|port| port.node == from.id && port.branch.as_ref() == Some(branch))
}

fn live(nodes: &[Node], outcomes: &BTreeMap<String, Outcome>, port: &crate::engine::plan::Port) -> bool {
    let source = nodes.iter().find(|node| node.id == port.node).unwrap();
    match (&outcomes[source.id.as_str()], &port.branch) {
        (Outcome::Skipped, _) => false,
        (Outcome::Succeeded(taken), Some(wanted)) => taken.as_ref() == Some(wanted),
        (Outcome::Succeeded(Some(taken)), None) => {
            !matches!(source.kind, NodeKind::Approval(_)) || *taken == BranchName::approved()
        }
        (Outcome::Succeeded(None), None) => true,
        (Outcome::Failed, Some(branch)) => *branch == BranchName::error(),
        (Outcome::Failed, None) => source.on_error == OnError::Continue,
    }
}

/// Runs a random graph on the engine.
fn run(seed: u64, size: u64, crashes: Vec<usize>) -> (World, Script) {
    let mut dice = Dice(seed);
    let mut subs = BTreeMap::new();
    let graph = json!({ "nodes": nodes(&mut dice, size, 0, &mut subs, true) });
    let script = Script { seed };
    let mut failures: BTreeMap<String, u32> = BTreeMap::new();
    let mut world = World::new(graph, json!({ "n": 9, "list": [1, 2] }), move |call, step, _| {
        let failed = failures.entry(step.to_owned()).or_default();
        let result = script.perform(call, step, *failed);
        *failed += u32::from(result.is_err());
        result
    });
    let mut plan = (*world.machine.plan).clone();
    plan.workflows = subs;
    world.machine.plan = Arc::new(plan);
    world.crashes = crashes;
    world.received.insert("news".to_owned(), json!("came"));
    world.judge = Some(Box::new(move |step| script.verdict(step)));
    world.run();
    (world, script)
}

fn agree(seed: u64, size: u64, crashes: Vec<usize>) {
    let (world, script) = run(seed, size, crashes);
    let plan = world.machine.plan.clone();
    let mut model = Model { script, plan: &plan, executed: BTreeMap::new() };
    let expected = match model.frame(&plan.graph.nodes, "", 9.0) {
        Ok(()) => RunState::Succeeded,
        Err(()) => RunState::Failed,
    };
    if world.machine.state != expected {
        panic!("seed {seed}: {} and not {expected}: {:?}", world.machine.state, world.machine.error);
    }
    let of_nodes = world.machine.steps.values().filter(|step| Machine::is_of_node(step));
    for step in of_nodes.clone().filter(|step| step.state != StepState::Cancelled) {
        // What was not reached before the run failed is not in the tree; what is there ended as the model says.
        let inside_again = step.id.as_str().contains('~');
        let Some(outcome) = model.executed.get(step.id.as_str()).filter(|_| !inside_again) else {
            panic!("seed {seed}: {} was executed and should not have been", step.id);
        };
        let agrees = match outcome {
            Outcome::Skipped => step.state == StepState::Skipped,
            Outcome::Succeeded(branch) => step.state == StepState::Succeeded && step.detail.branch == *branch,
            Outcome::Failed => step.state == StepState::Failed,
        };
        assert!(agrees, "seed {seed}: {} is {:?}, and the model says {outcome:?}", step.id, step.state);
    }
    if expected == RunState::Succeeded {
        let there = of_nodes.filter(|step| step.state != StepState::Cancelled).count();
        let reached = model.executed.keys().filter(|path| reached(&world, path)).count();
        assert_eq!(there, reached, "seed {seed}: as many steps");
    }
    in_order(&world, &plan, seed);
    let has_ended = |step: &StepId| world.machine.steps.get(step).is_none_or(|step| step.state.is_end());
    assert!(world.held.keys().chain(world.wanted.keys()).all(has_ended), "seed {seed}: only what has ended");
    // The journal alone tells the same.
    let view = world.view();
    for step in world.machine.steps.values() {
        assert_eq!(view.step(&step.id).map(|view| view.state), Some(step.state), "seed {seed}: {}", step.id);
    }
}

/// Whether a step that the model executed was within reach: a frame that failed is left where it stands.
fn reached(world: &World, path: &str) -> bool {
    let id = StepId::from_text(path);
    world.machine.steps.get(&id).is_some_and(|step| step.state != StepState::Cancelled)
}

/// Each step began after all that it depends on had ended, unless it waits for fewer.
fn in_order(world: &World, plan: &Plan, seed: u64) {
    let mut ended: BTreeMap<String, usize> = BTreeMap::new();
    let mut began: BTreeMap<String, usize> = BTreeMap::new();
    for (place, stored) in world.events.iter().enumerate() {
        match &stored.event {
            Event::StepSucceeded { step, .. } | Event::StepFailed { step, .. } | Event::StepSkipped { step } => {
                assert!(ended.insert(step.id.to_string(), place).is_none(), "seed {seed}: {} ended twice", step.id);
                began.entry(step.id.to_string()).or_insert(place);
            }
            Event::StepStarted { step, .. } | Event::StepWaiting { step, .. } => {
                began.entry(step.id.to_string()).or_insert(place);
            }
            _ => {}
        }
    }
    for step in world.machine.steps.values().filter(|step| Machine::is_of_node(step)) {
        let Some(node) = Machine::node_of(plan, &step.id).filter(|node| node.join == Join::All) else { continue };
        for port in &node.after {
            let source =
                step.id.parent().map_or_else(|| StepId::root(port.node.as_str()), |parent| parent.child(&port.node));
            let (Some(begin), Some(end)) = (began.get(step.id.as_str()), ended.get(source.as_str())) else { continue };
            assert!(end <= begin, "seed {seed}: {} began before {source} had ended", step.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_engine_and_the_model_agree(seed: u64, size in 1_u64..40, crashes in prop::collection::vec(1_usize..120, 0..6)) {
        agree(seed, size, crashes);
    }
}
