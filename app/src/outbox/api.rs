//! The messages that would have gone out.

use agentflow::mail::OutboxEntry;
use leptos::prelude::*;

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::mail::service as mail;

/// The organization's messages that would have gone out. For whoever sits at the server, and only while it has no mail
/// server.
#[server]
pub async fn load_outbox(org: String) -> Result<Vec<OutboxEntry>, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(mail::outbox(&cx.grant()?, door::is_local()).await?)
}
