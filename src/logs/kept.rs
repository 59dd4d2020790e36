//! Which lines fit a question, remembered: a log only grows, so what was looked at once need not be looked at again. Each
//! process remembers for itself, and loses nothing but time when it forgets.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::LineKey;

/// The most questions that are remembered.
const QUESTIONS: usize = 64;
/// The most lines that are remembered in all.
const LINES: usize = 1_000_000;

/// The lines that fit, in order, as far as was looked.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Those that fit.
    pub keys: Vec<LineKey>,
    /// The last line that was looked at.
    pub seen: Option<LineKey>,
}

static KEPT: Mutex<VecDeque<(String, Arc<Kept>)>> = Mutex::new(VecDeque::new());

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
