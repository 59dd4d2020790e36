//! An agent's instructions, filled in: what stands in `{{ }}` in them is read where the agent's node stands, once, before
//! its first turn. What came out is recorded with the step, so later turns and other owners read the same.

use serde_json::{Value, json};

use super::Decider;
use crate::engine::{
    journal::LogLevel,
    machine::{Machine, Step},
    plan::{AgentSpec, template},
    state::{ErrorClass, StepError, StepId},
};

/// The place, among those of templates, of an agent's instructions.
pub(super) const INSTRUCTIONS: usize = usize::MAX - 2;

impl Decider<'_> {
    /// Whether an agent's instructions are as its model is to read them; if not, they are asked for.
    pub(super) fn has_instructions(&mut self, agent: &StepId, spec: &AgentSpec) -> bool {
        let expressions = template::expressions(&spec.instructions);
        let input = self.m.steps.get(agent).and_then(|step| step.input.as_ref());
        if expressions.is_empty() || input.is_some_and(|input| input.get("filled").is_some()) {
            return true;
        }
        if !self.m.evaluating.contains_key(agent) {
            let each = expressions.into_iter().map(|inside| Value::String(format!("{{{{ {inside} }}}}"))).collect();
            let frame = self.frame_of(agent);
            self.fill_in(agent, each, INSTRUCTIONS, frame.as_ref());
        }
        false
    }

    /// What the node of a step stands in.
    fn frame_of(&self, id: &StepId) -> Option<StepId> {
        let mut steps = std::iter::successors(Some(id.clone()), StepId::parent);
        steps.find(|id| self.m.steps.get(id).is_some_and(Machine::is_of_node))?.parent()
    }

    /// The expressions of an agent's instructions came back. One that gives nothing is a mistake, except in a trial, which
    /// has no workflow around it.
    pub(super) fn instructions_filled(&mut self, agent: &StepId, result: Result<Value, StepError>) {
        let plan = self.plan.clone();
        let Some(spec) = self.spec_of(&plan, agent) else { return };
        let mut values = match result {
            Ok(Value::Array(values)) => values,
            Ok(_) => Vec::new(),
            Err(_) if plan.trial => Vec::new(),
            Err(error) => {
                let message = format!("The instructions of {} cannot be filled in. {}", spec.name, error.message);
                return self.fail(agent, StepError { message, ..error });
            }
        };
        let expressions = template::expressions(&spec.instructions);
        values.resize(expressions.len(), Value::Null);
        let mut filled = Vec::new();
        for (inside, value) in expressions.into_iter().zip(values) {
            filled.push(match value {
                Value::String(text) => text,
                Value::Null if plan.trial => {
                    let line = format!("Nothing stands at {{{{ {inside} }}}} in a trial; its name is told instead.");
                    self.turn.log(LogLevel::Warn, Some(agent), line);
                    format!("[{inside}]")
                }
                Value::Null => {
                    let message = format!(
                        "The instructions of {} name {{{{ {inside} }}}}, and there is nothing of that name here. Let \
                         the run have it, or say what stands there otherwise: {{{{ {inside} ?? \"\" }}}}.",
                        spec.name,
                    );
                    let error = StepError::new(ErrorClass::BadInput, "agent.instructions", message);
                    return self.fail(agent, error);
                }
                other => other.to_string(),
            });
        }
        if let Some(Value::Object(input)) = self.m.steps.get_mut(agent).and_then(|step| step.input.as_mut()) {
            input.insert("filled".to_owned(), json!(filled));
        }
        self.touch(agent);
        self.agent_advance(agent);
    }

    /// What was filled in into an agent's instructions.
    pub(super) fn filled_in(&self, agent: &StepId) -> Vec<String> {
        let of = |step: &Step| serde_json::from_value(step.input.as_ref()?.get("filled")?.clone()).ok();
        self.m.steps.get(agent).and_then(of).unwrap_or_default()
    }

    /// An agent's instructions as its model reads them.
    pub(super) fn instructions(&self, agent: &StepId, spec: &AgentSpec) -> String {
        let filled = self.filled_in(agent);
        if filled.is_empty() { spec.instructions.clone() } else { template::joined(&spec.instructions, &filled) }
    }
}
