//! Finding runs: each filter and each order of the list, labels, texts in inputs, outputs and logs, saved views, and what
//! is done to runs that were chosen.

use agentflow::{
    access::Role,
    engine::state::RunState,
    jobs::Chore,
    kernel::{Cursor, Kind, Money, RunId},
    runs::{Bulk, Part, RunFilter, RunOrder, bulk, control, service, service::Start, texts::TakeIn},
};
use app::views::api::{RemoveView, RenameView, SaveView};
use axum::{
    body::Body,
    http::{Method, header},
};
use serde_json::{Value, json};

use crate::{
    office::{Office, any, start},
    world::World,
};

/// The runs of a filter in their order, read in pages of two; and their number.
async fn all(office: &Office, filter: &RunFilter) -> Vec<RunId> {
    let grant = office.owner.grant().unwrap();
    let (mut seen, mut cursor): (Vec<RunId>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = service::list(&grant, filter, cursor.as_ref(), 2).await.unwrap();
        seen.extend(page.items.iter().map(|run| run.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(service::count(&grant, filter).await.unwrap(), Some(seen.len() as u64), "{filter:?}");
    seen
}

/// Runs that nobody works on, with what a run comes to: seconds that it took, and its cost.
async fn made(world: &World, office: &Office) -> Vec<RunId> {
    let workflow = office.simple().await;
    let mut owner = world.owner().await;
    let mut runs = Vec::new();
    for (number, (seconds, cost, state)) in [
        (5, 300, "succeeded"),
        (90, 0, "failed"),
        (5, 2_000_000, "succeeded"),
        (600, 40, "cancelled"),
        (0, 0, "queued"),
    ]
    .into_iter()
    .enumerate()
    {
        let start = Start {
            workflow,
            version: None,
            input: json!({ "title": format!("Number {number}") }),
            priority: None,
            labels: if number % 2 == 0 { vec!["even".to_owned(), format!("n{number}")] } else { Vec::new() },
            idempotency_key: None,
        };
        let run = service::start(&office.owner.grant().unwrap(), start).await.unwrap().run;
        sqlx::query(
            "update runs set state = $2, cost_micros = $3, wake_at = null, owner = null,
                    created_at = now() - make_interval(hours => 10 - $4),
                    started_at = case when $2 <> 'queued' then now() - make_interval(hours => 10 - $4) end,
                    finished_at = case when $2 <> 'queued' then now() - make_interval(hours => 10 - $4, secs => -$5) end
             where id = $1",
        )
        .bind(run)
        .bind(state)
        .bind(i64::from(cost))
        .bind(i32::try_from(number).unwrap())
        .bind(f64::from(seconds))
        .execute(&mut owner)
        .await
        .unwrap();
        runs.push(run);
    }
    runs
}

#[tokio::test]
async fn each_filter_and_each_order_gives_what_it_says_and_counts_the_same() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let runs = made(&world, &acme).await;
    made(&world, &Office::new(&world, "Other").await).await;
    let at = |places: &[usize]| places.iter().map(|place| runs[*place]).collect::<Vec<_>>();
    let filter = RunFilter::default;

    for (order, places) in [
        (RunOrder::Newest, [4, 3, 2, 1, 0]),
        (RunOrder::Oldest, [0, 1, 2, 3, 4]),
        (RunOrder::Longest, [3, 1, 2, 0, 4]),
        (RunOrder::Shortest, [4, 0, 2, 1, 3]),
        (RunOrder::Dearest, [2, 0, 3, 4, 1]),
        (RunOrder::Cheapest, [1, 4, 3, 0, 2]),
    ] {
        assert_eq!(all(&acme, &RunFilter { order, ..filter() }).await, at(&places), "{order:?}");
    }
    let grant = acme.owner.grant().unwrap();
    let page = service::list(&grant, &RunFilter { order: RunOrder::Longest, ..filter() }, None, 2).await.unwrap();
    let refused = service::list(&grant, &filter(), page.next.as_ref(), 2).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Malformed, "a place in one order is none in another");

    let label = |label: &str| RunFilter { label: Some(label.to_owned()), ..filter() };
    assert_eq!(all(&acme, &label("even")).await, at(&[4, 2, 0]));
    assert_eq!(all(&acme, &label("n2")).await, at(&[2]));
    assert_eq!(all(&acme, &label("a\0b")).await, at(&[]));
    let cost = |min: Option<i64>, max: Option<i64>| RunFilter {
        cost_min: min.map(Money),
        cost_max: max.map(Money),
        ..filter()
    };
    assert_eq!(all(&acme, &cost(Some(40), Some(300))).await, at(&[3, 0]));
    assert_eq!(all(&acme, &cost(Some(301), None)).await, at(&[2]));
    let lasts = |min: Option<i64>, max: Option<i64>| RunFilter { lasts_min: min, lasts_max: max, ..filter() };
    assert_eq!(all(&acme, &lasts(Some(60), None)).await, at(&[3, 1]));
    assert_eq!(all(&acme, &lasts(None, Some(5))).await, at(&[2, 0]), "what has not begun has lasted no time at all");
    let chosen = RunFilter { runs: at(&[1, 3]), ..filter() };
    assert_eq!(all(&acme, &chosen).await, at(&[3, 1]));
    let trigger = |word: &str| RunFilter { trigger: Some(word.to_owned()), ..filter() };
    assert_eq!(all(&acme, &trigger("live")).await.len(), 5);
    assert_eq!(all(&acme, &trigger("test")).await, at(&[]));

    // One that goes on has lasted until now.
    let mut owner = world.owner().await;
    sqlx::query("update runs set state = 'running', started_at = now() - interval '2 hours' where id = $1")
        .bind(runs[4])
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(all(&acme, &lasts(Some(3_600), None)).await, at(&[4]));
    assert_eq!(all(&acme, &RunFilter { order: RunOrder::Longest, ..filter() }).await[0], runs[4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_found_by_the_agent_that_had_a_task() {
    let world = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "0")]).await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "say", "kind": "agent", "agent": "writer", "prompt": "Say hello.", "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["say"] },
    ]);
    let agents = json!({ "writer": { "name": "Writer", "role": "Writer", "model": "sandbox/sandbox", "instructions": "Write." } });
    let written = acme.start(acme.with_agents("Letters", nodes, agents).await, json!({})).await;
    acme.until(written, RunState::Succeeded).await;
    acme.until(acme.start(acme.simple().await, json!({})).await, RunState::Succeeded).await;
    let of = |agent: &str| RunFilter { agent: Some(agent.to_owned()), ..RunFilter::default() };
    assert_eq!(all(&acme, &of("writer")).await, [written]);
    assert_eq!(all(&acme, &of("nobody")).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_found_in_inputs_outputs_and_logs_before_and_after_it_is_taken_in() {
    let world = World::new().await;
    world.work();
    let (acme, other) = (Office::new(&world, "Acme").await, Office::new(&world, "Other").await);
    let nodes = |value: &str| {
        json!([
            start(),
            { "id": "end", "kind": "end", "output": { "said": value }, "after": ["start"] },
        ])
    };
    let quoting = acme.workflow("Quoting", any(), nodes("He said \"50% off\" to Zoë")).await;
    let plain = acme.workflow("Plain", any(), nodes("nothing")).await;
    let given = acme.start(plain, json!({ "title": "One", "order": "BX-4812 \\ rush" })).await;
    let gave = acme.start(quoting, json!({ "title": "Two" })).await;
    let large =
        acme.start(plain, json!({ "title": "Three", "text": "lorem ".repeat(60_000) + "needle at the end" })).await;
    let foreign = other.workflow("Quoting", any(), nodes("He said \"50% off\" to Zoë")).await;
    let foreign = other.start(foreign, json!({ "order": "BX-4812 \\ rush" })).await;
    for run in [given, gave, large] {
        acme.until(run, RunState::Succeeded).await;
    }
    other.until(foreign, RunState::Succeeded).await;
    let mut owner = world.owner().await;
    let line = json!({ "type": "log", "level": "warn", "message": "Timeout while asking the warehouse" });
    sqlx::query("insert into run_events (organization_id, run_id, seq, kind, data) values ($1, $2, 1000, 'log', $3)")
        .bind(acme.owner.org_id())
        .bind(gave)
        .bind(line)
        .execute(&mut owner)
        .await
        .unwrap();

    let searches: [(&str, &[RunId], &[Part]); 9] = [
        ("bx-4812", &[given], &[Part::Input]),
        ("4812 \\ rush", &[given], &[Part::Input]),
        ("\"50% OFF\"", &[gave], &[Part::Output]),
        ("Zoë", &[gave], &[Part::Output]),
        ("50_ off", &[], &[]),
        ("timeout while", &[gave], &[Part::Log]),
        ("needle at the end", &[large], &[Part::Input]),
        ("BX", &[given], &[Part::Input]),
        ("$artifact", &[], &[]),
    ];
    let search = async |moment: &str| {
        for (q, found, parts) in searches {
            let filter = RunFilter { q: Some(q.to_owned()), inside: true, ..RunFilter::default() };
            assert_eq!(all(&acme, &filter).await, found, "{moment}: {q}");
            let page = service::list(&acme.owner.grant().unwrap(), &filter, None, 50).await.unwrap();
            for run in page.items {
                assert_eq!(run.found_in, parts, "{moment}: {q}");
            }
            let outside = RunFilter { inside: false, ..filter };
            assert_eq!(all(&acme, &outside).await, [], "{moment}: {q} stands in no title");
        }
    };
    let kept = async || {
        let count = "select count(distinct run_id) from run_texts";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&mut world.owner().await).await.unwrap()
    };
    search("fresh").await;
    TakeIn.run(world.deps()).await.unwrap();
    assert_eq!(kept().await, 0, "what ended just now waits");
    let age = "update runs set finished_at = finished_at - interval '10 minutes' where id = any($1)";
    let two: Vec<_> = [given, gave].iter().map(|run| run.uuid()).collect();
    sqlx::query(age).bind(&two).execute(&mut owner).await.unwrap();
    TakeIn.run(world.deps()).await.unwrap();
    assert_eq!(kept().await, 2);
    search("in part").await;
    sqlx::query(age).bind(vec![large.uuid(), foreign.uuid()]).execute(&mut owner).await.unwrap();
    TakeIn.run(world.deps()).await.unwrap();
    TakeIn.run(world.deps()).await.unwrap();
    assert_eq!(kept().await, 4);
    search("taken in").await;

    // What goes, goes from here too.
    sqlx::query("delete from runs where id = $1").bind(gave).execute(&mut owner).await.unwrap();
    assert_eq!(kept().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_in_holds_up_no_other_run_and_no_other_organization() {
    let world = World::new().await;
    world.work();
    let (acme, stuck) = (Office::new(&world, "Acme").await, Office::new(&world, "Stuck").await);
    let nodes = json!([start(), { "id": "end", "kind": "end", "after": ["start"] }]);
    let plain = acme.workflow("Plain", any(), nodes.clone()).await;
    let foreign = stuck.workflow("Plain", any(), nodes).await;
    let mut runs = Vec::new();
    let large = "needle first ".to_owned() + &"lorem ".repeat(60_000) + "needle last";
    for text in ["one", large.as_str(), "three"] {
        let run = acme.start(plain, json!({ "text": text })).await;
        acme.until(run, RunState::Succeeded).await;
        runs.push(run.uuid());
    }
    let run = stuck.start(foreign, json!({})).await;
    stuck.until(run, RunState::Succeeded).await;
    runs.push(run.uuid());
    let mut owner = world.owner().await;
    sqlx::query("update runs set finished_at = finished_at - interval '10 minutes' where id = any($1)")
        .bind(&runs)
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "create function refuse() returns trigger language plpgsql as $$
         begin
             if length(new.text) > 100000 or new.organization_id = '{}' then raise exception 'no room'; end if;
             return new;
         end $$;
         create trigger refuse before insert on run_texts for each row execute function refuse()",
        stuck.owner.org_id().uuid(),
    )))
    .execute(&mut owner)
    .await
    .unwrap();
    let kept = async |office: &Office| {
        let count = "select count(distinct run_id), max(length(text)) from run_texts where organization_id = $1";
        let count = sqlx::query_as::<_, (i64, Option<i32>)>(count).bind(office.owner.org_id());
        count.fetch_one(&mut world.owner().await).await.unwrap()
    };
    TakeIn.run(world.deps()).await.unwrap();
    assert_eq!(kept(&acme).await, (3, Some(65_536)), "the large one by its beginning");
    assert_eq!(kept(&stuck).await.0, 0);
    for (q, found) in [("needle first", 1), ("needle last", 0), ("three", 1)] {
        let filter = RunFilter { q: Some(q.to_owned()), inside: true, ..RunFilter::default() };
        assert_eq!(all(&acme, &filter).await.len(), found, "{q}");
    }
    sqlx::raw_sql("drop trigger refuse on run_texts").execute(&mut owner).await.unwrap();
    TakeIn.run(world.deps()).await.unwrap();
    assert_eq!(kept(&stuck).await.0, 1);
}

#[tokio::test]
async fn an_index_whose_building_was_broken_off_is_built_anew() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    made(&world, &acme).await;
    let mut owner = world.owner().await;
    let forget = "drop index runs_labelled; delete from _sqlx_migrations where version = 28";
    sqlx::raw_sql(forget).execute(&mut owner).await.unwrap();
    // It fails as there are several runs, and leaves something behind.
    let broken = "create unique index concurrently runs_labelled on runs (organization_id)";
    sqlx::raw_sql(broken).execute(&mut owner).await.unwrap_err();
    agentflow::db::prepare(world.database_url()).await.unwrap();
    let whole = "select indisvalid and not indisunique from pg_index where indexrelid = 'runs_labelled'::regclass";
    assert!(sqlx::query_scalar::<_, bool>(whole).fetch_one(&mut owner).await.unwrap());
}

async fn send(program: &crate::world::Client, method: Method, path: &str, body: &Value) -> crate::world::Reply {
    let request = program.request(method, path).header(header::CONTENT_TYPE, "application/json");
    program.clone().send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_given_at_the_start_filtered_by_and_kept_by_a_retry() {
    let world = World::new().await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "sum", "kind": "tool", "tool": "calculator", "arguments": { "expression": "1 +" }, "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["sum"] },
    ]);
    let workflow = acme.workflow("Sums", any(), nodes).await;
    let program = world.program(&acme.key(Role::Member).await);
    let path = format!("/api/v1/workflows/{workflow}/run");
    let started = send(&program, Method::POST, &path, &json!({ "labels": [" night ", "night", "eu west"] })).await;
    assert_eq!(started.status, 202, "{}", started.text());
    assert_eq!(started.json()["labels"], json!(["night", "eu west"]));
    let run: RunId = started.json()["id"].as_str().unwrap().parse().unwrap();
    acme.until(run, RunState::Failed).await;
    for wrong in
        [json!(["a,b"]), json!(["x".repeat(41)]), json!(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"])]
    {
        let refused = send(&program, Method::POST, &path, &json!({ "labels": wrong })).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert_eq!(refused.json()["errors"][0]["field"], "labels");
    }
    let again = control::retry(&acme.owner.grant().unwrap(), run, None).await.unwrap().run;
    acme.start(workflow, json!({})).await;
    let mut listed = program.clone();
    let found = listed.get("/api/v1/runs?label=eu%20west&order=oldest&seconds_min=0").await.json();
    let ids: Vec<_> = found["items"].as_array().unwrap().iter().map(|run| run["id"].clone()).collect();
    assert_eq!(ids, [json!(run), json!(again)]);
    let found = listed.get("/api/v1/runs?q=1%20%2B&inside=true").await;
    assert_eq!(found.status, 200, "{}", found.text());
    assert_eq!(listed.get("/api/v1/runs?order=odd").await.status, 422);
}

#[tokio::test]
async fn the_page_shows_what_is_set_and_leads_to_the_chosen_runs_alone() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let runs = made(&world, &acme).await;
    let list = format!("/o/{}/runs", ada.org);
    let page = ada.client.get(&format!("{list}?label=even&cost_min=0.0001&order=dearest&state=outcome")).await;
    for part in [
        "Status: Succeeded or failed",
        "Label: even",
        "Cost: $0.0001 or more",
        "2 runs",
        "aria-sort=\"descending\"",
        "Number 2",
        "name=\"run\"",
    ] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert!(!page.text().contains("Number 1"));
    let page = ada.client.get(&format!("{list}/bulk?chosen=1&action=retry&run={}&run={}", runs[1], runs[2])).await;
    assert!(page.text().contains("Retry 1 run"), "of the chosen ones, those that it reaches: {}", page.text());
    assert!(page.text().contains("Number 1") && !page.text().contains("Number 3"));
    let page = ada.client.get(&format!("{list}/bulk?chosen=1&action=cancel")).await;
    assert!(page.text().contains("No run is chosen"), "nothing chosen is not everything: {}", page.text());
    let page = ada.client.get(&format!("{list}?q=nothing&label=even")).await;
    assert!(page.text().contains("No runs match 2 filters"), "{}", page.text());
    let page = ada.client.get(&format!("{list}?q=Number&in=all")).await;
    assert!(page.text().contains("Found in its input"), "{}", page.text());
}

#[tokio::test]
async fn views_are_kept_renamed_and_removed_each_persons_own() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut vic = world.joins("Vic", &ada.org, Role::Viewer).await;
    let list = format!("/o/{}/runs", ada.org);
    let org = ada.org.clone();
    let fields = |rest: &[(&'static str, &'static str)]| {
        let mut fields = vec![("org", org.clone()), ("page", "runs".to_owned())];
        fields.extend(rest.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields
    };
    async fn post(client: &mut crate::world::Client, path: &str, fields: Vec<(&str, String)>) -> u16 {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.post_form(path, &fields).await.status.0.as_u16()
    }
    use leptos::server_fn::ServerFn;
    let (save, rename, remove) = (SaveView::PATH, RenameView::PATH, RemoveView::PATH);
    assert_eq!(post(&mut ada.client, save, fields(&[("name", "Failed nights"), ("kept", "state=failed")])).await, 200);
    assert_eq!(post(&mut ada.client, save, fields(&[("name", " "), ("kept", "state=failed")])).await, 422);
    assert_eq!(post(&mut ada.client, save, fields(&[("name", "All"), ("kept", "")])).await, 422);
    let page = ada.client.get(&list).await;
    assert!(page.text().contains("Failed nights") && page.text().contains("runs?state=failed"), "{}", page.text());
    assert!(!vic.client.get(&list).await.text().contains("Failed nights"), "views are each person's own");
    let renamed = fields(&[("view", "Failed nights"), ("name", "Nights")]);
    assert_eq!(post(&mut vic.client, rename, renamed.clone()).await, 404);
    assert_eq!(post(&mut ada.client, rename, renamed).await, 200);
    assert!(ada.client.get(&format!("{list}?state=failed")).await.text().contains("aria-current=\"page\""));
    assert_eq!(post(&mut ada.client, remove, fields(&[("view", "Failed nights")])).await, 404);
    assert_eq!(post(&mut ada.client, remove, fields(&[("view", "Nights")])).await, 200);
    assert!(!ada.client.get(&list).await.text().contains("Nights"));
}

#[tokio::test]
async fn more_runs_than_are_reached_at_once_are_worked_through_one_part_after_the_other() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    for _ in 0..205 {
        acme.start(workflow, json!({})).await;
    }
    let owner = &acme.owner;
    let preview = async |cursor: Option<&Cursor>| {
        let (look, grant) = (owner.grant().unwrap(), owner.grant().unwrap());
        bulk::preview(&look, &grant, &RunFilter::default(), cursor, Bulk::Cancel).await.unwrap()
    };
    let first = preview(None).await;
    assert_eq!(first.runs.len(), 200);
    let ids: Vec<_> = first.runs.iter().map(|run| run.summary.id).collect();
    let done = bulk::of_runs(&owner.grant().unwrap(), &ids, Bulk::Cancel, None).await.unwrap();
    assert!(done.iter().all(|outcome| outcome.result.is_ok()));
    let rest = preview(first.next.as_ref()).await;
    assert_eq!((rest.runs.len(), rest.next), (5, None));
    assert!(rest.runs.iter().all(|run| !ids.contains(&run.summary.id)));
}
