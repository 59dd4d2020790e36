//! What holds for a node of any kind: when it starts, what it must have before it begins, and what a failure leads to.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::{
    engine::{journal::Usage, state::ErrorClass},
    kernel::Money,
};

/// When a node with several inbound edges starts. Written `all`, `any`, or a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Join {
    /// When each inbound edge is settled and at least one is live (a branch that was not chosen does not count).
    #[default]
    All,
    /// When the first inbound edge is live.
    Any,
    /// When so many inbound edges are live.
    Count(u32),
}

impl Join {
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

impl Serialize for Join {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Any => serializer.serialize_str("any"),
            Self::Count(count) => serializer.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Join {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "all" => Ok(Self::All),
            Value::String(word) if word == "any" => Ok(Self::Any),
            Value::Number(number) => match number.as_u64().and_then(|count| u32::try_from(count).ok()) {
                Some(count) if count > 0 => Ok(Self::Count(count)),
                _ => Err(de::Error::custom("“join” is “all”, “any”, or a whole number from 1")),
            },
            _ => Err(de::Error::custom("“join” is “all”, “any”, or a whole number from 1")),
        }
    }
}

/// What a failure leads to that neither another attempt nor an alternative mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// What the error's class says: a person is asked about credentials, allowances, budgets and steps that take their
    /// process down; else the node's error edge is taken, or the run fails.
    #[default]
    Default,
    /// The run fails, or the node's error edge is taken.
    Fail,
    /// The run goes on; the step's output is null.
    Continue,
    /// A person is asked: again, again with another input, go on with a given output, or fail.
    Ask,
}

impl OnError {
    pub(super) fn is_default(&self) -> bool {
        matches!(self, Self::Default)
    }

    /// Whether a person is asked about an error of this class.
    #[must_use]
    pub const fn asks(self, class: ErrorClass) -> bool {
        match self {
            Self::Ask => !matches!(class, ErrorClass::Rejected),
            Self::Default => class.needs_a_person(),
            Self::Fail | Self::Continue => false,
        }
    }
}

/// When and how often a failed attempt is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all, the first included: 1 to 10.
    pub attempts: u32,
    /// The pause before the second attempt, in milliseconds.
    pub backoff_ms: u64,
    /// What the pause is multiplied by each time.
    pub factor: f64,
    /// The longest pause, in milliseconds.
    pub max_backoff_ms: u64,
    /// Whether a pause is shortened by up to a half at random, so that many do not come back at the same moment.
    #[serde(skip_serializing_if = "is_true")]
    pub jitter: bool,
    /// The classes of errors that are tried again. Empty: those that may pass by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<ErrorClass>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_true(truth: &bool) -> bool {
    *truth
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, backoff_ms: 1_000, factor: 2.0, max_backoff_ms: 60_000, jitter: true, on: Vec::new() }
    }
}

impl RetryPolicy {
    /// Whether an error of this class is tried again.
    #[must_use]
    pub fn covers(&self, class: ErrorClass) -> bool {
        if self.on.is_empty() { class.is_retryable() } else { self.on.contains(&class) }
    }
}

/// How long the answers of a node's calls are remembered and given again. Written `true` for a day, or in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cache(Option<u64>);

impl Cache {
    /// A day, the usual time.
    pub const DAY: u64 = 86_400;

    /// Remembers for so many seconds.
    #[must_use]
    pub const fn of(seconds: u64) -> Self {
        Self(Some(seconds))
    }

    /// For how many seconds; nothing where nothing is remembered.
    #[must_use]
    pub const fn seconds(self) -> Option<u64> {
        self.0
    }

    pub(super) fn is_off(&self) -> bool {
        self.0.is_none()
    }
}

impl Serialize for Cache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(seconds) if seconds != Self::DAY => serializer.serialize_u64(seconds),
            is_on => serializer.serialize_bool(is_on.is_some()),
        }
    }
}

impl<'de> Deserialize<'de> for Cache {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (&value, value.as_u64()) {
            (Value::Null | Value::Bool(false), _) => Ok(Self(None)),
            (Value::Bool(true), _) => Ok(Self::of(Self::DAY)),
            (_, Some(seconds)) => Ok(Self::of(seconds)),
            _ => Err(de::Error::custom("“cache” is “true” for a day, or a number of seconds")),
        }
    }
}

/// What all model calls of a node, and of all that is below it, may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Money. Written in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "dollars")]
    pub cost: Option<Money>,
    /// Tokens, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

impl Budget {
    /// Whether so much is within it, where it was granted so many times.
    #[must_use]
    pub fn covers(self, used: Usage, times: u32) -> bool {
        let times = u64::from(times);
        let cost = self.cost.is_none_or(|cost| used.cost.micros() <= cost.micros().saturating_mul(times.cast_signed()));
        cost && self.tokens.is_none_or(|tokens| used.tokens() <= tokens.saturating_mul(times))
    }
}

/// Money as people write it down: in dollars, exact to a millionth.
mod dollars {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::kernel::Money;

    pub(super) fn serialize<S: Serializer>(amount: &Option<Money>, serializer: S) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => serializer.serialize_f64(amount.micros() as f64 / 1e6),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
        let Some(dollars) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
        if !(0.0..=1e9).contains(&dollars) {
            return Err(de::Error::custom("an amount is a number of dollars, such as 0.5"));
        }
        Ok(Some(Money((dollars * 1e6).round() as i64)))
    }
}

/// What is tried when a node's own attempts are spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// Another agent gets the same prompt.
    Agent(String),
    /// The same agent, on another model: `provider/name`.
    Model(String),
    /// Another tool.
    Tool(ToolAlternative),
}

impl Alternative {
    /// What it uses, for the tree.
    #[must_use]
    pub fn about(&self) -> &str {
        match self {
            Self::Agent(name) | Self::Model(name) => name,
            Self::Tool(tool) => &tool.name,
        }
    }
}

/// Another tool, and what it is called with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolAlternative {
    /// Its name.
    pub name: String,
    /// Template, anywhere inside: its arguments. Null means those of the first tool.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub arguments: Value,
}

/// Whether a person must agree before a node begins. Written `never`, `always`, or a condition in braces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Gate {
    /// Nobody is asked.
    #[default]
    Never,
    /// Each time.
    Always,
    /// When this template of one expression holds.
    When(String),
}

impl Gate {
    pub(super) fn is_never(&self) -> bool {
        matches!(self, Self::Never)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
            Self::When(condition) => condition,
        }
    }

    /// What a text means.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "" | "never" => Self::Never,
            "always" => Self::Always,
            condition => Self::When(condition.to_owned()),
        }
    }
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_join_is_a_word_or_a_number() {
        for (written, join) in [(json!("all"), Join::All), (json!("any"), Join::Any), (json!(2), Join::Count(2))] {
            assert_eq!(serde_json::from_value::<Join>(written.clone()).ok(), Some(join));
            assert_eq!(serde_json::to_value(join).ok(), Some(written));
        }
        for wrong in [json!("most"), json!(0), json!(-1), json!(1.5), json!(null)] {
            assert!(serde_json::from_value::<Join>(wrong).is_err());
        }
    }

    #[test]
    fn what_is_tried_again_follows_the_class_unless_it_is_said() {
        let policy = RetryPolicy::default();
        assert!(policy.covers(ErrorClass::Timeout) && !policy.covers(ErrorClass::BadInput));
        let policy = RetryPolicy { on: vec![ErrorClass::BadInput], ..policy };
        assert!(!policy.covers(ErrorClass::Timeout) && policy.covers(ErrorClass::BadInput));
    }

    #[test]
    fn a_person_is_asked_where_nothing_else_can_help() {
        assert!(OnError::Default.asks(ErrorClass::Auth) && OnError::Default.asks(ErrorClass::Budget));
        assert!(!OnError::Default.asks(ErrorClass::Timeout) && OnError::Ask.asks(ErrorClass::Timeout));
        assert!(!OnError::Ask.asks(ErrorClass::Rejected), "a person has said no already");
        assert!(!OnError::Fail.asks(ErrorClass::Auth));
    }

    #[test]
    fn alternatives_and_gates_are_written_as_people_would() {
        let read: Vec<Alternative> = serde_json::from_value(json!([
            { "agent": "writer" }, { "model": "openai/gpt-5" }, { "tool": { "name": "backup" } },
        ]))
        .expect("alternatives");
        assert_eq!(read.iter().map(Alternative::about).collect::<Vec<_>>(), ["writer", "openai/gpt-5", "backup"]);
        assert_eq!(Gate::parse(" {{ input.amount > 5 }} "), Gate::When("{{ input.amount > 5 }}".to_owned()));
        assert_eq!((Gate::parse("always"), Gate::parse("")), (Gate::Always, Gate::Never));
    }
}
