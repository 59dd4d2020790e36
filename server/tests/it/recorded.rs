//! One recorded result: whoever reads it, through whichever door, when, and on whichever process, reads the same.
//!
//! The services that the runs call never say the same thing twice. So a step that is done again after its process was
//! killed comes to another result, and one that was recorded a second time is seen by those who read all the while.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use agentflow::{
    access::Role,
    agents::AgentConfig,
    engine::state::RunState,
    kernel::{RunId, WorkflowId},
    workflows::{self, NewWorkflow},
};
use app::runs::api::{FindRun, RunPart, StepPart};
use axum::{Router, routing::get};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};
use server::workers;
use sha2::{Digest, Sha256};

use crate::{
    crash::{Server, client, free_port, scatter},
    fake_model::FakeModel,
    office::{Office, start},
    stream::read_with_cuts,
    world::{ORIGIN, World},
};

/// How often a process is killed while another goes on.
const KILLS: usize = 6;
/// Runs that are started before each of them.
const RUNS: usize = 3;
/// Steps of a run: the start, a call, the agent with two turns and a call, the map with its items and their calls, the
/// end.
const STEPS: usize = 1 + 1 + 4 + 7 + 1;

/// What was read, by what it is of: the hashes, and the doors that each came through.
#[derive(Default)]
struct Readings {
    seen: Mutex<BTreeMap<String, BTreeMap<String, BTreeSet<&'static str>>>>,
    count: AtomicUsize,
}

impl Readings {
    fn note(&self, door: &'static str, of: String, value: &Value) {
        let hash: String = Sha256::digest(value.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        self.count.fetch_add(1, Ordering::Relaxed);
        self.seen.lock().unwrap().entry(of).or_default().entry(hash).or_default().insert(door);
    }

    /// What was read in two ways.
    fn conflicts(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(_, hashes)| hashes.len() > 1).map(|(of, _)| of.clone()).collect()
    }

    /// What came through these doors.
    fn through(&self, doors: &[&'static str]) -> usize {
        let all = |hashes: &BTreeMap<String, BTreeSet<&str>>| {
            doors.iter().all(|door| hashes.values().any(|came| came.contains(door)))
        };
        self.seen.lock().unwrap().values().filter(|hashes| all(hashes)).count()
    }

    /// How a step ended: as much of its result as its event has.
    fn note_end(&self, door: &'static str, run: &str, step: &Value, cost: &Value) {
        let (usage, id) = (&step["usage"], step["id"].as_str().unwrap());
        let end = json!([step["attempt"], usage["tokens_in"], usage["tokens_out"], cost]);
        self.note(door, format!("{run}/{id} at its end"), &end);
    }
}

/// The output that a part of a page shows, as its button copies it. A text is copied as it is, all else as JSON.
pub fn output_in(part: &Value) -> Value {
    let html = part.as_str().expect("a part");
    let Some((_, output)) = html.split_once("<h3>Output</h3>") else { panic!("no output: {html}") };
    let Some((shown, rest)) = output.split("<h3>").next().and_then(|own| own.split_once("data-copy=\"")) else {
        return Value::Null;
    };
    let (text, _) = rest.split_once('"').expect("the end of the attribute");
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    match shown.contains("class=\"j-") || text == "[]" || text == "{}" {
        true => serde_json::from_str(&text).expect("JSON"),
        false => Value::String(text),
    }
}

/// Who reads at one process: a program with its key, a person with their cookie.
#[derive(Clone)]
struct Reader {
    http: reqwest::Client,
    base: String,
    org: String,
    key: String,
    cookie: String,
}

impl Reader {
    async fn ask(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Value {
        loop {
            let reply = request().send().await.expect("an answer");
            // All connections are in use: one asks again.
            if reply.status() != 503 {
                assert_eq!(reply.status(), 200, "{}", reply.url().to_owned());
                return reply.json().await.expect("JSON");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(|| self.http.get(format!("{}/api/v1/runs/{path}", self.base)).bearer_auth(&self.key)).await
    }

    async fn call<F: ServerFn>(&self, run: &str, rest: &[(&str, &str)]) -> Value {
        let fields = [("org", self.org.as_str()), ("run", run)];
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).extend_pairs(rest).finish();
        let post = || {
            let post = self.http.post(format!("{}{}", self.base, F::PATH)).header("cookie", &self.cookie);
            let post = post.header("sec-fetch-site", "same-origin").header("origin", ORIGIN);
            let post = post.header("accept", "application/json");
            post.header("content-type", "application/x-www-form-urlencoded").body(form.clone())
        };
        self.ask(post).await
    }

    async fn by_rest(&self, run: &str, readings: &Readings) {
        let found = self.get(run).await;
        if found["state"] == "succeeded" {
            readings.note("rest", run.to_owned(), &found["output"]);
        }
        let steps = self.get(&format!("{run}/steps?limit=200")).await;
        for step in succeeded(&steps["items"]) {
            readings.note_end("rest", run, step, &step["usage"]["cost_micros"]);
            let id = step["id"].as_str().unwrap();
            let whole = self.get(&format!("{run}/steps/{id}")).await;
            readings.note("rest", format!("{run}/{id}"), &whole["output"]);
        }
    }

    async fn by_page(&self, run: &str, readings: &Readings) {
        let found = self.call::<FindRun>(run, &[]).await;
        let detail = &found["detail"];
        if detail["view"]["state"] == "succeeded" {
            for full in ["false", "true"] {
                let part = self.call::<RunPart>(run, &[("full", full)]).await;
                readings.note("page", run.to_owned(), &output_in(&part));
            }
        }
        for step in succeeded(&detail["view"]["steps"]) {
            readings.note_end("page", run, step, &step["usage"]["cost"]);
            let id = step["id"].as_str().unwrap();
            for full in ["false", "true"] {
                let part = self.call::<StepPart>(run, &[("step", id), ("tab", "io"), ("full", full)]).await;
                readings.note("page", format!("{run}/{id}"), &output_in(&part));
            }
        }
    }

    /// Reads a run's events to their end, over connections that are cut. Gives how often its node was lost.
    async fn by_stream(self, run: RunId, readings: Arc<Readings>, seed: u64) -> usize {
        let events = read_with_cuts(self.http, self.base, run, self.key, seed).await;
        let (mut done, mut lost) = (BTreeSet::new(), 0);
        for came in &events {
            let data: Value = serde_json::from_str(&came.data).unwrap();
            lost += usize::from(came.name == "run.resumed" && data["recovered"] == true);
            if came.name == "step.succeeded" {
                let id = data["step"]["id"].as_str().unwrap();
                assert!(done.insert(id.to_owned()), "{run}: {id} succeeded twice");
                let step = json!({ "id": id, "attempt": data["attempt"], "usage": data["usage"] });
                readings.note_end("stream", &run.to_string(), &step, &data["usage"]["cost"]);
            }
        }
        assert_eq!(events.last().map(|event| event.name.as_str()), Some("run.succeeded"));
        lost
    }
}

fn succeeded(steps: &Value) -> impl Iterator<Item = &Value> {
    steps.as_array().unwrap().iter().filter(|step| step["state"] == "succeeded")
}

/// Somebody else's service that takes its time, and never says the same thing twice.
async fn fickle() -> std::net::SocketAddr {
    let next = Arc::new(AtomicUsize::new(0));
    let answer = move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(120)).await;
            axum::Json(json!({ "number": number }))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/next", get(answer))).await });
    address
}

/// Calls out, has an agent call out, calls out for each of three items, and ends with what came of it all.
async fn workflow(office: &Office, sink: std::net::SocketAddr) -> WorkflowId {
    let url = format!("http://{sink}/next");
    let call = json!({ "kind": "tool", "tool": "http_request", "arguments": { "url": url } });
    let with = |more: Value| {
        let mut node = call.clone();
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        node
    };
    let graph = json!({ "nodes": [
        start(),
        with(json!({ "id": "first", "after": ["start"] })),
        { "id": "think", "kind": "agent", "agent": "thinker", "after": ["first"],
          "prompt": format!("tool: http_request {}", json!({ "url": url })) },
        { "id": "each", "kind": "map", "items": "{{ [1, 2, 3] }}", "concurrency": 2, "after": ["think"],
          "nodes": [with(json!({ "id": "fetch" }))] },
        { "id": "end", "kind": "end", "after": ["each"],
          "output": ["{{ steps.first.output }}", "{{ steps.think.output }}", "{{ steps.each.output }}"] },
    ]});
    let agent: AgentConfig = serde_json::from_value(json!({
        "name": "Thinker", "role": "thinker", "instructions": "Think.", "model": "compatible/fake",
        "tools": { "http_request": "allowed" },
    }))
    .unwrap();
    let new = NewWorkflow {
        name: "Recorded".to_owned(),
        description: String::new(),
        graph: serde_json::from_value(graph).unwrap(),
        agents: BTreeMap::from([("thinker".to_owned(), agent)]),
        deploy: true,
    };
    let workflow = workflows::service::create(&office.owner.grant().unwrap(), new).await.unwrap();
    assert_eq!(workflow.deployed_version, Some(1), "the graph is valid");
    workflow.id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_recorded_is_the_same_for_everybody_who_reads_it() {
    let seed = 20_261_122;
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let office = Office::of(&world, &ada.org).await;
    let (sink, model) = (fickle().await, FakeModel::start().await);
    let workflow = workflow(&office, sink).await;
    let cookies: Vec<String> = ada.client.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
    // This process only answers: other ones work, and are killed.
    workers::spawn(&world.state, workers::Role::Web, &world.state.stop);
    let reader = Reader {
        http: client(),
        base: world.serve().await,
        org: ada.org.clone(),
        key: office.key(Role::Viewer).await,
        cookie: cookies.join("; "),
    };
    let node = async || Server::start(&world, free_port().await, sink, &model.base_url()).await;
    let mut nodes = [node().await, node().await].map(Some);
    let (readings, ended) = (Arc::new(Readings::default()), Arc::new(AtomicBool::new(false)));
    let runs: Arc<Mutex<Vec<RunId>>> = Arc::default();
    let all = |runs: &Mutex<Vec<RunId>>| -> Vec<String> { runs.lock().unwrap().iter().map(RunId::to_string).collect() };
    let readers: Vec<_> = (0..8)
        .map(|number| {
            let (reader, readings, ended, runs) = (reader.clone(), readings.clone(), ended.clone(), runs.clone());
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    for run in all(&runs) {
                        match number % 2 {
                            0 => reader.by_rest(&run, &readings).await,
                            _ => reader.by_page(&run, &readings).await,
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    let mut streams = Vec::new();
    for kill in 0..KILLS {
        for _ in 0..RUNS {
            let run = office.start(workflow, json!({})).await;
            runs.lock().unwrap().push(run);
            for number in 0..2 {
                streams.push(tokio::spawn(reader.clone().by_stream(run, readings.clone(), seed + number)));
            }
        }
        tokio::time::sleep(Duration::from_millis(100 + scatter(seed, kill) % 500)).await;
        let place = &mut nodes[kill % 2];
        place.take().unwrap().kill().await;
        *place = Some(node().await);
    }
    let started: Vec<RunId> = runs.lock().unwrap().clone();
    for run in &started {
        office.until(*run, RunState::Succeeded).await;
    }
    ended.store(true, Ordering::Relaxed);
    for task in readers {
        task.await.unwrap();
    }
    let mut lost = 0;
    for stream in streams {
        lost += stream.await.unwrap();
    }
    // A process that was not there when it happened, and this one once more.
    let late = node().await;
    let late = (Reader { base: late.url(""), ..reader.clone() }, late);
    for reader in [&late.0, &reader] {
        for run in all(&runs) {
            reader.by_rest(&run, &readings).await;
            reader.by_page(&run, &readings).await;
        }
    }
    let results = started.len() * (STEPS + 1);
    assert_eq!(readings.conflicts(), Vec::<String>::new(), "seed {seed}");
    assert_eq!(readings.through(&["rest", "page"]), results + started.len() * STEPS, "seed {seed}");
    assert_eq!(readings.through(&["rest", "page", "stream"]), started.len() * STEPS, "seed {seed}");
    assert!(lost > 0, "seed {seed}: no run was taken over");
    println!(
        "runs {} · results {results} · readings {} · kills {KILLS} · taken over {} · conflicting 0 · seed {seed}",
        started.len(),
        readings.count.load(Ordering::Relaxed),
        lost / 2,
    );

    // A result that is another one afterwards would have been seen.
    let change = "update steps set output = '\"another\"' where run_id = $1 and id = 'first'";
    sqlx::query(change).bind(started[0]).execute(&mut world.owner().await).await.unwrap();
    reader.by_rest(&started[0].to_string(), &readings).await;
    assert_eq!(readings.conflicts(), [format!("{}/first", started[0])]);
}
