//! The states of runs and steps, the classes of errors, and the ids of steps. Shared with the browser.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::journal::Usage;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in the usual order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the database and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The state of a word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// A run's state. The last three are ends and never change.
    RunState {
        /// Accepted; nobody works on it yet.
        Queued = "queued",
        /// A node works on it.
        Running = "running",
        /// It waits and holds nothing; [`WaitingOn`] says what for.
        Waiting = "waiting",
        /// Held by a person, a budget or a limit.
        Paused = "paused",
        /// It will be cancelled as soon as its steps have confirmed.
        Cancelling = "cancelling",
        /// It reached an end.
        Succeeded = "succeeded",
        /// A step failed and nothing mended it, or the deadline passed.
        Failed = "failed",
        /// A person stopped it.
        Cancelled = "cancelled",
    }
}

impl RunState {
    /// Whether it is an end.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// Which runs of an organization go first. Nobody overtakes another organization by it.
    #[derive(Default)]
    Priority {
        /// After all others.
        Low = "low",
        /// As they come.
        #[default]
        Normal = "normal",
        /// Before all others.
        High = "high",
    }
}

impl Priority {
    /// Whether it is the usual one, which need not be said.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }

    /// The number in the database: the higher goes first.
    #[must_use]
    pub const fn rank(self) -> i16 {
        match self {
            Self::Low => -1,
            Self::Normal => 0,
            Self::High => 1,
        }
    }
}

words! {
    /// What a waiting run waits for.
    WaitingOn {
        /// A person's decision.
        Approval = "approval",
        /// A moment.
        Timer = "timer",
        /// The pause before a new attempt.
        Retry = "retry",
        /// An event from the outside.
        Event = "event",
        /// The moment until which another side asked to be left alone.
        Limit = "limit",
        /// A named lock that others hold.
        Lock = "lock",
    }
}

words! {
    /// A step's state. `succeeded`, `failed`, `skipped` and `cancelled` are ends and never change.
    StepState {
        /// What it needs is not there yet.
        Pending = "pending",
        /// Ready; waits for a free place.
        Queued = "queued",
        /// An attempt is under way.
        Running = "running",
        /// It waits for a person, a moment, or its children.
        Waiting = "waiting",
        /// The pause before the next attempt.
        Retrying = "retrying",
        /// An effect that must not be repeated has an unknown outcome; a person must say.
        Uncertain = "uncertain",
        /// Done; the result is recorded.
        Succeeded = "succeeded",
        /// Given up.
        Failed = "failed",
        /// Its branch was not taken.
        Skipped = "skipped",
        /// Stopped with the run.
        Cancelled = "cancelled",
    }
}

impl StepState {
    /// Whether it is an end.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}

words! {
    /// What a step is: a node of the graph, or what nests in one.
    StepKind {
        /// Where the run begins.
        Start = "start",
        /// An agent at work.
        Agent = "agent",
        /// One call of a model, inside of an agent.
        Model = "model",
        /// One call of a tool, as a node or inside of an agent.
        Tool = "tool",
        /// What an agent remembers, read or added to.
        Memory = "memory",
        /// One HTTP request.
        Http = "http",
        /// A value made of others.
        Transform = "transform",
        /// A branch chosen.
        Decision = "decision",
        /// A person's decision.
        Approval = "approval",
        /// Work on each item of a list.
        Map = "map",
        /// One item of a map.
        Item = "item",
        /// The same work until a condition holds.
        Loop = "loop",
        /// One round of a loop.
        Round = "round",
        /// Another workflow.
        Workflow = "workflow",
        /// A pause.
        Wait = "wait",
        /// A pause until the outside sends an event.
        WaitEvent = "wait_event",
        /// Where the run ends.
        End = "end",
    }
}

words! {
    /// The class of an error. It decides what happens next.
    ErrorClass {
        /// The other side says "too many": wait as told, then retry.
        RateLimited = "rate_limited",
        /// It took too long: retry.
        Timeout = "timeout",
        /// The other side does not answer or fails: retry.
        Unavailable = "unavailable",
        /// A model's answer or a tool's result does not have the agreed form.
        InvalidOutput = "invalid_output",
        /// Credentials are missing or refused.
        Auth = "auth",
        /// An allowance of the other side is used up.
        Quota = "quota",
        /// A limit of our own (money, tokens, turns) is reached.
        Budget = "budget",
        /// The input is wrong; trying again cannot help.
        BadInput = "bad_input",
        /// A person said no.
        Rejected = "rejected",
        /// The step takes its process down.
        Poison = "poison",
        /// A fault of ours.
        Internal = "internal",
    }
}

impl ErrorClass {
    /// Whether neither waiting nor something else instead can help, but a person can: by other credentials, by more to
    /// spend, by looking at what takes its process down.
    #[must_use]
    pub const fn needs_a_person(self) -> bool {
        matches!(self, Self::Auth | Self::Quota | Self::Budget | Self::Poison)
    }

    /// Whether something else instead may work where this failed.
    #[must_use]
    pub const fn allows_an_alternative(self) -> bool {
        !matches!(self, Self::BadInput | Self::Rejected | Self::Budget)
    }

    /// Whether another attempt can help.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Timeout | Self::Unavailable)
    }
}

/// Why a step or run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// What sort of error.
    pub class: ErrorClass,
    /// A stable code, such as `http.status_503`.
    pub code: String,
    /// What happened and what to do, for people.
    pub message: String,
    /// Milliseconds that the other side asked to be left alone for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The step that failed first, where this error is only its consequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<StepId>,
    /// Whether the call may have had its effect all the same: it was sent, and no answer came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub effect_unknown: bool,
    /// What the attempt used all the same: of an answer that broke off, as far as it is known, else on the safe side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Box<Usage>>,
}

impl StepError {
    /// An error of a class, with its code and words.
    pub fn new(class: ErrorClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
            caused_by: None,
            effect_unknown: false,
            used: None,
        }
    }

    /// What the attempt used all the same.
    #[must_use]
    pub fn used(&self) -> Usage {
        self.used.as_deref().copied().unwrap_or_default()
    }

    /// Notes what the attempt used.
    pub fn set_used(&mut self, used: Usage) {
        self.used = Some(used).filter(|used| !used.is_none()).map(Box::new);
    }
}

/// A step's path in the tree of its run: `check`, `check.3`, `check.3.fetch`, `triage.model1`. The same over all
/// attempts and after every crash: with the run's id it is the idempotency key of what the step does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// A step at the root of the tree.
    #[must_use]
    pub fn root(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// A step below this one.
    #[must_use]
    pub fn child(&self, key: impl fmt::Display) -> Self {
        Self(format!("{}.{key}", self.0))
    }

    /// The step that this one nests in.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('.').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The last part of the path.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.0.as_str(), |(_, key)| key)
    }

    /// How deep it nests: 0 at the root.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'.').count()
    }

    /// Whether `other` is below this step, at whatever depth.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('.'))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path that was read from the database or an address. Any text is a path; whether such a step exists is another question.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl StepKind {
    /// Whether steps nest in it that are nodes of a graph.
    #[must_use]
    pub const fn is_group(self) -> bool {
        matches!(self, Self::Map | Self::Loop | Self::Workflow)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
