//! Decisions inside of loops, maps and parallel branches, by the API.

use std::time::Duration;

use agentflow::{access::Role, engine::state::RunState, kernel::RunId};
use serde_json::{Value, json};

use crate::{
    office::{Office, any, start},
    world::{Client, World},
};

/// A program that decides.
struct Decider {
    program: Client,
}

impl Decider {
    async fn new(world: &World, acme: &Office) -> Self {
        Self { program: world.program(&acme.key(Role::Member).await) }
    }

    /// What a run asks: at least so much.
    async fn asked(&mut self, run: RunId, at_least: usize) -> Vec<Value> {
        for _ in 0..400 {
            let there = self.program.get("/api/v1/approvals?limit=200").await.json();
            let items = there["items"].as_array().unwrap().iter();
            let asked: Vec<_> = items.filter(|item| item["run_id"] == run.to_string()).cloned().collect();
            if asked.len() >= at_least {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{run} does not ask {at_least} times");
    }

    async fn decide(&mut self, approval: &Value, body: Value) {
        let path = format!("/api/v1/approvals/{}/decide", approval["id"].as_str().unwrap());
        let reply = self.program.post_json(&path, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test]
async fn a_gate_in_a_loop_asks_until_it_gets_its_yes() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "polish", "kind": "loop", "after": ["start"], "max": 5, "until": "{{ result.done }}", "nodes": [
            { "id": "ask", "kind": "approval", "title": "Round {{ index }}", "payload": "{{ previous?.text ?? input.text }}" },
            { "id": "better", "kind": "transform", "after": ["ask.changes"],
              "value": { "done": false, "text": "{{ steps.ask.output.payload + ', ' + steps.ask.output.reason }}" } },
            { "id": "good", "kind": "transform", "after": ["ask"],
              "value": { "done": true, "text": "{{ steps.ask.output.payload }}" } },
        ], "result": "{{ steps.good?.output ?? steps.better.output }}" },
        { "id": "end", "kind": "end", "after": ["polish"], "output": "{{ steps.polish.output.text }}" },
    ]);
    let workflow = acme.workflow("Letter", any(), nodes).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Letter", "text": "Dear all" })).await;
    let mut decider = Decider::new(&world, &acme).await;
    for (round, text) in ["greet them by name", "shorter"].into_iter().enumerate() {
        let asked = decider.asked(run, 1).await;
        assert_eq!((asked.len(), &asked[0]["title"]), (1, &json!(format!("Round {round}"))));
        assert_eq!(asked[0]["step_id"], format!("polish.{round}.ask"));
        decider.decide(&asked[0], json!({ "decision": "request_changes", "text": text })).await;
        acme.asked(run).await;
    }
    let last = loop {
        let asked = decider.asked(run, 1).await.remove(0);
        if asked["title"] == "Round 2" {
            break asked;
        }
    };
    decider.decide(&last, json!({ "decision": "approve", "payload": "Dear Kim" })).await;
    assert_eq!(acme.until(run, RunState::Succeeded).await.output, Some(json!("Dear Kim")));
}

#[tokio::test]
async fn gates_of_a_map_are_decided_in_any_order() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "after": ["start"], "items": "{{ input.sums }}", "concurrency": 3,
          "nodes": [{ "id": "ask", "kind": "approval", "title": "Pay {{ item }}", "payload": { "sum": "{{ item }}" } }],
          "result": "{{ steps.ask.output.payload.sum }}" },
        { "id": "end", "kind": "end", "after": ["each"], "output": "{{ steps.each.output }}" },
    ]);
    let workflow = acme.workflow("Each", any(), nodes).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Each", "sums": [1, 2, 3, 4, 5] })).await;
    let mut decider = Decider::new(&world, &acme).await;
    let first = decider.asked(run, 3).await;
    assert_eq!(first.len(), 3, "three at the same time");
    for decided in 0..5 {
        let asked = decider.asked(run, (5 - decided).min(3)).await;
        // The newest first; every second with an edit.
        let it = asked.iter().max_by_key(|it| it["payload"]["sum"].as_i64()).unwrap();
        let sum = it["payload"]["sum"].as_i64().unwrap();
        let body = match sum % 2 {
            0 => json!({ "decision": "approve", "payload": { "sum": sum * 10 } }),
            _ => json!({ "decision": "approve" }),
        };
        decider.decide(it, body).await;
    }
    assert_eq!(acme.until(run, RunState::Succeeded).await.output, Some(json!([1, 20, 3, 40, 5])));
}

#[tokio::test]
async fn of_two_parallel_gates_one_is_rejected_and_its_error_edge_is_taken() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "left", "kind": "approval", "title": "Left?", "payload": 1, "after": ["start"] },
        { "id": "right", "kind": "approval", "title": "Right?", "payload": 2, "after": ["start"] },
        { "id": "sorry", "kind": "transform", "value": "{{ steps.right.error?.message ?? 'no' }}", "after": ["right.error"] },
        { "id": "end", "kind": "end", "after": ["left", "sorry"],
          "output": { "left": "{{ steps.left.output.payload }}", "right": "{{ steps.right?.output ?? 'refused' }}" } },
    ]);
    let workflow = acme.workflow("Two", any(), nodes).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Two" })).await;
    let mut decider = Decider::new(&world, &acme).await;
    let asked = decider.asked(run, 2).await;
    let of = |title: &str| asked.iter().find(|it| it["title"] == title).unwrap().clone();
    decider.decide(&of("Right?"), json!({ "decision": "reject", "reason": "Not needed" })).await;
    decider.decide(&of("Left?"), json!({ "decision": "approve" })).await;
    let ended = acme.until(run, RunState::Succeeded).await;
    assert_eq!(ended.output, Some(json!({ "left": 1, "right": "refused" })));
}
