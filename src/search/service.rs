//! What a search does.

use super::{Hit, store};
use crate::{
    access::{Grant, right},
    kernel::Result,
};

/// Letters of a search that count.
const LETTERS: usize = 200;

/// The workflows, agents and runs whose name holds the text, in any case, a few of each; without a text, the newest runs.
///
/// # Errors
/// When the database does not answer.
pub async fn find(grant: &Grant<right::View>, text: &str) -> Result<Vec<Hit>> {
    let text: String = text.trim().chars().filter(|letter| !letter.is_control()).take(LETTERS).collect();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let mut hits = Vec::new();
    if !text.is_empty() {
        hits.extend(store::workflows(&mut tx, &text).await?);
        hits.extend(store::agents(&mut tx, &text).await?);
    }
    hits.extend(store::runs(&mut tx, &text).await?);
    Ok(hits)
}
