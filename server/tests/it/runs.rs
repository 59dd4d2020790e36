//! Starting, listing, stopping and retrying runs, through the door for programs.

use agentflow::{
    access::Role,
    engine::state::RunState,
    kernel::{Cursor, Kind, RunId},
    runs::{RunFilter, service},
    workflows,
};
use axum::{
    body::Body,
    http::{Method, header},
};
use serde_json::{Value, json};

use crate::{
    office::{Office, any, start},
    world::{Client, Reply, World},
};

async fn post(client: &Client, path: &str, key: Option<&str>, body: &Value) -> Reply {
    let mut request = client.request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    client.clone().send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn fifty_starts_with_one_key_are_one_run() {
    let world = World::new().await;
    let (acme, other) = (Office::new(&world, "Acme").await, Office::new(&world, "Other").await);
    let (workflow, foreign) = (acme.simple().await, other.simple().await);
    let program = world.program(&acme.key(Role::Member).await);
    let path = format!("/api/v1/workflows/{workflow}/run");
    let body = json!({ "input": { "title": "Once" } });

    let starts = (0..50).map(|_| post(&program, &path, Some("order-4812"), &body));
    let replies = futures::future::join_all(starts).await;
    let mut ids: Vec<String> = replies
        .iter()
        .map(|reply| {
            assert_eq!(reply.status, 202, "{}", reply.text());
            let id = reply.json()["id"].as_str().unwrap().to_owned();
            assert_eq!(reply.header("location"), format!("/api/v1/runs/{id}"));
            id
        })
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one key, one run");
    let fresh = replies.iter().filter(|reply| reply.header("idempotent-replayed").is_empty()).count();
    assert_eq!(fresh, 1, "one answer is the first one");
    let runs: i64 = sqlx::query_scalar("select count(*) from runs").fetch_one(&mut world.owner().await).await.unwrap();
    assert_eq!(runs, 1);

    // Another body is another request, and is refused under the same key.
    let reply = post(&program, &path, Some("order-4812"), &json!({ "input": { "title": "Twice" } })).await;
    assert_eq!(reply.status, 422);
    assert_eq!(reply.json()["code"], "idempotency.mismatch");
    // The key is the organization's own.
    let stranger = world.program(&other.key(Role::Member).await);
    let reply = post(&stranger, &format!("/api/v1/workflows/{foreign}/run"), Some("order-4812"), &body).await;
    assert_eq!(reply.status, 202);
    assert_ne!(reply.json()["id"], ids[0].as_str());
    // A key that was refused is free again: nothing was started under it.
    let refused = post(&program, &path, Some("second"), &json!({ "input": "no object" })).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(post(&program, &path, Some("second"), &body).await.status, 202);
}

#[tokio::test]
async fn a_program_runs_a_named_version_and_the_deployed_one_without() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let (workflow, other) = (acme.simple().await, acme.workflow("Other", any(), ending_after("start")).await);
    let mia = acme.member(&world, "Mia", Role::Member).await;
    // The first change can run, the second names a step that is not there.
    for (base, after) in [(1, "start"), (2, "nowhere")] {
        let graph = json!({ "input": { "type": "object", "required": ["word"] }, "nodes": ending_after(after) });
        let graph = serde_json::from_value(graph).unwrap();
        workflows::service::save(&mia.grant().unwrap(), workflow, base, graph, "Changed".to_owned()).await.unwrap();
    }
    let program = world.program(&acme.key(Role::Member).await);
    let path = format!("/api/v1/workflows/{workflow}/run");
    let word = json!({ "word": "x" });
    let (plain, named) = (json!({ "input": word }), json!({ "input": word, "version": 2 }));

    let reply = post(&program, &path, Some("plain"), &plain).await.json();
    assert_eq!((&reply["workflow_version"], &reply["trigger"]), (&json!(1), &json!("api")));
    let reply = post(&program, &path, Some("named"), &named).await.json();
    assert_eq!((&reply["workflow_version"], &reply["trigger"]), (&json!(2), &json!("test")));
    let reply = post(&program, &path, None, &json!({ "input": word, "version": null })).await.json();
    assert_eq!(reply["workflow_version"], 1, "no version is the deployed one");
    let reply = post(&program, &path, None, &json!({ "input": {}, "version": 2 })).await;
    assert_eq!((reply.status.0.as_u16(), &reply.json()["errors"][0]["field"]), (422, &json!("input.word")));

    // The version is part of what a key stands for.
    let again = post(&program, &path, Some("named"), &named).await;
    assert_eq!((again.status.0.as_u16(), again.header("idempotent-replayed")), (202, "true"));
    for (key, body) in [("plain", &named), ("named", &plain), ("plain", &json!({ "input": word, "version": 1 }))] {
        let reply = post(&program, &path, Some(key), body).await;
        assert_eq!((reply.status.0.as_u16(), &reply.json()["code"]), (422, &json!("idempotency.mismatch")), "{key}");
    }

    for odd in [json!("2"), json!(2.5), json!(true), json!([2]), json!({}), json!(1_u64 << 40), json!(0), json!(9)] {
        let reply = post(&program, &path, Some("odd"), &json!({ "input": word, "version": odd })).await;
        let told = reply.json();
        assert_eq!((reply.status.0.as_u16(), &told["errors"][0]["field"]), (422, &json!("version")), "{odd}: {told}");
    }
    let foreign = format!("/api/v1/workflows/{other}/run");
    let told = post(&program, &foreign, None, &named).await.json();
    assert_eq!((&told["status"], &told["detail"]), (&json!(422), &json!("There is no version 2 of this workflow.")));
    let faulty = post(&program, &path, Some("odd"), &json!({ "input": word, "version": 3 })).await;
    assert_eq!((faulty.status.0.as_u16(), &faulty.json()["code"]), (409, &json!("workflows.faults")));
    assert_eq!(faulty.json()["errors"][0]["field"], "nodes.end.after");
    let viewer = world.program(&acme.key(Role::Viewer).await);
    assert_eq!(post(&viewer, &path, None, &named).await.status, 403);
}

fn ending_after(after: &str) -> Value {
    json!([start(), { "id": "end", "kind": "end", "after": [after] }])
}

#[tokio::test]
async fn a_list_is_paged_without_gaps_and_found_by_title_and_id() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    let mut started = Vec::new();
    for number in 0..7 {
        started.push(acme.start(workflow, json!({ "title": format!("Parcel {number} is late") })).await);
    }
    started.reverse();
    let grant = acme.owner.grant().unwrap();
    let (mut seen, mut cursor): (Vec<RunId>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = service::list(&grant, &RunFilter::default(), cursor.as_ref(), 3).await.unwrap();
        seen.extend(page.items.iter().map(|run| run.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, started, "all of them, the newest first");

    let found = async |q: &str| {
        let filter = RunFilter { q: Some(q.to_owned()), ..RunFilter::default() };
        service::list(&grant, &filter, None, 50).await.unwrap().items.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(found("parcel 3").await, [started[3]]);
    assert_eq!(found(&started[2].to_string()).await, [started[2]]);
    assert_eq!(found("100%_'; drop").await, []);
    assert_eq!(found("par\0cel 3").await, [started[3]], "a character that no title has");
    let filter = RunFilter { states: vec![RunState::Failed], ..RunFilter::default() };
    assert!(service::list(&grant, &filter, None, 50).await.unwrap().items.is_empty());
    let error = service::list(&grant, &RunFilter::default(), Some(&Cursor("x".to_owned())), 3).await.unwrap_err();
    assert_eq!(error.kind, Kind::Malformed);
}

#[tokio::test]
async fn another_organizations_run_is_the_same_404_as_one_that_never_was() {
    let world = World::new().await;
    let (acme, other) = (Office::new(&world, "Acme").await, Office::new(&world, "Other").await);
    let foreign = other.start(other.simple().await, json!({ "title": "Secret" })).await;
    let program = world.program(&acme.key(Role::Admin).await);
    let never = RunId::new();
    for (method, rest) in [
        (Method::GET, ""),
        (Method::GET, "/steps"),
        (Method::GET, "/steps/start"),
        (Method::GET, "/logs"),
        (Method::GET, "/events"),
        (Method::POST, "/cancel"),
        (Method::POST, "/retry"),
    ] {
        let mut answers = Vec::new();
        for id in [foreign, never] {
            let request = program.request(method.clone(), &format!("/api/v1/runs/{id}{rest}"));
            let reply = program.clone().send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.status, 404, "{method} {rest}");
            let mut body = reply.json();
            body.as_object_mut().unwrap().remove("request_id");
            answers.push(body);
        }
        assert_eq!(answers[0], answers[1], "{method} {rest}");
    }
    assert_eq!(other.run(foreign).await.view.state, RunState::Queued, "nothing happened to it");
}

#[tokio::test]
async fn a_viewer_sees_runs_and_starts_none() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    let run = acme.start(workflow, json!({ "title": "Seen" })).await;
    let viewer = world.program(&acme.key(Role::Viewer).await);
    assert_eq!(viewer.clone().get("/api/v1/runs").await.status, 200);
    assert_eq!(viewer.clone().get(&format!("/api/v1/runs/{run}")).await.status, 200);
    let path = format!("/api/v1/workflows/{workflow}/run");
    let reply = post(&viewer, &path, None, &json!({ "input": {} })).await;
    assert_eq!((reply.status.0.as_u16(), reply.json()["code"].as_str()), (403, Some("forbidden")));
    assert_eq!(post(&viewer, &format!("/api/v1/runs/{run}/cancel"), None, &json!({})).await.status, 403);
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_told_at_its_field() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let schema = json!({
        "type": "object",
        "required": ["amount"],
        "properties": { "amount": { "type": "number" }, "customer": { "type": "object", "properties": { "name": { "type": "string" } } } },
    });
    let nodes = json!([start(), { "id": "end", "kind": "end", "after": ["start"] }]);
    let workflow = acme.workflow("Typed", schema, nodes).await;
    let program = world.program(&acme.key(Role::Member).await);
    let body = json!({ "input": { "amount": "a lot", "customer": { "name": 5 } } });
    let reply = post(&program, &format!("/api/v1/workflows/{workflow}/run"), None, &body).await;
    assert_eq!(reply.status, 422);
    let mut fields: Vec<String> = reply.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap().to_owned())
        .collect();
    fields.sort();
    assert_eq!(fields, ["input.amount", "input.customer.name"]);
    assert_eq!(reply.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn large_values_come_when_they_are_asked_for() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    let program = world.program(&acme.key(Role::Member).await);
    for size in [150 * 1024, 400 * 1024] {
        let run = acme.start(workflow, json!({ "title": "Large", "text": "x".repeat(size) })).await;
        let short = program.clone().get(&format!("/api/v1/runs/{run}")).await.json();
        assert_eq!(short["input"], Value::Null, "{size}");
        assert!(short["input_bytes"].as_u64().unwrap() > size as u64);
        let full = program.clone().get(&format!("/api/v1/runs/{run}?full=true")).await.json();
        assert_eq!(full["input"]["text"].as_str().map(str::len), Some(size));
    }
    let reply = post(
        &program,
        &format!("/api/v1/workflows/{workflow}/run"),
        None,
        &json!({ "input": { "text": "x".repeat(1_100_000) } }),
    )
    .await;
    assert_eq!(reply.status, 413, "{}", reply.text());
}

#[tokio::test]
async fn a_run_is_stopped_once_and_retried_when_it_has_ended() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "wait", "kind": "wait", "seconds": 600, "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["wait"] },
    ]);
    let workflow = acme.workflow("Patient", any(), nodes).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Stop me" })).await;
    acme.until(run, RunState::Waiting).await;
    let program = world.program(&acme.key(Role::Member).await);
    let early = post(&program, &format!("/api/v1/runs/{run}/retry"), None, &json!({})).await;
    assert_eq!(early.json()["code"], "runs.not_ended");

    assert_eq!(post(&program, &format!("/api/v1/runs/{run}/cancel"), None, &json!({})).await.status, 202);
    let again = post(&program, &format!("/api/v1/runs/{run}/cancel"), None, &json!({})).await;
    assert!(again.status == 202 || again.json()["code"] == "runs.ended", "{}", again.text());
    acme.until(run, RunState::Cancelled).await;
    let late = post(&program, &format!("/api/v1/runs/{run}/cancel"), None, &json!({})).await;
    assert_eq!((late.status.0.as_u16(), late.json()["code"].as_str()), (409, Some("runs.ended")));

    let (path, nothing) = (format!("/api/v1/runs/{run}/retry"), json!({}));
    let retries = (0..10).map(|_| post(&program, &path, Some("again"), &nothing));
    let replies = futures::future::join_all(retries).await;
    let mut ids: Vec<String> = replies.iter().map(|reply| reply.json()["id"].to_string()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one key, one retry");
    let retried = acme.run(run).await.detail.retried_by;
    assert_eq!(retried.len(), 1);
    assert_eq!(retried[0].1, "retry");
    let next = acme.run(retried[0].0).await;
    assert_eq!((next.retry_of, next.summary.trigger.as_str()), (Some(run), "retry"));
    assert_eq!(next.summary.title, "Stop me");
}

#[tokio::test]
async fn a_run_is_read_back_as_it_went() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "sum", "kind": "transform", "value": { "total": "{{ input.a + input.b }}" }, "after": ["start"] },
        { "id": "end", "kind": "end", "output": "{{ steps.sum.output }}", "after": ["sum"] },
    ]);
    let workflow = acme.workflow("Sums", any(), nodes).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Two and three", "a": 2, "b": 3 })).await;
    let ended = acme.until(run, RunState::Succeeded).await;
    assert_eq!(ended.output, Some(json!({ "total": 5 })));
    let program = world.program(&acme.key(Role::Viewer).await);
    let steps = program.clone().get(&format!("/api/v1/runs/{run}/steps?limit=2")).await.json();
    assert_eq!(steps["items"].as_array().map(Vec::len), Some(2));
    let cursor = steps["next_cursor"].as_str().unwrap();
    let rest = program.clone().get(&format!("/api/v1/runs/{run}/steps?cursor={cursor}")).await.json();
    assert_eq!(rest["items"][0]["id"], "end");
    let step = program.clone().get(&format!("/api/v1/runs/{run}/steps/sum")).await.json();
    assert_eq!(step["output"], json!({ "total": 5 }));
    assert_eq!(program.clone().get(&format!("/api/v1/runs/{run}/steps/nothing")).await.status, 404);
    let whole = program.clone().get(&format!("/api/v1/runs/{run}/logs?limit=500")).await.json();
    let lines = whole["lines"].as_array().unwrap();
    let last = lines.last().map_or(i64::MAX, |line| line["seq"].as_i64().unwrap());
    let before = program.clone().get(&format!("/api/v1/runs/{run}/logs?before={last}")).await.json();
    assert_eq!(before["lines"].as_array().map(Vec::len), Some(lines.len().saturating_sub(1)));
    assert_eq!(program.clone().get(&format!("/api/v1/runs/{run}/logs?level=loud")).await.status, 400);
}

/// A value that a page gets from the server must be the one that its browser reads back, or the two draw different pages.
fn read_back<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(*value, serde_json::from_str(&text).unwrap(), "{text}");
}

#[tokio::test]
async fn what_a_browser_reads_back_is_what_the_server_drew_where_a_value_is_null() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    world.work();
    let nodes = json!([
        start(),
        { "id": "pick", "kind": "transform", "after": ["start"], "value": "{{ input.nothing }}" },
        { "id": "pause", "kind": "wait", "after": ["pick"], "seconds": 0 },
        { "id": "ask", "kind": "approval", "after": ["pause"], "title": "Go on?" },
        { "id": "end", "kind": "end", "after": ["ask"] },
    ]);
    let workflow = acme.workflow("Nothing", any(), nodes).await;
    let run = acme.start(workflow, json!({ "title": "None", "nothing": null })).await;
    let asked = acme.asked(run).await;
    read_back(&asked);
    let verdict = agentflow::approvals::Verdict::Approve { payload: None, amount: None };
    let decided =
        agentflow::approvals::service::decide(&acme.owner.grant().unwrap(), asked.id, &verdict).await.unwrap();
    read_back(&decided);
    let ended = acme.until(run, RunState::Succeeded).await;
    assert_eq!((&ended.output, ended.output_bytes), (&None, 0));
    read_back(&ended.detail);
    let grant = acme.owner.grant().unwrap();
    read_back(&service::payloads(&grant, run, true).await.unwrap());
    assert_eq!(ended.view.steps.len(), 5);
    for step in &ended.view.steps {
        for full in [false, true] {
            let detail = service::step(&grant, run, &step.id, full).await.unwrap();
            read_back(&detail);
            assert_ne!(detail.output, Some(Value::Null), "{}", step.id);
        }
        read_back(&service::step_events(&grant, run, &step.id).await.unwrap());
    }
}
