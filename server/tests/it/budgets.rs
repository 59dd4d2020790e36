//! Budgets of nodes: what the model calls below one cost together, with a priced model at the other end.

use std::collections::BTreeSet;

use agentflow::{
    access::Role,
    engine::state::{ErrorClass, RunState},
    kernel::Money,
};
use serde_json::{Value, json};

use crate::{
    fake_model::FakeModel,
    office::{Office, start},
    world::World,
};

/// Under a budget an answer has at most 8,192 tokens, ten dollars a million: a call is reserved a little more than
/// eight cents, and two of them have room in twenty.
const BUDGET: f64 = 0.2;

fn agents() -> Value {
    json!({ "writer": { "name": "Writer", "role": "r", "instructions": "Write.", "model": "openai/gpt-4o" } })
}

async fn with_fake() -> (World, FakeModel) {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let world = World::with(&[("OPENAI_API_KEY", "key-of-the-test"), ("OPENAI_BASE_URL", &url)]).await;
    world.work();
    (world, fake)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_at_the_same_time_never_pass_the_budget_of_their_map() {
    let (world, fake) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "items": "{{ [1, 2, 3, 4, 5, 6] }}", "concurrency": 6, "after": ["start"],
          "budget": { "cost": BUDGET },
          "nodes": [{ "id": "write", "kind": "agent", "agent": "writer", "prompt": "slow: one two {{ item }}" }] },
        { "id": "end", "kind": "end", "after": ["each"], "output": "{{ steps.each.output }}" },
    ]);
    let workflow = acme.with_agents("Six", nodes, agents()).await;
    let run = acme.start(workflow, json!({})).await;
    let done = acme.until(run, RunState::Succeeded).await;
    assert!(done.view.usage.cost > Money::ZERO && done.view.usage.cost < Money(200_000), "{:?}", done.view.usage);
    let events: Vec<(String, String)> = sqlx::query_as(
        "select kind, step_id from run_events
          where run_id = $1 and step_id like '%.model%' and kind in ('step.started', 'step.succeeded') order by seq",
    )
    .bind(run)
    .fetch_all(world.deps().db.engine())
    .await
    .unwrap();
    let (mut open, mut peak) = (BTreeSet::new(), 0);
    for (kind, step) in events {
        if kind == "step.started" {
            open.insert(step)
        } else {
            open.remove(&step)
        };
        peak = peak.max(open.len());
    }
    assert_eq!((peak, open.len()), (2, 0), "as many as the budget has room for");
    let calls = fake.calls();
    assert_eq!(calls.len(), 6);
    let bounds = |body: &Value| body["max_tokens"] == 8_192 || body["max_completion_tokens"] == 8_192;
    assert!(calls.iter().all(|call| bounds(&call.body)), "{}", calls[0].body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_holds_no_call_asks_and_goes_on_when_more_is_granted() {
    let (world, fake) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "write", "kind": "agent", "agent": "writer", "prompt": "say: hello", "budget": { "cost": 0.05 }, "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["write"], "output": "{{ steps.write.output }}" },
    ]);
    let workflow = acme.with_agents("One", nodes, agents()).await;
    let run = acme.start(workflow, json!({})).await;
    let asked = acme.asked(run).await;
    assert_eq!(fake.calls().len(), 0, "not a cent was spent");
    assert!(asked.message.contains("$0.05"), "{}", asked.message);
    let failed = acme.run(run).await.detail.view.steps.into_iter().find(|step| step.id.as_str() == "write").unwrap();
    let error = failed.error.unwrap();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Budget, "node.budget"));
    let mut program = world.program(&acme.key(Role::Admin).await);
    let decide = format!("/api/v1/approvals/{}/decide", asked.id);
    let reply = program.post_json(&decide, &json!({ "decision": "approve" })).await;
    assert!(reply.status.0.is_success(), "{}", reply.text());
    // As much again: ten cents hold one call.
    let done = acme.until(run, RunState::Succeeded).await;
    assert_eq!(done.output, Some(json!("hello")));
    assert_eq!(fake.calls().len(), 1);
}
