//! The built server, killed: `kill -9` at moments that a seed chooses, while runs go on. What was accepted is found again,
//! each run ends, and nothing is asked for again once its result is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use agentflow::{
    access::{Actor, Ctx, Role},
    accounts::service::NewAccount,
    agents::AgentConfig,
    kernel::{RunId, UserId},
    keys::service::Wish,
    workflows::{self, NewWorkflow},
};
use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{fake_model::FakeModel, world::World};

/// How often the server is killed.
const KILLS: usize = 8;
/// Runs that are started while it is being killed.
const RUNS: usize = 24;

/// Somebody else's service that counts what reaches it, before it answers.
#[derive(Clone, Default)]
struct Sink {
    calls: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    async fn serve(&self) -> std::net::SocketAddr {
        async fn take(State(sink): State<Sink>, headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
            let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
            sink.calls.lock().unwrap().push(key);
            tokio::time::sleep(Duration::from_millis(60)).await;
            Json(body)
        }
        let router = Router::new().route("/take", post(take)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for key in self.calls.lock().unwrap().iter() {
            *counts.entry(key.clone()).or_default() += 1;
        }
        counts
    }
}

/// What the other side saw, by the key of the step that asked for it.
fn seen(sink: &Sink, model: &FakeModel) -> BTreeMap<String, usize> {
    let mut counts = sink.counts();
    for call in model.calls() {
        // A model is told no key, but each run asks it one thing and names itself.
        let asked = call.body["messages"].to_string();
        let (_, about) = asked.split_once("About ").unwrap();
        let run = about.split('"').next().unwrap();
        *counts.entry(format!("{run}/think.model1")).or_default() += 1;
    }
    counts
}

/// The steps whose result is recorded, by their keys.
async fn recorded(world: &World) -> Vec<String> {
    let steps: Vec<(uuid::Uuid, String)> = sqlx::query_as("select run_id, id from steps where state = 'succeeded'")
        .fetch_all(world.deps().db.engine())
        .await
        .unwrap();
    steps.into_iter().map(|(run, step)| format!("{}/{step}", RunId::from_uuid(run))).collect()
}

/// The built binary as a process of its own.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub async fn start(world: &World, port: u16, sink: std::net::SocketAddr, model: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_agentflow"))
            .env("DATABASE_URL", world.database_url())
            .env("AGENTFLOW_ADDRESS", format!("127.0.0.1:{port}"))
            .env("AGENTFLOW_LEASE_MS", "1500")
            .env("AGENTFLOW_HEARTBEAT_MS", "400")
            .env("AGENTFLOW_REAPER_MS", "300")
            // Killed this often, a call may well be there each time, and is innocent.
            .env("AGENTFLOW_POISON_CRASHES", "1000")
            .env("AGENTFLOW_DATABASE_CONNECTIONS", "6")
            .env("AGENTFLOW_ALLOWED_HOSTS", sink.to_string())
            .env("AGENTFLOW_MODEL_BASE_URL", model)
            .env("AGENTFLOW_MODELS", "fake")
            .env("AGENTFLOW_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let server = Self { child, port };
        let client = client();
        for _ in 0..200 {
            let ready = client.get(server.url("/health/ready")).send().await;
            if ready.is_ok_and(|reply| reply.status().is_success()) {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server was not ready within 10 seconds");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// SIGKILL: no word of farewell.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own client, to a server of its own")]
pub fn client() -> reqwest::Client {
    reqwest::Client::new()
}

pub async fn free_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// An organization with a workflow that calls out, thinks, calls out for each of three items, and waits a moment.
async fn prepare(world: &World, sink: std::net::SocketAddr) -> (String, String) {
    let deps = world.deps().clone();
    let account = NewAccount {
        name: "Ana".to_owned(),
        email: "ana@example.com".to_owned(),
        password: crate::people::PASSWORD.to_owned(),
        organization: "Acme".to_owned(),
    };
    let org = agentflow::accounts::service::create(&deps, account).await.unwrap();
    let actor = Actor::User { id: UserId::new(), name: "Ana".to_owned() };
    let ctx = Ctx::new(deps.clone(), actor, org.clone(), Role::Owner, "test".to_owned());
    let call = |id: &str, after: &str| {
        json!({
            "id": id, "kind": "tool", "tool": "http_request", "after": [after],
            "arguments": { "url": format!("http://{sink}/take"), "method": "POST", "body": { "run": "{{ run.id }}" } },
        })
    };
    let mut inner = call("fetch", "x");
    inner.as_object_mut().unwrap().remove("after");
    let graph = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        call("first", "start"),
        { "id": "think", "kind": "agent", "agent": "thinker", "prompt": "About {{ run.id }}", "after": ["first"] },
        { "id": "each", "kind": "map", "items": "{{ [1, 2, 3] }}", "concurrency": 2, "nodes": [inner], "after": ["think"] },
        { "id": "pause", "kind": "wait", "seconds": 1, "after": ["each"] },
        call("last", "pause"),
        { "id": "end", "kind": "end", "output": "{{ steps.think.output }}", "after": ["last"] },
    ]});
    let agent: AgentConfig = serde_json::from_value(json!({
        "name": "Thinker", "role": "thinker", "instructions": "Think.", "model": "compatible/fake",
    }))
    .unwrap();
    let new = NewWorkflow {
        name: "Crash".to_owned(),
        description: String::new(),
        graph: serde_json::from_value(graph).unwrap(),
        agents: BTreeMap::from([("thinker".to_owned(), agent)]),
        deploy: true,
    };
    let workflow = workflows::service::create(&ctx.grant().unwrap(), new).await.unwrap();
    assert_eq!(workflow.deployed_version, Some(1), "the graph is valid");
    let wish = Wish { name: "test".to_owned(), role: "member".to_owned(), days: 1 };
    let key = agentflow::keys::service::create_as_operator(&deps, org.id, &wish).await.unwrap();
    (workflow.id.to_string(), key.secret)
}

/// A number that looks random and is the same for the same seed.
pub fn scatter(seed: u64, place: usize) -> u64 {
    agentflow::engine::retry::scramble(seed.wrapping_add(place as u64))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_pays_for_nothing_twice() {
    let seed = 20_261_120;
    let world = World::new().await;
    let sink = Sink::default();
    let address = sink.serve().await;
    let model = FakeModel::start().await;
    let (workflow, key) = prepare(&world, address).await;
    let port = free_port().await;
    let client = client();
    let mut server = Server::start(&world, port, address, &model.base_url()).await;
    let mut accepted = BTreeSet::new();
    // How often an effect had been seen at the first kill after its result was recorded.
    let mut settled: BTreeMap<String, usize> = BTreeMap::new();
    for kill in 0..KILLS {
        for place in 0..RUNS / KILLS {
            // The same key until there is an answer: a start whose answer was lost is not a second run.
            let token = format!("start-{kill}-{place}");
            let reply = client
                .post(server.url(&format!("/api/v1/workflows/{workflow}/run")))
                .bearer_auth(&key)
                .header("idempotency-key", token)
                .json(&json!({ "input": {} }))
                .send()
                .await
                .expect("accepted");
            assert_eq!(reply.status(), 202, "{}", reply.text().await.unwrap());
            let run: Value = reply.json().await.unwrap();
            accepted.insert(run["id"].as_str().unwrap().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(scatter(seed, kill) % 900)).await;
        server.kill().await;
        let seen = seen(&sink, &model);
        for step in recorded(&world).await {
            if let Some(count) = seen.get(&step) {
                settled.entry(step).or_insert(*count);
            }
        }
        server = Server::start(&world, port, address, &model.base_url()).await;
    }
    let get = |path: String| {
        let request = client.get(server.url(&path)).bearer_auth(&key);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let mut attempts: BTreeMap<String, u64> = BTreeMap::new();
    for run in &accepted {
        let ended = loop {
            let found = get(format!("/api/v1/runs/{run}")).await;
            match found["state"].as_str() {
                Some("succeeded") => break found,
                Some("failed" | "cancelled") | None => panic!("seed {seed}: {run} is {found}"),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        assert_eq!(ended["output"], format!("About {run}"), "seed {seed}");
        let steps = get(format!("/api/v1/runs/{run}/steps?limit=200")).await;
        for step in steps["items"].as_array().unwrap() {
            assert_eq!(step["state"], "succeeded", "seed {seed}: {step}");
            let kind = step["kind"].as_str().unwrap();
            if kind == "model" || kind == "tool" {
                attempts.insert(format!("{run}/{}", step["id"].as_str().unwrap()), step["attempt"].as_u64().unwrap());
            }
        }
    }
    // Each effect happened, and no more often than its own step was begun: again only where an attempt was cut off.
    let seen = seen(&sink, &model);
    assert_eq!(attempts.len(), accepted.len() * 6, "seed {seed}: five calls and a model's for each run");
    assert_eq!(
        seen.keys().collect::<Vec<_>>(),
        attempts.keys().collect::<Vec<_>>(),
        "seed {seed}: each effect happened"
    );
    for (step, count) in &seen {
        assert!(
            *count as u64 <= attempts[step],
            "seed {seed}: {step} was seen {count} times, begun {} times",
            attempts[step]
        );
    }
    // What was recorded before a kill was not asked for after it.
    for (step, count) in &settled {
        assert_eq!(seen[step], *count, "seed {seed}: {step} was recorded, and asked for again");
    }
    let retried = attempts.values().filter(|attempts| **attempts > 1).count();
    let repeated = seen.values().filter(|count| **count > 1).count();
    println!(
        "runs {} · kills {KILLS} · lost 0 · effects {} · recorded before a kill {} · steps tried again {retried} · \
         effects seen twice {repeated} · seed {seed}",
        accepted.len(),
        seen.len(),
        settled.len(),
    );
    server.kill().await;
}
