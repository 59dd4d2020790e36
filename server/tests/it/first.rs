//! The first account: by the console's link, by the settings, and who may sign up at all.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};

use app::sign_up::api::SignUp;
use axum::{
    body::Body,
    http::{Method, header},
};
use leptos::server_fn::ServerFn;

use crate::{
    crash::{client, free_port},
    people::{PASSWORD, is_signed_in, sign_in, sign_up},
    world::{Client, Reply, World},
};

async fn closed() -> World {
    World::with(&[("AGENTFLOW_SIGN_UP", "closed")]).await
}

async fn sign_up_with(client: &mut Client, name: &str, password: &str, first: &str) -> Reply {
    let email = format!("{}@example.com", name.to_lowercase());
    let fields =
        [("name", name), ("email", &email), ("password", password), ("organization", "Acme"), ("first", first)];
    client.post_form(SignUp::PATH, &fields).await
}

#[track_caller]
fn is_closed(reply: &Reply) {
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_eq!(reply.json()["code"], "accounts.sign_up_closed");
}

async fn accounts(world: &World) -> (i64, i64) {
    sqlx::query_as("select (select count(*) from users), (select count(*) from memberships where role = 'owner')")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn where_sign_up_is_open_everybody_signs_up_with_a_link_or_without() {
    let world = World::new().await;
    let first = world.deps().sign_ups.first().to_owned();
    for path in ["/signup".to_owned(), format!("/signup?first={first}"), "/signup?first=x".to_owned()] {
        let page = world.client().get(&path).await;
        assert!(page.status == 200 && page.text().contains("name=\"organization\""), "{path}: {}", page.text());
    }
    for (name, secret) in [("Ada", first.as_str()), ("Ben", first.as_str()), ("Eve", "wrong"), ("Kim", "")] {
        assert_eq!(sign_up_with(&mut world.client(), name, PASSWORD, secret).await.status, 200, "{name}");
    }
    assert_eq!(accounts(&world).await, (4, 4));
}

#[tokio::test]
async fn where_it_is_closed_a_stranger_is_told_whom_to_ask() {
    let world = closed().await;
    let right = world.deps().sign_ups.first();
    for wrong in ["", "x", &right[1..], &format!("{right}="), &"x".repeat(10_000)] {
        let page = world.client().get(&format!("/signup?first={wrong}")).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("Ask whoever runs it") && !page.text().contains("name=\"password\""), "{wrong}");
        is_closed(&sign_up_with(&mut world.client(), "Ada", PASSWORD, wrong).await);
    }
    is_closed(&sign_up(&mut world.client(), "Ada", "ada@example.com", PASSWORD, "Acme").await);
    assert_eq!(accounts(&world).await, (0, 0));
}

#[tokio::test]
async fn the_link_makes_the_first_account_and_no_second_one() {
    let world = closed().await;
    let first = world.deps().sign_ups.first().to_owned();
    let path = format!("/signup?first={first}");
    let hidden = format!("name=\"first\" value=\"{first}\"");
    let mut ada = world.client();
    let page = ada.get(&path).await;
    assert!(page.text().contains("This is the first account") && page.text().contains(&hidden), "{}", page.text());

    // With JavaScript off a form that is refused comes back as a page, and the secret with it.
    let form = [
        ("_form", "sign_up"),
        ("_page", path.as_str()),
        ("name", "Ada"),
        ("email", "ada@example.com"),
        ("password", "short"),
        ("organization", "Acme"),
        ("first", first.as_str()),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let post = ada
        .request(Method::POST, SignUp::PATH)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html");
    let again = ada.send(post.body(Body::from(body)).unwrap()).await;
    assert_eq!(again.status, 422);
    assert!(again.text().contains(&hidden) && again.text().contains("There is a problem"), "{}", again.text());
    assert!(again.text().contains("value=\"ada@example.com\""), "what was typed is kept");

    let done = sign_up_with(&mut ada, "Ada", PASSWORD, &first).await;
    assert_eq!((done.status.0.as_u16(), done.header("location")), (200, "/o/acme/"));
    assert!(is_signed_in(&mut ada).await);
    is_closed(&sign_up_with(&mut world.client(), "Eve", PASSWORD, &first).await);
    let page = world.client().get(&path).await;
    assert!(page.text().contains("Sign-up is closed"), "{}", page.text());
    assert_eq!(accounts(&world).await, (1, 1));
    // Who has an account comes in as ever.
    assert_eq!(sign_in(&mut world.client(), "ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn of_two_who_use_the_link_at_once_one_has_the_first_account() {
    let world = closed().await;
    let first = world.deps().sign_ups.first().to_owned();
    // Whoever is to make an organization is held there, until both are under way.
    let mut owner = world.owner().await;
    sqlx::raw_sql("begin; lock table organizations in exclusive mode").execute(&mut owner).await.unwrap();
    let tries = ["Ada", "Ben"].map(|name| {
        let (mut client, first) = (world.client(), first.clone());
        tokio::spawn(async move { sign_up_with(&mut client, name, PASSWORD, &first).await })
    });
    let held = "select count(*) from pg_locks where not granted
                and database = (select oid from pg_database where datname = current_database())";
    while sqlx::query_scalar::<_, i64>(held).fetch_one(&mut owner).await.unwrap() < 2 {
        assert!(tries.iter().all(|held| !held.is_finished()), "both are held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sqlx::raw_sql("rollback").execute(&mut owner).await.unwrap();
    let replies: Vec<Reply> = futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    let (made, refused): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((made.len(), refused.len()), (1, 1));
    is_closed(refused[0]);
    assert_eq!(accounts(&world).await, (1, 1));
}

/// The built server on a world's database, with these settings.
fn start(world: &World, port: u16, settings: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_agentflow"))
        .env("DATABASE_URL", world.database_url())
        .env("AGENTFLOW_ADDRESS", format!("127.0.0.1:{port}"))
        .env("AGENTFLOW_DATABASE_CONNECTIONS", "2")
        .env("AGENTFLOW_LOG", "info")
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts")
}

/// What a server says until it is ready; then it is killed. Everything that it said, its log too.
fn said(mut server: Child) -> (Vec<String>, String) {
    let mut console = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines = console.by_ref().take_while(|line| !line.starts_with("Stop it")).collect();
    drop(server.kill());
    let mut log = String::new();
    server.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    log.extend(console);
    server.wait().unwrap();
    (lines, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_the_link_as_long_as_there_is_no_account() {
    let world = World::new().await;
    let port = free_port().await;
    for settings in [&[][..], &[("AGENTFLOW_SIGN_UP", "closed")]] {
        let mut server = start(&world, port, settings);
        let mut console = BufReader::new(server.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        assert_eq!(console.next().unwrap(), format!("AgentFlow is ready: http://localhost:{port}/"));
        let line = console.next().unwrap();
        let (words, link) = line.split_once(": ").unwrap();
        assert_eq!(words, "There is no account yet. The first one is made here");
        let page = client().get(link).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("name=\"organization\""), "{page}");
        let secret = link.split_once("first=").unwrap().1;
        drop(console);
        server.kill().unwrap();
        let mut log = String::new();
        server.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        server.wait().unwrap();
        assert!(log.contains("/signup") && !log.contains(secret), "{log}");
    }
    world.sign_up("Ada").await;
    let (console, _) = said(start(&world, port, &[]));
    assert_eq!(console, [format!("AgentFlow is ready: http://localhost:{port}/")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_make_the_first_account_and_touch_no_other() {
    let world = closed().await;
    let port = free_port().await;
    let with = |password: &'static str| {
        [
            ("AGENTFLOW_SIGN_UP", "closed"),
            ("AGENTFLOW_ADMIN_EMAIL", "ada@example.com"),
            ("AGENTFLOW_ADMIN_PASSWORD", password),
            ("AGENTFLOW_ADMIN_ORGANIZATION", "Acme"),
        ]
    };
    // A password that everybody knows is refused, and said so without saying it.
    let refused = start(&world, port, &with("password123")).wait_with_output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(words.contains("AGENTFLOW_ADMIN_PASSWORD: ") && !words.contains("password123"), "{words}");
    assert_eq!(accounts(&world).await, (0, 0));

    let (console, log) = said(start(&world, port, &with(PASSWORD)));
    assert_eq!(console, [format!("AgentFlow is ready: http://localhost:{port}/")], "no link any more");
    assert!(log.contains("the first account is made") && !log.contains(PASSWORD), "{log}");
    let mut ada = world.client();
    let reply = sign_in(&mut ada, "ada@example.com", PASSWORD).await;
    assert_eq!((reply.status.0.as_u16(), reply.header("location")), (200, "/o/acme/"));
    assert_eq!(accounts(&world).await, (1, 1));

    // Another password is not even looked at, and the old one stays.
    let (_, log) = said(start(&world, port, &with("password123")));
    assert!(!log.contains("the first account is made"), "{log}");
    assert_eq!(sign_in(&mut world.client(), "ada@example.com", PASSWORD).await.status, 200);
    assert_eq!(accounts(&world).await, (1, 1));
}
