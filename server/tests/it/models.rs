//! Models: the sandbox model without any key, and real calls against a model server that fails in every way.

use std::{sync::Mutex, time::Duration};

use agentflow::{
    effects::Performer,
    engine::{
        plan::ToolEffect,
        port::{Answer, Call, CallScope, Effects, Message, ModelAnswer, ModelCall, Progress, ToolOffer},
        state::{ErrorClass, StepError, StepId},
    },
    kernel::{OrgId, RunId},
    models::SANDBOX,
};
use serde_json::{Value, json};

use crate::{fake_model::FakeModel, world::World};

/// Where a call belongs that belongs nowhere.
pub fn scope() -> CallScope {
    CallScope {
        org: OrgId::new(),
        run: RunId::new(),
        step: StepId::root("answer"),
        attempt: 1,
        fence: 7,
        cache_s: None,
        lock_fence: Some(12),
        agent: None,
        beyond_budget: false,
        until: "2100-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn call(model: &str, text: &str) -> ModelCall {
    ModelCall {
        model: model.to_owned(),
        system: "You are a test.".to_owned(),
        messages: vec![Message::User { text: text.to_owned() }],
        tools: Vec::new(),
        output_schema: Value::Null,
        temperature: None,
        max_tokens: Some(500),
        ..ModelCall::default()
    }
}

async fn perform(performer: &Performer, call: ModelCall) -> Result<(ModelAnswer, Vec<String>), StepError> {
    let heard = Mutex::new(Vec::new());
    let hear = |progress| {
        if let Progress::Partial(text) = progress {
            heard.lock().unwrap().push(text);
        }
    };
    match performer.perform(Call::Model(call), &scope(), &hear).await? {
        Answer::Model(answer) => Ok((answer, heard.into_inner().unwrap())),
        other => panic!("{other:?}"),
    }
}

const MODEL: &str = "compatible/gpt-fake";

/// A world whose only real models are those of the fake server, and what performs in it.
async fn with_fake() -> (World, FakeModel, Performer) {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let world = World::with(&[
        ("AGENTFLOW_MODEL_BASE_URL", &url),
        ("AGENTFLOW_MODEL_KEY", "key-of-the-test"),
        ("AGENTFLOW_MODELS", "gpt-fake, other"),
        ("AGENTFLOW_SANDBOX_PAUSE_MS", "0"),
    ])
    .await;
    let performer = Performer::of(world.deps());
    (world, fake, performer)
}

#[tokio::test]
async fn without_a_key_there_is_the_sandbox_model_and_it_works() {
    let world = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "0")]).await;
    let available = world.deps().models.available();
    assert_eq!(available.len(), 1);
    assert_eq!((available[0].id.as_str(), available[0].label.as_str()), (SANDBOX, "Sandbox model"));
    let performer = Performer::of(world.deps());
    let (answer, heard) = perform(&performer, call(SANDBOX, "Summarise: the sky is blue.")).await.unwrap();
    assert_eq!(heard.concat(), answer.text);
    assert!(answer.text.contains("Sandbox model") && answer.usage.tokens() > 0 && answer.usage.cost.micros() == 0);
    let refused = perform(&performer, call("openai/gpt-5", "hello")).await.unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (ErrorClass::Auth, "model.no_key"));
    let unknown = perform(&performer, call("nonsense", "hello")).await.unwrap_err();
    assert_eq!(unknown.class, ErrorClass::BadInput);
}

#[tokio::test]
async fn an_answer_streams_and_its_tokens_are_counted() {
    let (world, fake, performer) = with_fake().await;
    let ids: Vec<_> = world.deps().models.available().iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, [SANDBOX, MODEL, "compatible/other"]);
    let (answer, heard) = perform(&performer, call(MODEL, "say: one two three")).await.unwrap();
    assert_eq!(answer.text, "one two three");
    assert_eq!(heard, ["one ", "two ", "three"]);
    assert_eq!((answer.model.as_str(), answer.stop_reason.as_str()), (MODEL, "stop"));
    assert_eq!(answer.provider_request_id.as_deref(), Some("chatcmpl-fake-1"));
    assert_eq!(answer.usage.tokens_out, 4);
    assert!(answer.usage.tokens_in > 5);
    let calls = fake.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].authorization, "Bearer key-of-the-test");
    assert_eq!(calls[0].body["messages"][0]["role"], "system");
    assert_eq!(calls[0].body["stream"], true);
}

#[tokio::test]
async fn a_tool_call_comes_back_whole_and_its_result_goes_along() {
    let (_world, fake, performer) = with_fake().await;
    let mut first = call(MODEL, "tool: calculator {\"expression\": \"17*23\"}");
    let tool = agentflow::tools::find("calculator").unwrap();
    assert_eq!(tool.effect, ToolEffect::Read);
    first.tools = vec![ToolOffer {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: tool.parameters.clone(),
    }];
    let (answer, _) = perform(&performer, first.clone()).await.unwrap();
    assert_eq!(answer.tool_calls.len(), 1);
    assert_eq!(answer.tool_calls[0].tool, "calculator");
    assert_eq!(answer.tool_calls[0].arguments, json!({ "expression": "17*23" }));
    assert_eq!(answer.stop_reason, "tool_calls");

    let id = answer.tool_calls[0].id.clone();
    first.messages.push(Message::Assistant { text: String::new(), tool_calls: answer.tool_calls });
    first.messages.push(Message::Tool {
        id: id.clone(),
        tool: "calculator".to_owned(),
        output: json!({ "result": 391 }),
        failed: false,
    });
    let (answer, _) = perform(&performer, first).await.unwrap();
    assert!(answer.text.contains("391"), "{}", answer.text);
    let sent = &fake.calls()[1].body["messages"];
    assert_eq!(sent[2]["tool_calls"][0]["function"]["name"], "calculator");
    assert_eq!(sent[3]["tool_call_id"], id.as_str());
    assert_eq!(fake.calls()[0].body["tools"][0]["function"]["name"], "calculator");
}

#[tokio::test]
async fn every_failure_has_its_class() {
    let (_world, _fake, performer) = with_fake().await;
    for (ask, class, code) in [
        ("status: 429 retry 7", ErrorClass::RateLimited, "model.rate_limited"),
        ("status: 429 quota", ErrorClass::Quota, "model.quota"),
        ("status: 402", ErrorClass::Quota, "model.quota"),
        ("status: 401 key-of-the-test", ErrorClass::Auth, "model.auth"),
        ("status: 403", ErrorClass::Auth, "model.auth"),
        ("status: 404", ErrorClass::BadInput, "model.unknown"),
        ("status: 400 key-of-the-test", ErrorClass::BadInput, "model.refused"),
        ("status: 500", ErrorClass::Unavailable, "model.unavailable"),
        ("status: 503 retry 3", ErrorClass::Unavailable, "model.unavailable"),
        ("status: 408", ErrorClass::Timeout, "model.timeout"),
        ("cut", ErrorClass::Unavailable, "model.cut_off"),
        ("garbage", ErrorClass::Unavailable, "model.garbled"),
        ("fault", ErrorClass::Unavailable, "model.unavailable"),
    ] {
        let error = perform(&performer, call(MODEL, ask)).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (class, code), "{ask}: {}", error.message);
        assert!(!error.message.contains("key-of-the-test"), "{}", error.message);
        let retry = match ask {
            "status: 429 retry 7" => Some(7_000),
            "status: 503 retry 3" => Some(3_000),
            _ => None,
        };
        assert_eq!(error.retry_after_ms, retry, "{ask}");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind_and_one_without_a_server_says_so() {
    let (_world, fake, performer) = with_fake().await;
    let hanging = perform(&performer, call(MODEL, "hang"));
    assert!(tokio::time::timeout(Duration::from_millis(300), hanging).await.is_err());
    assert_eq!(fake.calls().len(), 1);

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/v1");
    let world = World::with(&[("AGENTFLOW_MODEL_BASE_URL", &url), ("AGENTFLOW_MODELS", "x")]).await;
    let error = perform(&Performer::of(world.deps()), call("compatible/x", "hello")).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Unavailable, "model.unreachable"));
}

#[tokio::test]
async fn an_answer_that_misses_its_schema_is_paid_for_and_says_what_is_wrong() {
    let (_world, _fake, performer) = with_fake().await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let ask = |text: &str| ModelCall { output_schema: schema.clone(), ..call(MODEL, text) };
    let (good, _) = perform(&performer, ask("say: ```json {\"n\": 3} ```")).await.unwrap();
    assert_eq!((good.text.as_str(), good.fault), ("{\"n\":3}", None));
    let (bad, _) = perform(&performer, ask("say: {\"n\": \"three\"}")).await.unwrap();
    assert!(bad.fault.is_some_and(|fault| fault.contains("n: Must be a whole number.")));
    assert!(bad.usage.tokens() > 0);
    let (words, _) = perform(&performer, ask("say: I would rather not.")).await.unwrap();
    assert!(words.fault.is_some_and(|fault| fault.contains("not JSON")));
}
