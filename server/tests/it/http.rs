//! The layers around everything, on the real router.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::World;

#[tokio::test]
async fn a_page_has_a_policy_with_a_nonce_of_its_own() {
    let world = World::new().await;
    let mut nonces = HashSet::new();
    for _ in 0..20 {
        let reply = world.client().get("/login").await;
        let policy = reply.header("content-security-policy").to_owned();
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let (_, rest) = policy.split_once("'nonce-").expect("a nonce");
        let (nonce, _) = rest.split_once('\'').expect("a nonce");
        assert!(nonce.len() >= 22, "128 bits: {nonce}");
        let text = reply.text();
        for script in text.split("<script").skip(1) {
            assert!(script.starts_with(&format!(" nonce=\"{nonce}\"")) || script.contains(nonce), "{script}");
        }
        assert!(!text.contains(" style=\""), "the policy forbids style attributes");
        nonces.insert(nonce.to_owned());
    }
    assert_eq!(nonces.len(), 20);
}

#[tokio::test]
async fn every_answer_carries_what_protects_it() {
    let world = World::new().await;
    for path in ["/login", "/health", "/no-such-page", "/api/v1/runs"] {
        let reply = world.client().get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name), value, "{name} of {path}");
        }
        assert!(reply.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(reply.header("x-request-id").len(), 32, "{path}");
        assert_eq!(reply.header("server"), "", "{path}");
    }
}

#[tokio::test]
async fn a_request_id_of_the_client_is_not_taken() {
    let world = World::new().await;
    let mut client = world.client();
    let request = client.request(Method::GET, "/health").header("x-request-id", "mine");
    let reply = client.send(request.body(Body::empty()).expect("request")).await;
    assert_ne!(reply.header("x-request-id"), "mine");
}

#[tokio::test]
async fn another_site_cannot_call_a_server_function() {
    let world = World::new().await;
    for headers in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", "null")],
        vec![("origin", "http://localhost:4000")],
        vec![],
    ] {
        for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""] {
            let mut request = Request::post("/rpc/app/sign_in/api/sign_in").header(header::HOST, "localhost:3000");
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            request = request.header(header::CONTENT_TYPE, kind).header(header::COOKIE, "__Host-agentflow=planted");
            let body = Body::from("email=ada%40example.com&password=correct-horse");
            let reply = world.client().send(request.body(body).expect("request")).await;
            assert_eq!(reply.status, 403, "{headers:?} {kind}");
            assert!(reply.headers.get(header::SET_COOKIE).is_none());
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_whether_its_length_was_said_or_not() {
    let world = World::new().await;
    for path in ["/rpc/app/sign_in/api/sign_in", "/api/v1/workflows/x/run"] {
        let large = vec![b'a'; 3 << 20];
        let mut client = world.client();
        let said = client.request(Method::POST, path).header(header::CONTENT_LENGTH, large.len());
        assert_eq!(client.send(said.body(Body::from(large.clone())).expect("request")).await.status, 413, "{path}");
        let chunks = large.chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
        let unsaid = client.request(Method::POST, path);
        let body = Body::from_stream(futures::stream::iter(chunks));
        assert_eq!(client.send(unsaid.body(body).expect("request")).await.status, 413, "{path}");
    }
}

#[tokio::test]
async fn json_that_is_nested_too_deep_is_400() {
    let world = World::new().await;
    for path in ["/rpc/app/sign_in/api/sign_in", "/api/v1/workflows/x/run"] {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let mut client = world.client();
        let request = client.request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        assert_eq!(client.send(request.body(Body::from(deep)).expect("request")).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn health_tells_what_works() {
    let world = World::new().await;
    let mut client = world.client();
    assert_eq!(client.get("/health/ping").await.text(), "pong");
    assert_eq!(client.get("/health/live").await.json(), json!({ "status": "ok" }));
    assert_eq!(client.get("/health").await.json()["checks"]["database"]["status"], "ok");
    assert_eq!(client.get("/health/ready").await.status, 200);
    world.state.stop.request();
    assert_eq!(client.get("/health/ready").await.status, 503);
    assert_eq!(client.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn without_its_database_the_server_is_alive_and_not_ready() {
    let world = World::new().await;
    world.deps().db.close().await;
    let mut client = world.client();
    assert_eq!(client.get("/health/live").await.status, 200);
    assert_eq!(client.get("/health/ready").await.status, 503);
    assert_eq!(client.get("/health/database").await.status, 503);
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection_and_one_that_is_too_large_is_431() {
    let world = World::new().await;
    let base = world.serve().await;
    let address = base.strip_prefix("http://").expect("address").to_owned();

    let mut large = TcpStream::connect(&address).await.expect("connection");
    let head = format!("GET /health/ping HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(64 * 1024));
    // The server may answer before it has read everything.
    drop(large.write_all(head.as_bytes()).await);
    let mut answer = vec![0; 12];
    large.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 431");

    // A browser keeps connections that it has used, or made in advance.
    let ping = b"GET /health/ping HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut used = TcpStream::connect(&address).await.expect("connection");
    used.write_all(ping).await.expect("bytes");
    used.read_exact(&mut answer).await.expect("an answer");
    let mut unused = TcpStream::connect(&address).await.expect("connection");

    let mut slow = TcpStream::connect(&address).await.expect("connection");
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.expect("bytes");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(15), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open after 15 s");
    for idle in [&mut used, &mut unused] {
        idle.write_all(ping).await.expect("bytes");
        let mut answer = vec![0; 4_096];
        let count = idle.read(&mut answer).await.expect("the connection was kept");
        assert!(count > 0, "the connection was not kept");
    }
}

#[tokio::test]
async fn a_proxy_may_speak_http_2() {
    let world = World::new().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("client");
    let answer = client.get(format!("{}/health/ping", world.serve().await)).send().await.expect("an answer");
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.expect("body"), "pong");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_in_words() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of the future', true, '\\x00', 0)",
    )
    .execute(&mut owner)
    .await
    .expect("row");
    let error = agentflow::db::prepare(world.database_url()).await.expect_err("a refusal");
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_come_while_other_routers_are_made() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    // The other thread goes on for as long as this test does.
    let alive = Arc::new(());
    let (state, test) = (world.state.clone(), Arc::downgrade(&alive));
    let maker = tokio::task::spawn_blocking(move || {
        while test.strong_count() > 0 {
            drop(server::router(state.clone()));
        }
    });
    for turn in 0..40 {
        let page = tokio::time::timeout(Duration::from_secs(20), ada.client.get("/o/ada-s-team/agents")).await;
        assert_eq!(page.unwrap_or_else(|_| panic!("page {turn} never came")).status, 200);
    }
    drop(alive);
    maker.await.unwrap();
}
