//! The server function of logs.

use agentflow::kernel::RunId;
use leptos::{prelude::*, server_fn::codec::Json};

use super::{LogAsk, LogPart};
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, logs::part};

/// A part of the log of a run, or of all runs of the organization.
///
/// # Errors
/// `not_found`, `unavailable`.
#[server(input = Json)]
pub async fn read_log(org: String, run: Option<RunId>, query: LogAsk) -> Result<LogPart, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(part::read(&cx.grant()?, run, &query).await?)
}
