//! What agents remember: over runs, over a process that is lost in the middle, and until somebody makes them forget.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use agentflow::{
    access::Role,
    agents::{self, Agent},
    db::Db,
    deps::Deps,
    effects::Performer,
    engine::{
        port::{Answer, Call, CallScope, Effects, Evaluation, MemoryCall, MemoryDeed, Place as Turn, Progress},
        state::{RunState, StepError, StepId},
    },
    kernel::{RunId, WorkflowId},
    memory::service,
};
use serde_json::{Value, json};

use crate::{
    engine::Node,
    office::{Office, start},
    world::World,
};

/// The real thing, but for the first task that is kept: it is, and the process never hears of it.
#[derive(Clone)]
struct Deaf {
    performer: Performer,
    lost: Arc<AtomicBool>,
}

impl Deaf {
    /// One whose process has connections of its own.
    async fn new(world: &World, lost: &Arc<AtomicBool>) -> Self {
        let db = Db::connect(world.database_url(), 4).await.unwrap();
        let deps = Deps { db, ..world.deps().clone() };
        Self { performer: Performer::of(&deps), lost: lost.clone() }
    }
}

#[async_trait::async_trait]
impl Effects for Deaf {
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let keeps = matches!(&call, Call::Memory(MemoryCall { deed: MemoryDeed::Keep { .. }, .. }));
        let answer = self.performer.perform(call, scope, progress).await;
        if keeps && !self.lost.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        answer
    }

    async fn place(&self, call: &Call, scope: &CallScope) -> Option<Box<dyn Turn>> {
        self.performer.place(call, scope).await
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        self.performer.evaluate(evaluation).await
    }
}

/// A workflow whose agent remembers what each customer said.
async fn support(office: &Office) -> WorkflowId {
    let nodes = json!([
        start(),
        { "id": "answer", "kind": "agent", "agent": "support", "prompt": "{{ input.text }}",
          "memory_key": "{{ input.customer }}", "after": ["start"] },
        { "id": "end", "kind": "end", "output": "{{ steps.answer.output }}", "after": ["answer"] },
    ]);
    let agents = json!({ "support": {
        "name": "Support", "role": "answers customers", "instructions": "Answer {{ input.customer }}, kindly.",
        "model": "sandbox/sandbox", "memory": "key",
        "guardrails": { "redact": ["card"] }
    } });
    office.with_agents("Support", nodes, agents).await
}

async fn the_agent(office: &Office) -> Agent {
    agents::service::list(&office.owner.grant().unwrap()).await.unwrap().remove(0)
}

/// What a step of a run came to.
async fn output(world: &World, run: RunId, step: &str) -> Option<Value> {
    let output: Option<Option<Value>> =
        sqlx::query_scalar("select output from steps where run_id = $1 and id = $2 and state = 'succeeded'")
            .bind(run)
            .bind(step)
            .fetch_optional(world.deps().db.engine())
            .await
            .unwrap();
    output.map(Option::unwrap_or_default)
}

async fn kept(office: &Office, agent: &Agent, key: &str) -> Vec<(String, String)> {
    let grant = office.owner.grant().unwrap();
    let open = service::look(&grant, agent.id, "", Some(key.to_owned())).await.unwrap().open;
    open.into_iter().flat_map(|(_, entries)| entries).map(|entry| (entry.prompt, entry.answer)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_remembered_once_though_the_process_is_lost_as_it_is_kept() {
    let world = World::new().await;
    let office = Office::new(&world, "Acme").await;
    let workflow = support(&office).await;
    let agent = the_agent(&office).await;
    let lost = Arc::default();
    let mut first = Node::start(&world, &Deaf::new(&world, &lost).await).await;
    let input = |customer: &str, text: &str| json!({ "customer": customer, "text": text });
    let run = office.start(workflow, input("c-1", "My card is 4111 1111 1111 1111.")).await;
    while !lost.load(Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(kept(&office, &agent, "c-1").await.len(), 1, "it is kept");
    assert_eq!(output(&world, run, "answer.memory-keep").await, None, "and that is not known yet");
    first.lose();
    let _second = Node::start(&world, &Deaf::new(&world, &lost).await).await;
    let detail = office.until(run, RunState::Succeeded).await;
    let remembered = kept(&office, &agent, "c-1").await;
    assert_eq!(remembered.len(), 1, "once, though it was tried twice");
    let (prompt, answer) = &remembered[0];
    assert_eq!(prompt, "My card is [card number removed].");
    assert_eq!(Some(answer.as_str()), detail.output.as_ref().and_then(Value::as_str));
    let recalled = output(&world, run, "answer.memory-recall").await.unwrap();
    assert_eq!(recalled["tasks"], json!([]), "there was nothing before");
    let system: Value = sqlx::query_scalar("select input from steps where run_id = $1 and id = 'answer'")
        .bind(run)
        .fetch_one(world.deps().db.engine())
        .await
        .unwrap();
    assert_eq!(system["filled"], json!(["c-1"]));

    let again = office.start(workflow, input("c-1", "And now?")).await;
    let other = office.start(workflow, input("c-2", "Who am I?")).await;
    let nobody = office.start(workflow, input("", "Hello")).await;
    for run in [again, other] {
        office.until(run, RunState::Succeeded).await;
    }
    let recalled = output(&world, again, "answer.memory-recall").await.unwrap();
    assert_eq!(recalled["tasks"], json!([{ "prompt": prompt, "answer": answer }]));
    let told: Value = sqlx::query_scalar("select input from steps where run_id = $1 and id = 'answer.model1'")
        .bind(again)
        .fetch_one(world.deps().db.engine())
        .await
        .unwrap();
    let texts: Vec<_> = told["messages"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, [prompt, answer, "And now?"]);
    assert_eq!(output(&world, other, "answer.memory-recall").await.unwrap()["tasks"], json!([]));
    assert_eq!(kept(&office, &agent, "c-1").await.len(), 2);
    office.until(nobody, RunState::Succeeded).await;
    assert_eq!(output(&world, nobody, "answer.memory-recall").await, None, "without a key nothing is read");

    let grant = office.owner.grant().unwrap();
    let all = service::look(&grant, agent.id, "C-", None).await.unwrap();
    assert_eq!(all.all, 2);
    assert_eq!(all.keys.iter().map(|line| (line.key.as_str(), line.tasks)).collect::<Vec<_>>().len(), 2);
    // Another organization has the same key of an agent, and sees nothing of it.
    let others = Office::new(&world, "Globex").await;
    let foreign = service::look(&others.owner.grant().unwrap(), agent.id, "", Some("c-1".to_owned())).await.unwrap();
    assert_eq!((foreign.all, foreign.open), (0, None));
    assert_eq!(service::forget(&others.owner.grant().unwrap(), agent.id, None).await.unwrap(), 0);

    assert_eq!(service::forget(&office.owner.grant().unwrap(), agent.id, Some("c-1")).await.unwrap(), 2);
    let afresh = office.start(workflow, input("c-1", "Do you know me?")).await;
    office.until(afresh, RunState::Succeeded).await;
    assert_eq!(output(&world, afresh, "answer.memory-recall").await.unwrap()["tasks"], json!([]));
    assert_eq!(service::forget(&office.owner.grant().unwrap(), agent.id, None).await.unwrap(), 2);
    assert!(office.member(&world, "Vera", Role::Viewer).await.grant::<agentflow::access::right::Build>().is_err());
}

#[tokio::test]
async fn of_a_key_the_last_two_hundred_tasks_are_kept_and_the_last_thirty_told() {
    let world = World::new().await;
    let office = Office::new(&world, "Acme").await;
    support(&office).await;
    let agent = the_agent(&office).await;
    let (db, org) = (&world.deps().db, office.owner.org_id());
    let scope = |number: usize| CallScope {
        org,
        run: RunId::new(),
        step: StepId::from_text(format!("answer.memory-keep{number}")),
        attempt: 1,
        fence: 1,
        cache_s: None,
        lock_fence: None,
        agent: None,
        beyond_budget: false,
        until: chrono::DateTime::UNIX_EPOCH,
        time: std::time::Duration::ZERO,
    };
    for number in 0..203 {
        let long = if number == 200 { "é".repeat(70_000) } else { String::new() };
        let task = agentflow::engine::port::PastTask { prompt: format!("{number}"), answer: long };
        let scope = scope(number);
        for _ in 0..2 {
            service::keep(db, &scope, &agent.key, "c-1", task.clone()).await.unwrap();
        }
    }
    let all = service::look(&office.owner.grant().unwrap(), agent.id, "", None).await.unwrap();
    assert_eq!(all.keys[0].tasks, 200);
    let shown = kept(&office, &agent, "c-1").await;
    assert_eq!(shown.len(), 20);
    assert_eq!((shown[0].0.as_str(), shown[19].0.as_str()), ("202", "183"));
    assert_eq!(shown[2].1.chars().count(), 4_001, "of a long answer the beginning is shown");
    let told = service::recall(db, org, &agent.key, "c-1").await.unwrap().tasks;
    assert_eq!(told.len(), 30);
    assert_eq!((told[0].prompt.as_str(), told[29].prompt.as_str()), ("173", "202"));
    assert_eq!(told[27].answer.chars().count(), 20_001, "of a long answer the beginning is kept");
}

#[tokio::test]
async fn the_page_shows_what_is_remembered_and_forgets_by_plain_forms() {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let office = Office::of(&world, &ada.org).await;
    let workflow = support(&office).await;
    let agent = the_agent(&office).await;
    let page = format!("/o/{}/agents/{}/memory", ada.org, agent.id);
    assert!(ada.client.get(&page).await.text().contains("Nothing remembered yet"));
    let run = office.start(workflow, json!({ "customer": "a & b", "text": "What is 6 * 7?" })).await;
    office.until(run, RunState::Succeeded).await;
    let list = ada.client.get(&page).await;
    assert!(list.text().contains("key=a%20%26%20b"), "{}", list.text());
    let open = ada.client.get(&format!("{page}?key=a%20%26%20b")).await;
    assert!(open.text().contains("What is 6 * 7?") && open.text().contains("Forget this key"));
    let (id, org) = (agent.id.to_string(), ada.org.clone());
    let forget = [("org", org.as_str()), ("agent", id.as_str()), ("key", "a & b")];
    let reply = ada.client.post_form("/rpc/app/agents/api/forget_memory", &forget).await;
    assert!(!reply.status.0.is_client_error() && !reply.status.0.is_server_error(), "{}", reply.text());
    assert!(ada.client.get(&page).await.text().contains("Nothing remembered yet"));
}
