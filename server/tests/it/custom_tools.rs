//! REST tools that an organization makes: what is kept, who may, what a run calls, and that no argument and no redirect
//! leads where the tool's maker did not mean to go.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use agentflow::{
    access::{Ctx, Role},
    effects::Performer,
    engine::{
        plan::{ToolEffect, ToolSource},
        port::{Answer, Call, CallScope, Effects, ToolCall},
        state::{ErrorClass, RunState, StepError},
    },
    kernel::{CredentialId, Kind, Money},
    tools::{
        self,
        custom::{CustomTool, CustomToolConfig, Entry, Method, service},
    },
};
use app::tools::api::{CreateTool, DeployTool, ListTools, LoadTool, TestTool};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method as Verb, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
    routing::any,
};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    fake_model::FakeModel,
    models::scope,
    node_kinds::through,
    office::{Office, any as any_input},
    people::Person,
    spending::budget,
    vectors::{self, Canaries, Flaw},
    world::World,
};

/// A request: how, where, its headers and its body.
type Seen = (Verb, String, HeaderMap, String);

/// A server that tells back what it was sent: `/status/404` with that status, `/to?u=…` leads there.
#[derive(Clone, Default)]
struct Crm {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Crm {
    async fn start() -> (Self, SocketAddr) {
        let crm = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keep = crm.clone();
        let answer = move |method: Verb, uri: Uri, headers: HeaderMap, body: Bytes| {
            let body = String::from_utf8_lossy(&body).into_owned();
            keep.seen.lock().unwrap().push((method.clone(), uri.to_string(), headers, body.clone()));
            async move { Self::answer(&method, &uri, &body) }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await });
        (crm, address)
    }

    fn answer(method: &Verb, uri: &Uri, body: &str) -> Response {
        let told = json!({ "method": method.as_str(), "uri": uri.to_string(), "body": body, "items": [{ "id": 7 }] });
        if let Some(target) = uri.query().and_then(|query| query.strip_prefix("u=")) {
            let target: Vec<_> = url::form_urlencoded::parse(format!("u={target}").as_bytes()).into_owned().collect();
            return Redirect::temporary(&target[0].1).into_response();
        }
        let status = uri.path().strip_prefix("/status/").and_then(|status| status.parse().ok()).unwrap_or(200);
        (StatusCode::from_u16(status).unwrap(), axum::Json(told)).into_response()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn lookup(address: SocketAddr) -> CustomToolConfig {
    CustomToolConfig {
        title: "Look up a customer".into(),
        description: "Looks a customer up by its number.".into(),
        parameters: json!({
            "type": "object",
            "properties": { "id": { "type": "string" }, "note": { "type": "string" } },
            "required": ["id"],
            "additionalProperties": false
        }),
        url: format!("http://{address}/v1/customers/{{{{ input.id }}}}/orders?fixed=1"),
        query: vec![Entry { name: "note".into(), value: "{{ input.note }}".into() }],
        result: "({ uri: response.body.uri, first: response.body.items[0].id, status: response.status })".into(),
        ..CustomToolConfig::default()
    }
}

struct Desk {
    world: World,
    acme: Office,
    crm: Crm,
    address: SocketAddr,
}

impl Desk {
    async fn open() -> Self {
        let (crm, address) = Crm::start().await;
        let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &address.to_string())]).await;
        let acme = Office::new(&world, "Acme").await;
        Self { world, acme, crm, address }
    }

    async fn deployed(&self, name: &str, config: CustomToolConfig) -> CustomTool {
        let tool = service::create(&self.acme.owner.grant().unwrap(), name, config).await.unwrap();
        service::deploy(&self.acme.owner.grant().unwrap(), tool.id, 1).await.unwrap();
        tool
    }

    async fn call(&self, who: &Ctx, tool: &CustomTool, arguments: Value) -> Result<Value, StepError> {
        let source = ToolSource::Custom { id: tool.id, version: tool.version };
        let call = Call::Tool(ToolCall { tool: tool.name.clone(), arguments, source, ..ToolCall::default() });
        let scope = CallScope { org: who.org_id(), ..scope() };
        match Performer::of(self.world.deps()).perform(call, &scope, &|_| {}).await? {
            Answer::Tool { output } => Ok(output),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_and_an_agent_call_a_tool_at_the_version_that_was_deployed_when_the_run_began() {
    let model = FakeModel::start().await;
    let (crm, address) = Crm::start().await;
    let hosts = format!("{address},{}", model.address);
    let base = model.base_url();
    let settings = [
        ("AGENTFLOW_ALLOWED_HOSTS", hosts.as_str()),
        ("AGENTFLOW_MODEL_BASE_URL", base.as_str()),
        ("AGENTFLOW_MODELS", "fake"),
    ];
    let world = World::with(&settings).await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let desk = Desk { world, acme, crm, address };
    let owner = &desk.acme.owner;
    let tool = service::create(&owner.grant().unwrap(), "crm_lookup", lookup(desk.address)).await.unwrap();
    let names = || async {
        let all = tools::service::list(&owner.grant().unwrap()).await.unwrap();
        all.into_iter().map(|tool| tool.name).collect::<Vec<_>>()
    };
    assert!(!names().await.contains(&"crm_lookup".to_owned()), "a draft is offered to nobody");
    service::deploy(&owner.grant().unwrap(), tool.id, 1).await.unwrap();
    assert!(names().await.contains(&"crm_lookup".to_owned()));

    let step = json!({ "id": "look", "kind": "tool", "tool": "crm_lookup", "arguments": { "id": "{{ input.id }}" },
                       "after": ["start"] });
    let workflow = desk.acme.workflow("Look", any_input(), through(&[step], "{{ steps.look.output }}")).await;
    let run = desk.acme.start(workflow, json!({ "id": "a/b" })).await;
    let detail = desk.acme.until(run, RunState::Succeeded).await;
    let wanted = json!({ "uri": "/v1/customers/a%2Fb/orders?fixed=1", "first": 7, "status": 200 });
    assert_eq!(detail.output, Some(wanted));
    let (_, _, headers, _) = desk.crm.seen().remove(0);
    assert_eq!(headers["idempotency-key"], format!("{run}/look"));

    // A version that is saved is used once it is deployed.
    let second =
        CustomToolConfig { url: format!("http://{}/v2/{{{{ input.id }}}}", desk.address), ..lookup(desk.address) };
    let saved = service::save(&owner.grant().unwrap(), tool.id, 1, second).await.unwrap();
    assert_eq!((saved.version, saved.deployed_version), (2, Some(1)));
    let stale = service::save(&owner.grant().unwrap(), tool.id, 1, lookup(desk.address)).await.unwrap_err();
    assert_eq!(stale.kind, Kind::Stale);
    let run = desk.acme.start(workflow, json!({ "id": "9" })).await;
    let output = desk.acme.until(run, RunState::Succeeded).await.output.unwrap();
    assert_eq!(output["uri"], "/v1/customers/9/orders?fixed=1");
    service::deploy(&owner.grant().unwrap(), tool.id, 2).await.unwrap();
    let run = desk.acme.start(workflow, json!({ "id": "9" })).await;
    assert_eq!(desk.acme.until(run, RunState::Succeeded).await.output.unwrap()["uri"], "/v2/9");

    let agents = json!({ "clerk": {
        "name": "Clerk", "role": "clerk", "instructions": "Look it up.", "model": "openai-compatible/fake", "tools": { "crm_lookup": "allowed" }
    } });
    let models = desk.world.deps().models.available(desk.acme.owner.org_id()).await.unwrap();
    let model_id = models.iter().find(|model| !model.sandbox).unwrap().id.clone();
    let mut agents = agents;
    agents["clerk"]["model"] = json!(model_id);
    let ask = json!({ "id": "ask", "kind": "agent", "agent": "clerk", "prompt": "tool: crm_lookup {\"id\": \"5\"}",
                      "after": ["start"] });
    let nodes = through(&[ask], "{{ steps.ask.output }}");
    let workflow = desk.acme.with_agents("Ask", nodes, agents).await;
    let run = desk.acme.start(workflow, json!({})).await;
    desk.acme.until(run, RunState::Succeeded).await;
    assert!(desk.crm.seen().iter().any(|(_, uri, _, _)| uri == "/v2/5"), "{:?}", desk.crm.seen());
    let offered = model.calls()[0].body["tools"].to_string();
    assert!(offered.contains("crm_lookup") && offered.contains("Looks a customer up"), "{offered}");
}

#[tokio::test]
async fn no_argument_leaves_its_place() {
    let desk = Desk::open().await;
    let tool = desk.deployed("crm_lookup", lookup(desk.address)).await;
    let owner = &desk.acme.owner;
    for (id, note) in [
        ("1/../../admin", ""),
        ("..%2f..%2fadmin", ""),
        ("1?role=owner", "x&role=owner"),
        ("1#", "#"),
        ("@evil.example", "\r\nX-Evil: 1"),
        ("//evil.example/", "http://evil.example"),
        ("\\..\\admin", "\u{2028}"),
        ("{{ 7 * 7 }}", "{{ input.id }}"),
    ] {
        let before = desk.crm.seen().len();
        let output = desk.call(owner, &tool, json!({ "id": id, "note": note })).await.unwrap();
        let (_, uri, headers, _) = desk.crm.seen().swap_remove(before);
        let url = url::Url::parse(&format!("http://{}{uri}", desk.address)).unwrap();
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        assert_eq!((segments.len(), segments[0], segments[1], segments[3]), (4, "v1", "customers", "orders"), "{uri}");
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut wanted = vec![("fixed".to_owned(), "1".to_owned())];
        if !note.is_empty() {
            wanted.push(("note".to_owned(), note.to_owned()));
        }
        assert_eq!(pairs, wanted, "{uri}");
        assert!(headers.get("x-evil").is_none());
        assert_eq!(output["first"], 7);
    }
    let before = desk.crm.seen().len();
    for (arguments, code) in [
        (json!({ "id": ".." }), "tool.request"),
        (json!({ "id": "" }), "tool.request"),
        (json!({}), "tool.arguments"),
        (json!({ "id": 7 }), "tool.arguments"),
        (json!({ "id": "7", "url": "http://evil.example" }), "tool.arguments"),
    ] {
        let error = desk.call(owner, &tool, arguments.clone()).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::BadInput, code), "{arguments}");
    }
    assert_eq!(desk.crm.seen().len(), before, "nothing went out");
}

#[tokio::test]
async fn what_may_not_be_called_is_not_called_by_a_tool_either() {
    let desk = Desk::open().await;
    let canaries = Canaries::listen().await;
    let port = canaries.port();
    let owner = &desk.acme.owner;
    let mut tool = desk.deployed("inner", lookup(desk.address)).await;
    for vector in vectors::addresses(port) {
        let config = CustomToolConfig { url: vector.text.clone(), query: Vec::new(), ..lookup(desk.address) };
        let saved = service::save(&owner.grant().unwrap(), tool.id, tool.version, config.clone()).await;
        if !matches!(vector.flaw, Flaw::Inside | Flaw::Name) {
            let error = saved.unwrap_err();
            assert_eq!((error.kind, error.fields[0].field.as_str()), (Kind::Invalid, "url"), "{vector}");
            let error = service::test(&owner.grant().unwrap(), config, json!({ "id": "1" })).await.unwrap_err();
            assert_eq!((error.kind, error.fields[0].field.as_str()), (Kind::Invalid, "url"), "{vector}");
            continue;
        }
        tool = saved.unwrap_or_else(|error| panic!("{vector}: {error:?}"));
        let error = desk.call(owner, &tool, json!({ "id": "1" })).await.unwrap_err();
        let is_unknown = vector.flaw == Flaw::Name && error.code == "egress.unreachable";
        assert!(is_unknown || error.code == "egress.refused", "{vector}: {error:?}");
        let trial = service::test(&owner.grant().unwrap(), config, json!({ "id": "1" })).await.unwrap();
        assert!(trial.answer.is_none(), "{vector}");
        assert_eq!(trial.problem, Some(error.message), "{vector}");
    }
    for target in
        [format!("http://127.0.0.1:{port}/"), "http://169.254.169.254/".to_owned(), "file:///etc/passwd".to_owned()]
    {
        let target: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let url = format!("http://{}/to?u={target}", desk.address);
        let config = CustomToolConfig { url, query: Vec::new(), ..lookup(desk.address) };
        let trial = service::test(&owner.grant().unwrap(), config, json!({ "id": "1" })).await.unwrap();
        assert!(trial.answer.is_none() && trial.problem.unwrap().contains("cannot be called"), "{target}");
    }
    assert_eq!(canaries.visitors(), 0);
}

#[tokio::test]
async fn answers_are_mapped_checked_and_classed() {
    let desk = Desk::open().await;
    let owner = &desk.acme.owner;
    let test = async |config: CustomToolConfig, arguments: Value| {
        service::test(&owner.grant().unwrap(), config, arguments).await.unwrap()
    };
    let post = CustomToolConfig {
        method: Method::Post,
        effect: ToolEffect::Write,
        headers: vec![Entry { name: "X-Note".into(), value: "{{ input.note }}".into() }],
        body: r#"{ "id": "{{ input.id }}", "list": ["{{ input }}"] }"#.into(),
        ..lookup(desk.address)
    };
    let trial = test(post.clone(), json!({ "id": "7", "note": "hello" })).await;
    let request = trial.request.unwrap();
    assert_eq!((request.method.as_str(), trial.answer.unwrap().status), ("POST", 200));
    assert!(request.headers.contains(&("x-note".to_owned(), "hello".to_owned())));
    let sent: Value = serde_json::from_str(&desk.crm.seen().last().unwrap().3).unwrap();
    assert_eq!(sent, json!({ "id": "7", "list": [{ "id": "7", "note": "hello" }] }));

    let failing = CustomToolConfig { result: "response.body.nothing.here".into(), ..post.clone() };
    assert!(test(failing, json!({ "id": "7" })).await.problem.unwrap().contains("nothing"));
    let narrow = CustomToolConfig { output: json!({ "type": "string" }), ..post.clone() };
    let trial = test(narrow.clone(), json!({ "id": "7" })).await;
    assert!(trial.result.is_none() && trial.problem.unwrap().contains("does not fit"));
    let tool = desk.deployed("narrow", narrow).await;
    let error = desk.call(owner, &tool, json!({ "id": "7" })).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::InvalidOutput, "tool.result"));

    let broken = |status: u16| CustomToolConfig {
        url: format!("http://{}/status/{status}", desk.address),
        result: "response.status".into(),
        ..lookup(desk.address)
    };
    for (status, class) in [
        (404, ErrorClass::BadInput),
        (401, ErrorClass::Auth),
        (429, ErrorClass::RateLimited),
        (503, ErrorClass::Unavailable),
    ] {
        let tool = desk.deployed(&format!("status_{status}"), broken(status)).await;
        let error = desk.call(owner, &tool, json!({ "id": "7" })).await.unwrap_err();
        assert_eq!((error.class, error.code), (class, format!("http.status_{status}")));
    }
    let accepted = CustomToolConfig { statuses: vec![404], ..broken(404) };
    assert_eq!(test(accepted, json!({ "id": "7" })).await.result, Some(json!(404)));

    // A credential that is not there ends the call before anything goes out.
    let before = desk.crm.seen().len();
    let sealed = CustomToolConfig { credential: Some(CredentialId::new()), ..lookup(desk.address) };
    assert!(test(sealed, json!({ "id": "7" })).await.problem.unwrap().contains("credential"));
    assert_eq!(desk.crm.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_costs_counts_and_a_budget_holds_it_back() {
    let desk = Desk::open().await;
    desk.world.work();
    desk.deployed("rating", CustomToolConfig { cost: Money(10_000), ..lookup(desk.address) }).await;
    let step =
        json!({ "id": "rate", "kind": "tool", "tool": "rating", "arguments": { "id": "1" }, "after": ["start"] });
    let workflow = desk.acme.workflow("Rate", any_input(), through(&[step], "{{ steps.rate.output.first }}")).await;
    budget(&desk.acme, "organization", "day", "0.015").await;
    let run = desk.acme.start(workflow, json!({})).await;
    let done = desk.acme.until(run, RunState::Succeeded).await;
    assert_eq!((done.output, done.detail.view.usage.cost), (Some(json!(7)), Money(10_000)));

    // Half a cent is left.
    let run = desk.acme.start(workflow, json!({})).await;
    let asked = desk.acme.asked(run).await;
    assert!(asked.message.contains("$0.015"), "{}", asked.message);
    assert_eq!(desk.crm.seen().len(), 1);
    let mut program = desk.world.program(&desk.acme.key(Role::Admin).await);
    let decide = format!("/api/v1/approvals/{}/decide", asked.id);
    let reply = program.post_json(&decide, &json!({ "decision": "approve" })).await;
    assert!(reply.status.0.is_success(), "{}", reply.text());
    assert_eq!(desk.acme.until(run, RunState::Succeeded).await.view.usage.cost, Money(10_000));
    let standing = agentflow::budgets::service::list(&desk.acme.owner.grant().unwrap()).await.unwrap()[0].standing;
    assert_eq!((standing.spent, standing.reserved), (Money(20_000), Money::ZERO));
}

#[tokio::test]
async fn a_tool_belongs_to_its_organization_and_its_roles() {
    let desk = Desk::open().await;
    let beta = Office::new(&desk.world, "Beta").await;
    let tool = desk.deployed("crm_lookup", lookup(desk.address)).await;
    let error = desk.call(&beta.owner, &tool, json!({ "id": "1" })).await.unwrap_err();
    assert_eq!(error.code, "tool.unknown");
    let foreign = service::find(&beta.owner.grant().unwrap(), tool.id, None).await.unwrap_err();
    assert_eq!(foreign.kind, Kind::NotFound);
    for error in [
        service::deploy(&beta.owner.grant().unwrap(), tool.id, 1).await.unwrap_err(),
        service::archive(&beta.owner.grant().unwrap(), tool.id).await.unwrap_err(),
        service::save(&beta.owner.grant().unwrap(), tool.id, 1, lookup(desk.address)).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind, Kind::NotFound);
    }
    assert!(desk.crm.seen().is_empty());
    // The same name is free there, and here it is not; nor is that of a built-in tool.
    service::create(&beta.owner.grant().unwrap(), "crm_lookup", lookup(desk.address)).await.unwrap();
    for name in ["crm_lookup", "http_request", "Bad Name"] {
        let taken = service::create(&desk.acme.owner.grant().unwrap(), name, lookup(desk.address)).await.unwrap_err();
        assert_eq!(taken.fields[0].field, "name", "{name}");
    }
    let member = desk.acme.member(&desk.world, "Max", Role::Member).await;
    let viewer = desk.acme.member(&desk.world, "Vera", Role::Viewer).await;
    let draft = service::create(&member.grant().unwrap(), "by_max", lookup(desk.address)).await.unwrap();
    assert_eq!(draft.deployed_version, None);
    assert!(member.grant::<agentflow::access::right::Deploy>().is_err());
    let refused = service::archive(&member.grant().unwrap(), tool.id).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden, "it is deployed");
    service::archive(&member.grant().unwrap(), draft.id).await.unwrap();
    assert!(viewer.grant::<agentflow::access::right::Build>().is_err());
    assert_eq!(service::list(&viewer.grant().unwrap()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_pages_work_without_a_script() {
    let (crm, address) = Crm::start().await;
    let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &address.to_string())]).await;
    let mut ada = world.sign_up("Ada").await;
    let url = format!("http://{address}/c/{{{{ input.id }}}}");
    let form = [
        ("form[name]", "crm_lookup"),
        ("form[title]", "Look up a customer"),
        ("form[description]", "Looks a customer up."),
        ("form[effect]", "read"),
        ("form[parameters][00][name]", "id"),
        ("form[parameters][00][type]", "integer"),
        ("form[parameters][00][required]", "true"),
        ("form[parameters][01][name]", ""),
        ("form[method]", "GET"),
        ("form[url]", url.as_str()),
        ("form[timeout_s]", "20"),
        ("form[cost]", "0.02"),
    ];
    let wrong: Vec<_> = form
        .into_iter()
        .filter(|(name, _)| *name != "form[url]")
        .chain([("form[url]", "https://{{ input.id }}/")])
        .collect();
    let reply = ada.sends::<CreateTool>(&wrong).await;
    assert_eq!((reply.status.0.as_u16(), &reply.json()["fields"][0]["field"]), (422, &json!("form[url]")));
    let id = Person::done(&ada.sends::<CreateTool>(&form).await);
    let page = ada.sends::<LoadTool>(&[("tool", &id)]).await.json();
    assert_eq!(page["form"]["parameters"]["00"]["name"], "id");
    assert_eq!(page["detail"]["config"]["parameters"]["required"], json!(["id"]));

    let here = format!("/o/{}/tools/{id}", ada.org);
    let html = ada.client.get(&here).await;
    assert!(html.text().contains("Look up a customer") && html.text().contains("Deploy version 1"), "{}", html.text());
    // The browser posts the form of the test itself, and gets the page again with what came of it.
    let fields = [
        ("org", ada.org.as_str()),
        ("tool", &id),
        ("version", "1"),
        ("arguments", "{\"id\": 42}"),
        ("_form", "test_tool"),
        ("_page", &here),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = ada
        .client
        .request(Verb::POST, TestTool::PATH)
        .header(header::ACCEPT, "text/html")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let shown = ada.client.send(request.body(Body::from(body)).unwrap()).await;
    assert!(shown.status.0.is_success() && shown.text().contains("/c/42"), "{}", shown.text());
    assert_eq!(crm.seen().len(), 1);
    Person::done(&ada.sends::<DeployTool>(&[("tool", &id), ("version", "1")]).await);
    let list = ada.client.get(&format!("/o/{}/tools?q=look", ada.org)).await;
    // What the page is made of comes along after it, for the browser.
    let seen = list.text().split("</main>").next().unwrap();
    assert!(seen.contains("crm_lookup") && !seen.contains("calculator"), "filtered");
    assert!(seen.contains("$0.02 a call"), "{seen}");
    assert_eq!(ada.sends::<ListTools>(&[]).await.json()["own"][0]["deployed_version"], 1);
    for page in ["tools/new", "tools/servers/new", "agents/new", "workflows"] {
        let html = ada.client.get(&format!("/o/{}/{page}", ada.org)).await;
        assert!(html.status.0.is_success(), "{page}");
    }
    let agents = ada.client.get(&format!("/o/{}/agents/new", ada.org)).await;
    assert!(agents.text().contains("form[tools][crm_lookup]"), "an agent may be given it");
}
