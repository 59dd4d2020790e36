//! What was measured: for people as a table, for machines as JSON.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{place::Place, store};
use crate::startup::Trouble;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    version: &'static str,
    about: String,
    postgres: String,
    cores: usize,
    sections: Vec<Section>,
}

/// One workload.
#[derive(Debug, Serialize)]
pub struct Section {
    name: String,
    about: String,
    lines: Vec<Line>,
}

/// One figure.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
}

impl Aim {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
        }
    }
}

impl Report {
    /// An empty report that says where it is made.
    pub async fn new(place: &Place) -> Result<Self, Trouble> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            about:
                "Steps are calls through the engine's port that are answered at once: the engine is measured, not a \
                    tool. Rates depend on the disk and the neighbours of the moment; ratios are against loops without \
                    an engine that write the same rows, measured in turn with it."
                    .to_owned(),
            postgres: store::version(place.db().engine()).await?,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            sections: Vec::new(),
        })
    }

    /// Adds a workload.
    pub fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Section {
    /// A workload without figures yet.
    pub fn new(name: impl Into<String>, about: impl Into<String>) -> Self {
        Self { name: name.into(), about: about.into(), lines: Vec::new() }
    }

    /// A figure.
    pub fn line(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.lines.push(Line { name: name.into(), value, unit, aim: None });
    }

    /// A figure that should be something.
    pub fn aim(&mut self, name: impl Into<String>, value: f64, unit: &'static str, aim: Aim) {
        self.lines.push(Line { name: name.into(), value, unit, aim: Some(aim) });
    }

    /// The p50, p95 and p99 of times, in milliseconds.
    pub fn times(&mut self, name: &str, times: &Times) {
        for (word, share) in [("p50", 0.50), ("p95", 0.95), ("p99", 0.99)] {
            self.line(format!("{name}, {word}"), times.at(share), "ms");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "AgentFlow {}, PostgreSQL {}, {} cores", self.version, self.postgres, self.cores)?;
        writeln!(f, "{}", self.about)?;
        for section in &self.sections {
            writeln!(f, "\n{}\n  {}", section.name, section.about)?;
            for Line { name, value, unit, aim } in &section.lines {
                let figure = match value {
                    value if value.abs() >= 1_000.0 => format!("{value:.0}"),
                    value if value.abs() >= 10.0 => format!("{value:.1}"),
                    value => format!("{value:.3}"),
                };
                write!(f, "  {name:<52} {figure:>10} {unit:<12}")?;
                match aim {
                    Some(aim) => writeln!(f, "aim {aim}: {}", if aim.is_met(*value) { "met" } else { "missed" })?,
                    None => writeln!(f)?,
                }
            }
        }
        Ok(())
    }
}

/// Times, sorted.
pub struct Times(Vec<Duration>);

impl Times {
    /// These.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time below which this share of them is, in milliseconds.
    pub fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let place = ((self.0.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
        self.0.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
