//! Agents through their forms: who may, what is kept, and what is told where.

use agentflow::access::Role;
use app::{
    agents::api::{
        AddTestCase, ArchiveAgent, CreateAgent, DeployAgent, ListAgents, LoadAgent, LoadAgentCases, LoadAgentRecord,
        LoadAgentVersions, RemoveTestCase, RestoreAgentVersion, RollBackAgent, SaveAgent, SaveTestCase, SetAgentStatus,
    },
    workflows::api::UseTemplate,
};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};

use crate::{
    forms::post_from,
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
        ("form[tools][teleport]", "allowed"),
        ("form[output_schema]", "{\"type\": \"strange\"}"),
    ];
    let fields = ["form[name]", "form[model]", "form[max_turns]", "form[tools][teleport]", "form[output_schema]"];
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
        refused(&eve.sends::<LoadAgentVersions>(&[("agent", agent), ("a", "1")]).await, 404, &[]);
        refused(&eve.sends::<LoadAgentRecord>(&[("agent", agent)]).await, 404, &[]);
        refused(&eve.sends::<LoadAgentCases>(&[("agent", agent)]).await, 404, &[]);
        refused(&eve.sends::<RollBackAgent>(&[("agent", agent), ("version", "1")]).await, 404, &[]);
        let old = [("agent", agent), ("base", "1"), ("version", "1")];
        refused(&eve.sends::<RestoreAgentVersion>(&old).await, 404, &[]);
        refused(&eve.sends::<SetAgentStatus>(&[("agent", agent), ("status", "inactive")]).await, 404, &[]);
        refused(&eve.sends::<AddTestCase>(&case(agent, "Sum", "contains", "5")).await, 404, &[]);
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

fn case<'a>(agent: &'a str, name: &'a str, check: &'a str, expected: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("agent", agent),
        ("form[name]", name),
        ("form[prompt]", "What is 2 + 3?"),
        ("form[check]", check),
        ("form[expected]", expected),
    ]
}

async fn versions(person: &mut Person, fields: &[(&str, &str)]) -> Value {
    let reply = person.sends::<LoadAgentVersions>(fields).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn all_settings_are_kept_and_shown_again() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let settings = [
        ("form[fallbacks][0]", "class/routine"),
        ("form[fallbacks][1]", ""),
        ("form[fallbacks][3]", "openai/gpt-5"),
        ("form[top_p]", "0.9"),
        ("form[max_output_tokens]", "2,000"),
        ("form[reasoning]", "high"),
        ("form[injection]", "stop"),
        ("form[max_input_chars]", "4000"),
        ("form[sensitive][credential]", "leave"),
        ("form[sensitive][card]", "both"),
        ("form[allowed_domains]", "API.example.com\r\nb.example"),
        ("form[rule_of_two]", "off"),
        ("form[tags]", "Billing, refunds"),
        ("form[about]", "Answers customers."),
    ];
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&settings)).await);
    let page = load(&mut ada, &id).await;
    let config = &page["agent"]["config"];
    assert_eq!(config["fallbacks"], json!(["class/routine", "openai/gpt-5"]));
    assert_eq!(config["options"], json!({ "top_p": 0.9, "max_output_tokens": 2000, "reasoning": "high" }));
    assert_eq!(
        config["guardrails"],
        json!({
            "injection": "stop", "max_input_chars": 4000, "redact": ["card"], "stop": ["card"],
            "allowed_domains": ["api.example.com", "b.example"], "rule_of_two": false,
        })
    );
    assert_eq!(config["capabilities"], json!({ "tags": ["billing", "refunds"], "about": "Answers customers." }));
    let html = ada.client.get(&format!("/o/{}/agents/{id}", ada.org)).await;
    for part in ["Answers customers.", "api.example.com", "openai/gpt-5 (not connected)", "Saved as version 1"] {
        assert!(html.text().replace("<!>", "").contains(part), "{part}: {}", html.text());
    }
    let list = ada.client.get(&format!("/o/{}/agents", ada.org)).await;
    assert!(list.text().contains("refunds") && list.text().contains("No tasks yet"), "{}", list.text());

    let wrong = [
        ("form[fallbacks][2]", "sandbox/sandbox"),
        ("form[top_p]", "2"),
        ("form[allowed_domains]", "https://b.example"),
        ("form[tags]", "a_b"),
    ];
    refused(&ada.sends::<CreateAgent>(&form(&wrong)).await, 422, &["form[fallbacks][2]"]);
    let fields = ["form[name]", "form[top_p]", "form[allowed_domains]", "form[tags]"];
    let named = [("form[name]", " "), wrong[1], wrong[2], wrong[3]];
    refused(&ada.sends::<CreateAgent>(&form(&named)).await, 422, &fields);
}

#[tokio::test]
async fn two_versions_are_compared_an_old_one_is_restored_and_a_deployment_rolled_back() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut mia = world.joins("Mia", &ada.org.clone(), Role::Member).await;
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    let second = [
        ("agent", id.as_str()),
        ("base", "1"),
        ("form[instructions]", "Be kind.\r\nBe very brief."),
        ("form[temperature]", "0.2"),
        ("form[note]", "Shorter answers"),
    ];
    Person::done(&mia.sends::<SaveAgent>(&form(&second)).await);
    let third = [("agent", id.as_str()), ("base", "2"), ("form[role]", "helps"), ("deploy", "true")];
    refused(&mia.sends::<SaveAgent>(&form(&third)).await, 403, &[]);
    assert_eq!(load(&mut ada, &id).await["agent"]["version"], 2, "who may not deploy saves nothing by it");
    Person::done(&ada.sends::<SaveAgent>(&form(&third)).await);

    let page = versions(&mut ada, &[("agent", &id), ("a", "1"), ("b", "2")]).await;
    let notes: Vec<&str> =
        page["versions"].as_array().expect("versions").iter().filter_map(|line| line["note"].as_str()).collect();
    assert_eq!(notes, ["Changed role, instructions, temperature", "Shorter answers", "Created"]);
    let told = &page["comparison"];
    assert_eq!(told["settings"], json!([{ "name": "Temperature", "from": null, "to": "0.2" }]));
    assert_eq!(
        told["instructions"],
        json!([
            { "mark": "same", "text": "Be kind." },
            { "mark": "removed", "text": "Be brief." },
            { "mark": "added", "text": "Be very brief." },
        ])
    );
    assert_eq!((&page["head"]["deployed_version"], &page["head"]["former"]), (&json!(3), &json!(1)));
    let html = ada.client.get(&format!("/o/{}/agents/{id}/versions?a=1&b=2", ada.org)).await;
    for part in ["From version 1 to version 2", "Be very brief.", "Roll back to version 1", "Shorter answers"] {
        assert!(html.text().contains(part), "{part}: {}", html.text());
    }
    refused(&ada.sends::<LoadAgentVersions>(&[("agent", &id), ("a", "1"), ("b", "9")]).await, 404, &[]);

    // A roll back is of what one looked at.
    refused(&mia.sends::<RollBackAgent>(&[("agent", &id), ("version", "3")]).await, 403, &[]);
    let late = ada.sends::<RollBackAgent>(&[("agent", &id), ("version", "2")]).await;
    assert_eq!((late.status.0.as_u16(), &late.json()["code"]), (409, &json!("agents.deployed_meanwhile")));
    Person::done(&ada.sends::<RollBackAgent>(&[("agent", &id), ("version", "3")]).await);
    let page = versions(&mut ada, &[("agent", &id)]).await;
    assert_eq!((&page["head"]["deployed_version"], &page["head"]["former"]), (&json!(1), &json!(3)));
    let deployed: Vec<(i64, Option<i64>)> = page["deployments"]
        .as_array()
        .expect("deployments")
        .iter()
        .map(|one| (one["version"].as_i64().expect("version"), one["replaced"].as_i64()))
        .collect();
    assert_eq!(deployed, [(1, Some(3)), (3, Some(1)), (1, None)]);
    assert_eq!(page["deployments"][0]["deployed_by"], "Ada");

    let old = [("agent", id.as_str()), ("base", "3"), ("version", "2")];
    Person::done(&mia.sends::<RestoreAgentVersion>(&old).await);
    refused(&mia.sends::<RestoreAgentVersion>(&old).await, 412, &["base"]);
    let page = load(&mut ada, &id).await;
    assert_eq!((&page["agent"]["version"], &page["form"]["temperature"]), (&json!(4), &json!("0.2")));
    assert_eq!(page["versions"][0]["note"], "Version 2 again");
    assert_eq!(page["agent"]["deployed_version"], 1, "what is restored is not deployed");
}

#[tokio::test]
async fn an_agent_is_switched_off_archived_and_brought_back() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut vic = world.joins("Vic", &ada.org.clone(), Role::Viewer).await;
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    refused(&vic.sends::<SetAgentStatus>(&[("agent", &id), ("status", "inactive")]).await, 403, &[]);
    Person::done(&ada.sends::<SetAgentStatus>(&[("agent", &id), ("status", "inactive")]).await);
    assert_eq!(load(&mut ada, &id).await["agent"]["status"], "inactive");
    let html = ada.client.get(&format!("/o/{}/agents/{id}", ada.org)).await;
    assert!(html.text().contains("Switch agent on"), "{}", html.text());
    let list = ada.sends::<ListAgents>(&[]).await.json();
    assert_eq!(list["agents"][0]["status"], "inactive", "it stays in the list");

    Person::done(&ada.sends::<ArchiveAgent>(&[("agent", &id)]).await);
    assert_eq!(ada.sends::<ListAgents>(&[]).await.json()["agents"], json!([]));
    assert_eq!(ada.sends::<ListAgents>(&[("archived", "true")]).await.json()["agents"][0]["id"], id.as_str());
    let html = ada.client.get(&format!("/o/{}/agents?show=archived", ada.org)).await;
    assert!(html.text().contains("Archived agents") && html.text().contains("Support"), "{}", html.text());
    // Its name is free meanwhile; who takes it keeps it.
    let other = Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    refused(&ada.sends::<SetAgentStatus>(&[("agent", &id), ("status", "active")]).await, 422, &["name"]);
    Person::done(&ada.sends::<ArchiveAgent>(&[("agent", &other)]).await);
    Person::done(&ada.sends::<SetAgentStatus>(&[("agent", &id), ("status", "active")]).await);
    assert_eq!(ada.sends::<ListAgents>(&[]).await.json()["agents"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn test_cases_are_kept_with_the_agent() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut vic = world.joins("Vic", &ada.org.clone(), Role::Viewer).await;
    let mut eve = world.sign_up("Eve").await;
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    let page = ada.client.get(&format!("/o/{}/agents/{id}/tests", ada.org)).await;
    assert!(page.text().contains("No test cases yet"), "{}", page.text());
    Person::done(&ada.sends::<AddTestCase>(&case(&id, "Sum", "contains", "5")).await);
    Person::done(&ada.sends::<AddTestCase>(&case(&id, "Form", "schema", "{\"type\": \"string\"}")).await);
    refused(&ada.sends::<AddTestCase>(&case(&id, "SUM", "contains", "5")).await, 422, &["form[name]"]);
    refused(&ada.sends::<AddTestCase>(&case(&id, "Odd", "matches", "(")).await, 422, &["form[expected]"]);
    refused(&ada.sends::<AddTestCase>(&case(&id, "Odd", "judge", "x")).await, 422, &["form[check]"]);
    refused(&vic.sends::<AddTestCase>(&case(&id, "Mine", "contains", "5")).await, 403, &[]);
    let list = vic.sends::<LoadAgentCases>(&[("agent", &id)]).await.json();
    let names: Vec<&str> =
        list["cases"].as_array().expect("cases").iter().filter_map(|case| case["name"].as_str()).collect();
    assert_eq!((names, &list["head"]["cases"]), (vec!["Form", "Sum"], &json!(2)));
    assert_eq!(list["cases"][1]["check"], json!({ "kind": "contains", "text": "5" }));

    let sum = list["cases"][1]["id"].as_str().expect("id").to_owned();
    let with = |agent: &str, expected: &str| {
        let mut fields: Vec<(String, String)> = case(agent, "Sum", "equals", expected)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        fields.push(("case".to_owned(), sum.clone()));
        fields
    };
    fn lent(fields: &[(String, String)]) -> Vec<(&str, &str)> {
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
    let other = Person::done(&ada.sends::<CreateAgent>(&form(&[("form[name]", "Other")])).await);
    refused(&ada.sends::<SaveTestCase>(&lent(&with(&other, "6"))).await, 404, &[]);
    refused(&eve.sends::<SaveTestCase>(&lent(&with(&id, "6"))).await, 404, &[]);
    refused(&eve.sends::<RemoveTestCase>(&[("agent", &id), ("case", &sum)]).await, 404, &[]);
    refused(&vic.sends::<RemoveTestCase>(&[("agent", &id), ("case", &sum)]).await, 403, &[]);
    Person::done(&ada.sends::<SaveTestCase>(&lent(&with(&id, "5"))).await);
    let list = ada.sends::<LoadAgentCases>(&[("agent", &id)]).await.json();
    assert_eq!(list["cases"][1]["check"], json!({ "kind": "equals", "value": 5 }));
    let page = ada.client.get(&format!("/o/{}/agents/{id}/tests?case={sum}", ada.org)).await;
    assert!(page.text().contains("Change test case") && page.text().contains("Remove test case"), "{}", page.text());
    Person::done(&ada.sends::<RemoveTestCase>(&[("agent", &id), ("case", &sum)]).await);
    assert_eq!(ada.sends::<LoadAgentCases>(&[("agent", &id)]).await.json()["cases"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn without_scripts_the_pages_do_the_same() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let id = Person::done(&ada.sends::<CreateAgent>(&form(&[])).await);
    let org = ada.org.clone();
    let here = format!("/o/{org}/agents/{id}");
    // A deployment that is refused deploys and saves nothing, and the page says why with all that was typed.
    let own = [
        ("_form", "save_agent"),
        ("_page", here.as_str()),
        ("org", org.as_str()),
        ("agent", id.as_str()),
        ("base", "1"),
        ("deploy", "true"),
        ("form[max_turns]", "many"),
        ("form[fallbacks][0]", "sandbox/sandbox"),
        ("form[about]", "Answers customers."),
    ];
    let reply = post_from(&mut ada.client, &here, SaveAgent::PATH, &form(&own)).await;
    assert_eq!(reply.status, 422);
    for part in ["There is a problem", "Enter a whole number.", "Answers customers.", "Save and deploy"] {
        assert!(reply.text().contains(part), "{part}: {}", reply.text());
    }
    assert_eq!(load(&mut ada, &id).await["agent"]["version"], 1);
    let own = [
        ("_form", "save_agent"),
        ("_page", here.as_str()),
        ("org", org.as_str()),
        ("agent", id.as_str()),
        ("base", "1"),
        ("deploy", "true"),
        ("form[max_turns]", "6"),
    ];
    let reply = post_from(&mut ada.client, &here, SaveAgent::PATH, &form(&own)).await;
    assert_eq!((reply.status.0.as_u16(), reply.header("location")), (303, here.as_str()), "{}", reply.text());
    assert_eq!(load(&mut ada, &id).await["agent"]["deployed_version"], 2);

    let tests = format!("{here}/tests");
    let mut fields = case(&id, "", "contains", "5");
    fields.extend([("_form", "add_test_case"), ("_page", tests.as_str()), ("org", org.as_str())]);
    let reply = post_from(&mut ada.client, &tests, AddTestCase::PATH, &fields).await;
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("Give the test case a name.") && reply.text().contains("What is 2 + 3?"));
    let back = format!("{here}/versions");
    let roll = [
        ("_form", "roll-back-2"),
        ("_page", back.as_str()),
        ("org", org.as_str()),
        ("agent", id.as_str()),
        ("version", "2"),
    ];
    let reply = post_from(&mut ada.client, &back, RollBackAgent::PATH, &roll).await;
    assert_eq!((reply.status.0.as_u16(), reply.header("location")), (303, back.as_str()), "{}", reply.text());
    assert_eq!(load(&mut ada, &id).await["agent"]["deployed_version"], 1);
}
