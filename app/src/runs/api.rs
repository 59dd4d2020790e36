//! Server functions of runs.

use agentflow::{
    engine::{journal::StoredEvent, state::StepId},
    kernel::RunId,
    runs::{LogPage, LogQuery, RunDetail, StepDetail},
};
use leptos::{prelude::*, server_fn::codec::Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::access::Permission;

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

/// A run's whole input and output, however large.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn run_payloads(org: String, run: RunId) -> Result<(Value, Option<Value>), ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(agentflow::runs::service::payloads(&cx.grant()?, run).await?)
}

/// A step with its payloads; with `full` however large they are.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn find_step(org: String, run: RunId, step: StepId, full: bool) -> Result<StepDetail, ApiError> {
    use agentflow::runs::service;
    let cx = door::ctx(&org).await?;
    let grant = cx.grant()?;
    Ok(if full { service::step_in_full(&grant, run, &step).await? } else { service::step(&grant, run, &step).await? })
}

/// The events of a step, in order.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn step_events(org: String, run: RunId, step: StepId) -> Result<Vec<StoredEvent>, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(agentflow::runs::service::step_events(&cx.grant()?, run, &step).await?)
}

/// A window on a run's log.
///
/// # Errors
/// `not_found`.
#[server(input = Json)]
pub async fn run_logs(org: String, run: RunId, query: LogQuery) -> Result<LogPage, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(agentflow::runs::service::logs(&cx.grant()?, run, query).await?)
}

/// Stops a run.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`.
#[server]
pub async fn cancel_run(org: String, run: RunId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    agentflow::runs::service::cancel(&cx.grant()?, run).await?;
    Ok(())
}

/// Retries a run from the steps that did not succeed, and goes to the new one.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`.
#[server]
pub async fn retry_run(org: String, run: RunId, key: String) -> Result<RunId, ApiError> {
    let cx = door::ctx(&org).await?;
    let started = agentflow::runs::service::retry(&cx.grant()?, run, Some(&key)).await?;
    leptos_axum::redirect(&format!("/o/{org}/runs/{}", started.run));
    Ok(started.run)
}
