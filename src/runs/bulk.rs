//! The same done to many runs: what that would reach and do, and doing it.

use super::{
    Bulk, BulkPreview, BulkRun, MOST_AT_ONCE, RunFilter,
    control::{acts_outside, cancel, pause, resume, retry},
    service::list,
    store,
};
use crate::{
    access::{Grant, right},
    db::TenantTx,
    engine::reuse,
    kernel::{Cursor, Kind, Money, Result, RunId},
};

/// What became of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkOutcome {
    /// Which.
    pub run: RunId,
    /// Its title.
    pub title: String,
    /// The new run, where one was started; or why nothing was done.
    pub result: Result<Option<RunId>>,
}

/// Which runs of a filter an action would reach, from a place in the list on, and what running them again would take over,
/// do and cost.
///
/// # Errors
/// When the list cannot be read.
pub async fn preview(
    look: &Grant<right::View>,
    grant: &Grant<right::Operate>,
    filter: &RunFilter,
    cursor: Option<&Cursor>,
    what: Bulk,
) -> Result<BulkPreview> {
    let Some(filter) = what.narrowed(filter) else { return Ok(BulkPreview { runs: Vec::new(), next: None }) };
    let page = list(look, &filter, cursor, MOST_AT_ONCE).await?;
    let next = page.next;
    let mut runs: Vec<_> = page
        .items
        .into_iter()
        .map(|summary| BulkRun { summary, reused: 0, again: 0, outside: 0, cost: Money(0) })
        .collect();
    if what == Bulk::Retry {
        let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
        count(&mut tx, &mut runs).await?;
    }
    Ok(BulkPreview { runs, next })
}

/// Counts what each run would take over and do again from the steps that did not succeed.
async fn count(tx: &mut TenantTx, runs: &mut [BulkRun]) -> Result<()> {
    let ids: Vec<_> = runs.iter().map(|run| run.summary.id).collect();
    let plans = store::plans(tx, &ids).await?;
    let mut steps = store::spent(tx, &ids).await?;
    for run in runs {
        let steps = steps.remove(&run.summary.id).unwrap_or_default();
        let plan = plans.iter().find(|(of, _)| of.contains(&run.summary.id)).map(|(_, plan)| plan);
        let recorded: Vec<_> = steps.iter().map(|step| step.recorded.clone()).collect();
        let reuse = reuse::from_failed(&recorded);
        for step in steps {
            let of = &step.recorded;
            if reuse.kept.contains(&of.id) {
                run.reused += 1;
            } else if step.began && !reuse.reopened.contains(&of.id) {
                let outside = plan.is_none_or(|plan| acts_outside(plan, &of.id, of.kind, step.about.as_deref()));
                run.again += 1;
                run.outside += usize::from(outside);
                run.cost += step.cost;
            }
        }
    }
    Ok(())
}

/// Does the same to all runs of a filter, the newest first, up to [`MOST_AT_ONCE`]. Each is told what became of it.
///
/// # Errors
/// When the list cannot be read.
pub async fn of_filter(
    look: &Grant<right::View>,
    grant: &Grant<right::Operate>,
    filter: &RunFilter,
    what: Bulk,
) -> Result<Vec<BulkOutcome>> {
    let page = list(look, filter, None, MOST_AT_ONCE).await?;
    let runs: Vec<_> = page.items.into_iter().map(|run| run.id).collect();
    of_runs(grant, &runs, what, None).await
}

/// Does the same to these runs, [`MOST_AT_ONCE`] of them at most. With a key a repeated request starts no second run.
///
/// # Errors
/// When the database does not answer.
pub async fn of_runs(
    grant: &Grant<right::Operate>,
    runs: &[RunId],
    what: Bulk,
    key: Option<&str>,
) -> Result<Vec<BulkOutcome>> {
    let runs = &runs[..runs.len().min(MOST_AT_ONCE as usize)];
    let mut titles = store::titles(&mut grant.deps().db.tenant(grant.org_id()).await?, runs).await?;
    let mut outcomes = Vec::with_capacity(runs.len());
    for &run in runs {
        let result = match what {
            Bulk::Cancel => cancel(grant, run).await.map(|_| None),
            Bulk::Pause => pause(grant, run).await.map(|_| None),
            Bulk::Resume => resume(grant, run).await.map(|_| None),
            Bulk::Retry => {
                let key = key.map(|key| format!("{key}-{run}"));
                retry(grant, run, key.as_deref()).await.map(|started| Some(started.run))
            }
        };
        if let Err(error) = &result
            && matches!(error.kind, Kind::Unavailable | Kind::Internal)
        {
            return result.map(|_| Vec::new());
        }
        outcomes.push(BulkOutcome { run, title: titles.remove(&run).unwrap_or_default(), result });
    }
    Ok(outcomes)
}
