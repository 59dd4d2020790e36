use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    engine::plan::{ASK_HUMAN, ToolEffect},
    kernel::Money,
};

fn faults(graph: &Graph) -> Vec<Fault> {
    let agents = BTreeSet::from(["writer".to_owned()]);
    let tool = ToolSpec {
        at_most_once: false,
        repeatable: false,
        cost: Money::ZERO,
        name: "post".into(),
        description: String::new(),
        parameters: json!({
            "type": "object",
            "properties": { "to": { "type": "string" }, "count": { "type": "integer" } },
            "required": ["to"],
            "additionalProperties": false,
        }),
        effect: ToolEffect::Write,
        timeout_s: 5,
        ..ToolSpec::default()
    };
    let asks = ToolSpec { name: ASK_HUMAN.into(), parameters: Value::Null, effect: ToolEffect::Read, ..tool.clone() };
    let tools = BTreeMap::from([("post".to_owned(), tool), (ASK_HUMAN.to_owned(), asks)]);
    // Enough of a schema check for these tests: the type.
    let check = |schema: &Value, value: &Value| {
        let fits = match schema["type"].as_str() {
            Some("integer") => value.is_i64(),
            Some("string") => value.is_string(),
            _ => true,
        };
        let fault = FieldError { field: String::new(), message: "does not fit".into() };
        if fits { Vec::new() } else { vec![fault] }
    };
    let known =
        Known { agents: &agents, tools: &tools, workflows: &BTreeMap::new(), check: &check, check_schema: &|_| None };
    validate(graph, &known)
}

fn graph(nodes: Value) -> Graph {
    serde_json::from_value(json!({ "input": { "type": "object" }, "nodes": nodes })).expect("a graph")
}

fn said(nodes: Value) -> Vec<String> {
    faults(&graph(nodes))
        .into_iter()
        .map(|fault| format!("{}/{}: {}", fault.node.unwrap_or_default(), fault.field, fault.message))
        .collect()
}

#[track_caller]
fn says(nodes: Value, expected: &[&str]) {
    let said = said(nodes);
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said}\n  should contain {expected}");
    }
}

#[test]
fn a_good_graph_has_no_fault() {
    says(
        json!([
            { "id": "start", "kind": "start" },
            { "id": "write", "kind": "agent", "agent": "writer", "prompt": "{{ input.x }}", "after": ["start"] },
            { "id": "size", "kind": "decision", "branches": [{ "name": "big", "when": "{{ input.n > 5 }}" }], "after": ["write"] },
            { "id": "ask", "kind": "approval", "title": "Send {{ steps.write.output }}", "after": ["size.big"] },
            { "id": "each", "kind": "map", "items": "{{ input.list }}", "after": ["size.otherwise", "ask"],
              "nodes": [
                { "id": "post", "kind": "tool", "tool": "post", "arguments": { "to": "{{ item }}", "count": 2 } },
                { "id": "note", "kind": "transform", "value": "{{ steps.post.output + steps.write.output }}", "after": ["post"] },
              ],
              "result": "{{ steps.note.output }}" },
            { "id": "pause", "kind": "wait", "seconds": 5, "after": ["each"] },
            { "id": "no", "kind": "end", "after": ["ask.rejected"] },
            { "id": "end", "kind": "end", "output": { "list": "{{ steps.each.output }}" }, "after": ["pause"] },
        ]),
        &[],
    );
}

#[test]
fn starts_ends_and_ways_between_them() {
    says(json!([]), &["/nodes: The workflow has no end", "/nodes: The workflow has no start"]);
    says(
        json!([
            { "id": "start", "kind": "start", "after": ["other"] },
            { "id": "other", "kind": "start" },
            { "id": "lost", "kind": "wait", "seconds": 1 },
            { "id": "behind", "kind": "wait", "seconds": 1, "after": ["lost"] },
            { "id": "end", "kind": "end", "after": ["behind"] },
        ]),
        &[
            "start/kind: The workflow has more than one start",
            "other/kind: The workflow has more than one start",
            "lost/after: Nothing leads to this step",
            "behind/after: No way leads from the start",
            "end/after: No way leads from the start",
            "/nodes: No way leads from the start to an end",
        ],
    );
}

#[test]
fn who_decides_can_be_found_and_can_agree() {
    let asking = |approval: Value| {
        let mut ask = json!({ "id": "ask", "kind": "approval", "title": "Pay", "after": ["start"] });
        ask.as_object_mut().unwrap().extend(approval.as_object().unwrap().clone());
        json!([{ "id": "start", "kind": "start" }, ask, { "id": "end", "kind": "end", "after": ["ask"] }])
    };
    let good = json!({ "people": ["ana@example.com", "{{ input.boss }}"], "quorum": 3, "not_own": true, "expires_s": 60,
        "on_expiry": "escalate", "escalate_to": "owner" });
    says(asking(good), &[]);
    says(asking(json!({ "people": ["ana"] })), &["ask/people.0: “ana” is not an e-mail address"]);
    says(asking(json!({ "people": ["{{ steps.none }}"] })), &["ask/people.0: It reads “steps.none”"]);
    says(asking(json!({ "quorum": 0 })), &["ask/quorum: Between 1 and 20"]);
    let twice = json!({ "people": ["ana@example.com", "Ana@example.com"], "quorum": 2 });
    says(asking(twice.clone()), &["ask/quorum: 2 have to agree, and 1 may decide"]);
    let mut or_admins = twice;
    or_admins["role"] = json!("admin");
    says(asking(or_admins), &[]);
    says(asking(json!({ "on_expiry": "escalate" })), &["ask/on_expiry: Say by when"]);
    says(asking(json!({ "escalate_to": "admin" })), &["ask/escalate_to: This says whom"]);
    let nobody = json!({ "expires_s": 60, "on_expiry": "escalate", "escalate_to": "viewer" });
    says(asking(nobody), &["ask/escalate_to: A viewer decides nothing"]);
}

#[test]
fn a_cycle_names_its_steps_once() {
    says(
        json!([
            { "id": "start", "kind": "start" },
            { "id": "a", "kind": "wait", "seconds": 1, "after": ["start", "c"] },
            { "id": "b", "name": "Second", "kind": "wait", "seconds": 1, "after": ["a"] },
            { "id": "c", "kind": "wait", "seconds": 1, "after": ["b"] },
            { "id": "own", "kind": "wait", "seconds": 1, "after": ["own", "start"] },
            { "id": "end", "kind": "end", "after": ["c"] },
        ]),
        &["own/after: The step is to run after itself", "/after: These steps wait for each other in a circle"],
    );
    let circle = said(json!([
        { "id": "start", "kind": "start" },
        { "id": "a", "kind": "wait", "seconds": 1, "after": ["start", "b"] },
        { "id": "b", "name": "Second", "kind": "wait", "seconds": 1, "after": ["a"] },
        { "id": "end", "kind": "end", "after": ["b"] },
    ]));
    assert!(
        circle[0].contains("“Second” → “a” → “Second”") || circle[0].contains("“a” → “Second” → “a”"),
        "{circle:?}"
    );
}

#[test]
fn edges_name_steps_and_branches_that_exist() {
    says(
        json!([
            { "id": "start", "kind": "start" },
            { "id": "size", "kind": "decision", "branches": [{ "name": "big", "when": "{{ true }}" }], "after": ["start"] },
            { "id": "a", "kind": "wait", "seconds": 1, "after": ["size"] },
            { "id": "b", "kind": "wait", "seconds": 1, "after": ["size.small", "start.big", "nowhere", "a", "a"] },
            { "id": "end", "kind": "end", "after": ["b"] },
            { "id": "late", "kind": "wait", "seconds": 1, "after": ["end"] },
        ]),
        &[
            "a/after: Say after which branch of “size”",
            "b/after: “size” has no branch “small”. It has “big”, “otherwise”",
            "b/after: “start” has only one way out",
            "b/after: It is to run after “nowhere”, which does not exist",
            "b/after: “a” is named twice",
            "late/after: “end” ends the run",
            "size/branches: Nothing runs after the branch “big”",
            "size/branches: Nothing runs after the branch “otherwise”",
        ],
    );
}

#[test]
fn templates_read_what_has_run_before() {
    says(
        json!([
            { "id": "start", "kind": "start" },
            { "id": "a", "kind": "transform", "value": ["{{ steps.b.output }}", "{{ steps.gone.output }}"], "after": ["start"] },
            { "id": "b", "kind": "transform", "value": "{{ steps.a.output }} {{ open", "after": ["a"] },
            { "id": "m", "kind": "map", "items": "two {{ input.a }}", "after": ["b"],
              "nodes": [{ "id": "in", "kind": "transform", "value": "{{ steps.end.output + steps.a.output }}" }] },
            { "id": "end", "kind": "end", "output": "{{ steps.in.output }}", "after": ["m"] },
        ]),
        &[
            "a/value: It reads “steps.b”, which cannot have run before",
            "a/value: It reads “steps.gone”, and there is no such step",
            "b/value: An expression begins with {{ and has no }}",
            "m/items: This must be exactly one expression",
            "m.in/value: It reads “steps.end”",
            "end/output: It reads “steps.in”, and there is no such step",
        ],
    );
}

#[test]
fn what_a_kind_needs_is_asked_for() {
    says(
        json!([
            { "id": "start", "kind": "start" },
            { "id": "a", "kind": "agent", "agent": "nobody", "prompt": " ", "after": ["start"], "timeout_s": 0 },
            { "id": "t", "kind": "tool", "tool": "nothing", "after": ["start"], "retry": { "attempts": 11, "factor": 0.5 } },
            { "id": "p", "kind": "tool", "tool": "post", "arguments": { "cc": "x", "count": "many" }, "after": ["start"] },
            { "id": "d", "kind": "decision", "branches": [{ "name": "x", "when": "input.a" }, { "name": "x", "when": "" }], "after": ["start"] },
            { "id": "q", "kind": "approval", "title": "", "expires_s": 5, "after": ["start"] },
            { "id": "m", "kind": "map", "items": "", "concurrency": 0, "nodes": [], "after": ["start"] },
            { "id": "w", "kind": "wait", "until": "tomorrow", "after": ["start"] },
            { "id": "v", "kind": "wait", "after": ["start"] },
            { "id": "end", "kind": "end", "after": ["a", "t", "p", "d.x", "d.otherwise", "q", "m", "w", "v"] },
        ]),
        &[
            "a/timeout_s: ",
            "a/agent: There is no agent “nobody”",
            "a/prompt: Write what the agent is asked",
            "t/retry.attempts: ",
            "t/retry.factor: ",
            "t/tool: There is no tool “nothing”",
            "p/arguments.to: The tool “post” needs “to”",
            "p/arguments.cc: The tool “post” has no argument “cc”",
            "p/arguments.count: “count”: does not fit",
            "d/branches.0.when: A condition must be exactly one expression",
            "d/branches.1.name: Two branches",
            "d/branches.1.when: Write the condition",
            "q/title: Write what will happen",
            "q/expires_s: ",
            "m/items: Write an expression",
            "m/concurrency: ",
            "m/nodes: There are no steps inside",
            "w/until: Write a moment",
            "v/seconds: Say how many seconds",
        ],
    );
}

#[test]
fn keys_are_unique_inside_and_around_a_map() {
    says(
        json!([
            { "id": "start", "kind": "start" },
            { "id": "a", "kind": "wait", "seconds": 1, "after": ["start"] },
            { "id": "m", "kind": "map", "items": "{{ [] }}", "after": ["a"], "nodes": [
                { "id": "a", "kind": "wait", "seconds": 1 },
                { "id": "b", "kind": "wait", "seconds": 1 },
                { "id": "b", "kind": "end" },
            ] },
            { "id": "end", "kind": "end", "after": ["m"] },
        ]),
        &[
            "m.a/id: A step outside of this group has the key “a”",
            "m.b/id: Two steps have the key “b”",
            "m.b/kind: A group's steps need no “end”",
        ],
    );
}

#[test]
fn locks_are_for_what_works_and_are_named_in_one_place() {
    says(
        json!([
            { "id": "start", "kind": "start" },
            { "id": "a", "kind": "wait", "seconds": 1, "locks": ["x"], "after": ["start"] },
            { "id": "b", "kind": "tool", "tool": "post", "arguments": { "to": "x" }, "locks": ["{{ steps.c.output }}", " "],
              "lock_s": 100_000, "after": ["a"] },
            { "id": "c", "kind": "tool", "tool": "post", "arguments": { "to": "x" }, "lock_s": 5, "after": ["b"] },
            { "id": "m", "kind": "map", "items": "{{ [] }}", "locks": ["till"], "after": ["c"], "nodes": [
                { "id": "d", "kind": "tool", "tool": "post", "arguments": { "to": "x" }, "locks": ["y"] },
            ] },
            { "id": "end", "kind": "end", "after": ["m"] },
        ]),
        &[
            "a/locks: Only a tool",
            "b/locks: It reads “steps.c”",
            "b/locks: Write the name of the lock",
            "b/lock_s: Locks can be held for",
            "c/locks: Name the locks",
            "m.d/locks: What this step stands in holds locks already",
        ],
    );
}

#[test]
fn too_much_is_refused_before_it_is_looked_at() {
    let many: Vec<Value> = (0..=MAX_NODES).map(|at| json!({ "id": format!("n{at}"), "kind": "start" })).collect();
    says(Value::Array(many), &["/nodes: There are 301 steps"]);
    let deep = (0..=MAX_DEPTH).fold(
        json!([{ "id": "x", "kind": "wait" }]),
        |inner, _| json!([{ "id": "m", "kind": "map", "items": "{{ [] }}", "nodes": inner }]),
    );
    says(deep, &["/nodes: Groups nest 5 deep"]);
}

/// Nodes with keys, kinds, edges and texts from small pools, so that much collides and some is right.
fn nodes(depth: u32) -> BoxedStrategy<Vec<Value>> {
    let key = prop::sample::select(vec!["a", "b", "c", "d", "start", "end"]);
    let port = prop::sample::select(vec!["a", "b", "c", "d", "start", "end", "a.yes", "b.otherwise", "c.rejected"]);
    let text = prop::sample::select(vec![
        "",
        "plain",
        "{{ input.x }}",
        "{{ steps.a.output }}",
        "{{ steps.b?.output }} and {{ steps['c'] }}",
        "{{ open",
    ]);
    let inner = if depth == 0 { Just(Vec::new()).boxed() } else { nodes(depth - 1) };
    let kind = (0..9_usize, text.clone(), text, inner).prop_map(|(kind, one, two, inner)| match kind {
        0 => json!({ "kind": "start" }),
        1 => json!({ "kind": "agent", "agent": "writer", "prompt": one }),
        2 => json!({ "kind": "tool", "tool": "post", "arguments": { "to": one, "count": 1 } }),
        3 => json!({ "kind": "transform", "value": [one, { "x": two }] }),
        4 => json!({ "kind": "decision", "branches": [{ "name": "yes", "when": one }] }),
        5 => json!({ "kind": "approval", "title": one, "payload": two }),
        6 => json!({ "kind": "map", "items": one, "nodes": inner, "result": two }),
        7 => json!({ "kind": "wait", "seconds": one }),
        _ => json!({ "kind": "end", "output": one }),
    });
    let node = (key, kind, prop::collection::btree_set(port, 0..3)).prop_map(|(key, mut node, after)| {
        node["id"] = json!(key);
        node["after"] = json!(after);
        node
    });
    prop::collection::vec(node, 0..6).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_comes_is_judged_and_what_is_accepted_can_run(nodes in nodes(2)) {
        let graph = graph(Value::Array(nodes));
        if faults(&graph).is_empty() {
            let order = walk::order(&graph.nodes);
            prop_assert!(order.stuck.is_empty());
            prop_assert_eq!(graph.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Start)).count(), 1);
            let has_end = graph.nodes.iter().any(|node| node.kind.word() == "end");
            prop_assert!(has_end);
            let start = order.places[0];
            for place in &order.places[1..] {
                prop_assert!(order.before[*place].contains(&start), "everything comes after the start");
            }
        }
    }

    #[test]
    fn an_order_puts_each_node_after_what_it_depends_on(nodes in nodes(0)) {
        let graph = graph(Value::Array(nodes));
        let order = walk::order(&graph.nodes);
        prop_assert_eq!(order.places.len() + order.stuck.len(), graph.nodes.len());
        for (at, place) in order.places.iter().enumerate() {
            for source in &order.before[*place] {
                prop_assert!(order.places[..at].contains(source));
            }
        }
    }
}

#[test]
fn who_is_to_decide_must_be_somebody_who_may() {
    let asks = |role: &str| {
        said(json!([
            { "id": "start", "kind": "start" },
            { "id": "ask", "kind": "approval", "title": "Go on?", "role": role, "after": ["start"] },
            { "id": "end", "kind": "end", "after": ["ask"] },
        ]))
    };
    assert_eq!(asks("viewer"), ["ask/role: A viewer decides nothing, so choose “member” or a higher role, or none."]);
    for role in ["member", "admin", "owner"] {
        assert_eq!(asks(role), Vec::<String>::new(), "{role}");
    }
}

#[test]
fn a_step_has_no_more_time_than_its_tool() {
    let takes = |seconds: u64| {
        said(json!([
            { "id": "start", "kind": "start" },
            { "id": "post", "kind": "tool", "tool": "post", "arguments": { "to": "x" }, "timeout_s": seconds, "after": ["start"] },
            { "id": "end", "kind": "end", "after": ["post"] },
        ]))
    };
    assert_eq!(takes(5), Vec::<String>::new());
    assert_eq!(takes(6), ["post/timeout_s: The tool “post” is cut off after 5 seconds; that is the most here."]);
}

#[test]
fn only_what_changes_nothing_is_remembered() {
    let with = |node: Value, cache: Value| {
        let mut node = node;
        node.as_object_mut()
            .unwrap()
            .extend(json!({ "id": "x", "after": ["start"], "cache": cache }).as_object().unwrap().clone());
        json!([{ "id": "start", "kind": "start" }, node, { "id": "end", "kind": "end", "after": ["x"] }])
    };
    let agent = json!({ "kind": "agent", "agent": "writer", "prompt": "Write." });
    let http = |method: &str| json!({ "kind": "http", "method": method, "url": "https://example.com" });
    says(with(agent.clone(), json!(true)), &[]);
    says(with(http("GET"), json!(60)), &[]);
    says(with(http("POST"), json!(60)), &["x/cache: Only a request with the method GET or HEAD"]);
    let post = json!({ "kind": "tool", "tool": "post", "arguments": { "to": "a" } });
    says(with(post, json!(true)), &["x/cache: The tool “post” changes something"]);
    let value = json!({ "kind": "transform", "value": 1 });
    says(with(value, json!(true)), &["x/cache: Only the results of an agent, a tool and a request"]);
    says(with(agent, json!(10_000_000)), &["x/cache: Results can be remembered for 1 second to 30 days."]);
    assert!(serde_json::from_value::<Graph>(json!({ "nodes": with(http("GET"), json!("soon")) })).is_err());
}

#[test]
fn a_budget_bounds_what_calls_models_and_says_how_much() {
    let with = |node: Value, budget: Value| {
        let mut node = node;
        let more = json!({ "id": "x", "after": ["start"], "budget": budget });
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([{ "id": "start", "kind": "start" }, node, { "id": "end", "kind": "end", "after": ["x"] }])
    };
    let agent = json!({ "kind": "agent", "agent": "writer", "prompt": "Write." });
    says(with(agent.clone(), json!({ "cost": 0.5, "tokens": 1000 })), &[]);
    says(with(agent.clone(), json!({})), &["x/budget: Say how much it is"]);
    says(with(agent.clone(), json!({ "cost": 0 })), &["x/budget.cost: The budget must be above $0"]);
    says(with(agent, json!({ "cost": 1, "tokens": 0 })), &["x/budget.tokens"]);
    let value = json!({ "kind": "transform", "value": 1 });
    says(with(value, json!({ "cost": 1 })), &["x/budget: Only an agent, a map, a loop and a workflow"]);
}

#[test]
fn a_step_that_asks_a_person_is_not_held_back_for_one() {
    let with = |tool: &str, gate: &str| {
        json!([
            { "id": "start", "kind": "start" },
            { "id": "x", "kind": "tool", "tool": tool, "arguments": { "to": "a" }, "requires_approval": gate, "after": ["start"] },
            { "id": "end", "kind": "end", "after": ["x"] },
        ])
    };
    says(with("post", "always"), &[]);
    says(with(ASK_HUMAN, "never"), &[]);
    for gate in ["always", "{{ input.amount > 500 }}"] {
        says(with(ASK_HUMAN, gate), &["x/requires_approval: The tool “ask_human” asks a person itself"]);
    }
}
