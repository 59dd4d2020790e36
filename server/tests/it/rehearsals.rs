//! Test cases before a version is deployed: what is told of them, what they may do, and the last button.

use std::time::Duration;

use agentflow::{
    access::{Ctx, Role},
    agents::{
        self, Agent, AgentConfig,
        cases::{
            CaseForm,
            rehearsal::{Rehearsal, Tried, Verdict, service},
            service as cases,
        },
        service::NewVersion,
    },
    budgets,
    conversations::service::{self as conversations, Say},
    engine::plan::ToolPermission,
    kernel::{AgentId, Kind, Money, RehearsalId, TestCaseId},
};
use app::agents::api::{AddTestCase, DeployAgent, LoadAgentCases, LoadAgentDeploy, RehearseAgent, SaveAgent};
use leptos::server_fn::ServerFn;
use serde_json::json;

use crate::{fake_model::FakeModel, forms::post_from, office::Office, people::Person, world::World};

fn counter(tools: &[(&str, ToolPermission)]) -> AgentConfig {
    AgentConfig {
        name: "Counter".into(),
        instructions: "Send mails and calculate.".into(),
        model: "sandbox/sandbox".into(),
        tools: tools.iter().map(|(name, permission)| ((*name).to_owned(), *permission)).collect(),
        ..AgentConfig::default()
    }
}

fn calculates() -> AgentConfig {
    counter(&[("calculator", ToolPermission::Allowed)])
}

async fn made(cx: &Ctx, config: AgentConfig) -> Agent {
    agents::service::create(&cx.grant().unwrap(), config).await.unwrap()
}

/// A new version, which is not deployed.
async fn changed(cx: &Ctx, agent: &Agent, config: AgentConfig) -> i32 {
    let new = NewVersion { base: agent.version, config, note: String::new() };
    agents::service::save(&cx.grant().unwrap(), None, agent.id, new).await.unwrap().version
}

fn form(prompt: &str, check: &str, expected: &str) -> CaseForm {
    CaseForm { name: prompt.into(), prompt: prompt.into(), check: check.into(), expected: expected.into() }
}

async fn case(cx: &Ctx, agent: AgentId, form: &CaseForm) -> TestCaseId {
    cases::create(&cx.grant().unwrap(), agent, form).await.unwrap()
}

async fn start(cx: &Ctx, agent: AgentId, version: i32) -> RehearsalId {
    service::start(&cx.grant().unwrap(), agent, version).await.unwrap()
}

/// The rehearsal, once each of its runs has ended or asks somebody.
async fn done(cx: &Ctx, agent: AgentId, version: i32, id: RehearsalId) -> Rehearsal {
    for _ in 0..400 {
        let found = service::find(&cx.grant().unwrap(), agent, version, Some(id)).await.unwrap().unwrap();
        let at_work = |case: &Tried| {
            let outcomes = [Some(&case.candidate), case.live.as_ref()];
            outcomes.into_iter().flatten().any(|outcome| outcome.verdict == Verdict::UnderWay)
        };
        if !found.cases.iter().any(at_work) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no end");
}

#[tokio::test]
async fn what_passes_live_and_fails_in_the_new_version_is_told() {
    let world = World::new().await;
    let cx = Office::new(&world, "Acme").await.owner;
    let agent = made(&cx, calculates()).await;
    let sum = case(&cx, agent.id, &form("What is 6 * 7?", "contains", "42")).await;
    case(&cx, agent.id, &form("What is 1 + 2?", "matches", "Sandbox")).await;
    let version = changed(&cx, &agent, counter(&[])).await;
    let id = start(&cx, agent.id, version).await;
    assert_eq!(start(&cx, agent.id, version).await, id, "it is under way");
    // What is changed now is tried the next time.
    let other = form("What is 6 * 7?", "contains", "43");
    cases::update(&cx.grant().unwrap(), agent.id, sum, &other).await.unwrap();
    let again = start(&cx, agent.id, version).await;
    assert_ne!(again, id, "the cases are other ones");
    let waiting = service::find(&cx.grant().unwrap(), agent.id, version, Some(id)).await.unwrap().unwrap();
    assert!(waiting.is_open() && waiting.cases.len() == 2);
    world.work();

    let told = done(&cx, agent.id, version, id).await;
    assert_eq!((told.version, told.live_version, told.started_by.as_str()), (2, Some(1), "Ana"));
    let [small, sum] = told.cases.as_slice() else { panic!("{:?}", told.cases) };
    assert_eq!(small.candidate.verdict, Verdict::Passed);
    assert_eq!(sum.candidate.verdict, Verdict::Failed { why: "“42” is not in the answer.".into() }, "{sum:?}");
    let live = sum.live.as_ref().unwrap();
    assert_eq!(live.verdict, Verdict::Passed);
    assert!(live.answer.as_deref().unwrap().contains("42") && live.took_ms.is_some(), "{live:?}");
    assert!(sum.got_worse() && !small.got_worse() && !told.is_open());
    let run = agentflow::runs::service::find(&cx.grant().unwrap(), sum.candidate.run).await.unwrap();
    assert_eq!(run.summary.trigger, "test");
    let given = agentflow::runs::service::payloads(&cx.grant().unwrap(), sum.candidate.run, true).await.unwrap();
    assert_eq!(given.input.unwrap()["prompt"], "What is 6 * 7?");
    let later = done(&cx, agent.id, version, again).await;
    assert!(later.cases.iter().all(|case| !case.got_worse()), "43 is nobody's answer");
    // Without an id it is the newest.
    let newest = service::find(&cx.grant().unwrap(), agent.id, version, None).await.unwrap().unwrap();
    assert_eq!(newest.id, again);
    // The version that is live has nothing beside it.
    let alone = start(&cx, agent.id, 1).await;
    let alone = done(&cx, agent.id, 1, alone).await;
    assert!(alone.live_version.is_none() && alone.cases.iter().all(|case| case.live.is_none()));
}

#[tokio::test]
async fn nothing_is_sent_an_approval_is_waited_for_and_a_run_that_fails_says_why() {
    let world = World::new().await;
    world.work();
    let cx = Office::new(&world, "Acme").await.owner;
    let tools = [("email_send", ToolPermission::Policy), ("calculator", ToolPermission::NeedsApproval)];
    let agent = made(&cx, counter(&tools)).await;
    let mail = "Send an e-mail to bob@example.com with the subject Hello and the text Hi.";
    case(&cx, agent.id, &form(mail, "matches", ".")).await;
    let id = start(&cx, agent.id, 1).await;
    let told = done(&cx, agent.id, 1, id).await;
    assert_eq!(told.cases[0].candidate.verdict, Verdict::Passed, "{told:?}");
    let run = agentflow::runs::service::find(&cx.grant().unwrap(), told.cases[0].candidate.run).await.unwrap();
    let call = run.view.steps.iter().find(|step| step.about.as_deref() == Some("email_send"));
    assert!(call.is_some(), "it was called");
    let count = sqlx::query_scalar("select count(*) from emails");
    let mails: i64 = count.fetch_one(world.deps().db.keeper()).await.unwrap();
    assert_eq!(mails, 0, "and sent nothing");

    case(&cx, agent.id, &form("What is 6 * 7?", "contains", "42")).await;
    let id = start(&cx, agent.id, 1).await;
    let told = done(&cx, agent.id, 1, id).await;
    let asks = told.cases.iter().find(|case| case.name == "What is 6 * 7?").unwrap();
    assert_eq!(asks.candidate.verdict, Verdict::NeedsApproval);
    assert!(told.is_open());
    assert_ne!(start(&cx, agent.id, 1).await, id, "one that waits for people holds nobody up");

    // No key is set for its model.
    let broken = AgentConfig { name: "Broken".into(), model: "openai/gpt-5".into(), ..calculates() };
    let broken = made(&cx, broken).await;
    case(&cx, broken.id, &form("What is 6 * 7?", "contains", "42")).await;
    let id = start(&cx, broken.id, 1).await;
    let told = done(&cx, broken.id, 1, id).await;
    let Verdict::Broken { why } = &told.cases[0].candidate.verdict else { panic!("{told:?}") };
    assert!(!why.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cases_cost_counts_in_the_budgets() {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let world = World::with(&[("OPENAI_API_KEY", "key-of-the-test"), ("OPENAI_BASE_URL", &url)]).await;
    world.work();
    let cx = Office::new(&world, "Acme").await.owner;
    let budget = budgets::service::create(&cx.grant().unwrap(), "organization", "month", "10").await.unwrap();
    let agent =
        made(&cx, AgentConfig { model: "openai/gpt-4o".into(), tools: Default::default(), ..calculates() }).await;
    case(&cx, agent.id, &form("say: hello", "equals", "hello")).await;
    let new = AgentConfig { instructions: "Speak.".into(), ..agent.config.clone() };
    let version = changed(&cx, &agent, new).await;
    let id = start(&cx, agent.id, version).await;
    let told = done(&cx, agent.id, version, id).await;
    let (new, live) = (&told.cases[0].candidate, told.cases[0].live.as_ref().unwrap());
    assert_eq!((&new.verdict, &live.verdict), (&Verdict::Passed, &Verdict::Passed), "{told:?}");
    assert!(new.cost > Money::ZERO && live.cost > Money::ZERO);
    let spent: i64 = sqlx::query_scalar("select sum(spent_micros)::bigint from budget_accounts where budget_id = $1")
        .bind(budget)
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(Money(spent), new.cost + live.cost);
    assert_eq!(told.spent().unwrap().cost, (new.cost, live.cost));
}

#[tokio::test]
async fn others_see_nothing_of_it_and_only_the_newest_are_kept() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let other = Office::new(&world, "Other").await.owner;
    let viewer = acme.member(&world, "Vic", Role::Viewer).await;
    let cx = &acme.owner;
    let agent = made(cx, calculates()).await;
    let none = service::start(&cx.grant().unwrap(), agent.id, 1).await.unwrap_err();
    assert_eq!(none.code, "agents.no_cases");
    case(cx, agent.id, &form("What is 6 * 7?", "contains", "42")).await;
    assert_eq!(service::start(&cx.grant().unwrap(), agent.id, 9).await.unwrap_err().kind, Kind::NotFound);
    let first = start(cx, agent.id, 1).await;
    assert_eq!(service::start(&other.grant().unwrap(), agent.id, 1).await.unwrap_err().kind, Kind::NotFound);
    let foreign = service::find(&other.grant().unwrap(), agent.id, 1, Some(first)).await.unwrap_err();
    assert_eq!(foreign.kind, Kind::NotFound);
    assert_eq!(service::find(&other.grant().unwrap(), agent.id, 1, None).await.unwrap(), None);
    assert!(viewer.grant::<agentflow::access::right::Operate>().is_err());
    assert!(service::find(&viewer.grant().unwrap(), agent.id, 1, Some(first)).await.unwrap().is_some());
    // Of another version it is none.
    let version = changed(cx, &agent, counter(&[])).await;
    let elsewhere = service::find(&cx.grant().unwrap(), agent.id, version, Some(first)).await.unwrap_err();
    assert_eq!(elsewhere.kind, Kind::NotFound);
    for round in 0..20 {
        // Another name each time, so that it is another rehearsal.
        let more = form(&format!("Case {round}"), "contains", "42");
        let id = case(cx, agent.id, &more).await;
        start(cx, agent.id, 1).await;
        cases::remove(&cx.grant().unwrap(), agent.id, id).await.unwrap();
    }
    let gone = service::find(&cx.grant().unwrap(), agent.id, 1, Some(first)).await.unwrap_err();
    assert_eq!(gone.kind, Kind::NotFound);
    // Without its runs there is nothing to tell of one.
    sqlx::query("delete from runs").execute(world.deps().db.keeper()).await.unwrap();
    assert_eq!(service::find(&cx.grant().unwrap(), agent.id, 1, None).await.unwrap(), None);
}

const AGENT: [(&str, &str); 7] = [
    ("form[name]", "Counter"),
    ("form[instructions]", "Calculate."),
    ("form[model]", "sandbox/sandbox"),
    ("form[max_turns]", "5"),
    ("form[max_tokens]", "10000"),
    ("form[max_cost]", "0.50"),
    ("form[timeout_s]", "60"),
];

async fn live(office: &Office, agent: AgentId) -> Option<i32> {
    agents::service::find(&office.owner.grant().unwrap(), agent).await.unwrap().agent.deployed_version
}

#[tokio::test]
async fn with_cases_their_page_comes_before_the_last_button() {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let mut mia = world.joins("Mia", &ada.org.clone(), Role::Member).await;
    let mut vic = world.joins("Vic", &ada.org.clone(), Role::Viewer).await;
    let acme = Office::of(&world, &ada.org).await;
    let agent = made(&acme.owner, calculates()).await;
    let id = agent.id.to_string();
    let here = format!("/o/{}/agents/{id}", ada.org);
    let save = |base: &'static str, instructions: &'static str| {
        let own = [("agent", id.as_str()), ("base", base), ("deploy", "true"), ("form[instructions]", instructions)];
        AGENT.into_iter().filter(|(name, _)| *name != "form[instructions]").chain(own).collect::<Vec<_>>()
    };
    // Without cases it is deployed at once, but the page can be looked at.
    let page = ada.client.get(&format!("{here}/deploy?v=1")).await;
    assert!(page.text().contains("No test cases yet") && page.text().contains("Version 1 is live"), "{}", page.text());
    let reply = ada.sends::<SaveAgent>(&save("1", "Calculate at once.")).await;
    assert_eq!((reply.status.0.as_u16(), reply.header("location")), (200, ""));
    assert_eq!(live(&acme, agent.id).await, Some(2));

    case(&acme.owner, agent.id, &form("What is 6 * 7?", "contains", "42")).await;
    let reply = ada.sends::<SaveAgent>(&save("2", "Calculate.")).await;
    let page = reply.header("location").to_owned();
    assert!(page.starts_with(&format!("{here}/deploy?v=3&rehearsal=reh_")), "{} {page}", reply.text());
    assert_eq!(live(&acme, agent.id).await, Some(2), "it is saved and not deployed");
    let rehearsal = page.rsplit('=').next().unwrap().parse().unwrap();
    done(&acme.owner, agent.id, 3, rehearsal).await;
    let html = ada.client.get(&page).await.text().replace("<!>", "");
    // The form of the test names no tools, so version 2 has none either.
    let parts = ["Version 3 in the place of version 2", "Failed", "is not in the answer", "1 of 1 failed."];
    for part in parts.into_iter().chain(["Deploy version 3 anyway", "What differs from version 2"]) {
        assert!(html.contains(part), "{part}: {html}");
    }

    // Who may not deploy may run the cases; who may only look may not.
    let fields = [("agent", id.as_str()), ("version", "3")];
    let again = mia.sends::<RehearseAgent>(&fields).await;
    assert!(again.header("location").contains("/deploy?v=3&rehearsal=reh_"), "{}", again.text());
    assert_eq!(vic.sends::<RehearseAgent>(&fields).await.status, 403);
    for fields in [&fields[..], &[("agent", id.as_str()), ("version", "3"), ("now", "true")]] {
        assert_eq!(mia.sends::<DeployAgent>(fields).await.status, 403);
    }
    let html = mia.client.get(&page).await.text().replace("<!>", "");
    assert!(html.contains("An admin or owner can deploy it.") && html.contains("Run the cases again"), "{html}");
    let html = vic.client.get(&page).await.text().replace("<!>", "");
    assert!(!html.contains("Run the cases again") && html.contains("Open trace"), "{html}");

    // The button of the versions leads there, too; the last button deploys, without scripts as well.
    let reply = ada.sends::<DeployAgent>(&fields).await;
    assert!(reply.header("location").contains("/deploy?v=3&rehearsal=reh_"), "{}", reply.text());
    let org = ada.org.clone();
    let last = [
        ("_form", "deploy_agent"),
        ("_page", page.as_str()),
        ("org", org.as_str()),
        ("agent", id.as_str()),
        ("version", "3"),
        ("now", "true"),
    ];
    let reply = post_from(&mut ada.client, &page, DeployAgent::PATH, &last).await;
    assert_eq!((reply.status.0.as_u16(), reply.header("location")), (303, here.as_str()), "{}", reply.text());
    assert_eq!(live(&acme, agent.id).await, Some(3));
    // Of what is live there is nothing to deploy.
    let html = ada.client.get(&page).await.text().replace("<!>", "");
    assert!(html.contains("Version 3 is live") && !html.contains("Deploy version"), "{html}");
    assert_eq!(ada.client.get(&format!("{here}/deploy?v=9")).await.status, 404);
    let unknown = [("agent", id.as_str()), ("version", "3"), ("rehearsal", "reh_01jd0000000000000000000000")];
    assert_eq!(ada.sends::<LoadAgentDeploy>(&unknown).await.status, 404);
}

#[tokio::test]
async fn a_version_that_cannot_be_used_any_more_is_told_before_its_cases_are_run() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let agent = made(&acme.owner, calculates()).await;
    let version = changed(&acme.owner, &agent, counter(&[])).await;
    case(&acme.owner, agent.id, &form("What is 6 * 7?", "contains", "42")).await;
    let mut owner = world.owner().await;
    sqlx::query("alter table agent_versions no force row level security").execute(&mut owner).await.unwrap();
    let lost = r#"update agent_versions set config = jsonb_set(config, '{tools}', '{"teleport": "allowed"}')
                  where agent_id = $1 and version = $2"#;
    let rows = sqlx::query(lost).bind(agent.id).bind(version).execute(&mut owner).await.unwrap().rows_affected();
    assert_eq!(rows, 1);
    sqlx::query("alter table agent_versions force row level security").execute(&mut owner).await.unwrap();
    let (id, org) = (agent.id.to_string(), ada.org.clone());
    let here = format!("/o/{org}/agents/{id}/versions");
    for now in ["false", "true"] {
        let fields = [
            ("_form", "deploy-2"),
            ("_page", here.as_str()),
            ("org", org.as_str()),
            ("agent", id.as_str()),
            ("version", "2"),
            ("now", now),
        ];
        let reply = post_from(&mut ada.client, &here, DeployAgent::PATH, &fields).await;
        assert_eq!(reply.status, 422, "{}", reply.text());
        for part in ["There is a problem", "Version 2 cannot be used as it is.", "There is no tool “teleport”."] {
            assert!(reply.text().contains(part), "{part}: {}", reply.text());
        }
    }
    assert_eq!(live(&acme, agent.id).await, Some(1));
}

#[tokio::test]
async fn a_message_of_the_chat_and_its_answer_become_a_test_case() {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let mut vic = world.joins("Vic", &ada.org.clone(), Role::Viewer).await;
    let acme = Office::of(&world, &ada.org).await;
    let cx = &acme.owner;
    let agent = made(cx, calculates()).await;
    let say = Say {
        agent: agent.id,
        conversation: None,
        prompt: "What is 6 * 7?".into(),
        draft: None,
        for_real: None,
        beside_deployed: false,
    };
    let conversation = conversations::say(&cx.grant().unwrap(), say).await.unwrap();
    let (id, chat) = (agent.id.to_string(), conversation.to_string());
    let here = format!("/o/{}/agents/{id}", ada.org);
    let link = format!("{here}/tests?conversation={chat}&amp;turn=1");
    let mut answered = false;
    for _ in 0..200 {
        let found = conversations::find(&cx.grant().unwrap(), agent.id, conversation).await.unwrap();
        answered = found.turns[0].reply.state.is_end();
        if answered {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(answered);
    let page = ada.client.get(&format!("{here}?c={chat}")).await;
    assert!(page.text().contains("Save as test case") && page.text().contains(&link), "{}", page.text());
    let page = vic.client.get(&format!("{here}?c={chat}")).await;
    assert!(!page.text().contains("Save as test case"), "who may not build is not asked to");

    let fields = [("agent", id.as_str()), ("conversation", chat.as_str()), ("turn", "1")];
    let form = ada.sends::<LoadAgentCases>(&fields).await.json()["of_turn"].clone();
    assert_eq!((&form["name"], &form["prompt"]), (&json!("What is 6 * 7?"), &json!("What is 6 * 7?")));
    assert_eq!(form["check"], "contains");
    assert!(form["expected"].as_str().unwrap().contains("42"), "{form}");
    let page = ada.client.get(&format!("{here}/tests?conversation={chat}&turn=1")).await;
    assert!(page.text().contains("Made of your message and its answer."), "{}", page.text());
    let gone = [("agent", id.as_str()), ("conversation", chat.as_str()), ("turn", "2")];
    assert_eq!(ada.sends::<LoadAgentCases>(&gone).await.status, 404);
    let mut eve = world.sign_up("Eve").await;
    assert_eq!(eve.sends::<LoadAgentCases>(&fields).await.status, 404);

    let expected = form["expected"].as_str().unwrap();
    let add = [
        ("agent", id.as_str()),
        ("of_turn", "true"),
        ("form[name]", "Sum"),
        ("form[prompt]", "What is 6 * 7?"),
        ("form[check]", "contains"),
        ("form[expected]", expected),
    ];
    assert_eq!(Person::done(&ada.sends::<AddTestCase>(&add).await), "tests");
    let rehearsal = start(cx, agent.id, 1).await;
    let told = done(cx, agent.id, 1, rehearsal).await;
    assert_eq!(told.cases[0].candidate.verdict, Verdict::Passed, "the same model says the same: {told:?}");
}
