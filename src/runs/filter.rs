//! Which runs a list shows, and in which order.

use serde::{Deserialize, Serialize};

use crate::{
    engine::state::RunState,
    kernel::{Error, Money, Result, RunId, Timestamp, WorkflowId},
};

/// The most labels of a run.
pub const LABELS: usize = 10;
/// The longest label in characters.
const LABEL_LENGTH: usize = 40;

/// The word for all triggers but tests.
pub const LIVE: &str = "live";

/// Which runs a list shows, and in which order. All of it stands in the address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFilter {
    /// In one of these states; empty means all.
    pub states: Vec<RunState>,
    /// Of this workflow.
    pub workflow: Option<WorkflowId>,
    /// With a task of the agent with this key.
    pub agent: Option<String>,
    /// With this trigger; [`LIVE`] are all but tests.
    pub trigger: Option<String>,
    /// With this label.
    pub label: Option<String>,
    /// With this text in the title or the beginning of the id.
    pub q: Option<String>,
    /// Or with that text in the input, the output or the log.
    pub inside: bool,
    /// That cost so much at least.
    pub cost_min: Option<Money>,
    /// That cost so much at most.
    pub cost_max: Option<Money>,
    /// That took, or have taken, so many seconds at least.
    pub lasts_min: Option<i64>,
    /// That took, or have taken, so many seconds at most.
    pub lasts_max: Option<i64>,
    /// Accepted at or after this moment.
    pub from: Option<Timestamp>,
    /// Accepted before this moment.
    pub to: Option<Timestamp>,
    /// Of these runs alone; empty means all.
    pub runs: Vec<RunId>,
    /// In this order.
    pub order: RunOrder,
}

impl RunFilter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { order: self.order, ..Self::default() }
    }
}

/// The order of a list of runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOrder {
    /// What was accepted last comes first.
    #[default]
    Newest,
    /// What was accepted first comes first.
    Oldest,
    /// What took longest comes first.
    Longest,
    /// What took least time comes first.
    Shortest,
    /// What cost most comes first.
    Dearest,
    /// What cost least comes first.
    Cheapest,
}

impl RunOrder {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Newest, Self::Oldest, Self::Longest, Self::Shortest, Self::Dearest, Self::Cheapest];

    /// The word in addresses and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Longest => "longest",
            Self::Shortest => "shortest",
            Self::Dearest => "dearest",
            Self::Cheapest => "cheapest",
        }
    }

    /// The order of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == word)
    }
}

/// Where in a run a text was found, besides its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// In what it was given.
    Input,
    /// In what it gave.
    Output,
    /// In its log.
    Log,
}

impl Part {
    /// The word in the database, in the API, and as it is read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Log => "log",
        }
    }
}

/// Labels as a run keeps them: without what is empty or double.
///
/// # Errors
/// `invalid` at `labels`, when there are too many, or one is too long or holds a comma or a control character.
pub fn labels(wanted: impl IntoIterator<Item = String>) -> Result<Vec<String>> {
    let mut labels: Vec<String> = Vec::new();
    for label in wanted {
        let label = label.trim();
        if label.is_empty() || labels.iter().any(|known| known == label) {
            continue;
        }
        if label.chars().count() > LABEL_LENGTH {
            return Err(Error::invalid("labels", format!("A label has {LABEL_LENGTH} characters at most.")));
        }
        if label.contains(|letter: char| letter == ',' || letter.is_control()) {
            return Err(Error::invalid("labels", "A label holds neither commas nor line breaks."));
        }
        labels.push(label.to_owned());
    }
    if labels.len() > LABELS {
        return Err(Error::invalid("labels", format!("A run has {LABELS} labels at most.")));
    }
    Ok(labels)
}

/// The seconds of a text such as `90`, `90s`, `5m` or `2h`.
#[must_use]
pub fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
    let unit = match text.get(digits.len()..)?.trim() {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u32>().ok().map(|number| i64::from(number) * unit)
}

/// Seconds as [`seconds`] reads them: `90s`, `5m`, `2h`.
#[must_use]
pub fn typed_seconds(seconds: i64) -> String {
    match seconds {
        hours if hours > 0 && hours % 3_600 == 0 => format!("{}h", hours / 3_600),
        minutes if minutes > 0 && minutes % 60 == 0 => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_single_words_or_few() {
        let of = |words: &[&str]| labels(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(of(&[" night ", "", "night", "team a"]).unwrap(), ["night", "team a"]);
        let many: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        for wrong in [vec!["a,b".to_owned()], vec!["a\nb".to_owned()], vec!["x".repeat(41)], many] {
            assert_eq!(labels(wrong).unwrap_err().fields[0].field, "labels");
        }
    }

    #[test]
    fn durations_are_typed_with_a_unit_or_without() {
        for (text, read) in [("90", 90), ("90s", 90), ("5m", 300), ("5 min", 300), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(seconds(text), Some(read), "{text}");
        }
        for wrong in ["", "x", "5y", "-1", "1.5h", "99999999999"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        for whole in [0, 1, 59, 60, 90, 3_600, 5_400] {
            assert_eq!(seconds(&typed_seconds(whole)), Some(whole));
        }
    }

    #[test]
    fn an_order_alone_leaves_nothing_out() {
        assert!(RunFilter { order: RunOrder::Longest, ..RunFilter::default() }.is_empty());
        assert!(!RunFilter { label: Some("x".to_owned()), ..RunFilter::default() }.is_empty());
        for order in RunOrder::ALL {
            assert_eq!(RunOrder::parse(order.as_str()), Some(order));
        }
    }
}
