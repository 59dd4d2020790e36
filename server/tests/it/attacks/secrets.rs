//! Secrets: whatever an outside server echoes and the model repeats, nobody can read a key anywhere, and no model is told
//! one.

use std::convert::Infallible;

use agentflow::{
    conversations::service::{self as conversations, Say as Said},
    engine::{plan::ToolEffect, state::RunState},
    tools::custom::{CustomToolConfig, Method, service},
};
use app::integrations::api::{AddCredential, AddModelConnection, LoadIntegrations};
use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::stream;
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};

use super::{Lair, Outside, Say, agent, call, calls, ended, frame, text};
use crate::{
    crash::client,
    credentials::{Heard, dump, shows, sql},
    stream::read_with_cuts,
};

/// What a tool carries in its header.
const SECRET: &str = "0pen-sesame/42+x&7";
/// What the organization's own model is called with.
const KEY: &str = "own-key/99+zq&81";

/// Says what it was sent, in every way that a server has.
async fn echo() -> Outside {
    Outside::start(|uri, headers, body| -> Response {
        let sent = headers.get("x-api-key").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let encoded: String = url::form_urlencoded::byte_serialize(sent.as_bytes()).collect();
        let hex: String = sent.bytes().map(|byte| format!("{byte:02x}")).collect();
        match uri.path() {
            "/json" => Json(json!({
                "key": sent, "inside": format!("Bearer {sent}, thanks"), "list": [[{ "deep": sent }]],
                "base64": STANDARD.encode(&sent), "shifted": STANDARD.encode(format!("x{sent}yz")), "url": encoded,
                "hex": hex, "reversed": sent.chars().rev().collect::<String>(),
                "json": json!({ "again": sent }).to_string(), sent.clone(): 1, "body": body,
            }))
            .into_response(),
            "/fail" => (StatusCode::BAD_REQUEST, format!("The key {sent} ({encoded}) is not good.")).into_response(),
            "/header" => ([("x-echo", sent.as_str()), ("x-base64", &STANDARD.encode(&sent))], "ok").into_response(),
            "/pieces" => {
                let pieces: Vec<_> =
                    format!("It is {sent}.").chars().map(|one| Ok::<_, Infallible>(one.to_string())).collect();
                Body::from_stream(stream::iter(pieces)).into_response()
            }
            _ => "ok".into_response(),
        }
    })
    .await
}

/// A lair with a tool that carries the secret, and a model that is called with the organization's own key.
async fn lair(outside: &Outside) -> Lair {
    let mut lair = Lair::open(&[outside.address]).await;
    let org = lair.ada.org.clone();
    let fields = [
        ("org", org.as_str()),
        ("name", "CRM"),
        ("kind", "header"),
        ("detail", "X-Api-Key"),
        ("hosts", "127.0.0.1"),
        ("secret", SECRET),
    ];
    let kept = lair.ada.client.post_form(AddCredential::PATH, &fields).await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    let base = lair.world.state.config.models.providers[0].base_url.clone().unwrap();
    let fields = [
        ("org", org.as_str()),
        ("provider", "compatible"),
        ("label", "Own"),
        ("base_url", base.as_str()),
        ("models", "own"),
        ("secret", KEY),
    ];
    let added = lair.ada.client.post_form(AddModelConnection::PATH, &fields).await;
    assert_eq!(added.status, 200, "{}", added.text());
    let page = lair.ada.client.post_form(LoadIntegrations::PATH, &[("org", &org)]).await.json();
    let credential =
        page["credentials"].as_array().unwrap().iter().find(|one| one["name"] == "CRM").unwrap()["id"].clone();
    let config = CustomToolConfig {
        title: "Ask the CRM".into(),
        description: "Asks the CRM for a page.".into(),
        effect: ToolEffect::Read,
        method: Method::Post,
        parameters: json!({ "type": "object", "properties": { "page": { "type": "string" }, "note": { "type": "string" } },
                            "required": ["page"], "additionalProperties": false }),
        url: format!("http://{}/{{{{ input.page }}}}", outside.address),
        body: "{{ input.note }}".into(),
        result: "({ headers: response.headers, body: response.body })".into(),
        credential: Some(credential.as_str().unwrap().parse().unwrap()),
        ..CustomToolConfig::default()
    };
    let tool = service::create(&lair.acme.owner.grant().unwrap(), "crm", config).await.unwrap();
    service::deploy(&lair.acme.owner.grant().unwrap(), tool.id, 1).await.unwrap();
    lair
}

fn tools() -> Value {
    json!({ "crm": "allowed", "email_send": "needs_approval" })
}

/// One that may combine what it likes: here keys are to be kept, and nothing else.
fn mallory(tools: Value) -> Value {
    let mut agent = agent("compatible/own", tools);
    agent["guardrails"] = json!({ "rule_of_two": false });
    agent
}

/// All that somebody can read of a run.
async fn read(lair: &mut Lair, run: agentflow::kernel::RunId) -> String {
    let (org, key) = (lair.ada.org.clone(), lair.acme.key(agentflow::access::Role::Admin).await);
    let mut all = String::new();
    for page in [
        format!("/o/{org}/runs/{run}"),
        format!("/o/{org}/runs"),
        format!("/o/{org}/approvals"),
        format!("/o/{org}/tools"),
    ] {
        all.push_str(lair.ada.client.get(&page).await.text());
    }
    let mut program = lair.world.program(&key);
    let steps = program.get(&format!("/api/v1/runs/{run}/steps")).await;
    all.push_str(steps.text());
    for step in &lair.acme.run(run).await.view.steps {
        all.push_str(program.get(&format!("/api/v1/runs/{run}/steps/{}", step.id)).await.text());
    }
    for place in ["", "/logs", "/files"] {
        all.push_str(program.get(&format!("/api/v1/runs/{run}{place}")).await.text());
    }
    all.push_str(program.get("/api/v1/approvals").await.text());
    let base = lair.world.serve().await;
    let came = read_with_cuts(client(), base, run, key, 7).await;
    assert!(!came.is_empty());
    came.iter().for_each(|one| all.push_str(&one.data));
    all
}

fn hidden(place: &str, text: &str) {
    for secret in [SECRET, KEY] {
        let form = shows(text, secret);
        let around = form.as_ref().and_then(|form| text.find(form.as_str())).map(|at| {
            let from = text[..at].char_indices().rev().nth(200).map_or(0, |(place, _)| place);
            &text[from..at]
        });
        assert_eq!(form, None, "{place} shows it after {around:?}");
    }
}

#[tokio::test]
async fn a_key_that_a_server_echoes_and_a_model_repeats_is_read_by_nobody() {
    let heard = Heard::default();
    let listening = heard.listen();
    let outside = echo().await;
    let mut lair = lair(&outside).await;
    let base64 = |secret: &str| STANDARD.encode(format!("q{secret}q"));
    let encoded = |secret: &str| url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
    let pages = ["json", "fail", "header", "pieces"].map(|page| ("crm", json!({ "page": page, "note": "hello" })));
    // The key stands in the id and in the name of a call, in a number of the answer and in why it ends.
    let odd = json!({ "tool_calls": [
        { "index": 0, "id": "call {KEY}", "function": { "name": "crm", "arguments": "{\"page\": \"x\"}" } },
        { "index": 1, "id": "b", "function": { "name": "{KEY}", "arguments": "{}" } },
        { "index": 2, "id": "c", "function": { "name": "crm", "arguments": "{\"page\": \"{KEY}\", \"{KEY}\": 1}" } },
    ] });
    let whole = frame(&odd, &Value::Null) + &ended("tool_calls");
    let said = format!("One: {SECRET}. Two: {}. Three: {}. Four: {{KEY}}.", base64(SECRET), encoded(SECRET));
    let script = vec![
        calls(&pages),
        call("crm", &json!({ "page": "json", "note": format!("{SECRET} {} {}", base64(SECRET), encoded(SECRET)) })),
        Say::Raw(whole.replace("\"id\":\"c1\"", "\"id\":\"c1 {KEY}\"")),
        Say::Calls(vec![
            (
                "email_send".into(),
                json!({ "to": "a@example.com", "subject": SECRET, "body": base64(SECRET) }).to_string(),
            ),
            (SECRET.to_owned(), "{}".to_owned()),
            (base64(SECRET), json!({ SECRET: [SECRET] }).to_string()),
        ]),
        // In pieces; the placeholder has to come in one.
        Say::Text(said.split_inclusive(['a', '/', '=', ' ']).map(str::to_owned).collect()),
    ];
    lair.model.says("own", script);
    let workflow = lair.workflow(json!({ "mallory": mallory(tools()) })).await;
    let run = lair.acme.start(workflow, json!({})).await;
    let asked = lair.acme.asked(run).await;
    hidden("the approval", &format!("{asked:?}"));
    let mut program = lair.program().await;
    let decided =
        program.post_json(&format!("/api/v1/approvals/{}/decide", asked.id), &json!({ "decision": "approve" })).await;
    assert!(decided.status.0.is_success(), "{}", decided.text());
    let done = lair.ends(run).await;
    assert_eq!(done.view.state, RunState::Succeeded, "{:?}", done.view.error);
    let said = done.output.unwrap().to_string();
    assert!(
        said.contains("One: [credential removed]. Two: ") && said.contains("Four: [credential removed]."),
        "{said}"
    );
    assert!(outside.seen().iter().all(|(_, _, headers, _)| headers["x-api-key"] == SECRET), "it was used");
    assert!(outside.seen().len() >= 6);

    // The provider itself says the key when it fails, in words, in a header and in a stream.
    let fault = json!({ "error": { "message": "No such key: {KEY}", "type": "{KEY}", "code": "{KEY}" } });
    for said in [
        Say::Status(400, fault.to_string()),
        Say::Status(401, fault.to_string()),
        Say::Status(429, "Not {KEY} again".to_owned()),
        Say::Raw(format!("data: {fault}\n\n")),
        Say::Raw(frame(&json!({ "content": "{KEY}" }), &Value::Null) + &ended("{KEY}")),
        Say::Raw(ended("content_filter {KEY}")),
        Say::Raw("data: {KEY}\n\n".to_owned()),
    ] {
        lair.model.says("own", vec![said.clone(), said.clone(), said.clone(), said]);
        let workflow = lair.workflow(json!({ "mallory": mallory(json!({})) })).await;
        let run = lair.acme.start(workflow, json!({})).await;
        for _ in 0..60 {
            if lair.acme.run(run).await.view.state.is_end() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        hidden("the run", &format!("{:?}", lair.acme.run(run).await));
    }

    // In the panel of the agent, too.
    sql(&lair.world, "select").await;
    let id: agentflow::kernel::AgentId = sqlx::query_scalar("select id from agents where key = 'mallory'")
        .fetch_one(&mut lair.world.owner().await)
        .await
        .unwrap();
    lair.model.says("own", vec![calls(&pages), text("It is {KEY}, I think.")]);
    let say = Said {
        agent: id,
        conversation: None,
        prompt: "Hello".into(),
        draft: None,
        for_real: None,
        beside_deployed: false,
    };
    let conversation = conversations::say(&lair.acme.owner.grant().unwrap(), say).await.unwrap();
    let shown = loop {
        let found = conversations::find(&lair.acme.owner.grant().unwrap(), id, conversation).await.unwrap();
        if found.turns[0].reply.state.is_end() {
            break found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(shown.turns[0].reply.text.as_deref(), Some("It is [credential removed], I think."));
    hidden("the conversation", &format!("{shown:?}"));
    let panel = format!("/o/{}/agents/{id}?c={conversation}", lair.ada.org);
    hidden("the panel", lair.ada.client.get(&panel).await.text());

    hidden("what can be read of the run", &read(&mut lair, run).await);
    hidden("the database", &dump(&lair.world).await);
    // Only what the test's model was called with is in nobody's requests; that it was told nothing is what counts.
    hidden("what the model was told", &Value::from(lair.model.heard()).to_string());
    drop(listening);
    hidden("the log", &heard.text());
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_dies_leaves_nothing_of_its_memory_behind() {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let mut process = Command::new(env!("CARGO_BIN_EXE_agentflow"));
    let mut process = process.arg("evaluate-expressions").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let core = || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        line.split_whitespace().skip(4).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let begun = std::time::Instant::now();
    while core() != ["0", "0"] {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", core());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(process.stdin.take().map(|mut input| input.flush()));
    process.kill().unwrap();
    process.wait().unwrap();
}
