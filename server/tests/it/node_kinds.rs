//! Events, workflows inside of workflows, failures that a person is asked about, holding a run, and running one again:
//! through the API, with the real engine behind it.

use agentflow::{access::Role, engine::state::RunState, kernel::RunId, workflows};
use serde_json::{Value, json};

use crate::{
    office::{Office, any},
    world::{Client, World},
};

struct Desk {
    world: World,
    acme: Office,
    program: Client,
}

impl Desk {
    async fn open() -> Self {
        let world = World::new().await;
        world.work();
        let acme = Office::new(&world, "Acme").await;
        let program = world.program(&acme.key(Role::Admin).await);
        Self { world, acme, program }
    }

    async fn started(&mut self, nodes: Value, input: Value) -> RunId {
        let workflow = self.acme.workflow(&format!("Work {}", RunId::new()), any(), nodes).await;
        self.acme.start(workflow, input).await
    }

    async fn get(&mut self, path: &str) -> Value {
        let reply = self.program.get(path).await;
        assert!(reply.status.0.is_success(), "{path}: {}", reply.text());
        reply.json()
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        let reply = self.program.post_json(path, &body).await;
        assert!(reply.status.0.is_success(), "{path}: {}", reply.text());
        reply.json()
    }

    /// Waits until a run is at a state, and returns it as the API shows it.
    async fn until(&mut self, run: RunId, state: RunState) -> Value {
        for _ in 0..400 {
            let found = self.get(&format!("/api/v1/runs/{run}")).await;
            if found["state"] == state.as_str() {
                return found;
            }
            assert!(
                !RunState::parse(found["state"].as_str().unwrap()).unwrap().is_end(),
                "it is {} and not {state}: {found}",
                found["state"]
            );
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("run {run} does not come to {state}");
    }

    async fn approval(&mut self, run: RunId) -> Value {
        let waiting = self.get("/api/v1/approvals").await;
        let found = waiting["items"].as_array().unwrap().iter().find(|item| item["run_id"] == run.to_string());
        found.expect("an approval of this run").clone()
    }
}

pub fn through(nodes: &[Value], output: &str) -> Value {
    let mut all = vec![json!({ "id": "start", "kind": "start" })];
    all.extend_from_slice(nodes);
    let last = nodes.last().unwrap()["id"].clone();
    all.push(json!({ "id": "end", "kind": "end", "after": [last], "output": output }));
    json!(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_reaches_whoever_waits_for_it_once_and_nobody_else() {
    let mut desk = Desk::open().await;
    let nodes = through(
        &[json!({ "id": "paid", "kind": "wait_event", "event": "payment.{{ input.order }}", "after": ["start"] })],
        "{{ steps.paid.output.sum }}",
    );
    let first = desk.started(nodes.clone(), json!({ "order": 7 })).await;
    let second = desk.started(nodes.clone(), json!({ "order": 8 })).await;
    let waiting = desk.until(first, RunState::Waiting).await;
    assert_eq!(waiting["waiting_on"], "event");
    desk.until(second, RunState::Waiting).await;

    // Another organization's event of the same name is not for us.
    let beta = Office::new(&desk.world, "Beta").await;
    let mut stranger = desk.world.program(&beta.key(Role::Admin).await);
    let reply = stranger.post_json("/api/v1/events", &json!({ "key": "payment.7", "data": { "sum": 0 } })).await;
    assert_eq!(reply.status.0.as_u16(), 202, "{}", reply.text());

    let event = json!({ "key": "payment.7", "data": { "sum": 40 } });
    let sent = desk.post("/api/v1/events", event).await;
    assert!(sent["event"].as_str().unwrap().starts_with("evt_"));
    assert_eq!(desk.until(first, RunState::Succeeded).await["output"], 40);
    assert_eq!(desk.get(&format!("/api/v1/runs/{second}")).await["state"], "waiting");

    // One that comes before anybody waits is kept for the first who does, and for no other.
    desk.post("/api/v1/events", json!({ "key": "payment.9", "data": { "sum": 9 } })).await;
    let third = desk.started(nodes.clone(), json!({ "order": 9 })).await;
    assert_eq!(desk.until(third, RunState::Succeeded).await["output"], 9);
    let fourth = desk.started(nodes, json!({ "order": 9 })).await;
    desk.until(fourth, RunState::Waiting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_event_is_sent_once() {
    let desk = Desk::open().await;
    let send = |key: &'static str, sum: i32| {
        let request = desk.program.request(axum::http::Method::POST, "/api/v1/events");
        let request = request.header("content-type", "application/json").header("idempotency-key", key);
        let body = json!({ "key": "a", "data": { "sum": sum } }).to_string();
        let mut program = desk.program.clone();
        async move { program.send(request.body(body.into()).unwrap()).await }
    };
    let (first, again) = (send("k1", 1).await, send("k1", 1).await);
    assert_eq!(first.json(), again.json());
    assert_eq!(send("k1", 2).await.status.0.as_u16(), 422);
    let there: i64 = sqlx::query_scalar("select count(*) from inbound_events")
        .fetch_one(desk.world.deps().db.engine())
        .await
        .unwrap();
    assert_eq!(there, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_runs_inside_of_another_and_never_inside_of_itself() {
    let mut desk = Desk::open().await;
    let inner = through(
        &[json!({ "id": "sum", "kind": "transform", "value": "{{ input.a + input.b }}", "after": ["start"] })],
        "{{ steps.sum.output }}",
    );
    let inner = desk.acme.workflow("Inner", any(), inner).await;
    let outer = through(
        &[
            json!({ "id": "add", "kind": "workflow", "workflow": inner.to_string(), "input": { "a": 1, "b": "{{ input.b }}" },
                  "after": ["start"] }),
        ],
        "{{ steps.add.output * 10 }}",
    );
    let run = desk.started(outer, json!({ "b": 2 })).await;
    assert_eq!(desk.until(run, RunState::Succeeded).await["output"], 30);
    let steps = desk.get(&format!("/api/v1/runs/{run}/steps")).await;
    let ids: Vec<&str> = steps["items"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"add.sum") && ids.contains(&"add.end"), "one tree: {ids:?}");

    let itself = through(
        &[json!({ "id": "round", "kind": "workflow", "workflow": inner.to_string(), "after": ["start"] })],
        "{{ steps.round.output }}",
    );
    let graph = serde_json::from_value(json!({ "input": any(), "nodes": itself })).unwrap();
    let owner = &desk.acme.owner;
    let saved = workflows::service::save(&owner.grant().unwrap(), inner, 1, graph, "Round".to_owned()).await.unwrap();
    let refused = workflows::service::deploy(&owner.grant().unwrap(), inner, saved.version).await;
    assert_eq!(refused.err().map(|error| error.code), Some("workflows.recursive".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_only_a_person_can_mend_waits_for_one() {
    let mut desk = Desk::open().await;
    let nodes = through(
        // Nothing leads to a private address.
        &[json!({ "id": "fetch", "kind": "http", "url": "http://10.0.0.1/", "on_error": "ask", "after": ["start"],
                  "retry": { "attempts": 1 } })],
        "{{ steps.fetch.output.body }}",
    );
    let run = desk.started(nodes.clone(), json!({})).await;
    desk.until(run, RunState::Waiting).await;
    let approval = desk.approval(run).await;
    assert_eq!((&approval["kind"], &approval["step_id"]), (&json!("failure"), &json!("fetch.~ask1")));
    let decide = format!("/api/v1/approvals/{}/decide", approval["id"].as_str().unwrap());
    let again = desk.post(&decide, json!({ "decision": "approve" })).await;
    assert_eq!(again["state"], "approved");
    // It failed again, so it is asked again; an answer to the first question is too late.
    let second = loop {
        let there = desk.get("/api/v1/approvals").await;
        if let Some(item) = there["items"].as_array().unwrap().iter().find(|item| item["step_id"] == "fetch.~ask2") {
            break item.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    };
    let decide = format!("/api/v1/approvals/{}/decide", second["id"].as_str().unwrap());
    desk.post(&decide, json!({ "decision": "skip", "output": { "body": "by hand" } })).await;
    assert_eq!(desk.until(run, RunState::Succeeded).await["output"], "by hand");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_run_goes_on_where_it_stood() {
    let mut desk = Desk::open().await;
    let nodes = through(
        &[
            json!({ "id": "rest", "kind": "wait", "seconds": 3600, "after": ["start"] }),
            json!({ "id": "paid", "kind": "wait_event", "event": "go", "after": ["start"] }),
            json!({ "id": "both", "kind": "transform", "value": "{{ steps.paid.output }}", "after": ["rest", "paid"],
                    "join": "any" }),
        ],
        "{{ steps.both.output }}",
    );
    let run = desk.started(nodes, json!({})).await;
    desk.until(run, RunState::Waiting).await;
    desk.post(&format!("/api/v1/runs/{run}/pause"), json!({})).await;
    desk.until(run, RunState::Paused).await;
    desk.post("/api/v1/events", json!({ "key": "go", "data": "gone" })).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(desk.get(&format!("/api/v1/runs/{run}")).await["state"], "paused", "nothing begins meanwhile");
    desk.post(&format!("/api/v1/runs/{run}/resume"), json!({})).await;
    desk.until(run, RunState::Waiting).await;
    let steps = desk.get(&format!("/api/v1/runs/{run}/steps")).await;
    let state = |id: &str| {
        let all = steps["items"].as_array().unwrap();
        all.iter().find(|step| step["id"] == id).map(|step| step["state"].clone())
    };
    assert_eq!(state("paid"), Some(json!("succeeded")), "the event was not lost: {steps}");
    assert_eq!(state("both"), Some(json!("succeeded")));
    desk.post(&format!("/api/v1/runs/{run}/cancel"), json!({})).await;
    desk.until(run, RunState::Cancelled).await;
    let reply = desk.program.post_json(&format!("/api/v1/runs/{run}/pause"), &json!({})).await;
    assert_eq!(reply.status.0.as_u16(), 409, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_run_again_from_any_step_with_what_stands_above_taken_over() {
    let mut desk = Desk::open().await;
    let nodes = through(
        &[
            json!({ "id": "first", "kind": "tool", "tool": "current_time", "arguments": {}, "after": ["start"] }),
            json!({ "id": "second", "kind": "transform", "value": "{{ [steps.first.output.unix, input.n] }}", "after": ["first"] }),
            json!({ "id": "third", "kind": "tool", "tool": "calculator", "after": ["second"],
                    "arguments": { "expression": "{{ String(input.n) }}" } }),
        ],
        "{{ steps.second.output }}",
    );
    let run = desk.started(nodes, json!({ "n": 4 })).await;
    let before = desk.until(run, RunState::Succeeded).await["output"].clone();
    let from_second = json!({ "from": "step", "step": "second" });
    let preview = desk.post(&format!("/api/v1/runs/{run}/preview"), from_second.clone()).await;
    let ids = |of: &Value| -> Vec<String> {
        of.as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&preview["reused"]), ["start", "first"]);
    assert_eq!(ids(&preview["again"]), ["second", "third", "end"]);

    let fork = desk.post(&format!("/api/v1/runs/{run}/again"), from_second).await;
    assert_eq!((&fork["trigger"], &fork["retry_of"]), (&json!("fork"), &json!(run.to_string())));
    let fork: RunId = fork["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        desk.until(fork, RunState::Succeeded).await["output"],
        before,
        "the time was taken over, not told again"
    );
    let steps = desk.get(&format!("/api/v1/runs/{fork}/steps")).await;
    let reused: Vec<String> = steps["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["reused"] == true)
        .map(|step| step["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(reused, ["start", "first"]);

    let rerun = desk.post(&format!("/api/v1/runs/{run}/again"), json!({ "from": "start", "input": { "n": 5 } })).await;
    let rerun: RunId = rerun["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(desk.until(rerun, RunState::Succeeded).await["output"][1], 5);

    let path = format!("/api/v1/runs/{run}/again");
    for (body, status) in [
        (json!({}), 409),
        (json!({ "from": "step", "step": "nowhere" }), 404),
        (json!({ "from": "step", "step": "second", "input": {} }), 422),
        (json!({ "from": "step" }), 422),
        (json!({ "from": "start", "input": [1] }), 422),
    ] {
        let reply = desk.program.post_json(&path, &body).await;
        assert_eq!(reply.status.0.as_u16(), status, "{body}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_are_stopped_and_retried_by_a_filter_and_each_is_told() {
    let mut desk = Desk::open().await;
    let nodes = through(&[json!({ "id": "rest", "kind": "wait", "seconds": 3600, "after": ["start"] })], "done");
    let workflow = desk.acme.workflow("Rest", any(), nodes).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(desk.acme.start(workflow, json!({})).await);
    }
    for run in &runs {
        desk.until(*run, RunState::Waiting).await;
    }
    let other = desk
        .started(through(&[json!({ "id": "a", "kind": "transform", "value": 1, "after": ["start"] })], "1"), json!({}))
        .await;
    desk.until(other, RunState::Succeeded).await;
    let path = format!("/api/v1/runs/bulk?workflow={workflow}");
    let stopped = desk.post(&path, json!({ "action": "cancel" })).await;
    let told = stopped["items"].as_array().unwrap();
    assert_eq!((told.len(), told.iter().filter(|line| line["ok"] == true).count()), (3, 3));
    for run in &runs {
        desk.until(*run, RunState::Cancelled).await;
    }
    let again = desk.post(&path, json!({ "action": "cancel" })).await;
    assert!(again["items"].as_array().unwrap().iter().all(|line| line["code"] == "runs.ended"), "{again}");
    let retried = desk.post(&path, json!({ "action": "retry" })).await;
    let new: Vec<&str> =
        retried["items"].as_array().unwrap().iter().filter_map(|line| line["new_run_id"].as_str()).collect();
    assert_eq!(new.len(), 3, "{retried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_output_counts_for_drafts_and_never_for_what_is_deployed() {
    let mut desk = Desk::open().await;
    let nodes = through(
        &[json!({ "id": "sum", "kind": "transform", "value": "{{ 1 + 1 }}", "pinned": 40, "after": ["start"] })],
        "{{ steps.sum.output }}",
    );
    let workflow = desk.acme.workflow("Pinned", any(), nodes.clone()).await;
    let deployed = desk.acme.start(workflow, json!({})).await;
    assert_eq!(desk.until(deployed, RunState::Succeeded).await["output"], 2);
    let graph = serde_json::from_value(json!({ "input": any(), "title": "A draft", "nodes": nodes })).unwrap();
    let grant = desk.acme.owner.grant().unwrap();
    let draft = workflows::service::save(&grant, workflow, 1, graph, "A draft".to_owned()).await.unwrap();
    let started = desk.post(&format!("/api/v1/workflows/{workflow}/run"), json!({ "version": draft.version })).await;
    let draft: RunId = started["id"].as_str().unwrap().parse().unwrap();
    let run = desk.until(draft, RunState::Succeeded).await;
    assert_eq!((&run["output"], &run["trigger"]), (&json!(40), &json!("test")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_hands_each_result_on_and_judges_it() {
    let mut desk = Desk::open().await;
    let nodes = through(
        &[
            json!({ "id": "grow", "kind": "loop", "until": "{{ result > 3 && index > previous - result }}", "after": ["start"],
            "nodes": [{ "id": "add", "kind": "transform", "value": "{{ (previous ?? 0) + index + 1 }}" }] }),
        ],
        "{{ steps.grow.output }}",
    );
    let run = desk.started(nodes, json!({})).await;
    assert_eq!(desk.until(run, RunState::Succeeded).await["output"], 6);
}
