//! An agent at work: a conversation of recorded model calls and tool calls. All of it is made out of the steps below the
//! agent's own, so after a crash it goes on from the last recorded one.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{Decider, budget::Room, compress, delegate::kind_of_call, memory::memory_key, runaway::Pace};
use crate::{
    engine::{
        journal::{Event, LogLevel, Usage},
        machine::{AgentTask, Detail, Machine, Step},
        plan::{ASK_HUMAN, AgentSpec, FIND_TOOLS, NodeKind, Plan, ToolEffect, ToolPermission, ToolSource},
        port::{BUDGET_SPENT, Call, Message, ModelAnswer, ModelCall, PastTask, ToolRequest, UNBOUNDED},
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::{Money, text},
};

/// The most tool calls that one answer of a model may ask for.
const MAX_CALLS_A_TURN: usize = 16;
/// How often a model is shown that its answer does not have the agreed form.
const MAX_FAULTY_ANSWERS: usize = 2;
/// How often a task may ask a person for leave, so that nobody says yes out of weariness.
const MAX_ASKS: usize = 20;
/// The last turns whose results are always told whole.
const WHOLE_TURNS: u32 = 2;
/// Why a call is held back that the agent's permissions alone would let go.
const COMBINES: &str = "Held back because this run has read text from outside and private data, and this call sends \
                        something out: look for what should not leave.";
/// The same where it is not known what the run has read.
const READS_CONTEXT: &str = "Held back because this workflow reads the shared context, which other runs write, and this \
                             call sends something out: look for what should not leave.";

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

    fn task_of(&self, agent: &StepId) -> Option<AgentTask> {
        let spec = self.spec_of(&self.plan, agent)?;
        let (version, model) = (spec.version, spec.model.clone());
        Some(AgentTask { agent: self.agent_key(agent)?, version, model, cost: Money::ZERO, given_up: false })
    }

    /// Notes what the task of a step cost, when its agent is done with it. What something else did to mend it is not its.
    pub(super) fn note_cost(&mut self, id: &StepId) {
        let is_own = |step: &Step| step.detail.task.as_ref().is_some_and(|task| !task.given_up);
        if self.m.steps.get(id).is_some_and(is_own) {
            let cost = self.used_below(id).cost;
            if let Some(task) = self.m.steps.get_mut(id).and_then(|step| step.detail.task.as_mut()) {
                task.cost = cost;
            }
        }
    }

    pub(super) fn begin_agent(&mut self, id: &StepId, prompt: Value) {
        let as_text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        // Only where the node gives a key there is one: a prompt that is an object is a prompt all the same.
        let keyed = self.gives_memory_key(id);
        let is_more =
            |parts: &Map<String, Value>| parts.contains_key("history") || (keyed && parts.contains_key("memory_key"));
        let mut input = Map::new();
        match prompt {
            Value::Object(mut parts) if is_more(&parts) => {
                let prompt = parts.remove("prompt").map(as_text).unwrap_or_default();
                input.insert("prompt".to_owned(), Value::String(prompt));
                input.extend(parts.remove_entry("history"));
                let key = parts.remove("memory_key").filter(|key| keyed && !key.is_null()).map(as_text);
                match memory_key(&key.unwrap_or_default()) {
                    Ok(key) if key.is_empty() => {}
                    Ok(key) => {
                        input.insert("memory_key".to_owned(), Value::String(key));
                    }
                    Err(error) => return self.fail(id, error),
                }
            }
            prompt => {
                input.insert("prompt".to_owned(), Value::String(as_text(prompt)));
            }
        }
        let earlier = self.earlier_tasks(id);
        if !earlier.is_empty() {
            input.insert("remembers".to_owned(), json!(earlier));
        }
        self.set_input(id, Value::Object(input));
        let task = self.task_of(id);
        if let Some(step) = self.m.steps.get_mut(id) {
            step.detail.task = task;
        }
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
        if !self.is_prepared(agent, spec) {
            return;
        }
        let (mut faulty, mut refused) = (0, 0);
        for turn in 1.. {
            let model = agent.child(format_args!("model{turn}"));
            let Some(step) = self.m.steps.get(&model) else { return self.next_turn(agent, spec, turn, refused) };
            match step.state {
                StepState::Succeeded => {}
                StepState::Failed => {
                    let error = step.error.clone();
                    // It did not go out, and a person has let the task go on since.
                    if error.as_ref().is_some_and(|error| error.code == BUDGET_SPENT) && self.is_beyond_budget(agent) {
                        refused += 1;
                        continue;
                    }
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
                return self.end_agent(agent, spec, turn, &answer);
            }
            let mut under_way = false;
            for (place, request) in answer.tool_calls.iter().enumerate() {
                let call = self.call_id(agent, turn, place, request);
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

    pub(super) fn answer(&self, model: &StepId) -> Option<ModelAnswer> {
        serde_json::from_value(self.m.steps.get(model)?.output.clone()?).ok()
    }

    /// Asks the model again, unless a limit of the agent says no. Turns that a budget refused do not count.
    fn next_turn(&mut self, agent: &StepId, spec: &AgentSpec, turn: u32, refused: u32) {
        let notice = match self.pace(agent, spec, turn) {
            Pace::Stuck(error) => return self.fail(agent, error),
            Pace::Slow(notice) => Some(notice),
            Pace::Good => None,
        };
        if let Some(reached) = self.turns_reached(agent, turn - refused) {
            return self.stop_at_limit(agent, reached);
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
            Room::AtLimit(reached) => return self.stop_at_limit(agent, reached),
        };
        let detail = Detail { about: Some(spec.model.clone()), reserved, ..Detail::default() };
        self.open_step(model.clone(), &node, StepKind::Model, &format!("Model call {turn}"), detail);
        let mut input = json!({ "model": spec.model, "turn": turn });
        if !told.is_empty() {
            input["told"] = json!(told);
        }
        if let Some(notice) = notice {
            self.turn.log(LogLevel::Warn, Some(agent), format!("{} is told: {notice}", spec.name));
            input["notice"] = json!(notice);
        }
        self.set_input(&model, input.clone());
        // What is new since the last turn: the conversation is not stored again with each.
        let news = self.conversation(agent, turn).split_off(self.conversation(agent, turn - 1).len());
        input["messages"] = json!(news);
        self.set_input(&model, input);
        self.start_attempt(&model);
    }

    pub(super) fn used_below(&self, agent: &StepId) -> Usage {
        let mut used = Usage::default();
        for step in self.m.steps.values().filter(|step| agent.holds(&step.id)) {
            used += step.usage;
        }
        used
    }

    /// The conversation that turn `turn` begins with. Turn 0 begins with nothing.
    fn conversation(&self, agent: &StepId, turn: u32) -> Vec<Message> {
        if turn == 0 {
            return Vec::new();
        }
        let mut messages = self.before_task(agent);
        messages.push(Message::User { text: self.prompt_of_task(agent).to_owned() });
        let compress = self.spec_of(&self.plan, agent).is_some_and(|spec| spec.options.compress);
        for past in 1..=turn {
            let model = agent.child(format_args!("model{past}"));
            messages.extend(self.told_before(&model));
            messages.extend(self.notice_before(&model));
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
                let call = self.call_id(agent, past, place, &request);
                let (output, failed) = self.told_to_model(&call);
                // What was shortened in one turn is so in all later ones, so that a provider can keep it.
                let output = if compress && past + WHOLE_TURNS < turn { compress::shortened(output) } else { output };
                messages.push(Message::Tool { id: request.id, tool: request.tool, output, failed });
            }
        }
        messages
    }

    /// What was said before the task: what the agent remembers, and then what it is told was said.
    fn before_task(&self, agent: &StepId) -> Vec<Message> {
        let remembered = self.remembered(agent).into_iter().flat_map(|PastTask { prompt, answer }| {
            [Message::User { text: prompt }, Message::Assistant { text: answer, tool_calls: Vec::new() }]
        });
        let input = self.m.steps.get(agent).and_then(|step| step.input.as_ref());
        let history = input.and_then(|input| input.get("history")?.as_array()).into_iter().flatten();
        remembered.chain(history.map(said_before)).collect()
    }

    pub(super) fn prompt_of_task(&self, agent: &StepId) -> &str {
        let input = self.m.steps.get(agent).and_then(|step| step.input.as_ref());
        input.and_then(|input| input.get("prompt")?.as_str()).unwrap_or_default()
    }

    pub(super) fn model_call(&self, agent: &StepId, model: &StepId) -> Option<Call> {
        let spec = self.spec_of(&self.plan, agent)?;
        let turn: u32 = model.key().strip_prefix("model")?.parse().ok()?;
        Some(Call::Model(ModelCall {
            model: spec.model.clone(),
            fallbacks: spec.fallbacks.clone(),
            system: self.instructions(agent, &spec),
            filled: if turn == 1 { self.filled_in(agent) } else { Vec::new() },
            messages: self.conversation(agent, turn),
            earlier: self.before_task(agent).len(),
            tools: self.offers(agent, &spec),
            output_schema: spec.output_schema.clone(),
            temperature: spec.temperature,
            // An answer is as long as was reserved for it.
            max_tokens: self
                .m
                .steps
                .get(model)
                .and_then(|step| Some(step.detail.reserved?.tokens_out).filter(|most| *most < UNBOUNDED))
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
        let searches = request.tool == FIND_TOOLS && self.has_to_search(agent, spec);
        let permission = spec.tools.get(&request.tool).filter(|_| self.has_tool(agent, spec, &request.tool));
        let tool = plan.tools.get(&request.tool).filter(|_| permission.is_some());
        let mut detail = Detail { about: Some(name.clone()), request: Some(request.id.clone()), ..Detail::default() };
        match tool.map(|tool| &tool.source) {
            Some(ToolSource::Agent { agent }) => {
                detail.agent = Some(agent.clone());
                detail.about = plan.agents.get(agent).map(|spec| spec.name.clone());
                detail.tool = Some(name.clone());
            }
            Some(ToolSource::Workflow { workflow }) => {
                let sub = plan.workflows.get(workflow);
                detail.about = sub.map(|sub| format!("{}, version {}", sub.name, sub.version));
                detail.tool = Some(name.clone());
            }
            _ => {}
        }
        self.open_step(call.clone(), &node, kind_of_call(tool), &name, detail);
        self.set_input(call, request.arguments.clone());
        self.turn.events.push(Event::StepToolUse { step: agent.clone(), tool: name.clone(), call: call.clone() });
        if searches {
            return self.start_attempt(call);
        }
        let (Some(permission), Some(tool)) = (permission, tool) else {
            let message = format!("{} has no tool “{name}”.", spec.name);
            return self.fail(call, StepError::new(ErrorClass::BadInput, "tools.not_allowed", message));
        };
        if place >= MAX_CALLS_A_TURN {
            let message = format!("One answer may ask for {MAX_CALLS_A_TURN} tool calls at most.");
            return self.fail(call, StepError::new(ErrorClass::BadInput, "tools.too_many", message));
        }
        if let Some(error) = self.not_delegable(agent, tool, &request.arguments) {
            return self.fail(call, error);
        }
        let by_permission = match permission {
            ToolPermission::Allowed => false,
            // A question is a gate itself, and a step has one.
            ToolPermission::NeedsApproval => tool.name != ASK_HUMAN,
            ToolPermission::Policy => tool.effect != ToolEffect::Read,
        };
        let combines = (spec.guardrails.rule_of_two && tool.flow.outbound).then_some(()).and_then(|()| {
            let has_both = self.m.seen.untrusted && self.m.seen.private;
            has_both.then_some(COMBINES).or_else(|| self.plan.reads_context().then_some(READS_CONTEXT))
        });
        let is_held = !self.is_simulated(tool, &request.arguments) && (by_permission || combines.is_some());
        if (is_held || tool.name == ASK_HUMAN) && self.asked_for(agent, call) >= MAX_ASKS {
            let message = format!("People were asked {MAX_ASKS} times already, which is the most for a task.");
            return self.fail(call, StepError::new(ErrorClass::BadInput, "tools.too_many_approvals", message));
        }
        if is_held {
            return self.ask_for_tool(call, spec, tool, request, combines);
        }
        match kind_of_call(Some(tool)) {
            StepKind::Tool => self.start_attempt(call),
            _ => self.begin_delegated(call, tool, request.arguments.clone()),
        }
    }

    /// How often people were asked because models wanted something, for the task that an agent has a part in, before this
    /// call. Questions that are on their way count.
    fn asked_for(&self, agent: &StepId, call: &StepId) -> usize {
        let is_agent = |id: &StepId| self.m.steps.get(id).is_some_and(|step| step.kind == StepKind::Agent);
        let task = self.callers(agent).filter(is_agent).last().unwrap_or_else(|| agent.clone());
        let others = self.m.steps.values().filter(|step| step.id != *call && task.holds(&step.id));
        let asks = |step: &&Step| {
            let is_question = step.detail.about.as_deref() == Some(ASK_HUMAN) && step.state != StepState::Failed;
            step.detail.request.is_some() && (step.detail.approval.is_some() || is_question)
        };
        others.filter(asks).count()
    }

    /// A model call or tool call of an agent has ended.
    pub(super) fn agent_child_ended(&mut self, agent: &StepId, child: &StepId) {
        let is_call = |kind| matches!(kind, StepKind::Tool | StepKind::Agent | StepKind::Workflow);
        if let Some(step) = self.m.steps.get(child).filter(|step| is_call(step.kind)) {
            let ok = step.state == StepState::Succeeded;
            self.turn.events.push(Event::StepToolResult { step: agent.clone(), call: child.clone(), ok });
        }
        self.agent_advance(agent);
    }

    fn end_agent(&mut self, agent: &StepId, spec: &AgentSpec, turn: u32, answer: &ModelAnswer) {
        if !self.has_kept(agent, spec, turn) {
            return;
        }
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

/// A line of an earlier conversation.
fn said_before(line: &Value) -> Message {
    let text = line.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    match line.get("role").and_then(Value::as_str) {
        Some("assistant") => Message::Assistant { text, tool_calls: Vec::new() },
        _ => Message::User { text },
    }
}
