//! How many lines there were when, by level.

use chrono::TimeDelta;

use super::LEVELS;
use crate::kernel::Timestamp;

/// The most bars of a chart.
const BARS: i64 = 60;
/// How long a bar may be, in seconds.
const WIDTHS: [i64; 19] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800];

/// The lines of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// When it begins.
    pub from: Timestamp,
    /// When the next one begins.
    pub to: Timestamp,
    /// How many lines, by level in the order of [`LEVELS`].
    pub lines: [u64; 4],
}

impl Bar {
    /// All of its lines.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lines.iter().sum()
    }
}

/// How long each bar of a stretch of time is, in seconds.
pub fn width(from: Timestamp, to: Timestamp) -> i64 {
    let least = (to - from).num_seconds() / BARS;
    // What is longer than the longest has longer bars, and not more of them.
    WIDTHS.into_iter().find(|width| *width > least).unwrap_or(least + 1)
}

/// The bars of a stretch of time, those without lines included, out of what the database counted: where a bar begins, the
/// level's word, and how many.
pub fn bars(from: Timestamp, to: Timestamp, width: i64, counted: &[(Timestamp, Option<String>, i64)]) -> Vec<Bar> {
    let first = Timestamp::from_timestamp(from.timestamp().div_euclid(width) * width, 0).unwrap_or(from);
    let span = TimeDelta::seconds(width);
    let begins = std::iter::successors(Some(first), |begin| begin.checked_add_signed(span));
    let mut bars: Vec<Bar> = begins
        .take_while(|begin| *begin <= to)
        .take(usize::try_from(BARS).unwrap_or_default() + 2)
        .map(|begin| Bar { from: begin, to: begin + span, lines: [0; 4] })
        .collect();
    for (begin, level, count) in counted {
        let level = super::matcher::stored_level(level.as_deref());
        let place = LEVELS.iter().position(|other| *other == level).unwrap_or_default();
        if let Ok(found) = bars.binary_search_by_key(begin, |bar| bar.from) {
            bars[found].lines[place] += count.unsigned_abs();
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_900_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_stretch_has_at_most_so_many_bars_and_all_of_its_lines() {
        for seconds in [0, 1, 59, 61, 3_600, 86_400, 86_400 * 7, 86_400 * 365, 86_400 * 4_000] {
            let width = width(at(0), at(seconds));
            let last = at(seconds).timestamp().div_euclid(width) * width;
            let last = Timestamp::from_timestamp(last, 0).unwrap();
            let counted = [(last, Some("error".to_owned()), 3), (last, Some("loud".to_owned()), 2)];
            let bars = bars(at(0), at(seconds), width, &counted);
            assert!(bars.len() <= 62, "{seconds}: {}", bars.len());
            assert_eq!(bars.last().unwrap().lines, [0, 2, 0, 3], "{seconds}");
            assert!(bars[0].from <= at(0) && bars.iter().map(Bar::total).sum::<u64>() == 5);
            assert!(bars.windows(2).all(|two| two[0].to == two[1].from));
        }
    }
}
