//! Where the load happens: an organization with its keys, and a workflow for each shape of run.

use std::{collections::BTreeMap, process::Stdio};

use agentflow::{
    access::{Actor, Ctx, OrgRef, Role},
    agents::AgentConfig,
    db::Db,
    deps::Deps,
    engine::plan::Graph,
    kernel::UserId,
    keys::service::Wish,
    orgs, tools,
    workflows::{self, NewWorkflow},
};
use serde_json::{Value, json};
use server::{State, config::Config, shutdown::Stop};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{model, processes::Settings};

/// A shape of run: what its graph does, and how it must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// Three calls, one after the other.
    Chain,
    /// A model that has a tool called, then a call.
    Agent,
    /// A call for each of five items, three at a time.
    Map,
    /// A call, a pause of some seconds, a call.
    Wait,
    /// A call, a person's decision, the call that was decided.
    Approval,
    /// A call that is answered 429, 500, and then well.
    Flaky,
    /// A call that is never answered well: attempts are spent, the run fails.
    Hopeless,
    /// A call that is refused: no second attempt, the run fails.
    Refused,
    /// A pause that is longer than the run may last.
    Late,
    /// A call that takes as long as the input says.
    Slow,
    /// A call that takes its process down.
    Poison,
    /// Nothing but a decision.
    Gate,
    /// A call that must not be repeated when it is not known whether it happened.
    Once,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Chain,
        Self::Agent,
        Self::Map,
        Self::Wait,
        Self::Approval,
        Self::Flaky,
        Self::Hopeless,
        Self::Refused,
        Self::Late,
        Self::Slow,
        Self::Poison,
        Self::Gate,
        Self::Once,
    ];

    /// How a run of it ends, when nobody stops it.
    pub fn end(self) -> &'static str {
        match self {
            Self::Hopeless | Self::Refused | Self::Late | Self::Poison => "failed",
            _ => "succeeded",
        }
    }

    /// The steps that call the outside.
    pub fn calls(self) -> &'static [&'static str] {
        match self {
            Self::Chain => &["one", "two", "three"],
            Self::Agent => &["think.model1", "think.tool1_1", "think.model2", "last"],
            Self::Map => &["each.0.fetch", "each.1.fetch", "each.2.fetch", "each.3.fetch", "each.4.fetch"],
            Self::Wait => &["before", "after"],
            Self::Approval => &["before", "act"],
            Self::Flaky => &["flaky"],
            Self::Hopeless => &["hopeless"],
            Self::Refused => &["refused"],
            Self::Slow => &["slow"],
            Self::Poison => &["poison"],
            Self::Once => &["once"],
            Self::Late | Self::Gate => &[],
        }
    }

    fn graph(self, tools: &str) -> Value {
        let call = |id: &str, kind: &str, after: &str, more: Value| {
            let mut body = json!({ "run": "{{ run.id }}", "node": id });
            for (name, value) in more.as_object().into_iter().flatten() {
                body[name] = value.clone();
            }
            json!({
                "id": id, "kind": "tool", "tool": "http_request", "after": [after], "timeout_s": 30,
                // Nobody is there to be asked about a call that was there when three processes were killed.
                "on_error": "fail",
                "retry": { "attempts": 4, "backoff_ms": 200, "factor": 1.5, "max_backoff_ms": 1000 },
                "arguments": { "url": format!("http://{tools}/do/{kind}"), "method": "POST", "body": body },
            })
        };
        let none = Value::Null;
        let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
        nodes.extend(match self {
            Self::Chain => vec![
                call("one", "it", "start", none.clone()),
                call("two", "it", "one", none.clone()),
                call("three", "it", "two", none),
            ],
            Self::Agent => {
                let prompt = format!("{}{{{{ run.id }}}}/think , so do it.", model::ABOUT);
                vec![
                    json!({
                        "id": "think", "kind": "agent", "agent": "thinker", "prompt": prompt, "after": ["start"],
                        "on_error": "fail",
                    }),
                    call("last", "it", "think", none),
                ]
            }
            Self::Map => {
                let mut fetch = call("fetch", "it", "x", json!({ "item": "{{ item }}" }));
                fetch.as_object_mut().expect("an object").remove("after");
                vec![json!({
                    "id": "each", "kind": "map", "items": "{{ [1, 2, 3, 4, 5] }}", "concurrency": 3,
                    "nodes": [fetch], "after": ["start"], "on_error": "fail",
                })]
            }
            Self::Wait => vec![
                call("before", "it", "start", none.clone()),
                json!({ "id": "pause", "kind": "wait", "seconds": "{{ input.seconds }}", "after": ["before"] }),
                call("after", "it", "pause", none),
            ],
            Self::Approval => vec![
                call("before", "it", "start", none),
                gate("before"),
                call("act", "it", "gate", json!({ "approved": "{{ steps.gate.output.payload }}" })),
            ],
            Self::Flaky => vec![call("flaky", "it", "start", json!({ "script": [429, 500, 200] }))],
            Self::Hopeless => {
                vec![call("hopeless", "it", "start", json!({ "script": vec![500; 40] }))]
            }
            Self::Refused => vec![call("refused", "it", "start", json!({ "script": vec![404; 40] }))],
            Self::Late => vec![json!({ "id": "pause", "kind": "wait", "seconds": 600, "after": ["start"] })],
            Self::Slow => vec![call("slow", "it", "start", json!({ "ms": "{{ input.ms }}" }))],
            Self::Poison => vec![call("poison", "poison", "start", json!({ "ms": 25_000 }))],
            Self::Gate => vec![gate("start")],
            Self::Once => {
                let mut once = call("once", "it", "start", none);
                once["at_most_once"] = json!(true);
                vec![once]
            }
        });
        let last = nodes.last().expect("a node")["id"].clone();
        nodes.push(json!({
            "id": "end", "kind": "end", "after": [last.clone()],
            "output": format!("{{{{ steps.{}.output }}}}", last.as_str().unwrap_or_default()),
        }));
        let mut graph = json!({ "nodes": nodes });
        if self == Self::Late {
            graph["deadline_s"] = json!(4);
        }
        graph
    }
}

fn gate(after: &str) -> Value {
    json!({
        "id": "gate", "kind": "approval", "title": "May it?", "after": [after],
        "payload": { "run": "{{ run.id }}", "by": "nobody" },
    })
}

/// An organization with keys, and its workflows.
pub struct Place {
    /// The id of each shape's workflow.
    pub workflows: BTreeMap<Shape, String>,
    /// Keys of programs that may start, decide and stop.
    pub keys: Vec<String>,
    /// A key of another organization.
    pub foreign: String,
    /// The other organization's workflow.
    pub foreign_workflow: String,
    /// The organization.
    pub org: agentflow::kernel::OrgId,
}

impl Place {
    /// Makes two organizations through the operator's door, and the workflows through the services.
    pub async fn make(settings: &Settings, deciders: usize) -> Self {
        create_account(settings, "Acme", "ana@example.com").await;
        create_account(settings, "Bravo", "bea@example.com").await;
        let keys = vec![create_key(settings, "acme").await];
        let foreign = create_key(settings, "bravo").await;
        let deps = deps_of(&settings.database_url).await;
        let org = orgs::service::by_slug(&deps, "acme").await.expect("the organization");
        let mut place =
            Self { workflows: BTreeMap::new(), keys, foreign, foreign_workflow: String::new(), org: org.id };
        for number in 1..deciders {
            let wish = Wish { name: format!("decider {number}"), role: "member".to_owned(), days: 1 };
            let key = agentflow::keys::service::create_as_operator(&deps, org.id, &wish).await.expect("a key");
            place.keys.push(key.secret);
        }
        let cx = as_owner(&deps, org);
        for shape in Shape::ALL {
            let id = create_workflow(&cx, shape, &settings.tools).await;
            place.workflows.insert(shape, id);
        }
        let bravo = orgs::service::by_slug(&deps, "bravo").await.expect("the organization");
        place.foreign_workflow = create_workflow(&as_owner(&deps, bravo), Shape::Chain, &settings.tools).await;
        deps.db.close().await;
        place
    }
}

fn as_owner(deps: &Deps, org: OrgRef) -> Ctx {
    let actor = Actor::User { id: UserId::new(), name: "Ana".to_owned() };
    Ctx::new(deps.clone(), actor, org, Role::Owner, "faults".to_owned())
}

async fn create_workflow(cx: &Ctx, shape: Shape, tools: &str) -> String {
    let thinker: AgentConfig = serde_json::from_value(json!({
        "name": "Thinker", "role": "thinker", "instructions": "Think.", "model": "compatible/fake",
        "tools": { "http_request": "allowed" },
    }))
    .expect("an agent");
    let agents = match shape {
        Shape::Agent => BTreeMap::from([("thinker".to_owned(), thinker)]),
        _ => BTreeMap::new(),
    };
    let graph: Graph = serde_json::from_value(shape.graph(tools)).expect("a graph");
    let faults = workflows::service::faults_given(
        &graph,
        &agents.keys().cloned().collect(),
        &tools::built_in(),
        &BTreeMap::new(),
    );
    assert!(faults.is_empty(), "the graph of {shape:?} is not valid: {faults:?}");
    let new = NewWorkflow { name: format!("{shape:?}"), description: String::new(), graph, agents, deploy: true };
    let grant = cx.grant().expect("an owner's right");
    let workflow = workflows::service::create(&grant, new).await.expect("a workflow");
    workflow.id.to_string()
}

/// What operations work with, on the harness's database.
async fn deps_of(url: &str) -> Deps {
    let config = Config::read(&|name| (name == "DATABASE_URL").then(|| url.to_owned())).expect("settings");
    let db = Db::connect(url, 2).await.expect("pools");
    State::new(config, db, Stop::default()).await.expect("state").deps
}

fn admin(settings: &Settings) -> Command {
    let mut command = Command::new(&settings.binary);
    command.arg("admin").env("DATABASE_URL", &settings.database_url).env("AGENTFLOW_LOG", "error");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn create_account(settings: &Settings, organization: &str, email: &str) {
    let mut command = admin(settings);
    command.args(["create-user", "--name", "Ana", "--email", email, "--organization", organization]);
    let mut child = command.spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("its standard input");
    input.write_all(b"correct horse battery staple 7\n").await.expect("written");
    drop(input);
    let output = child.wait_with_output().await.expect("an end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn create_key(settings: &Settings, organization: &str) -> String {
    let mut command = admin(settings);
    command.args(["create-key", "--organization", organization, "--name", "faults"]);
    let output = command.output().await.expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
