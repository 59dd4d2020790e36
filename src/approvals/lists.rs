//! Lists of approvals: for pages rows, for programs the whole of each.

use super::{
    Approval, ApprovalFilter, ApprovalRow, Inbox, Shown,
    service::{show, viewer},
    store::{self, Place},
};
use crate::{
    access::{Grant, right},
    kernel::{ApprovalId, Cursor, Page, Result, Timestamp},
};

/// Approvals that the inbox shows at once.
const INBOX: i64 = 50;
/// Decisions that the inbox shows below what waits.
const DECIDED: i64 = 10;

/// A window on the approvals that wait (the nearest deadline first), or with `filter.decided` on those that were decided,
/// with all that is to be known of each.
///
/// # Errors
/// `malformed` for a cursor that is none.
pub async fn list(
    grant: &Grant<right::ViewPayloads>,
    filter: &ApprovalFilter,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Result<Page<Approval>> {
    let Page { items, next } = rows(grant, filter, cursor, limit).await?;
    let ids: Vec<ApprovalId> = items.iter().map(|row| row.id).collect();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    Ok(Page { items: store::of_ids(&mut tx, &viewer(grant), &ids).await?, next })
}

/// The same window, as rows.
///
/// # Errors
/// `malformed` for a cursor that is none.
pub async fn rows(
    grant: &Grant<right::ViewPayloads>,
    filter: &ApprovalFilter,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Result<Page<ApprovalRow>> {
    let limit = limit.clamp(1, 200);
    let viewer = &viewer(grant);
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if filter.decided {
        let before = cursor.map(moment_of).transpose()?;
        let rows = store::rows::decided(&mut tx, viewer, filter, before, i64::from(limit) + 1).await?;
        return Ok(Page::cut(rows, limit as usize, moment_in_words));
    }
    let place = cursor.map(place_of).transpose()?;
    let rows = store::rows::pending(&mut tx, viewer, filter, place, i64::from(limit) + 1).await?;
    Ok(Page::cut(rows, limit as usize, place_in_words))
}

/// What waits, and what was decided a moment ago.
///
/// # Errors
/// `malformed` for a place that is none.
pub async fn inbox(grant: &Grant<right::ViewPayloads>, filter: &ApprovalFilter) -> Result<Inbox> {
    let viewer = &viewer(grant);
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let after = filter.after.as_ref();
    let place = after.filter(|_| !filter.decided).map(place_of).transpose()?;
    let before = after.filter(|_| filter.decided).map(moment_of).transpose()?;
    let decisions = if filter.decided { INBOX } else { DECIDED };
    // Nobody looks at what waits while they look at what was decided.
    let pending = match filter.decided {
        true => Vec::new(),
        false => store::rows::pending(&mut tx, viewer, filter, place, INBOX + 1).await?,
    };
    let decided = store::rows::decided(&mut tx, viewer, filter, before, decisions + 1).await?;
    let pending = Page::cut(pending, INBOX as usize, place_in_words);
    let decided = Page::cut(decided, decisions as usize, moment_in_words);
    let waiting = store::rows::waiting(&mut tx, viewer).await?;
    let now = store::now(&mut tx).await?;
    let next = if filter.decided { decided.next } else { pending.next };
    Ok(Inbox { pending: pending.items, next, decided: decided.items, waiting, now })
}

/// The inbox, and one approval in full: the one that is named, else the first of the list.
///
/// # Errors
/// As [`inbox`]; `not_found` for one that does not exist.
pub async fn look(
    grant: &Grant<right::ViewPayloads>,
    filter: &ApprovalFilter,
    selected: Option<ApprovalId>,
) -> Result<(Inbox, Option<Shown>)> {
    let inbox = inbox(grant, filter).await?;
    let rows = if filter.decided { &inbox.decided } else { &inbox.pending };
    let shown = match selected.or_else(|| rows.first().map(|row| row.id)) {
        Some(id) => Some(show(grant, id).await?),
        None => None,
    };
    Ok((inbox, shown))
}

/// How many approvals wait for the one who asks: those that they may decide, that nobody else was asked to decide, and
/// that they have not put off.
///
/// # Errors
/// When the database does not answer.
pub async fn pending_count(grant: &Grant<right::View>) -> Result<i64> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::rows::waiting(&mut tx, &viewer(grant)).await
}

fn place_of(cursor: &Cursor) -> Result<Place> {
    let moment = |micros: &str| Timestamp::from_timestamp_micros(micros.parse().ok()?);
    let parse = || {
        let (expires_at, rest) = cursor.0.split_once('.')?;
        let (created_at, id) = rest.split_once('.')?;
        let expires_at = if expires_at.is_empty() { None } else { Some(moment(expires_at)?) };
        Some(Place { expires_at, created_at: moment(created_at)?, id: id.parse().ok()? })
    };
    parse().ok_or_else(Cursor::invalid)
}

fn place_in_words(row: &ApprovalRow) -> String {
    let expires_at = row.expires_at.map(|at| at.timestamp_micros().to_string()).unwrap_or_default();
    format!("{expires_at}.{}.{}", row.created_at.timestamp_micros(), row.id)
}

fn moment_in_words(row: &ApprovalRow) -> String {
    row.decision.as_ref().map(|decision| decision.at.timestamp_micros().to_string()).unwrap_or_default()
}

fn moment_of(cursor: &Cursor) -> Result<Timestamp> {
    let parse = || Timestamp::from_timestamp_micros(cursor.0.parse().ok()?);
    parse().ok_or_else(Cursor::invalid)
}
