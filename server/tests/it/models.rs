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
        time: Duration::from_secs(60),
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

/// A model of each language that providers speak, with how the fake server names its answer in it.
const EACH: [(&str, &str); 8] = [
    (MODEL, "chatcmpl-fake-1"),
    ("openai/gpt-4o", "chatcmpl-fake-1"),
    ("openai/gpt-5", "resp_fake_1"),
    ("anthropic/claude-sonnet-5", "msg_fake_1"),
    ("gemini/gemini-3.8-flash", "gemini-fake-1"),
    ("deepseek/deepseek-chat", "chatcmpl-fake-1"),
    ("xai/grok-4.7", "chatcmpl-fake-1"),
    ("perplexity/perplexity/sonar", "resp_fake_1"),
];

/// A world whose real models are all those of the fake server, and what performs in it.
async fn with_fake() -> (World, FakeModel, Performer) {
    let fake = FakeModel::start().await;
    let (url, gemini) = (fake.base_url(), fake.gemini_url());
    let mut settings = vec![
        ("AGENTFLOW_MODEL_BASE_URL", url.as_str()),
        ("AGENTFLOW_MODEL_KEY", "key-of-the-test"),
        ("AGENTFLOW_MODELS", "gpt-fake, other"),
        ("AGENTFLOW_SANDBOX_PAUSE_MS", "0"),
        ("GEMINI_API_KEY", "key-of-the-test"),
        ("GEMINI_BASE_URL", gemini.as_str()),
    ];
    for (key, address) in [
        ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        ("DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL"),
        ("XAI_API_KEY", "XAI_BASE_URL"),
        ("PERPLEXITY_API_KEY", "PERPLEXITY_BASE_URL"),
    ] {
        settings.extend([(key, "key-of-the-test"), (address, url.as_str())]);
    }
    let world = World::with(&settings).await;
    let performer = Performer::of(world.deps());
    (world, fake, performer)
}

fn calculator() -> ToolOffer {
    let tool = agentflow::tools::find("calculator").unwrap();
    assert_eq!(tool.effect, ToolEffect::Read);
    ToolOffer { name: tool.name.clone(), description: tool.description.clone(), parameters: tool.parameters.clone() }
}

#[tokio::test]
async fn without_a_key_there_is_the_sandbox_model_and_it_works() {
    let world = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "0")]).await;
    let available = world.deps().models.available(OrgId::new()).await.unwrap();
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
async fn an_answer_streams_and_its_tokens_are_counted_in_each_language() {
    let (world, fake, performer) = with_fake().await;
    let available = world.deps().models.available(OrgId::new()).await.unwrap();
    let ids: Vec<_> = available.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids[0], SANDBOX);
    assert!(EACH.iter().all(|(model, _)| ids.contains(model)), "{ids:?}");
    for (model, id) in EACH {
        let (answer, heard) = perform(&performer, call(model, "say: one two three")).await.unwrap();
        assert_eq!((answer.text.as_str(), heard.join("|").as_str()), ("one two three", "one |two |three"), "{model}");
        assert_eq!((answer.model.as_str(), answer.requested.as_deref()), (model, None));
        assert_eq!(answer.provider_request_id.as_deref(), Some(id), "{model}");
        assert!(["stop", "completed", "end_turn", "STOP"].contains(&answer.stop_reason.as_str()), "{answer:?}");
        assert!(answer.tried.is_empty() && answer.first_token_ms.is_some());
        assert_eq!(answer.usage.tokens_out, 4, "{model}");
        let (all, cached) = (answer.usage.tokens_in, answer.tokens.cached);
        assert!(all > 5 && cached > 0 && cached == all / 4, "{model}: {cached} of {all}");
        assert_eq!(answer.usage.cost.micros() > 0, model != MODEL, "{model} has a price, or none is known");
        let last = fake.calls().pop().unwrap();
        assert!(last.authorization.ends_with("key-of-the-test"), "{model}");
        assert!(last.model.ends_with(model.split('/').next_back().unwrap()));
        assert_eq!(answer.served, None, "{model}: it is the one that was asked for");
    }
    let (other, _) = perform(&performer, call("compatible/other", "say: hello")).await.unwrap();
    assert_eq!(other.model, "compatible/other");
    assert_eq!(other.served.map(|served| served.0).as_deref(), Some("other-2026-09-01"));
    assert_eq!(fake.calls().len(), EACH.len() + 1);
    let first = &fake.calls()[0];
    assert_eq!((first.authorization.as_str(), &first.body["stream"]), ("Bearer key-of-the-test", &json!(true)));
    assert_eq!(first.body["messages"][0]["role"], "system");
}

#[tokio::test]
async fn what_a_model_thinks_is_counted_and_not_said() {
    let (_world, _fake, performer) = with_fake().await;
    for (model, _) in EACH {
        let (answer, heard) = perform(&performer, call(model, "think: 42")).await.unwrap();
        assert_eq!((answer.text.as_str(), heard.concat().as_str()), ("42", "42"), "{model}");
        // xAI counts what was thought beside what was said.
        let out = if model.starts_with("xai/") { 9 + 8 } else { 9 };
        assert_eq!(answer.usage.tokens_out, out, "{model}");
        // Anthropic does not count its thoughts apart.
        let apart = if model.starts_with("anthropic/") { 0 } else { 8 };
        assert_eq!(answer.tokens.reasoning, apart, "{model}");
    }
}

#[tokio::test]
async fn a_tool_call_comes_back_whole_and_its_result_goes_along_in_each_language() {
    let (_world, fake, performer) = with_fake().await;
    for (model, _) in EACH {
        let mut first = call(model, "tool: calculator {\"expression\": \"17*23\"}");
        first.tools = vec![calculator()];
        let (answer, _) = perform(&performer, first.clone()).await.unwrap();
        assert_eq!(answer.tool_calls.len(), 1, "{model}");
        assert_eq!(answer.tool_calls[0].tool, "calculator");
        assert_eq!(answer.tool_calls[0].arguments, json!({ "expression": "17*23" }), "{model}");
        let id = answer.tool_calls[0].id.clone();
        first.messages.push(Message::Assistant { text: String::new(), tool_calls: answer.tool_calls });
        first.messages.push(Message::Tool {
            id: id.clone(),
            tool: "calculator".to_owned(),
            output: json!({ "result": 391 }),
            failed: false,
        });
        let (answer, _) = perform(&performer, first).await.unwrap();
        assert!(answer.text.contains("391"), "{model}: {}", answer.text);
        let sent = fake.calls().pop().unwrap().body.to_string();
        assert!(sent.contains("calculator") && sent.contains("17*23"), "{model}");
        // What it wants to see again it sees: Anthropic its reasoning, Gemini its signature.
        let again = match model.split_once('/').unwrap().0 {
            "anthropic" => sent.contains("\"signature\":\"c2lnbmVk\"") && sent.contains("Let me see."),
            "gemini" => sent.contains("c2lnbmVk"),
            _ => !sent.contains("c2lnbmVk"),
        };
        assert!(again, "{model}: {sent}");
    }
}

#[tokio::test]
async fn every_failure_has_its_class_in_each_language() {
    let (_world, _fake, performer) = with_fake().await;
    for (model, _) in EACH {
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
            ("status: 529", ErrorClass::Unavailable, "model.unavailable"),
            ("status: 408", ErrorClass::Timeout, "model.timeout"),
            ("cut", ErrorClass::Unavailable, "model.cut_off"),
            ("end", ErrorClass::Unavailable, "model.cut_off"),
            ("garbage", ErrorClass::Unavailable, "model.garbled"),
            ("fault", ErrorClass::Unavailable, "model.unavailable"),
        ] {
            let error = perform(&performer, call(model, ask)).await.unwrap_err();
            let found = (error.class, error.code.as_str());
            assert_eq!(found, (class, code), "{model}, {ask}: {}", error.message);
            assert!(!error.message.contains("key-of-the-test"), "{}", error.message);
            let retry = match ask {
                "status: 429 retry 7" => Some(7_000),
                "status: 503 retry 3" => Some(3_000),
                _ => None,
            };
            assert_eq!(error.retry_after_ms, retry, "{model}, {ask}");
            assert!(ask != "status: 500" || error.message.contains("req-fake-1"), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn what_was_cut_off_by_its_length_is_not_taken_for_whole() {
    let (_world, _fake, performer) = with_fake().await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    for (model, _) in EACH {
        let (half, _) = perform(&performer, call(model, "half: calculator {\"expression\": \"1+1\"}")).await.unwrap();
        assert!(half.fault.is_some_and(|fault| fault.contains("length limit")), "{model}");
        assert!(half.tool_calls.is_empty() && half.usage.tokens() > 0, "{model}");
        let json = ModelCall { output_schema: schema.clone(), ..call(model, "long: {\"n\": ") };
        let (json, _) = perform(&performer, json).await.unwrap();
        assert!(json.fault.is_some_and(|fault| fault.contains("length limit")), "{model}");
        let (text, _) = perform(&performer, call(model, "long: and so on")).await.unwrap();
        assert_eq!((text.text.as_str(), text.fault), ("and so on", None), "{model}");
        let filtered = perform(&performer, call(model, "filtered")).await;
        match filtered {
            Err(error) => assert_eq!(error.code, "model.filtered", "{model}"),
            // The newer protocol of OpenAI calls it an answer that is not complete.
            Ok((answer, _)) => assert!(answer.fault.is_some(), "{model}"),
        }
    }
}

#[tokio::test]
async fn a_model_that_does_not_answer_in_time_says_so_in_each_language() {
    let (_world, _fake, performer) = with_fake().await;
    for (model, _) in EACH {
        for ask in ["hang", "stall"] {
            let scope = CallScope { time: Duration::from_millis(300), ..scope() };
            let error = performer.perform(Call::Model(call(model, ask)), &scope, &|_| {}).await.unwrap_err();
            assert_eq!((error.class, error.code.as_str()), (ErrorClass::Timeout, "model.timeout"), "{model}, {ask}");
        }
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
