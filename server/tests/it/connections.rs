//! An organization's own connections to providers of models.

use std::time::{Duration, Instant};

use agentflow::{
    access::Role,
    connections::ModelConnections,
    engine::port::CallScope,
    kernel::OrgId,
    models::connection::{Connection, Connections},
};
use app::integrations::api::{
    AddModelConnection, ChangeModelConnection, LoadIntegrations, RemoveModelConnection, ReplaceModelKey,
    TestModelConnection,
};
use app::models::api::SetModelClass;
use leptos::server_fn::ServerFn;
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::{
    credentials::{Heard, count, shows, sql, with_key},
    fake_model::FakeModel,
    models::scope,
    office::Office,
    people::Person,
    vectors::{self, Canaries, Flaw},
    world::{Reply, World},
};

const KEY: &str = "sk-key-of-the-organization-1";

/// A world that may call the fake model, an organization's owner, and the organization.
async fn with_fake() -> (World, FakeModel, Person, OrgId) {
    let fake = FakeModel::start().await;
    let (world, _) = with_key(&[("AGENTFLOW_ALLOWED_HOSTS", &fake.address.to_string())]).await;
    let ada = world.sign_up("Ada").await;
    let org = Office::of(&world, &ada.org).await.owner.org_id();
    (world, fake, ada, org)
}

async fn post(person: &mut Person, path: &str, fields: &[(&str, &str)]) -> Reply {
    let org = person.org.clone();
    let mut all = vec![("org", org.as_str())];
    all.extend(fields);
    person.client.post_form(path, &all).await
}

async fn add(person: &mut Person, label: &str, base_url: &str, key: &str) -> Reply {
    let fields =
        [("provider", "compatible"), ("label", label), ("base_url", base_url), ("models", "gpt-fake"), ("secret", key)];
    post(person, AddModelConnection::PATH, &fields).await
}

async fn connections(person: &mut Person) -> Vec<Value> {
    let reply = post(person, LoadIntegrations::PATH, &[]).await;
    reply.json()["connections"].as_array().expect("connections").clone()
}

async fn of(world: &World, org: OrgId) -> Vec<Connection> {
    world.deps().connections.of(org).await.expect("connections")
}

fn key(connection: &Connection) -> &str {
    connection.provider.key.as_ref().map_or("", |key| key.expose_secret())
}

#[tokio::test]
async fn a_connection_is_tested_saved_used_and_removed() {
    let (world, fake, mut ada, org) = with_fake().await;
    assert!(of(&world, org).await.is_empty());
    let reply = add(&mut ada, "Our gate", &fake.base_url(), KEY).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(fake.calls().len(), 1, "it was tested");
    assert_eq!(fake.calls()[0].authorization, format!("Bearer {KEY}"));
    let shown = connections(&mut ada).await;
    assert_eq!((shown[0]["label"].as_str(), shown[0]["last4"].as_str()), (Some("Our gate"), Some("on-1")));
    assert!(shown[0]["checked_at"].is_string() && shown[0]["error"].is_null());
    // At once in this process, although it had just looked.
    let found = of(&world, org).await;
    assert_eq!((found.len(), key(&found[0]), found[0].by_operator), (1, KEY, false));
    assert_eq!(found[0].provider.base_url.as_ref().map(url::Url::as_str), Some(&*format!("{}/", fake.base_url())));
    assert!(!format!("{found:?}").contains(KEY));

    let id = shown[0]["id"].as_str().unwrap().to_owned();
    let replaced = post(&mut ada, ReplaceModelKey::PATH, &[("connection", &id), ("secret", "sk-another-key-2")]).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    assert_eq!(key(&of(&world, org).await[0]), "sk-another-key-2");
    assert_eq!(post(&mut ada, TestModelConnection::PATH, &[("connection", &id)]).await.status, 200);
    assert_eq!(fake.calls().last().unwrap().authorization, "Bearer sk-another-key-2");

    let off = [("connection", id.as_str()), ("label", "Gate"), ("models", "compatible/a, b"), ("rank", "7")];
    assert_eq!(post(&mut ada, ChangeModelConnection::PATH, &off).await.status, 200);
    assert!(of(&world, org).await.is_empty(), "it is switched off");
    let on = [off[0], off[1], off[2], off[3], ("enabled", "true")];
    assert_eq!(post(&mut ada, ChangeModelConnection::PATH, &on).await.status, 200);
    let found = of(&world, org).await;
    assert_eq!((found[0].rank, found[0].provider.models.join(" ")), (7, "a b".to_owned()));

    assert_eq!(post(&mut ada, RemoveModelConnection::PATH, &[("connection", &id)]).await.status, 200);
    assert!(of(&world, org).await.is_empty());
    assert_eq!(count(&world, "credentials").await + count(&world, "model_connections").await, 0);
}

#[tokio::test]
async fn one_whose_test_fails_is_saved_only_when_that_is_wanted_and_says_why() {
    let (world, fake, mut ada, org) = with_fake().await;
    let nowhere = format!("http://{}/nowhere", fake.address);
    let refused = add(&mut ada, "Broken", &nowhere, KEY).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("The test failed"), "{}", refused.text());
    assert_eq!(shows(refused.text(), KEY), None);
    assert!(connections(&mut ada).await.is_empty());
    let fields = [
        ("provider", "compatible"),
        ("base_url", nowhere.as_str()),
        ("models", "gpt-fake"),
        ("secret", KEY),
        ("anyway", "true"),
    ];
    assert_eq!(post(&mut ada, AddModelConnection::PATH, &fields).await.status, 200);
    let shown = connections(&mut ada).await;
    assert_eq!(shown[0]["label"], "Own server");
    assert!(shown[0]["error"].is_string());
    assert_eq!(of(&world, org).await.len(), 1);
    assert_eq!(add(&mut ada, "own SERVER", &fake.base_url(), KEY).await.json()["fields"][0]["field"], "label");
    // Without a key, where a server needs none.
    assert_eq!(add(&mut ada, "Open", &fake.base_url(), "").await.status, 200);
    assert_eq!(fake.calls().last().unwrap().authorization, "Bearer none");
    let wrong = [
        [("provider", "acme"), ("secret", "x"), ("base_url", ""), ("models", "")],
        [("provider", "openai"), ("secret", ""), ("base_url", ""), ("models", "")],
        [("provider", "openai"), ("secret", "x"), ("base_url", "file:///etc"), ("models", "")],
        [("provider", "openai"), ("secret", "x"), ("base_url", "https://u:p@x.example"), ("models", "")],
        [("provider", "openai"), ("secret", "x"), ("base_url", ""), ("models", "a b")],
        [("provider", "openai"), ("secret", "a\0b"), ("base_url", ""), ("models", "")],
        [("provider", "compatible"), ("secret", "x"), ("base_url", ""), ("models", "x")],
    ];
    let calls = fake.calls().len();
    for fields in wrong {
        assert_eq!(post(&mut ada, AddModelConnection::PATH, &fields).await.status, 422, "{fields:?}");
    }
    assert_eq!(fake.calls().len(), calls);
}

/// Whether this machine knows the host of an address.
async fn is_known(address: &str) -> bool {
    let url = url::Url::parse(address).unwrap();
    tokio::net::lookup_host((url.host_str().unwrap(), 80)).await.is_ok()
}

#[tokio::test]
async fn an_address_of_this_network_is_not_called_with_a_key() {
    let canaries = Canaries::listen().await;
    let (world, _) = with_key(&[]).await;
    let mut ada = world.sign_up("Ada").await;
    for vector in vectors::addresses(canaries.port()) {
        let refused = add(&mut ada, "Inside", &vector.text, KEY).await;
        assert_eq!(refused.status, 422, "{vector}: {}", refused.text());
        let (field, words) = match vector.flaw {
            // Those that are read come as far as the test.
            Flaw::Inside | Flaw::Loose => ("anyway", "This address cannot be called."),
            Flaw::Name if is_known(&vector.text).await => ("anyway", "This address cannot be called."),
            Flaw::Name => ("anyway", "The test failed: "),
            Flaw::User | Flaw::Unfit => ("base_url", "Enter "),
        };
        let told = refused.json();
        let fault = &told["fields"][0];
        assert_eq!(fault["field"], field, "{vector}: {fault}");
        assert!(fault["message"].as_str().unwrap().contains(words), "{vector}: {fault}");
    }
    assert!(connections(&mut ada).await.is_empty());
    assert_eq!(canaries.visitors(), 0);
}

#[tokio::test]
async fn another_process_hears_of_a_change_within_two_seconds() {
    let (world, fake, mut ada, org) = with_fake().await;
    let other = ModelConnections::new(world.deps().db.clone(), world.deps().vault.clone());
    assert!(other.of(org).await.unwrap().is_empty());
    add(&mut ada, "Gate", &fake.base_url(), KEY).await;
    let begun = Instant::now();
    while other.of(org).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(2), "it does not hear of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What does not open is left out, and the others go on.
    add(&mut ada, "Second", &fake.base_url(), "sk-second-key-000001").await;
    sql(&world, "update credentials set sealed = 'x' where name = 'Gate'").await;
    let fresh = ModelConnections::new(world.deps().db.clone(), world.deps().vault.clone());
    let left = fresh.of(org).await.unwrap();
    assert_eq!((left.len(), left[0].provider.label.as_str()), (1, "Second"));
}

#[tokio::test]
async fn a_run_notes_once_that_it_uses_a_key() {
    let (world, fake, mut ada, org) = with_fake().await;
    add(&mut ada, "Gate", &fake.base_url(), KEY).await;
    let connection = of(&world, org).await.remove(0);
    let other = ModelConnections::new(world.deps().db.clone(), world.deps().vault.clone());
    let run = CallScope { org, ..scope() };
    for _ in 0..3 {
        world.deps().connections.used(&run, &connection.id).await;
        other.used(&run, &connection.id).await;
    }
    world.deps().connections.used(&CallScope { org, ..scope() }, &connection.id).await;
    assert_eq!(count(&world, "credential_uses where of_model and host = '127.0.0.1' and purpose = 'models'").await, 2);
    assert!(connections(&mut ada).await[0]["last_used_at"].is_string());
}

#[tokio::test]
async fn roles_sign_in_and_organizations_keep_keys_apart() {
    let (world, fake, mut ada, org) = with_fake().await;
    add(&mut ada, "Gate", &fake.base_url(), KEY).await;
    let id = connections(&mut ada).await[0]["id"].as_str().unwrap().to_owned();
    let named = [("connection", id.as_str()), ("secret", "sk-x"), ("label", "Mine")];
    let writes =
        [ReplaceModelKey::PATH, ChangeModelConnection::PATH, TestModelConnection::PATH, RemoveModelConnection::PATH];
    for (name, role) in [("Mia", Role::Member), ("Vic", Role::Viewer)] {
        let mut person = world.joins(name, &ada.org, role).await;
        for path in writes {
            assert_eq!(post(&mut person, path, &named).await.json()["code"], "forbidden", "{path}");
        }
        assert_eq!(add(&mut person, "Mine", &fake.base_url(), KEY).await.json()["code"], "forbidden");
        let page = person.client.get("/o/ada-s-team/integrations").await;
        assert!(page.text().contains("Gate") && !page.text().contains("Test and add provider"));
    }
    let page = ada.client.get("/o/ada-s-team/integrations").await;
    for words in ["Gate", "Connected", "Ends in ", "Test and add provider", "Replace key", "Google Gemini"] {
        assert!(page.text().contains(words), "{words}");
    }
    assert_eq!(shows(page.text(), KEY), None);
    let calls = fake.calls().len();
    let mut bob = world.sign_up("Bob").await;
    for path in writes {
        let foreign = post(&mut bob, path, &named).await;
        assert_eq!((foreign.status.0.as_u16(), foreign.json()["code"].as_str()), (404, Some("not_found")), "{path}");
    }
    sql(&world, "update sessions set created_at = now() - interval '3 hours'").await;
    assert_eq!(add(&mut ada, "Second", &fake.base_url(), KEY).await.json()["code"], "reauth");
    assert_eq!(post(&mut ada, ReplaceModelKey::PATH, &named).await.json()["code"], "reauth");
    assert_eq!(fake.calls().len(), calls, "nobody was called for those");
    assert_eq!(key(&of(&world, org).await[0]), KEY);
}

#[tokio::test]
async fn a_key_that_is_tested_and_used_is_in_no_log() {
    let heard = Heard::default();
    let listening = heard.listen();
    let (world, fake, mut ada, org) = with_fake().await;
    add(&mut ada, "Gate", &fake.base_url(), KEY).await;
    add(&mut ada, "Broken", &format!("http://{}/nowhere", fake.address), KEY).await;
    assert_eq!(of(&world, org).await.len(), 1);
    drop(listening);
    assert!(heard.text().contains("connection to a provider added"), "{}", heard.text().len());
    assert_eq!(shows(&heard.text(), KEY), None);
}

#[tokio::test]
async fn admins_name_the_models_of_a_class_on_its_page() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let path = format!("/o/{}/settings/models", ada.org);
    let page = ada.client.get(&path).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("class/safety_critical") && !page.text().contains("Chosen by your organization."));

    let reply = ada.sends::<SetModelClass>(&[("class", "routine"), ("models", "no model")]).await;
    assert_eq!((reply.status.0.as_u16(), reply.json()["fields"][0]["field"].as_str()), (422, Some("models")));
    let models = "openai/gpt-6-luna\r\n\r\n  sandbox/sandbox ";
    Person::done(&ada.sends::<SetModelClass>(&[("class", "routine"), ("models", models)]).await);
    let page = ada.client.get(&path).await;
    assert!(page.text().contains("Chosen by your organization."));
    assert!(page.text().contains("openai/gpt-6-luna\nsandbox/sandbox</textarea>"), "{}", page.text());

    let mut viewer = world.joins("Vera", &ada.org, Role::Viewer).await;
    let page = viewer.client.get(&path).await;
    assert!(page.text().contains("Chosen by your organization.") && !page.text().contains("Save class"));
    assert_eq!(viewer.sends::<SetModelClass>(&[("class", "routine"), ("models", "")]).await.status, 403);

    Person::done(&ada.sends::<SetModelClass>(&[("class", "routine")]).await);
    assert!(!ada.client.get(&path).await.text().contains("Chosen by your organization."));
}
