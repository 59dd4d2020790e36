//! Event streams over real connections: nothing lost, nothing twice, in order, on whichever process one reads.

use std::{sync::Arc, time::Duration};

use agentflow::{access::Role, db::Db, engine::state::RunState, kernel::RunId};
use futures::StreamExt;
use serde_json::json;
use server::{State, config::Config, shutdown::Stop, workers};

use crate::{
    office::{Office, any, start},
    world::World,
};

/// One event as it came over the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Came {
    id: Option<i64>,
    pub name: String,
    pub data: String,
}

/// A connection that reads events one by one.
struct Reader {
    response: reqwest::Response,
    buffer: String,
}

impl Reader {
    async fn open(http: &reqwest::Client, url: &str, key: &str, last: Option<&str>) -> Self {
        let mut request = http.get(url).bearer_auth(key);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("connection");
        Self { response, buffer: String::new() }
    }

    /// The next event; nothing when the stream has ended.
    async fn next(&mut self) -> Option<Came> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    let prefix = format!("{name}:");
                    block.lines().find_map(|line| line.strip_prefix(&prefix)).map(|value| value.trim().to_owned())
                };
                let Some(name) = field("event") else { continue };
                let id = field("id").and_then(|id| id.parse().ok());
                return Some(Came { id, name, data: field("data").unwrap_or_default() });
            }
            let chunk = self.response.chunk().await.ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }
}

/// Small numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Reads a run to its end over connections that are cut again and again.
pub async fn read_with_cuts(http: reqwest::Client, base: String, run: RunId, key: String, seed: u64) -> Vec<Came> {
    let mut dice = Dice(seed);
    let (mut all, mut last): (Vec<Came>, Option<i64>) = (Vec::new(), None);
    loop {
        let url = format!("{base}/api/v1/runs/{run}/events");
        let mut reader = Reader::open(&http, &url, &key, last.map(|last| last.to_string()).as_deref()).await;
        if reader.response.status() == 204 {
            return all;
        }
        // All connections of the pools are in use for too long: told so, one comes again.
        if reader.response.status() == 503 {
            assert!(reader.response.headers().contains_key("retry-after"));
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        assert_eq!(reader.response.status(), 200);
        let mut patience = 1 + dice.roll(40);
        while patience > 0 {
            let Some(came) = reader.next().await else { break };
            if let Some(id) = came.id {
                last = Some(id);
                all.push(came);
            }
            patience -= 1;
        }
    }
}

/// Another process in all but name: its own pools and its own hub over the same database. It hears nothing yet.
async fn another_process(world: &World) -> (State, String, Stop) {
    let config = Config::read(&|name| (name == "DATABASE_URL").then(|| world.database_url().to_owned())).unwrap();
    let db = Db::connect(world.database_url(), 4).await.unwrap();
    let stop = Stop::default();
    let state = State::new(config, db, stop.clone()).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (router, ends) = (server::router(state.clone()), stop.clone());
    tokio::spawn(async move { server::http::serve::serve(listener, router, &ends).await });
    (state, base, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_readers_that_are_cut_at_random_miss_nothing_and_see_nothing_twice() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "items": "{{ input.items }}", "concurrency": 4, "after": ["start"],
          "nodes": [{ "id": "double", "kind": "transform", "value": "{{ item * 2 }}" }] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let workflow = acme.workflow("Many", any(), nodes).await;
    let key = acme.key(Role::Viewer).await;
    let here = world.serve().await;
    let (other, there, stop) = another_process(&world).await;
    workers::spawn(&other, workers::Role::Web, &stop);
    let items: Vec<u32> = (0..60).collect();
    let run = acme.start(workflow, json!({ "title": "Many", "items": items })).await;

    let http = reqwest::Client::builder().build().unwrap();
    let readers = (0..200_u64).map(|number| {
        let base = if number % 2 == 0 { here.clone() } else { there.clone() };
        tokio::spawn(read_with_cuts(http.clone(), base, run, key.clone(), number + 1))
    });
    let readers: Vec<_> = readers.collect();
    // They are there before the first step is.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.work();
    let seen = tokio::time::timeout(Duration::from_secs(120), futures::future::join_all(readers)).await;
    let seen: Vec<Vec<Came>> = seen.expect("every reader sees the end").into_iter().map(Result::unwrap).collect();
    let ended = acme.until(run, RunState::Succeeded).await;
    assert!(ended.view.last_seq > 120, "{} events are too few for this test", ended.view.last_seq);
    for (number, events) in seen.iter().enumerate() {
        let ids: Vec<i64> = events.iter().filter_map(|event| event.id).collect();
        let wanted: Vec<i64> = (1..=ended.view.last_seq).collect();
        assert_eq!(ids, wanted, "reader {number}");
        assert_eq!(events.last().map(|event| event.name.as_str()), Some("run.succeeded"));
        assert_eq!(events[..], seen[0][..], "reader {number} was told something else");
    }
    stop.request();
    drop(other);
}

#[tokio::test]
async fn a_reader_that_finds_news_in_the_table_keeps_them_from_nobody() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let run = acme.start(acme.simple().await, json!({ "title": "Short" })).await;
    let key = acme.key(Role::Viewer).await;
    let (other, there, stop) = another_process(&world).await;
    let http = reqwest::Client::builder().build().unwrap();
    let url = format!("{there}/api/v1/runs/{run}/events");
    let mut waiting = Reader::open(&http, &url, &key, None).await;
    assert_eq!(waiting.next().await.unwrap().name, "run.queued");
    world.work();
    acme.until(run, RunState::Succeeded).await;
    // Somebody else comes and reads it all before the process hears of it.
    let mut late = Reader::open(&http, &url, &key, None).await;
    while late.next().await.is_some() {}
    workers::spawn(&other, workers::Role::Web, &stop);
    let rest = tokio::time::timeout(Duration::from_secs(20), async {
        let mut last = None;
        while let Some(came) = waiting.next().await {
            last = Some(came.name);
        }
        last
    });
    assert_eq!(rest.await.expect("who waited is told").as_deref(), Some("run.succeeded"));
    stop.request();
}

#[tokio::test]
async fn a_number_that_never_was_begins_with_a_reset() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    let run = acme.start(workflow, json!({ "title": "Short" })).await;
    let (base, key) = (world.serve().await, acme.key(Role::Viewer).await);
    let http = reqwest::Client::builder().build().unwrap();
    let url = format!("{base}/api/v1/runs/{run}/events");
    for last in ["999999", "-4", "nonsense"] {
        let mut reader = Reader::open(&http, &url, &key, Some(last)).await;
        assert_eq!(reader.next().await.unwrap().name, "reset", "{last}");
        let first = reader.next().await.unwrap();
        assert_eq!((first.id, first.name.as_str()), (Some(1), "run.queued"), "{last}");
    }
    // By the address it is the same.
    let mut reader = Reader::open(&http, &format!("{url}?after=77"), &key, None).await;
    assert_eq!(reader.next().await.unwrap().name, "reset");
}

#[tokio::test]
async fn a_run_that_has_ended_is_read_to_its_end_and_then_left_alone() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Short" })).await;
    let ended = acme.until(run, RunState::Succeeded).await;
    let (base, key) = (world.serve().await, acme.key(Role::Viewer).await);
    let http = reqwest::Client::builder().build().unwrap();
    let url = format!("{base}/api/v1/runs/{run}/events");
    let mut reader = Reader::open(&http, &url, &key, None).await;
    assert_eq!(reader.response.headers()["content-type"], "text/event-stream");
    let mut last = 0;
    while let Some(came) = reader.next().await {
        last = came.id.unwrap_or(last);
    }
    assert_eq!(last, ended.view.last_seq);
    let again = Reader::open(&http, &url, &key, Some(&last.to_string())).await;
    assert_eq!(again.response.status(), 204, "an EventSource stays away then");
}

#[tokio::test]
async fn a_stream_ends_with_a_word_when_the_server_stops() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let run = acme.start(acme.simple().await, json!({ "title": "Waits" })).await;
    let (base, key) = (world.serve().await, acme.key(Role::Viewer).await);
    let http = reqwest::Client::builder().build().unwrap();
    let mut reader = Reader::open(&http, &format!("{base}/api/v1/runs/{run}/events"), &key, None).await;
    assert_eq!(reader.next().await.unwrap().name, "run.queued");
    world.state.stop.request();
    let word = reader.next().await.unwrap();
    assert_eq!((word.name.as_str(), word.data.as_str()), ("reconnect", r#"{"reason":"stopping"}"#));
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn a_tab_hears_its_run_and_its_organization_and_nobody_elses() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::new(&world, "Acme").await;
    let approval = json!({ "title": "Go on", "payload": { "a": 1 } });
    let workflow = acme.asking("Asks", approval).await;
    let run = acme.start(workflow, json!({ "title": "Ours" })).await;
    // Not signed in, and not a member, is no stream.
    let mut stranger = world.client();
    let address = "/o/acme/stream?topics=runs,approvals";
    assert!(matches!(stranger.get(address).await.status.0.as_u16(), 401 | 303));
    assert_eq!(ada.client.get(address).await.status, 404);
    let own = format!("/o/{}/stream?topics=run:{run}", ada.org);
    assert_eq!(ada.client.get(&own).await.status, 404, "a run of another organization");
    let unknown = format!("/o/{}/stream?topics=secrets", ada.org);
    assert_eq!(ada.client.get(&unknown).await.status, 404);

    // Ada joins, and hears it all.
    sqlx::query(
        "insert into memberships (organization_id, user_id, role)
         select $1, id, 'member' from users where email = 'ada@example.com'",
    )
    .bind(acme.owner.org_id())
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    let base = world.serve().await;
    let cookies: Vec<String> = ada.client.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let response = reqwest::Client::builder()
        .build()
        .unwrap()
        .get(format!("{base}/o/acme/stream?topics=run:{run},runs,approvals&after=1"))
        .header("cookie", cookies.join("; "))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut reader = Reader { response, buffer: String::new() };
    world.work();
    let (mut ids, mut runs, mut pending) = (Vec::new(), 0, String::new());
    let listened = tokio::time::timeout(Duration::from_secs(20), async {
        while pending.is_empty() || runs == 0 || !ids.contains(&2) {
            let came = reader.next().await.expect("the stream stays open");
            match came.name.as_str() {
                "runs" => runs += 1,
                "approvals" => pending = came.data,
                _ => ids.extend(came.id),
            }
        }
    });
    listened.await.expect("run, runs and approvals were heard");
    assert_eq!(pending, r#"{"pending":1}"#);
    assert_eq!(ids.first(), Some(&2), "what was known already is not repeated");
}

#[tokio::test]
async fn a_reader_that_never_reads_slows_no_run() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "items": "{{ input.items }}", "concurrency": 8, "after": ["start"],
          "nodes": [{ "id": "same", "kind": "transform", "value": "{{ item }}" }] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let workflow = acme.workflow("Many", any(), nodes).await;
    let items: Vec<u32> = (0..40).collect();
    let run = acme.start(workflow, json!({ "title": "Many", "items": items })).await;
    let grant = Arc::new(acme.owner.grant().unwrap());
    // A follower that is never asked for anything.
    let idle = agentflow::runs::follow::follow(&grant, run, 0).await.unwrap();
    world.work();
    acme.until(run, RunState::Succeeded).await;
    // When it reads at last it gets everything, or is told to come again.
    let mut idle = idle;
    let mut news = std::pin::pin!(futures::stream::unfold(&mut idle, |idle| async move {
        let news = idle.next().await;
        Some((news, idle))
    }));
    let mut last = 0;
    loop {
        match news.next().await.unwrap() {
            agentflow::runs::follow::News::Event(stored) => {
                assert_eq!(stored.seq, last + 1);
                last = stored.seq;
                if stored.event.name() == "run.succeeded" {
                    break;
                }
            }
            agentflow::runs::follow::News::Partial(_) => {}
            agentflow::runs::follow::News::Reconnect => break,
            agentflow::runs::follow::News::Reset => panic!("nothing was unknown"),
        }
    }
}
