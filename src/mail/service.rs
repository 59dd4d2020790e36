//! What the outbox page shows.

use super::{OutboxEntry, store};
use crate::{
    access::{Grant, right},
    kernel::{Error, Result},
};

/// The most messages that the page shows.
const SHOWN: i64 = 100;

/// The organization's messages that would have gone out, the newest first. Only while no mail server is set, and only
/// for somebody who sits at this machine: elsewhere there is no such page.
///
/// # Errors
/// `not_found` where there is no such page.
pub async fn outbox(grant: &Grant<right::ViewPayloads>, is_local: bool) -> Result<Vec<OutboxEntry>> {
    let deps = grant.deps();
    if !is_local || deps.mail.has_server() {
        return Err(Error::not_found("page"));
    }
    let mut tx = deps.db.tenant(grant.org_id()).await?;
    let found = store::outbox(&mut tx, SHOWN).await?;
    tx.commit().await?;
    Ok(found)
}
