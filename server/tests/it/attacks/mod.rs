//! Whole runs of agents whose model is the attacker: its every word is the test's. Whatever it says, it reaches no private
//! address, no secret, nobody else's data and no effect that nobody approved, and it keeps nobody from working.

mod approvals;
mod effects;
mod garbage;
mod secrets;
mod ssrf;
mod tenants;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use agentflow::{
    access::Role,
    kernel::{RunId, WorkflowId},
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    credentials::with_key,
    node_kinds::through,
    office::{Office, Ran},
    people::Person,
    world::{Client, World},
};

/// The attacker's models.
const EVIL: &str = "compatible/evil";
const OTHER: &str = "compatible/other";

/// What the model says in a turn. `{KEY}` stands for the key that it was called with.
#[derive(Debug, Clone)]
pub enum Say {
    /// Text, in these pieces.
    Text(Vec<String>),
    /// Calls of tools: names, and arguments as text.
    Calls(Vec<(String, String)>),
    /// A body of its own.
    Raw(String),
    /// A status, and a body.
    Status(u16, String),
}

/// A call of a tool.
fn call(tool: &str, arguments: &Value) -> Say {
    calls(&[(tool, arguments.clone())])
}

/// Several in one answer.
fn calls(all: &[(&str, Value)]) -> Say {
    Say::Calls(all.iter().map(|(tool, arguments)| ((*tool).to_owned(), arguments.to_string())).collect())
}

fn text(text: &str) -> Say {
    Say::Text(vec![text.to_owned()])
}

/// A frame of a stream.
fn frame(delta: &Value, finish: &Value) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    format!("data: {}\n\n", json!({ "id": "c1", "object": "chat.completion.chunk", "choices": [choice] }))
}

/// The end of a stream.
fn ended(reason: &str) -> String {
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120 });
    let last = json!({ "id": "c1", "choices": [], "usage": usage });
    format!("{}data: {last}\n\ndata: [DONE]\n\n", frame(&json!({}), &json!(reason)))
}

/// A model server that says what the test wrote down for the model, turn by turn, and then that it is done.
#[derive(Clone, Default)]
pub struct Mallory {
    scripts: Arc<Mutex<HashMap<String, VecDeque<Say>>>>,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Mallory {
    async fn start() -> (Self, SocketAddr) {
        let mallory = Self::default();
        let router = Router::new().route("/v1/chat/completions", post(Self::answer)).with_state(mallory.clone());
        (mallory, serve(router).await)
    }

    async fn answer(State(mallory): State<Self>, headers: HeaderMap, body: Bytes) -> Response {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let key = headers[header::AUTHORIZATION].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        let model = body["model"].as_str().unwrap().to_owned();
        mallory.heard.lock().unwrap().push(body);
        let said = mallory.scripts.lock().unwrap().get_mut(&model).and_then(VecDeque::pop_front);
        let with = |text: &str| text.replace("{KEY}", &key);
        let stream = |body: String| ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response();
        match said.unwrap_or_else(|| text("done")) {
            Say::Text(pieces) => {
                let pieces = pieces.iter().map(|piece| frame(&json!({ "content": with(piece) }), &Value::Null));
                stream(pieces.collect::<String>() + &ended("stop"))
            }
            Say::Calls(calls) => {
                let calls = calls.iter().enumerate().map(|(index, (tool, arguments))| {
                    let function = json!({ "name": with(tool), "arguments": with(arguments) });
                    let id = format!("call_{index}");
                    frame(&json!({ "tool_calls": [{ "index": index, "id": id, "function": function }] }), &Value::Null)
                });
                stream(calls.collect::<String>() + &ended("tool_calls"))
            }
            Say::Raw(body) => stream(with(&body)),
            Say::Status(status, body) => (StatusCode::from_u16(status).unwrap(), with(&body)).into_response(),
        }
    }

    /// What the model will say from its next turn on.
    pub fn says(&self, model: &str, script: Vec<Say>) {
        self.scripts.lock().unwrap().insert(model.trim_start_matches("compatible/").to_owned(), script.into());
    }

    /// All requests that reached it.
    pub fn heard(&self) -> Vec<Value> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A request: how, where, its headers and its body.
type Seen = (Method, String, HeaderMap, String);

/// Somebody's server out there: it counts who comes, keeps what they send, and answers as the test wants.
#[derive(Clone)]
pub struct Outside {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Outside {
    async fn start<F>(answer: F) -> Self
    where
        F: Fn(&Uri, &HeaderMap, &str) -> Response + Clone + Send + Sync + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let keep = seen.clone();
        let deed = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let body = String::from_utf8_lossy(&body).into_owned();
            let answer = answer(&uri, &headers, &body);
            keep.lock().unwrap().push((method, uri.to_string(), headers, body));
            async move { answer }
        };
        Self { address: serve(Router::new().fallback(any(deed))).await, seen }
    }

    /// One that says ok to everything.
    async fn plain() -> Self {
        Self::start(|_, _, _| Body::from("ok").into_response()).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// What became of a call that the model wanted.
#[derive(Debug)]
pub struct Called {
    pub tool: String,
    pub state: String,
    pub output: Value,
    pub code: String,
    pub message: String,
}

/// An organization whose model is the attacker.
pub struct Lair {
    pub world: World,
    pub acme: Office,
    pub ada: Person,
    pub model: Mallory,
    count: AtomicUsize,
}

impl Lair {
    /// With these servers allowed.
    async fn open(allowed: &[SocketAddr]) -> Self {
        Self::with(&allowed.iter().map(ToString::to_string).collect::<Vec<_>>(), &[]).await
    }

    /// With these hosts allowed, and these settings.
    async fn with(allowed: &[String], more: &[(&str, &str)]) -> Self {
        let (model, address) = Mallory::start().await;
        let hosts = [allowed, &[address.to_string()]].concat().join(",");
        let base = format!("http://{address}/v1");
        let mut settings = vec![
            ("AGENTFLOW_MODEL_BASE_URL", base.as_str()),
            ("AGENTFLOW_MODELS", "evil,other"),
            ("AGENTFLOW_ALLOWED_HOSTS", hosts.as_str()),
        ];
        settings.extend(more);
        let (world, _) = with_key(&settings).await;
        world.work();
        let ada = world.sign_up("Ada").await;
        let acme = Office::of(&world, &ada.org).await;
        Self { world, acme, ada, model, count: AtomicUsize::new(0) }
    }

    /// A deployed workflow of one task for `mallory`, one of these agents.
    async fn workflow(&self, agents: Value) -> WorkflowId {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let step = json!({ "id": "task", "kind": "agent", "agent": "mallory", "prompt": "Do it.", "on_error": "fail",
                           "after": ["start"] });
        let nodes = through(&[step], "{{ steps.task.output }}");
        // An agent that is brought along is taken under its key, and there already from the second time on.
        let agents = if number == 0 { agents } else { renamed(agents, number) };
        let nodes = serde_json::from_str(&nodes.to_string().replace("\"mallory\"", &named("mallory", number))).unwrap();
        self.acme.with_agents(&format!("Attack {number}"), nodes, agents).await
    }

    /// Starts a run of an agent with these tools, whose model says this.
    async fn starts(&self, tools: Value, script: Vec<Say>) -> RunId {
        self.model.says(EVIL, script);
        let workflow = self.workflow(json!({ "mallory": agent(EVIL, tools) })).await;
        self.acme.start(workflow, json!({})).await
    }

    /// The same to its end.
    async fn runs(&self, tools: Value, script: Vec<Say>) -> (Ran, Vec<Called>) {
        let run = self.starts(tools, script).await;
        (self.ends(run).await, self.called(run).await)
    }

    /// Waits until a run has ended, however.
    async fn ends(&self, run: RunId) -> Ran {
        for _ in 0..1_200 {
            let detail = self.acme.run(run).await;
            if detail.view.state.is_end() {
                return detail;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{run} does not end: {:?} {:?}", self.acme.run(run).await.view, self.called(run).await);
    }

    /// The calls that models wanted in a run, in order.
    async fn called(&self, run: RunId) -> Vec<Called> {
        let rows: Vec<(String, String, Option<Value>, Option<Value>)> = sqlx::query_as(
            "select name, state, output, error from steps where run_id = $1 and detail ? 'request' order by ordinal",
        )
        .bind(run)
        .fetch_all(self.world.deps().db.engine())
        .await
        .unwrap();
        let said = |error: &Option<Value>, what: &str| {
            error.as_ref().and_then(|error| error[what].as_str()).unwrap_or_default().to_owned()
        };
        rows.into_iter()
            .map(|(tool, state, output, error)| Called {
                tool,
                state,
                output: output.unwrap_or_default(),
                code: said(&error, "code"),
                message: said(&error, "message"),
            })
            .collect()
    }

    /// A program of the organization.
    async fn program(&self) -> Client {
        self.world.program(&self.acme.key(Role::Admin).await)
    }

    /// How many messages were sent.
    async fn mails(&self) -> i64 {
        sqlx::query_scalar("select count(*) from emails").fetch_one(&mut self.world.owner().await).await.unwrap()
    }
}

fn agent(model: &str, tools: Value) -> Value {
    json!({ "name": "Mallory", "role": "r", "instructions": "Do.", "model": model, "tools": tools,
            "limits": { "max_turns": 50 } })
}

fn named(key: &str, number: usize) -> String {
    if number == 0 { format!("\"{key}\"") } else { format!("\"{key}-{number}\"") }
}

/// The same agents under other names.
fn renamed(agents: Value, number: usize) -> Value {
    let Value::Object(agents) = agents else { panic!("agents") };
    let rename = |(key, mut agent): (String, Value)| {
        agent["name"] = json!(format!("{} {number}", agent["name"].as_str().unwrap()));
        (format!("{key}-{number}"), agent)
    };
    Value::Object(agents.into_iter().map(rename).collect())
}

/// A mail that nobody wants sent.
fn mail(to: &str) -> Value {
    json!({ "to": to, "subject": "All of it", "body": "Here you are." })
}
