//! Attempts of model and tool calls: begin, succeed, fail, try again.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Decider, locks::expired};
use crate::{
    engine::{
        journal::{Event, LogLevel},
        machine::{Effect, Machine, Step},
        plan::{HTTP_TOOL, NodeKind, ToolEffect, ToolSource, ToolSpec},
        port::{Answer, Call, CallScope, ModelAnswer, ToolCall},
        retry,
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::{Timestamp, text},
};

/// Seconds that a call may take where nothing else is said.
const DEFAULT_TIMEOUT_S: u64 = 60;

impl Decider<'_> {
    /// Begins the next attempt of a call. Its start is written before the call is performed.
    pub(super) fn start_attempt(&mut self, id: &StepId) {
        if !self.lock_is_over(id) && (self.message(id) || self.search_tools(id)) {
            return;
        }
        let Some(call) = self.call_of(id) else {
            return self.fail(
                id,
                StepError::new(ErrorClass::Internal, "engine.no_call", "The step's call could not be made out."),
            );
        };
        if self.lock_is_over(id) {
            return self.fail(id, expired());
        }
        let (own, last, cache_s) = (self.time_of(id), self.last_moment(id), self.cache_of(id));
        let lock_fence = self.lock_of(id).map(|grant| grant.fence);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Running;
        step.attempt += 1;
        step.wake_at = None;
        step.detail.limit = None;
        let attempt = step.attempt;
        let event = Event::StepStarted { step: step.head(), attempt };
        self.turn.events.push(event);
        self.turn.needs_sync = true;
        self.m.in_flight.insert(id.clone());
        self.touch(id);
        let (org, run, fence) = (self.m.org, self.m.run, self.m.fence);
        let (agent, beyond_budget) = (self.agent_over(id), self.is_beyond_budget(id));
        let scope = CallScope {
            org,
            run,
            step: id.clone(),
            attempt,
            fence,
            lock_fence,
            cache_s,
            agent,
            beyond_budget,
            until: last,
            time: Duration::ZERO,
        };
        self.turn.effects.push(Effect::Perform(Box::new(call), scope, own));
    }

    fn call_of(&self, id: &StepId) -> Option<Call> {
        let step = self.m.steps.get(id)?;
        match step.kind {
            StepKind::Http => Some(Call::Tool(self.tool_call(id, HTTP_TOOL.to_owned(), step))),
            StepKind::Tool => {
                let tool = step.detail.about.clone()?;
                Some(Call::Tool(self.tool_call(id, tool, step)))
            }
            StepKind::Model => self.model_call(&id.parent()?, id),
            StepKind::Memory => self.memory_call(id),
            _ => None,
        }
    }

    /// A tool as its step calls it. What a model chose stands under its agent's guardrails.
    fn tool_call(&self, id: &StepId, tool: String, step: &Step) -> ToolCall {
        let spec = self.plan.tools.get(&tool);
        let source = spec.map(|spec| spec.source.clone()).unwrap_or_default();
        let chosen_by = id.parent().filter(|_| step.detail.request.is_some());
        let guardrails = chosen_by.and_then(|agent| Some(self.spec_of(&self.plan, &agent)?.guardrails.clone()));
        let arguments = step.input.clone().unwrap_or_default();
        let simulated = spec.is_some_and(|spec| self.is_simulated(spec, &arguments));
        let cost = spec.map(|spec| spec.cost).unwrap_or_default();
        ToolCall { tool, arguments, source, guardrails, simulated, cost }
    }

    /// Whether a tool only tells what it would do: the run is a trial, and the call would change or send something.
    pub(super) fn is_simulated(&self, tool: &ToolSpec, arguments: &Value) -> bool {
        let looks = tool.effect == ToolEffect::Read || (tool.name == HTTP_TOOL && is_plain_read(arguments));
        // What another agent or a workflow would do is seen below it.
        let delegates = matches!(tool.source, ToolSource::Agent { .. } | ToolSource::Workflow { .. });
        self.plan.simulate && !looks && !delegates
    }

    /// The key of the agent whose task a call is part of.
    fn agent_over(&self, id: &StepId) -> Option<String> {
        self.agent_key(&id.parent().filter(|above| self.spec_of(&self.plan, above).is_some())?)
    }

    /// How long one attempt may take.
    fn time_of(&self, id: &StepId) -> TimeDelta {
        let node = Machine::node_of(&self.plan, id);
        let step = self.m.steps.get(id);
        let seconds = match step.map(|step| step.kind) {
            Some(StepKind::Model) => {
                id.parent().and_then(|agent| Some(self.spec_of(&self.plan, &agent)?.limits.timeout_s))
            }
            _ => node
                .filter(|node| matches!(node.kind, NodeKind::Tool { .. } | NodeKind::Http(_)))
                .and_then(|node| node.timeout_s)
                .or_else(|| {
                    let step = step?;
                    let tool = if step.kind == StepKind::Http { HTTP_TOOL } else { step.detail.about.as_deref()? };
                    self.plan.tools.get(tool).map(|spec| spec.timeout_s)
                }),
        };
        TimeDelta::seconds(seconds.unwrap_or(DEFAULT_TIMEOUT_S).clamp(1, 86_400).cast_signed())
    }

    /// For how long a call's answer is remembered, where its node says so and the call is one that can be given again.
    fn cache_of(&self, id: &StepId) -> Option<u64> {
        let seconds = Machine::node_of(&self.plan, id)?.cache.seconds()?;
        let step = self.m.steps.get(id)?;
        let is_repeatable = match step.kind {
            StepKind::Model => true,
            // Whoever tries it again may have made it another request.
            StepKind::Http => is_plain_read(step.input.as_ref()?),
            StepKind::Tool => self.plan.tools.get(step.detail.about.as_ref()?).is_some_and(|tool| tool.repeatable),
            _ => false,
        };
        is_repeatable.then_some(seconds)
    }

    /// When whatever a step belongs to is cut off: its agent, the groups that it stands in, its locks, or the run.
    fn last_moment(&self, id: &StepId) -> Timestamp {
        let lock = self.lock_of(id).map(|grant| grant.until);
        let mut last = lock.unwrap_or(self.now + TimeDelta::days(366));
        let mut above = id.parent();
        while let Some(owner) = above {
            if let Some(step) = self.m.steps.get(&owner).filter(|step| step.state == StepState::Running) {
                last = step.wake_at.map_or(last, |deadline| deadline.min(last));
            }
            above = owner.parent();
        }
        self.m.deadline_at.map_or(last, |deadline| deadline.min(last))
    }

    /// Whether a call must not happen a second time when it is not known whether it did.
    pub(super) fn must_not_repeat(&self, id: &StepId) -> bool {
        let Some(step) = self.m.steps.get(id).filter(|step| matches!(step.kind, StepKind::Tool | StepKind::Http))
        else {
            return false;
        };
        let tool = step.detail.about.as_ref().and_then(|tool| self.plan.tools.get(tool));
        let of_node = Machine::node_of(&self.plan, id).filter(|node| !matches!(node.kind, NodeKind::Agent { .. }));
        tool.is_some_and(|tool| tool.at_most_once) || of_node.is_some_and(|node| node.at_most_once)
    }

    /// A call came back.
    pub(super) fn performed(
        &mut self,
        id: &StepId,
        attempt: u32,
        result: Result<Answer, StepError>,
        lines: Vec<(LogLevel, String)>,
    ) {
        if !self.m.is_at(id, attempt) {
            return;
        }
        self.m.in_flight.remove(id);
        if let Some(step) = self.m.steps.get_mut(id) {
            // Its process has lived through it.
            step.detail.crashes = 0;
        }
        for (level, line) in lines {
            self.turn.log(level, Some(id), line);
        }
        match result {
            Ok(answer) => self.answered(id, answer),
            Err(error) => self.attempt_failed(id, error),
        }
    }

    fn answered(&mut self, id: &StepId, answer: Answer) {
        match answer {
            Answer::Model(answer) => self.model_answered(id, &answer),
            Answer::Tool { output } => {
                let Some(step) = self.m.steps.get(id) else { return };
                let whence = if step.detail.cached { " from the cache" } else { "" };
                // A memory says itself what it did.
                if step.kind != StepKind::Memory {
                    let line = format!("{} answered{whence}.", step.name);
                    self.turn.log(LogLevel::Info, Some(id), line);
                }
                self.succeed(id, output);
            }
            Answer::AskHuman { question } => self.ask_question(id, &question),
            Answer::Later { at, why } => self.put_off(id, at, why),
            Answer::Cached(answer) => {
                if let Some(step) = self.m.steps.get_mut(id) {
                    step.detail.cached = true;
                }
                self.answered(id, *answer);
            }
            Answer::Paid { answer, cost } => {
                if let Some(step) = self.m.steps.get_mut(id) {
                    step.usage.cost += cost;
                }
                self.answered(id, *answer);
            }
        }
    }

    /// The other side is to be left alone until a moment, so the call did not go out. Nothing has failed: the same attempt
    /// begins again then.
    fn put_off(&mut self, id: &StepId, at: Timestamp, side: String) {
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Waiting;
        step.attempt = step.attempt.saturating_sub(1);
        step.wake_at = Some(at);
        let pause = text::duration((at - self.now).num_milliseconds().max(0));
        let line = format!("{}: {side} cannot take the call yet. It is made in {pause}.", step.name);
        step.detail.limit = Some(side);
        let (head, attempt) = (step.head(), step.attempt);
        let event = Event::StepWaiting { step: head, attempt, until: Some(at), approval: None, lock: None };
        self.turn.log(LogLevel::Info, Some(id), line);
        self.turn.events.push(event);
        self.touch(id);
    }

    /// Whether a step waits for a side that asked to be left alone.
    pub(super) fn is_put_off(&self, id: &StepId) -> bool {
        self.m.steps.get(id).is_some_and(|step| step.detail.limit.is_some())
    }

    fn model_answered(&mut self, id: &StepId, answer: &ModelAnswer) {
        let own = id.parent().and_then(|agent| self.spec_of(&self.plan, &agent)?.options.max_output_tokens);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.usage += answer.spent();
        step.detail.about = Some(answer.model.clone());
        let line = if step.detail.cached {
            format!("{} answered from the cache.", answer.model)
        } else {
            format!(
                "{} answered: {} tokens in, {} out, {}.",
                answer.model,
                text::grouped(answer.usage.tokens_in),
                text::grouped(answer.usage.tokens_out),
                answer.usage.cost,
            )
        };
        let cut = step.detail.reserved.filter(|most| own.is_none() && answer.usage.tokens_out >= most.tokens_out);
        self.turn.log(LogLevel::Info, Some(id), line);
        if let Some(most) = cut {
            let most = text::grouped(most.tokens_out);
            let line = format!("The answer was cut off: under a budget it has {most} tokens at most.");
            self.turn.log(LogLevel::Warn, Some(id), line);
        }
        self.succeed(id, serde_json::to_value(answer).unwrap_or_default());
    }

    fn attempt_failed(&mut self, id: &StepId, error: StepError) {
        if let Some(step) = self.m.steps.get_mut(id) {
            step.usage += error.used();
        }
        if error.effect_unknown && self.must_not_repeat(id) {
            return self.uncertain(id, error);
        }
        if self.lock_is_over(id) {
            return self.fail(id, if error.class == ErrorClass::Timeout { expired() } else { error });
        }
        let policy = Machine::node_of(&self.plan, id).and_then(|node| node.retry.clone()).unwrap_or_default();
        let seed = retry::seed_of(id.as_str()) ^ (self.m.run.uuid().as_u128() as u64);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.detail.failures += 1;
        step.detail.attempts = Some(policy.attempts);
        let Some(pause) = retry::pause_ms(&policy, &error, step.detail.failures, seed) else {
            return self.fail(id, error);
        };
        let next_at = self.now + TimeDelta::milliseconds(pause.cast_signed());
        step.state = StepState::Retrying;
        step.wake_at = Some(next_at);
        step.error = Some(error.clone());
        let (attempt, of) = (step.attempt, policy.attempts);
        let line = format!(
            "{}: attempt {attempt} failed: {} The next one begins in {}.",
            step.name,
            error.message,
            text::duration(pause.cast_signed()),
        );
        self.turn.log(LogLevel::Warn, Some(id), line);
        self.turn.events.push(Event::StepRetrying { step: id.clone(), attempt, of, error, next_at });
        self.touch(id);
    }

    /// A result as a model reads it: the output, or what went wrong in words.
    pub(super) fn told_to_model(&self, id: &StepId) -> (Value, bool) {
        match self.m.steps.get(id) {
            Some(step) if step.state == StepState::Succeeded => (step.output.clone().unwrap_or_default(), false),
            Some(step) => {
                let message = step.error.as_ref().map_or("The call was stopped.", |error| error.message.as_str());
                (json!({ "error": message }), true)
            }
            None => (Value::Null, true),
        }
    }
}

/// Whether an HTTP request asks for something and changes nothing.
fn is_plain_read(request: &Value) -> bool {
    matches!(request.get("method").and_then(Value::as_str), None | Some("GET" | "HEAD"))
}
