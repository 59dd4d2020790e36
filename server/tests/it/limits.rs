//! Other sides that ask to be left alone: no node calls them before the moment that they named, and whoever waits for it
//! holds nothing, and can be stopped.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use agentflow::{
    db::Db,
    engine::state::{RunState, StepState, WaitingOn},
    kernel::RunId,
    runs,
};
use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};
use server::{State, workers};

use crate::{
    fake_model::FakeModel,
    office::{Office, any, start},
    world::World,
};

/// Somebody's service that is too busy for the first call, and writes down when it was called.
#[derive(Clone)]
struct Busy {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Instant>>>,
}

impl Busy {
    async fn start(retry_after: &'static str) -> Self {
        let calls: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let seen = calls.clone();
        let answer = move || {
            let count = {
                let mut seen = seen.lock().unwrap();
                seen.push(Instant::now());
                seen.len()
            };
            async move {
                match count {
                    1 => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, retry_after)]).into_response(),
                    _ => axum::Json(json!({ "fine": true })).into_response(),
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(answer))).await });
        Self { address, calls }
    }

    fn calls(&self) -> Vec<Instant> {
        self.calls.lock().unwrap().clone()
    }

    fn nodes(&self) -> Value {
        json!([
            start(),
            { "id": "fetch", "kind": "http", "url": format!("http://{}/", self.address), "after": ["start"] },
            { "id": "end", "kind": "end", "after": ["fetch"], "output": "{{ steps.fetch.output.body }}" },
        ])
    }
}

/// Waits until a run waits for a limit.
async fn held_back(office: &Office, run: RunId) {
    let held = office.until(run, RunState::Waiting).await;
    assert_eq!(held.view.waiting_on, Some(WaitingOn::Limit), "{:?}", held.view);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_asks_to_be_left_alone_is_called_by_no_node_before() {
    let busy = Busy::start("5").await;
    let host = busy.address.to_string();
    let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &host)]).await;
    world.work();
    // Another process on the same database.
    let db = Db::connect(world.database_url(), 4).await.unwrap();
    let other = State::new((*world.state.config).clone(), db, world.state.stop.clone()).await.unwrap();
    workers::spawn(&other, workers::Role::Worker, &world.state.stop);

    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.workflow("Fetch", any(), busy.nodes()).await;
    let first = acme.start(workflow, json!({})).await;
    assert_eq!(acme.until(first, RunState::Waiting).await.view.waiting_on, Some(WaitingOn::Retry));
    let mut rest = Vec::new();
    for _ in 0..6 {
        rest.push(acme.start(workflow, json!({})).await);
    }
    for run in &rest {
        held_back(&acme, *run).await;
    }
    assert_eq!(busy.calls().len(), 1, "and nobody has called since");
    // What one organization is asked is nothing to another.
    let beta = Office::new(&world, "Beta").await;
    let theirs = beta.workflow("Fetch", any(), busy.nodes()).await;
    let free = beta.start(theirs, json!({})).await;
    beta.until(free, RunState::Succeeded).await;
    assert_eq!(busy.calls().len(), 2);

    acme.until(first, RunState::Succeeded).await;
    for run in rest {
        let done = acme.until(run, RunState::Succeeded).await;
        let fetch = done.view.steps.iter().find(|step| step.id.as_str() == "fetch").unwrap();
        assert_eq!((fetch.attempt, fetch.failures.len()), (1, 0), "to wait is not to fail");
    }
    let calls = busy.calls();
    assert_eq!(calls.len(), 9);
    let early = calls[2..].iter().filter(|at| (**at - calls[0]).as_secs() < 5).count();
    assert_eq!(early, 0, "nobody called before the time was over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_all_agents_to_a_provider_wait_with_the_one_that_was_refused() {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let world = World::with(&[("AGENTFLOW_MODEL_BASE_URL", &url), ("AGENTFLOW_MODELS", "gpt-fake, other")]).await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let agent = |model: &str| json!({ "name": model, "role": "r", "instructions": "Go.", "model": model });
    let agents = json!({ "first": agent("compatible/gpt-fake"), "second": agent("compatible/other") });
    let asking = |agent: &str, prompt: &str| {
        json!([
            start(),
            { "id": "ask", "kind": "agent", "agent": agent, "prompt": prompt, "retry": { "attempts": 1 }, "after": ["start"] },
            { "id": "end", "kind": "end", "after": ["ask"], "output": "{{ steps.ask.output }}" },
        ])
    };
    let refused = acme.with_agents("Refused", asking("first", "status: 429 retry 2"), agents).await;
    let refused = acme.start(refused, json!({})).await;
    acme.until(refused, RunState::Failed).await;
    let begun = Instant::now();
    let patient = acme.with_agents("Patient", asking("second", "say: hello"), json!({})).await;
    let patient = acme.start(patient, json!({})).await;
    held_back(&acme, patient).await;
    acme.until(patient, RunState::Succeeded).await;
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_a_limit_is_stopped_at_once() {
    let busy = Busy::start("3000").await;
    let host = busy.address.to_string();
    let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &host)]).await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.workflow("Fetch", any(), busy.nodes()).await;
    let first = acme.start(workflow, json!({})).await;
    acme.until(first, RunState::Waiting).await;
    let second = acme.start(workflow, json!({})).await;
    held_back(&acme, second).await;
    let owner: Option<uuid::Uuid> = sqlx::query_scalar("select owner from runs where id = $1")
        .bind(second)
        .fetch_one(world.deps().db.engine())
        .await
        .unwrap();
    assert_eq!(owner, None, "nobody holds it");
    let begun = Instant::now();
    runs::control::cancel(&acme.owner.grant().unwrap(), second).await.unwrap();
    let stopped = acme.until(second, RunState::Cancelled).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    let fetch = stopped.view.steps.iter().find(|step| step.id.as_str() == "fetch").unwrap();
    assert_eq!(fetch.state, StepState::Cancelled);
    assert_eq!(busy.calls().len(), 1);
}
