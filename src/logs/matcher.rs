//! Whether a line fits. Lines are looked at here and not by the database: so the text is found in what people see, without
//! the colours, and a pattern takes no longer than its line is long.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use regex::{Regex, RegexBuilder};

use super::{
    address::LogFilter,
    ansi,
    store::{AgentStep, Scanned},
};
use crate::{
    engine::{journal::LogLevel, state::StepId},
    kernel::RunId,
};

/// How large a pattern may become, and how much it may keep at hand while it searches.
const PATTERN_BYTES: usize = 1 << 20;
/// How deep a pattern may nest.
const PATTERN_DEPTH: u32 = 50;
/// The most hits that are marked in one line.
const MARKS: usize = 200;

/// The text or pattern that is searched for.
#[derive(Debug, Clone)]
pub struct Needle(Regex);

impl Needle {
    /// What a filter searches for, if it does.
    ///
    /// # Errors
    /// With a sentence that says what is wrong with the pattern.
    pub fn of(filter: &LogFilter) -> Result<Option<Self>, String> {
        if filter.q.is_empty() {
            return Ok(None);
        }
        let pattern = if filter.regex { filter.q.clone() } else { regex::escape(&filter.q) };
        let built = RegexBuilder::new(&pattern)
            .case_insensitive(!filter.regex)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .nest_limit(PATTERN_DEPTH)
            .build();
        built.map(|regex| Some(Self(regex))).map_err(|error| in_words(&error))
    }

    fn finds(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Where it is in a text.
    pub fn marks(&self, text: &str) -> Vec<Range<usize>> {
        self.0.find_iter(text).map(|found| found.range()).filter(|range| !range.is_empty()).take(MARKS).collect()
    }
}

/// What is wrong with a pattern, in a sentence.
fn in_words(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "This pattern is too large. Use fewer or smaller repetitions.".to_owned(),
        error => {
            // The last line says what is wrong; those before show where.
            let text = error.to_string();
            let what =
                text.lines().rev().find_map(|line| line.trim().strip_prefix("error: ")).unwrap_or("it is broken");
            format!("This is no pattern: {what}.")
        }
    }
}

/// Steps of runs, with all below them.
#[derive(Debug, Default)]
struct Steps(HashMap<RunId, HashSet<StepId>>);

impl Steps {
    fn of<'a>(steps: impl Iterator<Item = &'a AgentStep>) -> Self {
        let mut all: HashMap<RunId, HashSet<StepId>> = HashMap::new();
        for step in steps {
            all.entry(step.run).or_default().insert(StepId::from_text(step.step.clone()));
        }
        Self(all)
    }

    fn hold(&self, run: RunId, step: Option<&StepId>) -> bool {
        let (Some(steps), Some(step)) = (self.0.get(&run), step) else { return false };
        std::iter::successors(Some(step.clone()), StepId::parent).any(|step| steps.contains(&step))
    }
}

/// Says which lines fit a filter.
#[derive(Debug)]
pub struct Matcher {
    filter: LogFilter,
    needle: Option<Needle>,
    agent: Steps,
    not_agents: Steps,
}

impl Matcher {
    /// The matcher of a filter. `needle` is what its lines have to hold; `agents` are the steps of all agents that it names.
    pub fn new(filter: LogFilter, needle: Option<Needle>, agents: &[AgentStep]) -> Self {
        let agent = Steps::of(agents.iter().filter(|step| filter.agent.as_ref() == Some(&step.agent)));
        let not_agents = Steps::of(agents.iter().filter(|step| filter.not_agents.contains(&step.agent)));
        Self { filter, needle, agent, not_agents }
    }

    /// Whether it has to see what lines say.
    pub const fn reads_text(&self) -> bool {
        self.needle.is_some()
    }

    /// Whether a line fits.
    pub fn takes(&self, line: &Scanned) -> bool {
        let filter = &self.filter;
        let level = filter.level.is_none_or(|least| line.level >= least) && !filter.not_levels.contains(&line.level);
        let is_in = |step: &StepId| line.step.as_ref().is_some_and(|of| of == step || step.holds(of));
        let step = filter.step.as_ref().is_none_or(is_in) && !filter.not_steps.iter().any(is_in);
        let time = filter.from.is_none_or(|from| line.at >= from) && filter.to.is_none_or(|to| line.at < to);
        level && step && time && self.is_of_agent(line) && self.is_found(line)
    }

    fn is_of_agent(&self, line: &Scanned) -> bool {
        let step = line.step.as_ref();
        (self.filter.agent.is_none() || self.agent.hold(line.run, step)) && !self.not_agents.hold(line.run, step)
    }

    fn is_found(&self, line: &Scanned) -> bool {
        let Some(needle) = &self.needle else { return true };
        let in_message = line.message.as_deref().is_some_and(|message| needle.finds(&ansi::plain(message)));
        in_message || line.fields.as_deref().is_some_and(|fields| needle.finds(fields))
    }
}

/// The level of a line as it is stored; what is none that is known is told as it is.
pub fn stored_level(word: Option<&str>) -> LogLevel {
    word.and_then(super::level_of).unwrap_or(LogLevel::Info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::address::LogAddress;

    fn line(level: LogLevel, step: &str, message: &str) -> Scanned {
        Scanned {
            run: RunId::new(),
            seq: 1,
            at: chrono::DateTime::UNIX_EPOCH,
            level,
            step: Some(StepId::from_text(step)),
            message: Some(message.to_owned()),
            fields: Some(r#"{"host":"eu-1"}"#.to_owned()),
        }
    }

    fn takes(query: &str, line: &Scanned) -> bool {
        let filter = LogAddress::read(query).filter;
        let needle = Needle::of(&filter).unwrap();
        Matcher::new(filter, needle, &[]).takes(line)
    }

    #[test]
    fn each_condition_lets_through_what_it_names() {
        let warning = line(LogLevel::Warn, "each.3.send", "order \u{1b}[1mA-1\u{1b}[0m: Timeout after 5 ms");
        for (query, fits) in [
            ("", true),
            ("level=warn", true),
            ("level=error", false),
            ("not_level=warn", false),
            ("not_level=info", true),
            ("step=each", true),
            ("step=each.3.send", true),
            ("step=each.3.se", false),
            ("not_step=each.3", false),
            ("not_step=each.31", true),
            ("q=timeOUT", true),
            ("q=A-1%3A", true),
            ("q=timeOUT&regex=1", false),
            ("q=T%5Ba-z%5D%2Bout+after+%5Cd&regex=1", true),
            ("q=a.b", false),
            ("q=eu-1", true),
            ("from=1970-01-01T00:00:00Z&to=1970-01-01T00:00:01Z", true),
            ("to=1970-01-01T00:00:00Z", false),
            ("agent=triage", false),
            ("not_agent=triage", true),
        ] {
            assert_eq!(takes(query, &warning), fits, "{query}");
        }
    }

    #[test]
    fn lines_below_a_task_are_its_agent_s() {
        let line = line(LogLevel::Info, "triage.model1", "text");
        let step = |agent: &str, run: RunId| AgentStep { agent: agent.to_owned(), run, step: "triage".to_owned() };
        let of =
            |query: &str, steps: &[AgentStep]| Matcher::new(LogAddress::read(query).filter, None, steps).takes(&line);
        assert!(of("agent=a", &[step("a", line.run)]));
        assert!(!of("agent=a", &[step("b", line.run), step("a", RunId::new())]));
        assert!(!of("not_agent=a", &[step("a", line.run)]));
        assert!(of("not_agent=b", &[step("a", line.run)]));
    }

    #[test]
    fn a_broken_pattern_is_explained_and_a_huge_one_refused() {
        let fault = |q: &str| {
            let filter = LogFilter { q: q.to_owned(), regex: true, ..LogFilter::default() };
            Needle::of(&filter).unwrap_err()
        };
        assert_eq!(fault("a(b"), "This is no pattern: unclosed group.");
        assert!(fault("[z-a]").starts_with("This is no pattern: invalid character class range"));
        assert_eq!(fault("(a{1000}){1000}"), "This pattern is too large. Use fewer or smaller repetitions.");
        assert!(fault(&"(".repeat(100)).starts_with("This is no pattern: "));
        // What takes others for ever takes this one the length of its line.
        let filter = LogFilter { q: "(a+)+$".to_owned(), regex: true, ..LogFilter::default() };
        assert!(!Needle::of(&filter).unwrap().unwrap().finds(&("a".repeat(50_000) + "b")));
    }
}
