//! Finds what rules describe, in text that comes in pieces, and puts a mark in its place.
//!
//! There is one way to read a text, and a whole text is a text of one piece: at each place all rules are tried from there
//! on, the longest hit counts, and where the text so far leaves open what it will be, reading waits. So what comes out
//! cannot depend on where the pieces were cut. The rules are regular expressions of bounded length, walked as an automaton
//! whose dead state says that nothing can match any more: only what could still become a hit is held back.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use regex_automata::{
    Anchored, MatchKind,
    hybrid::dfa::{Cache, DFA},
    util::{start, syntax},
};

use crate::engine::plan::Sensitive;

/// Stands for a text that could not be looked through: nothing of it is let out.
pub(super) const UNREADABLE: &str = "[text removed]";

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    /// What of the match is replaced. What stands before it stays, what stands behind it is read again.
    pub span: Range<usize>,
    /// What is put there.
    pub mark: &'static str,
    /// What it was.
    pub kind: Option<Sensitive>,
    /// What still belongs to it, however long it is.
    pub tail: Tail,
}

/// What follows a hit and belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    None,
    /// Letters, digits, `-` and `_`.
    Token,
    /// The same and what else base64 and JWTs are made of.
    Base64,
    /// All until a space, a quote, or what ends a value in code.
    Value,
    /// The rest of a PEM block.
    Pem,
    /// Everything.
    All,
}

/// Reads what a match means; nothing where it only looks like a hit. Gets the number of the pattern, at most the last two
/// letters before the match, and the match.
pub(super) type Judge = Box<dyn Fn(usize, &str, &str) -> Option<Hit> + Send + Sync>;

/// A set of rules. Patterns are ASCII unless they say otherwise, and bounded in length.
pub(super) struct Rules {
    dfa: DFA,
    judge: Judge,
    /// Whether a hit that begins inside of another one makes that one longer.
    joins: bool,
    caches: Mutex<Vec<Cache>>,
}

impl Rules {
    pub fn new(patterns: &[String], joins: bool, judge: Judge) -> Option<Arc<Self>> {
        let config = DFA::config().match_kind(MatchKind::All).skip_cache_capacity_check(true);
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let dfa = DFA::builder().configure(config).syntax(syntax).build_many(patterns).ok()?;
        Some(Arc::new(Self { dfa, judge, joins, caches: Mutex::default() }))
    }
}

enum Seen {
    Nothing,
    Hit(Hit),
    /// More text is needed to tell.
    Open,
}

/// One reading of one text.
pub(super) struct Pass {
    rules: Arc<Rules>,
    cache: Option<Cache>,
    ends: Vec<(usize, usize)>,
    /// The text that is not done, behind two letters of what is.
    text: String,
    done: usize,
    tail: Tail,
    swallowed: usize,
    /// The mark that was written last, while nothing stands behind it.
    fresh: Option<&'static str>,
    /// What was found.
    pub found: BTreeSet<Sensitive>,
}

impl Pass {
    pub fn new(rules: &Arc<Rules>) -> Self {
        let cache = rules.caches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self {
            cache: Some(cache.unwrap_or_else(|| rules.dfa.create_cache())),
            rules: Arc::clone(rules),
            ends: Vec::new(),
            text: String::new(),
            done: 0,
            tail: Tail::None,
            swallowed: 0,
            fresh: None,
            found: BTreeSet::new(),
        }
    }

    /// Takes a piece, gives what is settled.
    pub fn push(&mut self, piece: &str) -> String {
        self.text.push_str(piece);
        self.read(false)
    }

    /// Gives the rest: nothing follows. The next piece begins a new text.
    pub fn finish(&mut self) -> String {
        let rest = self.read(true);
        self.text.clear();
        (self.done, self.tail, self.swallowed, self.fresh) = (0, Tail::None, 0, None);
        rest
    }

    /// How many bytes are held back.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.text.len() - self.done
    }

    fn read(&mut self, at_end: bool) -> String {
        let mut out = String::new();
        let mut at = self.done;
        while let Some(letter) = self.text[at..].chars().next() {
            if self.tail != Tail::None {
                match self.tail.takes(&self.text[at..], letter, at_end) {
                    Some(0) => self.tail = Tail::None,
                    Some(bytes) => {
                        at += bytes;
                        self.swallowed += bytes;
                        if self.tail == Tail::Pem && (bytes > 1 && letter == '-' || self.swallowed > MAX_PEM) {
                            self.tail = Tail::None;
                        }
                    }
                    None => break,
                }
                continue;
            }
            match self.look(at, at_end) {
                Seen::Open => break,
                Seen::Nothing => {
                    out.push(letter);
                    self.fresh = None;
                    at += letter.len_utf8();
                }
                Seen::Hit(hit) => {
                    let Some(end) = self.joined(at, at + hit.span.end, at_end) else { break };
                    let before = &self.text[at..at + hit.span.start];
                    if !before.is_empty() {
                        out.push_str(before);
                        self.fresh = None;
                    }
                    if self.fresh != Some(hit.mark) {
                        out.push_str(hit.mark);
                    }
                    self.fresh = Some(hit.mark);
                    self.found.extend(hit.kind);
                    (self.tail, self.swallowed) = (hit.tail, 0);
                    at = end;
                }
            }
        }
        // Two letters stay for whoever looks back.
        let keep = self.text[..at].char_indices().rev().nth(1).map_or(0, |(place, _)| place);
        self.text.drain(..keep);
        self.done = at - keep;
        out
    }

    /// Where a hit ends together with those that begin in it; nothing while that is open.
    fn joined(&mut self, at: usize, mut end: usize, at_end: bool) -> Option<usize> {
        let mut inner = at;
        while self.rules.joins && inner < end {
            inner += self.text[inner..].chars().next().map_or(1, char::len_utf8);
            match self.look(inner, at_end) {
                Seen::Open if inner < end => return None,
                Seen::Hit(hit) if inner < end => end = end.max(inner + hit.span.end),
                _ => {}
            }
        }
        Some(end)
    }

    /// What begins at this place.
    fn look(&mut self, at: usize, at_end: bool) -> Seen {
        let Some(mut cache) = self.cache.take() else { return broken() };
        let walked = self.walk(&mut cache, at, at_end);
        self.cache = Some(cache);
        match walked {
            None => broken(),
            Some(false) => Seen::Open,
            Some(true) => self.judged(at),
        }
    }

    /// Collects where matches end. `false`: more could follow.
    fn walk(&mut self, cache: &mut Cache, at: usize, at_end: bool) -> Option<bool> {
        self.ends.clear();
        let dfa = &self.rules.dfa;
        let bytes = self.text.as_bytes();
        let behind = at.checked_sub(1).map(|place| bytes[place]);
        let start = start::Config::new().anchored(Anchored::Yes).look_behind(behind);
        let mut state = dfa.start_state(cache, &start).ok()?;
        for (length, byte) in bytes[at..].iter().enumerate() {
            state = dfa.next_state(cache, state, *byte).ok()?;
            if state.is_match() {
                // The automaton is one byte late, so that it knows what follows a match.
                let matches = 0..dfa.match_len(cache, state);
                self.ends.extend(matches.map(|place| (length, dfa.match_pattern(cache, state, place).as_usize())));
            } else if state.is_dead() {
                return Some(true);
            } else if state.is_quit() {
                return None;
            }
        }
        if !at_end {
            return Some(false);
        }
        state = dfa.next_eoi_state(cache, state).ok()?;
        if state.is_match() {
            let (length, matches) = (bytes.len() - at, 0..dfa.match_len(cache, state));
            self.ends.extend(matches.map(|place| (length, dfa.match_pattern(cache, state, place).as_usize())));
        }
        Some(true)
    }

    fn judged(&mut self, at: usize) -> Seen {
        // The longest first; of equals, the pattern that was named first.
        self.ends.sort_unstable_by_key(|(length, pattern)| (usize::MAX - length, *pattern));
        let before = &self.text[..at];
        let before = &before[before.char_indices().rev().nth(1).map_or(0, |(place, _)| place)..];
        let hit = self.ends.iter().find_map(|(length, pattern)| {
            let text = self.text.get(at..at + length)?;
            (self.rules.judge)(*pattern, before, text).filter(|hit| !hit.span.is_empty())
        });
        hit.map_or(Seen::Nothing, Seen::Hit)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut caches = self.rules.caches.lock().unwrap_or_else(PoisonError::into_inner);
        if caches.len() < 8 {
            caches.extend(self.cache.take());
        }
    }
}

/// An automaton that gave up is no reason to let a text through.
fn broken() -> Seen {
    Seen::Hit(Hit { span: 0..0, mark: UNREADABLE, kind: None, tail: Tail::All })
}

/// The longest PEM block.
const MAX_PEM: usize = 16 << 10;
/// The longest line that ends one.
const MAX_PEM_END: usize = 70;

impl Tail {
    /// How many bytes at the beginning of a text belong to the tail; nothing while that is open.
    fn takes(self, text: &str, letter: char, at_end: bool) -> Option<usize> {
        let fits = match self {
            Self::None => false,
            Self::Token => letter.is_ascii_alphanumeric() || "-_".contains(letter),
            Self::Base64 => letter.is_ascii_alphanumeric() || "-_+/=.~".contains(letter),
            Self::Value => !letter.is_whitespace() && !"\"'`,;<>\\".contains(letter),
            Self::Pem => {
                if text.starts_with('-') {
                    match pem_end(text) {
                        Some(length) => return Some(length),
                        None if !at_end && text.len() < MAX_PEM_END && could_end_pem(text) => return None,
                        None => {}
                    }
                }
                letter.is_ascii_alphanumeric() || letter.is_ascii_whitespace() || "+/=:,-\\".contains(letter)
            }
            Self::All => true,
        };
        Some(if fits { letter.len_utf8() } else { 0 })
    }
}

/// How long the line is that ends a PEM block.
fn pem_end(text: &str) -> Option<usize> {
    let words = text.strip_prefix("-----END ")?;
    let length =
        words.find(|letter: char| !letter.is_ascii_uppercase() && !letter.is_ascii_digit() && letter != ' ')?;
    let whole = "-----END ".len() + length + "-----".len();
    (length <= 50 && words[length..].starts_with("-----")).then_some(whole)
}

fn could_end_pem(text: &str) -> bool {
    let begin = "-----END ";
    if text.len() <= begin.len() {
        return begin.starts_with(text);
    }
    let Some(words) = text.strip_prefix(begin) else { return false };
    let rest = words
        .trim_start_matches(|letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == ' ');
    "-----".starts_with(rest)
}
