//! Tools as runs call them: what they are given is checked, what they do happens once, and what they leave behind stays
//! in its organization.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use agentflow::{
    effects::Performer,
    engine::{
        port::{Answer, Call, CallScope, Effects, Evaluation, ToolCall},
        state::{ErrorClass, StepError, StepId},
    },
    kernel::{Money, OrgId, RunId},
};
use app::outbox::api::LoadOutbox;
use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{HeaderMap, Method, StatusCode, header},
    response::IntoResponse,
    routing::any,
};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::{models::scope, world::World};

/// Somebody's organization, and a run in it.
pub struct Runner {
    /// Performs the calls.
    pub performer: Performer,
    /// Whose they are.
    pub scope: CallScope,
}

impl Runner {
    /// In an organization, and in a run that is none.
    pub async fn of(world: &World, slug: &str) -> Self {
        let org: uuid::Uuid = sqlx::query_scalar("select id from organizations where slug = $1")
            .bind(slug)
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
        Self { performer: Performer::of(world.deps()), scope: CallScope { org: OrgId::from_uuid(org), ..scope() } }
    }

    /// In a run that there is.
    pub fn in_run(&self, run: RunId) -> Self {
        Self { performer: self.performer.clone(), scope: CallScope { run, ..self.scope.clone() } }
    }

    /// At another step of the run.
    pub fn at_step(&self, step: &str) -> Self {
        let scope = CallScope { step: StepId::root(step), ..self.scope.clone() };
        Self { performer: self.performer.clone(), scope }
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, StepError> {
        self.paid_call(tool, arguments).await.map(|(output, _)| output)
    }

    /// The same, with what it costs.
    pub async fn paid_call(&self, tool: &str, arguments: Value) -> Result<(Value, Money), StepError> {
        let call = Call::Tool(ToolCall { tool: tool.to_owned(), arguments, ..ToolCall::default() });
        let (answer, cost) = match self.performer.perform(call, &self.scope, &|_| {}).await? {
            Answer::Paid { answer, cost } => (*answer, cost),
            answer => (answer, Money::ZERO),
        };
        let output = match answer {
            Answer::Tool { output } => output,
            Answer::AskHuman { question } => json!({ "asks": question }),
            other => panic!("{other:?}"),
        };
        Ok((output, cost))
    }

    async fn evaluate(&self, template: Value) -> Result<Value, StepError> {
        let (org, run) = (self.scope.org, self.scope.run);
        let now = "2026-11-20T14:30:00Z".parse().unwrap();
        self.performer
            .evaluate(Evaluation { template, scope: json!({ "input": { "a": 1 } }), now, seed: 1, org, run })
            .await
    }
}

async fn world_with_ada(settings: &[(&str, &str)]) -> (World, Runner) {
    let world = World::with(settings).await;
    let ada = world.sign_up("Ada").await;
    let runner = Runner::of(&world, &ada.org).await;
    (world, runner)
}

#[tokio::test]
async fn what_does_not_fit_a_tool_is_refused_before_anything_happens() {
    let (world, ada) = world_with_ada(&[]).await;
    for (tool, arguments, code) in [
        ("nonsense", json!({}), "tool.unknown"),
        ("shell", json!({ "command": "id" }), "tool.not_set_up"),
        ("web_search", json!({ "query": "x" }), "tool.not_set_up"),
        ("json_query", json!({ "value": 1, "expression": "input }} {{ input" }), "json_query.expression"),
        ("json_query", json!({ "value": 1, "expression": "input..a" }), "expression.failed"),
        ("text_extract", json!({ "text": "x", "pattern": "(" }), "text_extract.pattern"),
        ("text_extract", json!({ "text": "x", "pattern": "(?=x)" }), "text_extract.pattern"),
        ("csv_parse", json!({ "text": "x", "delimiter": "x" }), "tool.arguments"),
        ("file_write", json!({ "path": "../x", "content": "" }), "files.path"),
        ("file_read", json!({ "path": "x" }), "files.unknown"),
        ("calculator", json!({}), "tool.arguments"),
        ("calculator", json!({ "expression": "1", "also": 2 }), "tool.arguments"),
        ("calculator", json!("1+1"), "tool.arguments"),
        ("http_request", json!({ "url": "https://example.com", "method": "TRACE" }), "tool.arguments"),
        ("http_request", json!({ "url": "https://example.com", "headers": { "Host": "x" } }), "http.request"),
        ("http_request", json!({ "url": "http://127.0.0.1/" }), "egress.refused"),
        ("email_send", json!({ "to": "nobody", "subject": "x", "body": "y" }), "tool.arguments"),
        (
            "email_send",
            json!({ "to": "a@example.com", "subject": "x\r\nBcc: b@example.com", "body": "y" }),
            "mail.message",
        ),
        ("context_set", json!({ "key": "", "value": 1 }), "tool.arguments"),
        ("calculator", json!({ "expression": "system('id')" }), "calculator.expression"),
    ] {
        let error = ada.call(tool, arguments.clone()).await.unwrap_err();
        assert_eq!(
            (error.class, error.code.as_str()),
            (ErrorClass::BadInput, code),
            "{tool} {arguments}: {}",
            error.message
        );
    }
    let mut tx = world.deps().db.tenant(ada.scope.org).await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from emails").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn the_small_tools_answer() {
    let (_world, ada) = world_with_ada(&[]).await;
    assert_eq!(ada.call("calculator", json!({ "expression": "17*23" })).await.unwrap()["result"], 391);
    let query = json!({ "value": { "items": [{ "n": 1 }, { "n": 5 }] }, "expression": "input.items.map(i => ({ m: i.n + 1 }))" });
    assert_eq!(ada.call("json_query", query).await.unwrap(), json!({ "result": [{ "m": 2 }, { "m": 6 }] }));
    let endless = json!({ "value": 1, "expression": "(() => { for (;;); })()" });
    assert_eq!(ada.call("json_query", endless).await.unwrap_err().code, "expression.limit");
    let found = ada.call("text_extract", json!({ "text": "order #12", "pattern": "#(?P<n>\\d+)" })).await.unwrap();
    assert_eq!(found["matches"][0]["named"], json!({ "n": "12" }));
    let table = ada.call("csv_parse", json!({ "text": "a,b\n1,2\n" })).await.unwrap();
    assert_eq!(table["rows"], json!([{ "a": "1", "b": "2" }]));
    let written = ada.call("csv_format", json!({ "rows": table["rows"] })).await.unwrap();
    assert_eq!(written["text"], "a,b\n1,2\n");
    let page = json!({ "html": "<title>T</title><h1>A</h1><p>b" });
    assert_eq!(ada.call("html_to_text", page).await.unwrap()["text"], "# A\n\nb");
    let now = ada.call("current_time", json!({ "offset_minutes": 120 })).await.unwrap();
    assert!(now["now"].as_str().unwrap().ends_with("+02:00"), "{now}");
    assert_eq!(ada.call("ask_human", json!({ "question": "May I?" })).await.unwrap(), json!({ "asks": "May I?" }));
}

#[tokio::test]
async fn shared_context_is_kept_compared_and_seen_by_expressions_of_its_organization_alone() {
    let (world, ada) = world_with_ada(&[]).await;
    let eve = world.sign_up("Eve").await;
    let eve = Runner::of(&world, &eve.org).await;
    let set = |key: &str, value: Value| json!({ "key": key, "value": value, "scope": "organization" });
    assert_eq!(ada.call("context_set", set("budget", json!(500))).await.unwrap()["version"], 1);
    assert_eq!(ada.call("context_set", set("budget", json!(600))).await.unwrap()["version"], 2);
    ada.call("context_set", json!({ "key": "budget", "value": 7 })).await.unwrap();
    // The run's own value comes over the organization's.
    assert_eq!(ada.evaluate(json!("{{ context.budget + input.a }}")).await.unwrap(), json!(8));
    let other_run =
        Runner { scope: CallScope { run: RunId::new(), ..ada.scope.clone() }, performer: ada.performer.clone() };
    assert_eq!(other_run.evaluate(json!("{{ context.budget }}")).await.unwrap(), json!(600));
    assert_eq!(eve.evaluate(json!("{{ context.budget }}")).await.unwrap(), Value::Null);
    assert_eq!(
        eve.call("context_get", json!({ "key": "budget", "scope": "organization" })).await.unwrap()["found"],
        false
    );

    let stale =
        ada.call("context_set", json!({ "key": "budget", "value": 1, "scope": "organization", "if_version": 1 })).await;
    assert_eq!(stale.unwrap(), json!({ "stored": false, "version": 2, "value": 600 }));
    let fresh = json!({ "key": "budget", "value": 700, "scope": "organization", "if_version": 2 });
    assert_eq!(ada.call("context_set", fresh.clone()).await.unwrap()["stored"], true);
    // An attempt that is repeated after a crash finds its own value, and is done.
    assert_eq!(ada.call("context_set", fresh).await.unwrap(), json!({ "stored": true, "version": 3, "value": 700 }));

    ada.call("context_set", json!({ "key": "short", "value": 1, "expires_s": 1 })).await.unwrap();
    assert_eq!(ada.call("context_get", json!({ "key": "short" })).await.unwrap()["found"], true);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(ada.call("context_get", json!({ "key": "short" })).await.unwrap()["found"], false);
    ada.call("context_set", set("budget", Value::Null)).await.unwrap();
    assert_eq!(
        ada.call("context_get", json!({ "key": "budget", "scope": "organization" })).await.unwrap()["found"],
        false
    );
    let large = ada.call("context_set", set("large", json!("x".repeat(300 << 10)))).await.unwrap_err();
    assert_eq!(large.code, "context.too_large");
}

#[tokio::test]
async fn of_many_who_compare_and_set_at_the_same_time_one_wins() {
    let (_world, ada) = world_with_ada(&[]).await;
    let ada = Arc::new(ada);
    let tries: Vec<_> =
        (0..8)
            .map(|number| {
                let ada = Arc::clone(&ada);
                tokio::spawn(async move {
                    ada.call("context_set", json!({ "key": "leader", "value": number, "if_version": 0 })).await.unwrap()
                        ["stored"]
                        == true
                })
            })
            .collect();
    let mut won = 0;
    for one in tries {
        won += usize::from(one.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn an_outside_call_carries_its_key_and_its_answer_is_read() {
    let seen: Arc<Mutex<Vec<(Method, HeaderMap, Bytes)>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let answer = move |path: Option<Path<u16>>, method: Method, headers: HeaderMap, body: Bytes| {
        keep.lock().unwrap().push((method, headers, body));
        let status = path.map_or(200, |Path(status)| status);
        async move {
            (
                StatusCode::from_u16(status).unwrap(),
                [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "3"), (header::SET_COOKIE, "a=b")],
                "{\"hello\": \"wo\u{200b}rld\"}",
            )
                .into_response()
        }
    };
    let router = Router::new().route("/", any(answer.clone())).route("/status/{status}", any(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (world, ada) = world_with_ada(&[("AGENTFLOW_ALLOWED_HOSTS", &address)]).await;

    let call = json!({
        "url": format!("http://{address}/?b=2"), "method": "POST", "query": { "a": "x y" }, "body": { "n": 1 },
        "headers": { "X-Api-Key": "k" }
    });
    let output = ada.call("http_request", call).await.unwrap();
    assert_eq!((&output["status"], &output["ok"]), (&json!(200), &json!(true)));
    assert_eq!(output["body"], json!({ "hello": "world" }), "letters that nobody sees are gone");
    assert!(output["headers"].get("set-cookie").is_none());
    assert_eq!(output["url"], format!("http://{address}/?b=2&a=x+y"));
    {
        let seen = seen.lock().unwrap();
        let (method, headers, body) = &seen[0];
        assert_eq!((method, body.as_ref()), (&Method::POST, br#"{"n":1}"#.as_slice()));
        assert_eq!(headers["idempotency-key"], ada.scope.idempotency_key().as_str());
        assert_eq!(
            (&headers["x-agentflow-attempt"], &headers["x-agentflow-fence"]),
            (&"1".parse().unwrap(), &"7".parse().unwrap())
        );
        assert_eq!(headers["lock-fence"], "12");
        assert_eq!(
            (&headers["content-type"], &headers["x-api-key"]),
            (&"application/json".parse().unwrap(), &"k".parse().unwrap())
        );
    }
    for (status, class, retry) in [
        (404, ErrorClass::BadInput, None),
        (401, ErrorClass::Auth, None),
        (408, ErrorClass::Timeout, None),
        (429, ErrorClass::RateLimited, Some(3_000)),
        (500, ErrorClass::Unavailable, None),
        (503, ErrorClass::Unavailable, Some(3_000)),
    ] {
        let url = format!("http://{address}/status/{status}");
        let error = ada.call("http_request", json!({ "url": url })).await.unwrap_err();
        assert_eq!((error.class, error.retry_after_ms), (class, retry), "{}", error.message);
        assert_eq!(error.code, format!("http.status_{status}"));
        // It is to be left alone now; here it is asked all the same.
        sqlx::query("delete from rate_limits").execute(world.deps().db.engine()).await.unwrap();
        let accepted = ada.call("http_request", json!({ "url": url, "accept_errors": true })).await.unwrap();
        assert_eq!((&accepted["status"], &accepted["ok"]), (&json!(status), &json!(false)));
    }
}

#[tokio::test]
async fn without_a_mail_server_a_message_is_written_once_and_shown_to_its_people_at_this_machine_alone() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let eve = world.sign_up("Eve").await;
    let runner = Runner::of(&world, &ada.org).await;
    let letter = json!({ "to": ["a@example.com", "b@example.com"], "subject": "Hello", "body": "Line one\nLine two" });
    let first = runner.call("email_send", letter.clone()).await.unwrap();
    assert_eq!((&first["delivery"], &first["repeated"]), (&json!("outbox"), &json!(false)));
    let again = runner.call("email_send", letter.clone()).await.unwrap();
    assert_eq!((&again["id"], &again["repeated"]), (&first["id"], &json!(true)));
    let other = runner.at_step("second").call("email_send", letter).await.unwrap();
    assert_ne!(other["id"], first["id"]);

    let org = ada.org.clone();
    let page = ada.client.get(&format!("/o/{org}/outbox")).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Line one\nLine two") && page.text().contains("a@example.com, b@example.com"));
    assert!(page.text().contains(&format!("href=\"/o/{org}/outbox\"")), "the way there is in the navigation");
    let mut far = ada.client.clone().at([203, 0, 113, 9]);
    assert_eq!(far.get(&format!("/o/{org}/outbox")).await.status, 404);
    assert_eq!(far.post_form(LoadOutbox::PATH, &[("org", &org)]).await.status, 404);
    let proxied = ada.client.request(Method::GET, &format!("/o/{org}/outbox")).header("x-forwarded-for", "203.0.113.9");
    let proxied = ada.client.send(proxied.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(proxied.status, 404);
    // A proxy that says nothing of itself still names the host that people use.
    for (host, expected) in [
        ("flows.example.com", 404),
        ("localhost.example.com:3000", 404),
        ("localhost@flows.example.com", 404),
        ("127.0.0.1:3000", 200),
        ("[::1]:3000", 200),
        ("LOCALHOST", 200),
    ] {
        let mut request = ada.client.request(Method::GET, &format!("/o/{org}/outbox"));
        request.headers_mut().unwrap().insert(header::HOST, host.parse().unwrap());
        assert_eq!(ada.client.send(request.body(axum::body::Body::empty()).unwrap()).await.status, expected, "{host}");
    }
    let mut eve_client = eve.client;
    assert_eq!(eve_client.post_form(LoadOutbox::PATH, &[("org", &org)]).await.status, 404);
    assert!(!eve_client.get(&format!("/o/{}/outbox", eve.org)).await.text().contains("Line one"));
}

#[tokio::test]
async fn where_people_use_another_address_nobody_counts_as_sitting_at_this_machine() {
    let world = World::with(&[("AGENTFLOW_PUBLIC_URL", "https://flows.example.com")]).await;
    let mut ada = world.sign_up("Ada").await;
    assert_eq!(ada.client.get(&format!("/o/{}/outbox", ada.org)).await.status, 404);
}

/// A mail server that takes messages, or says for the first ones that it cannot now.
pub async fn smtp(refusals: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let (keep, refused) = (Arc::clone(&taken), Arc::new(AtomicUsize::new(refusals)));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (keep, refused) = (Arc::clone(&keep), Arc::clone(&refused));
            tokio::spawn(async move {
                let (read, mut write) = socket.into_split();
                let mut lines = BufReader::new(read).lines();
                let _ = write.write_all(b"220 test\r\n").await;
                let mut message: Option<String> = None;
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = match (&mut message, line.as_str()) {
                        (Some(text), ".") => {
                            keep.lock().unwrap().push(std::mem::take(text));
                            message = None;
                            "250 taken"
                        }
                        (Some(text), line) => {
                            text.push_str(line);
                            text.push('\n');
                            continue;
                        }
                        (None, line) if line.starts_with("MAIL") => {
                            let refuse =
                                refused.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                            if refuse.is_ok() { "451 not now" } else { "250 ok" }
                        }
                        (None, "DATA") => {
                            message = Some(String::new());
                            "354 go on"
                        }
                        (None, "QUIT") => "221 bye",
                        (None, _) => "250 ok",
                    };
                    let _ = write.write_all(format!("{answer}\r\n").as_bytes()).await;
                }
            });
        }
    });
    (format!("smtp://{address}"), taken)
}

#[tokio::test]
async fn with_a_mail_server_a_message_leaves_once_and_a_refused_one_is_tried_again() {
    let (url, taken) = smtp(1).await;
    let settings = [("SMTP_URL", url.as_str()), ("MAIL_FROM", "AgentFlow <flows@example.com>")];
    let (world, ada) = world_with_ada(&settings).await;
    let letter = json!({ "to": "ana@example.com", "subject": "Grüße", "body": "Hello" });
    let refused = ada.call("email_send", letter.clone()).await.unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (ErrorClass::Unavailable, "mail.unavailable"));
    let sent = ada.call("email_send", letter.clone()).await.unwrap();
    assert_eq!((&sent["delivery"], &sent["repeated"]), (&json!("sent"), &json!(true)));
    let again = ada.call("email_send", letter.clone()).await.unwrap();
    assert_eq!((&again["delivery"], &again["id"]), (&json!("sent"), &sent["id"]));
    {
        let taken = taken.lock().unwrap();
        assert_eq!(taken.len(), 1);
        assert!(
            taken[0].contains("To: ana@example.com") && taken[0].contains("From: AgentFlow <flows@example.com>"),
            "{}",
            taken[0]
        );
        assert!(taken[0].contains(&format!("<{}@example.com>", sent["id"].as_str().unwrap())));
    }
    // Cut off while it was being sent: nobody knows, and nobody gets it twice.
    let cut = ada.at_step("cut");
    cut.call("email_send", letter.clone()).await.unwrap();
    let mut tx = world.deps().db.tenant(ada.scope.org).await.unwrap();
    let changed = sqlx::query("update emails set state = 'sending' where idempotency_key like '%/cut'");
    assert_eq!(changed.execute(tx.conn()).await.unwrap().rows_affected(), 1);
    tx.commit().await.unwrap();
    assert_eq!(cut.call("email_send", letter).await.unwrap()["delivery"], "unknown");
    assert_eq!(taken.lock().unwrap().len(), 2);
    // There is no outbox then.
    let mut bea = world.sign_up("Bea").await;
    let org = bea.org.clone();
    assert_eq!(bea.client.get(&format!("/o/{org}/outbox")).await.status, 404);
}

#[tokio::test]
async fn an_expression_that_would_not_end_is_ended_from_outside() {
    let program = env!("CARGO_BIN_EXE_agentflow");
    let expressions = agentflow::expressions::Expressions::in_workers(program.into());
    let evaluate = |template: &str| {
        let work = agentflow::expressions::Work {
            template: json!(template),
            scope: HashMap::from([("input".to_owned(), json!({ "a": 20 }))]).into_iter().collect(),
            now: "2026-11-20T14:30:00Z".parse().unwrap(),
            seed: 1,
        };
        let expressions = expressions.clone();
        async move { expressions.evaluate(work).await }
    };
    assert_eq!(evaluate("{{ input.a * 2 + 2 }}").await.unwrap(), json!(42));
    for hostile in [
        "{{ (() => { for (;;) {} })() }}",
        // Long native operations that the interpreter does not interrupt.
        "{{ Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1) }}",
        "{{ 'a'.repeat(4e6).indexOf('a'.repeat(2e6) + 'b') }}",
        "{{ (() => { const a = []; for (;;) a.push({}) })() }}",
        "{{ new Array(4294967295).join('') }}",
    ] {
        let started = std::time::Instant::now();
        let error = evaluate(hostile).await.unwrap_err();
        assert_eq!(
            (error.class, error.code.as_str()),
            (ErrorClass::BadInput, "expression.limit"),
            "{hostile}: {}",
            error.message
        );
        // A quarter of a second and what a busy machine adds. That a limit ended it, its code says.
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{hostile} took {:?}", started.elapsed());
        assert_eq!(evaluate("{{ 1 + 1 }}").await.unwrap(), json!(2));
    }
    let all: Vec<_> = (0..20).map(|number| tokio::spawn(evaluate(&format!("{{{{ {number} }}}}")))).collect();
    for (number, one) in all.into_iter().enumerate() {
        assert_eq!(one.await.unwrap().unwrap(), json!(number));
    }
}
