//! Searching a run: in the names of its steps, in all that went in and came out, in errors, and in its log. The database
//! searches and gives ids alone.

use super::{listing, store};
use crate::{
    access::{Grant, right},
    engine::state::StepId,
    kernel::{Error, Result, RunId},
};

/// Where a text was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    /// In the name or the id.
    pub name: bool,
    /// In what went in.
    pub input: bool,
    /// In what came out.
    pub output: bool,
    /// In the last error.
    pub error: bool,
    /// In so many lines of the log.
    pub lines: u64,
}

/// A step in which a text was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The step.
    pub id: StepId,
    /// What is shown.
    pub name: String,
    /// Where in it.
    pub places: Places,
}

/// What a search found. All of it: nothing is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The text that was searched for.
    pub text: String,
    /// The steps, in the order in which they came to be.
    pub steps: Vec<Hit>,
    /// Where in what is the run's own: its title, its input, its output, its error, its lines that are of no step.
    pub run: Places,
    /// How many lines of the log, in all.
    pub lines: u64,
}

/// Searches a run for a text, small and capital letters alike. Nothing where the text is empty.
///
/// # Errors
/// `not_found`.
pub async fn find(grant: &Grant<right::ViewPayloads>, run: RunId, text: &str) -> Result<Option<Found>> {
    let Some(text) = listing::search_text(text) else { return Ok(None) };
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let mut own = store::find::in_run(&mut tx, run, &text).await?.ok_or_else(|| Error::not_found("run"))?;
    let steps = store::find::in_steps(&mut tx, run, &text).await?;
    own.lines = store::find::lines_of_no_step(&mut tx, run, &text).await?;
    let lines = own.lines + steps.iter().map(|hit| hit.places.lines).sum::<u64>();
    Ok(Some(Found { text, steps, run: own, lines }))
}
