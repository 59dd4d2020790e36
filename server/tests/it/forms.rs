//! Forms as a browser without JavaScript sends them: it posts, and it waits for a page.

use app::{frame::api::SetTheme, settings::api::UpdateProfile, sign_up::api::SignUp};
use axum::{
    body::Body,
    http::{Method, header},
};
use leptos::server_fn::ServerFn;

use crate::{
    people::PASSWORD,
    world::{Client, ORIGIN, Reply, World},
};

/// Sends a form from the page at `page`, as a browser does by itself.
pub async fn post_from(client: &mut Client, page: &str, action: &str, fields: &[(&str, &str)]) -> Reply {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = client
        .request(Method::POST, action)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html,application/xhtml+xml")
        .header(header::REFERER, format!("{ORIGIN}{page}"));
    client.send(request.body(Body::from(body)).expect("request")).await
}

#[tokio::test]
async fn a_refused_form_comes_back_as_its_page_with_what_was_typed_and_what_is_wrong() {
    let world = World::new().await;
    let fields = [
        ("_form", "sign_up"),
        ("name", "Ada \"<b>\" Lovelace"),
        ("email", "not an address"),
        ("password", PASSWORD),
        ("organization", "Analytical Engines"),
    ];
    let reply = post_from(&mut world.client(), "/signup?next=%2Fo%2Fx", SignUp::PATH, &fields).await;
    let page = reply.text();
    assert_eq!(reply.status, 422, "{page}");
    assert!(page.contains("<title>Error: "), "the title says it");
    assert!(page.contains("There is a problem"), "the summary is there");
    assert!(
        page.contains("href=\"#sign-up-email\"") || page.contains("href=\"#sign_up-email\""),
        "it leads to the field"
    );
    assert!(
        page.contains("value=\"not an address\"") && page.contains("value=\"Analytical Engines\""),
        "the text is kept"
    );
    assert!(
        page.contains("value=\"Ada &quot;&lt;b&gt;&quot; Lovelace\"") || page.contains("Ada &quot;<b>&quot; Lovelace")
    );
    assert!(!page.contains(PASSWORD), "a password never comes back");
    assert!(
        page.contains("history.replaceState(null, \"\", \"/signup?next=%2Fo%2Fx\")"),
        "reload and back lead to the page"
    );
    assert!(page.contains("aria-invalid=\"true\""));
}

#[tokio::test]
async fn a_form_that_was_done_leads_on_and_the_next_page_says_so_once() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let page = format!("/o/{}/settings", ada.org);
    let fields = [("_form", "update_profile"), ("name", "Ada Lovelace"), ("undo", "15")];
    let reply = post_from(&mut ada.client, &page, UpdateProfile::PATH, &fields).await;
    assert_eq!((reply.status.0.as_u16(), reply.header("location")), (303, page.as_str()), "{}", reply.text());
    assert!(ada.client.cookies().contains_key("form_done"));
    assert!(reply.header("set-cookie").ends_with("; Secure"), "{}", reply.header("set-cookie"));
    let shown = ada.client.get(&page).await;
    assert_eq!(shown.status, 200);
    assert!(shown.text().contains("value=\"Ada Lovelace\""));
    assert!(!ada.client.cookies().contains_key("form_done"), "it is said once");
}

#[tokio::test]
async fn a_form_of_a_page_elsewhere_is_never_answered_with_one_of_ours() {
    let world = World::new().await;
    let mut client = world.client();
    let request = client
        .request(Method::POST, SignUp::PATH)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html")
        .header(header::REFERER, "https://elsewhere.example/signup");
    let reply =
        client.send(request.body(Body::from("name=x&email=x&password=x&organization=x")).expect("request")).await;
    assert_eq!(reply.status, 422);
    assert!(!reply.text().contains("<form"), "{}", reply.text());
}

#[tokio::test]
async fn a_script_still_gets_the_error_as_json() {
    let world = World::new().await;
    let fields = [("name", "x"), ("email", "x"), ("password", "x"), ("organization", "x")];
    let reply = world.client().post_form(SignUp::PATH, &fields).await;
    assert_eq!(reply.status, 422);
    assert_eq!(reply.json()["code"], "invalid");
}

#[tokio::test]
async fn the_dashboard_answers_with_and_without_its_slash_and_a_foreign_one_is_not_found() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    for address in [format!("/o/{}/", ada.org), format!("/o/{}", ada.org), format!("/o/{}/?range=7d", ada.org)] {
        let reply = ada.client.get(&address).await;
        assert_eq!(reply.status, 200, "{address}");
        assert!(reply.text().contains("Your first run"), "a new organization is shown the way");
    }
    let nowhere = ada.client.get(&format!("/o/{}/no-such-page", ada.org)).await;
    assert_eq!(nowhere.status, 404);
    let bob = world.sign_up("Bob").await;
    for address in [format!("/o/{}/", bob.org), "/o/nobody-s-team/".to_owned()] {
        assert_eq!(ada.client.get(&address).await.status, 404, "{address}");
    }
}

#[tokio::test]
async fn the_small_cookies_are_as_secure_as_the_sessions() {
    for (address, secure) in [("https://flows.example.com", true), ("http://flows.example.com", false)] {
        let world = World::with(&[("AGENTFLOW_PUBLIC_URL", address)]).await;
        let mut ada = world.sign_up("Ada").await;
        let theme = ada.client.post_form(SetTheme::PATH, &[("theme", "dark")]).await;
        let page = format!("/o/{}/settings", ada.org);
        let fields = [("_form", "update_profile"), ("name", "Ada"), ("undo", "15")];
        let done = post_from(&mut ada.client, &page, UpdateProfile::PATH, &fields).await;
        for (name, reply) in [("theme", theme), ("form_done", done)] {
            let lines = reply.headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
            let line = lines.into_iter().find(|line| line.starts_with(name)).expect(name).to_owned();
            assert_eq!(line.contains("; Secure"), secure, "{address}: {line}");
        }
    }
}
