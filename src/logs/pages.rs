//! A log from its first line to its last, page by page, for a file: however long it is, little of it is in memory, and the
//! first page is there at once.

use super::{
    Line, LineKey, Place,
    address::{LogFilter, Mode},
    matcher::{Matcher, Needle},
    service::{self, TEXTS},
    store,
};
use crate::{
    access::{Grant, right},
    kernel::{Result, Timestamp},
};

/// Lines that are looked at for a page.
const LINES: u64 = 1_000;

/// A log that is read to its end.
pub struct Pages {
    grant: Grant<right::ViewPayloads>,
    place: Place,
    span: (Timestamp, Timestamp),
    matcher: Matcher,
    after: Option<LineKey>,
    done: bool,
}

impl Pages {
    /// The lines that a filter shows.
    ///
    /// # Errors
    /// `not_found` for a run that is none.
    pub async fn open(grant: Grant<right::ViewPayloads>, place: Place, filter: LogFilter) -> Result<Self> {
        let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
        let (now, begin, _) = service::ground(&mut tx, place).await?;
        let begin = match place {
            Place::Run(_) => begin,
            Place::Organization => filter.from.unwrap_or(now - filter.range.span()),
        };
        let span = (begin, filter.to.unwrap_or(now));
        // What is no pattern shows all lines, here as on the page; and what is only marked hides none.
        let needle = Needle::of(&filter).ok().flatten().filter(|_| filter.mode == Mode::Filter);
        let needle = needle.map(|needle| (filter.q.clone(), filter.regex, needle));
        // Once for the whole file: there may be many tasks of the agents that it names.
        let matcher = service::matcher(&mut tx, place, &filter, needle, span.0).await?;
        drop(tx);
        Ok(Self { grant, place, span, matcher, after: None, done: false })
    }

    /// The next lines; nothing at the end. A page may be empty although others follow.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next(&mut self) -> Result<Option<Vec<Line>>> {
        if self.done {
            return Ok(None);
        }
        let mut tx = self.grant.deps().db.tenant(self.grant.org_id()).await?;
        let matcher = &self.matcher;
        let limit = if matcher.reads_text() { TEXTS } else { LINES };
        let looked = service::scan(&mut tx, self.place, self.span, self.after, matcher.reads_text(), limit).await?;
        self.done = (looked.len() as u64) < limit;
        self.after = looked.last().map(store::Scanned::key).or(self.after);
        let keys: Vec<_> = looked.iter().filter(|line| matcher.takes(line)).map(store::Scanned::key).collect();
        Ok(Some(store::lines(&mut tx, &keys).await?))
    }
}
