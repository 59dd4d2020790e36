//! When a step waited for its turn, worked, paused before another attempt and waited for a person: the bars beside the
//! tree, in milliseconds since the run was accepted. Knows nothing of the page.

use std::sync::Arc;

use agentflow::{
    engine::{
        journal::{PauseKind, StepView},
        state::{StepKind, StepState},
    },
    kernel::{Timestamp, text},
};

use super::gaps::Gap;

/// What a part of a bar stands for; each has a fill of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Ready, but no place was free.
    Queue,
    /// At work.
    Work,
    /// The pause before another attempt.
    Backoff,
    /// A person was asked.
    Person,
    /// A pause that was asked for.
    Timer,
}

impl Part {
    /// All parts, as the legend shows them.
    pub const ALL: [Self; 5] = [Self::Queue, Self::Work, Self::Backoff, Self::Person, Self::Timer];

    /// What the legend says.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Queue => "Queued",
            Self::Work => "Work",
            Self::Backoff => "Pause before retry",
            Self::Person => "Waiting for a person",
            Self::Timer => "Timer or event",
        }
    }

    /// The class of its fill.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Queue => "bar-queue",
            Self::Work => "bar-work",
            Self::Backoff => "bar-backoff",
            Self::Person => "bar-person",
            Self::Timer => "bar-timer",
        }
    }
}

impl From<PauseKind> for Part {
    fn from(kind: PauseKind) -> Self {
        match kind {
            PauseKind::Person => Self::Person,
            PauseKind::Timer | PauseKind::Event => Self::Timer,
            PauseKind::Retry => Self::Backoff,
            PauseKind::Lock => Self::Queue,
        }
    }
}

/// A part of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// What it stands for.
    pub part: Part,
    /// When it begins, in milliseconds since the run was accepted.
    pub from_ms: i64,
    /// When it ends.
    pub to_ms: i64,
}

/// A step's bar. `zero` is when the run was accepted, `now` where the bar of an unfinished step ends.
#[must_use]
pub fn segments(step: &StepView, zero: Timestamp, now: Timestamp) -> Vec<Segment> {
    let since = |moment: Timestamp| (moment - zero).num_milliseconds().max(0);
    let mut segments = Vec::new();
    let mut add = |part, from: Timestamp, to: Timestamp| {
        if to > from {
            segments.push(Segment { part, from_ms: since(from), to_ms: since(to) });
        }
    };
    if step.state == StepState::Skipped {
        return segments;
    }
    let end = step.finished_at.unwrap_or(now);
    let began = step.started_at.unwrap_or(end);
    add(Part::Queue, step.queued_at, began);
    let work = if step.kind == StepKind::Approval {
        Part::Person
    } else if matches!(step.kind, StepKind::Wait | StepKind::WaitEvent) {
        Part::Timer
    } else {
        Part::Work
    };
    let mut at = began;
    for pause in &step.pauses {
        let from = pause.from.clamp(at, end.max(at));
        let to = pause.to.unwrap_or(end).clamp(from, end.max(from));
        add(work, at, from);
        add(pause.kind.into(), from, to);
        at = to;
    }
    add(work, at, end);
    segments
}

/// How long each part of a bar is in all.
#[must_use]
pub fn sums(segments: &[Segment]) -> Vec<(Part, i64)> {
    Part::ALL
        .into_iter()
        .map(|part| {
            let parts = segments.iter().filter(|segment| segment.part == part);
            (part, parts.map(|segment| segment.to_ms - segment.from_ms).sum())
        })
        .filter(|(_, sum)| *sum > 0)
        .collect()
}

/// Which stretch of the run's time the bars show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Where it begins, in milliseconds since the run was accepted.
    pub from_ms: i64,
    /// Where it ends; later than `from_ms`.
    pub to_ms: i64,
    /// What of it is drawn narrow, in order.
    pub gaps: Arc<[Gap]>,
}

/// Steps of the axis, in milliseconds: people count in tens, and minutes in sixties.
const STEPS: [i64; 27] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_800_000,
    3_600_000,
    7_200_000,
    21_600_000,
    43_200_000,
    86_400_000,
    432_000_000,
    2_592_000_000,
];

impl Scale {
    /// The scale of a whole run that has lasted this long. While it runs there is room to grow, so that the bars do not
    /// change with every tick.
    #[must_use]
    pub fn of_run(elapsed_ms: i64, ended: bool) -> Self {
        let elapsed_ms = elapsed_ms.max(1);
        if ended {
            return Self { from_ms: 0, to_ms: elapsed_ms, gaps: Arc::default() };
        }
        let step = step_of(elapsed_ms, 8);
        Self { from_ms: 0, to_ms: (elapsed_ms / step + 2) * step, gaps: Arc::default() }
    }

    /// The scale of a stretch of a run.
    #[must_use]
    pub fn of_part(from_ms: i64, to_ms: i64, ended: bool) -> Self {
        let whole = Self::of_run(to_ms - from_ms, ended);
        Self { from_ms, to_ms: from_ms + whole.to_ms, ..whole }
    }

    /// The same scale with gaps that are drawn narrow.
    #[must_use]
    pub fn folding(self, gaps: Vec<Gap>) -> Self {
        Self { gaps: gaps.into(), ..self }
    }

    /// The same scale, magnified by `2^zoom` around a moment.
    #[must_use]
    pub fn magnified(self, zoom: u32, around_ms: i64) -> Self {
        if zoom == 0 {
            return self;
        }
        let length = ((self.to_ms - self.from_ms) >> zoom.min(40)).max(4);
        let last = (self.to_ms - length).max(self.from_ms);
        let from_ms = (around_ms - length / 2).clamp(self.from_ms, last);
        Self { from_ms, to_ms: from_ms + length, ..self }
    }

    /// Where a moment stands, from 0 to 100.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^52")]
    pub fn percent(&self, ms: i64) -> f64 {
        let drawn = |ms: i64| ms as f64 - self.gaps.iter().map(|gap| gap.hides(ms)).sum::<f64>();
        let from = drawn(self.from_ms);
        let length = (drawn(self.to_ms) - from).max(1.0);
        ((drawn(ms) - from) * 100.0 / length).clamp(0.0, 100.0)
    }

    /// How much of it is not drawn, in milliseconds.
    fn hidden(&self) -> i64 {
        let inside = |gap: &Gap| gap.to_ms.min(self.to_ms) - gap.from_ms.max(self.from_ms) - gap.width_ms;
        self.gaps.iter().map(|gap| inside(gap).max(0)).sum()
    }

    /// The marks of the axis: where, and what they say. None stands inside of what is drawn narrow.
    #[must_use]
    pub fn marks(&self) -> Vec<(f64, String)> {
        // Few enough that their words do not touch on a narrow bar.
        let step = step_of(self.to_ms - self.from_ms - self.hidden(), 3);
        let up = |ms: i64| (ms + step - 1) / step * step;
        let mut marks: Vec<(f64, String)> = Vec::new();
        let mut ms = up(self.from_ms);
        while ms <= self.to_ms {
            if let Some(gap) = self.gaps.iter().find(|gap| gap.from_ms < ms && ms < gap.to_ms) {
                ms = up(gap.to_ms);
                continue;
            }
            let percent = self.percent(ms);
            if self.gaps.is_empty() || marks.last().is_none_or(|(last, _)| percent - last > 12.0) {
                marks.push((percent, mark(ms)));
            }
            ms += step;
        }
        marks
    }
}

fn step_of(length_ms: i64, most: i64) -> i64 {
    STEPS.into_iter().find(|step| length_ms / step <= most).unwrap_or(STEPS[STEPS.len() - 1])
}

/// `0`, `250 ms`, `5 s`, `1 min`: as short as it can be.
fn mark(ms: i64) -> String {
    match ms {
        0 => "0".to_owned(),
        1_000..60_000 if ms % 1_000 == 0 => format!("{}\u{a0}s", ms / 1_000),
        60_000..3_600_000 if ms % 60_000 == 0 => format!("{}\u{a0}min", ms / 60_000),
        _ => text::duration(ms),
    }
}

#[cfg(test)]
#[path = "waterfall_tests.rs"]
mod tests;
