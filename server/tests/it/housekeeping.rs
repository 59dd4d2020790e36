//! Housekeeping removes what is past its time, and nothing else.

use std::collections::BTreeSet;

use agentflow::{
    access::Role,
    accounts::sessions::{Limits, Sessions},
    housekeeping::{Artifacts, Retention, Sweep},
    jobs::Chore,
    kernel::{RunId, WorkflowId},
};
use leptos::server_fn::ServerFn;
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    office::{Office, any, start},
    world::World,
};

/// A run that has come to this state so many days ago, with a step, an event, and an entry of shared context.
async fn aged(world: &World, office: &Office, workflow: WorkflowId, state: &str, days: i32) -> RunId {
    let run = office.start(workflow, json!({ "title": state })).await;
    let mut owner = world.owner().await;
    sqlx::query(
        "update runs
         set state = $2, created_at = now() - make_interval(days => $3), wake_at = null,
             finished_at = case when $2 in ('succeeded', 'failed', 'cancelled') then now() - make_interval(days => $3) end
         where id = $1",
    )
    .bind(run)
    .bind(state)
    .bind(days)
    .execute(&mut owner)
    .await
    .unwrap();
    for (step, parent) in [("start", None), ("start.a", Some("start"))] {
        sqlx::query(
            "insert into steps (organization_id, run_id, id, parent_id, node_id, kind, name, ordinal, state)
             values ($1, $2, $3, $4, 'start', 'start', 'Start', 1, 'succeeded')",
        )
        .bind(office.owner.org_id())
        .bind(run)
        .bind(step)
        .bind(parent)
        .execute(&mut owner)
        .await
        .unwrap();
    }
    sqlx::query(
        "insert into context_entries (organization_id, scope, key, value, updated_at) values ($1, $2, 'k', '1', now())",
    )
    .bind(office.owner.org_id())
    .bind(run)
    .execute(&mut owner)
    .await
    .unwrap();
    run
}

async fn refers(owner: &mut PgConnection, child: RunId, parent: RunId) {
    sqlx::query("update runs set retry_of = $2 where id = $1").bind(child).bind(parent).execute(owner).await.unwrap();
}

/// Whatever is left in a table that names runs.
async fn left(owner: &mut PgConnection, what: &str) -> BTreeSet<RunId> {
    let ids: Vec<RunId> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select distinct {what}"))).fetch_all(owner).await.unwrap();
    ids.into_iter().collect()
}

#[tokio::test]
async fn ended_runs_go_when_their_days_are_over_and_no_others() {
    let world = World::new().await;
    let (acme, keeps) = (Office::new(&world, "Acme").await, Office::new(&world, "Keeps").await);
    let mut owner = world.owner().await;
    sqlx::query("update organizations set retention_days = 0 where slug = 'keeps'").execute(&mut owner).await.unwrap();
    let plain = acme.simple().await;
    let graph = |days: i32| json!({ "retention_days": days });
    let own = async |name: &str, days: i32| {
        let nodes = json!([start(), { "id": "end", "kind": "end", "after": ["start"] }]);
        let workflow = acme.workflow(name, any(), nodes).await;
        // The role that owns the schema sees what the named organization's app sees.
        let mut owner = world.owner().await;
        let org = format!("set app.organization_id = '{}'", acme.owner.org_id().uuid());
        sqlx::raw_sql(sqlx::AssertSqlSafe(org)).execute(&mut owner).await.unwrap();
        let done = sqlx::query("update workflow_versions set graph = graph || $2 where workflow_id = $1")
            .bind(workflow)
            .bind(graph(days))
            .execute(&mut owner)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1);
        workflow
    };
    let (short, forever) = (own("Short", 5).await, own("For ever", 0).await);

    let mut gone = BTreeSet::new();
    let mut stay = BTreeSet::new();
    for state in ["succeeded", "failed", "cancelled"] {
        gone.insert(aged(&world, &acme, plain, state, 31).await);
        stay.insert(aged(&world, &acme, plain, state, 29).await);
    }
    for state in ["queued", "running", "waiting", "paused", "cancelling"] {
        stay.insert(aged(&world, &acme, plain, state, 400).await);
    }
    gone.insert(aged(&world, &acme, short, "succeeded", 6).await);
    stay.insert(aged(&world, &acme, short, "succeeded", 4).await);
    stay.insert(aged(&world, &acme, forever, "succeeded", 900).await);
    stay.insert(aged(&world, &keeps, keeps.simple().await, "succeeded", 900).await);
    // What a living run retries stays; what an ended one retried goes, and is forgotten.
    let (held, retried) =
        (aged(&world, &acme, plain, "failed", 60).await, aged(&world, &acme, plain, "failed", 60).await);
    let (living, ended) =
        (aged(&world, &acme, plain, "waiting", 1).await, aged(&world, &acme, plain, "succeeded", 1).await);
    refers(&mut owner, living, held).await;
    refers(&mut owner, ended, retried).await;
    stay.extend([held, living, ended]);
    gone.insert(retried);
    // One that began long ago and ended lately.
    let late = aged(&world, &acme, plain, "succeeded", 90).await;
    sqlx::query("update runs set finished_at = now() where id = $1").bind(late).execute(&mut owner).await.unwrap();
    stay.insert(late);

    Retention { days: 30 }.run(world.deps()).await.unwrap();
    assert_eq!(left(&mut owner, "id from runs").await, stay);
    for table in ["run_id from steps", "run_id from run_events", "scope from context_entries"] {
        assert_eq!(left(&mut owner, table).await, stay, "{table}");
    }
    let remembered: Option<RunId> =
        sqlx::query_scalar("select retry_of from runs where id = $1").bind(ended).fetch_one(&mut owner).await.unwrap();
    assert_eq!(remembered, None);
    // Nothing is left to do, and for ever is for ever.
    Retention { days: 0 }.run(world.deps()).await.unwrap();
    assert_eq!(left(&mut owner, "id from runs").await, stay);
}

#[tokio::test]
async fn more_runs_than_a_page_has_all_go() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let run = aged(&world, &acme, acme.simple().await, "succeeded", 40).await;
    let mut owner = world.owner().await;
    sqlx::query(
        "insert into runs (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
                           started_by_name, state, input, created_at, finished_at)
         select organization_id, gen_random_uuid(), workflow_id, workflow_version, plan_sha256, title, trigger,
                started_by, started_by_name, case when n % 100 = 0 then 'waiting' else 'failed' end, input, created_at,
                finished_at
         from runs, generate_series(1, 1300) as n where id = $1",
    )
    .bind(run)
    .execute(&mut owner)
    .await
    .unwrap();
    Retention { days: 30 }.run(world.deps()).await.unwrap();
    assert_eq!(left(&mut owner, "id from runs").await.len(), 13, "those that wait");
}

#[tokio::test]
async fn values_go_when_nothing_refers_to_them_any_more() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.simple().await;
    let mut owner = world.owner().await;
    let large = |letter: &str| json!({ "title": "Large", "text": letter.repeat(300_000) });
    let runs = [acme.start(workflow, large("a")).await, acme.start(workflow, large("b")).await];
    // A step holds one too.
    let step = json!({ "$artifact": "00".repeat(32), "bytes": 2 });
    sqlx::query(
        "insert into artifacts (organization_id, sha256, bytes, body) values ($1, $2, 2, '{}'), ($1, $3, 2, '{}')",
    )
    .bind(acme.owner.org_id())
    .bind(vec![0_u8; 32])
    .bind(vec![1_u8; 32])
    .execute(&mut owner)
    .await
    .unwrap();
    sqlx::query(
        "insert into steps (organization_id, run_id, id, node_id, kind, name, ordinal, state, output)
         values ($1, $2, 'start', 'start', 'start', 'Start', 1, 'succeeded', $3)",
    )
    .bind(acme.owner.org_id())
    .bind(runs[0])
    .bind(step)
    .execute(&mut owner)
    .await
    .unwrap();
    async fn count(owner: &mut PgConnection) -> i64 {
        sqlx::query_scalar("select count(*) from artifacts").fetch_one(owner).await.unwrap()
    }
    async fn age(owner: &mut PgConnection) {
        let text = "update artifacts set created_at = now() - interval '2 days'";
        sqlx::query(text).execute(owner).await.unwrap();
    }
    assert_eq!(count(&mut owner).await, 5, "a plan, two inputs, an output, and one that nothing refers to");
    Artifacts.run(world.deps()).await.unwrap();
    assert_eq!(count(&mut owner).await, 5, "they are too young");
    age(&mut owner).await;
    Artifacts.run(world.deps()).await.unwrap();
    assert_eq!(count(&mut owner).await, 4, "nothing referred to one");
    sqlx::query("delete from runs where id = $1").bind(runs[0]).execute(&mut owner).await.unwrap();
    // Stored again by another run: young, and referred to.
    acme.start(workflow, large("a")).await;
    Artifacts.run(world.deps()).await.unwrap();
    assert_eq!(count(&mut owner).await, 3, "the output went with its run");
    sqlx::query("delete from runs").execute(&mut owner).await.unwrap();
    Artifacts.run(world.deps()).await.unwrap();
    assert_eq!(count(&mut owner).await, 1, "a value that was stored a moment ago may be about to be referred to");
    age(&mut owner).await;
    Artifacts.run(world.deps()).await.unwrap();
    assert_eq!(count(&mut owner).await, 0);
}

#[tokio::test]
async fn the_sweep_removes_what_is_past_its_time_alone() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let org = acme.owner.org_id();
    let workflow = acme.simple().await;
    let (ended, living) =
        (aged(&world, &acme, workflow, "succeeded", 2).await, aged(&world, &acme, workflow, "waiting", 2).await);
    let mut owner = world.owner().await;
    let statements = [
        "insert into idempotency_keys (organization_id, route, key, body_sha256, status, response, created_at) values
             ($1, 'r', 'old', '\\x00', 202, '{}', now() - interval '49 hours'),
             ($1, 'r', 'new', '\\x00', 202, '{}', now() - interval '47 hours')",
        // Expired; delivered long ago; delivered long ago to a run that lives; delivered lately; waiting.
        "insert into inbound_events (organization_id, id, key, data, sent_by, expires_at, delivered_at) values
             ($1, md5('1')::uuid, 'k1', '1', 'x', now() - interval '1 minute', null),
             ($1, md5('2')::uuid, 'k2', '1', 'x', now() - interval '8 days', now() - interval '8 days'),
             ($1, md5('3')::uuid, 'k3', '1', 'x', now() - interval '8 days', now() - interval '8 days'),
             ($1, md5('4')::uuid, 'k4', '1', 'x', now() + interval '1 day', now()),
             ($1, md5('5')::uuid, 'k5', '1', 'x', now() + interval '1 day', null)",
        "insert into event_waits (organization_id, run_id, step_id, key, event_id) values
             ($1, $2, 'start', 'k2', md5('2')::uuid), ($1, $3, 'start', 'k3', md5('3')::uuid)",
        "insert into context_entries (organization_id, scope, key, value, expires_at, updated_at) values
             ($1, $1, 'past', '1', now() - interval '1 minute', now()),
             ($1, $1, 'later', '1', now() + interval '1 day', now()),
             ($1, $1, 'always', '1', null, now() - interval '1 year'),
             ($1, md5('a run')::uuid, 'gone', '1', null, now() - interval '2 days')",
        "insert into emails (organization_id, id, idempotency_key, recipients, subject, body, state, created_at) values
             ($1, md5('1')::uuid, 'run/a', '{}', 's', 'b', 'outbox', now() - interval '31 days'),
             ($1, md5('2')::uuid, 'run/b', '{}', 's', 'b', 'outbox', now() - interval '29 days'),
             ($1, md5('3')::uuid, 'run/c', '{}', 's', 'b', 'sent', now() - interval '31 days'),
             ($1, md5('4')::uuid, 'notice/d', '{}', 's', 'b', 'sent', now() - interval '31 days')",
    ];
    for statement in statements {
        // Each statement names those that it needs.
        let statement = statement
            .replace("$1", &format!("'{}'", org.uuid()))
            .replace("$2", &format!("'{}'", ended.uuid()))
            .replace("$3", &format!("'{}'", living.uuid()));
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut owner).await.unwrap();
    }
    let sessions = Sessions::new(world.deps().db.clone(), Limits::default());
    Sweep { sessions }.run(world.deps()).await.unwrap();
    for (what, expected) in [
        ("string_agg(key, ' ' order by key) from idempotency_keys", "new"),
        ("string_agg(key, ' ' order by key) from inbound_events", "k3 k4 k5"),
        ("string_agg(key, ' ' order by key) from event_waits", "k3"),
        ("string_agg(key, ' ' order by key) from context_entries where scope = organization_id", "always later"),
        ("count(*)::text from context_entries where scope <> organization_id", "2"),
        ("string_agg(idempotency_key, ' ' order by idempotency_key) from emails", "run/b run/c"),
    ] {
        let left: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select {what}"))).fetch_one(&mut owner).await.unwrap();
        assert_eq!(left, expected, "{what}");
    }
}

#[tokio::test]
async fn an_organization_settles_its_own_days_and_so_does_a_workflow() {
    use app::{settings::api::UpdateRetention, workflows::api::SaveSettings};
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let mut mia = world.joins("Mia", &ada.org.clone(), Role::Member).await;
    let org = ada.org.clone();
    let kept = async || -> Option<i32> {
        sqlx::query_scalar("select retention_days from organizations where slug = $1")
            .bind(&org)
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap()
    };
    for (typed, status, days) in [("7", 200, Some(7)), ("-1", 422, Some(7)), ("x", 422, Some(7)), ("", 200, None)] {
        let fields = [("org", org.as_str()), ("retention_days", typed)];
        let reply = ada.client.post_form(UpdateRetention::PATH, &fields).await;
        assert_eq!((reply.status, kept().await), (crate::world::Status(status.try_into().unwrap()), days), "{typed}");
    }
    let refused = mia.client.post_form(UpdateRetention::PATH, &[("org", org.as_str()), ("retention_days", "1")]).await;
    assert_eq!(refused.status, 403);

    let office = Office::of(&world, &org).await;
    let workflow = office.simple().await;
    let fields = [
        ("org", org.as_str()),
        ("workflow", &workflow.to_string()),
        ("base", "1"),
        ("title", ""),
        ("deadline_h", ""),
        ("retention_days", "12"),
        ("input", "{\"type\":\"object\"}"),
    ];
    let saved = ada.client.post_form(SaveSettings::PATH, &fields).await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    let days: String = sqlx::query_scalar("select graph ->> 'retention_days' from workflow_versions where version = 2")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(days, "12");
}
