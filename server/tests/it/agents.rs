//! Agents through their forms: who may, what is kept, and what is told where.

use agentflow::access::Role;
use app::{
    agents::api::{ArchiveAgent, CreateAgent, DeployAgent, ListAgents, LoadAgent, SaveAgent},
    workflows::api::UseTemplate,
};
use serde_json::{Value, json};

use crate::{
    people::Person,
    world::{Reply, World},
};

const FORM: [(&str, &str); 8] = [
    ("form[name]", "Support"),
    ("form[role]", "answers customers"),
    ("form[instructions]", "Be kind.\r\nBe brief."),
    ("form[model]", "sandbox/sandbox"),
    ("form[max_turns]", "5"),
    ("form[max_tokens]", "10,000"),
    ("form[max_cost]", "0.50"),
    ("form[timeout_s]", "60"),
];

fn form<'a>(over: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields: Vec<(&str, &str)> =
        FORM.into_iter().filter(|(name, _)| !over.iter().any(|(other, _)| other == name)).collect();
    fields.extend(over);
    fields
}

async fn load(person: &mut Person, agent: &str) -> Value {
    let reply = person.sends::<LoadAgent>(&[("agent", agent)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, fields: &[&str]) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let error = reply.json();
    let told: Vec<&str> =
        error["fields"].as_array().into_iter().flatten().filter_map(|entry| entry["field"].as_str()).collect();
    assert_eq!(told, fields, "{error:#}");
}

#[tokio::test]
async fn every_save_is_a_version_and_an_old_one_stays_as_it_was() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let tools = [("form[tools][calculator]", "allowed"), ("form[tools][email_send]", "off")];
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&tools)).await);
    let first = load(&mut ada, &id).await;
    assert_eq!(first["agent"]["config"]["instructions"], "Be kind.\nBe brief.");
    assert_eq!(first["agent"]["config"]["tools"], json!({ "calculator": "allowed" }));
    assert_eq!(first["agent"]["config"]["limits"]["max_cost"], 500_000);
    assert_eq!(first["agent"]["key"], "support");
    assert_eq!(first["agent"]["deployed_version"], 1);

    let change = [("agent", id.as_str()), ("base", "1"), ("form[role]", "helps")];
    Person::done(&ada.sends::<SaveAgent>(&form(&change)).await);
    // Sent again it changes nothing, so it is no version.
    let again = [("agent", id.as_str()), ("base", "2"), ("form[role]", "helps")];
    Person::done(&ada.sends::<SaveAgent>(&form(&again)).await);
    let page = load(&mut ada, &id).await;
    assert_eq!(page["versions"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["versions"][0]["note"], "Changed role, tools");
    assert_eq!(page["agent"]["deployed_version"], 1, "a save deploys nothing");
    let old = ada.sends::<LoadAgent>(&[("agent", &id), ("version", "1")]).await.json();
    assert_eq!(old["form"]["role"], "answers customers");
    Person::done(&ada.sends::<DeployAgent>(&[("agent", &id), ("version", "2")]).await);
    assert_eq!(load(&mut ada, &id).await["agent"]["deployed_version"], 2);
    for page in [format!("/o/{}/agents", ada.org), format!("/o/{}/agents/{id}", ada.org)] {
        let html = ada.client.get(&page).await;
        assert!(html.status.0.is_success() && html.text().contains("Sandbox model"), "{page}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_at_its_field() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let unreadable = [("form[temperature]", "warm"), ("form[output_schema]", "{"), ("form[max_cost]", "much")];
    let fields = ["form[temperature]", "form[output_schema]", "form[max_cost]"];
    refused(&ada.sends::<CreateAgent>(&form(&unreadable)).await, 422, &fields);
    let senseless = [
        ("form[name]", " "),
        ("form[model]", "gpt"),
        ("form[max_turns]", "51"),
        ("form[tools][shell]", "allowed"),
        ("form[output_schema]", "{\"type\": \"strange\"}"),
    ];
    let fields = ["form[name]", "form[model]", "form[max_turns]", "form[tools][shell]", "form[output_schema]"];
    refused(&ada.sends::<CreateAgent>(&form(&senseless)).await, 422, &fields);
    let long = "x".repeat(20_001);
    refused(&ada.sends::<CreateAgent>(&form(&[("form[instructions]", &long)])).await, 422, &["form[instructions]"]);
    Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    refused(&ada.sends::<CreateAgent>(&form(&[("form[name]", "SUPPORT")])).await, 422, &["form[name]"]);
}

#[tokio::test]
async fn who_saves_second_is_told_and_can_save_on_top() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut ben = world.joins("Ben", &ada.org.clone(), Role::Member).await;
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    Person::done(&ada.sends::<SaveAgent>(&form(&[("agent", &id), ("base", "1"), ("form[role]", "by Ada")])).await);
    let mine = form(&[("agent", &id), ("base", "1"), ("form[role]", "by Ben")]);
    let reply = ben.sends::<SaveAgent>(&mine).await;
    refused(&reply, 412, &["base"]);
    assert!(reply.json()["message"].as_str().is_some_and(|words| words.starts_with("Ada saved version 2")));
    let on_top = form(&[("agent", &id), ("base", "2"), ("form[role]", "by Ben")]);
    Person::done(&ben.sends::<SaveAgent>(&on_top).await);
    assert_eq!(load(&mut ada, &id).await["form"]["role"], "by Ben");
}

#[tokio::test]
async fn roles_decide_who_makes_and_who_deploys() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let org = ada.org.clone();
    let mut mia = world.joins("Mia", &org, Role::Member).await;
    let mut vic = world.joins("Vic", &org, Role::Viewer).await;
    let id = Person::done(&mia.sends::<CreateAgent>(&form(&[])).await);
    assert_eq!(load(&mut mia, &id).await["agent"]["deployed_version"], Value::Null);
    refused(&mia.sends::<DeployAgent>(&[("agent", &id), ("version", "1")]).await, 403, &[]);
    Person::done(&ada.sends::<DeployAgent>(&[("agent", &id), ("version", "1")]).await);
    refused(&vic.sends::<CreateAgent>(&form(&[])).await, 403, &[]);
    refused(&vic.sends::<SaveAgent>(&form(&[("agent", &id), ("base", "1")])).await, 403, &[]);
    refused(&vic.sends::<ArchiveAgent>(&[("agent", &id)]).await, 403, &[]);
    let page = vic.client.get(&format!("/o/{org}/agents/{id}")).await;
    assert!(page.text().contains("You can look at this agent"), "{}", page.text());
}

#[tokio::test]
async fn another_organizations_agent_is_as_unknown_as_none_and_one_that_works_cannot_be_archived() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut eve = world.sign_up("Eve").await;
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    for agent in [id.as_str(), "ag_01jd0000000000000000000000"] {
        refused(&eve.sends::<LoadAgent>(&[("agent", agent)]).await, 404, &[]);
        refused(&eve.sends::<SaveAgent>(&form(&[("agent", agent), ("base", "1")])).await, 404, &[]);
        refused(&eve.sends::<DeployAgent>(&[("agent", agent), ("version", "1")]).await, 404, &[]);
        refused(&eve.sends::<ArchiveAgent>(&[("agent", agent)]).await, 404, &[]);
        assert_eq!(eve.client.get(&format!("/o/{}/agents/{agent}", eve.org)).await.status, 404);
    }
    assert_eq!(ada.client.get(&format!("/o/{}/agents/nonsense", ada.org)).await.status, 404);
    Person::done(&ada.sends::<UseTemplate>(&[("template", "invoice")]).await);
    let list = ada.sends::<ListAgents>(&[]).await.json();
    let checker = list["agents"].as_array().expect("agents").iter().find(|agent| agent["key"] == "invoice-checker");
    let checker = checker.and_then(|agent| agent["id"].as_str()).expect("the template's agent");
    let reply = ada.sends::<ArchiveAgent>(&[("agent", checker)]).await;
    assert_eq!((reply.status.0.as_u16(), &reply.json()["code"]), (409, &json!("agents.in_use")));
    Person::done(&ada.sends::<ArchiveAgent>(&[("agent", &id)]).await);
    assert_eq!(ada.sends::<ListAgents>(&[]).await.json()["agents"].as_array().map(Vec::len), Some(1));
}
