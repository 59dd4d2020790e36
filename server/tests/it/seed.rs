//! Seeds: that they make what they say, the same for the same number, and that the pages' own loaders read it.

use std::{collections::BTreeMap, time::Duration};

use agentflow::{
    dashboard,
    engine::{
        journal::{StoredEvent, Usage},
        state::{RunState, StepKind, StepState},
    },
    kernel::RunId,
    runs::{self, LogQuery, RunDetail, RunFilter, RunSummary},
};
use serde_json::{Value, json};
use server::seed::{
    deep,
    emit::{self, Emission},
    ground::Ground,
    groups, log, month,
};

use crate::{office::Office, world::World};

/// Two organizations that are to be seeded alike.
async fn pair() -> (World, [Office; 2]) {
    let world = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "0")]).await;
    let offices = [Office::new(&world, "One").await, Office::new(&world, "Other").await];
    (world, offices)
}

fn ground(world: &World, office: &Office) -> Ground {
    Ground::new(world.deps(), office.owner.org().clone())
}

/// What of a run is the same whenever the same is made: all but ids and times.
async fn content(office: &Office, run: RunId) -> Value {
    let grant = office.owner.grant().unwrap();
    let runs::RunPayloads { input, output, .. } = runs::service::payloads(&grant, run, true).await.unwrap();
    let detail = office.run(run).await;
    let mut steps = BTreeMap::new();
    for step in &detail.view.steps {
        let payloads = runs::service::step(&grant, run, &step.id, false).await.unwrap();
        let shown = json!([step.kind, step.name, step.about, step.state, step.error, step.usage]);
        steps.insert(step.id.to_string(), json!([shown, payloads.input, payloads.output]));
    }
    json!([detail.summary.title, detail.summary.trigger, detail.view.state, input, output, steps])
}

async fn lines(office: &Office, run: RunId) -> Vec<(String, String)> {
    let grant = office.owner.grant().unwrap();
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let query = LogQuery { after: Some(after), ..LogQuery::default() };
        let page = runs::logs::page(&grant, run, query).await.unwrap();
        let Some(last) = page.lines.last() else { return all };
        after = last.seq;
        all.extend(page.lines.into_iter().map(|line| (line.level.as_str().to_owned(), line.message)));
    }
}

async fn events(office: &Office, run: RunId) -> Vec<StoredEvent> {
    runs::service::events(&office.owner.grant().unwrap(), run, 0, 100_000).await.unwrap().0
}

fn of_kind(detail: &RunDetail, kind: StepKind, state: StepState) -> usize {
    detail.view.steps.iter().filter(|step| step.kind == kind && step.state == state).count()
}

/// The numbers of a journal have no gap, and what the page folds out of it ends where the run's row does.
async fn holds_together(office: &Office, run: RunId) {
    let (events, detail) = (events(office, run).await, office.run(run).await);
    assert!(events.iter().map(|event| event.seq).eq(1..=detail.view.last_seq));
    assert_eq!(detail.view.state, detail.summary.state);
    let sum = detail.view.steps.iter().fold(Usage::default(), |mut all, step| {
        all += step.usage;
        all
    });
    assert_eq!((sum, detail.view.usage), (detail.summary.usage, detail.summary.usage));
    assert!(detail.view.steps.iter().all(|step| step.state.is_end()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_made_by_real_runs_with_exactly_as_many_failures() {
    let (world, offices) = pair().await;
    let mut made = Vec::new();
    for office in &offices {
        let ground = ground(&world, office);
        // 11 items in four maps: what the design wants of 30,000 steps is exact in the same way.
        let many = groups::many_steps(&ground, 7, 6 + 3 * 11, 2).await.unwrap();
        let items = groups::items(&ground, 7, 12, 3).await.unwrap();
        for run in [many, items] {
            holds_together(office, run).await;
        }
        let detail = office.run(many).await;
        assert_eq!(detail.view.steps.len(), 6 + 3 * 11);
        assert_eq!(of_kind(&detail, StepKind::Item, StepState::Failed), 2);
        let detail = office.run(items).await;
        assert_eq!(of_kind(&detail, StepKind::Item, StepState::Failed), 3);
        assert_eq!(of_kind(&detail, StepKind::Item, StepState::Succeeded), 9);
        assert_eq!(detail.output, Some(json!({ "shared": 9, "failed": 3 })));
        assert_eq!(detail.summary.title, "12 orders");
        made.push((content(office, many).await, content(office, items).await));
    }
    assert_eq!(made[0], made[1]);
    let other = groups::items(&ground(&world, &offices[0]), 8, 12, 3).await.unwrap();
    assert_ne!(content(&offices[0], other).await, made[0].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_workflow_makes_is_written_like_what_the_engine_writes() {
    let (world, offices) = pair().await;
    let mut made = Vec::new();
    for office in &offices {
        let ground = ground(&world, office);
        let deep = deep::make(&ground, 7, 12).await.unwrap();
        let long = log::make(&ground, 7, 1_203, 61).await.unwrap();
        for run in [deep, long] {
            holds_together(office, run).await;
        }
        let detail = office.run(deep).await;
        assert_eq!(detail.view.state, RunState::Failed);
        assert_eq!(detail.view.steps.iter().map(|step| step.id.depth()).max(), Some(11));
        let first = detail.view.steps.last().unwrap();
        assert_eq!(detail.view.error.as_ref().unwrap().caused_by, Some(first.id.clone()));
        let lines = lines(office, long).await;
        assert_eq!(lines.len(), 1_203);
        assert_eq!(lines.iter().filter(|(_, text)| text.to_lowercase().contains(log::TERM)).count(), 61);
        made.push((content(office, deep).await, content(office, long).await, lines));
    }
    assert_eq!(made[0], made[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_history_adds_up_and_lies_in_the_month() {
    let (world, offices) = pair().await;
    let mut made = Vec::new();
    for office in &offices {
        let runs = month::make(&ground(&world, office), 7, 20).await.unwrap();
        assert_eq!(runs.len(), 20);
        let mut contents = Vec::new();
        for run in &runs {
            holds_together(office, *run).await;
            contents.push(content(office, *run).await);
        }
        made.push(contents);
    }
    for (one, other) in made[0].iter().zip(&made[1]) {
        assert_eq!(one, other);
    }
    let office = &offices[0];
    let grant = office.owner.grant().unwrap();
    let (page, now) = runs::service::list_now(&grant, &RunFilter::default(), None, 200).await.unwrap();
    let runs = page.items;
    assert_eq!(runs.len(), 20);
    let days = |run: &RunSummary| (now - run.created_at).num_days();
    assert!(runs.iter().all(|run| (0..30).contains(&days(run))));
    assert!(runs.iter().map(days).max() > runs.iter().map(days).min().map(|days| days + 14));
    assert_eq!(runs.iter().filter(|run| run.state == RunState::Failed).count(), 1);
    assert!(runs.iter().any(|run| run.usage.cost.micros() > 0));
    for run in &runs {
        let detail = office.run(run.id).await;
        let (began, ended) = (run.created_at, run.finished_at.unwrap());
        assert!(began <= run.started_at.unwrap() && ended <= now && (ended - began).num_milliseconds() >= 750);
        for step in &detail.view.steps {
            // Moments are stored to a millionth of a second.
            let slack = chrono::TimeDelta::microseconds(5);
            let (queued, finished) = (step.queued_at + slack, step.finished_at.unwrap() - slack);
            assert!(began <= queued && finished <= ended, "{}/{}: {began} {step:?} {ended}", run.id, step.id);
        }
        let events = events(office, run.id).await;
        assert!(events.is_sorted_by_key(|event| event.at));
        assert_eq!((detail.view.started_at, detail.view.finished_at), (run.started_at, run.finished_at));
    }
    // The dashboard counts the same.
    let wish = dashboard::service::Wish { range: dashboard::Range::Month, ..Default::default() };
    let read =
        dashboard::service::read(&office.owner.grant().unwrap(), &office.owner.grant().unwrap(), &wish).await.unwrap();
    let (figures, _) = read.figures.unwrap();
    let cost: i64 = runs.iter().map(|run| run.usage.cost.micros()).sum();
    assert_eq!((figures.runs, figures.cost.micros()), (20, cost));
    // The right to move them was lent, and is gone.
    let lent = "select has_column_privilege('agentflow_engine', 'run_events', 'at', 'update')
                    or has_column_privilege('agentflow_engine', 'run_events', 'data', 'update')";
    let lent: bool = sqlx::query_scalar(lent).fetch_one(&mut world.owner().await).await.unwrap();
    assert!(!lent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emission_says_as_much_as_it_is_told_and_ends() {
    let (world, [office, _]) = pair().await;
    let emission = Emission { rate: 100, length: Duration::from_millis(500), before: 30 };
    let mut told = None;
    let run = emit::make(&ground(&world, &office), emission, &world.state.stop, |run| told = Some(run)).await.unwrap();
    assert_eq!(told, Some(run));
    holds_together(&office, run).await;
    let detail = office.run(run).await;
    assert_eq!(detail.view.state, RunState::Succeeded);
    assert_eq!(detail.output, Some(json!({ "events": 50 })));
    // Three events for a step, and the last is ended with the run.
    assert_eq!(detail.view.steps.len(), 30 + 17);
    // At the rate, not all at once.
    let (from, to) = (detail.view.started_at.unwrap(), detail.view.finished_at.unwrap());
    assert!((to - from).num_milliseconds() >= 400);
}
