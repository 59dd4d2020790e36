//! The same decision on several approvals at once: of one kind of action, and only what can be undone. Each is decided by
//! itself, by the rules that it has alone; what cannot be decided is told with the reason.

use super::{
    ApprovalKind, ApprovalRow, ApprovalState, Verdict,
    service::{self, viewer},
    store,
};
use crate::{
    access::{Grant, right},
    kernel::{ApprovalId, Kind, Result},
};

/// The most that are decided at once.
pub const MOST_AT_ONCE: usize = 50;

/// One of those that were chosen, and why it is left out, if it is.
pub type Choice = (ApprovalRow, Option<String>);

/// What became of one: why nothing did, if so.
pub type Outcome = (ApprovalRow, Option<String>);

/// Those that were chosen, in that order, each with the reason for which it would be left out. The first one that can be
/// decided says which action it is about.
///
/// # Errors
/// When the database does not answer.
pub async fn preview(grant: &Grant<right::ViewPayloads>, ids: &[ApprovalId]) -> Result<Vec<Choice>> {
    let ids = &ids[..ids.len().min(MOST_AT_ONCE)];
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let mut rows = store::rows::of_ids(&mut tx, &viewer(grant), ids).await?;
    rows.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
    let action = rows.iter().find(|row| obstacle(row).is_none()).map(|row| row.action.clone());
    let choices = rows.into_iter().map(|row| {
        let reason = obstacle(&row).or_else(|| {
            let other = action.as_ref().is_some_and(|action| *action != row.action);
            other.then_some("It asks for something else than the first one. Decide it with others of its kind.")
        });
        (row, reason.map(str::to_owned))
    });
    Ok(choices.collect())
}

/// Decides those that can be, and tells of each what became of it.
///
/// # Errors
/// When the database does not answer.
pub async fn decide(
    look: &Grant<right::ViewPayloads>,
    grant: &Grant<right::View>,
    ids: &[ApprovalId],
    verdict: &Verdict,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for (row, left_out) in preview(look, ids).await? {
        if left_out.is_some() {
            outcomes.push((row, left_out));
            continue;
        }
        match service::decide(grant, row.id, verdict).await {
            Ok(_) => outcomes.push((row, None)),
            // What is wrong with the decision itself is so for all of them.
            Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Internal | Kind::Invalid) => {
                return Err(error);
            }
            Err(error) => outcomes.push((row, Some(error.message))),
        }
    }
    Ok(outcomes)
}

/// Why one is not decided together with others.
const fn obstacle(row: &ApprovalRow) -> Option<&'static str> {
    match (row.state, row.kind) {
        (state, _) if !matches!(state, ApprovalState::Pending) => Some("It does not wait any more."),
        (_, ApprovalKind::Question) => Some("It is a question: answer it by itself."),
        (_, ApprovalKind::Failure) => Some("It is a step that failed: choose what becomes of it by itself."),
        _ if row.voted => Some("You have said yes to it. It waits for the others."),
        _ if !row.may_decide => Some("You may not decide it."),
        _ if !row.reversible => Some("It cannot be undone: decide it by itself."),
        _ if row.above_limit => Some("It moves more money than is decided together: decide it by itself."),
        _ => None,
    }
}
