//! What is downloaded: the log of a run, in each form, with just the lines that its page shows.

use agentflow::{
    engine::{
        journal::LogLevel,
        state::{RunState, StepId},
    },
    runs::{LogQuery, logs},
};
use serde_json::{Value, json};

use crate::{
    office::{Office, any, start},
    world::World,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_has_the_same_lines_in_each_form_as_on_its_page() {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let mut bob = world.sign_up("Bob").await;
    let acme = Office::of(&world, &ada.org).await;
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "items": "{{ [...Array(600).keys()] }}", "concurrency": 20, "after": ["start"],
          "nodes": [{ "id": "sum", "kind": "tool", "tool": "calculator", "on_error": "continue",
                      "arguments": { "expression": "{{ item % 100 == 0 ? '1 +' : '1 + 1' }}" } }] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let workflow = acme.workflow("Sums", any(), nodes).await;
    let run = acme.start(workflow, json!({})).await;
    acme.until(run, RunState::Succeeded).await;
    let at = |org: &str, name: &str| format!("/o/{org}/runs/{run}/log.{name}");
    let step = StepId::from_text("each.7");
    let mut counts = Vec::new();
    for (filter, level, step) in [
        ("", None, None),
        ("?level=error", Some(LogLevel::Error), None),
        ("?of=each.7&before=3", None, Some(step)),
        // What is no level is none, as on the page.
        ("?level=loud", None, None),
    ] {
        let query = LogQuery { level, step, ..LogQuery::default() };
        let total = logs::page(&acme.owner.grant().unwrap(), run, query).await.unwrap().total as usize;
        let text = ada.client.get(&at(&ada.org, &format!("txt{filter}"))).await;
        assert_eq!(text.text().lines().count(), total, "{filter}");
        let objects = ada.client.get(&at(&ada.org, &format!("jsonl{filter}"))).await;
        let objects: Vec<Value> = objects.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), total, "{filter}");
        assert!(objects.windows(2).all(|two| two[0]["seq"].as_i64() < two[1]["seq"].as_i64()));
        let table = ada.client.get(&at(&ada.org, &format!("csv{filter}"))).await;
        let mut rows = csv::Reader::from_reader(table.text().as_bytes());
        assert_eq!(rows.headers().unwrap(), vec!["seq", "at", "level", "step", "message"]);
        let messages: Vec<String> = rows.records().map(|row| row.unwrap()[4].to_owned()).collect();
        assert!(objects.iter().map(|object| object["message"].as_str().unwrap()).eq(&messages), "{filter}");
        counts.push(total);
    }
    assert!(counts[0] > 500, "more than is read at a time: {counts:?}");
    assert!(counts[1] > 0 && counts[1] < counts[0] && counts[2] > 0 && counts[2] < counts[1] * 10, "{counts:?}");
    assert_eq!(counts[3], counts[0]);
    // Nobody else's.
    for name in ["txt", "jsonl", "csv"] {
        for org in [&ada.org.clone(), &bob.org.clone()] {
            assert_eq!(bob.client.get(&at(org, name)).await.status, 404, "{name}");
        }
    }
}
