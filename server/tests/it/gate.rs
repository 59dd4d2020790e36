//! Every door that there is, found by the router itself: closed to strangers unless it is on the short public list.

use axum::{
    body::Body,
    http::{Method, header},
};
use leptos::server_fn::axum::server_fn_paths;
use server::http::gate::PUBLIC;

use crate::world::World;

/// Pages of an organization, of each kind.
const PAGES: [&str; 12] = [
    "",
    "/",
    "/runs",
    "/runs/run_01jd0000000000000000000000",
    "/approvals",
    "/agents",
    "/agents/new",
    "/workflows",
    "/workflows/new",
    "/settings",
    "/outbox",
    "/no-such-page",
];

#[tokio::test]
async fn strangers_are_refused_by_every_server_function_that_is_not_public() {
    let world = World::new().await;
    let paths: Vec<_> = server_fn_paths().collect();
    assert!(paths.len() > PUBLIC.len());
    for public in PUBLIC {
        assert!(paths.iter().any(|(path, _)| *path == public), "{public} is not a server function any more");
    }
    for (path, method) in paths {
        assert_eq!(method, Method::POST, "{path}: a function that changes something must not be a GET");
        // What cannot even be decoded is refused all the same: the gate comes before the arguments.
        let reply = world.client().post_form(path, &[]).await;
        if PUBLIC.contains(&path) {
            assert_ne!(reply.status, 401, "{path}");
        } else {
            assert_eq!(reply.status, 401, "{path}: {}", reply.text());
            assert_eq!(reply.json()["code"], "unauthenticated", "{path}");
        }
        let forged = world.client().get(&format!("{path}?org=acme&name=x")).await;
        assert!(!forged.status.0.is_success(), "{path} answers a GET");
    }
}

#[tokio::test]
async fn a_stranger_who_opens_a_page_is_sent_to_the_sign_in_and_nothing_is_rendered() {
    let world = World::new().await;
    world.sign_up("Ada").await;
    for org in ["ada-s-team", "nobody-s-team"] {
        for page in PAGES {
            let reply = world.client().get(&format!("/o/{org}{page}?view=1")).await;
            assert_eq!(reply.status, 303, "{page}");
            let next = format!("/o/{org}{page}?view=1").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D");
            assert_eq!(reply.header("location"), format!("/login?next={next}"));
            assert!(reply.body.is_empty(), "{page}");
        }
    }
    assert_eq!(world.client().get("/").await.header("location"), "/login");
}

#[tokio::test]
async fn a_stranger_who_sends_a_form_comes_back_to_its_page_after_signing_in() {
    let world = World::new().await;
    let mut client = world.client();
    let request = client
        .request(Method::POST, "/rpc/app/settings/api/update_profile")
        .header(header::ACCEPT, "text/html")
        .header(header::REFERER, "http://localhost:3000/o/acme/settings?a=b")
        .body(Body::empty())
        .unwrap();
    let reply = client.send(request).await;
    assert_eq!(
        (reply.status.0.as_u16(), reply.header("location")),
        (303, "/login?next=%2Fo%2Facme%2Fsettings%3Fa%3Db")
    );
}

#[tokio::test]
async fn the_sign_in_leads_on_who_is_signed_in_already() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    for path in ["/", "/login", "/signup"] {
        let reply = ada.client.get(path).await;
        assert_eq!((reply.status.0.as_u16(), reply.header("location")), (303, "/o/ada-s-team/"), "{path}");
    }
}

#[tokio::test]
async fn a_program_and_an_event_stream_are_told_no_instead_of_being_led_astray() {
    let world = World::new().await;
    let mut client = world.client();
    let request = client.request(Method::GET, "/o/acme/stream?topics=runs").header(header::ACCEPT, "text/event-stream");
    let reply = client.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 401);
}
