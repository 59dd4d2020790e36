//! S1–S4: every tool that takes an address or follows one, against everything that is not public. What must not be reached
//! counts its visitors, and there must be none.

use agentflow::{
    engine::{plan::ToolEffect, state::RunState},
    tools::custom::{CustomToolConfig, Entry, Method, service},
};
use app::integrations::api::AddCredential;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect},
};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};

use super::{Called, Lair, Outside, calls};
use crate::{
    egress::Canary,
    mcp::{Liar, Mood, by_url, echo},
    vectors::{self, Canaries, Flaw},
};

/// As many as one answer may ask for.
const AT_ONCE: usize = 16;

#[track_caller]
fn refused(called: &Called) {
    // A header that may not be set ends it before the address is looked at.
    let codes = ["egress.refused", "http.request"];
    assert_eq!(called.state, "failed", "{called:?}");
    assert!(codes.contains(&called.code.as_str()), "{called:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_that_a_model_writes_leads_to_anything_private() {
    let canaries = Canaries::listen().await;
    let lair = Lair::open(&[]).await;
    for some in vectors::addresses(canaries.port()).chunks(AT_ONCE) {
        let wanted: Vec<_> = some.iter().map(|vector| ("http_request", json!({ "url": vector.text }))).collect();
        let (_, called) = lair.runs(json!({ "http_request": "allowed" }), vec![calls(&wanted)]).await;
        assert_eq!(called.len(), some.len());
        for (vector, called) in some.iter().zip(&called) {
            let code = match called.code.as_str() {
                // A name that this machine does not know.
                "egress.unreachable" if vector.flaw == Flaw::Name => "egress.unreachable",
                // Nothing does not fit the tool.
                _ if vector.text.is_empty() => "tool.arguments",
                _ => "egress.refused",
            };
            assert_eq!((called.state.as_str(), called.code.as_str()), ("failed", code), "{vector}: {called:?}");
        }
    }
    // The metadata service that wants to be asked for a token first, and headers that name another host.
    let put = json!({ "url": "http://169.254.169.254/latest/api/token", "method": "PUT",
                      "headers": { "X-aws-ec2-metadata-token-ttl-seconds": "21600" } });
    let token = json!({ "url": "http://metadata.google.internal/computeMetadata/v1/",
                        "headers": { "X-Goog-Metadata-Request": "True" } });
    let host = json!({ "url": "http://example.com/", "headers": { "Host": "127.0.0.1" } });
    let proxy = json!({ "url": "http://example.com/", "headers": { "X-Forwarded-Host": "127.0.0.1" } });
    let split = json!({ "url": "http://example.com/", "headers": { "X-A": "b\r\nHost: 127.0.0.1" } });
    let wanted = [put, token, host, proxy, split].map(|arguments| ("http_request", arguments));
    let (_, called) = lair.runs(json!({ "http_request": "allowed" }), vec![calls(&wanted)]).await;
    assert_eq!(called.len(), 5);
    called.iter().for_each(refused);
    assert_eq!(canaries.visitors(), 0);
}

/// A server that leads wherever its query says, with the status that its path says.
async fn leading() -> Outside {
    Outside::start(|uri, _, _| {
        let to = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).find(|(name, _)| name == "u");
        let Some((_, to)) = to else { return "here".into_response() };
        let status = uri.path().rsplit('/').next().and_then(|status| status.parse().ok()).unwrap_or(307);
        let mut answer = Redirect::temporary(&to).into_response();
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_server_leads_a_tool_to_anything_private() {
    let (canary, outside) = (Canary::at("127.0.0.1:0").await.unwrap(), leading().await);
    let lair = Lair::open(&[outside.address]).await;
    let port = canary.port();
    let mut targets: Vec<String> =
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "ok@127.0.0.1"]
            .map(|host| format!("http://{host}:{port}/"))
            .into();
    targets.extend([format!("//127.0.0.1:{port}/"), "http://169.254.169.254/latest/meta-data/".to_owned()]);
    targets.extend(["file:///etc/passwd", "gopher://127.0.0.1/"].map(str::to_owned));
    let encoded = |target: &str| url::form_urlencoded::byte_serialize(target.as_bytes()).collect::<String>();
    let mut wanted: Vec<(&str, Value)> = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        for target in &targets {
            wanted.push(("http_request", json!({ "url": outside.url(&format!("/{status}?u={}", encoded(target))) })));
        }
        // By way of another one.
        let last = outside.url(&format!("/302?u={}", encoded(&targets[0])));
        wanted.push(("http_request", json!({ "url": outside.url(&format!("/{status}?u={}", encoded(&last))) })));
    }
    for some in wanted.chunks(AT_ONCE) {
        let (_, called) = lair.runs(json!({ "http_request": "allowed" }), vec![calls(some)]).await;
        assert_eq!(called.len(), some.len());
        called.iter().for_each(refused);
    }
    assert!(outside.seen().len() >= wanted.len(), "they were all asked");
    assert_eq!(canary.visitors(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_tool_goes_where_its_maker_meant_whatever_the_model_fills_in() {
    let (canary, outside) = (Canary::at("127.0.0.1:0").await.unwrap(), leading().await);
    let lair = Lair::open(&[outside.address]).await;
    let port = canary.port();
    let config = CustomToolConfig {
        title: "Look up".into(),
        description: "Looks up a customer by number.".into(),
        effect: ToolEffect::Read,
        method: Method::Get,
        parameters: json!({ "type": "object", "properties": { "id": { "type": "string" }, "u": { "type": "string" } },
                            "required": ["id"], "additionalProperties": false }),
        url: format!("http://{}/v1/{{{{ input.id }}}}/302", outside.address),
        query: vec![Entry { name: "u".into(), value: "{{ input.u }}".into() }],
        headers: vec![Entry { name: "X-Note".into(), value: "{{ input.id }}".into() }],
        ..CustomToolConfig::default()
    };
    let grant = || lair.acme.owner.grant().unwrap();
    let tool = service::create(&grant(), "look_up", config.clone()).await.unwrap();
    service::deploy(&lair.acme.owner.grant().unwrap(), tool.id, 1).await.unwrap();
    let private = format!("http://127.0.0.1:{port}/");
    let mut wanted = vec![("look_up", json!({ "id": "1", "u": private }))];
    for id in [
        format!("@127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("../../../127.0.0.1:{port}"),
        format!("\\\\127.0.0.1:{port}\\"),
        format!("?u={private}"),
        "..".to_owned(),
        "%2e%2e".to_owned(),
        "x\r\nHost: 127.0.0.1".to_owned(),
        "{{ input.u }}".to_owned(),
    ] {
        wanted.push(("look_up", json!({ "id": id })));
    }
    wanted.push(("look_up", json!({ "id": "1", "url": private })));
    wanted.push(("look_up", json!({ "id": ["1"], "host": "127.0.0.1" })));
    let (_, called) = lair.runs(json!({ "look_up": "allowed" }), vec![calls(&wanted)]).await;
    assert_eq!(called.len(), wanted.len());
    refused(&called[0]);
    assert_eq!(canary.visitors(), 0);
    for (_, uri, headers, _) in outside.seen() {
        let url = url::Url::parse(&outside.url(&uri)).unwrap();
        assert_eq!(url.path_segments().unwrap().count(), 3, "{uri}");
        assert!(uri.starts_with("/v1/") && url.path().ends_with("/302"), "{uri}");
        assert_eq!(headers["host"], outside.address.to_string());
    }
    // Nobody makes a tool whose host a model could fill in.
    for url in
        ["http://{{ input.id }}/", "http://{{ input.id }}.example.com/", "{{ input.id }}", "http://a@{{ input.id }}"]
    {
        let open = CustomToolConfig { url: url.into(), ..config.clone() };
        assert!(service::create(&grant(), "open_ended", open).await.is_err(), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_server_of_tools_nor_a_search_nor_a_database_leads_inside() {
    let canary = Canary::at("127.0.0.1:0").await.unwrap();
    let private = format!("http://127.0.0.1:{}/", canary.port());
    let target = private.clone();
    let search = Outside::start(move |_, _, _| Redirect::temporary(&target).into_response()).await;
    let (liar, served) = Liar::start(json!([echo("Says it again.")])).await;
    let base = search.url("");
    let mut lair = Lair::with(&[served.to_string()], &[("AGENTFLOW_SEARCH_URL", &base)]).await;
    let grant = || lair.acme.owner.grant().unwrap();
    let server = agentflow::mcp::service::create(&grant(), &by_url(served)).await.unwrap().id;
    let seen = agentflow::mcp::service::find(&lair.acme.owner.grant().unwrap(), server).await.unwrap();
    let tool = &seen.tools[0];
    agentflow::mcp::service::approve(&grant(), server, "echo", &tool.hash, ToolEffect::Read).await.unwrap();
    let database = format!("postgres://ada:secret-word-1@127.0.0.1:{}/crm", canary.port());
    let org = lair.ada.org.clone();
    let fields = [("org", org.as_str()), ("name", "Inside"), ("kind", "postgres"), ("secret", &database)];
    let kept = lair.ada.client.post_form(AddCredential::PATH, &fields).await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    // Approved as an honest server, it leads elsewhere when it is called.
    for leads in [private.clone(), "http://169.254.169.254/".to_owned(), "file:///etc/passwd".to_owned()] {
        liar.is(Mood::Leads(leads));
        lair.world.deps().mcp.forget_all();
        let wanted = [
            ("liar_echo", json!({ "message": private })),
            ("web_search", json!({ "query": private })),
            ("database_query", json!({ "connection": "Inside", "sql": "select 1" })),
            ("database_query", json!({ "connection": database, "sql": "select 1" })),
        ];
        let tools = json!({ "liar_echo": "allowed", "web_search": "allowed", "database_query": "allowed" });
        let (run, called) = lair.runs(tools, vec![calls(&wanted)]).await;
        assert_eq!(run.view.state, RunState::Succeeded);
        assert_eq!(called.len(), wanted.len());
        assert!(called.iter().all(|called| called.state == "failed"), "{called:?}");
        assert!(called.iter().all(|called| !called.message.contains("secret-word")), "{called:?}");
    }
    assert_eq!(canary.visitors(), 0);
}
