//! Other organizations: whatever ids and names the model knows of theirs, it reads nothing and changes nothing.

use std::collections::BTreeMap;

use agentflow::{
    agents::{self, AgentConfig},
    engine::plan::ToolPermission,
    kernel::{Kind, OrgId},
    run_files::{FilePath, service as files},
    tools::custom::{CustomToolConfig, service},
};
use app::integrations::api::AddCredential;
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{EVIL, Lair, Outside, calls};
use crate::{
    credentials::sql,
    node_kinds::through,
    office::{Office, any},
    tools::Runner,
    world::World,
};

const CANARY: &str = "beta-canary-51f0";

/// All rows of an organization, told apart by table.
async fn rows(world: &World, org: OrgId) -> BTreeMap<String, String> {
    sql(world, "select").await;
    let mut owner = world.owner().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.columns
          where table_schema = 'public' and column_name = 'organization_id'",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(tables.len() > 15);
    let mut all = BTreeMap::new();
    for table in tables {
        let query = format!(
            "select coalesce(string_agg(t::text, E'\\n' order by t::text), '') from {table} t where organization_id = $1"
        );
        let text = sqlx::query_scalar(AssertSqlSafe(query)).bind(org).fetch_one(&mut owner).await.unwrap();
        all.insert(table, text);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_names_of_another_organization_are_nobodys() {
    let outside = Outside::plain().await;
    let lair = Lair::open(&[outside.address]).await;
    // What the other organization has, all of it with the canary in it.
    let mut eve = lair.world.sign_up("Eve").await;
    let beta = Office::of(&lair.world, &eve.org).await;
    let theirs = beta.owner.org_id();
    let spy = AgentConfig {
        name: "Spy".into(),
        instructions: CANARY.into(),
        model: "sandbox/sandbox".into(),
        ..AgentConfig::default()
    };
    agents::service::create(&beta.owner.grant().unwrap(), spy).await.unwrap();
    let write = json!({ "id": "write", "kind": "tool", "tool": "file_write", "after": ["start"],
                        "arguments": { "path": "secret.txt", "content": CANARY } });
    let workflow = beta.workflow("Theirs", any(), through(&[write], CANARY)).await;
    let run = beta.start(workflow, json!({})).await;
    beta.until(run, agentflow::engine::state::RunState::Succeeded).await;
    let runner = Runner::of(&lair.world, &eve.org).await;
    runner.call("context_set", json!({ "key": "plan", "value": CANARY, "scope": "organization" })).await.unwrap();
    let config = CustomToolConfig {
        title: "Theirs".into(),
        description: "Theirs alone.".into(),
        parameters: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        url: format!("http://{}/theirs", outside.address),
        ..CustomToolConfig::default()
    };
    let tool = service::create(&beta.owner.grant().unwrap(), "their_tool", config).await.unwrap();
    service::deploy(&beta.owner.grant().unwrap(), tool.id, 1).await.unwrap();
    let org = eve.org.clone();
    let database = format!("postgres://ada:{CANARY}@{}/crm", outside.address);
    let fields = [("org", org.as_str()), ("name", "Theirs"), ("kind", "postgres"), ("secret", &database)];
    let kept = eve.client.post_form(AddCredential::PATH, &fields).await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    let credential: uuid::Uuid = {
        sql(&lair.world, "select").await;
        sqlx::query_scalar("select id from credentials where organization_id = $1")
            .bind(theirs)
            .fetch_one(&mut lair.world.owner().await)
            .await
            .unwrap()
    };
    let before = rows(&lair.world, theirs).await;
    assert!(before.values().any(|rows| rows.contains(CANARY)));

    let bare = workflow.to_string().trim_start_matches("wf_").to_owned();
    let names = [
        "agent_spy".to_owned(),
        format!("workflow_{bare}"),
        format!("workflow_{workflow}"),
        "their_tool".to_owned(),
        tool.id.to_string(),
    ];
    let mut wanted: Vec<(String, Value)> =
        names.iter().map(|name| (name.clone(), json!({ "prompt": "Tell me." }))).collect();
    let of = |tool: &str, arguments: Value| (tool.to_owned(), arguments);
    wanted.extend([
        of("context_get", json!({ "key": "plan", "scope": "organization" })),
        of("context_get", json!({ "key": format!("{theirs}/plan"), "scope": "organization" })),
        of("context_get", json!({ "key": "plan", "scope": "organization", "organization": theirs })),
        of("file_read", json!({ "path": "secret.txt" })),
        of("file_read", json!({ "path": format!("../{run}/secret.txt") })),
        of("file_read", json!({ "path": format!("{run}/secret.txt"), "run": run })),
        of("file_list", json!({})),
        of("file_delete", json!({ "path": "secret.txt" })),
    ]);
    // What is set comes after what is looked for: calls of one answer are made at the same time.
    let more = vec![
        of("context_set", json!({ "key": "plan", "scope": "organization", "value": "mine" })),
        of("file_write", json!({ "path": format!("/{run}/secret.txt"), "content": "mine" })),
        of("database_query", json!({ "connection": "Theirs", "sql": "select 1" })),
        of("database_query", json!({ "connection": credential.to_string(), "sql": "select 1" })),
        of("database_query", json!({ "connection": format!("{theirs}/Theirs"), "sql": "select 1" })),
        of("message_send", json!({ "to": "spy", "text": "Tell me." })),
        of("message_ask", json!({ "to": format!("{run}"), "question": "What is it?" })),
        of("message_reply", json!({ "id": format!("{run}/write"), "text": "x" })),
        of("messages_read", json!({})),
    ];
    let given = [
        "context_get",
        "context_set",
        "file_read",
        "file_list",
        "file_write",
        "file_delete",
        "database_query",
        "message_send",
        "message_ask",
        "message_reply",
        "messages_read",
    ];
    let given: Value =
        given.iter().map(|name| ((*name).to_owned(), json!("allowed"))).collect::<serde_json::Map<_, _>>().into();
    let as_calls = |all: &[(String, Value)]| {
        calls(&all.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>())
    };
    for some in [&wanted, &more] {
        let (done, called) = lair.runs(given.clone(), vec![as_calls(some)]).await;
        assert_eq!(called.len(), some.len(), "{:?}", done.view.error);
        for one in &called {
            let fine = match one.tool.as_str() {
                "context_get" if one.state == "succeeded" => one.output["found"] == false,
                "context_set" => one.output["stored"] == true,
                "file_delete" => one.output["deleted"] == false,
                "file_list" => one.output["files"] == json!([]),
                "messages_read" => one.output == json!({ "messages": [] }),
                _ => one.state == "failed",
            };
            assert!(fine, "{one:?}");
        }
        for name in &names {
            assert!(called.iter().filter(|one| one.tool == *name).all(|one| one.code == "tools.not_allowed"), "{name}");
        }
    }
    assert!(outside.seen().is_empty(), "{:?}", outside.seen());
    let after = rows(&lair.world, theirs).await;
    for (table, rows) in &before {
        assert_eq!(rows, &after[table], "{table}");
    }
    let mine = rows(&lair.world, lair.acme.owner.org_id()).await;
    assert!(mine.values().all(|rows| !rows.contains(CANARY)), "something of theirs came over");

    // Nor does the door below it give anything to a call that names their run.
    let runner = Runner::of(&lair.world, &lair.ada.org).await.in_run(run);
    let error = runner.call("file_read", json!({ "path": "secret.txt" })).await.unwrap_err();
    assert_eq!(error.code, "files.unknown");
    let path = FilePath::parse("secret.txt").unwrap();
    assert!(files::read(&lair.world.deps().db, lair.acme.owner.org_id(), run, &path).await.is_err());
    // And nobody can give an agent a tool of theirs.
    for name in &names {
        let config = AgentConfig {
            name: "Thief".into(),
            instructions: "Take it.".into(),
            model: EVIL.into(),
            tools: [(name.clone(), ToolPermission::Allowed)].into(),
            ..AgentConfig::default()
        };
        let error = agents::service::create(&lair.acme.owner.grant().unwrap(), config).await.unwrap_err();
        assert_eq!((error.kind, error.fields[0].field.as_str()), (Kind::Invalid, format!("tools.{name}").as_str()));
    }
}
