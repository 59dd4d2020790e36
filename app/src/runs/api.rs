//! Server functions of runs.

use agentflow::{
    engine::state::StepId,
    kernel::RunId,
    runs::{Preview, RunDetail},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use super::found;
use super::part::Tab;
#[cfg(feature = "ssr")]
use super::part::written;
#[cfg(feature = "ssr")]
use crate::door;
use crate::{error::ApiError, kit::fragment::Html};
#[cfg(feature = "ssr")]
use agentflow::{
    access::Permission,
    kernel::Error,
    runs::{Again, AgainFrom, LogQuery},
};

/// A run, and what the one who asks may do with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The run with its tree.
    pub detail: RunDetail,
    /// Whether they may stop, retry and start runs: buttons that the server would refuse are not shown.
    pub may_operate: bool,
}

/// A run with its tree.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn find_run(org: String, run: RunId) -> Result<Found, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = agentflow::runs::service::find(&cx.grant()?, run).await?;
    Ok(Found { detail, may_operate: cx.role().may(Permission::Operate) })
}

/// What the panel shows of a step; with `full` values however large they are.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn step_part(org: String, run: RunId, step: StepId, tab: Tab, full: bool) -> Result<Html, ApiError> {
    use agentflow::runs::{logs, service};
    let cx = door::ctx(&org).await?;
    let (grant, place) = (cx.grant()?, written::Place { org: &org, run });
    if matches!(tab, Tab::Io | Tab::Timing) {
        return Ok(written::of_step(place, service::step(&grant, run, &step, full).await?));
    }
    let zero = service::find_summary(&cx.grant()?, run).await?.created_at;
    if tab == Tab::Events {
        return Ok(written::of_events(zero, service::step_events(&grant, run, &step).await?));
    }
    let query = LogQuery { step: Some(step), ..LogQuery::default() };
    Ok(written::of_log(place, zero, &logs::page(&grant, run, query).await?.lines))
}

/// What the panel shows of the run itself; with `full` values however large they are.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn run_part(org: String, run: RunId, full: bool) -> Result<Html, ApiError> {
    use agentflow::runs::service;
    let cx = door::ctx(&org).await?;
    let ended = service::find_summary(&cx.grant()?, run).await?.state.is_end();
    let payloads = service::payloads(&cx.grant()?, run, full).await?;
    Ok(written::of_run(written::Place { org: &org, run }, ended, payloads))
}

/// Searches a run: the steps in which a text is, and what is said of them.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn find_in_run(org: String, run: RunId, text: String) -> Result<(Vec<String>, Html), ApiError> {
    let cx = door::ctx(&org).await?;
    let found = agentflow::runs::find::find(&cx.grant()?, run, &text).await?;
    Ok(found.map(|found| found::drawn(&org, run, found)).unwrap_or_default())
}

/// Stops a run, holds it, or lets it go on: `stop`, `pause`, `resume`; or retries it from the steps that did not succeed,
/// `retry`, and goes to the new one. A second press with the same key starts no second run.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`.
#[server]
pub async fn control_run(
    org: String,
    run: RunId,
    what: String,
    #[server(default)] key: String,
) -> Result<(), ApiError> {
    use agentflow::runs::control;
    let cx = door::ctx(&org).await?;
    let grant = cx.grant()?;
    match what.as_str() {
        "stop" => drop(control::cancel(&grant, run).await?),
        "pause" => drop(control::pause(&grant, run).await?),
        "resume" => drop(control::resume(&grant, run).await?),
        "retry" => {
            let key = Some(key.as_str()).filter(|key| !key.is_empty());
            let started = control::retry(&grant, run, key).await?;
            leptos_axum::redirect(&format!("/o/{org}/runs/{}", started.run));
        }
        _ => return Err(Error::invalid("what", "Stop it, pause it, resume it, or retry it.").into()),
    }
    Ok(())
}

/// How a run can be run again, and what that would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgainPage {
    /// The run.
    pub run: RunId,
    /// Its title.
    pub title: String,
    /// The version that it ran.
    pub version: i32,
    /// Its steps that one can begin from: id and label.
    pub steps: Vec<(String, String)>,
    /// Whether it ended without success.
    pub failed: bool,
    /// What it would do, or why it cannot.
    pub preview: Result<Preview, agentflow::kernel::Error>,
    /// Its input as JSON, to be edited.
    pub input: String,
    /// Sent along with the form, so that a second press starts no second run.
    pub key: String,
}

/// How a run can be run again. `from` is `failed`, `start`, or a step's id.
///
/// # Errors
/// `not_found`, `forbidden`.
#[server]
pub async fn load_again(org: String, run: RunId, from: String, newest: bool) -> Result<AgainPage, ApiError> {
    use agentflow::runs::{control, service};
    let cx = door::ctx(&org).await?;
    let detail = service::find(&cx.grant()?, run).await?;
    let input = service::payloads(&cx.grant()?, run, true).await?.input.unwrap_or_default();
    let how = Again { from: beginning(&from), input: None, newest };
    let preview = control::preview(&cx.grant()?, run, &how).await;
    if let Err(error) = &preview
        && error.kind != agentflow::kernel::Kind::Conflict
    {
        return Err(error.clone().into());
    }
    let begins = |step: &&agentflow::engine::journal::StepView| super::words::can_begin_again(&detail.view, step);
    Ok(AgainPage {
        run,
        title: detail.summary.title.clone(),
        version: detail.summary.workflow_version,
        steps: detail
            .view
            .steps
            .iter()
            .filter(begins)
            .take(500)
            .map(|step| (step.id.to_string(), step.name.clone()))
            .collect(),
        failed: detail.summary.state != agentflow::engine::state::RunState::Succeeded,
        preview,
        input: serde_json::to_string_pretty(&input).unwrap_or_default(),
        key: RunId::new().to_string(),
    })
}

#[cfg(feature = "ssr")]
fn beginning(from: &str) -> AgainFrom {
    match from {
        "failed" => AgainFrom::Failed,
        "" | "start" => AgainFrom::Start,
        step => AgainFrom::Step(StepId::from_text(step)),
    }
}

/// Runs a run again, and goes to the new one. The input counts from the start only.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`; `invalid`, with the fields.
#[server]
pub async fn run_again(
    org: String,
    run: RunId,
    from: String,
    #[server(default)] newest: bool,
    #[server(default)] json: String,
    key: String,
) -> Result<RunId, ApiError> {
    let cx = door::ctx(&org).await?;
    let from = beginning(&from);
    let input = match &from {
        AgainFrom::Start => Some(serde_json::from_str(&json).map_err(|error| {
            Error::invalid(
                "json",
                format!("This is not valid JSON (line {}, column {}).", error.line(), error.column()),
            )
        })?),
        _ => None,
    };
    let how = Again { from, input, newest };
    let started = agentflow::runs::control::again(&cx.grant()?, run, &how, Some(&key)).await.map_err(|mut error| {
        for entry in error.fields.iter_mut().filter(|entry| entry.field.starts_with("input")) {
            entry.message = format!("{}: {}", entry.field, entry.message);
            "json".clone_into(&mut entry.field);
        }
        error
    })?;
    leptos_axum::redirect(&format!("/o/{org}/runs/{}", started.run));
    Ok(started.run)
}
