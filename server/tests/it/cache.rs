//! Answers that are given again: who gets them, what they cost, and what is never kept.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use agentflow::{
    dashboard::{self, Figures, Range, service::Wish},
    engine::{
        journal::{StepView, Usage},
        state::RunState,
    },
    kernel::{RunId, WorkflowId},
    runs::RunDetail,
    workflows::{self, NewWorkflow},
};
use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::{Value, json};

use crate::{
    fake_model::FakeModel,
    office::{Office, Ran, any, start},
    world::World,
};

/// Somebody's service that fails at first, and counts.
async fn counter(failures: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let answer = move || {
        let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            match number {
                number if number <= failures => StatusCode::NOT_FOUND.into_response(),
                number => axum::Json(json!({ "number": number })).into_response(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(answer))).await });
    (address, calls)
}

fn asking(cache: Value) -> Value {
    json!([
        start(),
        { "id": "ask", "kind": "agent", "agent": "asker", "cache": cache, "after": ["start"],
          "prompt": "tool: calculator {\"expression\": \"6 * {{ input.n }}\"}" },
        { "id": "end", "kind": "end", "after": ["ask"], "output": "{{ steps.ask.output }}" },
    ])
}

fn asker() -> Value {
    json!({ "asker": { "name": "Asker", "role": "r", "instructions": "Ask.", "model": "compatible/gpt-fake",
                       "tools": { "calculator": "allowed" } } })
}

fn fetching(address: SocketAddr, cache: Value, on_error: &str) -> Value {
    json!([
        start(),
        { "id": "fetch", "kind": "http", "url": format!("http://{address}/"), "cache": cache, "on_error": on_error,
          "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["fetch"], "output": "{{ steps.fetch.output?.body?.number }}" },
    ])
}

async fn ran(office: &Office, workflow: WorkflowId, input: Value) -> Ran {
    let run: RunId = office.start(workflow, input).await;
    office.until(run, RunState::Succeeded).await
}

fn cached(run: &RunDetail) -> Vec<&str> {
    let steps = run.view.steps.iter().filter(|step: &&StepView| step.cached);
    steps.map(|step| step.id.as_str()).collect()
}

async fn figures(office: &Office) -> Figures {
    let cx = &office.owner;
    let wish = Wish { range: Range::Day, ..Wish::default() };
    dashboard::service::read(&cx.grant().unwrap(), &cx.grant().unwrap(), &wish).await.unwrap().figures.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_asked_the_same_again_calls_nobody() {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let world = World::with(&[("AGENTFLOW_MODEL_BASE_URL", &url), ("AGENTFLOW_MODELS", "gpt-fake")]).await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let page = format!("/o/{}/", ada.org);
    let workflow = acme.with_agents("Ask", asking(json!(true)), asker()).await;
    let first = ran(&acme, workflow, json!({ "n": 7 })).await;
    assert_eq!((fake.calls().len(), cached(&first)), (2, vec![]));
    assert!(first.view.usage != Usage::default());
    assert!(ada.client.get(&page).await.text().contains("Cache hit rate"));

    let second = ran(&acme, workflow, json!({ "n": 7 })).await;
    assert_eq!(cached(&second), ["ask.model1", "ask.tool1_1", "ask.model2"], "its tool is not called again either");
    assert_eq!((&second.output, second.view.usage), (&first.output, Usage::default()));
    assert_eq!(fake.calls().len(), 2);
    let figures = figures(&acme).await;
    assert_eq!((figures.cached, figures.not_cached, figures.cached_permille()), (3, 3, Some(500)));
    assert!(ada.client.get(&page).await.text().contains("3 of 6 calls"));
    let line = ada.client.get(&format!("/o/{}/runs/{}", ada.org, second.summary.id)).await;
    assert!(line.text().contains("From the cache"), "the tree says so");

    let other = ran(&acme, workflow, json!({ "n": 8 })).await;
    assert_eq!((fake.calls().len(), cached(&other)), (4, vec![]), "another question is asked");
    // The same words of another organization are another call.
    let beta = Office::new(&world, "Beta").await;
    let theirs = beta.with_agents("Ask", asking(json!(true)), asker()).await;
    let theirs = ran(&beta, theirs, json!({ "n": 7 })).await;
    assert_eq!((fake.calls().len(), cached(&theirs)), (6, vec![]));
    // And without the option nothing is remembered.
    let plain = acme.with_agents("Plain", asking(json!(false)), json!({})).await;
    ran(&acme, plain, json!({ "n": 7 })).await;
    assert_eq!(fake.calls().len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_not_remembered_and_an_answer_for_as_long_as_its_node_says() {
    let (address, calls) = counter(1).await;
    let host = address.to_string();
    let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &host)]).await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.workflow("Fetch", any(), fetching(address, json!(2), "continue")).await;
    let failed = ran(&acme, workflow, json!({})).await;
    assert_eq!((failed.output.unwrap_or_default(), calls.load(Ordering::SeqCst)), (Value::Null, 1));
    for _ in 0..2 {
        assert_eq!(ran(&acme, workflow, json!({})).await.output, Some(json!(2)));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the first answer was given twice");
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(ran(&acme, workflow, json!({})).await.output, Some(json!(3)));
    let kept: i64 =
        sqlx::query_scalar("select count(*) from call_cache").fetch_one(world.deps().db.engine()).await.unwrap();
    assert_eq!(kept, 1, "the old answer made room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_something_cannot_be_remembered() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "send", "kind": "tool", "tool": "email_send", "cache": true, "after": ["start"],
          "arguments": { "to": "a@example.com", "subject": "x", "body": "y" } },
        { "id": "end", "kind": "end", "after": ["send"] },
    ]);
    let new = NewWorkflow {
        name: "Send".to_owned(),
        description: String::new(),
        graph: serde_json::from_value(json!({ "nodes": nodes })).unwrap(),
        agents: BTreeMap::new(),
        deploy: true,
    };
    let made = workflows::service::create(&acme.owner.grant().unwrap(), new).await.unwrap();
    assert_eq!(made.deployed_version, None);
}
