//! Every door that there is, found by the router itself: closed to strangers unless it is on the short public list.

use axum::{
    body::Body,
    http::{Method, header},
};
use leptos::server_fn::axum::server_fn_paths;
use serde_json::json;
use server::http::gate::PUBLIC;

use crate::{
    office::{any, start},
    world::{Client, World},
};

/// Pages of an organization, of each kind.
const PAGES: [&str; 32] = [
    "",
    "/",
    "/runs",
    "/logs",
    "/runs/bulk",
    "/runs/run_01jd0000000000000000000000",
    "/runs/run_01jd0000000000000000000000...run_01jd0000000000000000000001",
    "/runs/run_01jd0000000000000000000000/compare",
    "/runs/run_01jd0000000000000000000000/files/a.txt",
    "/approvals",
    "/search",
    "/shortcuts",
    "/approvals/bulk",
    "/agents",
    "/agents/new",
    "/agents/ag_01jd0000000000000000000000/versions",
    "/agents/ag_01jd0000000000000000000000/tests",
    "/agents/ag_01jd0000000000000000000000/record",
    "/agents/ag_01jd0000000000000000000000/deploy",
    "/agents/ag_01jd0000000000000000000000/memory",
    "/workflows",
    "/workflows/new",
    "/integrations",
    "/settings",
    "/settings/budgets",
    "/settings/models",
    "/outbox",
    "/tools",
    "/tools/new",
    "/tools/servers/new",
    "/tools/servers/mcp_01jd0000000000000000000000",
    "/no-such-page",
];

#[tokio::test]
async fn strangers_are_refused_by_every_server_function_that_is_not_public() {
    let world = World::new().await;
    let paths: Vec<_> = server_fn_paths().collect();
    assert!(paths.len() > PUBLIC.len());
    for public in PUBLIC {
        assert!(paths.iter().any(|(path, _)| *path == public), "{public} is not a server function any more");
    }
    for (path, method) in paths {
        assert_eq!(method, Method::POST, "{path}: a function that changes something must not be a GET");
        // What cannot even be decoded is refused all the same: the gate comes before the arguments.
        let reply = world.client().post_form(path, &[]).await;
        if PUBLIC.contains(&path) {
            assert_ne!(reply.status, 401, "{path}");
        } else {
            assert_eq!(reply.status, 401, "{path}: {}", reply.text());
            assert_eq!(reply.json()["code"], "unauthenticated", "{path}");
        }
        let forged = world.client().get(&format!("{path}?org=acme&name=x")).await;
        assert!(!forged.status.0.is_success(), "{path} answers a GET");
    }
}

#[tokio::test]
async fn a_stranger_who_opens_a_page_is_sent_to_the_sign_in_and_nothing_is_rendered() {
    let world = World::new().await;
    world.sign_up("Ada").await;
    for org in ["ada-s-team", "nobody-s-team"] {
        for page in PAGES {
            let reply = world.client().get(&format!("/o/{org}{page}?view=1")).await;
            assert_eq!(reply.status, 303, "{page}");
            let next = format!("/o/{org}{page}?view=1").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D");
            assert_eq!(reply.header("location"), format!("/login?next={next}"));
            assert!(reply.body.is_empty(), "{page}");
        }
    }
    assert_eq!(world.client().get("/").await.header("location"), "/login");
}

#[tokio::test]
async fn a_stranger_who_sends_a_form_comes_back_to_its_page_after_signing_in() {
    let world = World::new().await;
    let mut client = world.client();
    let request = client
        .request(Method::POST, "/rpc/app/settings/api/update_profile")
        .header(header::ACCEPT, "text/html")
        .header(header::REFERER, "http://localhost:3000/o/acme/settings?a=b")
        .body(Body::empty())
        .unwrap();
    let reply = client.send(request).await;
    assert_eq!(
        (reply.status.0.as_u16(), reply.header("location")),
        (303, "/login?next=%2Fo%2Facme%2Fsettings%3Fa%3Db")
    );
}

#[tokio::test]
async fn the_sign_in_leads_on_who_is_signed_in_already() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    for path in ["/", "/login", "/signup"] {
        let reply = ada.client.get(path).await;
        assert_eq!((reply.status.0.as_u16(), reply.header("location")), (303, "/o/ada-s-team/"), "{path}");
    }
}

#[tokio::test]
async fn a_program_and_an_event_stream_are_told_no_instead_of_being_led_astray() {
    let world = World::new().await;
    let mut client = world.client();
    let request = client.request(Method::GET, "/o/acme/stream?topics=runs").header(header::ACCEPT, "text/event-stream");
    let reply = client.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 401);
}

/// Server functions that work for a person, not for an organization.
const OF_A_PERSON: [&str; 2] = ["/rpc/app/settings/api/update_profile", "/rpc/app/frame/api/set_theme"];

/// An argument for every name that server functions use, in the form that an address or a form has.
const ARGUMENTS: [(&str, &str); 91] = [
    ("q", "x"),
    ("to", ""),
    ("hours", "1"),
    ("until", ""),
    ("approvals", "apr_01jd0000000000000000000000"),
    ("first", "2026-11-01"),
    ("last", "2026-11-20"),
    ("kept", "state=failed"),
    ("labels", "x"),
    ("page", "runs"),
    ("view", "x"),
    ("allowed_domains", "example.com"),
    ("conversation", "conv_01jd0000000000000000000000"),
    ("rehearsal", "reh_01jd0000000000000000000000"),
    ("turn", "1"),
    ("prompt", "x"),
    ("class", "routine"),
    ("connection", "conn_01jd0000000000000000000000"),
    ("credential", "cred_01jd0000000000000000000000"),
    // No provider of ours: nobody is called.
    ("provider", "x"),
    ("label", "x"),
    ("secret", "x"),
    ("base_url", ""),
    ("models", ""),
    ("rank", "1"),
    ("detail", ""),
    ("hosts", "a.example"),
    ("subject", "organization"),
    ("period", "day"),
    ("limit", "1"),
    ("budget", "bud_01jd0000000000000000000000"),
    ("a", "1"),
    ("b", "1"),
    ("case", "case_01jd0000000000000000000000"),
    ("status", "active"),
    ("form[prompt]", "x"),
    ("form[expected]", "x"),
    ("tool", "tool_01jd0000000000000000000000"),
    ("server", "mcp_01jd0000000000000000000000"),
    ("arguments", "{}"),
    ("hash", "x"),
    ("effect", "read"),
    ("on", "true"),
    ("retention_days", "30"),
    ("action", "retry"),
    ("runs", "run_01jd0000000000000000000000"),
    ("max_running", "1"),
    ("priority", "high"),
    ("concurrency_limit", "1"),
    ("concurrency_key", "x"),
    ("what", "stop"),
    ("with", "run_01jd0000000000000000000000"),
    ("show", "all"),
    ("from", "start"),
    ("newest", "false"),
    ("id", "apr_01jd0000000000000000000000"),
    ("text", "x"),
    ("payload", "{}"),
    ("agent", "ag_01jd0000000000000000000000"),
    ("workflow", "wf_01jd0000000000000000000000"),
    ("run", "run_01jd0000000000000000000000"),
    ("approval", "apr_01jd0000000000000000000000"),
    ("key", "key_01jd0000000000000000000000"),
    ("step", "fetch"),
    ("path", "nodes.fetch"),
    ("scope", ""),
    ("kind", "transform"),
    ("template", "triage"),
    ("typed_amount", "1"),
    ("yaml", "name: x"),
    ("version", "1"),
    ("base", "1"),
    ("name", "x"),
    ("title", "x"),
    ("description", "x"),
    ("role", "viewer"),
    ("days", "30"),
    ("full", "true"),
    ("tab", "io"),
    ("deadline_h", "1"),
    ("input", "{}"),
    ("range", "24h"),
    ("decision", "approve"),
    ("reason", "x"),
    ("filter", ""),
    ("form[name]", "x"),
    ("form[role]", "x"),
    ("form[instructions]", "x"),
    ("form[model]", "sandbox/sandbox"),
    ("form[kind]", "transform"),
    ("form[title]", "x"),
];

/// Calls a function for an organization: as a form, or as JSON where it takes that.
async fn call(client: &mut Client, path: &str, org: &str) -> (u16, String) {
    let mut fields = vec![("org", org)];
    fields.extend(ARGUMENTS);
    call_with(client, path, &fields).await
}

async fn call_with(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let reply = client.post_form(path, fields).await;
    if reply.status != 400 {
        return (reply.status.0.as_u16(), reply.text().to_owned());
    }
    let mut body: serde_json::Map<_, _> = fields
        .iter()
        .filter(|(name, _)| !name.contains('['))
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    for whole in ["query", "filter"] {
        let odd = body.get(whole).filter(|value| value.as_str().is_some_and(|text| text.contains('\0'))).cloned();
        body.insert(
            whole.into(),
            odd.map_or_else(|| json!({}), |odd| json!({ "q": odd, "trigger": odd, "step": odd })),
        );
    }
    let reply = client.post_json(path, &body.into()).await;
    (reply.status.0.as_u16(), reply.text().to_owned())
}

#[tokio::test]
async fn for_people_outside_an_organization_every_function_answers_as_if_there_were_none() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    world.sign_up("Bob").await;
    let mut tried = 0;
    for (path, _) in server_fn_paths() {
        if PUBLIC.contains(&path) || OF_A_PERSON.contains(&path) {
            continue;
        }
        let foreign = call(&mut ada.client, path, "bob-s-team").await;
        assert_ne!(foreign.0, 400, "{path}: say in ARGUMENTS what its arguments look like: {}", foreign.1);
        assert_eq!(foreign.0, 404, "{path}: {}", foreign.1);
        assert!(!foreign.1.contains("Bob"), "{path}: {}", foreign.1);
        let absent = call(&mut ada.client, path, "nobody-s-team").await;
        assert_eq!(foreign, absent, "{path}: the answer tells that the organization exists");
        let blank = call(&mut ada.client, path, "").await;
        assert_eq!(blank.0, 404, "{path}: {}", blank.1);
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
}

#[tokio::test]
async fn the_pages_of_a_foreign_organization_are_as_those_of_one_that_does_not_exist() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    world.sign_up("Bob").await;
    for page in PAGES {
        for org in ["bob-s-team", "nobody-s-team"] {
            let reply = ada.client.get(&format!("/o/{org}{page}")).await;
            assert_eq!(reply.status, 404, "{org}{page}");
            assert!(!reply.text().contains("Bob's team"), "{org}{page}");
        }
    }
}

#[tokio::test]
async fn no_function_can_be_called_from_another_site() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let cookie = ada.client.cookies().iter().map(|(name, value)| format!("{name}={value}")).next().unwrap();
    let forged: [&[(&str, &str)]; 6] = [
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:3001")],
        &[],
    ];
    for (path, _) in server_fn_paths() {
        for marks in forged {
            for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"] {
                let mut request = axum::http::Request::builder()
                    .method(Method::POST)
                    .uri(path)
                    .header(header::HOST, "localhost:3000")
                    .header(header::COOKIE, &cookie)
                    .header(header::CONTENT_TYPE, kind)
                    .header(header::ACCEPT, "text/html");
                for (name, value) in marks {
                    request = request.header(*name, *value);
                }
                let body = Body::from(format!("org={}&name=Mallory&undo=5&role=viewer&days=30", ada.org));
                let reply = ada.client.send(request.body(body).unwrap()).await;
                assert_eq!(reply.status, 403, "{path} {marks:?} {kind}");
            }
        }
    }
    assert!(crate::people::is_signed_in(&mut ada.client).await, "another site signed Ada out");
}

#[tokio::test]
async fn programs_without_a_key_are_refused_by_every_address_of_the_api() {
    let world = World::new().await;
    let run = "/api/v1/runs/run_01jd0000000000000000000000";
    let approval = "/api/v1/approvals/apr_01jd0000000000000000000000";
    let mut paths = vec![
        (Method::GET, "/api/v1/runs".to_owned()),
        (Method::GET, "/api/v1/approvals".to_owned()),
        (Method::POST, "/api/v1/workflows/wf_01jd0000000000000000000000/run".to_owned()),
        (Method::GET, run.to_owned()),
        (Method::GET, approval.to_owned()),
    ];
    for below in ["steps", "steps/fetch", "logs", "events"] {
        paths.push((Method::GET, format!("{run}/{below}")));
    }
    for below in ["cancel", "retry"] {
        paths.push((Method::POST, format!("{run}/{below}")));
    }
    for below in ["decide", "undo"] {
        paths.push((Method::POST, format!("{approval}/{below}")));
    }
    let mut cookie_alone = world.sign_up("Ada").await.client;
    for (method, path) in paths {
        for key in ["", "agentflow_0000000000000000000000000000000000000000000"] {
            let mut program = world.program(key);
            let request = program.request(method.clone(), &path).header(header::CONTENT_TYPE, "application/json");
            let reply = program.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(reply.status, 401, "{method} {path}");
        }
        let request = cookie_alone.request(method.clone(), &path).header(header::CONTENT_TYPE, "application/json");
        let reply = cookie_alone.send(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(reply.status, 401, "{method} {path}: a page's cookie is no key");
    }
}

/// More arguments, for calls that are to get further than the door.
const MORE: [(&str, &str); 19] = [
    ("email", "eve@example.com"),
    ("password", "violet-tractor-sings-9"),
    ("organization", "Eve"),
    ("next", "/"),
    ("theme", "dark"),
    ("undo", "5"),
    ("query", ""),
    ("json", "{}"),
    ("typed[title]", "x"),
    ("payload[x]", "x"),
    ("between", "true"),
    ("form[key]", "extra"),
    ("form[after][0]", "start"),
    ("form[value]", "x"),
    ("form[prompt]", "x"),
    ("form[arguments][url]", "x"),
    ("form[branch][0]", "x"),
    ("form[output_schema]", ""),
    ("form[message]", "x"),
];

/// The names of a server function's arguments, as its source has them: `/rpc/app/agents/api/save_agent` is `save_agent` of
/// app/src/agents/api.rs.
fn arguments_of(path: &str) -> Vec<String> {
    let (module, function) = path.strip_prefix("/rpc/app/").and_then(|path| path.rsplit_once('/')).unwrap();
    let file = format!("{}/../app/src/{module}.rs", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (_, from) = source.split_once(&format!("pub async fn {function}(")).unwrap_or_else(|| panic!("{path}"));
    let (list, _) = from.split_once(") ->").unwrap();
    list.split_whitespace().filter_map(|word| word.strip_suffix(':')).map(str::to_owned).collect()
}

#[tokio::test]
async fn no_text_that_the_database_cannot_keep_is_a_fault_of_ours() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = crate::office::Office::of(&world, &ada.org).await;
    let (mut tried, mut workflow) = (0, String::new());
    for (path, _) in server_fn_paths() {
        let taken = arguments_of(path);
        let arguments = || [("org", ada.org.as_str())].into_iter().chain(ARGUMENTS).chain(MORE);
        // Signing in and out ends the session that was there.
        let client = || if PUBLIC.contains(&path) { world.client() } else { ada.client.clone() };
        let is_taken = |name: &str| taken.iter().any(|taken| name.split('[').next() == Some(taken));
        for (odd, _) in arguments().filter(|(name, _)| is_taken(name)) {
            for text in ["a\0b", r#"{ "type": "object", "a": "\u0000" }"#, "name: \"a\\0\"\nnodes: []"] {
                // JSON and YAML have their own ways to write it, and mean something in few places.
                let structured = ["input", "json", "payload", "yaml", "form[value]", "form[output_schema]"];
                if !text.contains('\0') && !structured.contains(&odd) {
                    continue;
                }
                tried += 1;
                // What works on a workflow gets a fresh one each time: the call before may have changed or stopped it.
                if workflow.is_empty() || is_taken("workflow") {
                    let end = json!({ "id": "end", "kind": "end", "after": ["start"] });
                    workflow = acme.workflow(&format!("Odd {tried}"), any(), json!([start(), end])).await.to_string();
                }
                let renamed = format!("x{tried}");
                let fields: Vec<(&str, &str)> = arguments()
                    .map(|(name, usual)| match name {
                        _ if name == odd => (name, text),
                        "workflow" => (name, workflow.as_str()),
                        "name" => (name, renamed.as_str()),
                        "path" | "step" => (name, "end"),
                        _ => (name, usual),
                    })
                    .collect();
                let (status, said) = call_with(&mut client(), path, &fields).await;
                assert!(status < 500, "{path} {odd}={text:?}: {status} {said}");
            }
        }
    }
    assert!(tried > 300, "{tried}: the arguments are not found");
    for page in ["/o/a%00b/runs", "/o/a%00b/", "/o/Ada-s-team/runs", "/o/a%00b/no-such-page", "/o/%ff/runs"] {
        let reply = ada.client.get(page).await;
        assert!(reply.status == 404 || reply.status == 400, "{page}: {:?}", reply.status);
    }
    for page in
        ["runs?q=%00", "runs?trigger=%00", "runs?state=%00", "approvals?workflow=%00", "workflows/new?template=%00"]
    {
        let reply = ada.client.get(&format!("/o/{}/{page}", ada.org)).await;
        assert!(reply.status.0.as_u16() < 500, "{page}: {:?}", reply.status);
    }
    let request =
        ada.client.request(Method::GET, "/o/a%00b/stream?topics=runs").header(header::ACCEPT, "text/event-stream");
    let reply = ada.client.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 404, "{}", reply.text());
}
