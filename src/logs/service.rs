//! Reading a log: how many lines fit, which are at a place, where a line or a hit is.

use std::{ops::Range, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::time::{Instant, timeout_at};

use super::{
    Bar, LEVELS, Line, LineKey, Place,
    address::{LogAddress, LogFilter, Mode},
    chart,
    kept::{self, KEYS, Kept, LATE},
    matcher::{Matcher, Needle},
    store::{self, Extent},
};
use crate::{
    access::{Grant, right},
    db::TenantTx,
    kernel::{Error, Kind, OrgId, Result, RunId, Timestamp},
};

/// The most lines that are looked at in one statement.
const AT_ONCE: u64 = 10_000;
/// The most lines whose texts are read in one statement: a text may be long.
pub(super) const TEXTS: u64 = 500;
/// The most lines of one answer.
const LINES: u64 = 1_000;
/// How long it is looked for what fits before it is said that it takes too long.
const PATIENCE: Duration = Duration::from_secs(20);
/// The tasks of an agent whose lines are looked for began at most so long before.
const TASK: TimeDelta = TimeDelta::days(30);
/// Lines before and after one that is shown with those around it.
const AROUND: u64 = 10;

/// The lines that fit.
enum Rows {
    /// All of the place's.
    All(Extent),
    /// These.
    Some(Found),
}

/// The lines that fit a question.
#[derive(Clone)]
struct Found {
    kept: Arc<Kept>,
    /// So many are remembered from before the question's beginning.
    skip: usize,
}

impl Found {
    fn keys(&self) -> &[LineKey] {
        self.kept.keys.get(self.skip..).unwrap_or_default()
    }
}

/// A log that was opened at an address.
pub struct LogReader {
    tx: TenantTx,
    place: Place,
    /// From when on, and before when; of a run only where the address says so.
    span: (Timestamp, Timestamp),
    rows: Rows,
    hits: Option<Found>,
    needle: Option<Needle>,
    fault: Option<String>,
    begin: Timestamp,
    now: Timestamp,
    ended: bool,
}

/// Opens a log at an address. An organization's begins where it began when the page was opened, where that is told: else its
/// places would move while one looks at them.
///
/// # Errors
/// `not_found` for a run that is none; `unavailable` when it takes too long to find what fits.
pub async fn open(
    grant: &Grant<right::ViewPayloads>,
    place: Place,
    address: &LogAddress,
    opened: Option<Timestamp>,
) -> Result<LogReader> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let (now, begin, ended) = ground(&mut tx, place).await?;
    let filter = &address.filter;
    let (needle, fault) = match Needle::of(filter) {
        Ok(needle) => (needle, None),
        Err(fault) => (None, Some(fault)),
    };
    let begin = match place {
        Place::Run(_) => begin,
        Place::Organization => {
            // Never later than it would be if the page was opened now.
            let latest = now - filter.range.span();
            let opened = opened.filter(|opened| *opened >= Timestamp::UNIX_EPOCH && *opened <= latest);
            filter.from.or(opened).unwrap_or(latest)
        }
    };
    let span = (begin, filter.to.unwrap_or(now + LATE));
    let mut question = Question { org: grant.org_id(), place, filter: filter.without_text(), needle: None, span, now };
    let is_all = question.is_all();
    let hits = match &needle {
        Some(needle) => {
            let mut sought = question.clone();
            sought.needle = Some((filter.q.clone(), filter.regex, needle.clone()));
            Some(answer(&mut tx, sought).await?)
        }
        None => None,
    };
    question.needle = None;
    let rows = match &hits {
        Some(hits) if filter.mode == Mode::Filter => Rows::Some(hits.clone()),
        _ if is_all => Rows::All(match place {
            Place::Run(run) => store::extent_of_run(&mut tx, run).await?,
            Place::Organization => store::extent_of_organization(&mut tx, span.0, span.1).await?,
        }),
        _ => Rows::Some(answer(&mut tx, question).await?),
    };
    Ok(LogReader { tx, place, span, rows, hits, needle, fault, begin, now, ended })
}

/// The moment, when a run began, and whether it has ended.
pub(super) async fn ground(tx: &mut TenantTx, place: Place) -> Result<(Timestamp, Timestamp, bool)> {
    match place {
        Place::Run(run) => {
            let ground = store::run(tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
            Ok((ground.now, ground.created_at, ground.ended))
        }
        Place::Organization => {
            let now = store::now(tx).await?;
            Ok((now, now, false))
        }
    }
}

/// Which lines are looked for.
#[derive(Clone)]
struct Question {
    org: OrgId,
    place: Place,
    filter: LogFilter,
    needle: Option<(String, bool, Needle)>,
    span: (Timestamp, Timestamp),
    now: Timestamp,
}

impl Question {
    /// Whether every line fits.
    fn is_all(&self) -> bool {
        let LogFilter { from, to, .. } = self.filter;
        let time = matches!(self.place, Place::Organization) || (from.is_none() && to.is_none());
        self.filter.conditions() == 0 && time
    }

    /// What it is remembered by.
    fn name(&self) -> String {
        let place = match self.place {
            Place::Run(run) => run.to_string(),
            Place::Organization => String::new(),
        };
        let filter = LogAddress { filter: self.filter.clone(), ..LogAddress::default() }.write();
        let (text, regex) = self.needle.as_ref().map_or(("", false), |(text, regex, _)| (text, *regex));
        format!("{} {place} {filter} {regex} {text}", self.org)
    }
}

/// The lines that a question asks for: those that are remembered, and the newer ones.
async fn answer(tx: &mut TenantTx, question: Question) -> Result<Found> {
    let until = Instant::now() + PATIENCE;
    let from = question.span.0;
    let mut name = question.name();
    if kept::recall(&name).is_some_and(|kept| kept.from > from) {
        // A page that has been open for long begins before what is remembered for those that are opened now.
        name = format!("{} {name}", from.timestamp_micros());
    }
    // Who asks the same meanwhile waits, and finds what was found.
    let turn = kept::turn(&name);
    let Ok(_turn) = timeout_at(until, turn.lock()).await else { return Err(too_long()) };
    let known = kept::recall(&name).filter(|kept| kept.from <= from);
    let mut kept = known.unwrap_or_else(|| Arc::new(Kept::new(from, question.now)));
    let looked = timeout_at(until, look(tx, &question, &mut kept)).await;
    // Also what was found before it took too long: the next try goes on from there.
    kept::remember(name, Arc::clone(&kept));
    looked.unwrap_or_else(|_| Err(too_long()))?;
    let skip = match question.place {
        Place::Run(_) => 0,
        Place::Organization => kept.keys.partition_point(|key| key.at < from),
    };
    Ok(Found { kept, skip })
}

fn too_long() -> Error {
    let words =
        "Finding these lines takes too long. Try again to go on from here, or choose a shorter stretch of time.";
    Error::new(Kind::Unavailable, "log.too_long", words)
}

async fn look(tx: &mut TenantTx, question: &Question, kept: &mut Arc<Kept>) -> Result<()> {
    let matcher = matcher(tx, question.place, &question.filter, question.needle.clone(), question.span.0).await?;
    if matches!(question.place, Place::Organization) {
        Arc::make_mut(kept).resume(question.span.0, question.now, question.filter.range.span());
    }
    let span = (kept.from, question.span.1);
    let limit = if matcher.reads_text() { TEXTS } else { AT_ONCE };
    while !kept.is_full() {
        let lines = scan(tx, question.place, span, kept.seen, matcher.reads_text(), limit).await?;
        let Some(last) = lines.last() else { break };
        let fitting = lines.iter().filter(|line| matcher.takes(line)).map(store::Scanned::key);
        Arc::make_mut(kept).take(last.key(), fitting);
        if (lines.len() as u64) < limit {
            break;
        }
        // Others have their turn too.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// The matcher of a filter: with the tasks of the agents that it names.
pub(super) async fn matcher(
    tx: &mut TenantTx,
    place: Place,
    filter: &LogFilter,
    needle: Option<(String, bool, Needle)>,
    from: Timestamp,
) -> Result<Matcher> {
    let agents: Vec<String> = filter.agent.iter().chain(&filter.not_agents).cloned().collect();
    let tasks = match agents.is_empty() {
        true => Vec::new(),
        false => store::tasks(tx, place, &agents, from - TASK).await?,
    };
    Ok(Matcher::new(filter.clone(), needle.map(|needle| needle.2), &tasks))
}

/// The next lines of a place after one.
pub(super) async fn scan(
    tx: &mut TenantTx,
    place: Place,
    span: (Timestamp, Timestamp),
    after: Option<LineKey>,
    text: bool,
    limit: u64,
) -> Result<Vec<store::Scanned>> {
    match place {
        Place::Run(run) => store::scan_run(tx, run, after.map_or(0, |after| after.seq), text, limit).await,
        Place::Organization => {
            let first = LineKey { at: span.0, run: RunId::from_uuid(uuid::Uuid::nil()), seq: 0 };
            store::scan_organization(tx, span, after.unwrap_or(first), text, limit).await
        }
    }
}

impl LogReader {
    /// How many lines are shown.
    #[must_use]
    pub fn total(&self) -> u64 {
        match &self.rows {
            Rows::All(extent) => extent.lines,
            Rows::Some(found) => found.keys().len() as u64,
        }
    }

    /// How many lines hold the text that is searched for; nothing where none is.
    #[must_use]
    pub fn hits(&self) -> Option<u64> {
        self.hits.as_ref().map(|hits| hits.keys().len() as u64)
    }

    /// How many lines there are at most where not all that fit were looked for.
    #[must_use]
    pub fn capped(&self) -> Option<u64> {
        let of_rows = match &self.rows {
            Rows::All(_) => false,
            Rows::Some(found) => found.kept.is_full(),
        };
        let is_capped = of_rows || self.hits.as_ref().is_some_and(|hits| hits.kept.is_full());
        is_capped.then_some(KEYS as u64)
    }

    /// What is searched for, to mark it in lines.
    #[must_use]
    pub const fn needle(&self) -> Option<&Needle> {
        self.needle.as_ref()
    }

    /// What is wrong with the pattern that is searched for, in a sentence.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// When the run was accepted; of an organization, from when on lines are shown.
    #[must_use]
    pub const fn begin(&self) -> Timestamp {
        self.begin
    }

    /// The moment of the answer.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether no line can follow any more.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The lines at these places. At most a thousand.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lines(&mut self, places: Range<u64>) -> Result<Vec<Line>> {
        let (skip, limit) = (places.start, places.end.saturating_sub(places.start).min(LINES));
        let keys = match &self.rows {
            Rows::Some(found) => {
                let keys = found.keys();
                let end = usize::try_from(skip + limit).unwrap_or(usize::MAX).min(keys.len());
                let begin = usize::try_from(skip).unwrap_or(usize::MAX).min(end);
                keys[begin..end].to_vec()
            }
            Rows::All(extent) => self.window(*extent, skip, limit).await?,
        };
        store::lines(&mut self.tx, &keys).await
    }

    async fn window(&mut self, extent: Extent, skip: u64, limit: u64) -> Result<Vec<LineKey>> {
        match self.place {
            Place::Run(run) => store::window_of_run(&mut self.tx, run, extent, skip, limit).await,
            Place::Organization => {
                store::window_of_organization(&mut self.tx, self.span, extent.lines, skip, limit).await
            }
        }
    }

    /// Where the line of a run with this number is, or would be if the filter let it through.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn place_of(&mut self, seq: i64) -> Result<u64> {
        match (&self.rows, self.place) {
            (Rows::Some(found), _) => Ok(found.keys().partition_point(|key| key.seq < seq) as u64),
            (Rows::All(_), Place::Run(run)) => store::before_in_run(&mut self.tx, run, seq).await,
            (Rows::All(extent), Place::Organization) => Ok(extent.lines),
        }
    }

    /// The number of a hit that there is: the last one where there are not so many.
    #[must_use]
    pub fn clamped(&self, hit: u64) -> Option<u64> {
        self.hits().filter(|hits| *hits > 0).map(|hits| hit.clamp(1, hits))
    }

    /// Where in the lines that are shown a hit is, and which line; hits are counted from one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn place_of_hit(&mut self, hit: u64) -> Result<Option<(u64, RunId, i64)>> {
        let place = usize::try_from(hit.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(key) = self.hits.as_ref().and_then(|hits| hits.keys().get(place)).copied() else { return Ok(None) };
        let place = match (&self.rows, self.place) {
            (Rows::All(_), Place::Run(run)) => store::before_in_run(&mut self.tx, run, key.seq).await?,
            (Rows::All(_), Place::Organization) => {
                store::before_in_organization(&mut self.tx, self.span.0, key).await?
            }
            (Rows::Some(found), Place::Run(_)) => found.keys().partition_point(|other| other.seq < key.seq) as u64,
            (Rows::Some(found), Place::Organization) => found.keys().partition_point(|other| *other < key) as u64,
        };
        Ok(Some((place, key.run, key.seq)))
    }

    /// The line of a run with this number and those around it, whatever the filter; nothing where there is no such line.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn around(&mut self, seq: i64) -> Result<Vec<Line>> {
        let Place::Run(run) = self.place else { return Ok(Vec::new()) };
        let extent = store::extent_of_run(&mut self.tx, run).await?;
        let place = store::before_in_run(&mut self.tx, run, seq).await?;
        let first = place.saturating_sub(AROUND);
        let keys = store::window_of_run(&mut self.tx, run, extent, first, place + AROUND + 1 - first).await?;
        if keys.iter().all(|key| key.seq != seq) {
            return Ok(Vec::new());
        }
        store::lines(&mut self.tx, &keys).await
    }

    /// How many of the lines from a place on are errors; of so many lines at most.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn errors_from(&mut self, place: u64) -> Result<u64> {
        let first = place.max(self.total().saturating_sub(LINES));
        let lines = self.lines(first..self.total()).await?;
        Ok(lines.iter().filter(|line| line.level == LEVELS[LEVELS.len() - 1]).count() as u64)
    }

    /// The agents whose lines can be asked for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn agents(&mut self) -> Result<Vec<String>> {
        store::agents(&mut self.tx, self.place).await
    }

    /// How many lines there were when, whatever the filter but for its time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn chart(&mut self, filter: &LogFilter) -> Result<Vec<Bar>> {
        let from = filter.from.unwrap_or(self.begin);
        let to = match (filter.to, self.place) {
            (Some(to), _) => to,
            (None, Place::Organization) => self.now,
            (None, Place::Run(run)) => self.last_of_run(run).await?.map_or(from, |line| line.at),
        };
        if to < from {
            return Ok(Vec::new());
        }
        let width = chart::width(from, to);
        let counted = store::chart(&mut self.tx, self.place, (from, to), width).await?;
        Ok(chart::bars(from, to, width, &counted))
    }

    /// The last line of a run, whatever the filter.
    async fn last_of_run(&mut self, run: RunId) -> Result<Option<Line>> {
        let extent = match self.rows {
            Rows::All(extent) => extent,
            Rows::Some(_) => store::extent_of_run(&mut self.tx, run).await?,
        };
        let keys = store::window_of_run(&mut self.tx, run, extent, extent.lines.saturating_sub(1), 1).await?;
        Ok(store::lines(&mut self.tx, &keys).await?.pop())
    }

    /// The last line that is shown.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn last(&mut self) -> Result<Option<Line>> {
        let total = self.total();
        Ok(self.lines(total.saturating_sub(1)..total).await?.pop())
    }
}
