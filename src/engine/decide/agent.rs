//! An agent at work: a conversation of recorded model calls and tool calls. All of it is made out of the steps below the
//! agent's own, so after a crash it goes on from the last recorded one.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Decider, budget::Room};
use crate::{
    engine::{
        journal::{Event, LogLevel, Usage},
        machine::{Detail, Machine, Step},
        plan::{ASK_HUMAN, AgentSpec, NodeKind, Plan, ToolEffect, ToolPermission},
        port::{Call, Message, ModelAnswer, ModelCall, ToolOffer, ToolRequest},
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::text,
};

/// The most tool calls that one answer of a model may ask for.
const MAX_CALLS_A_TURN: usize = 16;
/// How often a model is shown that its answer does not have the agreed form.
const MAX_FAULTY_ANSWERS: usize = 2;

impl Decider<'_> {
    /// The agent of a step: its node's, or the one that does it instead.
    pub(super) fn spec_of<'p>(&self, plan: &'p Plan, agent: &StepId) -> Option<Cow<'p, AgentSpec>> {
        let detail = &self.m.steps.get(agent)?.detail;
        let spec = plan.agents.get(&self.agent_key(agent)?)?;
        Some(match &detail.model {
            Some(model) => Cow::Owned(AgentSpec { model: model.clone(), ..spec.clone() }),
            None => Cow::Borrowed(spec),
        })
    }

    /// The key of the agent of a step.
    pub(super) fn agent_key(&self, agent: &StepId) -> Option<String> {
        if let Some(instead) = &self.m.steps.get(agent)?.detail.agent {
            return Some(instead.clone());
        }
        match &Machine::node_of(&self.plan, agent)?.kind {
            NodeKind::Agent { agent, .. } => Some(agent.clone()),
            _ => None,
        }
    }

    pub(super) fn begin_agent(&mut self, id: &StepId, prompt: Value) {
        let prompt = match prompt {
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.set_input(id, json!({ "prompt": prompt }));
        self.begin_group(id);
        self.agent_advance(id);
    }

    /// Looks at the conversation so far and takes the next step of it, if nothing of it is under way.
    pub(super) fn agent_advance(&mut self, agent: &StepId) {
        let plan = self.plan.clone();
        let works = |step: &Step| step.state == StepState::Running && !step.detail.mending;
        if self.m.is_held() || !self.m.steps.get(agent).is_some_and(works) {
            return;
        }
        let Some(spec) = self.spec_of(&plan, agent) else {
            let message = "The agent of this step is not part of the run's plan.";
            return self.fail(agent, StepError::new(ErrorClass::Internal, "engine.no_agent", message));
        };
        let spec = &*spec;
        let mut faulty = 0;
        for turn in 1.. {
            let model = agent.child(format_args!("model{turn}"));
            let Some(step) = self.m.steps.get(&model) else { return self.next_turn(agent, spec, turn) };
            match step.state {
                StepState::Succeeded => {}
                StepState::Failed => {
                    let error = step.error.clone();
                    let mends = error.as_ref().is_some_and(|error| error.class == ErrorClass::InvalidOutput);
                    faulty += 1;
                    if mends && faulty <= MAX_FAULTY_ANSWERS {
                        continue;
                    }
                    let mut error = error.unwrap_or_else(|| {
                        StepError::new(
                            ErrorClass::Internal,
                            "engine.no_error",
                            "The model call failed without a reason.",
                        )
                    });
                    error.caused_by.get_or_insert(model);
                    return self.fail(agent, error);
                }
                _ => return,
            }
            let Some(answer) = self.answer(&model) else { return };
            if let Some(mut error) = answer.stopped {
                error.caused_by = Some(model);
                return self.fail(agent, *error);
            }
            if let Some(fault) = &answer.fault {
                faulty += 1;
                if faulty <= MAX_FAULTY_ANSWERS {
                    continue;
                }
                let message = format!("{} did not give an answer of the agreed form. {fault}", spec.name);
                let mut error = StepError::new(ErrorClass::InvalidOutput, "agent.invalid_output", message);
                error.caused_by = Some(model);
                return self.fail(agent, error);
            }
            if answer.tool_calls.is_empty() {
                return self.end_agent(agent, spec, &answer);
            }
            let mut under_way = false;
            for (place, request) in answer.tool_calls.iter().enumerate() {
                let call = agent.child(format_args!("tool{turn}_{}", place + 1));
                if !self.m.steps.contains_key(&call) {
                    self.request_tool(agent, spec, &call, request, place);
                    if self.m.steps.get(agent).is_none_or(|step| step.state != StepState::Running) {
                        return;
                    }
                }
                under_way |= self.m.steps.get(&call).is_some_and(|step| !step.state.is_end());
            }
            if under_way {
                return;
            }
        }
    }

    fn answer(&self, model: &StepId) -> Option<ModelAnswer> {
        serde_json::from_value(self.m.steps.get(model)?.output.clone()?).ok()
    }

    /// Asks the model again, unless a limit of the agent says no.
    fn next_turn(&mut self, agent: &StepId, spec: &AgentSpec, turn: u32) {
        let used = self.used_below(agent);
        let limits = spec.limits;
        let over = if turn > limits.max_turns {
            Some(format!("{} has used all of its {} turns without an answer.", spec.name, limits.max_turns))
        } else if used.tokens() >= limits.max_tokens {
            let (used, limit) = (text::grouped(used.tokens()), text::grouped(limits.max_tokens));
            Some(format!("{} has used {used} of {limit} tokens allowed for a task.", spec.name))
        } else if used.cost >= limits.max_cost && used.cost.micros() > 0 {
            Some(format!("{} has cost {} of {} allowed for a task.", spec.name, used.cost, limits.max_cost))
        } else {
            None
        };
        if let Some(message) = over {
            let message = format!("{message} Raise the agent's limits or make its task smaller.");
            return self.fail(agent, StepError::new(ErrorClass::Budget, "agent.limit", message));
        }
        let Some(node) = self.m.steps.get(agent).map(|step| step.node.clone()) else { return };
        let model = agent.child(format_args!("model{turn}"));
        let told = self.to_tell(agent, spec);
        let reserved = match self.room_for(agent, &model, &told) {
            Room::There(reserved) => reserved,
            Room::Later => {
                self.m.short.insert(agent.clone());
                return;
            }
            Room::Never(owner, most) => return self.over_budget(agent, &owner, most),
        };
        let detail = Detail { about: Some(spec.model.clone()), reserved, ..Detail::default() };
        self.open_step(model.clone(), &node, StepKind::Model, &format!("Model call {turn}"), detail);
        let mut input = json!({ "model": spec.model, "turn": turn });
        if !told.is_empty() {
            input["told"] = json!(told);
            self.set_input(&model, input.clone());
        }
        // What is new since the last turn: the conversation is not stored again with each.
        let news = self.conversation(agent, turn).split_off(self.conversation(agent, turn - 1).len());
        input["messages"] = json!(news);
        self.set_input(&model, input);
        self.start_attempt(&model);
    }

    fn used_below(&self, agent: &StepId) -> Usage {
        let mut used = Usage::default();
        for step in self.m.steps.values().filter(|step| agent.holds(&step.id)) {
            used += step.usage;
        }
        used
    }

    /// The conversation that turn `turn` begins with. Turn 0 begins with nothing.
    fn conversation(&self, agent: &StepId, turn: u32) -> Vec<Message> {
        let mut messages = Vec::new();
        if turn == 0 {
            return messages;
        }
        let prompt = self.m.steps.get(agent).and_then(|step| step.input.as_ref()?.get("prompt")?.as_str());
        messages.push(Message::User { text: prompt.unwrap_or_default().to_owned() });
        for past in 1..=turn {
            let model = agent.child(format_args!("model{past}"));
            messages.extend(self.told_before(&model));
            if past == turn {
                break;
            }
            let Some(answer) = self.answer(&model) else { continue };
            if let Some(fault) = answer.fault {
                messages.push(Message::Assistant { text: answer.text, tool_calls: Vec::new() });
                messages.push(Message::User { text: format!("This answer cannot be used. {fault} Answer again.") });
                continue;
            }
            let requests = answer.tool_calls.clone();
            messages.push(Message::Assistant { text: answer.text, tool_calls: answer.tool_calls });
            for (place, request) in requests.into_iter().enumerate() {
                let call = agent.child(format_args!("tool{past}_{}", place + 1));
                let (output, failed) = self.told_to_model(&call);
                messages.push(Message::Tool { id: request.id, tool: request.tool, output, failed });
            }
        }
        messages
    }

    pub(super) fn model_call(&self, agent: &StepId, model: &StepId) -> Option<Call> {
        let spec = self.spec_of(&self.plan, agent)?;
        let turn: u32 = model.key().strip_prefix("model")?.parse().ok()?;
        let offers = spec.tools.keys().filter_map(|name| self.plan.tools.get(name));
        Some(Call::Model(ModelCall {
            model: spec.model.clone(),
            fallbacks: spec.fallbacks.clone(),
            system: spec.instructions.clone(),
            messages: self.conversation(agent, turn),
            tools: offers
                .map(|tool| ToolOffer {
                    name: tool.name.clone(),
                    description: tool.description.clone(),
                    parameters: tool.parameters.clone(),
                })
                .collect(),
            output_schema: spec.output_schema.clone(),
            temperature: spec.temperature,
            // Under a budget an answer is as long as was reserved for it.
            max_tokens: self
                .m
                .steps
                .get(model)
                .and_then(|step| Some(step.detail.reserved?.tokens_out))
                .or(spec.options.max_output_tokens),
            options: spec.options,
            guardrails: spec.guardrails.clone(),
        }))
    }

    /// The model wants a tool called: allowed, held back for a person, or refused.
    fn request_tool(&mut self, agent: &StepId, spec: &AgentSpec, call: &StepId, request: &ToolRequest, place: usize) {
        let Some(node) = self.m.steps.get(agent).map(|step| step.node.clone()) else { return };
        let plan = self.plan.clone();
        let name = text::shortened(&request.tool, 60);
        let detail = Detail { about: Some(name.clone()), request: Some(request.id.clone()), ..Detail::default() };
        self.open_step(call.clone(), &node, StepKind::Tool, &name, detail);
        self.set_input(call, request.arguments.clone());
        self.turn.events.push(Event::StepToolUse { step: agent.clone(), tool: name.clone(), call: call.clone() });
        let permission = spec.tools.get(&request.tool);
        let tool = plan.tools.get(&request.tool);
        let (Some(permission), Some(tool)) = (permission, tool) else {
            let message = format!("{} has no tool “{name}”.", spec.name);
            return self.fail(call, StepError::new(ErrorClass::BadInput, "tools.not_allowed", message));
        };
        if place >= MAX_CALLS_A_TURN {
            let message = format!("One answer may ask for {MAX_CALLS_A_TURN} tool calls at most.");
            return self.fail(call, StepError::new(ErrorClass::BadInput, "tools.too_many", message));
        }
        let held_back = match permission {
            ToolPermission::Allowed => false,
            // A question is a gate itself, and a step has one.
            ToolPermission::NeedsApproval => tool.name != ASK_HUMAN,
            ToolPermission::Policy => tool.effect != ToolEffect::Read,
        };
        if held_back {
            self.ask_for_tool(call, spec, tool, request);
        } else {
            self.start_attempt(call);
        }
    }

    /// A model call or tool call of an agent has ended.
    pub(super) fn agent_child_ended(&mut self, agent: &StepId, child: &StepId) {
        if let Some(step) = self.m.steps.get(child).filter(|step| step.kind == StepKind::Tool) {
            let ok = step.state == StepState::Succeeded;
            self.turn.events.push(Event::StepToolResult { step: agent.clone(), call: child.clone(), ok });
        }
        self.agent_advance(agent);
    }

    fn end_agent(&mut self, agent: &StepId, spec: &AgentSpec, answer: &ModelAnswer) {
        let output = if spec.output_schema.is_null() {
            Value::String(answer.text.clone())
        } else {
            // The port has checked it against the schema.
            serde_json::from_str(&answer.text).unwrap_or_else(|_| Value::String(answer.text.clone()))
        };
        self.turn.log(LogLevel::Info, Some(agent), format!("{} finished.", spec.name));
        self.succeed(agent, output);
    }
}
