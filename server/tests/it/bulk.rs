//! The same done to many runs: what it would do is told first, and what became of each afterwards.

use agentflow::{
    access::Role,
    engine::state::RunState,
    kernel::{Kind, RunId},
    runs::{Bulk, RunFilter, bulk},
};
use app::runs::list::api::{BulkRuns, LoadBulk};
use axum::http::{Method, header};
use leptos::server_fn::ServerFn;
use serde_json::json;

use crate::{
    office::{Office, any, start},
    world::World,
};

/// Adds up, and fails after that unless told otherwise.
async fn sums(acme: &Office) -> agentflow::kernel::WorkflowId {
    let nodes = json!([
        start(),
        { "id": "sum", "kind": "tool", "tool": "calculator", "arguments": { "expression": "1 + 1" }, "after": ["start"] },
        { "id": "then", "kind": "tool", "tool": "calculator", "arguments": { "expression": "{{ input.then }}" }, "after": ["sum"] },
        { "id": "send", "kind": "http", "method": "POST", "url": "https://example.invalid/", "after": ["then"],
          "retry": { "attempts": 1 } },
        { "id": "end", "kind": "end", "after": ["send"] },
    ]);
    acme.workflow("Sums", any(), nodes).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_retry_of_many_would_do_is_told_first_and_a_second_press_starts_nothing() {
    let world = World::new().await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let workflow = sums(&acme).await;
    let mut failed = Vec::new();
    for then in ["1 +", "2 + 2", "3 +"] {
        let run = acme.start(workflow, json!({ "title": then, "then": then })).await;
        acme.until(run, RunState::Failed).await;
        failed.push(run);
    }
    let simple = acme.simple().await;
    acme.until(acme.start(simple, json!({})).await, RunState::Succeeded).await;

    let owner = &acme.owner;
    let of_all = RunFilter::default();
    let preview = async |filter: &RunFilter, what: Bulk| {
        bulk::preview(&owner.grant().unwrap(), &owner.grant().unwrap(), filter, None, what).await.unwrap()
    };
    let shown = preview(&of_all, Bulk::Retry).await;
    assert!(shown.next.is_none());
    let counts: Vec<_> = shown.runs.iter().map(|run| (run.summary.id, run.reused, run.again, run.outside)).collect();
    // The newest first; a sum does nothing outside, a request that posts does.
    assert_eq!(counts, [(failed[2], 2, 1, 0), (failed[1], 3, 1, 1), (failed[0], 2, 1, 0)]);
    for nothing in [Bulk::Cancel, Bulk::Pause, Bulk::Resume] {
        assert!(preview(&of_all, nothing).await.runs.is_empty(), "{nothing:?}");
    }
    let succeeded = RunFilter { states: vec![RunState::Succeeded], ..RunFilter::default() };
    assert!(preview(&succeeded, Bulk::Retry).await.runs.is_empty(), "what a filter leaves out stays out");

    let press =
        async |key: &str| bulk::of_runs(&owner.grant().unwrap(), &failed, Bulk::Retry, Some(key)).await.unwrap();
    let (first, again) = (press("a").await, press("a").await);
    let new: Vec<RunId> = first.iter().map(|outcome| outcome.result.clone().unwrap().expect("a new run")).collect();
    assert_eq!(first, again, "the same press starts the same runs");
    assert_eq!(first[0].title, "1 +");
    for run in new {
        let steps = acme.until(run, RunState::Failed).await.detail.view.steps;
        assert!(steps.iter().filter(|step| step.reused).count() > 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_are_held_let_go_and_stopped_and_each_is_told_what_became_of_it() {
    let world = World::new().await;
    world.work();
    let acme = Office::new(&world, "Acme").await;
    let nodes = json!([
        start(),
        { "id": "rest", "kind": "wait", "seconds": 3600, "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["rest"] },
    ]);
    let workflow = acme.workflow("Rest", any(), nodes).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let run = acme.start(workflow, json!({})).await;
        acme.until(run, RunState::Waiting).await;
        runs.push(run);
    }
    let other = Office::new(&world, "Other").await;
    let owner = &acme.owner;
    let does = async |what: Bulk, runs: &[RunId]| {
        let outcomes = bulk::of_runs(&owner.grant().unwrap(), runs, what, None).await.unwrap();
        outcomes.into_iter().map(|outcome| outcome.result.map_err(|error| error.code)).collect::<Vec<_>>()
    };
    assert_eq!(does(Bulk::Pause, &runs[..2]).await, [Ok(None), Ok(None)]);
    acme.until(runs[0], RunState::Paused).await;
    acme.until(runs[1], RunState::Paused).await;
    let preview =
        bulk::preview(&owner.grant().unwrap(), &owner.grant().unwrap(), &RunFilter::default(), None, Bulk::Resume)
            .await;
    assert_eq!(preview.unwrap().runs.iter().map(|run| run.summary.id).collect::<Vec<_>>(), [runs[1], runs[0]]);
    assert_eq!(does(Bulk::Resume, &runs[..1]).await, [Ok(None)]);
    acme.until(runs[0], RunState::Waiting).await;

    // Somebody else's runs are not there, and whoever only looks does nothing.
    let stranger = bulk::of_runs(&other.owner.grant().unwrap(), &runs, Bulk::Cancel, None).await.unwrap();
    assert!(stranger.iter().all(|outcome| outcome.result.as_ref().unwrap_err().kind == Kind::NotFound));
    let vic = acme.member(&world, "Vic", Role::Viewer).await;
    assert!(vic.grant::<agentflow::access::right::Operate>().is_err());

    assert_eq!(does(Bulk::Cancel, &runs).await, [Ok(None), Ok(None), Ok(None)]);
    for run in &runs {
        acme.until(*run, RunState::Cancelled).await;
    }
    assert_eq!(does(Bulk::Cancel, &runs[..1]).await, [Err("runs.ended".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_script_the_page_says_what_would_happen_and_then_what_became_of_each() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let nodes = json!([
        start(),
        { "id": "rest", "kind": "wait", "seconds": 3600, "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["rest"] },
    ]);
    let workflow = acme.workflow("Rest", any(), nodes).await;
    let (one, two) = (
        acme.start(workflow, json!({ "title": "Rest one" })).await,
        acme.start(workflow, json!({ "title": "Rest two" })).await,
    );
    let list = format!("/o/{}/runs", ada.org);
    let page = ada.client.get(&list).await;
    for part in ["With all 2 runs that fit", "runs/bulk?action=cancel", "Retry"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert!(!ada.client.get(&format!("{list}?state=succeeded")).await.text().contains("runs/bulk"));
    let address = format!("{list}/bulk?action=cancel&state=active");
    let page = ada.client.get(&address).await;
    assert_eq!(page.status, 200, "{}", page.text());
    for part in ["Stop 2 runs", "2 runs are stopped.", "Rest one", "Rest two"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert_eq!(ada.client.get(&format!("{list}/bulk?action=paint")).await.status, 404);

    let body = format!(
        "org={}&action=cancel&runs={one},{two}&key=k1&_form=bulk_runs&_page={}",
        ada.org,
        address.replace('&', "%26")
    );
    let request = ada
        .client
        .request(Method::POST, BulkRuns::PATH)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html");
    let page = ada.client.send(request.body(body.into()).unwrap()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    for part in ["2 runs are being stopped.", "Rest one", "Back to the list"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }

    // Who only looks is offered nothing, and is refused.
    let mut vic = world.joins("Vic", &ada.org, Role::Viewer).await;
    assert!(!vic.client.get(&list).await.text().contains("runs/bulk"));
    let fields = [("org", ada.org.as_str()), ("action", "cancel"), ("runs", ""), ("key", "k2")];
    assert_eq!(vic.client.post_form(BulkRuns::PATH, &fields).await.status, 403);
    let look = json!({ "org": ada.org, "filter": {}, "action": "cancel" });
    assert_eq!(vic.client.post_json(LoadBulk::PATH, &look).await.status, 403);
}
