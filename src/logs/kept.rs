//! Which lines fit a question, remembered: a log only grows, so what was looked at once need not be looked at again. Each
//! process remembers for itself, and loses nothing but time when it forgets.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use chrono::TimeDelta;
use tokio::sync::Mutex as Turn;

use super::LineKey;
use crate::kernel::Timestamp;

/// The most questions that are remembered.
const QUESTIONS: usize = 64;
/// The most lines that are remembered in all.
const LINES: usize = 1_000_000;
/// The most lines of one answer: what is beyond them is not looked for.
pub const KEYS: usize = 200_000;
/// Lines of an organization are ordered by the moment at which their writing began: so much later it has ended.
pub const LATE: TimeDelta = TimeDelta::seconds(60);

/// The lines that fit, in order, as far as was looked.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Those that fit.
    pub keys: Vec<LineKey>,
    /// The last line that was looked at.
    pub seen: Option<LineKey>,
    /// From when on lines were looked at.
    pub from: Timestamp,
    /// When it was looked last.
    looked: Timestamp,
}

impl Kept {
    /// Nothing was looked at yet.
    pub const fn new(from: Timestamp, now: Timestamp) -> Self {
        Self { keys: Vec::new(), seen: None, from, looked: now }
    }

    /// Whether there are as many as are looked for.
    pub const fn is_full(&self) -> bool {
        self.keys.len() >= KEYS
    }

    /// Before an organization's lines are looked at again from a moment on. What was written late stands before lines that
    /// were seen already: those are looked at once more. What is too old goes: by more than `spare`, for who has had the page
    /// open for long goes on with lines that are too old for who opens it now.
    pub fn resume(&mut self, from: Timestamp, now: Timestamp, spare: TimeDelta) {
        if self.from < from - spare || (self.is_full() && self.from < from) {
            let old = self.keys.partition_point(|key| key.at < from);
            self.keys.drain(..old);
            self.from = from;
        }
        let settled = self.looked - LATE;
        let seen = self.seen.map(|seen| LineKey { at: seen.at.min(settled), ..seen });
        self.seen = seen.filter(|seen| seen.at > self.from);
        let known = self.seen.map_or(0, |seen| self.keys.partition_point(|key| *key <= seen));
        self.keys.truncate(known);
        self.looked = now;
    }

    /// Takes in those that fit of the lines up to one.
    pub fn take(&mut self, last: LineKey, keys: impl Iterator<Item = LineKey>) {
        self.seen = Some(last);
        self.keys.extend(keys);
        if self.is_full() {
            self.keys.truncate(KEYS);
            self.seen = self.keys.last().copied();
        }
    }
}

static KEPT: Mutex<VecDeque<(String, Arc<Kept>)>> = Mutex::new(VecDeque::new());
static TURNS: Mutex<Option<HashMap<String, Weak<Turn<()>>>>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, VecDeque<(String, Arc<Kept>)>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is remembered of a question.
pub fn recall(question: &str) -> Option<Arc<Kept>> {
    let mut all = kept();
    let place = all.iter().position(|(other, _)| other == question)?;
    let found = all.remove(place)?;
    let known = Arc::clone(&found.1);
    all.push_back(found);
    Some(known)
}

/// Remembers what fits a question; forgets what was not asked for the longest.
pub fn remember(question: String, known: Arc<Kept>) {
    let mut all = kept();
    all.retain(|(other, _)| *other != question);
    all.push_back((question, known));
    let mut lines: usize = all.iter().map(|(_, kept)| kept.keys.len()).sum();
    while all.len() > QUESTIONS || lines > LINES {
        let Some((_, oldest)) = all.pop_front() else { break };
        lines -= oldest.keys.len();
    }
}

/// Who has it looks for what fits a question; others wait, and find it remembered.
pub fn turn(question: &str) -> Arc<Turn<()>> {
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let turns = turns.get_or_insert_default();
    if let Some(turn) = turns.get(question).and_then(Weak::upgrade) {
        return turn;
    }
    turns.retain(|_, turn| turn.strong_count() > 0);
    let turn = Arc::new(Turn::new(()));
    turns.insert(question.to_owned(), Arc::downgrade(&turn));
    turn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RunId;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_900_000_000 + seconds, 0).unwrap()
    }

    fn key(seconds: i64) -> LineKey {
        LineKey { at: at(seconds), run: RunId::from_uuid(uuid::Uuid::nil()), seq: seconds }
    }

    fn seconds(kept: &Kept) -> Vec<i64> {
        kept.keys.iter().map(|key| key.seq).collect()
    }

    #[test]
    fn what_was_not_looked_at_to_the_end_goes_on_where_it_was() {
        let day = TimeDelta::days(1);
        let mut kept = Kept::new(at(0), at(1_000));
        kept.take(key(300), [key(100), key(300)].into_iter());
        kept.resume(at(0), at(1_010), day);
        assert_eq!((kept.seen.unwrap().seq, seconds(&kept)), (300, vec![100, 300]));
        // What is younger than the time that writing takes is looked at once more.
        kept.take(key(1_009), [key(940), key(960), key(1_009)].into_iter());
        kept.resume(at(0), at(1_020), day);
        assert_eq!((kept.seen.unwrap().at, seconds(&kept)), (at(950), vec![100, 300, 940]));
        kept.resume(at(0), at(9_000), day);
        assert_eq!((kept.seen.unwrap().at, seconds(&kept)), (at(950), vec![100, 300, 940]));
    }

    #[test]
    fn what_is_too_old_goes_when_nobody_can_have_it_open() {
        let hour = TimeDelta::hours(1);
        let mut kept = Kept::new(at(0), at(3_600));
        kept.take(key(3_000), [key(10), key(2_000), key(3_000)].into_iter());
        kept.resume(at(1_000), at(4_600), hour);
        assert_eq!((kept.from, seconds(&kept)), (at(0), vec![10, 2_000, 3_000]));
        kept.resume(at(3_601), at(7_201), hour);
        assert_eq!((kept.from, seconds(&kept), kept.seen), (at(3_601), Vec::new(), None));
    }

    #[test]
    fn an_answer_has_an_end_and_is_remembered() {
        let mut kept = Kept::new(at(0), at(0));
        let keys = (1..=i64::try_from(KEYS).unwrap() + 10).map(key);
        kept.take(key(9_999_999), keys);
        assert!(kept.is_full() && kept.keys.len() == KEYS);
        assert_eq!(kept.seen, kept.keys.last().copied());
        remember("an answer with an end".to_owned(), Arc::new(kept));
        assert_eq!(recall("an answer with an end").unwrap().keys.len(), KEYS);
    }

    #[test]
    fn one_looks_at_a_time_and_only_those_who_look_are_known() {
        let (one, other) = (turn("turn of a"), turn("turn of b"));
        assert!(Arc::ptr_eq(&one, &turn("turn of a")) && !Arc::ptr_eq(&one, &other));
        let held = one.try_lock().unwrap();
        assert!(turn("turn of a").try_lock().is_err());
        drop(held);
        drop(one);
        drop(turn("turn of c"));
        let turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!turns.as_ref().unwrap().contains_key("turn of a"));
    }
}
