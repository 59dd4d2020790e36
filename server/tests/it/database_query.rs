//! The tool database_query beneath its credential: what it reads, and what it does not do.

use std::time::{Duration, Instant};

use agentflow::{
    engine::state::{ErrorClass, StepError},
    tools::database_query::{Question, ask},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
};

use crate::{
    vectors::{self, Canaries, Flaw},
    world::{World, base_url},
};

/// A port of this machine that leads to the tests' cluster, which itself may listen on a socket alone.
async fn door() -> String {
    let cluster: PgConnectOptions = base_url().as_str().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let cluster = cluster.clone();
            // Whoever hangs up ends it: what is left unsaid then is nobody's failure.
            tokio::spawn(async move {
                if let Some(folder) = cluster.get_socket() {
                    let socket = folder.join(format!(".s.PGSQL.{}", cluster.get_port()));
                    copy_bidirectional(&mut caller, &mut UnixStream::connect(socket).await?).await
                } else {
                    let server = (cluster.get_host(), cluster.get_port());
                    copy_bidirectional(&mut caller, &mut TcpStream::connect(server).await?).await
                }
            });
        }
    });
    address
}

/// A world whose operator allows the door to its database, and the address of the database through it.
async fn world() -> (World, SecretString) {
    let door = door().await;
    let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &door)]).await;
    let address = through(&door, &world);
    (world, address)
}

fn through(door: &str, world: &World) -> SecretString {
    let database: PgConnectOptions = world.database_url().parse().unwrap();
    format!("postgres://{}@{door}/{}", database.get_username(), database.get_database().unwrap()).into()
}

async fn asks(world: &(World, SecretString), sql: &str, params: &[Value], max_rows: usize) -> Result<Value, StepError> {
    within(Duration::from_secs(30), world, sql, params, max_rows).await
}

async fn within(
    timeout: Duration,
    (world, address): &(World, SecretString),
    sql: &str,
    params: &[Value],
    max_rows: usize,
) -> Result<Value, StepError> {
    ask(address, Question { sql, params, max_rows, timeout }, &world.deps().egress).await
}

#[tokio::test]
async fn rows_come_as_json_and_no_more_of_them_than_asked_for() {
    let world = world().await;
    let sql =
        "select n, n * 1.5 as price, 'x' || n as name, null as nothing, array[n] as list, now() is not null as yes
               from generate_series(1, 5) n where n >= $1 and 'x' || n <> $2 order by n -- to the end";
    let answer = asks(&world, sql, &[json!(2), json!("x3")], 2).await.unwrap();
    assert_eq!(
        answer["rows"],
        json!([
            { "n": 2, "price": 3.0, "name": "x2", "nothing": null, "list": [2], "yes": true },
            { "n": 4, "price": 6.0, "name": "x4", "nothing": null, "list": [4], "yes": true }
        ])
    );
    assert_eq!((&answer["count"], &answer["truncated"]), (&json!(2), &json!(true)));
    let all = asks(&world, "values (1), (2);", &[], 2).await.unwrap();
    assert_eq!((&all["count"], &all["truncated"]), (&json!(2), &json!(false)));
    let typed = [json!("2026-11-26"), json!({ "a": [1] }), json!(1.5), Value::Null, json!(true)];
    let sql = "select $1::date as day, $2::jsonb -> 'a' as list, $3 as half, $4 as nothing, $5 as yes";
    let row = json!({ "day": "2026-11-26", "list": [1], "half": 1.5, "nothing": null, "yes": true });
    assert_eq!(asks(&world, sql, &typed, 1).await.unwrap()["rows"], json!([row]));
    // A great deal of it ends early.
    let started = Instant::now();
    let some =
        asks(&world, "select repeat('x', 10000) as t from generate_series(1, 10000) n", &[], 1_000).await.unwrap();
    assert_eq!(some["truncated"], true);
    assert!(some.to_string().len() < 1_100_000 && started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_writes_or_reaches_beyond_the_database_or_takes_too_long_is_refused_soon() {
    let world = world().await;
    let cases = [
        ("insert into users (id) values (gen_random_uuid()) returning id", "database.query"),
        ("delete from organizations", "database.query"),
        ("with gone as (delete from organizations returning id) select * from gone", "database.query"),
        ("create table x (a int)", "database.query"),
        ("select 1; drop table users", "database.query"),
        ("select 1) as a; delete from organizations; select * from (select 1", "database.query"),
        ("copy users to program 'id'", "database.query"),
        ("copy users to stdout", "database.query"),
        ("set transaction read write", "database.query"),
        ("select nextval('seq')", "database.read_only"),
        ("select set_config('transaction_read_only', 'off', false), nextval('seq')", "database.query"),
        ("select pg_read_file('/etc/passwd')", "database.denied"),
        ("select lo_import('/etc/passwd')", "database.denied"),
        ("select pg_sleep(60)", "database.timeout"),
        ("select set_config('statement_timeout', '0', false), pg_sleep(60)", "database.timeout"),
        ("select count(*) from generate_series(1, 1000000000) a, generate_series(1, 10) b", "database.timeout"),
        ("select * from generate_series(1, 10000000) order by random()", "database.timeout"),
        ("select repeat('x', 100000000)", "database.too_large"),
        ("select nonsense", "database.query"),
        ("select 1 / 0", "database.query"),
        ("select $1::int", "database.params"),
        ("", "database.query"),
        (") as x; --", "database.query"),
    ];
    let mut owner = world.0.owner().await;
    sqlx::raw_sql(
        "create sequence seq; insert into organizations (id, slug, name) values (gen_random_uuid(), 's', 'S')",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    for (sql, code) in cases {
        // A busy machine may be slow, so only what is to run out of time has little of it.
        let timeout = Duration::from_secs(if code == "database.timeout" { 1 } else { 30 });
        let started = Instant::now();
        let answer = within(timeout, &world, sql, &[], 100).await;
        let error = answer.map(|answer| answer.to_string()).unwrap_err();
        assert_eq!(error.code, code, "{sql}: {}", error.message);
        assert_ne!(error.class, ErrorClass::Internal, "{sql}");
        assert!(started.elapsed() < Duration::from_secs(25), "{sql}: {:?}", started.elapsed());
    }
    let (there, next): (i64, i64) = sqlx::query_as("select (select count(*) from organizations), nextval('seq')")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!((there, next), (1, 1), "nothing was written");
    // Nothing of it goes on at the server: who was given up is gone, or ends by its own limit, long before it would by itself.
    let asked_after = Instant::now();
    loop {
        let busy: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'
             and pid <> pg_backend_pid() and query like '%agentflow_row%'",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if busy == 0 {
            break;
        }
        assert!(asked_after.elapsed() < Duration::from_secs(20), "{busy} queries go on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_database_is_an_address_like_any_other() {
    let world = World::new().await;
    let canaries = Canaries::listen().await;
    let asked = async |address: &str| {
        let question = Question { sql: "select 1", params: &[], max_rows: 1, timeout: Duration::from_secs(1) };
        let error = ask(&SecretString::from(address), question, &world.deps().egress).await.unwrap_err();
        (error.class, error.code)
    };
    let ours = asked(through(&door().await, &world).expose_secret()).await;
    assert_eq!((ours.0, ours.1.as_str()), (ErrorClass::BadInput, "egress.refused"));
    // At any port: here the host alone stands between the call and the listener.
    for host in vectors::hosts() {
        let (class, code) = asked(&format!("postgres://a:b@{}:{}/x", host.text, canaries.port())).await;
        let wanted = match code.as_str() {
            // A name that this machine does not know.
            "egress.unreachable" if host.flaw == Flaw::Name => (ErrorClass::Unavailable, "egress.unreachable"),
            // What stands in brackets and is no address.
            _ if host.flaw == Flaw::Unfit && host.text.starts_with('[') => (ErrorClass::Auth, "database.address"),
            _ => (ErrorClass::BadInput, "egress.refused"),
        };
        assert_eq!((class, code.as_str()), wanted, "{host}");
    }
    assert_eq!(canaries.visitors(), 0);
}

#[tokio::test]
async fn a_server_that_answers_without_end_or_not_at_all_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 8];
                socket.read_exact(&mut asked).await.unwrap();
                socket.write_all(b"N").await.unwrap();
                // A notice of a gigabyte.
                let mut notice = b"N".to_vec();
                notice.extend(1_000_000_000_u32.to_be_bytes());
                socket.write_all(&notice).await.unwrap();
                while socket.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
            });
        }
    });
    let world = World::with(&[("AGENTFLOW_ALLOWED_HOSTS", &address.to_string())]).await;
    let question = Question { sql: "select 1", params: &[], max_rows: 1, timeout: Duration::from_secs(1) };
    let url = SecretString::from(format!("postgres://a:b@{address}/x"));
    let error = ask(&url, question, &world.deps().egress).await.unwrap_err();
    assert_eq!(error.code, "database.too_large", "{}", error.message);
    // Who wants a safe connection does not get another one.
    let url = SecretString::from(format!("postgres://a:b@{address}/x?sslmode=verify-full"));
    let error = ask(&url, question, &world.deps().egress).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Auth, "database.tls"));
}
