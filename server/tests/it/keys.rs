//! API keys: shown once, never above their maker, dead when they should be.

use agentflow::{
    access::{Ctx, Role, right},
    kernel::{Kind, Result},
    keys::service::{Wish, authenticate, create_as_operator},
    orgs,
};
use app::{
    settings::api::{CreateApiKey, LoadSettings, RevokeApiKey},
    sign_in::api::SignIn,
};
use leptos::server_fn::ServerFn;
use serde_json::Value;
use server::http::session::COOKIE;
use sqlx::AssertSqlSafe;

use crate::{
    people::{PASSWORD, Person, sign_in},
    world::{Reply, World},
};

async fn make(person: &mut Person, name: &str, role: &str) -> Reply {
    let org = person.org.clone();
    let fields = [("org", org.as_str()), ("name", name), ("role", role), ("days", "30")];
    person.client.post_form(CreateApiKey::PATH, &fields).await
}

async fn secret(person: &mut Person, role: &str) -> (String, String) {
    let reply = make(person, "CI", role).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let key = reply.json();
    (key["id"].as_str().unwrap().to_owned(), key["secret"].as_str().unwrap().to_owned())
}

async fn opens(world: &World, secret: &str) -> Result<Ctx> {
    authenticate(world.deps(), secret, String::new()).await
}

async fn is_dead(world: &World, secret: &str) -> bool {
    opens(world, secret).await.is_err_and(|error| error.kind == Kind::Unauthenticated)
}

async fn sql(world: &World, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut world.owner().await).await.expect("statement");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let (id, secret) = secret(&mut ada, "member").await;
    // 32 random bytes behind the prefix.
    assert!(secret.starts_with("agentflow_") && secret.len() == 53, "{secret}");
    let list = ada.client.post_form(LoadSettings::PATH, &[("org", "ada-s-team")]).await;
    let key = &list.json()["keys"][0];
    assert_eq!((key["id"].as_str(), key["state"].as_str()), (Some(id.as_str()), Some("active")));
    assert_eq!(key["prefix"].as_str(), Some(&secret[..16]));
    assert!(!list.text().contains(&secret[16..]));
    let stored: String = sqlx::query_scalar("select k::text || encode(secret_hash, 'escape') from api_keys k")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    assert!(!stored.contains(&secret[16..]));
    let cx = opens(&world, &secret).await.unwrap();
    assert_eq!((cx.org().slug.as_str(), cx.role(), cx.actor().name()), ("ada-s-team", Role::Member, "CI"));
}

#[tokio::test]
async fn only_those_who_may_make_keys_make_them_and_none_is_an_owner() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut admin = world.joins("Alma", &ada.org, Role::Admin).await;
    let mut member = world.joins("Mia", &ada.org, Role::Member).await;
    let mut viewer = world.joins("Vic", &ada.org, Role::Viewer).await;
    assert_eq!(make(&mut admin, "CI", "admin").await.status, 200);
    for person in [&mut member, &mut viewer] {
        let reply = make(person, "CI", "viewer").await;
        assert_eq!((reply.status.0.as_u16(), reply.json()["code"].as_str()), (403, Some("forbidden")));
        let org = person.org.clone();
        let settings = person.client.post_form(LoadSettings::PATH, &[("org", &org)]).await;
        assert!(settings.json()["keys"].is_null(), "{}", settings.text());
    }
    for (role, days) in [("owner", "30"), ("", "30"), ("member", "0"), ("member", "366")] {
        let fields = [("org", "ada-s-team"), ("name", "CI"), ("role", role), ("days", days)];
        assert_eq!(ada.client.post_form(CreateApiKey::PATH, &fields).await.status, 422, "{role} {days}");
    }
}

#[tokio::test]
async fn a_key_is_dead_at_once_when_it_is_revoked_or_expired() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let (id, revoked) = secret(&mut ada, "member").await;
    let reply = ada.client.post_form(RevokeApiKey::PATH, &[("org", "ada-s-team"), ("key", &id)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(is_dead(&world, &revoked).await);
    let (_, expired) = secret(&mut ada, "member").await;
    assert!(opens(&world, &expired).await.is_ok());
    sql(&world, "update api_keys set expires_at = now()").await;
    assert!(is_dead(&world, &expired).await);
    let list = ada.client.post_form(LoadSettings::PATH, &[("org", "ada-s-team")]).await.json();
    let states: Vec<_> = list["keys"].as_array().unwrap().iter().filter_map(|key| key["state"].as_str()).collect();
    assert_eq!(states, ["expired", "revoked"]);
}

#[tokio::test]
async fn a_key_has_no_more_rights_than_its_maker_has_now() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let mut admin = world.joins("Alma", &ada.org, Role::Admin).await;
    let (_, secret) = secret(&mut admin, "admin").await;
    assert_eq!(opens(&world, &secret).await.unwrap().role(), Role::Admin);
    let hers = "user_id = (select id from users where email = 'alma@example.com') and role <> 'owner'";
    sql(&world, &format!("update memberships set role = 'viewer' where {hers}")).await;
    assert_eq!(opens(&world, &secret).await.unwrap().role(), Role::Viewer);
    sql(&world, &format!("delete from memberships where {hers}")).await;
    assert!(is_dead(&world, &secret).await);
}

#[tokio::test]
async fn what_is_not_a_key_opens_nothing() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let (_, secret) = secret(&mut ada, "member").await;
    let mut changed = secret.clone();
    changed.pop();
    let wrong =
        [String::new(), "agentflow_".into(), changed, secret.to_uppercase(), format!("{secret} "), "x".repeat(9_999)];
    for wrong in wrong {
        assert!(is_dead(&world, &wrong).await, "{wrong:.60}");
    }
}

#[tokio::test]
async fn the_key_of_another_organization_is_as_one_that_does_not_exist() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut bob = world.sign_up("Bob").await;
    let (foreign, secret) = secret(&mut bob, "member").await;
    let unknown = agentflow::kernel::ApiKeyId::new().to_string();
    let mut answers: Vec<(u16, Value)> = Vec::new();
    for (org, key) in [("ada-s-team", &foreign), ("ada-s-team", &unknown)] {
        let reply = ada.client.post_form(RevokeApiKey::PATH, &[("org", org), ("key", key)]).await;
        answers.push((reply.status.0.as_u16(), reply.json()));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 404);
    assert!(opens(&world, &secret).await.is_ok());
}

#[tokio::test]
async fn the_last_use_is_noted_once_a_minute() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let (_, secret) = secret(&mut ada, "member").await;
    let used = || async {
        sqlx::query_scalar::<_, Option<f64>>("select extract(epoch from last_used_at)::double precision from api_keys")
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap()
    };
    assert_eq!(used().await, None);
    opens(&world, &secret).await.unwrap();
    let first = used().await;
    assert!(first.is_some());
    opens(&world, &secret).await.unwrap();
    assert_eq!(used().await, first);
    sql(&world, "update api_keys set last_used_at = now() - interval '61 seconds'").await;
    opens(&world, &secret).await.unwrap();
    assert!(used().await > first);
}

#[tokio::test]
async fn the_operator_makes_a_key_of_an_organization() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let org = orgs::service::by_slug(world.deps(), &ada.org).await.unwrap();
    let wish = Wish { name: "Deploy".into(), role: "admin".into(), days: 90 };
    let key = create_as_operator(world.deps(), org.id, &wish).await.unwrap();
    let cx = opens(&world, &key.secret).await.unwrap();
    assert_eq!((cx.org_id(), cx.role()), (org.id, Role::Admin));
    assert_eq!(orgs::service::by_slug(world.deps(), "nobody-s").await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn without_a_script_the_page_shows_the_secret_once() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let fields = "org=ada-s-team&name=CI&role=member&days=30&_form=create_api_key";
    let request = ada
        .client
        .request(axum::http::Method::POST, CreateApiKey::PATH)
        .header("accept", "text/html")
        .header("referer", "http://localhost:3000/o/ada-s-team/settings")
        .header("content-type", "application/x-www-form-urlencoded");
    let page = ada.client.send(request.body(fields.into()).unwrap()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let at = page.text().find("class=\"secret\"").expect("the secret is on the page");
    let start = at + page.text()[at..].find("agentflow_").expect("the secret");
    let secret = page.text()[start..start + 53].to_owned();
    assert!(opens(&world, &secret).await.is_ok());
    let again = ada.client.get("/o/ada-s-team/settings").await;
    assert_eq!(again.status, 200);
    assert!(again.text().contains(&secret[..16]) && !again.text().contains(&secret[16..]));
}

/// The sessions of everybody began this long ago.
async fn sessions_are(world: &World, age: &str) {
    sql(world, &format!("update sessions set created_at = now() - interval '{age}'")).await;
}

#[tokio::test]
async fn a_session_that_was_stolen_long_ago_makes_no_key() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut member = world.joins("Mia", &ada.org, Role::Member).await;
    sessions_are(&world, "1 hour 59 minutes").await;
    let (id, secret) = secret(&mut ada, "admin").await;

    sessions_are(&world, "2 hours 1 second").await;
    let mut thief = world.client();
    thief.set_cookie(COOKIE, &ada.client.cookies()[COOKIE]);
    let fields = [("org", "ada-s-team"), ("name", "Mine"), ("role", "admin"), ("days", "365")];
    for client in [&mut thief, &mut ada.client] {
        let reply = client.post_form(CreateApiKey::PATH, &fields).await;
        assert_eq!((reply.status.0.as_u16(), reply.json()["code"].as_str()), (403, Some("reauth")));
        assert!(reply.json()["message"].as_str().unwrap().starts_with("Sign in again to make a key."));
    }
    // Who may not make one at all is not sent to the sign-in for it.
    assert_eq!(make(&mut member, "CI", "viewer").await.json()["code"], "forbidden");
    // A key is no sign-in.
    let program = opens(&world, &secret).await.unwrap();
    assert!(program.grant::<right::ManageKeys>().is_ok());
    assert!(program.fresh_grant::<right::ManageKeys>("make a key").is_err_and(|error| error.code == "reauth"));
    let list = ada.client.post_form(LoadSettings::PATH, &[("org", "ada-s-team")]).await.json();
    assert_eq!(list["keys"].as_array().map(Vec::len), Some(1));

    // Signed in again she makes one, and what was stolen opens nothing at all.
    assert_eq!(sign_in(&mut ada.client, &ada.email, PASSWORD).await.status, 200);
    assert_eq!(make(&mut ada, "CI", "member").await.status, 200);
    assert_eq!(thief.post_form(CreateApiKey::PATH, &fields).await.status, 401);
    // To take a key back, any session will do.
    sessions_are(&world, "3 hours").await;
    let reply = ada.client.post_form(RevokeApiKey::PATH, &[("org", "ada-s-team"), ("key", &id)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn without_a_script_one_signs_in_again_and_comes_back_to_the_settings() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    sessions_are(&world, "1 day").await;
    let settings = "/o/ada-s-team/settings";
    let fields = "org=ada-s-team&name=Nightly+import&role=member&days=30&_form=create_api_key&_page=%2Fo%2Fada-s-team%2Fsettings";
    let request = ada
        .client
        .request(axum::http::Method::POST, CreateApiKey::PATH)
        .header("accept", "text/html")
        .header("content-type", "application/x-www-form-urlencoded");
    let page = ada.client.send(request.body(fields.into()).unwrap()).await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("Sign in again to make a key"), "{}", page.text());
    assert!(page.text().contains("value=\"Nightly import\""), "what was typed is kept");
    let link = page.text().split("href=\"").find(|rest| rest.starts_with("/login")).expect("a link to the sign-in");
    let link = link.split('"').next().unwrap().replace("&amp;", "&");

    let login = ada.client.get(&link).await;
    assert_eq!(login.status, 200, "{link}");
    assert!(login.text().contains("Sign in again, and go on where you were."));
    assert!(login.text().contains(&format!("name=\"next\" value=\"{settings}\"")), "{}", login.text());
    let before = ada.client.cookies()[COOKIE].clone();
    let fields = [("email", ada.email.as_str()), ("password", PASSWORD), ("next", settings)];
    let done = ada.client.post_form(SignIn::PATH, &fields).await;
    assert_eq!((done.status.0.as_u16(), done.header("location")), (200, settings));
    assert_ne!(ada.client.cookies()[COOKIE], before);
    assert_eq!(make(&mut ada, "Nightly import", "member").await.status, 200);
}
