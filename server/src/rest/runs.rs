//! `/api/v1/runs`, and starting one at `/api/v1/workflows/{id}/run`.

use agentflow::{
    engine::{
        journal::{LogLevel, StepView, Usage},
        state::{Priority, RunState, StepError, StepId, StepKind, StepState, WaitingOn},
    },
    kernel::{ApprovalId, Cursor, Error, Money, RunId, Timestamp, WorkflowId},
    runs::{
        Again, AgainFrom, Bulk, LogLine, LogPage, LogQuery, Part, RunFilter, RunOrder, RunPayloads, RunSummary,
        StepDetail, bulk, control,
        service::{self, Start},
    },
};
use axum::{
    Json,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use super::{
    input::{Body, List, Query, id, limit},
    key::Caller,
    problem::{Answer, Problem},
};

/// A run in a list.
#[derive(Debug, Serialize)]
pub struct Run {
    id: RunId,
    title: String,
    workflow_id: WorkflowId,
    workflow_name: String,
    workflow_version: i32,
    state: RunState,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_on: Option<WaitingOn>,
    trigger: String,
    started_by: String,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    usage: Spent,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<StepError>,
    /// Why it does not run yet, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued_because: Option<String>,
    labels: Vec<String>,
    /// Where the text that was searched for was found, besides the title.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found_in: Vec<Part>,
}

/// Tokens and money.
#[derive(Debug, Serialize)]
pub struct Spent {
    tokens_in: u64,
    tokens_out: u64,
    /// Millionths of a US dollar.
    cost_micros: i64,
}

impl From<Usage> for Spent {
    fn from(usage: Usage) -> Self {
        Self { tokens_in: usage.tokens_in, tokens_out: usage.tokens_out, cost_micros: usage.cost.micros() }
    }
}

impl From<RunSummary> for Run {
    fn from(run: RunSummary) -> Self {
        Self {
            id: run.id,
            title: run.title,
            workflow_id: run.workflow_id,
            workflow_name: run.workflow_name,
            workflow_version: run.workflow_version,
            state: run.state,
            waiting_on: run.waiting_on,
            trigger: run.trigger,
            started_by: run.started_by,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            usage: run.usage.into(),
            error: run.error,
            queued_because: run.queued_because,
            labels: run.labels,
            found_in: run.found_in,
        }
    }
}

/// A run alone.
#[derive(Debug, Serialize)]
pub struct WholeRun {
    #[serde(flatten)]
    run: Run,
    input: Value,
    input_bytes: u64,
    output: Option<Value>,
    output_bytes: u64,
    retry_of: Option<RunId>,
    retried_by: Vec<RunId>,
    /// The number of its last event: events after it are news.
    last_event: i64,
}

/// A run with what went in and out; with `full` however large that is.
async fn whole(caller: &Caller, run: RunId, full: bool) -> Answer<WholeRun> {
    let grant = caller.cx.grant()?;
    let found = service::find(&grant, run).await?;
    let RunPayloads { input, input_bytes, output, output_bytes } = service::payloads(&grant, run, full).await?;
    Ok(WholeRun {
        run: found.summary.into(),
        input: input.unwrap_or_default(),
        input_bytes,
        output,
        output_bytes,
        retry_of: found.retry_of,
        retried_by: found.retried_by.into_iter().map(|(run, _)| run).collect(),
        last_event: found.view.last_seq,
    })
}

/// A step in a list.
#[derive(Debug, Serialize)]
pub struct Step {
    id: StepId,
    parent_id: Option<StepId>,
    kind: StepKind,
    name: String,
    about: Option<String>,
    state: StepState,
    attempt: u32,
    queued_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    wake_at: Option<Timestamp>,
    approval_id: Option<ApprovalId>,
    usage: Spent,
    reused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<StepError>,
}

impl From<StepView> for Step {
    fn from(step: StepView) -> Self {
        Self {
            parent_id: step.id.parent(),
            id: step.id,
            kind: step.kind,
            name: step.name,
            about: step.about,
            state: step.state,
            attempt: step.attempt,
            queued_at: step.queued_at,
            started_at: step.started_at,
            finished_at: step.finished_at,
            wake_at: step.wake_at,
            approval_id: step.approval,
            usage: step.usage.into(),
            reused: step.reused,
            error: step.error,
        }
    }
}

/// A step alone.
#[derive(Debug, Serialize)]
pub struct WholeStep {
    #[serde(flatten)]
    step: Step,
    input: Option<Value>,
    input_bytes: u64,
    output: Option<Value>,
    output_bytes: u64,
}

impl From<StepDetail> for WholeStep {
    fn from(step: StepDetail) -> Self {
        Self {
            step: step.view.into(),
            input: step.input,
            input_bytes: step.input_bytes,
            output: step.output,
            output_bytes: step.output_bytes,
        }
    }
}

/// Lines of a log.
#[derive(Debug, Serialize)]
pub struct Log {
    lines: Vec<LogLine>,
    /// Whether there may be lines before the first one.
    earlier: bool,
    /// Whether there may be lines after the last one.
    later: bool,
}

impl From<LogPage> for Log {
    fn from(page: LogPage) -> Self {
        Self { lines: page.lines, earlier: page.earlier, later: page.later }
    }
}

/// What a run is started with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    #[serde(default = "no_input")]
    input: Value,
    #[serde(default, deserialize_with = "version")]
    version: Option<i32>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    labels: Vec<String>,
}

fn no_input() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The number of a version, if any. Serde's own words about a wrong one do not name the field.
fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    serde_json::from_value(Value::deserialize(from)?)
        .map_err(|_| D::Error::custom("`version` is the number of a version, such as 3"))
}

/// Nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// `POST /api/v1/workflows/{id}/run`
pub async fn start(
    caller: Caller,
    Path(workflow): Path<String>,
    headers: HeaderMap,
    Body(body): Body<StartBody>,
) -> Answer<Response> {
    let start = Start {
        workflow: id(&workflow, "workflow")?,
        version: body.version,
        input: body.input,
        priority: body.priority,
        labels: body.labels,
        idempotency_key: idempotency_key(&headers)?,
    };
    let started = service::start(&caller.cx.grant()?, start).await?;
    accepted(&caller, started).await
}

/// `POST /api/v1/runs/{id}/retry`
pub async fn retry(
    caller: Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Response> {
    let key = idempotency_key(&headers)?;
    let started = control::retry(&caller.cx.grant()?, id(&run, "run")?, key.as_deref()).await?;
    accepted(&caller, started).await
}

/// How a run is run again: `from` is `failed` (the default), `start`, or `step` with the step's id; with another `input`
/// from the start; on the `newest` version or the run's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgainBody {
    #[serde(default)]
    from: Option<FromWord>,
    #[serde(default)]
    step: Option<String>,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    newest: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromWord {
    Failed,
    Start,
    Step,
}

impl AgainBody {
    fn how(self) -> Result<Again, Error> {
        let from = match (self.from.unwrap_or(FromWord::Failed), self.step) {
            (FromWord::Failed, None) => AgainFrom::Failed,
            (FromWord::Start, None) => AgainFrom::Start,
            (FromWord::Step, Some(step)) => AgainFrom::Step(StepId::from_text(step)),
            (FromWord::Step, None) => return Err(Error::invalid("step", "Name the step to begin from.")),
            (_, Some(_)) => return Err(Error::invalid("step", "A step goes with `from`: `step` only.")),
        };
        Ok(Again { from, input: self.input, newest: self.newest })
    }
}

/// `POST /api/v1/runs/{id}/again`
pub async fn again(
    caller: Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
    Body(body): Body<AgainBody>,
) -> Answer<Response> {
    let key = idempotency_key(&headers)?;
    let started = control::again(&caller.cx.grant()?, id(&run, "run")?, &body.how()?, key.as_deref()).await?;
    accepted(&caller, started).await
}

/// `POST /api/v1/runs/{id}/preview`: what the same request to `again` would take over and do again.
pub async fn preview(
    caller: Caller,
    Path(run): Path<String>,
    Body(body): Body<AgainBody>,
) -> Answer<Json<agentflow::runs::Preview>> {
    Ok(Json(control::preview(&caller.cx.grant()?, id(&run, "run")?, &body.how()?).await?))
}

/// `POST /api/v1/runs/{id}/pause`
pub async fn pause(caller: Caller, Path(run): Path<String>, Body(Nothing {}): Body<Nothing>) -> Answer<Response> {
    let run = id(&run, "run")?;
    control::pause(&caller.cx.grant()?, run).await?;
    told(&caller, run).await
}

/// `POST /api/v1/runs/{id}/resume`
pub async fn resume(caller: Caller, Path(run): Path<String>, Body(Nothing {}): Body<Nothing>) -> Answer<Response> {
    let run = id(&run, "run")?;
    control::resume(&caller.cx.grant()?, run).await?;
    told(&caller, run).await
}

/// `POST /api/v1/runs/{id}/cancel`
pub async fn cancel(caller: Caller, Path(run): Path<String>, Body(Nothing {}): Body<Nothing>) -> Answer<Response> {
    let run = id(&run, "run")?;
    control::cancel(&caller.cx.grant()?, run).await?;
    told(&caller, run).await
}

/// A run that was told something: as it is now.
async fn told(caller: &Caller, run: RunId) -> Answer<Response> {
    let run = whole(caller, run, false).await?;
    Ok((StatusCode::ACCEPTED, Json(run)).into_response())
}

async fn accepted(caller: &Caller, started: agentflow::runs::Started) -> Answer<Response> {
    let run = whole(caller, started.run, false).await?;
    let mut response = (StatusCode::ACCEPTED, Json(run)).into_response();
    let location = HeaderValue::from_str(&format!("/api/v1/runs/{}", started.run))
        .map_err(|error| Problem(Error::internal(error)))?;
    response.headers_mut().insert(header::LOCATION, location);
    if started.repeated {
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Answer<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) => Ok(Some(key.to_owned())),
        Err(_) => Err(Problem(Error::invalid("Idempotency-Key", "An idempotency key is visible ASCII text."))),
    }
}

/// Which runs, and where in the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<Cursor>,
    /// Words with commas between.
    state: Option<String>,
    workflow: Option<String>,
    /// An agent's key.
    agent: Option<String>,
    /// A trigger; `live` are all but tests.
    trigger: Option<String>,
    label: Option<String>,
    q: Option<String>,
    /// Whether `q` is searched for in inputs, outputs and logs too.
    #[serde(default)]
    inside: bool,
    /// Millionths of a US dollar.
    cost_micros_min: Option<i64>,
    cost_micros_max: Option<i64>,
    seconds_min: Option<i64>,
    seconds_max: Option<i64>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// `newest`, `oldest`, `longest`, `shortest`, `dearest` or `cheapest` first.
    order: Option<String>,
}

impl ListQuery {
    fn filter(self) -> Result<RunFilter, Error> {
        let states = self.state.iter().flat_map(|words| words.split(',')).filter(|word| !word.is_empty());
        let states = states
            .map(|word| {
                RunState::parse(word).ok_or_else(|| Error::invalid("state", format!("There is no state {word:?}.")))
            })
            .collect::<Result<_, _>>()?;
        let workflow = match self.workflow {
            Some(text) => Some(
                text.parse()
                    .map_err(|_| Error::invalid("workflow", "This is no id of a workflow, such as wf_….".to_owned()))?,
            ),
            None => None,
        };
        let order = match self.order.as_deref() {
            Some(word) => RunOrder::parse(word).ok_or_else(|| {
                let orders = RunOrder::ALL.map(RunOrder::as_str).join(", ");
                Error::invalid("order", format!("There is no order {word:?}; there are {orders}."))
            })?,
            None => RunOrder::default(),
        };
        Ok(RunFilter {
            states,
            workflow,
            agent: self.agent,
            trigger: self.trigger.filter(|word| !word.contains('\0')),
            label: self.label,
            q: self.q,
            inside: self.inside,
            cost_min: self.cost_micros_min.map(Money),
            cost_max: self.cost_micros_max.map(Money),
            lasts_min: self.seconds_min,
            lasts_max: self.seconds_max,
            from: self.from,
            to: self.to,
            runs: Vec::new(),
            order,
        })
    }
}

/// `GET /api/v1/runs`
pub async fn list(caller: Caller, Query(query): Query<ListQuery>) -> Answer<Json<List<Run>>> {
    let (cursor, rows) = (query.cursor.clone(), limit(query.limit)?);
    let page = service::list(&caller.cx.grant()?, &query.filter()?, cursor.as_ref(), rows).await?;
    Ok(Json(List::of(page)))
}

/// What is done to many runs: `cancel`, `pause`, `resume` or `retry`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkBody {
    action: Bulk,
}

/// What became of one run.
#[derive(Debug, Serialize)]
pub struct BulkLine {
    run_id: RunId,
    ok: bool,
    /// The run that was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_run_id: Option<RunId>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// `POST /api/v1/runs/bulk?…`, with the filter of the list: the newest 200 runs of it at most. Each is told what became of
/// it; asked again, those that are done already are refused and the rest goes on.
pub async fn act_on_many(
    caller: Caller,
    Query(query): Query<ListQuery>,
    Body(body): Body<BulkBody>,
) -> Answer<Json<List<BulkLine>>> {
    if query.cursor.is_some() || query.limit.is_some() {
        return Err(Error::invalid("limit", "This takes the filter of the list, and no place in it.").into());
    }
    let outcomes = bulk::of_filter(&caller.cx.grant()?, &caller.cx.grant()?, &query.filter()?, body.action).await?;
    let lines = outcomes.into_iter().map(|outcome| match outcome.result {
        Ok(new_run_id) => BulkLine { run_id: outcome.run, ok: true, new_run_id, code: None, detail: None },
        Err(error) => BulkLine {
            run_id: outcome.run,
            ok: false,
            new_run_id: None,
            code: Some(error.code),
            detail: Some(error.message),
        },
    });
    Ok(Json(List { items: lines.collect(), next_cursor: None }))
}

/// Whether large values come along.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullQuery {
    #[serde(default)]
    full: bool,
}

/// `GET /api/v1/runs/{id}`
pub async fn find(caller: Caller, Path(run): Path<String>, Query(query): Query<FullQuery>) -> Answer<Json<WholeRun>> {
    let run = id(&run, "run")?;
    Ok(Json(whole(&caller, run, query.full).await?))
}

/// Where in a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceQuery {
    limit: Option<u32>,
    cursor: Option<Cursor>,
}

/// `GET /api/v1/runs/{id}/steps`
pub async fn steps(
    caller: Caller,
    Path(run): Path<String>,
    Query(query): Query<PlaceQuery>,
) -> Answer<Json<List<Step>>> {
    let limit = limit(query.limit)? as usize;
    let begin = match &query.cursor {
        None => 0,
        Some(cursor) => cursor.0.parse::<usize>().map_err(|_| Cursor::invalid())?,
    };
    let steps = service::steps(&caller.cx.grant()?, id(&run, "run")?).await?;
    let end = begin.saturating_add(limit);
    let next_cursor = (steps.len() > end).then(|| Cursor(end.to_string()));
    let items = steps.into_iter().skip(begin).take(limit).map(Step::from).collect();
    Ok(Json(List { items, next_cursor }))
}

/// `GET /api/v1/runs/{id}/steps/{step}`
pub async fn step(
    caller: Caller,
    Path((run, step)): Path<(String, String)>,
    Query(query): Query<FullQuery>,
) -> Answer<Json<WholeStep>> {
    let (run, step) = (id(&run, "run")?, StepId::from_text(step));
    Ok(Json(service::step(&caller.cx.grant()?, run, &step, query.full).await?.into()))
}

/// Which lines of a log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    before: Option<i64>,
    after: Option<i64>,
    level: Option<LogLevel>,
    limit: Option<u32>,
}

/// `GET /api/v1/runs/{id}/logs`
pub async fn logs(caller: Caller, Path(run): Path<String>, Query(query): Query<LogsQuery>) -> Answer<Json<Log>> {
    let LogsQuery { before, after, level, limit } = query;
    let query = LogQuery { before, after, level, step: None, limit };
    Ok(Json(agentflow::runs::logs::page(&caller.cx.grant()?, id(&run, "run")?, query).await?.into()))
}
