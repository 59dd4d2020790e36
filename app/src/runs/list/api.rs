//! Server functions of the list of runs.

use agentflow::{
    kernel::{Cursor, Page, RunId, Timestamp, WorkflowId},
    runs::{Bulk, BulkPreview, RunFilter, RunSummary},
    views::SavedView,
};
use leptos::{prelude::*, server_fn::codec::Json};
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    access::Permission,
    kernel::Error,
    runs::{bulk, service, store::Choices},
    views,
};

/// The list as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunsData {
    /// The runs, in their order.
    pub runs: Page<RunSummary>,
    /// How many fit in all; nothing where they are too many to count.
    pub total: Option<u64>,
    /// The workflows to filter by.
    pub workflows: Vec<(WorkflowId, String)>,
    /// The agents to filter by: keys and names.
    pub agents: Vec<(String, String)>,
    /// The labels to filter by.
    pub labels: Vec<String>,
    /// The person's saved views.
    pub views: Vec<SavedView>,
    /// The moment of this answer, by the database's clock.
    pub now: Timestamp,
    /// Whether the one who asks may stop, hold and retry runs.
    pub may_operate: bool,
}

/// A page of the list, with what it can be narrowed to.
#[server(input = Json)]
pub async fn load_runs(org: String, filter: RunFilter, cursor: Option<Cursor>) -> Result<RunsData, ApiError> {
    let cx = door::ctx(&org).await?;
    let (runs, now, total) = service::list_and_count(&cx.grant()?, &filter, cursor.as_ref(), 50).await?;
    let Choices { workflows, agents, labels } = service::choices(&cx.grant()?).await?;
    let views = views::service::list(&cx.grant()?, "runs").await?;
    Ok(RunsData { runs, total, workflows, agents, labels, views, now, may_operate: cx.role().may(Permission::Operate) })
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

/// What an action on all runs of a filter would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BulkData {
    /// Which runs it would reach, and what it would do.
    pub preview: BulkPreview,
    /// Sent along with the form, so that a second press starts no second run.
    pub key: String,
}

/// What an action on the runs of a filter would do, from a place in the list on.
#[server(input = Json)]
pub async fn load_bulk(
    org: String,
    filter: RunFilter,
    cursor: Option<Cursor>,
    action: Bulk,
) -> Result<BulkData, ApiError> {
    let cx = door::ctx(&org).await?;
    let preview = bulk::preview(&cx.grant()?, &cx.grant()?, &filter, cursor.as_ref(), action).await?;
    Ok(BulkData { preview, key: RunId::new().to_string() })
}

/// What became of one run of many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BulkLine {
    /// Which.
    pub run: RunId,
    /// Its title.
    pub title: String,
    /// The run that was started.
    pub new: Option<RunId>,
    /// Why nothing was done.
    pub refused: Option<String>,
}

/// Does the same to many runs: to those that were shown, and to no other. `runs` has commas between.
#[server]
pub async fn bulk_runs(org: String, action: String, runs: String, key: String) -> Result<Vec<BulkLine>, ApiError> {
    let cx = door::ctx(&org).await?;
    let action = Bulk::parse(&action).ok_or_else(|| Error::invalid("action", "Stop, pause, resume or retry them."))?;
    let runs: Vec<RunId> = runs.split(',').filter_map(|run| run.parse().ok()).collect();
    let outcomes = bulk::of_runs(&cx.grant()?, &runs, action, Some(&key)).await?;
    let line = |outcome: bulk::BulkOutcome| {
        let (new, refused) = match outcome.result {
            Ok(new) => (new, None),
            Err(error) => (None, Some(error.message)),
        };
        BulkLine { run: outcome.run, title: outcome.title, new, refused }
    };
    Ok(outcomes.into_iter().map(line).collect())
}
