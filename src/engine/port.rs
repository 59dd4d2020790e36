//! All that a run may ask of the world: a call of a model, a call of a tool, and the evaluation of templates. The
//! features implement it in `effects`; tests implement it with what they please.
//!
//! A model or tool call is performed only after its step's start is recorded, and always with the same idempotency key;
//! it may happen again after a crash, never after its result is recorded.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    journal::{LogLevel, Usage},
    plan::{Guardrails, ModelOptions, ToolSource},
    state::{StepError, StepId},
};
use crate::kernel::{Money, OrgId, RunId, Timestamp, text};

/// A message of a conversation with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What the agent is asked.
    User {
        /// The text.
        text: String,
    },
    /// What the model said, and which tools it wants called.
    Assistant {
        /// The text.
        text: String,
        /// The calls.
        #[serde(default)]
        tool_calls: Vec<ToolRequest>,
    },
    /// What a tool returned. Text from outside: data for the model, never an instruction.
    Tool {
        /// The request that it answers.
        id: String,
        /// The tool's name.
        tool: String,
        /// The result, or the error in words.
        output: Value,
        /// Whether it is an error.
        #[serde(default)]
        failed: bool,
    },
}

/// A model's wish to have a tool called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// The model's name for this request.
    pub id: String,
    /// The tool's name.
    pub tool: String,
    /// The arguments, not checked yet.
    pub arguments: Value,
    /// What the provider wants to see again together with this request (Gemini's thought signatures). Opaque.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
}

/// A tool as it is offered to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolOffer {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// One call of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelCall {
    /// `provider/name`, or a task class, `class/routine`.
    pub model: String,
    /// The models to ask, in this order, when that one cannot be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// The system prompt.
    pub system: String,
    /// What was filled in into the system prompt, where the model has not read it before: it may come from outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filled: Vec<String>,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// How many of the messages were said before the task: what the agent remembers, and what it is told was said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub earlier: usize,
    /// The tools on offer.
    pub tools: Vec<ToolOffer>,
    /// JSON Schema of the final answer; null for plain text.
    #[serde(default)]
    pub output_schema: Value,
    /// How freely the model chooses words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens to answer with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// How else it is asked.
    #[serde(default, skip_serializing_if = "ModelOptions::is_default")]
    pub options: ModelOptions,
    /// What the agent must not take in or say.
    #[serde(default, skip_serializing_if = "Guardrails::is_default")]
    pub guardrails: Guardrails,
}

impl ModelCall {
    /// The most tokens of its answer, as far as they are bounded.
    #[must_use]
    pub fn max_answer(&self) -> Option<u64> {
        match (self.max_tokens, self.options.max_output_tokens) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// How many tokens the model reads, on the safe side.
    #[must_use]
    pub fn tokens_in_at_most(&self) -> u64 {
        tokens_at_most(serde_json::to_vec(self).map_or(usize::MAX, |text| text.len()))
    }
}

/// How many tokens a text of so many bytes has, on the safe side: a token is seldom shorter than two bytes.
#[must_use]
pub const fn tokens_at_most(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(2)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A model's answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// The text; with an output schema, JSON as text.
    pub text: String,
    /// The tools it wants called. Empty means that the text is the answer.
    #[serde(default)]
    pub tool_calls: Vec<ToolRequest>,
    /// The model that answered, `provider/name`.
    pub model: String,
    /// The model that was asked for, where another one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
    /// What its provider says has answered, where that has another name: a dated version behind an alias, for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Box<Served>>,
    /// What was tried before, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// What it used, without what was tried before.
    pub usage: Usage,
    /// Of what kinds the tokens were.
    #[serde(default, skip_serializing_if = "TokenKinds::is_none")]
    pub tokens: TokenKinds,
    /// Milliseconds until the first piece of the answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u32>,
    /// What is wrong with the text, where an output schema was asked for and not kept to. The call is done and paid for
    /// all the same: it is recorded as it is, and the agent's next turn shows the fault to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Why nothing of it may be used: it held what the agent's guardrails stop. The call is done and paid for all the same:
    /// it is recorded without its text, and the agent fails with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Box<StepError>>,
    /// Why it stopped, in the provider's word.
    #[serde(default)]
    pub stop_reason: String,
    /// The provider's name for the request, for asking them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_request_id: Option<String>,
}

impl ModelAnswer {
    /// What the call used in all, with the answers that broke off before this one.
    #[must_use]
    pub fn spent(&self) -> Usage {
        let mut all = self.usage;
        self.tried.iter().for_each(|tried| all += tried.usage);
        all
    }

    /// What its provider wrote besides its text and the arguments of its calls: names, ids, words of its own.
    pub fn marks(&mut self) -> impl Iterator<Item = &mut String> {
        let calls = self.tool_calls.iter_mut();
        let calls = calls.flat_map(|call| [&mut call.id, &mut call.tool].into_iter().chain(&mut call.signatures));
        let tried = self.tried.iter_mut().map(|tried| &mut tried.message);
        let served = self.served.as_deref_mut().map(|served| &mut served.0);
        let own = [&mut self.stop_reason].into_iter().chain(served).chain(&mut self.provider_request_id);
        calls.chain(tried).chain(own).chain(&mut self.fault)
    }
}

/// A model as its provider names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Served(pub String);

/// A model that was asked and did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// `provider/name`.
    pub model: String,
    /// The stable code of what went wrong.
    pub code: String,
    /// The same in words.
    pub message: String,
    /// What it used until it broke off.
    #[serde(default, skip_serializing_if = "Usage::is_none")]
    pub usage: Usage,
}

/// Of what kinds the tokens of an answer were. All of them are counted in its [`Usage`] too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenKinds {
    /// Read from what the provider had kept.
    pub cached: u64,
    /// Read and kept by the provider from now on.
    pub cache_write: u64,
    /// Written while reasoning, not shown.
    pub reasoning: u64,
}

impl TokenKinds {
    /// Whether there were none but plain ones.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One call of a tool, with arguments that fit its schema.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// The arguments.
    pub arguments: Value,
    /// Where the tool comes from.
    #[serde(default, skip_serializing_if = "ToolSource::is_built_in")]
    pub source: ToolSource,
    /// The guardrails of the agent whose model chose the call; nothing where a builder placed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrails: Option<Guardrails>,
    /// Whether only what it would do is told: it is a trial, and the tool has effects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// What the call costs, where the run's plan says so.
    #[serde(default, skip_serializing_if = "Money::is_zero")]
    pub cost: Money,
}

/// A task that an agent has done, as it remembers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTask {
    /// What it was asked.
    pub prompt: String,
    /// What it answered.
    pub answer: String,
}

/// The most earlier tasks that an agent is told of.
pub const RECALLED_TASKS: usize = 30;
/// The most characters of them together.
const RECALLED_CHARS: usize = 60_000;
/// The most characters of one's question, and of its answer.
const PAST_CHARS: usize = 20_000;

impl PastTask {
    /// The task as far as it is remembered: of a long text the beginning.
    #[must_use]
    pub fn shortened(self) -> Self {
        let [prompt, answer] = [self.prompt, self.answer].map(|text| text::shortened(&text, PAST_CHARS));
        Self { prompt, answer }
    }

    /// The last of these tasks, as many as an agent is told of, the oldest first.
    #[must_use]
    pub fn last(newest_first: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut room = RECALLED_CHARS;
        let fits = |task: &Self| {
            let length = task.prompt.chars().count() + task.answer.chars().count();
            let left = room.checked_sub(length);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let mut last: Vec<_> = newest_first.into_iter().take(RECALLED_TASKS).take_while(fits).collect();
        last.reverse();
        last
    }
}

/// Something with what an agent remembers across runs under a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryCall {
    /// The agent's key.
    pub agent: String,
    /// What the memory is about, such as a customer's number.
    pub key: String,
    /// What is done.
    pub deed: MemoryDeed,
}

/// What is done with a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "snake_case")]
pub enum MemoryDeed {
    /// The last tasks are read: [`Recalled`].
    Recall,
    /// A task is added, once for each step.
    Keep {
        /// The task.
        task: PastTask,
        /// What the agent must not keep either.
        guardrails: Guardrails,
    },
}

/// What an agent remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// The tasks, the oldest first.
    pub tasks: Vec<PastTask>,
}

/// What a step asks of the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Call {
    /// A model.
    Model(ModelCall),
    /// A tool.
    Tool(ToolCall),
    /// What an agent remembers.
    Memory(MemoryCall),
}

/// What the world answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    /// A model's answer.
    Model(ModelAnswer),
    /// A tool's result, or what a memory gave.
    Tool {
        /// The value, at most [`MAX_OUTPUT_BYTES`] as JSON.
        output: Value,
    },
    /// The tool needs a person's answer: the engine opens a question, and the person's text is the result.
    AskHuman {
        /// The question.
        question: String,
    },
    /// The answer of an earlier call that was the same, out of the cache. It cost nothing. Never written down as such.
    #[serde(skip)]
    Cached(Box<Answer>),
    /// The answer of a tool that costs so much. Never written down as such.
    #[serde(skip)]
    Paid {
        /// The answer.
        answer: Box<Answer>,
        /// What it costs.
        cost: Money,
    },
    /// The call did not go out, because the other side asked to be left alone: the engine makes the same call again at
    /// that moment.
    Later {
        /// When.
        at: Timestamp,
        /// Which side, for people.
        why: String,
    },
}

/// The code of the error when a budget of the organization does not hold a model call. A person who may say so lets the
/// task go on: [`CallScope::beyond_budget`].
pub const BUDGET_SPENT: &str = "budget.spent";

/// The most tokens of one answer under a budget, where the agent names no bound.
pub const MAX_ANSWER: u64 = 8_192;
/// What an answer without a bound counts as: no model writes more tokens in one.
pub const UNBOUNDED: u64 = 131_072;

/// The most bytes that a tool's result may have as JSON: 4 MiB.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// Where a call belongs: what it may touch, its idempotency key, and how long it has.
#[derive(Debug, Clone, PartialEq)]
pub struct CallScope {
    /// The organization.
    pub org: OrgId,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The owner's fence.
    pub fence: i64,
    /// For how many seconds the answer may be remembered and given again; nothing where each call is to be made.
    pub cache_s: Option<u64>,
    /// The fence of the locks that the step, or what it stands in, holds.
    pub lock_fence: Option<i64>,
    /// The key of the agent whose task the call is part of.
    pub agent: Option<String>,
    /// Whether a person let its task go on beyond the organization's budgets.
    pub beyond_budget: bool,
    /// When the attempt is cut off, by the database's clock. It is cut off from outside too: a call that is dropped must
    /// leave nothing running.
    pub until: Timestamp,
    /// The same as a length of time, from when the call goes out; nothing before that.
    pub time: Duration,
}

impl CallScope {
    /// The idempotency key of the call: the same over all attempts.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.run, self.step)
    }
}

/// What a call says while it is under way.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A piece of the text that a model is writing. Shown, and kept only where the call is stopped or fails.
    Partial(String),
    /// The pieces so far count no more: another model begins anew.
    Restart,
    /// A line for the run's log. Kept with the call's result.
    Log(LogLevel, String),
}

/// Templates to fill in, and what their expressions may read.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The template value: texts with `{{ }}` anywhere inside.
    pub template: Value,
    /// What expressions see, by name: `input`, `steps`, `item`, `index`, `run`. An object.
    pub scope: Value,
    /// The moment that the clock inside shows.
    pub now: Timestamp,
    /// The seed of the random source inside.
    pub seed: u64,
    /// The organization and run whose shared context expressions see as `context`.
    pub org: OrgId,
    /// The run.
    pub run: RunId,
}

/// A call's place among those that go to the same side at a time. Dropping it makes room for the next one.
#[cfg(feature = "ssr")]
pub trait Place: Send + Sync {
    /// The call came back.
    fn came_back(&self, result: &Result<Answer, StepError>);
}

/// All that a run may ask of the world.
#[cfg(feature = "ssr")]
#[async_trait::async_trait]
pub trait Effects: Send + Sync + 'static {
    /// Waits for the call's place among those that go to the same side; nothing where there is no such limit. Called
    /// before a call takes one of the node's slots, so that who waits for one side keeps nobody from calling another.
    async fn place(&self, _call: &Call, _scope: &CallScope) -> Option<Box<dyn Place>> {
        None
    }

    /// Performs a call. Dropping the future aborts it.
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError>;

    /// The most that a call uses, as far as can be said before it is made: what it reads, as much as it may write, and
    /// what both cost.
    fn most(&self, call: &ModelCall) -> Usage {
        Usage { tokens_in: call.tokens_in_at_most(), tokens_out: call.max_tokens.unwrap_or(0), ..Usage::default() }
    }

    /// Fills in a template. Bounded in time, memory and size; without access to anything outside.
    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError>;
}
