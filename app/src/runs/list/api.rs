//! Server functions of the list of runs.

use agentflow::{
    kernel::{Cursor, Page, Timestamp, WorkflowId},
    runs::{RunFilter, RunSummary},
};
use leptos::{prelude::*, server_fn::codec::Json};
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{runs::service, workflows};

/// The list as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunsData {
    /// The runs, the newest first.
    pub runs: Page<RunSummary>,
    /// The workflows to filter by.
    pub workflows: Vec<(WorkflowId, String)>,
    /// The moment of this answer, by the database's clock.
    pub now: Timestamp,
}

/// A page of the list, with the workflows to filter by.
#[server(input = Json)]
pub async fn load_runs(org: String, filter: RunFilter, cursor: Option<Cursor>) -> Result<RunsData, ApiError> {
    let cx = door::ctx(&org).await?;
    let (runs, now) = service::list_now(&cx.grant()?, &filter, cursor.as_ref(), 50).await?;
    let workflows = workflows::service::list(&cx.grant()?).await?;
    Ok(RunsData { runs, workflows: workflows.into_iter().map(|it| (it.id, it.name)).collect(), now })
}

/// A page of the list again, because something changed.
#[server(input = Json)]
pub async fn read_runs(
    org: String,
    filter: RunFilter,
    cursor: Option<Cursor>,
) -> Result<(Page<RunSummary>, Timestamp), ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::list_now(&cx.grant()?, &filter, cursor.as_ref(), 50).await?)
}
