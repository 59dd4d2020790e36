//! How each kind of node starts, and what its filled-in templates lead to.

use serde_json::{Value, json};

use super::{
    Decider,
    instructions::INSTRUCTIONS,
    locks::{NAMES, with_locks},
    mend::is_effort,
};
use crate::{
    engine::{
        journal::{Event, LogLevel},
        machine::{Detail, Effect, Machine},
        plan::{Gate, Http, Node, NodeKind, SubWorkflow},
        port::Evaluation,
        retry,
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::{Timestamp, text},
};

impl Decider<'_> {
    pub(super) fn kind_of(node: &Node) -> StepKind {
        match node.kind {
            NodeKind::Start => StepKind::Start,
            NodeKind::Agent { .. } => StepKind::Agent,
            NodeKind::Tool { .. } => StepKind::Tool,
            NodeKind::Http(_) => StepKind::Http,
            NodeKind::Transform { .. } => StepKind::Transform,
            NodeKind::Decision { .. } => StepKind::Decision,
            NodeKind::Approval(_) => StepKind::Approval,
            NodeKind::Map { .. } => StepKind::Map,
            NodeKind::Loop { .. } => StepKind::Loop,
            NodeKind::Workflow { .. } => StepKind::Workflow,
            NodeKind::Wait { .. } => StepKind::Wait,
            NodeKind::WaitEvent { .. } => StepKind::WaitEvent,
            NodeKind::End { .. } => StepKind::End,
        }
    }

    /// All that a node needs is there: make its step and fill in its templates.
    pub(super) fn start_node(&mut self, owner: Option<&StepId>, node: &Node) {
        let id = Self::path(owner, node);
        let about = match &node.kind {
            NodeKind::Tool { tool, .. } => Some(tool.clone()),
            NodeKind::Http(http) => Some(http.method.clone()),
            NodeKind::Agent { agent, .. } => self.plan.agents.get(agent).map(|spec| spec.name.clone()),
            NodeKind::Workflow { workflow, version, .. } => self
                .plan
                .workflows
                .get(&SubWorkflow::key(workflow, *version))
                .map(|sub| format!("{}, version {}", sub.name, sub.version)),
            _ => None,
        };
        let detail = Detail { about, ..Detail::default() };
        self.open_step(id.clone(), node.id.as_str(), Self::kind_of(node), node.label(), detail);
        if node.pinned.is_null() {
            return self.begin(&id);
        }
        if let Some(step) = self.m.steps.get_mut(&id) {
            step.detail.about = Some("pinned output".to_owned());
        }
        self.succeed(&id, node.pinned.clone());
    }

    /// A step begins, or begins anew: with the input that it has, or by filling in its templates.
    pub(super) fn begin(&mut self, id: &StepId) {
        let plan = self.plan.clone();
        let (Some(node), Some(step)) = (Machine::node_of(&plan, id), self.m.steps.get(id)) else { return };
        let given = step.input.clone();
        match (&node.kind, given) {
            (NodeKind::Start, _) => {
                let input = self.input_of_frame(id.parent().as_ref());
                self.succeed(id, input);
            }
            (NodeKind::Loop { .. }, _) if node.locks.is_empty() || is_effort(id) => self.begin_loop(id),
            (NodeKind::Agent { .. }, Some(input)) => self.begin_agent(id, prompt_of(&input)),
            (NodeKind::Map { .. } | NodeKind::Workflow { .. }, Some(input)) => self.do_work(id, input),
            _ => self.evaluate(id, node, 0),
        }
    }

    /// What a graph was given: the run's input, or that of the workflow inside of it.
    fn input_of_frame(&self, owner: Option<&StepId>) -> Value {
        match owner.and_then(|owner| self.m.steps.get(owner)) {
            Some(step) => step.input.clone().unwrap_or_default(),
            None => self.m.input.clone(),
        }
    }

    /// The templates of a node as one value; a decision's conditions one at a time, so that a later one may rely on an
    /// earlier one being false.
    fn template_of(node: &Node, place: usize) -> Option<Value> {
        Some(match &node.kind {
            NodeKind::Start | NodeKind::Loop { .. } => return None,
            NodeKind::Agent { prompt, history, memory_key, .. } => {
                let mut task = serde_json::Map::new();
                if !history.is_null() {
                    task.insert("history".to_owned(), history.clone());
                }
                if !memory_key.is_empty() {
                    task.insert("memory_key".to_owned(), Value::String(memory_key.clone()));
                }
                if task.is_empty() {
                    return Some(Value::String(prompt.clone()));
                }
                task.insert("prompt".to_owned(), Value::String(prompt.clone()));
                Value::Object(task)
            }
            NodeKind::Tool { arguments, .. } => arguments.clone(),
            NodeKind::Http(http) => http_arguments(http),
            NodeKind::Transform { value } => value.clone(),
            NodeKind::Decision { branches, .. } => Value::String(branches.get(place)?.when.clone()),
            NodeKind::Approval(approval) => json!({
                "title": approval.title, "message": approval.message,
                "payload": approval.payload, "impact": approval.impact, "amount": approval.amount,
                "currency": approval.currency, "why": approval.why, "confidence": approval.confidence,
                "reversible_until": approval.reversible_until, "people": approval.people,
            }),
            NodeKind::Map { items, .. } => Value::String(items.clone()),
            NodeKind::Workflow { input, .. } => input.clone(),
            NodeKind::Wait { seconds, until } => json!({ "seconds": seconds, "until": until }),
            NodeKind::WaitEvent { event } => Value::String(event.clone()),
            NodeKind::End { output } => output.clone(),
        })
    }

    fn evaluate(&mut self, id: &StepId, node: &Node, place: usize) {
        let template = Self::template_of(node, place).unwrap_or_default();
        // What must be asked first comes along with what the node is for.
        let template = match &node.requires_approval {
            Gate::When(condition) if place == 0 => json!({ "value": template, "gate": condition }),
            _ if place == 0 && !node.locks.is_empty() => json!({ "value": template }),
            _ => template,
        };
        let template = if place == 0 { with_locks(node, template) } else { template };
        self.fill_in(id, template, place, id.parent().as_ref());
    }

    /// Asks for a template to be filled in, as seen from inside of a frame.
    pub(super) fn fill_in(&mut self, id: &StepId, template: Value, place: usize, frame: Option<&StepId>) {
        let scope = self.scope(&template, frame);
        self.ask_expressions(id, template, scope, place);
    }

    /// Asks for a template to be filled in with what it is to see.
    pub(super) fn ask_expressions(&mut self, id: &StepId, template: Value, scope: Value, place: usize) {
        self.m.evaluating.insert(id.clone(), place);
        let seed = retry::seed_of(id.as_str()) ^ (self.m.run.uuid().as_u128() as u64);
        let evaluation = Evaluation { template, scope, now: self.now, seed, org: self.m.org, run: self.m.run };
        self.turn.effects.push(Effect::Evaluate(id.clone(), Box::new(evaluation)));
    }

    /// Templates came back filled in: the node does what it is for.
    pub(super) fn evaluated(&mut self, id: &StepId, result: Result<Value, StepError>) {
        let Some(place) = self.m.evaluating.remove(id) else { return };
        if self.m.is_held() {
            // They are filled in again by whoever goes on: a step that nobody has seen begins anew.
            if self.m.steps.get(id).is_some_and(|step| step.state == StepState::Queued) {
                self.m.steps.remove(id);
            }
            return;
        }
        let plan = self.plan.clone();
        let Some(node) = Machine::node_of(&plan, id) else { return };
        let Some(kind) = self.m.steps.get(id).filter(|step| !step.state.is_end()).map(|step| step.kind) else { return };
        if place == INSTRUCTIONS {
            return self.instructions_filled(id, result);
        }
        let value = match result {
            Ok(value) => value,
            Err(error) => {
                if place == NAMES || matches!(kind, StepKind::Item | StepKind::Round) {
                    self.stop_below(id);
                }
                return self.fail(id, error);
            }
        };
        match kind {
            StepKind::Item => return self.part_done(id, value),
            StepKind::Round if place == 0 => return self.part_done(id, value),
            StepKind::Round => return self.round_judged(id, &value),
            _ if is_effort(id) => return self.do_work(id, value),
            _ if place == NAMES => return self.taken_over_named(id, &value),
            _ => {}
        }
        let mut value = value;
        if place == 0 && !node.locks.is_empty() {
            if let Err(error) = self.name_locks(id, value.get("locks")) {
                return self.fail(id, error);
            }
            if !matches!(node.requires_approval, Gate::When(_)) {
                value = value.get_mut("value").map(Value::take).unwrap_or_default();
            }
        }
        match &node.requires_approval {
            Gate::When(_) if place == 0 => {
                let held_back = value.get("gate").is_some_and(truthy);
                let value = value.get_mut("value").map(Value::take).unwrap_or_default();
                if held_back { self.ask_before(id, node, value) } else { self.work(id, node, place, value) }
            }
            Gate::Always if place == 0 => self.ask_before(id, node, value),
            _ => self.work(id, node, place, value),
        }
    }

    /// What a node is for, with its templates filled in.
    pub(super) fn work(&mut self, id: &StepId, node: &Node, place: usize, value: Value) {
        if self.needs_locks(id) {
            return self.ask_for_locks(id, value);
        }
        match &node.kind {
            NodeKind::Transform { .. } | NodeKind::End { .. } => self.succeed(id, value),
            NodeKind::Decision { branches, otherwise } => {
                let taken = truthy(&value).then(|| branches.get(place).map(|branch| branch.name.clone())).flatten();
                match taken {
                    Some(name) => self.choose(id, name),
                    None if place + 1 < branches.len() => self.evaluate(id, node, place + 1),
                    None => self.choose(id, otherwise.clone()),
                }
            }
            NodeKind::Approval(approval) => self.ask(id, approval, &value),
            NodeKind::Wait { .. } => self.begin_wait(id, &value),
            NodeKind::WaitEvent { .. } => self.expect_event(id, place, &value),
            _ => self.do_work(id, value),
        }
    }

    /// The work of a step that has its input.
    pub(super) fn do_work(&mut self, id: &StepId, value: Value) {
        match self.m.steps.get(id).map(|step| step.kind) {
            Some(StepKind::Agent) => self.begin_agent(id, value),
            Some(StepKind::Map) => self.begin_map(id, value),
            Some(StepKind::Loop) => self.begin_loop(id),
            Some(StepKind::Workflow) => self.begin_workflow(id, value),
            _ => {
                self.set_input(id, value);
                self.start_attempt(id);
            }
        }
    }

    pub(super) fn set_input(&mut self, id: &StepId, input: Value) {
        if let Some(step) = self.m.steps.get_mut(id) {
            step.input = Some(input);
        }
    }

    fn choose(&mut self, id: &StepId, branch: crate::engine::plan::BranchName) {
        if let Some(step) = self.m.steps.get_mut(id) {
            step.detail.about = Some(format!("took “{branch}”"));
            step.detail.branch = Some(branch.clone());
        }
        self.succeed(id, json!({ "branch": branch }));
    }

    fn begin_wait(&mut self, id: &StepId, value: &Value) {
        let at = match wait_until(value, self.now) {
            Ok(at) => at,
            Err(message) => return self.fail(id, StepError::new(ErrorClass::BadInput, "wait.not_a_time", message)),
        };
        self.set_input(id, value.clone());
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Waiting;
        step.attempt = 1;
        step.wake_at = Some(at);
        let event = Event::StepWaiting { step: step.head(), attempt: 1, until: Some(at), approval: None, lock: None };
        self.turn.events.push(event);
        self.touch(id);
    }

    /// First the event's key is known, then it is noted that this step waits for it; only then the step waits, so that
    /// no event comes in between and finds nobody.
    fn expect_event(&mut self, id: &StepId, place: usize, value: &Value) {
        if place > 0 {
            self.wait_for_event(id);
            let came = value.get("received").cloned();
            let came = self.m.received.remove(id).or(came);
            return came.into_iter().for_each(|data| self.received(id, data));
        }
        let key = match value {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        if key.is_empty() || key.chars().count() > MAX_EVENT_KEY {
            let message = format!("The event's key must have 1 to {MAX_EVENT_KEY} characters.");
            return self.fail(id, StepError::new(ErrorClass::BadInput, "wait_event.key", message));
        }
        self.set_input(id, json!({ "event": key }));
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.detail.about = Some(text::shortened(&key, 80));
        step.detail.event = Some(key.clone());
        self.m.evaluating.insert(id.clone(), 1);
        self.turn.effects.push(Effect::Expect(id.clone(), key));
    }

    fn wait_for_event(&mut self, id: &StepId) {
        let limit = Machine::node_of(&self.plan, id).and_then(|node| node.timeout_s);
        let until = limit.map(|seconds| self.now + chrono::TimeDelta::seconds(seconds.cast_signed()));
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Waiting;
        step.attempt += 1;
        step.wake_at = until;
        let (attempt, about) = (step.attempt, step.detail.about.clone().unwrap_or_default());
        let event = Event::StepWaiting { step: step.head(), attempt, until, approval: None, lock: None };
        self.turn.log(LogLevel::Info, Some(id), format!("Waits for the event {about}."));
        self.turn.events.push(event);
        self.touch(id);
    }

    /// The event that a step waits for has come.
    pub(super) fn received(&mut self, id: &StepId, data: Value) {
        let waits =
            |step: &&crate::engine::machine::Step| step.kind == StepKind::WaitEvent && step.state == StepState::Waiting;
        if self.m.evaluating.contains_key(id) {
            // It came before the step waits: in a moment it will.
            self.m.received.insert(id.clone(), data);
            return;
        }
        let Some(step) = self.m.steps.get(id).filter(waits).filter(|_| !self.m.is_held()) else { return };
        let about = step.detail.about.clone().unwrap_or_default();
        self.turn.log(LogLevel::Info, Some(id), format!("The event {about} came."));
        self.succeed(id, data);
    }

    /// The event did not come in time.
    pub(super) fn late_event(&mut self, id: &StepId) {
        let about = self.m.steps.get(id).and_then(|step| step.detail.about.clone()).unwrap_or_default();
        let message = format!("The event {about} did not come within the time that its step allows.");
        self.fail(id, StepError::new(ErrorClass::Timeout, "wait_event.timeout", message));
    }
}

/// What an agent was asked, out of its step's input, with what was said before and what it remembers it under.
pub(super) fn prompt_of(input: &Value) -> Value {
    let named = |name: &str| input.get(name).map(|value| (name.to_owned(), value.clone()));
    if named("history").is_none() && named("memory_key").is_none() {
        return input.get("prompt").cloned().unwrap_or_default();
    }
    ["prompt", "history", "memory_key"].into_iter().filter_map(named).collect()
}

/// The most characters of an event's key.
pub const MAX_EVENT_KEY: usize = 200;

/// What an HTTP node asks of the tool that performs it.
fn http_arguments(http: &Http) -> Value {
    let mut arguments = serde_json::Map::new();
    arguments.insert("method".to_owned(), Value::String(http.method.clone()));
    arguments.insert("url".to_owned(), Value::String(http.url.clone()));
    for (name, value) in [("query", &http.query), ("headers", &http.headers), ("body", &http.body)] {
        if !value.is_null() {
            arguments.insert(name.to_owned(), value.clone());
        }
    }
    if http.accept_errors {
        arguments.insert("accept_errors".to_owned(), Value::Bool(true));
    }
    Value::Object(arguments)
}

/// What JavaScript holds to be true.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The moment that a wait's filled-in template names.
fn wait_until(value: &Value, now: Timestamp) -> Result<Timestamp, String> {
    let far = "A wait can be a year at most.";
    if let Some(seconds) = value.get("seconds").filter(|seconds| !seconds.is_null()) {
        let seconds = seconds.as_f64().or_else(|| seconds.as_str().and_then(|text| text.trim().parse().ok()));
        let seconds = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        let seconds = seconds.ok_or("“seconds” must be a number that is not negative.")?;
        if seconds > 366.0 * 86_400.0 {
            return Err(far.to_owned());
        }
        return Ok(now + chrono::TimeDelta::milliseconds((seconds * 1_000.0) as i64));
    }
    let until = value.get("until").and_then(Value::as_str).ok_or("A wait needs “seconds” or “until”.")?;
    let at = chrono::DateTime::parse_from_rfc3339(until.trim())
        .map_err(|_| format!("“{until}” is not a moment such as 2026-12-01T09:00:00Z."))?
        .with_timezone(&chrono::Utc);
    if at > now + chrono::TimeDelta::days(366) {
        return Err(far.to_owned());
    }
    Ok(at)
}
