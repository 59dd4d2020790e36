//! Reading the dashboard.

use std::time::Duration;

use super::{Dashboard, Range, store};
use crate::{
    access::{Grant, right},
    approvals::{self, ApprovalFilter},
    budgets,
    kernel::Result,
    runs::{self, RunFilter},
};

/// Approvals that are shown by name.
const WAITING: u32 = 5;
/// Runs that are shown by name.
const RECENT: u32 = 8;

/// The dashboard of the organization as the one who asks sees it.
///
/// # Errors
/// When the database does not answer.
pub async fn read(
    grant: &Grant<right::View>,
    payloads: &Grant<right::ViewPayloads>,
    range: Range,
) -> Result<Dashboard> {
    let period = Duration::from_secs(range.seconds().unsigned_abs());
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let now = store::now(&mut tx).await?;
    let from = now - period;
    let figures = store::figures(&mut tx, from, now).await?;
    let before = store::figures(&mut tx, from - period, from).await?;
    let buckets = store::buckets(&mut tx, from, now, range.bucket_seconds()).await?;
    let moment = store::moment(&mut tx).await?;
    let guide = store::guide(&mut tx).await?;
    let budgets = budgets::service::near(&mut tx).await?;
    // Its connection goes back before the others ask for theirs.
    tx.commit().await?;
    let mine = ApprovalFilter { mine: true, ..ApprovalFilter::default() };
    Ok(Dashboard {
        range,
        from,
        now,
        figures,
        before,
        buckets,
        moment,
        approvals: approvals::service::pending_count(grant).await?,
        waiting: approvals::service::rows(payloads, &mine, None, WAITING).await?.items,
        recent: runs::service::list(grant, &RunFilter::default(), None, RECENT).await?.items,
        budgets,
        guide,
    })
}
