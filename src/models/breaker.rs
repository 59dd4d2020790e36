//! When a connection that fails is left alone for a while. Pure: the time is handed in.
//!
//! Closed, calls go out. After some failures in a row it opens, and calls go elsewhere. Once the pause is over one call
//! goes out to see: if it is answered all go out again, if it fails the next pause is twice as long.

use std::time::{Duration, Instant};

/// Failures in a row after which it opens.
const FAILURES: u32 = 5;
/// The first pause.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(300);
/// The pause after a refused key or a used-up allowance: the next call fares no better, whoever makes it.
const REFUSED: Duration = Duration::from_secs(60);

/// What a call said of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Somebody is there.
    Answered,
    /// Nobody is, or nobody in time.
    Failed,
    /// Somebody is, and does not want this key.
    Refused,
    /// Nothing: the call was given up, or came too early.
    Nothing,
}

/// The breaker of one connection.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    is_probed: bool,
}

impl Breaker {
    /// Whether calls had better go elsewhere.
    pub fn is_open(&self, now: Instant) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_probed || now < open.until)
    }

    /// A call goes out. Tells whether it is the one that finds out; [`Breaker::end`] wants to know.
    pub fn begin(&mut self, now: Instant) -> bool {
        match &mut self.open {
            Some(open) if !open.is_probed && now >= open.until => {
                open.is_probed = true;
                true
            }
            _ => false,
        }
    }

    /// A call is over.
    pub fn end(&mut self, probe: bool, verdict: Verdict, now: Instant) {
        let was = self.open.as_ref().map(|open| open.pause);
        match (verdict, was) {
            (Verdict::Answered, _) => *self = Self::default(),
            (Verdict::Failed, None) => {
                self.failures += 1;
                if self.failures >= FAILURES {
                    self.open_for(PAUSE, now);
                }
            }
            (Verdict::Failed, Some(pause)) if probe => self.open_for((pause * 2).min(LONGEST), now),
            // A key that is refused while it is open for another reason says nothing of that reason.
            (Verdict::Refused, None) => self.open_for(REFUSED, now),
            (Verdict::Refused, Some(pause)) if probe => self.open_for(pause.max(REFUSED), now),
            (Verdict::Nothing, _) if probe => self.open.iter_mut().for_each(|open| open.is_probed = false),
            // Calls that had begun before it opened, or went out because nothing else was left.
            _ => {}
        }
    }

    fn open_for(&mut self, pause: Duration, now: Instant) {
        self.failures = 0;
        self.open = Some(Open { until: now + pause, pause, is_probed: false });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    fn call(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> bool {
        let probe = breaker.begin(now);
        breaker.end(probe, verdict, now);
        probe
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            call(&mut breaker, Verdict::Failed, now);
        }
        call(&mut breaker, Verdict::Answered, now);
        for _ in 0..4 {
            call(&mut breaker, Verdict::Failed, now);
            assert!(!breaker.is_open(now));
        }
        call(&mut breaker, Verdict::Nothing, now);
        call(&mut breaker, Verdict::Failed, now);
        assert!(breaker.is_open(now) && breaker.is_open(after(now, 29)));
        assert!(!breaker.is_open(after(now, 30)));
    }

    #[test]
    fn one_call_finds_out_and_the_pause_doubles_up_to_five_minutes() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            call(&mut breaker, Verdict::Failed, now);
        }
        for pause in [30, 60, 120, 240, 300, 300] {
            assert!(breaker.is_open(after(now, pause - 1)), "{pause}");
            now = after(now, pause);
            assert!(!breaker.is_open(now), "{pause}");
            assert!(breaker.begin(now) && breaker.is_open(now), "only one call");
            assert!(!breaker.begin(now), "a second one goes out as any does");
            breaker.end(false, Verdict::Failed, now);
            breaker.end(true, Verdict::Failed, now);
        }
        now = after(now, 300);
        assert!(breaker.begin(now));
        breaker.end(true, Verdict::Nothing, now);
        assert!(!breaker.is_open(now), "the probe was given up: the next call is one");
        assert!(call(&mut breaker, Verdict::Answered, now));
        assert!(!breaker.is_open(now) && !breaker.begin(now));
    }

    #[test]
    fn a_refused_key_opens_it_at_once_for_a_minute() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        call(&mut breaker, Verdict::Refused, now);
        assert!(breaker.is_open(after(now, 59)) && !breaker.is_open(after(now, 60)));
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop::sample::select(vec![Verdict::Answered, Verdict::Failed, Verdict::Refused, Verdict::Nothing])
    }

    proptest! {
        /// Whatever calls go out together and end in whatever order: never two probes, never open for longer than five
        /// minutes with nobody finding out, and closed after an answer.
        #[test]
        fn it_never_stays_shut(steps in prop::collection::vec((0_u64..400, prop::bool::ANY, verdict(), any::<prop::sample::Index>()), 1..80)) {
            let (mut breaker, mut now) = (Breaker::default(), Instant::now());
            let mut under_way: Vec<bool> = Vec::new();
            for (seconds, begins, verdict, which) in steps {
                now = after(now, seconds);
                if begins || under_way.is_empty() {
                    under_way.push(breaker.begin(now));
                } else {
                    let probe = under_way.swap_remove(which.index(under_way.len()));
                    breaker.end(probe, verdict, now);
                    if verdict == Verdict::Answered {
                        prop_assert!(!breaker.is_open(now));
                        // Whoever was finding out before is not asked any more.
                        under_way.iter_mut().for_each(|probe| *probe = false);
                    }
                }
                prop_assert!(under_way.iter().filter(|probe| **probe).count() <= 1);
                let nobody = !under_way.contains(&true);
                prop_assert!(!nobody || !breaker.is_open(after(now, 300)));
            }
        }
    }
}
