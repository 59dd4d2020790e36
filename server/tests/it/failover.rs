//! Who is asked when somebody does not answer: fallbacks, several keys, connections that are left alone, classes of tasks.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use agentflow::{
    access::Role,
    db::Db,
    deps::Deps,
    effects::Performer,
    egress::{Egress, EgressSettings},
    engine::{
        port::{Answer, Call, CallScope, Effects, Message, ModelAnswer, ModelCall, Progress},
        state::{ErrorClass, RunState, StepError},
    },
    kernel::{Money, OrgId, Result, Timestamp},
    models::{
        Class, ModelSettings, Models, ProviderSettings, SANDBOX, classes,
        connection::{Connection, Connections},
        routing::{CallContext, Circumstances, Side},
    },
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    fake_model::FakeModel,
    models::scope,
    office::{Office, start},
    world::World,
};

const GPT: &str = "openai/gpt-4o";
const CLAUDE: &str = "anthropic/claude-sonnet-5";
const OWN: &str = "compatible/llama";

/// A world with two keys for OpenAI, one for Anthropic, and a server of one's own, all of them the fake one.
async fn with_fake() -> (World, FakeModel, Performer) {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let world = World::with(&[
        ("OPENAI_API_KEY", "k-one, k-two"),
        ("OPENAI_BASE_URL", &url),
        ("ANTHROPIC_API_KEY", "key-three"),
        ("ANTHROPIC_BASE_URL", &url),
        ("AGENTFLOW_MODEL_BASE_URL", &url),
        ("AGENTFLOW_MODELS", "llama"),
        ("AGENTFLOW_SANDBOX_PAUSE_MS", "0"),
    ])
    .await;
    let performer = Performer::of(world.deps());
    (world, fake, performer)
}

fn ask(model: &str, fallbacks: &[&str], text: &str) -> ModelCall {
    ModelCall {
        model: model.to_owned(),
        fallbacks: fallbacks.iter().map(|model| (*model).to_owned()).collect(),
        messages: vec![Message::User { text: text.to_owned() }],
        max_tokens: Some(500),
        ..ModelCall::default()
    }
}

/// What came of a call, and what was heard meanwhile: pieces, `RESTART`, and lines of the log.
struct Heard {
    answer: std::result::Result<Answer, StepError>,
    pieces: Vec<String>,
    lines: Vec<String>,
}

impl Heard {
    fn answer(self) -> ModelAnswer {
        match self.answer {
            Ok(Answer::Model(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// What a reader has at the end.
    fn read(&self) -> String {
        let begun = self.pieces.iter().rposition(|piece| piece == "RESTART").map_or(0, |place| place + 1);
        self.pieces[begun..].concat()
    }
}

async fn perform_in(performer: &Performer, scope: &CallScope, call: ModelCall) -> Heard {
    let (pieces, lines) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let hear = |progress| match progress {
        Progress::Partial(text) => pieces.lock().unwrap().push(text),
        Progress::Restart => pieces.lock().unwrap().push("RESTART".to_owned()),
        Progress::Log(_, line) => lines.lock().unwrap().push(line),
    };
    let answer = performer.perform(Call::Model(call), scope, &hear).await;
    Heard { answer, pieces: pieces.into_inner().unwrap(), lines: lines.into_inner().unwrap() }
}

async fn perform(performer: &Performer, call: ModelCall) -> Heard {
    perform_in(performer, &scope(), call).await
}

fn keys(fake: &FakeModel) -> Vec<String> {
    fake.calls().into_iter().map(|call| call.authorization.replace("Bearer ", "")).collect()
}

#[tokio::test]
async fn the_next_model_answers_what_the_first_one_does_not() {
    for failure in ["status: 500", "status: 429 retry 9", "status: 429 quota", "status: 401", "status: 408", "garbage"]
    {
        let (_world, fake, performer) = with_fake().await;
        let heard =
            perform(&performer, ask(GPT, &[CLAUDE], &format!("@gpt-4o {failure}\n@claude say: here I am"))).await;
        let lines = heard.lines.clone();
        let answer = heard.answer();
        assert_eq!((answer.text.as_str(), answer.model.as_str()), ("here I am", CLAUDE), "{failure}");
        assert_eq!(answer.requested.as_deref(), Some(GPT));
        let tried: Vec<&str> = answer.tried.iter().map(|one| one.model.as_str()).collect();
        assert_eq!(tried, [GPT, GPT], "both keys, {failure}");
        assert!(answer.tried.iter().all(|one| one.usage.is_none()), "what has not begun costs nothing: {failure}");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("OpenAI did not answer: ") && lines[0].contains("with another key"), "{lines:?}");
        assert!(lines[1].ends_with(&format!("Asking {CLAUDE} instead.")), "{lines:?}");
        assert_eq!(fake.calls().len(), 3);
    }
}

#[tokio::test]
async fn what_is_the_requests_own_fault_is_not_asked_of_another() {
    let (_world, fake, performer) = with_fake().await;
    for (failure, code) in [("status: 400", "model.refused"), ("filtered", "model.filtered")] {
        let heard = perform(&performer, ask(GPT, &[CLAUDE], &format!("@gpt-4o {failure}\nsay: no"))).await;
        let error = heard.answer.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::BadInput, code));
    }
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test]
async fn two_half_answers_are_never_joined() {
    let (_world, fake, performer) = with_fake().await;
    for failure in ["cut", "end", "fault", "stall"] {
        let scope = CallScope { time: Duration::from_secs(4), ..scope() };
        let call = ask(OWN, &[CLAUDE], &format!("@llama {failure}\n@claude say: the whole of it"));
        let heard = perform_in(&performer, &scope, call).await;
        assert_eq!(heard.pieces[..2], ["Half an ".to_owned(), "RESTART".to_owned()], "{failure}");
        assert_eq!(heard.read(), "the whole of it", "{failure}");
        let answer = heard.answer();
        assert_eq!(answer.text, "the whole of it", "{failure}");
        let half = answer.tried[0].usage;
        assert!(half.tokens_in > 0 && half.tokens_out > 0 && half.cost == Money::ZERO, "{failure}: {half:?}");
        assert_eq!(answer.spent().tokens(), answer.usage.tokens() + half.tokens());
    }
    assert_eq!(fake.calls().len(), 8);
    // Nothing was said yet: nothing is taken back.
    let heard = perform(&performer, ask(OWN, &[CLAUDE], "@llama status: 500\n@claude say: hello")).await;
    assert_eq!(heard.pieces, ["hello"]);
}

#[tokio::test]
async fn one_that_hangs_leaves_time_for_the_next() {
    let (_world, fake, performer) = with_fake().await;
    let scope = CallScope { time: Duration::from_secs(3), ..scope() };
    let heard = perform_in(&performer, &scope, ask(GPT, &[CLAUDE], "@gpt-4o hang\n@claude say: in time")).await;
    assert_eq!(heard.answer().text, "in time");
    assert_eq!(fake.calls().len(), 3);
}

#[tokio::test]
async fn when_nobody_answers_the_error_tells_of_all() {
    let (_world, _fake, performer) = with_fake().await;
    let text = "@gpt-4o status: 429 retry 20\n@claude status: 429 retry 5";
    let error = perform(&performer, ask(GPT, &[CLAUDE, "groq/openai/gpt-oss-20b"], text)).await.answer.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::RateLimited, "model.rate_limited"));
    assert_eq!(error.retry_after_ms, Some(5_000));
    for part in [GPT, CLAUDE, "groq/openai/gpt-oss-20b", "No key is set"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[tokio::test]
async fn a_key_that_asks_to_be_left_alone_is_and_only_when_all_do_the_call_waits() {
    let (world, fake, performer) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let scope = CallScope { org: acme.owner.org_id(), ..scope() };
    let call = |fallbacks: &[&str], text: &str| ask(GPT, fallbacks, text);
    // Whichever comes first: after two calls the one key has said it.
    for _ in 0..2 {
        let text = "@k-one status: 429 retry 600\n@k-two say: hello";
        assert_eq!(perform_in(&performer, &scope, call(&[], text)).await.answer().text, "hello");
    }
    let before = fake.calls().len();
    for _ in 0..4 {
        let answer = perform_in(&performer, &scope, call(&[], "say: again")).await.answer();
        assert!(answer.tried.is_empty());
    }
    assert!(keys(&fake)[before..].iter().all(|key| key == "k-two"));

    // Another process knows it, too; another organization is not concerned.
    let db = Db::connect(world.database_url(), 4).await.unwrap();
    let other = Performer::of(&Deps { db, ..world.deps().clone() });
    perform_in(&other, &scope, call(&[], "say: elsewhere")).await.answer();
    assert_eq!(keys(&fake).last().unwrap(), "k-two");
    for _ in 0..2 {
        perform(&performer, call(&[], "say: elsewhere")).await.answer();
    }
    assert_eq!(keys(&fake)[before + 5..].iter().filter(|key| *key == "k-one").count(), 1);

    let error = perform_in(&performer, &scope, call(&[], "status: 429 retry 500")).await.answer.unwrap_err();
    assert_eq!((error.class, error.retry_after_ms), (ErrorClass::RateLimited, Some(500_000)));
    let before = fake.calls().len();
    let Ok(Answer::Later { why, .. }) = perform_in(&performer, &scope, call(&[], "say: now?")).await.answer else {
        panic!("both keys are to be left alone");
    };
    assert_eq!((why.as_str(), fake.calls().len()), ("OpenAI", before));
    assert!(performer.place(&Call::Model(call(&[], "say: now?")), &scope).await.is_none());
    let heard = perform_in(&performer, &scope, call(&[CLAUDE], "say: somebody")).await;
    assert!(heard.lines[0].contains("asked to be left alone"), "{:?}", heard.lines);
    let answer = heard.answer();
    assert_eq!((answer.model.as_str(), answer.tried[0].code.as_str()), (CLAUDE, "model.left_alone"));
    assert_eq!(fake.calls().len(), before + 1);
}

#[tokio::test]
async fn one_that_fails_again_and_again_is_asked_no_more_until_it_answers() {
    let (_world, fake, performer) = with_fake().await;
    let asked = |model: &str| fake.calls().iter().filter(|call| call.model == model).count();
    for _ in 0..5 {
        perform(&performer, ask(OWN, &[CLAUDE], "@llama status: 503\nsay: hello")).await.answer();
    }
    let answer = perform(&performer, ask(OWN, &[CLAUDE], "say: hello")).await.answer();
    assert_eq!((answer.model.as_str(), answer.tried[0].code.as_str()), (CLAUDE, "model.circuit_open"));
    assert_eq!(asked("llama"), 5);
    // With nobody else left it is asked all the same, and once it answers it is there again.
    assert_eq!(perform(&performer, ask(OWN, &[], "say: hello")).await.answer().model, OWN);
    assert_eq!(perform(&performer, ask(OWN, &[CLAUDE], "say: hello")).await.answer().model, OWN);
    assert_eq!(asked("llama"), 7);

    // A refused key is not tried again at once.
    for _ in 0..4 {
        let text = "@k-one status: 401\nsay: hello";
        assert_eq!(perform(&performer, ask(GPT, &[], text)).await.answer().text, "hello");
    }
    assert_eq!(keys(&fake).iter().filter(|key| *key == "k-one").count(), 1);
}

#[tokio::test]
async fn equal_keys_share_the_work() {
    let (_world, fake, performer) = with_fake().await;
    let shares = |fake: &FakeModel| {
        let mut shares: BTreeMap<String, usize> = BTreeMap::new();
        keys(fake).into_iter().for_each(|key| *shares.entry(key).or_default() += 1);
        shares
    };
    for _ in 0..10 {
        perform(&performer, ask(GPT, &[], "say: hello")).await.answer();
    }
    assert_eq!(shares(&fake), BTreeMap::from([("k-one".to_owned(), 5), ("k-two".to_owned(), 5)]));
    // Whoever has less to do comes first: while one of them is busy, the other one has the rest.
    let busy = ask(GPT, &[], &format!("slow: {}", "word ".repeat(100)));
    let rest = async {
        while fake.calls().len() < 11 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..9 {
            perform(&performer, ask(GPT, &[], "say: hello")).await.answer();
        }
    };
    tokio::select! {
        heard = perform(&performer, busy) => panic!("{:?}", heard.answer),
        () = rest => {}
    }
    let mut counted: Vec<_> = shares(&fake).into_values().collect();
    counted.sort_unstable();
    assert_eq!(counted, [6, 14]);
}

#[tokio::test]
async fn a_class_of_tasks_goes_to_its_models_and_an_organization_may_name_them() {
    let (world, _fake, performer) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let scope = CallScope { org: acme.owner.org_id(), ..scope() };
    let routine = || ask("class/routine", &[], "say: done");
    let answer = perform_in(&performer, &scope, routine()).await.answer();
    let named = ("anthropic/claude-haiku-5-5", Some("class/routine"));
    assert_eq!((answer.model.as_str(), answer.requested.as_deref()), named);
    let failing = ask("class/routine", &[], "@haiku status: 500\nsay: done");
    assert_eq!(perform_in(&performer, &scope, failing).await.answer().model, "openai/gpt-6-luna");

    let set = async |models: &[&str]| {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        classes::set(&acme.owner.grant().unwrap(), Class::Routine, models).await
    };
    set(&["groq/not-connected", OWN]).await.unwrap();
    assert_eq!(perform_in(&performer, &scope, routine()).await.answer().model, OWN);
    let viewer = acme.member(&world, "Vic", Role::Viewer).await;
    let seen = classes::list(&viewer.grant().unwrap()).await.unwrap();
    let own: Vec<_> = seen.iter().filter(|one| one.is_own).map(|one| (one.class, one.models.len())).collect();
    assert_eq!((seen.len(), own), (5, vec![(Class::Routine, 2)]));
    assert!(viewer.grant::<agentflow::access::right::Deploy>().is_err());
    // What one organization names is nothing to another.
    let beta = Office::new(&world, "Beta").await;
    let theirs = CallScope { org: beta.owner.org_id(), ..scope.clone() };
    assert_eq!(perform_in(&performer, &theirs, routine()).await.answer().model, "anthropic/claude-haiku-5-5");
    assert!(!classes::list(&beta.owner.grant().unwrap()).await.unwrap().iter().any(|one| one.is_own));
    for bad in ["nonsense", "class/creative"] {
        assert!(set(&[OWN, bad]).await.is_err(), "{bad}");
    }
    set(&[]).await.unwrap();
    assert_eq!(perform_in(&performer, &scope, routine()).await.answer().model, "anthropic/claude-haiku-5-5");

    let bare = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "0")]).await;
    let answer = perform(&Performer::of(bare.deps()), routine()).await.answer();
    assert_eq!((answer.model.as_str(), answer.requested.as_deref()), (SANDBOX, Some("class/routine")));
    let unknown = perform(&performer, ask("class/urgent", &[], "say: no")).await.answer.unwrap_err();
    assert_eq!((unknown.class, unknown.code.as_str()), (ErrorClass::BadInput, "model.unknown"));
}

#[tokio::test]
async fn the_most_that_a_call_costs_is_that_of_its_dearest_model() {
    let (_world, _fake, performer) = with_fake().await;
    let cost = |model: &str, fallbacks: &[&str]| performer.most(&ask(model, fallbacks, "say: hello")).cost;
    let dear = "anthropic/claude-opus-5";
    assert!(cost(dear, &[]) > cost(GPT, &[]) && cost(GPT, &[]) > Money::ZERO);
    assert!(cost(GPT, &[dear]) >= cost(dear, &[]));
    assert!(cost("class/complex_reasoning", &[]) > cost("class/routine", &[]));
    assert_eq!(cost(OWN, &[]), Money::ZERO);
    let heard = perform(&performer, ask(OWN, &[], "say: hello")).await;
    assert_eq!(heard.lines, [format!("No price is known for {OWN}: its cost counts as nothing.")]);
}

#[tokio::test]
async fn a_model_without_a_price_counts_like_the_dearest_and_the_operator_may_say_what_one_costs() {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    let dear = json!({ "models": [{ "id": OWN, "label": "Ours", "input": 3, "output": 1_000 }] });
    std::fs::write(&file, dear.to_string()).unwrap();
    let world = World::with(&[
        ("OPENAI_API_KEY", "k-one"),
        ("OPENAI_BASE_URL", &url),
        ("OPENAI_MODELS", "gpt-4o, gpt-99"),
        ("AGENTFLOW_MODEL_BASE_URL", &url),
        ("AGENTFLOW_MODELS", "llama"),
        ("AGENTFLOW_PRICES_FILE", file.to_str().unwrap()),
    ])
    .await;
    let performer = Performer::of(world.deps());
    let heard = perform(&performer, ask("openai/gpt-99", &[], "say: hello")).await;
    let line = "No price is known for openai/gpt-99: it counts like openai/gpt-6-astra, the dearest of its provider.";
    assert_eq!(heard.lines, [line]);
    let usage = heard.answer().usage;
    assert!(usage.cost.micros() >= i64::try_from(usage.tokens_out).unwrap() * 50, "{usage:?}");
    let most = |model: &str| performer.most(&ask(model, &[], "say: hello")).cost;
    assert!(most("openai/gpt-99").micros() > 4 * most(GPT).micros(), "as of the dearest");
    let heard = perform(&performer, ask(OWN, &[], "say: hello")).await;
    assert!(heard.lines.is_empty(), "{:?}", heard.lines);
    let usage = heard.answer().usage;
    assert!(usage.cost.micros() >= i64::try_from(usage.tokens_out).unwrap() * 1_000, "{usage:?}");
    let offered = world.deps().models.available(OrgId::new()).await.unwrap();
    assert!(offered.iter().any(|model| model.id == OWN && model.label == "Ours" && model.price.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_records_who_was_asked_and_who_answered() {
    let (world, _fake, _performer) = with_fake().await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "ask", "kind": "agent", "agent": "writer", "after": ["start"],
          "prompt": "@gpt-4o cut\n@claude say: the whole answer" },
        { "id": "end", "kind": "end", "after": ["ask"], "output": "{{ steps.ask.output }}" },
    ]);
    let writer = json!({
        "name": "Writer", "role": "r", "instructions": "Write.", "model": GPT, "fallbacks": [CLAUDE],
    });
    let workflow = acme.with_agents("Ask", nodes, json!({ "writer": writer })).await;
    let run = acme.start(workflow, json!({})).await;
    let done = acme.until(run, RunState::Succeeded).await;
    assert_eq!(done.output, Some(json!("the whole answer")));
    let output: Value = sqlx::query_scalar("select output from steps where run_id = $1 and id = 'ask.model1'")
        .bind(run)
        .fetch_one(world.deps().db.engine())
        .await
        .unwrap();
    assert_eq!((&output["model"], &output["requested"]), (&json!(CLAUDE), &json!(GPT)));
    assert_eq!(output["tried"].as_array().map(Vec::len), Some(2));
    assert!(output["usage"]["cost"].as_i64().is_some_and(|cost| cost > 0), "{output}");
    let told: Vec<Value> = sqlx::query_scalar("select data from run_events where run_id = $1")
        .bind(run)
        .fetch_all(world.deps().db.engine())
        .await
        .unwrap();
    let told = json!(told).to_string();
    assert!(told.contains(&format!("Asking {CLAUDE} instead.")), "{told}");
}

/// What an organization has brought itself.
struct Own(Mutex<Vec<Connection>>);

#[async_trait]
impl Connections for Own {
    async fn of(&self, _: OrgId) -> Result<Vec<Connection>> {
        Ok(self.0.lock().unwrap().clone())
    }
}

struct Nothing;

#[async_trait]
impl Circumstances for Nothing {
    async fn class(&self, _: Class) -> std::result::Result<Option<Vec<String>>, StepError> {
        Ok(None)
    }

    async fn left_alone(&self, _: &[Side]) -> HashMap<Side, Timestamp> {
        HashMap::new()
    }

    async fn used(&self, _: &Side) {}

    async fn hear(&self, _: &Side, _: &StepError) {}
}

fn brought(id: &str, rank: i16, key: &str, base_url: &str) -> Connection {
    let provider = ProviderSettings {
        name: "compatible".to_owned(),
        label: "Own server".to_owned(),
        key: Some(key.to_owned().into()),
        base_url: Some(base_url.parse().unwrap()),
        models: vec!["llama".to_owned()],
    };
    Connection { id: id.to_owned(), rank, by_operator: false, provider }
}

/// Counts the connections that come.
async fn canary() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, hits) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = hits.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, hits)
}

#[tokio::test]
async fn an_address_that_an_organization_brings_leads_to_nothing_private() {
    let (address, hits) = canary().await;
    let port = address.port();
    let own = Arc::new(Own(Mutex::default()));
    let egress = Egress::new(EgressSettings::default()).unwrap();
    let models = Models::new(ModelSettings::default(), &egress, own.clone()).unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "10.0.0.1",
        "169.254.169.254",
    ] {
        let bad = brought("c1", 0, "key", &format!("http://{host}:{port}/v1"));
        let error = models.probe(&bad).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::BadInput, "egress.refused"), "{host}");
        *own.0.lock().unwrap() = vec![bad];
        let context =
            CallContext { org: OrgId::new(), time: Duration::from_secs(5), around: &Nothing, progress: &|_| {} };
        let error = models.call(&ask(OWN, &[], "say: hello"), &context).await.unwrap_err();
        assert_eq!(error.code, "egress.refused", "{host}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_organizations_own_connection_comes_first_and_its_client_lasts_as_long_as_it_is_the_same() {
    let fake = FakeModel::start().await;
    let (url, host) = (fake.base_url(), fake.address.to_string());
    let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &host)]).await;
    let own = Arc::new(Own(Mutex::new(vec![brought("c2", 2, "second", &url), brought("c1", 1, "first", &url)])));
    let operator = ModelSettings::read(|name| match name {
        "AGENTFLOW_MODEL_BASE_URL" => Some(url.clone()),
        "AGENTFLOW_MODELS" => Some("llama, other".to_owned()),
        "AGENTFLOW_MODEL_KEY" => Some("operators".to_owned()),
        _ => None,
    })
    .unwrap();
    let models = Models::new(operator, &world.deps().egress, own.clone()).unwrap();
    let offered: Vec<String> =
        models.available(OrgId::new()).await.unwrap().into_iter().map(|model| model.id).collect();
    assert_eq!(offered, [SANDBOX, OWN, "compatible/other"]);
    assert!(models.knows(OrgId::new(), OWN).await.unwrap() && !models.knows(OrgId::new(), GPT).await.unwrap());
    let performer = Performer::of(&Deps { models: models.clone(), ..world.deps().clone() });
    perform(&performer, ask(OWN, &[], "say: hello")).await.answer();
    assert_eq!(keys(&fake), ["first"]);
    let heard = perform(&performer, ask(OWN, &[], "@first status: 401\n@second status: 500\nsay: hello")).await;
    assert!(heard.lines[0].starts_with("Own server (own key) did not answer: "), "{:?}", heard.lines);
    let answer = heard.answer();
    assert_eq!((answer.tried.len(), answer.requested), (2, None));
    assert_eq!(keys(&fake)[1..], ["first", "second", "operators"]);
    // The refused key rests; one that is put in its place does not.
    perform(&performer, ask(OWN, &[], "say: hello")).await.answer();
    own.0.lock().unwrap()[1] = brought("c1", 1, "newer", &url);
    perform(&performer, ask(OWN, &[], "say: hello")).await.answer();
    assert_eq!(keys(&fake)[4..], ["second", "newer"]);
    assert_eq!(models.probe(&brought("c3", 0, "third", &url)).await.unwrap(), OWN);
}
