//! What came of the tasks of agents, out of real runs.

use agentflow::{
    agents::{
        self, AgentStatus,
        record::{AgentRecord, Period, TaskKind},
    },
    engine::state::RunState,
    kernel::{AgentId, Money},
    runs::{self, service::Start},
};
use serde_json::{Value, json};

use crate::{
    office::{Office, any, start},
    world::World,
};

fn nodes(agent: &str, alternatives: Value) -> Value {
    json!([
        start(),
        {
            "id": "write", "kind": "agent", "agent": agent, "prompt": "Say hello.", "after": ["start"],
            "alternatives": alternatives, "on_error": "fail",
        },
        { "id": "end", "kind": "end", "after": ["write"] },
    ])
}

async fn agent(office: &Office, name: &str, model: &str) -> AgentId {
    let config = serde_json::from_value(json!({
        "name": name, "role": "writes", "instructions": "You write.", "model": model,
    }));
    agents::service::create(&office.owner.grant().expect("owner"), config.expect("config")).await.expect("agent").id
}

#[tokio::test]
async fn the_record_tells_who_did_what_and_who_had_to_be_helped() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let grant = || acme.owner.grant().expect("owner");
    let writer = agent(&acme, "Writer", "sandbox/sandbox").await;
    // No key is set for its model.
    let broken = agent(&acme, "Broken", "openai/gpt-5").await;
    let none = agents::service::record(&grant(), writer, Period::Week).await.expect("record");
    assert_eq!((none.all.tasks, none.all.success_permille(), none.by_model.len()), (0, None, 0));

    let plain = acme.workflow("Plain", any(), nodes("writer", json!([]))).await;
    let helped = acme.workflow("Helped", any(), nodes("broken", json!([{ "agent": "writer" }]))).await;
    let failing = acme.workflow("Failing", any(), nodes("broken", json!([]))).await;
    world.work();
    for (workflow, state) in [
        (plain, RunState::Succeeded),
        (plain, RunState::Succeeded),
        (helped, RunState::Succeeded),
        (failing, RunState::Failed),
    ] {
        let run = acme.start(workflow, json!({ "title": "A task" })).await;
        acme.until(run, state).await;
    }
    // A test is none of its tasks.
    let test = Start {
        workflow: plain,
        version: Some(1),
        input: json!({}),
        priority: None,
        labels: Vec::new(),
        idempotency_key: None,
    };
    let test = runs::service::start(&grant_to_run(&acme), test).await.expect("start").run;
    let ended = acme.until(test, RunState::Succeeded).await;
    let tests = i64::from(ended.summary.trigger == "test");

    let record = agents::service::record(&grant(), writer, Period::Month).await.expect("record");
    let tasks = 4 - tests;
    assert_eq!((record.all.tasks, record.all.succeeded, record.all.cost), (tasks, tasks, Money::ZERO));
    assert!(record.all.p50_ms.is_some() && record.all.p50_ms <= record.all.p95_ms);
    assert_eq!(record.by_model.iter().map(|(model, _)| model.as_str()).collect::<Vec<_>>(), ["sandbox/sandbox"]);
    assert_eq!(record.by_version.iter().map(|(version, of)| (*version, of.tasks)).collect::<Vec<_>>(), [(1, tasks)]);
    let kinds = |record: &AgentRecord| -> Vec<(String, i64, i64)> {
        let kinds = record.by_kind.iter();
        kinds.map(|(kind, of)| (kind.words().to_owned(), of.tasks, of.succeeded)).collect()
    };
    let mut wanted = vec![("Plain".to_owned(), tasks - 1, tasks - 1), ("Helped".to_owned(), 1, 1)];
    wanted.extend((tests > 0).then(|| ("Tests".to_owned(), tests, tests)));
    assert_eq!(kinds(&record), wanted, "what is a test stands apart");
    assert_eq!(record.by_kind[0].0, TaskKind::Workflow(plain, "Plain".to_owned()));
    let record = agents::service::record(&grant(), broken, Period::Week).await.expect("record");
    let by_name = |mut kinds: Vec<(String, i64, i64)>| {
        kinds.sort();
        kinds
    };
    assert_eq!(by_name(kinds(&record)), [("Failing".to_owned(), 1, 0), ("Helped".to_owned(), 1, 0)]);
    assert_eq!((record.all.tasks, record.all.succeeded, record.all.failed()), (2, 0, 2), "help is not success");

    let registry = agents::service::registry(&grant(), Period::Month).await.expect("registry");
    assert_eq!(
        registry.iter().map(|(key, of)| (key.as_str(), of.tasks)).collect::<Vec<_>>(),
        [("broken", 2), ("writer", tasks)]
    );
    let other = Office::new(&world, "Other").await;
    let foreign = agents::service::registry(&other.owner.grant().expect("owner"), Period::Month).await;
    assert_eq!(foreign.map(|registry| registry.len()), Ok(0));
}

#[tokio::test]
async fn new_runs_are_refused_while_an_agent_is_off_and_a_retry_counts_its_own_tasks_alone() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let grant = || acme.owner.grant().expect("owner");
    let writer = agent(&acme, "Writer", "sandbox/sandbox").await;
    let broken = agent(&acme, "Broken", "openai/gpt-5").await;
    let two = json!([
        start(),
        { "id": "write", "kind": "agent", "agent": "writer", "prompt": "Say hello.", "after": ["start"] },
        { "id": "more", "kind": "agent", "agent": "broken", "prompt": "Say more.", "on_error": "fail", "after": ["write"] },
        { "id": "end", "kind": "end", "after": ["more"] },
    ]);
    let workflow = acme.workflow("Two", any(), two).await;
    let begin = || Start {
        workflow,
        version: None,
        input: json!({ "title": "x" }),
        priority: None,
        labels: Vec::new(),
        idempotency_key: None,
    };
    agents::service::set_status(&acme.owner.grant().expect("owner"), writer, AgentStatus::Inactive).await.expect("off");
    let refused = runs::service::start(&grant_to_run(&acme), begin()).await.expect_err("it is off");
    assert_eq!(refused.code, "agents.inactive");
    assert!(refused.message.contains("“Writer” is switched off"), "{}", refused.message);
    agents::service::set_status(&acme.owner.grant().expect("owner"), writer, AgentStatus::Active).await.expect("on");

    world.work();
    let run = runs::service::start(&grant_to_run(&acme), begin()).await.expect("start").run;
    acme.until(run, RunState::Failed).await;
    let again = runs::control::retry(&grant_to_run(&acme), run, None).await.expect("a retry").run;
    acme.until(again, RunState::Failed).await;
    let tasks = |id| {
        let grant = grant();
        async move { agents::service::record(&grant, id, Period::Week).await.expect("record").all.tasks }
    };
    assert_eq!((tasks(writer).await, tasks(broken).await), (1, 2), "what is taken over is no new task");
}

fn grant_to_run(office: &Office) -> agentflow::access::Grant<agentflow::access::right::Operate> {
    office.owner.grant().expect("owner")
}
