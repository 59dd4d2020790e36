//! The tool web_search against stand-ins of the services.

use std::sync::{Arc, Mutex};

use agentflow::{engine::state::ErrorClass, kernel::Money};
use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, Uri, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{tools::Runner, world::World};

type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A service that speaks as both do, and says no to some questions.
async fn service() -> (String, Seen) {
    let seen: Seen = Arc::default();
    let keep = Arc::clone(&seen);
    let answer = move |uri: Uri, headers: HeaderMap| {
        let key = headers.get("x-subscription-token").map_or("", |key| key.to_str().unwrap()).to_owned();
        keep.lock().unwrap().push((uri.to_string(), key));
        async move {
            let one = json!({ "title": "T", "url": "https://t.example/", "content": "words", "description": "words" });
            match uri.query() {
                Some(query) if query.contains("q=busy") => {
                    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7")]).into_response()
                }
                Some(query) if query.contains("q=html") => "<html>".into_response(),
                Some(query) if query.contains("q=endless") => vec![b'x'; 4 << 20].into_response(),
                _ => {
                    Json(json!({ "results": [one.clone(), one.clone()], "web": { "results": [one] } })).into_response()
                }
            }
        }
    };
    let router = Router::new().route("/search", get(answer.clone())).route("/res/v1/web/search", get(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, seen)
}

async fn runner(settings: &[(&str, &str)]) -> (World, Runner) {
    let world = World::with(settings).await;
    let ada = world.sign_up("Ada").await;
    let runner = Runner::of(&world, &ada.org).await;
    (world, runner)
}

#[tokio::test]
async fn the_service_that_the_operator_has_set_up_is_asked() {
    let (base, seen) = service().await;
    let (world, ada) = runner(&[("AGENTFLOW_SEARCH_URL", &base)]).await;
    assert!(world.deps().tools.catalog().iter().any(|tool| tool.name == "web_search" && tool.set_up.is_none()));
    let found = ada.call("web_search", json!({ "query": "a b", "count": 1 })).await.unwrap();
    assert_eq!(found, json!({ "results": [{ "title": "T", "url": "https://t.example/", "snippet": "words" }] }));
    assert_eq!(seen.lock().unwrap()[0].0, "/search?q=a+b&format=json&safesearch=1");
    for (query, class, code) in [
        ("busy", ErrorClass::RateLimited, "web_search.status_429"),
        ("html", ErrorClass::InvalidOutput, "web_search.unreadable"),
        ("endless", ErrorClass::InvalidOutput, "web_search.unreadable"),
    ] {
        let error = ada.call("web_search", json!({ "query": query })).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (class, code));
        assert_eq!(error.retry_after_ms, (query == "busy").then_some(7_000));
    }
    let brave = [("AGENTFLOW_BRAVE_API_KEY", "k1"), ("AGENTFLOW_BRAVE_BASE_URL", base.as_str())];
    let (_world, ada) = runner(&brave).await;
    let (found, cost) = ada.paid_call("web_search", json!({ "query": "x" })).await.unwrap();
    assert_eq!((&found["results"][0]["snippet"], cost), (&json!("words"), Money(5_000)));
    let last = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last, ("/res/v1/web/search?q=x&count=10&text_decorations=false".to_owned(), "k1".to_owned()));
    // The operator may pay another price; the list of tools says it.
    let (world, ada) = runner(&[brave.as_slice(), &[("AGENTFLOW_SEARCH_COST", "0.003")]].concat()).await;
    assert_eq!(ada.paid_call("web_search", json!({ "query": "x" })).await.unwrap().1, Money(3_000));
    let listed = world.deps().tools.catalog().into_iter().find(|tool| tool.name == "web_search").unwrap();
    assert_eq!(listed.cost, Money(3_000));
}

#[tokio::test]
async fn without_a_service_people_see_what_to_do() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let page = ada.client.get(&format!("/o/{}/agents/new", ada.org)).await;
    assert!(page.text().contains("Search the web (not set up)") && page.text().contains("AGENTFLOW_SEARCH_URL"));
    assert!(page.text().contains("Run a command (not set up)"));
    assert!(!page.text().contains("Calculator (not set up)"));
}
