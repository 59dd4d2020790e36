//! What an address asks of a log: which lines, how they are shown, and where to look first. Read by one function and
//! written by one.

use chrono::{Datelike, NaiveDateTime, SecondsFormat, TimeDelta};
use url::form_urlencoded;

use super::{Place, level_of};
use crate::{
    engine::{journal::LogLevel, state::StepId},
    kernel::Timestamp,
};

/// The longest text that is searched for, in bytes.
const TEXT_BYTES: usize = 500;
/// The most values of one kind that are left out.
const LEFT_OUT: usize = 20;

/// What is done with the lines that hold the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only they are shown.
    #[default]
    Filter,
    /// All are shown, and these are marked.
    Highlight,
}

/// How the time of a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Since the run was accepted.
    SinceStart,
    /// By the world's clock.
    Utc,
    /// By the reader's clock.
    Local,
}

impl Times {
    /// All of them, as they are offered.
    pub const ALL: [Self; 3] = [Self::SinceStart, Self::Utc, Self::Local];

    /// The word in the address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SinceStart => "start",
            Self::Utc => "utc",
            Self::Local => "local",
        }
    }
}

/// How far back the lines of an organization reach when the address names no moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Range {
    /// An hour.
    Hour,
    /// 24 hours.
    #[default]
    Day,
    /// Seven days.
    Week,
}

impl Range {
    /// All of them, as they are offered.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// The word in the address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn span(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
            Self::Week => TimeDelta::days(7),
        }
    }
}

/// Which lines are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// At least this serious.
    pub level: Option<LogLevel>,
    /// None of these levels.
    pub not_levels: Vec<LogLevel>,
    /// Of this step and those below it.
    pub step: Option<StepId>,
    /// Not of these steps nor those below them.
    pub not_steps: Vec<StepId>,
    /// Of the tasks of the agent with this key.
    pub agent: Option<String>,
    /// Not of the tasks of these agents.
    pub not_agents: Vec<String>,
    /// With this text, in whatever case, or with what this pattern finds.
    pub q: String,
    /// Whether `q` is a pattern.
    pub regex: bool,
    /// What is done with the lines that hold it.
    pub mode: Mode,
    /// Written at or after this moment.
    pub from: Option<Timestamp>,
    /// Written before this moment.
    pub to: Option<Timestamp>,
    /// How far back, where no moment is named.
    pub range: Range,
}

impl LogFilter {
    /// The same without the text that is searched for.
    #[must_use]
    pub fn without_text(&self) -> Self {
        Self { q: String::new(), regex: false, mode: Mode::Filter, ..self.clone() }
    }

    /// How many conditions there are besides the text and the time.
    #[must_use]
    pub fn conditions(&self) -> usize {
        usize::from(self.level.is_some())
            + usize::from(self.step.is_some())
            + usize::from(self.agent.is_some())
            + self.not_levels.len()
            + self.not_steps.len()
            + self.not_agents.len()
    }
}

/// All that an address says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogAddress {
    /// Which lines.
    pub filter: LogFilter,
    /// Whether long lines are broken.
    pub wrap: bool,
    /// How times are written; without it, as the place has it.
    pub times: Option<Times>,
    /// The line that is shown with those around it, whatever the filter.
    pub around: Option<i64>,
    /// Which of the lines that hold the text is looked at, counted from one.
    pub hit: Option<u64>,
    /// The place after the last line that is looked at, for reading without JavaScript.
    pub end: Option<u64>,
}

impl LogAddress {
    /// Reads the query of an address. What it does not know, or cannot read, is as if it was not there.
    #[must_use]
    pub fn read(query: &str) -> Self {
        let mut read = Self::default();
        let filter = &mut read.filter;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            // The database takes no text with a zero, and no step, agent or line has one.
            if value.is_empty() || value.contains('\0') {
                continue;
            }
            match &*name {
                "level" => filter.level = level_of(&value),
                "not_level" => left_out(&mut filter.not_levels, level_of(&value)),
                // So it was called once.
                "of" | "step" => filter.step = Some(StepId::from_text(value)),
                "not_step" => left_out(&mut filter.not_steps, Some(StepId::from_text(value))),
                "agent" => filter.agent = Some(value.into_owned()),
                "not_agent" => left_out(&mut filter.not_agents, Some(value.into_owned())),
                "q" => {
                    let end = value.floor_char_boundary(TEXT_BYTES);
                    filter.q = value[..end].to_owned();
                }
                "regex" => filter.regex = true,
                "mode" if value == "highlight" => filter.mode = Mode::Highlight,
                "from" => filter.from = moment(&value),
                "to" => filter.to = moment(&value),
                "range" => filter.range = Range::ALL.into_iter().find(|it| it.as_str() == value).unwrap_or_default(),
                "wrap" => read.wrap = true,
                "time" => read.times = Times::ALL.into_iter().find(|it| it.as_str() == value),
                "around" => read.around = value.parse().ok(),
                "hit" => read.hit = value.parse().ok().filter(|hit| *hit > 0),
                "end" => read.end = value.parse().ok(),
                _ => {}
            }
        }
        if filter.q.is_empty() {
            (filter.regex, filter.mode) = (false, Mode::Filter);
        }
        read
    }

    /// Writes it as the query of an address; reading it gives the same.
    #[must_use]
    pub fn write(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.entries()).finish()
    }

    /// The entries of its query.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let filter = &self.filter;
        let word = |level: LogLevel| level.as_str().to_ascii_lowercase();
        let moment = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let mut entries = Vec::new();
        let mut put = |name: &'static str, value: Option<String>| entries.extend(value.map(|value| (name, value)));
        put("level", filter.level.map(word));
        filter.not_levels.iter().for_each(|level| put("not_level", Some(word(*level))));
        put("step", filter.step.as_ref().map(ToString::to_string));
        filter.not_steps.iter().for_each(|step| put("not_step", Some(step.to_string())));
        put("agent", filter.agent.clone());
        filter.not_agents.iter().for_each(|agent| put("not_agent", Some(agent.clone())));
        put("q", Some(filter.q.clone()).filter(|q| !q.is_empty()));
        put("regex", filter.regex.then(|| "1".to_owned()));
        put("mode", (filter.mode == Mode::Highlight).then(|| "highlight".to_owned()));
        put("from", filter.from.map(moment));
        put("to", filter.to.map(moment));
        put("range", (filter.range != Range::default()).then(|| filter.range.as_str().to_owned()));
        put("wrap", self.wrap.then(|| "1".to_owned()));
        put("time", self.times.map(|times| times.as_str().to_owned()));
        put("around", self.around.map(|seq| seq.to_string()));
        put("hit", self.hit.map(|hit| hit.to_string()));
        put("end", self.end.map(|end| end.to_string()));
        entries
    }

    /// The same without where to look: its lines, and how they are shown.
    #[must_use]
    pub fn anywhere(&self) -> Self {
        Self { around: None, hit: None, end: None, ..self.clone() }
    }

    /// With other lines, from the end of them on.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut LogFilter)) -> Self {
        let mut other = self.anywhere();
        change(&mut other.filter);
        other
    }

    /// How times are written at a place.
    #[must_use]
    pub fn times_at(&self, place: Place) -> Times {
        match (self.times, place) {
            (None, Place::Run(_)) => Times::SinceStart,
            // There is no start that all runs have.
            (None | Some(Times::SinceStart), Place::Organization) => Times::Utc,
            (Some(times), _) => times,
        }
    }
}

fn left_out<T: PartialEq>(all: &mut Vec<T>, one: Option<T>) {
    if let Some(one) = one
        && !all.contains(&one)
        && all.len() < LEFT_OUT
    {
        all.push(one);
    }
}

/// A moment of an address: as programs write it, or as a form's field does, which is in UTC then.
fn moment(text: &str) -> Option<Timestamp> {
    let exact = text.parse::<Timestamp>().ok();
    let field = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
            .into_iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .map(|at| at.and_utc())
    };
    // What the database cannot hold is no moment either.
    exact.or_else(field).filter(|at| (0..10_000).contains(&at.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let query = "view=logs&level=warn&not_level=error&step=each.1&not_step=a&not_step=b&agent=triage&not_agent=x%26y\
                     &q=%C3%A4+%22%26%23&regex=1&mode=highlight&from=2026-11-27T08%3A00%3A00.123Z&to=2026-11-27T09:00\
                     &wrap=1&time=utc&around=7&hit=12&end=500";
        let read = LogAddress::read(query);
        assert_eq!(read.filter.q, "ä \"&#");
        assert_eq!((read.filter.not_steps.len(), read.filter.not_agents[0].as_str()), (2, "x&y"));
        assert_eq!(read.filter.to.unwrap().to_rfc3339(), "2026-11-27T09:00:00+00:00");
        assert_eq!(LogAddress::read(&read.write()), read);
        let plain = LogAddress::default();
        assert_eq!((plain.write().as_str(), LogAddress::read("")), ("", plain.clone()));
        assert_eq!(LogAddress::read("of=triage").filter.step, Some(StepId::root("triage")));
        for nonsense in ["level=loud&from=tomorrow&hit=0&hit=x&end=-1", "q=&regex=1&mode=highlight", "q=a%00b&step=%00"]
        {
            assert_eq!(LogAddress::read(nonsense), plain, "{nonsense}");
        }
        assert_eq!(read.anywhere().hit, None);
        assert_eq!(read.with(|filter| filter.q.clear()).filter.level, Some(LogLevel::Warn));
    }

    #[test]
    fn a_moment_no_database_holds_is_none() {
        for text in ["+262142-01-01T00:00:00Z", "-200000-01-01T00:00", "2026-13-01T00:00"] {
            assert_eq!(moment(text), None, "{text}");
        }
        assert!(moment("2026-11-27T08:00:05").is_some());
    }
}
