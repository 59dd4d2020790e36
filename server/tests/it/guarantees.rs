//! What is promised when everything goes at once: all nodes, or the database under runs that are being started.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use agentflow::{
    access::{Actor, Ctx, Role},
    accounts::service::NewAccount,
    db::Db,
    deps::Deps,
    engine::{retry::scramble, state::RunState},
    kernel::UserId,
    keys::service::Wish,
    workflows::{self, NewWorkflow},
};
use serde_json::{Value, json};
use server::{State, config::Config, shutdown::Stop};

use crate::{
    engine::{Node, Place, Script, chain},
    private_postgres::{Server, folder},
    world::World,
};

/// How often the database is stopped.
const STOPS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn when_every_node_is_lost_one_new_node_brings_every_run_to_its_end() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let script = Script::default();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(&world, &script).await);
    }
    let mut runs = Vec::new();
    for _ in 0..30 {
        runs.push(place.start(chain(&["one", "slow1", "slow2", "two"]), None).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for node in &mut nodes {
        node.lose();
    }
    let orphans = async || -> i64 {
        sqlx::query_scalar(
            "select count(*) from runs r left join nodes n on n.id = r.owner
             where r.state = 'running' and (n.id is null or n.lease_until < clock_timestamp())",
        )
        .fetch_one(world.deps().db.engine())
        .await
        .unwrap()
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(orphans().await > 0, "nothing was under way when the nodes were lost");
    let _last = Node::start(&world, &script).await;
    let begun = Instant::now();
    while orphans().await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "runs still belong to nodes that are gone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for run in runs {
        place.until(run, RunState::Succeeded).await;
    }
    assert_eq!(orphans().await, 0);
}

/// What operations work with, on the database of a server that keeps its own.
async fn deps_of(data: &Path) -> Deps {
    let socket = data.join("postgres/socket");
    let mut url = url::Url::parse("postgres://agentflow@localhost/agentflow?sslmode=disable").unwrap();
    url.query_pairs_mut().append_pair("host", &socket.to_string_lossy());
    let config = Config::read(&|name| (name == "DATABASE_URL").then(|| url.to_string())).expect("settings");
    let db = Db::connect(url.as_str(), 2).await.expect("pools");
    State::new(config, db, Stop::default()).await.expect("state").deps
}

/// A workflow that ends at once, and a key to start it.
async fn prepare(deps: &Deps) -> (String, String) {
    let account = NewAccount {
        name: "Ana".to_owned(),
        email: "ana@example.com".to_owned(),
        password: crate::people::PASSWORD.to_owned(),
        organization: "Acme".to_owned(),
    };
    let org = agentflow::accounts::service::create(deps, account).await.unwrap();
    let actor = Actor::User { id: UserId::new(), name: "Ana".to_owned() };
    let ctx = Ctx::new(deps.clone(), actor, org.clone(), Role::Owner, "test".to_owned());
    let graph = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "pause", "kind": "wait", "seconds": 1, "after": ["start"] },
        { "id": "end", "kind": "end", "output": "{{ input.number }}", "after": ["pause"] },
    ]});
    let new = NewWorkflow {
        name: "Kept".to_owned(),
        description: String::new(),
        graph: serde_json::from_value(graph).unwrap(),
        agents: BTreeMap::new(),
        deploy: true,
    };
    let workflow = workflows::service::create(&ctx.grant().unwrap(), new).await.unwrap();
    let wish = Wish { name: "test".to_owned(), role: "member".to_owned(), days: 1 };
    let key = agentflow::keys::service::create_as_operator(deps, org.id, &wish).await.unwrap();
    (workflow.id.to_string(), key.secret)
}

/// Stops the database as `pg_ctl stop -m immediate` does: nobody is waited for, nothing is written down.
fn stop_at_once(data: &Path) {
    let trace = std::fs::read_to_string(data.join("postgres/data/postmaster.pid")).expect("postmaster.pid");
    let postmaster = trace.lines().next().expect("a process");
    assert!(Command::new("kill").args(["-QUIT", postmaster]).status().expect("kill").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_while_the_database_was_stopped_again_and_again_is_there_once() {
    let seed = 20_261_121;
    let data = folder();
    let server = Server::start(data.path());
    let (workflow, key) = prepare(&deps_of(data.path()).await).await;
    #[expect(clippy::disallowed_methods, reason = "a test's own client, to a server of its own")]
    let client = reqwest::Client::new();
    // Until it is accepted, as a program does that was told nothing, or that it cannot be now.
    let mut refusals = 0_u32;
    let mut start = async |number: usize| -> (String, bool) {
        let begun = Instant::now();
        loop {
            let sent = client
                .post(format!("{}/api/v1/workflows/{workflow}/run", server.url))
                .bearer_auth(&key)
                .header("idempotency-key", format!("number-{number}"))
                .json(&json!({ "input": { "number": number } }))
                .send()
                .await;
            if let Ok(reply) = sent {
                let (status, repeated) = (reply.status(), reply.headers().contains_key("idempotent-replayed"));
                let text = reply.text().await.unwrap_or_default();
                if status == 202 {
                    let run: Value = serde_json::from_str(&text).unwrap();
                    return (run["id"].as_str().unwrap().to_owned(), repeated);
                }
                assert_eq!(status, 503, "seed {seed}: {text}");
            }
            refusals += 1;
            assert!(begun.elapsed() < Duration::from_secs(60), "seed {seed}: {number} is not accepted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut accepted: Vec<String> = Vec::new();
    for stop in 0..STOPS {
        let folder = data.path().to_owned();
        let moment = Duration::from_millis(30 + scramble(seed + stop as u64) % 400);
        let stopped = tokio::spawn(async move {
            tokio::time::sleep(moment).await;
            stop_at_once(&folder);
        });
        let begun = Instant::now();
        while !stopped.is_finished() || begun.elapsed() < moment + Duration::from_millis(1_500) {
            let number = accepted.len();
            let (run, _) = start(number).await;
            assert!(!accepted.contains(&run), "seed {seed}: two keys, one run");
            accepted.push(run);
        }
        stopped.await.unwrap();
        while !server.ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    for (number, run) in accepted.iter().enumerate() {
        assert_eq!(start(number).await, (run.clone(), true), "seed {seed}: another run for the same key");
    }
    let deps = deps_of(data.path()).await;
    let kept: i64 = sqlx::query_scalar("select count(*) from runs").fetch_one(deps.db.engine()).await.unwrap();
    assert_eq!(kept, accepted.len() as i64, "seed {seed}: runs that nobody was told of, or that are gone");
    let begun = Instant::now();
    loop {
        let ended: i64 = sqlx::query_scalar("select count(*) from runs where state = 'succeeded'")
            .fetch_one(deps.db.engine())
            .await
            .unwrap();
        if ended == kept {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "seed {seed}: {ended} of {kept} runs have ended");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(refusals > 0, "seed {seed}: the database was never missed");
    println!("runs {kept} · stops {STOPS} · lost 0 · twice 0 · tries without an answer {refusals} · seed {seed}");
}
