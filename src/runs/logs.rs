//! A run's log: a window on it for a page, and all of it for a file.

use super::{
    LogLine, LogPage, LogQuery,
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

/// The next lines of a run's log, in order, and whether there are more after them. How many there are in all is not asked:
/// whoever reads all of them counts them.
///
/// # Errors
/// `not_found`.
pub async fn lines(grant: &Grant<right::ViewPayloads>, run: RunId, query: &LogQuery) -> Result<(Vec<LogLine>, bool)> {
    let step = step_of(query);
    let window = LogWindow::After(query.after.unwrap_or(0));
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::progress(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let limit = LINES as usize;
    let mut lines = store::logs(&mut tx, run, window, query.level, step, limit as i64 + 1).await?;
    let more = lines.len() > limit;
    lines.truncate(limit);
    Ok((lines, more))
}

/// The step of a question. No step's name holds a zero, and the database takes no text with one.
fn step_of(query: &LogQuery) -> Option<&StepId> {
    query.step.as_ref().filter(|step| !step.as_str().contains('\0'))
}
