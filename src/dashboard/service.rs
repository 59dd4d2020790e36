//! Reading the dashboard. Each part is read by itself: one that cannot be read leaves the others.

use chrono::{Datelike, NaiveDate};

use super::{Bar, Bucket, Failing, Figures, Guide, Moment, Range, store};
use crate::{
    access::{Grant, right},
    approvals::{self, ApprovalFilter, ApprovalRow},
    budgets::{self, Budget},
    kernel::{Error, Result, Timestamp},
    runs::{self, RunFilter, RunSummary},
};

/// Approvals, workflows and budgets that are shown by name.
const NAMED: i64 = 5;
/// Runs that are shown by name.
const RECENT: u32 = 8;
/// The longest period in days.
const LONGEST: i64 = 400;

/// The time zone in which days begin.
pub const ZONE: &str = "UTC";

/// Which period, as the address says it.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// So far back from now, where no days are named.
    pub range: Range,
    /// The first day, such as `2026-11-20`.
    pub from: Option<String>,
    /// The last day.
    pub to: Option<String>,
}

/// A period, and the equal one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its length back from now, where it is none between days.
    pub range: Option<Range>,
    /// The beginning of the one before.
    pub before: Timestamp,
    /// Its beginning, and the end of the one before.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The moment of this answer.
    pub now: Timestamp,
    /// Up to which end of a run the figures are taken in.
    pub(super) upto: Option<Timestamp>,
}

/// The dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// The period.
    pub span: Span,
    /// The period's figures, and those of the one before.
    pub figures: Result<(Figures, Figures)>,
    /// The chart's bars, the oldest first.
    pub bars: Result<Vec<Bucket>>,
    /// What is so at the moment.
    pub moment: Result<Moment>,
    /// How many approvals wait that the person may decide, and the first of them, the nearest deadline first.
    pub waiting: Result<(i64, Vec<ApprovalRow>)>,
    /// Workflows that fail, the last failure first.
    pub failing: Result<Vec<Failing>>,
    /// Budgets of days, months and in all, what is used up most first.
    pub budgets: Result<Vec<Budget>>,
    /// The newest runs.
    pub recent: Result<Vec<RunSummary>>,
    /// How far a new organization has come.
    pub guide: Guide,
}

/// A part, in a transaction of its own.
macro_rules! part {
    ($grant:ident, $name:literal, $tx:ident, $read:expr) => {{
        let read = async {
            let mut $tx = $grant.deps().db.tenant($grant.org_id()).await?;
            $read.await
        };
        read.await.inspect_err(|error: &Error| {
            tracing::warn!(part = $name, %error, request = $grant.request_id(), "a part of the dashboard was not read");
        })
    }};
}

/// The dashboard of the organization as the one who asks sees it.
///
/// # Errors
/// When not even the period can be read.
pub async fn read(grant: &Grant<right::View>, payloads: &Grant<right::ViewPayloads>, wish: &Wish) -> Result<Dashboard> {
    let span = span(grant, wish, ZONE).await?;
    let guide = part!(grant, "guide", tx, store::guide(&mut tx))?;
    let figures = async {
        part!(grant, "figures", tx, async {
            store::plan_anew(&mut tx).await?;
            let now = store::figures(&mut tx, span.from, span.to, span.upto).await?;
            Ok((now, store::figures(&mut tx, span.before, span.from, span.upto).await?))
        })
    };
    let bars = async { bars(grant, &span, ZONE).await };
    let rest = async {
        let moment = part!(grant, "moment", tx, store::moment(&mut tx));
        let waiting = waiting(grant, payloads).await;
        let failing = part!(grant, "failing", tx, store::failing(&mut tx, NAMED));
        let budgets = part!(grant, "budgets", tx, budgets::service::spent(&mut tx, NAMED));
        let recent = runs::service::list(grant, &RunFilter::default(), None, RECENT).await.map(|page| page.items);
        (moment, waiting, failing, budgets, recent)
    };
    // Three connections at once: the figures of a long period take longer than all the rest.
    let (figures, bars, (moment, waiting, failing, budgets, recent)) = futures::join!(figures, bars, rest);
    Ok(Dashboard { span, figures, bars, moment, waiting, failing, budgets, recent, guide })
}

/// How many approvals wait for the one who asks, and the first of them.
async fn waiting(grant: &Grant<right::View>, payloads: &Grant<right::ViewPayloads>) -> Result<(i64, Vec<ApprovalRow>)> {
    let mine = ApprovalFilter { mine: true, ..ApprovalFilter::default() };
    let count = approvals::service::pending_count(grant).await?;
    let limit = NAMED.try_into().unwrap_or_default();
    Ok((count, approvals::service::rows(payloads, &mine, None, limit).await?.items))
}

/// The chart's bars alone, for a file. Days begin and end by the clocks of the time zone.
///
/// # Errors
/// When the database does not answer.
pub async fn chart(grant: &Grant<right::View>, wish: &Wish, zone: &str) -> Result<Vec<Bucket>> {
    bars(grant, &span(grant, wish, zone).await?, zone).await
}

async fn bars(grant: &Grant<right::View>, span: &Span, zone: &str) -> Result<Vec<Bucket>> {
    let bar = Bar::of((span.to - span.from).num_seconds());
    part!(grant, "bars", tx, async {
        store::plan_anew(&mut tx).await?;
        store::bars(&mut tx, span, bar, zone).await
    })
}

/// The day of an address, of a year that people write with four digits: neither the database nor the calendar goes on for
/// ever.
#[must_use]
pub fn day(text: &str) -> Option<NaiveDate> {
    text.parse::<NaiveDate>().ok().filter(|day| (1..=9_999).contains(&day.year()))
}

/// The period of a wish. Days that are none are left out; more than the longest period is cut.
async fn span(grant: &Grant<right::View>, wish: &Wish, zone: &str) -> Result<Span> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let (first, last) = (wish.from.as_deref().and_then(day), wish.to.as_deref().and_then(day));
    let (first, last) = match (first, last) {
        (Some(first), Some(last)) if last < first => (Some(last), Some(first)),
        days => days,
    };
    let store::Days { now, from, to, upto } = store::days(&mut tx, first, last, zone).await?;
    if first.is_none() && last.is_none() {
        let length = std::time::Duration::from_secs(wish.range.seconds().unsigned_abs());
        let from = now - length;
        return Ok(Span { range: Some(wish.range), before: from - length, from, to: now, now, upto });
    }
    let to = to.unwrap_or(now);
    let earliest = to - chrono::TimeDelta::days(LONGEST);
    let from = from.unwrap_or(to - chrono::TimeDelta::days(30)).max(earliest).min(to);
    Ok(Span { range: None, before: from - (to - from), from, to, now, upto })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_that_the_database_and_the_calendar_have() {
        for text in ["2026-11-20", "0001-01-01", "9999-12-31"] {
            assert_eq!(day(text).map(|day| day.to_string()).as_deref(), Some(text));
        }
        for text in ["+262142-12-31", "+10000-01-01", "0000-12-31", "-5000-01-01", "2026-02-30", "soon", ""] {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
