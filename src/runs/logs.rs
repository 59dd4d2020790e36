//! A run's log by its numbers: a window on it, for the API and for the panel of a step. What the log's own page shows, and
//! its files, are in [`crate::logs`].

use super::{
    LogPage, LogQuery,
    store::{self, LogWindow},
};
use crate::{
    access::{Grant, right},
    engine::state::StepId,
    kernel::{Error, Result, RunId},
};

/// Lines in one answer at most.
const LINES: u32 = 500;

/// A window on a run's log.
///
/// # Errors
/// `not_found`.
pub async fn page(grant: &Grant<right::ViewPayloads>, run: RunId, query: LogQuery) -> Result<LogPage> {
    let step = step_of(&query);
    let limit = query.limit.unwrap_or(LINES).clamp(1, LINES) as usize;
    let window = match query.after {
        Some(after) => LogWindow::After(after),
        None => LogWindow::Before(query.before),
    };
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    // The number is read first: what comes in between is then among the lines, or follows live, and never gets lost.
    let (_, last_seq) = store::progress(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let mut lines = store::logs(&mut tx, run, window, query.level, step, limit as i64 + 1).await?;
    let total = store::count_logs(&mut tx, run, query.level, step).await?;
    let more = lines.len() > limit;
    let (earlier, later) = match window {
        LogWindow::After(after) => {
            lines.truncate(limit);
            (after > 0, more)
        }
        LogWindow::Before(before) => {
            if more {
                lines.remove(0);
            }
            (more, before.is_some())
        }
    };
    Ok(LogPage { lines, earlier, later, total, last_seq })
}

/// The step of a question. No step's name holds a zero, and the database takes no text with one.
fn step_of(query: &LogQuery) -> Option<&StepId> {
    query.step.as_ref().filter(|step| !step.as_str().contains('\0'))
}
