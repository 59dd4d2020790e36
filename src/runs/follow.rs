//! Following a run: every event after a number exactly once and in order, from the table as far as it goes and then as
//! they are committed.

use std::{collections::VecDeque, sync::Arc};

use super::service::read_events;
use crate::{
    access::{Ctx, Grant, right},
    engine::journal::StoredEvent,
    kernel::{Result, RunId},
    live::{Live, Partial, Subscription, Told},
};

/// The most events that are read at once.
const BATCH: i64 = 500;

/// What a follower of a run is told.
#[derive(Debug, Clone)]
pub enum News {
    /// The number that it gave does not exist (yet): forget what was seen, the run's events follow from the first on.
    Reset,
    /// The next event.
    Event(Arc<Told>),
    /// Streamed tokens; not kept.
    Partial(Arc<Partial>),
    /// It was too slow, or the table could not be read: come again with the last number. Nothing follows.
    Reconnect,
}

/// A reader's place at a run.
pub struct Follower {
    cx: Ctx,
    run: RunId,
    /// The number of the last event that was handed out.
    seen: i64,
    /// Events that are about to be handed out.
    next: VecDeque<Arc<Told>>,
    /// Whether the table may hold more than was handed out.
    behind: bool,
    reset: bool,
    live: Subscription,
}

/// Begins to follow a run after a number; 0 is the beginning.
///
/// # Errors
/// `not_found`.
pub async fn follow(grant: &Grant<right::ViewPayloads>, run: RunId, after: i64) -> Result<Follower> {
    let cx: Ctx = Ctx::clone(grant);
    // Listens before it reads: what is committed in between is heard, and recognized by its number.
    let live = cx.deps().live.subscribe_run(cx.org_id(), run);
    let (events, last) = read_events(&cx, run, after.max(0), BATCH).await?;
    let reset = after < 0 || after > last;
    let mut follower =
        Follower { cx, run, seen: if reset { 0 } else { after }, next: VecDeque::new(), behind: reset, reset, live };
    if !reset {
        follower.take(events);
    }
    Ok(follower)
}

impl Follower {
    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The number of the last event that was handed out.
    #[must_use]
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// Whether the table had nothing to hand out.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        self.next.is_empty() && !self.behind
    }

    /// The next news. Waits for it. Not to be dropped while it waits, unless the follower is dropped too.
    pub async fn next(&mut self) -> News {
        if std::mem::take(&mut self.reset) {
            return News::Reset;
        }
        loop {
            if let Some(event) = self.next.pop_front() {
                self.seen = event.seq;
                return News::Event(event);
            }
            if self.behind {
                match read_events(&self.cx, self.run, self.seen, BATCH).await {
                    Ok((events, _)) => self.take(events),
                    Err(_) => return News::Reconnect,
                }
                continue;
            }
            match self.live.next().await {
                Ok(Live::Events(events)) => self.hear(&events),
                Ok(Live::Partial(partial)) => return News::Partial(partial),
                Err(_) => return News::Reconnect,
            }
        }
    }

    /// Events from the table, in order and without gaps.
    fn take(&mut self, events: Vec<StoredEvent>) {
        self.behind = events.len() as i64 == BATCH;
        if let Some(last) = events.last() {
            self.live.has_read(last.seq);
        }
        self.next = events.into_iter().map(|event| Arc::new(event.into())).collect();
    }

    /// Events of a commit. What was handed out already is left out; where one is missing, the table has it.
    fn hear(&mut self, events: &[Arc<Told>]) {
        for event in events {
            let wanted = self.seen + 1 + self.next.len() as i64;
            if event.seq > wanted {
                self.behind = true;
                return;
            }
            if event.seq == wanted {
                self.next.push_back(event.clone());
            }
        }
    }
}
