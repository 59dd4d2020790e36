//! Workflows and agents through the doors that people use: forms, pages and files. Templates are run to their ends.

use std::time::Duration;

use agentflow::access::Role;
use app::{
    settings::api::CreateApiKey,
    workflows::api::{
        AddStep, ArchiveWorkflow, CreateWorkflow, DeployWorkflow, DescribeWorkflow, ImportWorkflow, LoadRunForm,
        LoadStep, LoadWorkflow, MoveStep, RemoveStep, RestoreVersion, SaveSettings, SaveStep, StartRun, UseTemplate,
    },
};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};

use crate::{
    forms::post_from,
    office::{Office, any},
    people::Person,
    world::{Reply, World},
};

impl Person {
    /// Sends a form of the person's organization.
    pub async fn sends<F: ServerFn>(&mut self, fields: &[(&str, &str)]) -> Reply {
        let org = self.org.clone();
        let fields: Vec<(&str, &str)> = [("org", org.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.client.post_form(F::PATH, &fields).await
    }

    /// The same, and it must be done. Gives the id in the address that it leads to, if it leads anywhere.
    #[track_caller]
    pub fn done(reply: &Reply) -> String {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let address = reply.header("location").split('?').next().unwrap_or_default();
        address.rsplit('/').next().unwrap_or_default().to_owned()
    }

    async fn takes(&mut self, template: &str) -> String {
        Self::done(&self.sends::<UseTemplate>(&[("template", template)]).await)
    }

    async fn creates(&mut self, name: &str) -> String {
        Self::done(&self.sends::<CreateWorkflow>(&[("name", name), ("description", "")]).await)
    }

    async fn sees(&mut self, workflow: &str) -> Value {
        let reply = self.sends::<LoadWorkflow>(&[("workflow", workflow)]).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }
}

#[track_caller]
fn refused(reply: &Reply, status: u16, field: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let error = reply.json();
    let fields: Vec<&str> =
        error["fields"].as_array().into_iter().flatten().filter_map(|entry| entry["field"].as_str()).collect();
    assert!(field.is_empty() || fields.contains(&field), "{field} is not among {fields:?}");
}

fn paths(page: &Value) -> Vec<&str> {
    page["rows"].as_array().expect("rows").iter().filter_map(|row| row["path"].as_str()).collect()
}

#[tokio::test]
async fn a_step_is_added_changed_moved_and_deleted_and_each_change_is_a_version() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let id = ada.creates("Sums").await;
    let step = [
        ("workflow", id.as_str()),
        ("base", "1"),
        ("scope", ""),
        ("between", "true"),
        ("form[kind]", "tool"),
        ("form[name]", "Add up"),
        ("form[tool]", "calculator"),
        ("form[arguments][expression]", "1 + {{ input.n }}"),
        ("form[after][00]", "start"),
    ];
    assert_eq!(Person::done(&ada.sends::<AddStep>(&step).await), id);
    let page = ada.sees(&id).await;
    assert_eq!(paths(&page), ["start", "add_up", "end"]);
    assert_eq!(page["rows"][2]["after"], json!(["Add up"]));
    assert_eq!((page["faults"].clone(), page["workflow"]["version"].clone()), (json!([]), json!(2)));

    let change = [
        ("workflow", id.as_str()),
        ("base", "2"),
        ("path", "add_up"),
        ("form[kind]", "transform"),
        ("form[key]", "total"),
        ("form[value]", "{{ input.n + 1 }}"),
        ("form[after][00]", "start"),
    ];
    Person::done(&ada.sends::<SaveStep>(&change).await);
    let moved = [("workflow", id.as_str()), ("base", "3"), ("step", "up:total")];
    Person::done(&ada.sends::<MoveStep>(&moved).await);
    let page = ada.sees(&id).await;
    assert_eq!(paths(&page), ["total", "start", "end"]);
    assert_eq!(page["rows"][2]["after"], json!(["total"]), "a new key is carried along");

    Person::done(&ada.sends::<RemoveStep>(&[("workflow", &id), ("base", "4"), ("path", "total")]).await);
    assert_eq!(paths(&ada.sees(&id).await), ["start", "end"]);
    Person::done(&ada.sends::<RestoreVersion>(&[("workflow", &id), ("base", "5"), ("version", "4")]).await);
    let page = ada.sees(&id).await;
    assert_eq!(paths(&page), ["total", "start", "end"]);
    let notes: Vec<&str> =
        page["versions"].as_array().expect("versions").iter().filter_map(|line| line["note"].as_str()).collect();
    assert_eq!(
        notes,
        [
            "Brought back version 4",
            "Deleted “total”",
            "Moved “total” up",
            "Changed “total”",
            "Added “Add up”",
            "Created"
        ]
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_at_the_step_and_field_and_keeps_a_version_from_running() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let id = ada.creates("Draft").await;
    let step = [
        ("workflow", id.as_str()),
        ("base", "1"),
        ("scope", ""),
        ("between", "true"),
        ("form[kind]", "agent"),
        ("form[name]", "Ask"),
        ("form[agent]", "nobody"),
        ("form[prompt]", "{{ steps.end.output }}"),
        ("form[after][00]", "start"),
    ];
    Person::done(&ada.sends::<AddStep>(&step).await);
    let page = ada.sees(&id).await;
    let faults: Vec<(&str, &str)> = page["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| (fault["node"].as_str().unwrap_or(""), fault["field"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(faults, [("ask", "agent"), ("ask", "prompt")]);
    assert_eq!(page["workflow"]["valid"], false);
    refused(&ada.sends::<DeployWorkflow>(&[("workflow", &id), ("version", "2")]).await, 422, "nodes.ask.agent");

    let form = ada.sends::<LoadStep>(&[("workflow", &id), ("path", "ask")]).await.json();
    assert_eq!(form["faults"][0]["field"], "form[agent]");
    let html = ada.client.get(&format!("/o/{}/workflows/{id}", ada.org)).await;
    assert!(html.text().contains("2 problems keep this version from running"), "{}", html.text());
    let html = ada.client.get(&format!("/o/{}/workflows/{id}/steps/ask", ada.org)).await;
    assert!(html.text().contains("This step cannot run yet"));

    let unreadable = [
        ("workflow", id.as_str()),
        ("base", "2"),
        ("path", "ask"),
        ("form[kind]", "transform"),
        ("form[key]", "Not a key"),
        ("form[value]", "{ broken"),
        ("form[timeout_s]", "soon"),
    ];
    let reply = ada.sends::<SaveStep>(&unreadable).await;
    refused(&reply, 422, "form[key]");
    refused(&reply, 422, "form[value]");
    refused(&reply, 422, "form[timeout_s]");
    let settings = [("workflow", id.as_str()), ("base", "2"), ("title", ""), ("deadline_h", "-1"), ("input", "[")];
    let reply = ada.sends::<SaveSettings>(&settings).await;
    refused(&reply, 422, "deadline_h");
    refused(&reply, 422, "input");
    refused(&ada.sends::<CreateWorkflow>(&[("name", " "), ("description", "")]).await, 422, "name");
    refused(&ada.sends::<CreateWorkflow>(&[("name", "DRAFT"), ("description", "")]).await, 422, "name");
}

#[tokio::test]
async fn two_who_change_the_same_step_are_told_and_two_who_change_others_are_not() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut ben = world.joins("Ben", &ada.org.clone(), Role::Member).await;
    let id = ada.takes("research").await;
    let save = |path: &'static str, name: &'static str, workflow: String| {
        [
            ("workflow", workflow),
            ("base", "1".to_owned()),
            ("path", path.to_owned()),
            ("form[kind]", "agent".to_owned()),
            ("form[key]", path.to_owned()),
            ("form[name]", name.to_owned()),
            ("form[agent]", "critic".to_owned()),
            ("form[prompt]", "Look".to_owned()),
            ("form[after][00]", "start".to_owned()),
        ]
    };
    async fn send(person: &mut Person, fields: [(&'static str, String); 9]) -> Reply {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        person.sends::<SaveStep>(&fields).await
    }
    Person::done(&send(&mut ada, save("facts", "By Ada", id.clone())).await);
    // Ben looked at version 1 too: another step is no conflict, the same one is.
    Person::done(&send(&mut ben, save("critique", "By Ben", id.clone())).await);
    let reply = send(&mut ben, save("facts", "By Ben", id.clone())).await;
    refused(&reply, 412, "base");
    assert_eq!(reply.json()["code"], "workflows.stale");
    let page = ada.sees(&id).await;
    let label = |path: &str| {
        let rows = page["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["path"] == path).map(|row| row["label"].clone())
    };
    assert_eq!((label("facts"), label("critique")), (Some(json!("By Ada")), Some(json!("By Ben"))));
}

#[tokio::test]
async fn roles_decide_who_looks_builds_deploys_and_runs() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let org = ada.org.clone();
    let mut member = world.joins("Mia", &org, Role::Member).await;
    let mut viewer = world.joins("Vic", &org, Role::Viewer).await;
    let id = ada.takes("invoice").await;
    assert_eq!(ada.sees(&id).await["workflow"]["deployed_version"], 1);
    let draft = member.takes("research").await;
    let page = member.sees(&draft).await;
    assert_eq!(page["workflow"]["deployed_version"], Value::Null, "a member's first version waits for an admin");
    refused(&member.sends::<DeployWorkflow>(&[("workflow", &draft), ("version", "1")]).await, 403, "");

    viewer.sees(&id).await;
    for page in ["", "/versions", "/settings", "/run", "/steps/decide", "/steps/new", "/steps/new?kind=tool"] {
        let reply = viewer.client.get(&format!("/o/{org}/workflows/{id}{page}")).await;
        assert_eq!(reply.status, 200, "{page}");
    }
    let who = [("workflow", id.as_str()), ("base", "1"), ("version", "1"), ("name", "x"), ("description", "")];
    refused(&viewer.sends::<UseTemplate>(&[("template", "links")]).await, 403, "");
    refused(&viewer.sends::<DescribeWorkflow>(&who).await, 403, "");
    refused(&viewer.sends::<RestoreVersion>(&who).await, 403, "");
    refused(&viewer.sends::<ArchiveWorkflow>(&who).await, 403, "");
    refused(&viewer.sends::<StartRun>(&[("workflow", &id), ("key", "k"), ("json", "{}")]).await, 403, "");
}

#[tokio::test]
async fn another_organizations_workflow_is_as_unknown_as_none() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut eve = world.sign_up("Eve").await;
    let id = ada.takes("triage").await;
    let nobody = "wf_01jd0000000000000000000000".to_owned();
    for workflow in [&id, &nobody] {
        let who =
            [("workflow", workflow.as_str()), ("base", "1"), ("version", "1"), ("name", "x"), ("description", "")];
        refused(&eve.sends::<LoadWorkflow>(&who).await, 404, "");
        refused(&eve.sends::<LoadRunForm>(&who).await, 404, "");
        refused(&eve.sends::<DescribeWorkflow>(&who).await, 404, "");
        refused(&eve.sends::<RestoreVersion>(&who).await, 404, "");
        refused(&eve.sends::<DeployWorkflow>(&who).await, 404, "");
        refused(&eve.sends::<ArchiveWorkflow>(&who).await, 404, "");
        refused(&eve.sends::<StartRun>(&[("workflow", workflow), ("key", "k"), ("json", "{}")]).await, 404, "");
        for page in ["", "/versions", "/run", "/steps/draft", "/export.yaml"] {
            let reply = eve.client.get(&format!("/o/{}/workflows/{workflow}{page}", eve.org)).await;
            assert_eq!(reply.status, 404, "{page}");
        }
        let reply = eve.client.get(&format!("/o/{}/workflows/{workflow}/export.yaml", ada.org)).await;
        assert_eq!(reply.status, 404);
    }
}

#[tokio::test]
async fn a_workflow_travels_as_a_file_with_its_agents() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut eve = world.sign_up("Eve").await;
    let id = ada.takes("links").await;
    let file = ada.client.get(&format!("/o/{}/workflows/{id}/export.yaml", ada.org)).await;
    assert_eq!(file.status, 200);
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"web-address-check.yaml\"");
    let there = Person::done(&eve.sends::<ImportWorkflow>(&[("yaml", file.text())]).await);
    let again = eve.client.get(&format!("/o/{}/workflows/{there}/export.yaml", eve.org)).await;
    assert_eq!(again.text(), file.text());
    assert_eq!(eve.sees(&there).await["workflow"]["deployed_version"], 1);

    refused(&eve.sends::<ImportWorkflow>(&[("yaml", file.text())]).await, 422, "name");
    let wrong = file.text().replace("kind: transform", "kind: robot");
    refused(&eve.sends::<ImportWorkflow>(&[("yaml", &wrong)]).await, 422, "nodes.check.judge.kind");
    let deep = format!("name: A\nnodes: []\ninput: {}{}", "[".repeat(3_000), "]".repeat(3_000));
    refused(&eve.sends::<ImportWorkflow>(&[("yaml", &deep)]).await, 422, "yaml");
    let huge = format!("name: A\ndescription: {}\nnodes: []", "x".repeat(600 << 10));
    refused(&eve.sends::<ImportWorkflow>(&[("yaml", &huge)]).await, 413, "");
}

#[tokio::test]
async fn the_run_form_tells_what_is_missing_at_its_field_and_starts_one_run_for_two_presses() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let id = ada.takes("invoice").await;
    let page = ada.client.get(&format!("/o/{}/workflows/{id}/run", ada.org)).await;
    assert!(page.text().contains("NP-2026-0417"), "the form is filled in");
    let reply = ada.sends::<StartRun>(&[("workflow", &id), ("key", "k1"), ("typed[amount]", "much")]).await;
    refused(&reply, 422, "typed[amount]");
    refused(&reply, 422, "typed[supplier]");
    refused(&ada.sends::<StartRun>(&[("workflow", &id), ("key", "k1"), ("json", "{")]).await, 422, "json");
    let form = ada.sends::<LoadRunForm>(&[("workflow", &id)]).await.json();
    let negative = form["json"].as_str().expect("JSON").replace("1840.5", "-3");
    refused(&ada.sends::<StartRun>(&[("workflow", &id), ("key", "k1"), ("json", &negative)]).await, 422, "json");
    let fields = typed(&form, &[]);
    let first = start(&mut ada, &id, "k2", &fields).await;
    assert_eq!(start(&mut ada, &id, "k2", &fields).await, first);
}

#[tokio::test]
async fn a_member_tries_what_they_made_while_plain_starts_run_the_deployed_version() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let office = Office::of(&world, &ada.org).await;
    let (id, other) = (office.simple().await.to_string(), office.workflow("Other", any(), ends()).await.to_string());
    let mut mia = world.joins("Mia", &ada.org, Role::Member).await;
    let mut vic = world.joins("Vic", &ada.org, Role::Viewer).await;
    let here = format!("/o/{}/workflows/{id}", ada.org);
    let input = r#"{"type":"object","properties":{"word":{"type":"string"}},"required":["word"]}"#;
    let settings =
        [("workflow", id.as_str()), ("base", "1"), ("title", "{{ input.word }}"), ("deadline_h", ""), ("input", input)];
    Person::done(&mia.sends::<SaveSettings>(&settings).await);

    // The pages say which version they run, and lead to the other one.
    let outline = mia.client.get(&here).await;
    assert!(outline.text().contains(&format!("{here}/run?version=2\"")), "{}", outline.text());
    assert!(outline.text().contains("Run version 2"));
    let plain = mia.client.get(&format!("{here}/run")).await;
    assert!(plain.text().contains("This runs the deployed version 1. Version 2 is newer and not deployed."));
    assert!(plain.text().contains("Run the newest version, 2") && !plain.text().contains("typed[word]"));
    assert!(!plain.text().contains("name=\"version\""));
    let draft = mia.client.get(&format!("{here}/run?version=2")).await;
    assert!(draft.text().contains("Runs version 2, which is not deployed."), "{}", draft.text());
    assert!(draft.text().contains("Run the deployed version, 1") && draft.text().contains("name=\"typed[word]\""));
    assert!(draft.text().contains("name=\"version\" value=\"2\""), "{}", draft.text());
    assert!(draft.text().contains("/run?version=2&amp;as=json"), "{}", draft.text());
    for unknown in ["0", "9", "-2147483648"] {
        let page = mia.client.get(&format!("{here}/run?version={unknown}")).await;
        assert_eq!(page.status, 404, "{unknown}");
        assert!(page.text().contains(&format!("There is no version {unknown} of this workflow.")));
    }

    // A browser without scripts is answered with the same version's form.
    let fields = [
        ("_form", "start_run"),
        ("_page", &format!("{here}/run?version=2")),
        ("org", &ada.org),
        ("workflow", &id),
        ("key", "k0"),
        ("version", "2"),
    ];
    let refusal = post_from(&mut mia.client, "/", StartRun::PATH, &fields).await;
    assert_eq!(refusal.status, 422);
    assert!(refusal.text().contains("Runs version 2") && refusal.text().contains("There is a problem"));
    assert!(refusal.text().contains("name=\"version\" value=\"2\""), "{}", refusal.text());

    let word = ("typed[word]", "Draft");
    let tried = Person::done(&mia.sends::<StartRun>(&[("workflow", &id), ("key", "k1"), ("version", "2"), word]).await);
    let tried = office.run(tried.parse().expect("a run")).await.detail.summary;
    assert_eq!((tried.workflow_version, tried.trigger.as_str(), tried.title.as_str()), (2, "test", "Draft"));
    let page = mia.client.get(&format!("/o/{}/runs/{}", ada.org, tried.id)).await;
    assert!(page.text().replace("<!>", "").contains("version 2"), "the run's page says what it runs");
    let plain = Person::done(&mia.sends::<StartRun>(&[("workflow", &id), ("key", "k2"), ("json", "{}")]).await);
    let plain = office.run(plain.parse().expect("a run")).await.detail.summary;
    assert_eq!((plain.workflow_version, plain.trigger.as_str()), (1, "person"));

    for (workflow, version) in [(&id, "9"), (&other, "2")] {
        for entry in [word, ("json", "{}")] {
            let start = [("workflow", workflow.as_str()), ("key", "k3"), ("version", version), entry];
            refused(&mia.sends::<StartRun>(&start).await, 422, "version");
        }
    }
    refused(&vic.sends::<StartRun>(&[("workflow", &id), ("key", "k4"), ("version", "2"), word]).await, 403, "");

    // A version that cannot run says so before and after.
    let step = [
        ("workflow", id.as_str()),
        ("base", "2"),
        ("scope", ""),
        ("between", "true"),
        ("form[kind]", "transform"),
        ("form[name]", "Odd"),
        ("form[value]", "{{ steps.end.output }}"),
        ("form[after][00]", "start"),
    ];
    Person::done(&mia.sends::<AddStep>(&step).await);
    let faulty = mia.client.get(&format!("{here}/run?version=3")).await;
    assert!(faulty.text().contains("Version 3 cannot run yet."), "{}", faulty.text());
    assert!(faulty.text().contains(&format!("{here}?v=3")) && faulty.text().contains("Run the deployed version, 1"));
    let start = [("workflow", id.as_str()), ("key", "k5"), ("version", "3"), word];
    refused(&mia.sends::<StartRun>(&start).await, 409, "nodes.odd.value");
}

fn ends() -> Value {
    json!([{ "id": "start", "kind": "start" }, { "id": "end", "kind": "end", "after": ["start"] }])
}

/// What stands in the run form at first, with some entries typed over.
fn typed(form: &Value, over: &[(&str, &str)]) -> Vec<(String, String)> {
    let fields = form["fields"].as_array().expect("fields");
    fields
        .iter()
        .map(|field| {
            let name = field["name"].as_str().expect("name");
            let value = over.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
            (format!("typed[{name}]"), value.or(field["value"].as_str()).unwrap_or_default().to_owned())
        })
        .collect()
}

async fn start(person: &mut Person, workflow: &str, key: &str, fields: &[(String, String)]) -> String {
    let mut all = vec![("workflow", workflow), ("key", key)];
    all.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Person::done(&person.sends::<StartRun>(&all).await)
}

fn no(reason: &str) -> Value {
    json!({ "decision": "reject", "reason": reason })
}

/// Runs a template as it stands, answers its approvals in turn with `decisions`, and gives the output.
async fn run_to_its_end(template: &str, over: &[(&str, &str)], decisions: &[Value]) -> Value {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let id = ada.takes(template).await;
    let form = ada.sends::<LoadRunForm>(&[("workflow", &id)]).await.json();
    let run = start(&mut ada, &id, "k", &typed(&form, over)).await;
    let key = ada.sends::<CreateApiKey>(&[("name", "t"), ("role", "member"), ("days", "1")]).await.json();
    let mut api = world.program(key["secret"].as_str().expect("a secret"));
    let mut left = decisions.iter();
    for _ in 0..600 {
        let now = api.get(&format!("/api/v1/runs/{run}")).await.json();
        match now["state"].as_str() {
            Some("succeeded") => return now["output"].clone(),
            Some("failed" | "cancelled") => panic!("{template}: {now:#}"),
            Some("waiting") => {
                let waiting = api.get("/api/v1/approvals?state=pending").await.json();
                let list = waiting["data"].as_array().or(waiting["items"].as_array()).cloned().unwrap_or_default();
                for approval in list {
                    let path = format!("/api/v1/approvals/{}/decide", approval["id"].as_str().expect("an id"));
                    let body = left.next().expect("a decision");
                    let reply = api.post_json(&path, body).await;
                    assert!(reply.status.0.is_success(), "{}", reply.text());
                }
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{template} did not end: {:#}", api.get(&format!("/api/v1/runs/{run}")).await.json());
}

#[tokio::test]
async fn the_triage_template_runs_to_the_reply_that_was_approved() {
    let output = run_to_its_end("triage", &[], &[json!({ "decision": "approve" })]).await;
    assert_eq!((&output["outcome"], &output["delivery"]), (&json!("sent"), &json!("outbox")), "{output:#}");
    assert!(output["reply"].as_str().is_some_and(|reply| reply.len() > 40), "{output:#}");
    assert!(["low", "normal", "high"].contains(&output["urgency"].as_str().unwrap_or_default()), "{output:#}");
}

#[tokio::test]
async fn the_triage_template_drafts_anew_when_changes_are_asked_for() {
    let changes = json!({ "decision": "request_changes", "text": "Mention that the lamp is in stock." });
    let sent = run_to_its_end("triage", &[], &[changes.clone(), json!({ "decision": "approve" })]).await;
    assert_eq!((&sent["outcome"], &sent["delivery"]), (&json!("sent"), &json!("outbox")), "{sent:#}");
    assert!(sent["reply"].as_str().is_some_and(|reply| reply.contains("in stock")), "{sent:#}");
    let kept = run_to_its_end("triage", &[], &[changes, no("still wrong")]).await;
    assert_eq!((&kept["outcome"], &kept["reason"]), (&json!("not sent"), &json!("still wrong")), "{kept:#}");
}

#[tokio::test]
async fn the_triage_template_sends_nothing_that_was_rejected() {
    let output = run_to_its_end("triage", &[], &[no("as tested")]).await;
    assert_eq!((&output["outcome"], &output["reason"]), (&json!("not sent"), &json!("as tested")), "{output:#}");
}

#[tokio::test]
async fn the_research_template_merges_three_views() {
    let output = run_to_its_end("research", &[], &[json!({ "decision": "approve" })]).await;
    for text in
        [&output["answer"], &output["parts"]["facts"], &output["parts"]["objections"], &output["parts"]["options"]]
    {
        assert!(text.as_str().is_some_and(|text| text.len() > 40), "{output:#}");
    }
}

#[tokio::test]
async fn the_links_template_reports_addresses_that_cannot_be_called() {
    let over = [("urls", "https://does-not-exist.example\nhttp://127.0.0.1:9/")];
    let output = run_to_its_end("links", &over, &[json!({ "decision": "approve" })]).await;
    assert_eq!((&output["checked"], &output["works"]), (&json!(2), &json!(0)), "{output:#}");
    let verdicts: Vec<&str> =
        output["attention"].as_array().expect("a list").iter().filter_map(|site| site["verdict"].as_str()).collect();
    assert_eq!(verdicts, ["unreachable", "unreachable"]);
    assert!(output["report"].as_str().is_some_and(|report| !report.is_empty()), "{output:#}");
}

#[tokio::test]
async fn the_invoice_template_takes_the_branch_of_the_amount() {
    let small = run_to_its_end("invoice", &[("amount", "120")], &[no("as tested")]).await;
    assert_eq!((&small["decision"], &small["by"]), (&json!("approved"), &json!("the rule for small amounts")));
    let large = run_to_its_end("invoice", &[], &[json!({ "decision": "approve" })]).await;
    assert_eq!(large["decision"], "approved", "{large:#}");
    let refused = run_to_its_end("invoice", &[], &[no("as tested")]).await;
    assert_eq!((&refused["decision"], &refused["reason"]), (&json!("rejected"), &json!("as tested")), "{refused:#}");
}
