//! The files of a run: written once, bounded, seen by the run and by people who may see what it holds, and gone with it.

use agentflow::{access::Role, engine::state::RunState, kernel::RunId, runs::control};
use axum::http::Method;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    office::{Office, any, start},
    tools::Runner,
    world::World,
};

async fn run_of(world: &World, name: &str) -> (Office, RunId, Runner) {
    let office = Office::new(world, name).await;
    let run = office.start(office.simple().await, json!({})).await;
    let runner = Runner::of(world, &name.to_lowercase()).await.in_run(run);
    (office, run, runner)
}

fn write(path: &str, content: &str) -> Value {
    json!({ "path": path, "content": content })
}

#[tokio::test]
async fn a_run_writes_and_reads_its_files_and_no_others() {
    let world = World::new().await;
    let (acme, _, runner) = run_of(&world, "Acme").await;
    let first = runner.call("file_write", write("./data/a.csv", "a,b\n")).await.unwrap();
    assert_eq!(first, json!({ "path": "data/a.csv", "size": 4, "media_type": "text/csv", "repeated": false }));
    let more = json!({ "path": "data/a.csv", "content": "1,ä\n", "append": true });
    let second = runner.at_step("second");
    assert_eq!(second.call("file_write", more.clone()).await.unwrap()["size"], 9);
    // The same attempt again, after a crash: nothing is added twice.
    let again = second.call("file_write", more).await.unwrap();
    assert_eq!((&again["size"], &again["repeated"]), (&json!(9), &json!(true)));
    let read = runner.call("file_read", json!({ "path": "data/a.csv", "offset": 4 })).await.unwrap();
    assert_eq!((&read["content"], &read["next_offset"]), (&json!("1,ä\n"), &Value::Null));
    let bytes = json!({ "path": "b.bin", "content": BASE64_STANDARD.encode([0, 255]), "encoding": "base64" });
    runner.at_step("third").call("file_write", bytes).await.unwrap();
    let read = runner.call("file_read", json!({ "path": "b.bin" })).await.unwrap();
    assert_eq!((&read["content"], &read["encoding"]), (&json!("AP8="), &json!("base64")));
    let list = runner.call("file_list", json!({})).await.unwrap();
    assert_eq!((list["files"].as_array().unwrap().len(), &list["bytes"]), (2, &json!(11)));

    let nodes = json!([start(), { "id": "end", "kind": "end", "after": ["start"] }]);
    let other = acme.workflow("Other", any(), nodes).await;
    let other = runner.in_run(acme.start(other, json!({})).await);
    assert_eq!(other.call("file_list", json!({})).await.unwrap()["bytes"], 0);
    let (_, _, eve) = run_of(&world, "Evil").await;
    // A run's id of somebody else's leads nowhere.
    let astray = eve.in_run(runner.scope.run);
    assert_eq!(astray.call("file_list", json!({})).await.unwrap()["bytes"], 0);
    assert_eq!(astray.call("file_read", json!({ "path": "b.bin" })).await.unwrap_err().code, "files.unknown");
    assert!(astray.call("file_write", write("x", "y")).await.is_err());

    assert_eq!(runner.call("file_delete", json!({ "path": "b.bin" })).await.unwrap()["deleted"], true);
    assert_eq!(runner.call("file_delete", json!({ "path": "b.bin" })).await.unwrap()["deleted"], false);
    assert_eq!(runner.call("file_read", json!({ "path": "b.bin" })).await.unwrap_err().code, "files.unknown");
}

#[tokio::test]
async fn files_have_limits() {
    let world = World::new().await;
    let (_, _, runner) = run_of(&world, "Acme").await;
    let mib = "x".repeat(1 << 20);
    let put = |step: usize, path: String, content: String, append: bool| {
        let runner = runner.at_step(&format!("s{step}"));
        async move { runner.call("file_write", json!({ "path": path, "content": content, "append": append })).await }
    };
    assert_eq!(put(0, "a".to_owned(), format!("{mib}x"), false).await.unwrap_err().code, "files.too_large");
    for number in 0..10 {
        put(number, format!("large/{number}"), mib.clone(), false).await.unwrap();
    }
    assert_eq!(put(20, "more".to_owned(), "x".to_owned(), false).await.unwrap_err().code, "files.too_large");
    assert_eq!(put(21, "large/1".to_owned(), "x".to_owned(), true).await.unwrap_err().code, "files.too_large");
    // What was refused was not done, and may be done when there is room.
    put(22, "large/1".to_owned(), String::new(), false).await.unwrap();
    put(20, "more".to_owned(), "x".to_owned(), false).await.unwrap();
    assert_eq!(put(23, "large".to_owned(), String::new(), false).await.unwrap_err().code, "files.folder");
    assert_eq!(put(24, "more/x".to_owned(), String::new(), false).await.unwrap_err().code, "files.folder");
    for number in 11..100 {
        put(100 + number, format!("small/{number}"), String::new(), false).await.unwrap();
    }
    assert_eq!(put(300, "last".to_owned(), String::new(), false).await.unwrap_err().code, "files.too_large");
}

#[tokio::test]
async fn files_come_along_to_a_run_that_goes_on_and_go_with_theirs() {
    let world = World::new().await;
    let office = Office::new(&world, "Acme").await;
    world.work();
    let nodes = json!([
        start(),
        { "id": "keep", "kind": "tool", "tool": "file_write", "arguments": { "path": "a.txt", "content": "kept" }, "after": ["start"] },
        { "id": "break", "kind": "tool", "tool": "calculator", "arguments": { "expression": "none" }, "after": ["keep"] },
        { "id": "end", "kind": "end", "after": ["break"] },
    ]);
    let workflow = office.workflow("Keeps", any(), nodes).await;
    let run = office.start(workflow, json!({})).await;
    office.until(run, RunState::Failed).await;
    let next = control::retry(&office.owner.grant().unwrap(), run, None).await.unwrap().run;
    office.until(next, RunState::Failed).await;
    let runner = Runner::of(&world, "acme").await.in_run(next);
    let read = runner.call("file_read", json!({ "path": "a.txt" })).await.unwrap();
    assert_eq!(read["content"], "kept");
    let mut owner = world.owner().await;
    sqlx::query("update runs set retry_of = null where id = $1").bind(next).execute(&mut owner).await.unwrap();
    sqlx::query("delete from runs where id = $1").bind(run).execute(&mut owner).await.unwrap();
    for table in ["run_files", "run_file_writes"] {
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table} where run_id = $1")))
                .bind(run)
                .fetch_one(&mut owner)
                .await
                .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn who_may_see_what_a_run_holds_can_download_its_files() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut eve = world.sign_up("Eve").await;
    let office = Office::of(&world, &ada.org).await;
    let run = office.start(office.simple().await, json!({})).await;
    let runner = Runner::of(&world, &ada.org).await.in_run(run);
    runner.call("file_write", write("out/bücher \"1\".html", "<script>alert(1)</script>")).await.unwrap();
    let name = "out/b%C3%BCcher%20%221%22.html";
    let file = ada.client.get(&format!("/o/{}/runs/{run}/files/{name}", ada.org)).await;
    assert_eq!((file.status.0.as_u16(), file.text()), (200, "<script>alert(1)</script>"));
    assert_eq!(file.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"b_cher _1_.html\"; filename*=UTF-8''b%C3%BCcher%20%221%22.html"
    );
    for path in ["none.txt", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "out", "out%00"] {
        assert_eq!(ada.client.get(&format!("/o/{}/runs/{run}/files/{path}", ada.org)).await.status, 404, "{path}");
    }
    for org in [&ada.org, &eve.org] {
        assert_eq!(eve.client.get(&format!("/o/{org}/runs/{run}/files/{name}")).await.status, 404);
    }
    let stranger = world.client().get(&format!("/o/{}/runs/{run}/files/{name}", ada.org)).await;
    assert!(!stranger.status.0.is_success() && !stranger.text().contains("alert"));

    let program = |key: &str| world.program(key);
    let get = |client: &crate::world::Client, path: &str| {
        client.request(Method::GET, path).body(axum::body::Body::empty()).unwrap()
    };
    let mut viewer = program(&office.key(Role::Viewer).await);
    let request = get(&viewer, &format!("/api/v1/runs/{run}/files"));
    let list = viewer.send(request).await.json();
    assert_eq!((&list["items"][0]["size"], &list["items"][0]["media_type"]), (&json!(25), &json!("text/plain")));
    let request = get(&viewer, &format!("/api/v1/runs/{run}/files/{name}"));
    let whole = viewer.send(request).await;
    assert_eq!((whole.status.0.as_u16(), whole.text()), (200, "<script>alert(1)</script>"));
    assert!(whole.header("content-disposition").starts_with("attachment"));
    let mut foreign = program(&Office::of(&world, &eve.org).await.key(Role::Admin).await);
    for path in [format!("/api/v1/runs/{run}/files"), format!("/api/v1/runs/{run}/files/{name}")] {
        let request = get(&foreign, &path);
        assert_eq!(foreign.send(request).await.status, 404, "{path}");
    }
}
