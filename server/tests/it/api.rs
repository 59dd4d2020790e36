//! The API against everything that is wrong: each answer says what, in one form, and none is a fault of ours.

use agentflow::{
    access::Role,
    kernel::{ApprovalId, RunId, WorkflowId},
};
use axum::{
    body::Body,
    http::{Method, header},
};
use serde_json::json;

use crate::{
    office::Office,
    world::{Client, Reply, World},
};

async fn send(client: &Client, method: Method, path: &str, kind: Option<&str>, body: impl Into<Body>) -> Reply {
    let mut request = client.request(method, path);
    if let Some(kind) = kind {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    client.clone().send(request.body(body.into()).unwrap()).await
}

const JSON: Option<&str> = Some("application/json");

fn told(reply: &Reply, status: u16) -> serde_json::Value {
    assert_eq!(reply.status.0.as_u16(), status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/problem+json", "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["status"], status);
    for field in ["type", "title", "code", "detail", "request_id"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {body}");
    }
    body
}

#[tokio::test]
async fn without_a_valid_key_there_is_nothing_to_see() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let run = acme.start(acme.simple().await, json!({ "title": "Secret" })).await;
    for key in ["", "nonsense", "agentflow_0000000000000000000000000000000000000000"] {
        let reply = world.program(key).get(&format!("/api/v1/runs/{run}")).await;
        told(&reply, 401);
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    // A cookie opens the pages, not the API.
    let mut ada = world.sign_up("Ada").await;
    told(&ada.client.get("/api/v1/runs").await, 401);
}

#[tokio::test]
async fn an_address_that_is_none_is_a_problem_too() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let program = world.program(&acme.key(Role::Admin).await);
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/runs"] {
        told(&send(&program, Method::GET, path, None, Body::empty()).await, 404);
    }
    let reply = send(&program, Method::DELETE, "/api/v1/runs", None, Body::empty()).await;
    told(&reply, 405);
    assert!(reply.header("allow").contains("GET"), "{:?}", reply.headers);
}

#[tokio::test]
async fn whatever_is_wrong_is_told_and_nothing_is_a_fault_of_ours() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    let run = acme.start(workflow, json!({ "title": "Target" })).await;
    let program = world.program(&acme.key(Role::Admin).await);
    let start = format!("/api/v1/workflows/{workflow}/run");
    let decide = format!("/api/v1/approvals/{}/decide", ApprovalId::new());
    let deep = format!("{{\"input\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let nested = format!("{{\"input\":{{\"a\":{}{}}}}}", "[".repeat(90), "]".repeat(90));
    let large = format!("{{\"input\":{{\"a\":\"{}\"}}}}", "x".repeat(3 << 20));
    let posts: Vec<(&str, &str, String, &[u16])> = vec![
        (&start, "application/json", "{".to_owned(), &[400]),
        (&start, "application/json", "\u{feff}{}".to_owned(), &[400]),
        (&start, "application/json", "[]".to_owned(), &[422]),
        (&start, "application/json", "null".to_owned(), &[422]),
        (&start, "application/json", r#"{"input":{},"extra":1}"#.to_owned(), &[422]),
        (&start, "application/json", r#"{"input":[1]}"#.to_owned(), &[422]),
        (&start, "application/json", r#"{"input":{"a":1e999}}"#.to_owned(), &[400]),
        (&start, "application/json", r#"{"input":{"a":"\u0000"}}"#.to_owned(), &[422]),
        (&start, "application/json", r#"{"input":{"\u0000":1}}"#.to_owned(), &[422]),
        (&start, "application/json", deep, &[400]),
        (&start, "application/json", nested, &[400]),
        (&start, "application/json", large, &[413]),
        (&start, "text/plain", "{}".to_owned(), &[400, 415]),
        (&start, "application/x-www-form-urlencoded", "input=1".to_owned(), &[400, 415]),
        (&decide, "application/json", r#"{"decision":"maybe"}"#.to_owned(), &[422]),
        (&decide, "application/json", r#"{"decision":"approve","reason":"x"}"#.to_owned(), &[422]),
        (&decide, "application/json", r#"{"decision":"approve"}"#.to_owned(), &[404]),
        (&decide, "application/json", "{}".to_owned(), &[422]),
    ];
    for (path, kind, body, wanted) in posts {
        let shown: String = body.chars().take(60).collect();
        let reply = send(&program, Method::POST, path, Some(kind), body).await;
        let status = reply.status.0.as_u16();
        assert!(wanted.contains(&status), "{shown} -> {status}: {}", reply.text());
        told(&reply, status);
    }
    let never = RunId::new();
    let gets: Vec<(String, u16)> = vec![
        ("/api/v1/runs?limit=0".to_owned(), 422),
        ("/api/v1/runs?limit=many".to_owned(), 400),
        ("/api/v1/runs?cursor=x".to_owned(), 400),
        ("/api/v1/runs?state=odd".to_owned(), 422),
        ("/api/v1/runs?workflow=x".to_owned(), 422),
        ("/api/v1/runs?from=yesterday".to_owned(), 400),
        ("/api/v1/runs?nonsense=1".to_owned(), 400),
        ("/api/v1/runs/x".to_owned(), 404),
        (format!("/api/v1/runs/{}", never.to_string().to_uppercase()), 404),
        (format!("/api/v1/runs/{}", WorkflowId::new()), 404),
        (format!("/api/v1/runs/{run}/steps/%00"), 404),
        (format!("/api/v1/runs/{run}/steps?cursor=-1"), 400),
        (format!("/api/v1/runs/{run}/logs?before=x"), 400),
        ("/api/v1/approvals?state=odd".to_owned(), 422),
        ("/api/v1/approvals?kind=odd".to_owned(), 400),
        ("/api/v1/approvals?cursor=odd".to_owned(), 400),
        ("/api/v1/approvals/x".to_owned(), 404),
    ];
    for (path, wanted) in gets {
        told(&send(&program, Method::GET, &path, None, Body::empty()).await, wanted);
    }
    // What is odd and yet allowed is answered.
    for path in ["/api/v1/runs?q=%00", "/api/v1/runs?trigger=%00", "/api/v1/runs?q=%F0%9F%A6%80%25_'"] {
        assert_eq!(send(&program, Method::GET, path, None, Body::empty()).await.status, 200, "{path}");
    }
    for key in ["", "white space", &"x".repeat(300)] {
        let request = program.request(Method::POST, &start).header("idempotency-key", key);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let reply = program.clone().send(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(told(&reply, 422)["errors"][0]["field"], "Idempotency-Key");
    }
    let reply = send(&program, Method::POST, &start, JSON, Body::empty()).await;
    assert_eq!(reply.status, 202, "no body is an empty input: {}", reply.text());
}

#[tokio::test]
async fn approvals_are_listed_and_decided_by_programs() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let approval = json!({ "title": "Refund", "payload": { "amount": 40 }, "impact": "One customer" });
    let workflow = acme.asking("Refund", approval).await;
    world.work();
    let mut runs = Vec::new();
    for number in 0..3 {
        runs.push(acme.start(workflow, json!({ "title": format!("Refund {number}") })).await);
    }
    for run in &runs {
        acme.asked(*run).await;
    }
    let program = world.program(&acme.key(Role::Member).await);
    let first = program.clone().get("/api/v1/approvals?limit=2").await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = program.clone().get(&format!("/api/v1/approvals?limit=2&cursor={cursor}")).await.json();
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
    assert!(rest.get("next_cursor").is_none());
    let id = rest["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(rest["items"][0]["payload"], json!({ "amount": 40 }));

    let viewer = world.program(&acme.key(Role::Viewer).await);
    let path = format!("/api/v1/approvals/{id}/decide");
    let refused = send(&viewer, Method::POST, &path, JSON, r#"{"decision":"approve"}"#).await;
    told(&refused, 403);
    let decided = send(&program, Method::POST, &path, JSON, r#"{"decision":"reject","reason":"Not needed"}"#).await;
    assert_eq!(decided.status, 200, "{}", decided.text());
    assert_eq!(decided.json()["decision"]["reason"], "Not needed");
    let late = send(&program, Method::POST, &path, JSON, r#"{"decision":"approve"}"#).await;
    assert_eq!(told(&late, 409)["code"], "approvals.already_decided");
    let undo = send(&program, Method::POST, &format!("/api/v1/approvals/{id}/undo"), JSON, "{}").await;
    told(&undo, 409);
    let decided = program.clone().get("/api/v1/approvals?state=decided").await.json();
    assert_eq!(decided["items"].as_array().map(Vec::len), Some(1));
}
