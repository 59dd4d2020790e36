//! Finding by name: what a person sees of their organization, and of no other.

use agentflow::{engine::state::RunState, kernel::RunId};
use app::palette::api::{Find, Shortcuts};
use leptos::server_fn::ServerFn as _;
use serde_json::json;

use crate::{
    office::{Office, any, start},
    people::Person,
    world::World,
};

async fn found(person: &mut Person, org: &str, q: &str) -> String {
    let reply = person.client.post_form(Find::PATH, &[("org", org), ("q", q)]).await;
    assert_eq!(reply.status, 200, "{q}: {}", reply.text());
    reply.text().to_owned()
}

#[tokio::test]
async fn names_are_found_in_any_case_and_only_in_the_own_organization() {
    let world = World::new().await;
    let (mut ada, mut bob) = (world.sign_up("Ada").await, world.sign_up("Bob").await);
    let acme = Office::of(&world, &ada.org).await;
    let nodes = json!([start(), { "id": "end", "kind": "end", "after": ["start"] }]);
    let workflow = acme.workflow("Refund desk 100%", any(), nodes).await;
    let run: RunId = acme.start(workflow, json!({ "title": "Ticket <4812>" })).await;
    acme.until(run, RunState::Succeeded).await;
    let org = ada.org.clone();

    assert!(found(&mut ada, &org, "rEFUND").await.contains("Refund desk 100%"));
    // A percent sign is a percent sign.
    assert!(found(&mut ada, &org, "100%").await.contains("Refund desk"));
    assert!(!found(&mut ada, &org, "1%").await.contains("Refund desk"));
    let by_title = found(&mut ada, &org, "ticket <48").await;
    assert!(by_title.contains(&run.to_string()) && !by_title.contains("<4812>"), "{by_title}");
    assert!(found(&mut ada, &org, &run.to_string()).await.contains("4812"));
    assert!(found(&mut ada, &org, "").await.contains("Newest runs"));
    assert!(found(&mut ada, &org, "\u{0}nothing like it").await.contains("Nothing has this name"));

    // Another organization's name is no name here, and its page is nobody else's.
    let elsewhere = bob.org.clone();
    assert!(found(&mut bob, &elsewhere, "refund").await.contains("Nothing has this name"));
    assert!(!found(&mut bob, &elsewhere, &run.to_string()).await.contains("4812"));
    let refused = bob.client.post_form(Find::PATH, &[("org", &org), ("q", "refund")]).await;
    assert_eq!(refused.status, 404);
    let shortcuts = ada.client.post_form(Shortcuts::PATH, &[("org", &org)]).await;
    assert!(shortcuts.text().contains("Search and go anywhere"));
}
