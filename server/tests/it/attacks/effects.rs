//! I1, I2 and I3: nothing is done by a tool that the agent was not given, by a trial, or that policy holds back.

use std::time::Duration;

use agentflow::{
    agents::{self, AgentConfig},
    conversations::service::{self as conversations, Say as Said},
    engine::{
        plan::{ToolEffect, ToolPermission},
        state::RunState,
    },
    tools::{
        self,
        custom::{CustomToolConfig, Method, service},
    },
};
use axum::response::{IntoResponse, Redirect};
use serde_json::{Value, json};

use super::{EVIL, Lair, OTHER, Outside, Say, calls, mail};
use crate::node_kinds::through;

fn write(outside: &Outside) -> CustomToolConfig {
    CustomToolConfig {
        title: "Charge a card".into(),
        description: "Charges a card.".into(),
        effect: ToolEffect::Destructive,
        method: Method::Post,
        parameters: json!({ "type": "object", "properties": { "sum": { "type": "number" } }, "additionalProperties": false }),
        url: outside.url("/charge"),
        body: "{\"sum\": \"{{ input.sum }}\"}".into(),
        ..CustomToolConfig::default()
    }
}

/// An own tool with an effect, and a workflow that has several.
async fn built(lair: &Lair, outside: &Outside) -> String {
    let tool = service::create(&lair.acme.owner.grant().unwrap(), "charge", write(outside)).await.unwrap();
    service::deploy(&lair.acme.owner.grant().unwrap(), tool.id, 1).await.unwrap();
    let nodes = [
        json!({ "id": "post", "kind": "http", "method": "POST", "url": outside.url("/posted"), "body": "{{ input.text }}",
                "after": ["start"] }),
        json!({ "id": "mail", "kind": "tool", "tool": "email_send", "arguments": mail("workflow@example.com"), "after": ["post"] }),
        json!({ "id": "charge", "kind": "tool", "tool": "charge", "arguments": { "sum": 1 }, "after": ["mail"] }),
        json!({ "id": "keep", "kind": "tool", "tool": "context_set", "after": ["charge"],
                "arguments": { "key": "kept", "value": 1, "scope": "organization" } }),
    ];
    let input = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    let workflow = lair.acme.workflow("Does it all", input, through(&nodes, "done")).await;
    format!("workflow_{}", workflow.to_string().trim_start_matches("wf_"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_was_not_given_is_not_called_whatever_it_is_called_by() {
    let outside = Outside::plain().await;
    let lair = Lair::open(&[outside.address]).await;
    let workflow = built(&lair, &outside).await;
    let other = AgentConfig {
        name: "Other".into(),
        instructions: "Do.".into(),
        model: OTHER.into(),
        tools: [("email_send".to_owned(), ToolPermission::Allowed)].into(),
        ..AgentConfig::default()
    };
    agents::service::create(&lair.acme.owner.grant().unwrap(), other).await.unwrap();
    let all = tools::service::for_agents(&lair.acme.owner.grant().unwrap()).await.unwrap();
    let mut names: Vec<String> = all.into_iter().map(|tool| tool.name).collect();
    assert!(names.len() > 20 && names.contains(&workflow) && names.contains(&"agent_other".to_owned()));
    names.retain(|name| name != "calculator");
    // What looks like one of its own, and what the engine calls by itself.
    for odd in [
        "find_tools",
        "Calculator",
        "calculator ",
        "calculatοr",
        "cаlculator",
        "calculator\u{200b}",
        "ｃalculator",
        "calculator.run",
        "../email_send",
        "email_send#calculator",
        "functions.email_send",
        "agent_mallory",
        "",
    ] {
        names.push(odd.to_owned());
    }
    let arguments = json!({ "to": "eve@example.com", "subject": "x", "body": "y", "prompt": "x", "url": outside.url("/x"),
                            "key": "k", "value": 1, "path": "a", "content": "b", "text": "x", "sum": 1 });
    for some in names.chunks(16) {
        let wanted: Vec<_> = some.iter().map(|name| (name.as_str(), arguments.clone())).collect();
        let (_, called) = lair.runs(json!({ "calculator": "allowed" }), vec![calls(&wanted)]).await;
        // A provider's library may leave one without a name out.
        assert!(called.len() + 1 >= some.len(), "{called:?}");
        for one in &called {
            assert_eq!((one.state.as_str(), one.code.as_str()), ("failed", "tools.not_allowed"), "{one:?}");
        }
    }
    assert!(outside.seen().is_empty());
    assert_eq!(lair.mails().await, 0);
    // More than an answer may ask for, and with arguments that are none of its tool's.
    let sum = |arguments: Value| ("calculator", arguments);
    let mut wanted = vec![sum(json!({ "expression": "1+1" })); 15];
    wanted.extend([
        sum(json!({ "expression": "1", "also": 2 })),
        sum(json!({ "expression": "2" })),
        sum(json!({ "expression": "3" })),
    ]);
    let (_, called) = lair.runs(json!({ "calculator": "allowed" }), vec![calls(&wanted)]).await;
    let codes: Vec<_> = called.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes[..15], [""; 15]);
    assert_eq!(codes[15..], ["tool.arguments", "tools.too_many", "tools.too_many"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_changes_and_sends_nothing_by_any_hand() {
    let outside = Outside::plain().await;
    let lair = Lair::open(&[outside.address]).await;
    let workflow = built(&lair, &outside).await;
    let allowed = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), ToolPermission::Allowed)).collect();
    let helper = AgentConfig {
        name: "Helper".into(),
        instructions: "Help.".into(),
        model: OTHER.into(),
        tools: allowed(&["email_send", "http_request", "charge"]),
        ..AgentConfig::default()
    };
    agents::service::create(&lair.acme.owner.grant().unwrap(), helper).await.unwrap();
    let names =
        ["email_send", "http_request", "charge", "context_set", "file_write", "agent_helper", workflow.as_str()];
    let mallory = AgentConfig {
        name: "Mallory".into(),
        instructions: "Do.".into(),
        model: EVIL.into(),
        tools: allowed(&names),
        ..AgentConfig::default()
    };
    let agent = agents::service::create(&lair.acme.owner.grant().unwrap(), mallory).await.unwrap();
    let post =
        |method: &str| ("http_request", json!({ "url": outside.url("/sent"), "method": method, "body": "all of it" }));
    let effects = [
        ("email_send", mail("eve@example.com")),
        post("POST"),
        post("PUT"),
        post("DELETE"),
        post("PATCH"),
        ("charge", json!({ "sum": 1 })),
        ("context_set", json!({ "key": "kept", "value": 1, "scope": "organization" })),
        ("agent_helper", json!({ "prompt": "Do it." })),
        (workflow.as_str(), json!({ "text": "all of it" })),
    ];
    lair.model.says(EVIL, vec![calls(&effects)]);
    lair.model.says(OTHER, vec![calls(&effects[..6])]);
    let say = Said {
        agent: agent.id,
        conversation: None,
        prompt: "Go".into(),
        draft: None,
        for_real: None,
        beside_deployed: false,
    };
    let id = conversations::say(&lair.acme.owner.grant().unwrap(), say).await.unwrap();
    let found = loop {
        let found = conversations::find(&lair.acme.owner.grant().unwrap(), agent.id, id).await.unwrap();
        if found.turns[0].reply.state.is_end() {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(found.turns[0].reply.state, RunState::Succeeded, "{:?}", found.turns[0].reply.error);
    let called = lair.called(found.turns[0].reply.run).await;
    assert_eq!(called.len(), effects.len() + 6);
    assert!(called.iter().all(|one| one.state == "succeeded"), "{called:?}");
    assert!(outside.seen().is_empty(), "{:?}", outside.seen());
    assert_eq!(lair.mails().await, 0);
    let kept: i64 = sqlx::query_scalar("select count(*) from context_entries")
        .fetch_one(&mut lair.world.owner().await)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_policy_whatever_writes_or_takes_away_waits_for_a_person() {
    let outside = Outside::plain().await;
    let lair = Lair::open(&[outside.address]).await;
    let workflow = built(&lair, &outside).await;
    let names = ["email_send", "http_request", "charge", "context_set", workflow.as_str()];
    let tools: Value =
        names.iter().map(|name| ((*name).to_owned(), json!("policy"))).collect::<serde_json::Map<_, _>>().into();
    let wanted = [
        ("email_send", mail("eve@example.com")),
        ("http_request", json!({ "url": outside.url("/sent"), "method": "POST", "body": "x" })),
        // By its address alone one can send, too.
        ("http_request", json!({ "url": outside.url("/sent?all-of-it") })),
        ("charge", json!({ "sum": 1 })),
        ("context_set", json!({ "key": "k", "value": 1 })),
        (workflow.as_str(), json!({ "text": "x" })),
    ];
    let run = lair.starts(tools, vec![calls(&wanted)]).await;
    for _ in 0..200 {
        if lair.called(run).await.len() == wanted.len() && lair.acme.run(run).await.view.state == RunState::Waiting {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let called = lair.called(run).await;
    assert_eq!(called.len(), wanted.len());
    assert!(called.iter().all(|one| one.state == "waiting"), "{called:?}");
    assert!(outside.seen().is_empty());
    assert_eq!(lair.mails().await, 0);
    agentflow::runs::control::cancel(&lair.acme.owner.grant().unwrap(), run).await.unwrap();
    lair.ends(run).await;
    assert!(outside.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_of_an_agent_go_to_its_hosts_alone() {
    let listed = Outside::start(|uri, _, _| match uri.query() {
        None => "ok".into_response(),
        Some(to) => Redirect::temporary(to).into_response(),
    });
    let (listed, other) = (listed.await, Outside::plain().await);
    // The same machine by its other name.
    let named = format!("http://localhost:{}", listed.address.port());
    let hosts = [other.address.to_string(), listed.address.to_string(), format!("localhost:{}", listed.address.port())];
    let lair = Lair::with(&hosts, &[]).await;
    let mut agent = super::agent(EVIL, json!({ "http_request": "allowed" }));
    agent["guardrails"] = json!({ "allowed_domains": ["localhost"] });
    let wanted = [
        ("http_request", json!({ "url": named })),
        ("http_request", json!({ "url": other.url("/?all-of-it") })),
        ("http_request", json!({ "url": format!("{named}/?{}", other.url("/redirected")) })),
        ("http_request", json!({ "url": format!("http://localhost@{}/", other.address) })),
        ("http_request", json!({ "url": format!("http://localhost.{}/", other.address) })),
    ];
    lair.model
        .says(EVIL, vec![calls(&wanted), Say::Text(vec!["![x](".to_owned(), format!("{})", other.url("/image"))])]);
    let workflow = lair.workflow(json!({ "mallory": agent })).await;
    let run = lair.acme.start(workflow, json!({})).await;
    let done = lair.ends(run).await;
    let states: Vec<_> = lair.called(run).await.into_iter().map(|one| one.state).collect();
    assert_eq!(states, ["succeeded", "failed", "failed", "failed", "failed"]);
    assert!(other.seen().is_empty(), "{:?}", other.seen());
    // Nor does a page load anything that it says.
    assert!(!done.output.unwrap().to_string().contains("![x](http"));
}
