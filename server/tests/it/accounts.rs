//! Signing up, in and out, and everything that strangers try there.

use std::time::{Duration, Instant};

use agentflow::accounts::{
    password::{Cost, Passwords},
    service,
};
use app::{
    sign_in::api::{SignIn, SignOut},
    sign_up::api::SignUp,
};
use axum::http::{Method, header};
use leptos::server_fn::ServerFn;
use server::http::session::COOKIE;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    people::{PASSWORD, is_signed_in, sign_in, sign_up},
    world::{Client, World},
};

async fn sql(world: &World, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut world.owner().await).await.expect("statement");
}

async fn count(connection: &mut PgConnection, from: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {from}")))
        .fetch_one(connection)
        .await
        .expect("count")
}

/// A browser with this session cookie and nothing else.
fn with_cookie(world: &World, value: &str) -> Client {
    let mut client = world.client();
    client.set_cookie(COOKIE, value);
    client
}

#[tokio::test]
async fn signing_up_makes_account_organization_and_session_together() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    assert_eq!(ada.org, "ada-s-team");
    assert!(is_signed_in(&mut ada.client).await);
    let mut owner = world.owner().await;
    assert_eq!(count(&mut owner, "memberships where role = 'owner'").await, 1);
    let home = ada.client.get("/").await;
    assert_eq!((home.status.0.as_u16(), home.header("location")), (303, "/o/ada-s-team/"));
}

#[tokio::test]
async fn the_cookie_has_every_mark_at_its_beginning_and_at_its_end() {
    let world = World::new().await;
    let mut client = world.client();
    let begin = sign_up(&mut client, "Ada", "ada@example.com", PASSWORD, "Acme").await;
    let end = client.post_form(SignOut::PATH, &[]).await;
    for (reply, what) in [(begin, "sign-up"), (end, "sign-out")] {
        let cookies: Vec<_> = reply.headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(cookies.len(), 1, "{what}: {cookies:?}");
        let cookie = cookies[0].to_str().unwrap();
        assert!(cookie.starts_with("__Host-agentflow="), "{cookie}");
        for mark in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
            assert!(cookie.split("; ").any(|part| part == mark), "{what}: no {mark} in {cookie}");
        }
        assert!(!cookie.to_lowercase().contains("domain="), "{cookie}");
    }
}

#[tokio::test]
async fn a_planted_cookie_never_becomes_a_session() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let mallory = world.sign_up("Mallory").await;
    let unknown = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let other_ones = mallory.client.cookies()[COOKIE].clone();
    for planted in [unknown, other_ones] {
        let mut victim = with_cookie(&world, &planted);
        let reply = sign_in(&mut victim, &ada.email, PASSWORD).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_ne!(victim.cookies()[COOKIE], planted);
        assert!(is_signed_in(&mut victim).await);
        assert!(!is_signed_in(&mut with_cookie(&world, &planted)).await, "the planted id lives");
    }
}

#[tokio::test]
async fn signing_in_again_gives_a_new_id_and_ends_the_old_one() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let first = ada.client.cookies()[COOKIE].clone();
    assert_eq!(sign_in(&mut ada.client, &ada.email, PASSWORD).await.status, 200);
    assert_ne!(ada.client.cookies()[COOKIE], first);
    assert!(!is_signed_in(&mut with_cookie(&world, &first)).await);
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let stolen = ada.client.cookies()[COOKIE].clone();
    assert_eq!(ada.client.post_form(SignOut::PATH, &[]).await.status, 200);
    assert!(!ada.client.cookies().contains_key(COOKIE));
    assert!(!is_signed_in(&mut with_cookie(&world, &stolen)).await);
    assert_eq!(count(&mut world.owner().await, "sessions").await, 0);
}

#[tokio::test]
async fn both_time_limits_hold_on_the_server() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    sql(&world, "update sessions set expires_at = now() + interval '1 hour'").await;
    assert!(is_signed_in(&mut ada.client).await);
    assert_eq!(
        count(&mut world.owner().await, "sessions where expires_at > now() + interval '13 days'").await,
        1,
        "a request moves the idle limit on"
    );
    sql(&world, "update sessions set created_at = now() - interval '29 days', expires_at = now() + interval '1 hour'")
        .await;
    assert!(is_signed_in(&mut ada.client).await);
    assert_eq!(
        count(&mut world.owner().await, "sessions where expires_at <= created_at + interval '30 days'").await,
        1,
        "but not beyond the absolute one"
    );
    sql(&world, "update sessions set expires_at = now()").await;
    assert!(!is_signed_in(&mut ada.client).await);
    sql(&world, "update sessions set expires_at = now() + interval '1 day', created_at = now() - interval '31 days'")
        .await;
    assert!(!is_signed_in(&mut ada.client).await);
}

#[tokio::test]
async fn a_copy_of_the_table_opens_nothing() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let id = &ada.client.cookies()[COOKIE];
    let dump: String =
        sqlx::query_scalar("select encode(id_hash, 'base64') || encode(id_hash, 'hex') || data from sessions")
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    assert!(!dump.contains(id.as_str()));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    let world = World::new().await;
    world.sign_up("Ada").await;
    let mut times = [Vec::new(), Vec::new()];
    let mut bodies = Vec::new();
    for round in 0..15 {
        for (kind, email) in [(0, "ada@example.com"), (1, "nobody@example.com")] {
            sql(&world, "delete from sign_in_throttle").await;
            let start = Instant::now();
            let reply = sign_in(&mut world.client(), email, &format!("wrong-password-{round}")).await;
            times[kind].push(start.elapsed());
            bodies.push((
                reply.status.0.as_u16(),
                reply.text().to_owned(),
                reply.headers.get_all(header::SET_COOKIE).iter().count(),
            ));
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!((bodies[0].0, bodies[0].2), (422, 0));
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    let ratio = known / unknown;
    assert!((0.6..1.6).contains(&ratio), "known {known:.4} s, unknown {unknown:.4} s");
}

#[tokio::test]
async fn a_password_of_a_megabyte_is_refused_before_any_work() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let huge = "x9".repeat(500_000);
    let start = Instant::now();
    let up = sign_up(&mut world.client(), "Bob", "bob@example.com", &huge, "Acme").await;
    let into = sign_in(&mut world.client(), &ada.email, &huge).await;
    let took = start.elapsed();
    for reply in [up, into] {
        assert!([413, 422].contains(&reply.status.0.as_u16()), "{}", reply.text());
    }
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn everything_wrong_with_a_sign_up_is_said_at_its_field_at_once() {
    let world = World::new().await;
    let reply = sign_up(&mut world.client(), " ", "ada", "password123", "").await;
    assert_eq!(reply.status, 422);
    let error = reply.json();
    let fields: Vec<&str> =
        error["fields"].as_array().unwrap().iter().filter_map(|entry| entry["field"].as_str()).collect();
    assert_eq!(fields, ["name", "email", "password", "organization"]);
    assert_eq!(count(&mut world.owner().await, "users").await, 0);
}

#[tokio::test]
async fn of_many_sign_ups_with_one_address_at_once_one_wins() {
    let world = World::new().await;
    let tries = (0..12).map(|place| {
        let mut client = world.client();
        let email = if place % 2 == 0 { "ada@example.com" } else { "ADA@example.com" };
        async move { sign_up(&mut client, "Ada", email, PASSWORD, "Acme").await.status.0.as_u16() }
    });
    let mut statuses = futures::future::join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    let mut owner = world.owner().await;
    assert_eq!(count(&mut owner, "users").await, 1);
    assert_eq!(count(&mut owner, "organizations").await, 1, "no organization is left behind by those who lost");
}

#[tokio::test]
async fn organizations_of_one_name_have_different_addresses() {
    let world = World::new().await;
    let mut slugs = Vec::new();
    for (name, organization) in [("Ada", "Acme"), ("Bob", "ACME"), ("Cy", "日本")] {
        let reply = sign_up(&mut world.client(), name, &format!("{name}@example.com"), PASSWORD, organization).await;
        slugs.push(reply.header("location").to_owned());
    }
    assert_eq!(slugs[0], "/o/acme/");
    assert!(slugs[1].starts_with("/o/acme-") && slugs[1] != slugs[0], "{slugs:?}");
    assert_eq!(slugs[2], "/o/team/");
}

#[tokio::test]
async fn of_fifty_guesses_at_once_few_are_looked_at_and_the_owner_gets_in_within_a_minute() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let guesses = (0..50).map(|guess| {
        let (mut client, email) = (world.client(), ada.email.clone());
        async move { sign_in(&mut client, &email, &format!("guess-number-{guess}")).await }
    });
    let replies = futures::future::join_all(guesses).await;
    let looked_at = replies.iter().filter(|reply| reply.status == 422).count();
    // Five, and one more for each pause that a slow machine sat through.
    assert!((5..=8).contains(&looked_at), "{looked_at}");
    for reply in replies.iter().filter(|reply| reply.status != 422) {
        assert_eq!(reply.status, 429, "{}", reply.text());
        let wait: u32 = reply.header("retry-after").parse().expect("Retry-After");
        assert!((1..=60).contains(&wait));
    }
    let elsewhere = [192, 0, 2, 7];
    // Even the right one waits, or the pause would be none.
    sql(&world, "update sign_in_throttle set blocked_until = now() + interval '40 seconds' where key like 'account:%'")
        .await;
    assert_eq!(sign_in(&mut world.client().at(elsewhere), &ada.email, PASSWORD).await.status, 429);
    // However many come, a minute is the longest pause.
    sql(&world, "update sign_in_throttle set failures = 900, blocked_until = '-infinity' where key like 'account:%'")
        .await;
    assert_eq!(sign_in(&mut world.client().at(elsewhere), &ada.email, "one-guess-more").await.status, 422);
    let longer = "sign_in_throttle where blocked_until > now() + interval '61 seconds'";
    assert_eq!(count(&mut world.owner().await, longer).await, 0);
    sql(&world, "update sign_in_throttle set blocked_until = now() where key like 'account:%'").await;
    assert_eq!(sign_in(&mut world.client().at(elsewhere), &ada.email, PASSWORD).await.status, 200);
    assert_eq!(count(&mut world.owner().await, "sign_in_throttle where key like 'account:%'").await, 0);
}

#[tokio::test]
async fn one_guess_at_each_of_many_accounts_is_slowed_down_whatever_address_is_claimed() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for guess in 0..25 {
        let mut client = world.client();
        let body = format!("email=person{guess}%40example.com&password=spring-2026");
        let request = client
            .request(Method::POST, SignIn::PATH)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .header("x-forwarded-for", format!("203.0.113.{guess}"))
            .header("x-real-ip", format!("203.0.113.{guess}"))
            .header("forwarded", format!("for=203.0.113.{guess}"));
        let request = request.body(axum::body::Body::from(body)).unwrap();
        statuses.push(client.send(request).await.status.0.as_u16());
    }
    assert_eq!(statuses[..20], [422; 20]);
    assert!(statuses[20..].contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_hash_of_lower_cost_is_replaced_at_the_next_sign_in() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    let cheap = Passwords::new(Cost { memory_kib: 64, passes: 1 }).unwrap().hash(PASSWORD).await.unwrap();
    sql(&world, &format!("update users set password_hash = '{cheap}'")).await;
    assert_eq!(sign_in(&mut world.client(), &ada.email, PASSWORD).await.status, 200);
    assert_eq!(
        count(&mut world.owner().await, "users where password_hash like '$argon2id$v=19$m=19456,t=2,p=1$%'").await,
        1
    );
    assert_eq!(sign_in(&mut world.client(), &ada.email, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn after_signing_in_only_a_path_of_this_site_is_returned_to() {
    let world = World::new().await;
    let ada = world.sign_up("Ada").await;
    for (next, location) in [
        ("/o/ada-s-team/runs?state=failed", "/o/ada-s-team/runs?state=failed"),
        ("", "/o/ada-s-team/"),
        ("//evil.example", "/o/ada-s-team/"),
        ("/\\evil.example", "/o/ada-s-team/"),
        ("https://evil.example/", "/o/ada-s-team/"),
    ] {
        let fields = [("email", ada.email.as_str()), ("password", PASSWORD), ("next", next)];
        let reply = world.client().post_form(SignIn::PATH, &fields).await;
        assert_eq!(reply.header("location"), location, "{next}");
    }
}

#[tokio::test]
async fn a_new_password_from_the_operator_ends_all_sessions() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    service::reset_password(world.deps(), &ada.email, "a-completely-other-one-4").await.unwrap();
    assert!(!is_signed_in(&mut ada.client).await);
    assert_eq!(sign_in(&mut world.client(), &ada.email, PASSWORD).await.status, 422);
    assert_eq!(sign_in(&mut world.client(), &ada.email, "a-completely-other-one-4").await.status, 200);
}

#[tokio::test]
async fn without_a_script_a_refused_form_is_the_page_again_with_what_was_typed_and_why() {
    let world = World::new().await;
    world.sign_up("Ada").await;
    let mut client = world.client();
    let mut send = async |path: &str, page: &str, body: &str| {
        let request = client
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "text/html")
            .header(header::REFERER, format!("http://localhost:3000{page}"));
        let request = request.body(axum::body::Body::from(body.to_owned())).unwrap();
        client.send(request).await
    };
    let up = "name=Bob&email=ada%40example.com&password=violet-tractor-sings-9&organization=Acme&_form=sign_up";
    let page = send(SignUp::PATH, "/signup", up).await;
    assert_eq!(page.status, 409, "{}", page.text());
    for part in ["<h1 tabindex=\"-1\">Sign up", "value=\"Bob\"", "has an account already", "Error: Sign up"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert!(!page.text().contains("violet-tractor"), "a password is never sent back");
    let wrong = "email=ada%40example.com&password=not-the-one&next=%2Fo%2Fada-s-team%2Fruns&_form=sign_in";
    let page = send(SignIn::PATH, "/login?next=%2Fo%2Fada-s-team%2Fruns", wrong).await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("do not belong together"));
    let right = format!("email=ada%40example.com&password={PASSWORD}&next=%2Fo%2Fada-s-team%2Fruns&_form=sign_in");
    let done = send(SignIn::PATH, "/login?next=%2Fo%2Fada-s-team%2Fruns", &right).await;
    assert_eq!((done.status.0.as_u16(), done.header("location")), (303, "/o/ada-s-team/runs"));
}
