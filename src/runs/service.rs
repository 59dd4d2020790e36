//! Use cases of runs: start one, and look at them. Holding, stopping and running again is in [`super::control`].

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    RunDetail, RunPayloads, RunSummary, SHOWN_BYTES, Started, StepDetail, StepRules,
    store::{self, queue::Because},
};
use crate::{
    access::{Ctx, Grant, right},
    db::TenantTx,
    engine::{
        journal::{RunView, StepView, StoredEvent},
        plan::{
            Concurrency, Graph, Plan,
            template::{Piece, input_at, pieces},
        },
        state::{Priority, RunState, StepId},
        store::{self as engine, Fresh, Group, NewRun},
    },
    idempotency::Keyed,
    kernel::{Error, FieldError, Kind, Result, RunId, WorkflowId, text},
    schema, workflows,
};

pub use super::listing::{choices, count, list, list_and_count, list_now};

/// The longest title in characters; longer ones are cut.
const TITLE_LENGTH: usize = 120;
/// How long the key of a group may be as it is; longer ones are cut.
const GROUP_KEY_BYTES: usize = 200;
/// How deep an input may nest.
const INPUT_DEPTH: usize = 64;
/// How large an input may be as JSON: 1 MiB.
const INPUT_BYTES: usize = 1 << 20;

/// What a repeated start is answered with.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Accepted {
    pub(super) run: RunId,
}

/// What a run is started with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Which of its versions; without one, the deployed one.
    pub version: Option<i32>,
    /// The input; checked against the workflow's schema.
    pub input: Value,
    /// Another priority than the workflow's.
    pub priority: Option<Priority>,
    /// What the run is found by again.
    pub labels: Vec<String>,
    /// The caller's key for this request: repeated with the same key, it starts nothing new.
    pub idempotency_key: Option<String>,
}

/// Starts a run of a workflow's deployed version (or, as a test, of a named one or the newest valid one). Durable once
/// it answers.
///
/// # Errors
/// `not_found`; `invalid` with the input's fields, or at `version` when there is no such version; `mismatch` when the key
/// was used for another request; `conflict` when the version cannot run, or the workflow has none that can.
pub async fn start(grant: &Grant<right::Operate>, start: Start) -> Result<Started> {
    check_json(&start.input, "input")?;
    let mut body = json!({ "workflow": start.workflow, "input": start.input });
    // Left out where none is named: so requests were kept before these could be.
    if let Some(version) = start.version {
        body["version"] = version.into();
    }
    if let Some(priority) = start.priority {
        body["priority"] = priority.as_str().into();
    }
    let labels = super::labels(start.labels)?;
    if !labels.is_empty() {
        body["labels"] = labels.clone().into();
    }
    let request = Keyed::new(start.idempotency_key.as_deref(), "workflows.run", &body)?;
    let id = RunId::new();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    // Before all else: a repeated request gets its answer even if the workflow has changed since.
    if let Some(before) = request.answered(&mut tx, &Accepted { run: id }).await? {
        return Ok(Started { run: before.run, repeated: true });
    }
    let ready = workflows::service::plan_for_run(&mut tx, start.workflow, start.version).await?;
    if let Some(error) = Error::invalid_fields(input_faults(&ready.plan, &start.input)) {
        return Err(error);
    }
    let new = NewRun {
        id,
        workflow: start.workflow,
        workflow_version: ready.version,
        title: title(&ready.plan.graph.title, &ready.name, &start.input),
        trigger: trigger(grant, ready.deployed),
        started_by: grant.actor().reference(),
        started_by_name: grant.actor().name().to_owned(),
        deadline_s: ready.plan.graph.deadline_s,
        retry_of: None,
        priority: start.priority.unwrap_or(ready.plan.graph.priority),
        group: group(start.workflow, &ready.plan.graph, &start.input),
        labels,
        plan: Arc::new(ready.plan),
        input: start.input,
    };
    let fresh = engine::start_run(&mut tx, &new, grant.deps().engine.begin(grant.org_id(), &new)).await?;
    finish(grant, tx, new.id, fresh).await
}

/// A run with its tree.
///
/// # Errors
/// `not_found`.
pub async fn find(grant: &Grant<right::ViewPayloads>, run: RunId) -> Result<RunDetail> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let mut summary = summary(&mut tx, run).await?;
    say_why_queued(grant, &mut tx, std::iter::once(&mut summary)).await?;
    let view = store::view(&mut tx, run).await?;
    let links = store::links(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let retried_by = store::retried_by(&mut tx, run).await?;
    Ok(RunDetail { summary, view, retry_of: links.retry_of, retried_by, now: links.now })
}

/// The line of a run in the list.
///
/// # Errors
/// `not_found`.
pub async fn find_summary(grant: &Grant<right::View>, run: RunId) -> Result<RunSummary> {
    summary(&mut grant.deps().db.tenant(grant.org_id()).await?, run).await
}

/// A run's state, and the number of its last event.
///
/// # Errors
/// `not_found`.
pub async fn find_state(grant: &Grant<right::View>, run: RunId) -> Result<(RunState, i64)> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::progress(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))
}

/// A run's input and output; with `full` however large they are.
///
/// # Errors
/// `not_found`.
pub async fn payloads(grant: &Grant<right::ViewPayloads>, run: RunId, full: bool) -> Result<RunPayloads> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let links = store::links(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let (input, input_bytes) = shown(&mut tx, Some(links.input), full).await?;
    let (output, output_bytes) = shown(&mut tx, links.output, full).await?;
    Ok(RunPayloads { input, input_bytes, output, output_bytes })
}

/// The steps of a run, in the order in which they came to be.
///
/// # Errors
/// `not_found`.
pub async fn steps(grant: &Grant<right::View>, run: RunId) -> Result<Vec<StepView>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::progress(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    Ok(store::view(&mut tx, run).await?.steps)
}

/// A step with its payloads; with `full` however large they are.
///
/// # Errors
/// `not_found`.
pub async fn step(grant: &Grant<right::ViewPayloads>, run: RunId, step: &StepId, full: bool) -> Result<StepDetail> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let (view, input, output) = read_step(&mut tx, run, step).await?;
    let (input, input_bytes) = shown(&mut tx, input, full).await?;
    let (output, output_bytes) = shown(&mut tx, output, full).await?;
    let rules = step_rules(&mut tx, run, &view).await?;
    Ok(StepDetail { view, rules, input, input_bytes, output, output_bytes })
}

async fn step_rules(tx: &mut TenantTx, run: RunId, step: &StepView) -> Result<StepRules> {
    Ok(store::plan(tx, run).await?.map(|plan| StepRules::of(&plan, &step.id)).unwrap_or_default())
}

/// The events of one step, in order.
///
/// # Errors
/// `not_found`.
pub async fn step_events(grant: &Grant<right::ViewPayloads>, run: RunId, step: &StepId) -> Result<Vec<StoredEvent>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    read_step(&mut tx, run, step).await?;
    store::events_of_step(&mut tx, run, step).await
}

/// A run's events after a number, in order, `limit` of them at most, and the number of the last event that there is.
///
/// # Errors
/// `not_found`.
pub async fn events(
    grant: &Grant<right::ViewPayloads>,
    run: RunId,
    after: i64,
    limit: i64,
) -> Result<(Vec<StoredEvent>, i64)> {
    read_events(grant, run, after, limit).await
}

pub(super) async fn read_events(cx: &Ctx, run: RunId, after: i64, limit: i64) -> Result<(Vec<StoredEvent>, i64)> {
    let mut tx = cx.deps().db.tenant(cx.org_id()).await?;
    let (_, last) = store::progress(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let events = store::events(&mut tx, run, after, limit).await?;
    let last = events.last().map_or(last, |event| event.seq.max(last));
    Ok((events, last))
}

pub(super) async fn summary(tx: &mut TenantTx, run: RunId) -> Result<RunSummary> {
    store::summary(tx, run).await?.ok_or_else(|| Error::not_found("run"))
}

/// Commits a start. When the database did not confirm, the commit may have happened all the same: then the run is there.
pub(super) async fn finish(
    grant: &Grant<right::Operate>,
    tx: TenantTx,
    run: RunId,
    fresh: Option<Fresh>,
) -> Result<Started> {
    if let Err(error) = tx.commit().await
        && !exists(grant, run).await
    {
        return Err(error);
    }
    grant.deps().engine.started(grant.org_id(), run, fresh);
    Ok(Started { run, repeated: false })
}

async fn exists(cx: &Ctx, run: RunId) -> bool {
    let read = async {
        let mut tx = cx.deps().db.tenant(cx.org_id()).await?;
        store::progress(&mut tx, run).await
    };
    matches!(read.await, Ok(Some(_)))
}

async fn read_step(tx: &mut TenantTx, run: RunId, step: &StepId) -> Result<(StepView, Option<Value>, Option<Value>)> {
    let not_found = || Error::not_found("step");
    if step.as_str().contains('\0') {
        return Err(not_found());
    }
    let (input, output) = store::step_payloads(tx, run, step).await?.ok_or_else(not_found)?;
    let mut view = RunView::default();
    for event in store::events_of_step(tx, run, step).await? {
        view.last_seq = event.seq - 1;
        view.apply(&event);
    }
    let view = view.steps.into_iter().next().ok_or_else(not_found)?;
    Ok((view, input, output))
}

/// A stored value as it is shown, and its size. One that is too large is shown only where it is asked for in full.
pub(super) async fn shown(tx: &mut TenantTx, stored: Option<Value>, full: bool) -> Result<(Option<Value>, u64)> {
    let size = stored.as_ref().and_then(|stored| stored.get("$artifact").and(stored.get("bytes"))?.as_u64());
    match size {
        Some(size) if size > SHOWN_BYTES && !full => Ok((None, size)),
        _ => {
            let (value, size) = whole(tx, stored).await?;
            Ok((value.filter(|_| full || size <= SHOWN_BYTES), size))
        }
    }
}

/// A stored value and its size. JSON's `null` is no value: a page could not tell the two apart any more once the browser
/// has read it back.
async fn whole(tx: &mut TenantTx, stored: Option<Value>) -> Result<(Option<Value>, u64)> {
    let Some(stored) = stored else { return Ok((None, 0)) };
    let value = engine::value(tx, stored).await?;
    if value.is_null() {
        return Ok((None, 0));
    }
    let size = value.to_string().len() as u64;
    Ok((Some(value), size))
}

/// What is wrong with an input, by the paths that the run form and the API call its fields.
pub(super) fn input_faults(plan: &Plan, input: &Value) -> Vec<FieldError> {
    let mut faults = schema::check(&plan.graph.input, input);
    for fault in &mut faults {
        fault.field = match fault.field.as_str() {
            "" => "input".to_owned(),
            field => format!("input.{field}"),
        };
    }
    faults
}

fn trigger(cx: &Ctx, deployed: bool) -> &'static str {
    match cx.actor() {
        _ if !deployed => "test",
        crate::access::Actor::User { .. } => "person",
        crate::access::Actor::Key { .. } | crate::access::Actor::Run { .. } => "api",
    }
}

/// A run's title: the template's text with the input's values in it. Other expressions are for the run, which has not
/// begun, and are left out.
pub(super) fn title(template: &str, workflow: &str, input: &Value) -> String {
    let text = filled_in(template, input);
    let words: Vec<&str> = text.split_whitespace().collect();
    let title = words.join(" ");
    text::shortened(if title.is_empty() { workflow } else { &title }, TITLE_LENGTH)
}

/// A template's text with the input's values in it.
fn filled_in(template: &str, input: &Value) -> String {
    let mut out = String::new();
    for piece in pieces(template).unwrap_or_default() {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Expression(expression) => match input_at(expression, input) {
                Some(Value::String(text)) => out.push_str(text),
                Some(Value::Null) | None => {}
                Some(value) => out.push_str(&value.to_string()),
            },
        }
    }
    out
}

/// The group of a run, of which only so many are under way at once.
pub(super) fn group(workflow: WorkflowId, graph: &Graph, input: &Value) -> Option<Group> {
    let Concurrency { limit, key } = graph.concurrency.as_ref()?;
    let value = filled_in(key, input);
    let key = match value.len() {
        0 if key.is_empty() => workflow.to_string(),
        0..=GROUP_KEY_BYTES => format!("{workflow}/{value}"),
        // Told apart by all of it, all the same.
        _ => {
            let hash: String = Sha256::digest(&value).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("{workflow}/{} {hash}", text::shortened(&value, 40))
        }
    };
    Some(Group { key, limit: *limit })
}

/// Says of each queued run why it does not run yet.
pub(super) async fn say_why_queued<'a>(
    cx: &Ctx,
    tx: &mut TenantTx,
    runs: impl Iterator<Item = &'a mut RunSummary>,
) -> Result<()> {
    let queued: Vec<&mut RunSummary> =
        runs.filter(|run| matches!(run.state, RunState::Queued | RunState::Waiting)).collect();
    if queued.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = queued.iter().map(|run| run.id.uuid()).collect();
    let mut why = store::queue::because(tx, &ids, cx.deps().runs_per_organization).await?;
    for run in queued {
        run.queued_because = why.remove(&run.id).map(in_words);
    }
    Ok(())
}

fn in_words(why: Because) -> String {
    match why {
        Because::Group { running, limit, group } => {
            let of_key = group.split_once('/').map(|(_, key)| format!(" with the key “{key}”")).unwrap_or_default();
            match (running, limit) {
                (1, 1) => format!("Waits for its turn: another run of this workflow{of_key} is under way."),
                _ => format!("Waits for its turn: {running} of {limit} runs of this workflow{of_key} are under way."),
            }
        }
        Because::NoWorker => "Waits for a worker: no process that runs workflows is alive.".to_owned(),
        Because::Organization(1) => {
            "Waits for its turn: one run of the organization, the most there may be, is at work.".to_owned()
        }
        Because::Organization(most) => {
            format!("Waits for its turn: {most} runs of the organization, the most there may be, are at work.")
        }
        Because::Busy => "Waits for its turn: all workers are busy.".to_owned(),
    }
}

/// Refuses JSON that cannot be kept: too large, nested too deep, or with the one character that the database has not.
pub(crate) fn check_json(value: &Value, field: &str) -> Result<()> {
    match depth(value, INPUT_DEPTH) {
        Ok(()) => {}
        Err(Unfit::Deep) => {
            let error = Error::invalid(field, format!("This nests deeper than {INPUT_DEPTH} levels."));
            return Err(Error { kind: Kind::Malformed, code: "request.too_deep".to_owned(), ..error });
        }
        Err(Unfit::Nul) => {
            return Err(Error::invalid(
                field,
                "A text contains the character U+0000, which cannot be kept. Remove it.",
            ));
        }
    }
    if value.to_string().len() > INPUT_BYTES {
        let error = Error::invalid(field, "This is larger than 1 MiB.");
        return Err(Error { kind: Kind::TooLarge, code: "request.too_large".to_owned(), ..error });
    }
    Ok(())
}

enum Unfit {
    Deep,
    Nul,
}

fn depth(value: &Value, left: usize) -> Result<(), Unfit> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Unfit::Nul),
        Value::Array(_) | Value::Object(_) if left == 0 => Err(Unfit::Deep),
        Value::Array(items) => items.iter().try_for_each(|item| depth(item, left - 1)),
        Value::Object(entries) => entries
            .iter()
            .try_for_each(|(key, item)| if key.contains('\0') { Err(Unfit::Nul) } else { depth(item, left - 1) }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_takes_texts_and_numbers_from_the_input_and_nothing_else() {
        let input = json!({ "subject": "Where is  my parcel?", "order": { "id": 4812 } });
        assert_eq!(
            title("Ticket {{ input.order.id }}: {{input.subject}}", "Triage", &input),
            "Ticket 4812: Where is my parcel?"
        );
        assert_eq!(title("{{ input.nothing }}{{ steps.a.output }}", "Triage", &input), "Triage");
        assert_eq!(title("", "Triage", &input), "Triage");
        assert_eq!(title("{{ input.subject", "Triage", &input), "Triage");
        assert_eq!(title("{{ input.t }}", "Triage", &json!({ "t": "ä".repeat(500) })).chars().count(), 121);
    }

    #[test]
    fn a_group_is_told_by_the_workflow_and_the_whole_key() {
        let workflow = WorkflowId::new();
        let of = |key: &str, input: Value| {
            let concurrency = Some(Concurrency { limit: 2, key: key.to_owned() });
            group(workflow, &Graph { concurrency, ..Graph::default() }, &input)
                .map(|group| group.key)
                .unwrap_or_default()
        };
        assert_eq!(group(workflow, &Graph::default(), &json!({})), None);
        assert_eq!(of("", json!({ "a": 1 })), workflow.to_string());
        assert_eq!(
            of("{{ input.a }}-{{ input.b.c }}", json!({ "a": 1, "b": { "c": "x" } })),
            format!("{workflow}/1-x")
        );
        assert_eq!(of("{{ input.a }}", json!({})), format!("{workflow}/"));
        let long = |end: &str| of("{{ input.a }}", json!({ "a": "ä".repeat(5_000) + end }));
        assert!(long("x").len() < 250 && long("x") != long("y") && long("x") == long("x"));
    }

    #[test]
    fn json_that_cannot_be_kept_is_refused_with_the_field() {
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        let error = check_json(&deep, "input").unwrap_err();
        assert_eq!((error.kind, error.fields[0].field.as_str()), (Kind::Malformed, "input"));
        assert_eq!(check_json(&json!({ "a": ["\0"] }), "input").unwrap_err().kind, Kind::Invalid);
        assert_eq!(check_json(&json!("x".repeat(INPUT_BYTES)), "input").unwrap_err().kind, Kind::TooLarge);
        assert!(check_json(&json!({ "a": [1, "text", null] }), "input").is_ok());
    }
}
