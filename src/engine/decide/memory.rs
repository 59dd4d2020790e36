//! What an agent remembers of its earlier tasks. Those of its own run stand in the run's steps: a task notes, as it begins,
//! which of them it is told of. Those that were done under a key, in whichever run, are read by a step below the agent's
//! before its first turn, and added to by another one after its last: recorded like every call, so a crash, a replay and
//! a fork find the same.

use std::cmp::Reverse;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Decider, delegate::is_delegated};
use crate::{
    engine::{
        machine::{Detail, Machine, Step},
        plan::{AgentSpec, MAX_MEMORY_KEY, Memory, NodeKind},
        port::{Call, MemoryCall, MemoryDeed, PastTask, RECALLED_TASKS, Recalled},
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::text,
};

/// The steps that read a memory and add to it. No node's key has a hyphen.
const RECALL: &str = "memory-recall";
const KEEP: &str = "memory-keep";

/// The key of a memory as it was filled in. An empty one is none.
pub(super) fn memory_key(filled: &str) -> Result<String, StepError> {
    let key = filled.trim();
    if key.chars().count() > MAX_MEMORY_KEY {
        let start = text::shortened(key, 40);
        let message = format!("The key of a memory has {MAX_MEMORY_KEY} characters at most. This one begins: {start}");
        return Err(StepError::new(ErrorClass::BadInput, "agent.memory_key", message));
    }
    Ok(key.to_owned())
}

impl Decider<'_> {
    /// Whether the node of an agent's step names a key to remember under. It is none of an agent that another one calls.
    pub(super) fn gives_memory_key(&self, agent: &StepId) -> bool {
        let is_called = self.m.steps.get(agent).is_some_and(|step| is_delegated(step.kind, agent));
        let node = Machine::node_of(&self.plan, agent).filter(|_| !is_called);
        node.is_some_and(|node| matches!(&node.kind, NodeKind::Agent { memory_key, .. } if !memory_key.is_empty()))
    }

    /// The tasks of the run that an agent is told of as it begins, the oldest first.
    pub(super) fn earlier_tasks(&self, agent: &StepId) -> Vec<StepId> {
        let (Some(spec), Some(key)) = (self.spec_of(&self.plan, agent), self.agent_key(agent)) else {
            return Vec::new();
        };
        if spec.memory != Memory::Conversation {
            return Vec::new();
        }
        let is_earlier = |step: &&Step| {
            let task = step.detail.task.as_ref();
            step.state == StepState::Succeeded && task.is_some_and(|task| task.agent == key && !task.given_up)
        };
        let mut earlier: Vec<_> = self.m.steps.values().filter(is_earlier).collect();
        earlier.sort_by_key(|step| Reverse(step.ordinal));
        earlier.truncate(RECALLED_TASKS);
        let fitting = PastTask::last(earlier.iter().map(|step| past_task(step))).len();
        earlier.truncate(fitting);
        earlier.into_iter().rev().map(|step| step.id.clone()).collect()
    }

    /// What an agent remembers, the oldest first.
    pub(super) fn remembered(&self, agent: &StepId) -> Vec<PastTask> {
        let noted = self.m.steps.get(agent).and_then(|step| step.input.as_ref()?.get("remembers")?.as_array());
        let noted = noted.into_iter().flatten().filter_map(Value::as_str).map(StepId::from_text);
        let of_run = noted.filter_map(|id| self.m.steps.get(&id)).map(past_task);
        let recalled = self.m.steps.get(&agent.child(RECALL)).and_then(|step| step.output.clone());
        let recalled = recalled.and_then(|output| Recalled::deserialize(output).ok()).unwrap_or_default();
        of_run.chain(recalled.tasks).collect()
    }

    /// The key that an agent remembers a task under, if it does.
    fn key_of_memory(&self, agent: &StepId, spec: &AgentSpec) -> Option<String> {
        let key = self.m.steps.get(agent)?.input.as_ref()?.get("memory_key")?.as_str()?;
        (spec.memory == Memory::Key).then(|| key.to_owned())
    }

    /// Whether all is there that an agent's first turn needs; if not, it is asked for.
    pub(super) fn is_prepared(&mut self, agent: &StepId, spec: &AgentSpec) -> bool {
        // One that has begun goes on as it began.
        self.m.steps.contains_key(&agent.child("model1"))
            || (self.has_instructions(agent, spec) && self.has_recalled(agent, spec))
    }

    fn has_recalled(&mut self, agent: &StepId, spec: &AgentSpec) -> bool {
        let Some(key) = self.key_of_memory(agent, spec) else { return true };
        let id = agent.child(RECALL);
        match self.m.steps.get(&id).map(|step| (step.state, step.error.clone())) {
            Some((StepState::Succeeded, _)) => return true,
            Some((StepState::Failed, Some(mut error))) => {
                error.caused_by = Some(id);
                self.fail(agent, error);
            }
            Some(_) => {}
            None => self.begin_memory(agent, &id, "Recall", json!({ "key": key })),
        }
        false
    }

    /// Whether a task that has its answer, of turn `turn`, is remembered as far as it is to be. One that could not be kept
    /// has its answer all the same; the failed step shows in the tree.
    pub(super) fn has_kept(&mut self, agent: &StepId, spec: &AgentSpec, turn: u32) -> bool {
        let Some(key) = self.key_of_memory(agent, spec).filter(|_| !self.plan.simulate) else { return true };
        let id = agent.child(KEEP);
        match self.m.steps.get(&id) {
            Some(step) => step.state.is_end(),
            None => {
                self.begin_memory(agent, &id, "Remember", json!({ "key": key, "turn": turn }));
                false
            }
        }
    }

    fn begin_memory(&mut self, agent: &StepId, id: &StepId, name: &str, input: Value) {
        let Some(node) = self.m.steps.get(agent).map(|step| step.node.clone()) else { return };
        self.open_step(id.clone(), &node, StepKind::Memory, name, Detail::default());
        self.set_input(id, input);
        self.start_attempt(id);
    }

    /// The call that reads a memory or adds to it.
    pub(super) fn memory_call(&self, id: &StepId) -> Option<Call> {
        let agent = id.parent()?;
        let spec = self.spec_of(&self.plan, &agent)?;
        let key = self.key_of_memory(&agent, &spec)?;
        let deed = if id.key() == RECALL {
            MemoryDeed::Recall
        } else {
            let turn = self.m.steps.get(id)?.input.as_ref()?.get("turn")?.as_u64()?;
            let answer = self.answer(&agent.child(format_args!("model{turn}")))?.text;
            let task = PastTask { prompt: self.prompt_of_task(&agent).to_owned(), answer };
            MemoryDeed::Keep { task, guardrails: spec.guardrails.clone() }
        };
        Some(Call::Memory(MemoryCall { agent: self.agent_key(&agent)?, key, deed }))
    }
}

/// A task of the run, as it is remembered.
fn past_task(step: &Step) -> PastTask {
    let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let prompt = step.input.as_ref().and_then(|input| input.get("prompt"));
    let (prompt, answer) = (prompt.map(as_text), step.output.as_ref().map(as_text));
    PastTask { prompt: prompt.unwrap_or_default(), answer: answer.unwrap_or_default() }.shortened()
}
