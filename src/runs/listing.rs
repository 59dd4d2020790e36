//! Use cases of the list of runs: pages of it in each order, how many fit, and where a text was found.

use super::{
    RunFilter, RunOrder, RunSummary,
    service::say_why_queued,
    store::{self, Asked, Place, Placed},
};
use crate::{
    access::{Grant, right},
    db::TenantTx,
    kernel::{Cursor, Error, Kind, Page, Result, Timestamp, text},
};

/// A window on the list of runs.
///
/// # Errors
/// `malformed` for a cursor that is none, or one of another order; `forbidden` to search in values that one may not see;
/// `unavailable` where a text is not found in time.
pub async fn list(
    grant: &Grant<right::View>,
    filter: &RunFilter,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Result<Page<RunSummary>> {
    Ok(list_now(grant, filter, cursor, limit).await?.0)
}

/// A window on the list of runs together with the moment of the answer.
///
/// # Errors
/// As [`list`].
pub async fn list_now(
    grant: &Grant<right::View>,
    filter: &RunFilter,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Result<(Page<RunSummary>, Timestamp)> {
    let limit = limit.clamp(1, 200);
    let place = cursor.map(|cursor| place_of(cursor, filter.order)).transpose()?;
    let (mut tx, asked, now) = ask(grant, filter).await?;
    let (asked, now_then) = match place {
        Some(Place::Key(_, _, then)) => (asked.at(then), then),
        _ => (asked, now),
    };
    let rows = store::list(&mut tx, &asked, place, i64::from(limit) + 1).await.map_err(|error| late(error, filter))?;
    let page = Page::cut(rows, limit as usize, |placed| cursor_of(placed, filter.order, now_then));
    let mut page = Page { items: page.items.into_iter().map(|placed| placed.run).collect::<Vec<_>>(), next: page.next };
    say_why_queued(grant, &mut tx, page.items.iter_mut()).await?;
    if filter.inside {
        let ids: Vec<_> = page.items.iter().map(|run| run.id).collect();
        let mut parts = store::found_in(&mut tx, &asked, &ids).await.map_err(|error| late(error, filter))?;
        for run in &mut page.items {
            run.found_in = parts.remove(&run.id).unwrap_or_default();
        }
    }
    Ok((page, now))
}

/// A window on the list of runs, the moment of the answer, and how many runs fit in all, as [`count`] says it.
///
/// # Errors
/// As [`list`].
pub async fn list_and_count(
    grant: &Grant<right::View>,
    filter: &RunFilter,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Result<(Page<RunSummary>, Timestamp, Option<u64>)> {
    let (page, now) = list_now(grant, filter, cursor, limit).await?;
    // A first page that is also the last one is all there is.
    let total = match (cursor, &page.next) {
        (None, None) => Some(page.items.len() as u64),
        _ => count(grant, filter).await?,
    };
    Ok((page, now, total))
}

/// How many runs fit a filter; nothing beyond [`COUNTED`](super::COUNTED).
///
/// # Errors
/// As [`list`].
pub async fn count(grant: &Grant<right::View>, filter: &RunFilter) -> Result<Option<u64>> {
    let (mut tx, asked, _) = ask(grant, filter).await?;
    let count = store::count(&mut tx, &asked, super::COUNTED + 1).await.map_err(|error| late(error, filter))?;
    Ok(Some(count).filter(|count| *count <= super::COUNTED.unsigned_abs()))
}

/// What a list of runs can be narrowed to.
///
/// # Errors
/// When the database does not answer.
pub async fn choices(grant: &Grant<right::View>) -> Result<store::Choices> {
    store::choices(&mut grant.deps().db.tenant(grant.org_id()).await?).await
}

/// A transaction, what the database is to be asked for, and the moment.
async fn ask(grant: &Grant<right::View>, filter: &RunFilter) -> Result<(TenantTx, Asked, Timestamp)> {
    let filter = askable(filter);
    if filter.inside {
        // Whoever finds a value knows it.
        let _: Grant<right::ViewPayloads> = grant.grant()?;
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let moment = store::moment(&mut tx, filter.inside && filter.q.is_some()).await?;
    Ok((tx, Asked::new(&filter, moment), moment.0))
}

/// A filter as the database can be asked by it.
fn askable(filter: &RunFilter) -> RunFilter {
    // Nothing is called so, and the database takes no text with a NUL.
    let word = |word: &Option<String>| word.clone().map(text::without_nul);
    RunFilter {
        q: filter.q.as_deref().and_then(search_text),
        trigger: word(&filter.trigger),
        agent: word(&filter.agent),
        label: word(&filter.label),
        ..filter.clone()
    }
}

/// What to say where a text is not found in time.
fn late(error: Error, filter: &RunFilter) -> Error {
    if filter.inside && error.kind == Kind::Unavailable {
        let message = "The search in inputs, outputs and logs takes too long. Narrow it down: by a period, a workflow or a longer text.";
        return Error { message: message.to_owned(), ..error };
    }
    error
}

/// The text that a list is searched for: without what no title can hold, and none when nothing is left.
pub(super) fn search_text(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|letter| !letter.is_control()).take(200).collect();
    (!text.is_empty()).then_some(text)
}

/// The place of a cursor: `{micros}.{run}` in the order of acceptance, else `{order}.{key}.{micros}.{run}`.
fn place_of(cursor: &Cursor, order: RunOrder) -> Result<Place> {
    let at = |micros: &str| Timestamp::from_timestamp_micros(micros.parse().ok()?);
    let parse = || {
        let parts: Vec<_> = cursor.0.split('.').collect();
        match parts[..] {
            [micros, run] if order == RunOrder::Newest => Some(Place::Accepted(at(micros)?, run.parse().ok()?)),
            [word, _, micros, run] if order == RunOrder::Oldest && word == order.as_str() => {
                Some(Place::Accepted(at(micros)?, run.parse().ok()?))
            }
            [word, key, micros, run] if order != RunOrder::Newest && word == order.as_str() => {
                Some(Place::Key(key.parse().ok()?, run.parse().ok()?, at(micros)?))
            }
            _ => None,
        }
    };
    parse().ok_or_else(Cursor::invalid)
}

/// The cursor behind a run. In an order by what grows as time goes on, all pages are of one moment.
fn cursor_of(Placed { run, key }: &Placed, order: RunOrder, now: Timestamp) -> String {
    let accepted = run.created_at.timestamp_micros();
    match order {
        RunOrder::Newest => format!("{accepted}.{}", run.id),
        RunOrder::Oldest => format!("{}.0.{accepted}.{}", order.as_str(), run.id),
        _ => format!("{}.{key}.{}.{}", order.as_str(), now.timestamp_micros(), run.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_is_none_is_the_clients_mistake() {
        for text in ["", "x", "1.run_x", "99999999999999999999.run_00000000000000000000000000"] {
            for order in RunOrder::ALL {
                let refused = place_of(&Cursor(text.to_owned()), order).unwrap_err();
                assert_eq!(refused.kind, Kind::Malformed, "{text}");
            }
        }
    }
}
