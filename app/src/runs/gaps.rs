//! Stretches of a run in which nothing worked: it waited for a person, a moment, or another attempt. Long ones are drawn
//! narrow, so that hours of waiting do not press the work into a line.

use agentflow::{engine::journal::RunView, kernel::Timestamp};

use super::{
    tree::Tree,
    waterfall::{Part, segments},
};

/// A gap is at least one twentieth of what is shown.
const LEAST: i64 = 20;

/// A stretch in which nothing worked, in milliseconds since the run was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins.
    pub from_ms: i64,
    /// Where it ends.
    pub to_ms: i64,
    /// How wide it is drawn, in milliseconds of work.
    pub width_ms: i64,
}

impl Gap {
    /// How much of what is before a moment is not drawn.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^52")]
    pub fn hides(&self, ms: i64) -> f64 {
        let (length, inside) = (self.to_ms - self.from_ms, ms.clamp(self.from_ms, self.to_ms) - self.from_ms);
        inside as f64 * (1.0 - self.width_ms as f64 / length as f64)
    }
}

/// The gaps between two moments, in order. `zero` is when the run was accepted, `now` where what is under way ends.
#[must_use]
pub fn gaps(view: &RunView, tree: &Tree, zero: Timestamp, now: Timestamp, (from_ms, to_ms): (i64, i64)) -> Vec<Gap> {
    let leaves = view.steps.iter().enumerate().filter(|(place, _)| {
        // What a group does is what is inside of it.
        tree.node(*place).is_some_and(|node| node.children.is_empty())
    });
    let parts = leaves.flat_map(|(_, step)| segments(step, zero, now));
    let mut work: Vec<_> =
        parts.filter(|part| part.part == Part::Work).map(|part| (part.from_ms, part.to_ms)).collect();
    work.sort_unstable();
    let mut found = Vec::new();
    let mut at = from_ms;
    for (from, to) in work.into_iter().filter(|(_, to)| *to > from_ms).chain([(to_ms, to_ms)]) {
        let gap = from.min(to_ms) - at;
        if gap > 0 && gap >= (to_ms - from_ms) / LEAST {
            found.push((at, from.min(to_ms)));
        }
        at = at.max(to);
    }
    let hidden: i64 = found.iter().map(|(from, to)| to - from).sum();
    let width_ms = ((to_ms - from_ms - hidden) / 40).max(1);
    found.retain(|(from, to)| to - from > width_ms * 2);
    found.into_iter().map(|(from_ms, to_ms)| Gap { from_ms, to_ms, width_ms }).collect()
}

#[cfg(test)]
mod tests {
    use agentflow::engine::state::StepKind;

    use super::*;
    use crate::runs::{
        fixture::{at, folded, head, numbered, started, succeeded},
        waterfall::Scale,
    };

    #[test]
    fn hours_of_waiting_are_drawn_narrow_and_what_is_before_and_after_them_wide() {
        let (first, asks, last) =
            (head("a", StepKind::Http, 0), head("ask", StepKind::Approval, 1_000), head("b", StepKind::Http, 99_000));
        let view = folded(&numbered([
            (0, started(&first, 1)),
            (1_000, succeeded(&first, 0)),
            (1_000, started(&asks, 1)),
            (99_000, succeeded(&asks, 0)),
            (99_000, started(&last, 1)),
            (100_000, succeeded(&last, 0)),
        ]));
        let found = gaps(&view, &Tree::of(&view.steps), at(0), at(100_000), (0, 100_000));
        assert_eq!(found, [Gap { from_ms: 1_000, to_ms: 99_000, width_ms: 50 }]);
        let scale = Scale::of_run(100_000, true).folding(found);
        assert_eq!((scale.percent(0), scale.percent(100_000)), (0.0, 100.0));
        let (before, after) = (scale.percent(1_000), scale.percent(99_000));
        assert!((48.0..50.0).contains(&before) && (50.0..52.0).contains(&after), "{before} {after}");
        let marks = scale.marks();
        assert!(marks.len() < 12 && marks.windows(2).all(|two| two[0].0 < two[1].0), "{marks:?}");
    }

    #[test]
    fn short_pauses_are_no_gaps() {
        let (first, last) = (head("a", StepKind::Http, 0), head("b", StepKind::Http, 0));
        let view = folded(&numbered([
            (0, started(&first, 1)),
            (1_000, succeeded(&first, 0)),
            (1_040, started(&last, 1)),
            (2_000, succeeded(&last, 0)),
        ]));
        assert_eq!(gaps(&view, &Tree::of(&view.steps), at(0), at(2_000), (0, 2_000)), []);
    }
}
