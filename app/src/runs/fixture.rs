//! Made-up runs for tests.

use agentflow::{
    engine::{
        journal::{Event, LogLevel, RunView, StepHead, StoredEvent, Usage},
        state::{ErrorClass, StepError, StepId, StepKind},
    },
    kernel::{Money, RunId, Timestamp, WorkflowId},
    runs::{RunDetail, RunSummary},
};

/// A moment, in milliseconds after the run was accepted.
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(1_900_000_000_000 + ms).expect("a moment")
}

pub fn head(id: &str, kind: StepKind, queued_ms: i64) -> StepHead {
    let id = StepId::from_text(id);
    StepHead { name: id.key().to_owned(), id, kind, about: None, queued_at: at(queued_ms) }
}

pub fn error(message: &str) -> StepError {
    StepError::new(ErrorClass::Unavailable, "http.status_503", message)
}

pub fn usage(tokens: u64) -> Usage {
    Usage { tokens_in: tokens, tokens_out: 0, cost: Money(i64::try_from(tokens).expect("small") * 10) }
}

pub fn started(head: &StepHead, attempt: u32) -> Event {
    Event::StepStarted { step: head.clone(), attempt }
}

pub fn succeeded(head: &StepHead, tokens: u64) -> Event {
    Event::StepSucceeded { step: head.clone(), attempt: 1, usage: usage(tokens), reused: false, cached: false }
}

pub fn failed(head: &StepHead, caused_by: Option<&str>) -> Event {
    let mut error = error("The service did not answer.");
    error.caused_by = caused_by.map(StepId::from_text);
    Event::StepFailed { step: head.clone(), attempt: 1, error, usage: Usage::default() }
}

/// Numbers events and gives each its moment.
pub fn numbered(events: impl IntoIterator<Item = (i64, Event)>) -> Vec<StoredEvent> {
    events.into_iter().zip(1..).map(|((ms, event), seq)| StoredEvent { seq, at: at(ms), event }).collect()
}

pub fn folded(events: &[StoredEvent]) -> RunView {
    let mut view = RunView::default();
    for event in events {
        assert!(view.apply(event));
    }
    view
}

/// An agent with a model call, a tool that fails twice and then for good, and a map of two items.
pub fn failing_run() -> Vec<StoredEvent> {
    let triage = head("triage", StepKind::Agent, 100);
    let model = head("triage.model1", StepKind::Model, 110);
    let tool = head("triage.lookup1", StepKind::Tool, 900);
    let each = head("each", StepKind::Map, 100);
    let first = head("each.0", StepKind::Item, 120);
    let second = head("each.1", StepKind::Item, 120);
    let retrying = |attempt| Event::StepRetrying {
        step: tool.id.clone(),
        attempt,
        of: 3,
        error: error("The service did not answer."),
        next_at: at(3_000),
    };
    let log = |message: &str| Event::Log {
        level: LogLevel::Warn,
        step: Some(tool.id.clone()),
        message: message.to_owned(),
        fields: serde_json::Value::Null,
    };
    numbered([
        (0, Event::RunQueued { by: "Ana".to_owned() }),
        (50, Event::RunStarted),
        (120, started(&triage, 1)),
        (130, started(&model, 1)),
        (130, started(&each, 1)),
        (140, started(&first, 1)),
        (200, succeeded(&first, 7)),
        (210, started(&second, 1)),
        (890, succeeded(&model, 1_000)),
        (1_000, started(&tool, 1)),
        (1_500, log("status 503")),
        (1_500, retrying(1)),
        (2_500, started(&tool, 2)),
        (3_000, retrying(2)),
        (5_000, started(&tool, 3)),
        (5_500, failed(&tool, None)),
        (5_510, failed(&triage, Some("triage.lookup1"))),
        (5_600, Event::StepCancelled { step: second.id.clone(), usage: Usage::default() }),
        (5_600, Event::StepCancelled { step: each.id.clone(), usage: Usage::default() }),
        (
            5_700,
            Event::RunFailed {
                error: {
                    let mut error = error("No answer.");
                    error.caused_by = Some(triage.id.clone());
                    error
                },
            },
        ),
    ])
}

pub fn detail(view: RunView) -> RunDetail {
    let id: RunId = "run_01jd0000000000000000000000".parse().expect("an id");
    let workflow_id: WorkflowId = "wf_01jd0000000000000000000000".parse().expect("an id");
    RunDetail {
        summary: RunSummary {
            id,
            title: "Ticket 4812".to_owned(),
            workflow_id,
            workflow_name: "Support triage".to_owned(),
            workflow_version: 3,
            state: view.state,
            waiting_on: view.waiting_on,
            trigger: "person".to_owned(),
            started_by: "Ana".to_owned(),
            created_at: at(0),
            started_at: view.started_at,
            finished_at: view.finished_at,
            usage: view.usage,
            error: view.error.clone(),
            queued_because: None,
            labels: Vec::new(),
            found_in: Vec::new(),
        },
        retry_of: None,
        retried_by: Vec::new(),
        now: at(6_000),
        view,
    }
}
