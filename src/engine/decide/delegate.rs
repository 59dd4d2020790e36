//! Agents and workflows as tools: a model hands a part of its task to another agent, or to a workflow. The call's step is
//! that agent's or workflow's own, so its turns and steps nest below it, and it is charged to whoever called.

use serde_json::Value;

use super::{Decider, nodes::prompt_of};
use crate::{
    engine::{
        plan::{SubWorkflow, ToolSource, ToolSpec},
        port::ToolRequest,
        state::{ErrorClass, StepError, StepId, StepKind},
    },
    kernel::text,
    schema,
};

/// How deep agents and workflows may call each other.
const MAX_DEPTH: usize = 3;

/// What a tool call's step is.
pub(super) fn kind_of_call(tool: Option<&ToolSpec>) -> StepKind {
    match tool.map(|tool| &tool.source) {
        Some(ToolSource::Agent { .. }) => StepKind::Agent,
        Some(ToolSource::Workflow { .. }) => StepKind::Workflow,
        _ => StepKind::Tool,
    }
}

/// Whether a step is a call of an agent or workflow that a model chose.
pub(super) fn is_delegated(kind: StepKind, id: &StepId) -> bool {
    matches!(kind, StepKind::Agent | StepKind::Workflow) && id.key().starts_with("tool") && id.depth() > 0
}

impl Decider<'_> {
    /// The step of a tool call that a model asks for. A workflow's name is part of it: the steps below are its nodes'.
    pub(super) fn call_id(&self, agent: &StepId, turn: u32, place: usize, request: &ToolRequest) -> StepId {
        match self.plan.tools.get(&request.tool).map(|tool| &tool.source) {
            Some(ToolSource::Workflow { workflow }) => agent.child(format_args!("tool{turn}_{}:{workflow}", place + 1)),
            _ => agent.child(format_args!("tool{turn}_{}", place + 1)),
        }
    }

    /// Why a part of a task may not be handed on like this; nothing where it may.
    pub(super) fn not_delegable(&self, agent: &StepId, tool: &ToolSpec, arguments: &Value) -> Option<StepError> {
        let refused = |code: &str, message: String| Some(StepError::new(ErrorClass::BadInput, code, message));
        let (name, again) = match &tool.source {
            ToolSource::Agent { agent: called } => {
                let name = self.plan.agents.get(called).map_or(called, |spec| &spec.name);
                (name.as_str(), self.callers(agent).any(|above| self.agent_key(&above).as_ref() == Some(called)))
            }
            ToolSource::Workflow { workflow } => {
                let name = self.plan.workflows.get(workflow).map_or(workflow, |sub: &SubWorkflow| &sub.name);
                let inside = |id: StepId| id.key().split_once(':').is_some_and(|(_, called)| called == workflow);
                (name.as_str(), self.callers(agent).any(inside))
            }
            _ => return None,
        };
        if again {
            return refused("tools.recursive", format!("{name} is at work on this already, and cannot call itself."));
        }
        let depth = self.callers(agent).filter(|id| id.key().starts_with("tool")).count();
        if depth >= MAX_DEPTH {
            let message = format!("Agents and workflows call each other {MAX_DEPTH} deep at most. Do it yourself.");
            return refused("tools.too_deep", message);
        }
        let faults = schema::check(&tool.parameters, arguments);
        if faults.is_empty() {
            return None;
        }
        refused("tool.arguments", format!("The arguments do not fit {name}. {}", schema::in_words(&faults)))
    }

    /// A step and all that it stands in, the innermost first.
    pub(super) fn callers(&self, id: &StepId) -> impl Iterator<Item = StepId> + use<> {
        std::iter::successors(Some(id.clone()), StepId::parent)
    }

    /// The other agent or workflow begins.
    pub(super) fn begin_delegated(&mut self, call: &StepId, tool: &ToolSpec, arguments: Value) {
        let name = text::shortened(&tool.name, 60);
        match &tool.source {
            ToolSource::Agent { .. } => self.begin_agent(call, prompt_of(&arguments)),
            ToolSource::Workflow { .. } => self.begin_workflow(call, arguments),
            _ => {
                let message = format!("{name} is no agent and no workflow.");
                self.fail(call, StepError::new(ErrorClass::Internal, "engine.no_call", message));
            }
        }
    }
}
