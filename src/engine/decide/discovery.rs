//! Which of an agent's tools its model is shown. A few are shown all; of many those that fit the task, with a tool to find
//! the others. What an agent may call is not decided here.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Decider;
use crate::engine::{
    journal::Event,
    plan::{AgentSpec, FIND_TOOLS, MESSAGE_TOOLS, ToolSpec, relevance},
    port::ToolOffer,
    state::{ErrorClass, StepError, StepId, StepKind},
};

/// So many tools are shown all.
const ALL_SHOWN: usize = 24;
/// How many are shown of more.
const SHOWN: usize = 16;
/// How many one search finds.
const FOUND: usize = 8;

impl Decider<'_> {
    /// The tools that an agent may call.
    fn tools_of<'p>(&'p self, agent: &StepId, spec: &AgentSpec) -> Vec<&'p ToolSpec> {
        // Messages are between the agents of the workflow's steps; one that another agent calls is none of them.
        let speaks = self.m.steps.get(agent).is_none_or(|step| !super::delegate::is_delegated(step.kind, agent));
        let names = spec.tools.keys().filter(|name| speaks || !MESSAGE_TOOLS.contains(&name.as_str()));
        names.filter_map(|name| self.plan.tools.get(name)).collect()
    }

    /// Whether an agent has so many tools that its model finds them by searching.
    pub(super) fn has_to_search(&self, agent: &StepId, spec: &AgentSpec) -> bool {
        self.tools_of(agent, spec).len() > ALL_SHOWN
    }

    /// Whether an agent may call a tool of this name at all.
    pub(super) fn has_tool(&self, agent: &StepId, spec: &AgentSpec, name: &str) -> bool {
        self.tools_of(agent, spec).iter().any(|tool| tool.name == name)
    }

    /// What is on offer in a conversation: the same tools in each turn, and those that were found or used since.
    pub(super) fn offers(&self, agent: &StepId, spec: &AgentSpec) -> Vec<ToolOffer> {
        let all = self.tools_of(agent, spec);
        if all.len() <= ALL_SHOWN {
            return all.into_iter().map(offer).collect();
        }
        let mut known = BTreeSet::new();
        for step in self.m.steps.values().filter(|step| step.id.parent().as_ref() == Some(agent)) {
            match (step.kind, step.detail.tool()) {
                (StepKind::Tool, Some(FIND_TOOLS)) => known.extend(found_in(step.output.as_ref())),
                (StepKind::Tool | StepKind::Agent | StepKind::Workflow, Some(tool)) => {
                    known.insert(tool.to_owned());
                }
                _ => {}
            }
        }
        let prompt = self.m.steps.get(agent).and_then(|step| step.input.as_ref()?.get("prompt")?.as_str());
        let fitting = relevance::rank(all.iter().copied(), prompt.unwrap_or_default());
        let shown: BTreeSet<&str> = fitting.iter().take(SHOWN).map(|tool| tool.name.as_str()).collect();
        let mut offers: Vec<_> = all
            .iter()
            .filter(|tool| shown.contains(tool.name.as_str()) || known.contains(&tool.name))
            .map(|tool| offer(tool))
            .collect();
        offers.push(ToolOffer {
            name: FIND_TOOLS.to_owned(),
            description: format!(
                "You may use {} tools, of which the fitting ones are shown. Finds more of them by what they do.",
                all.len()
            ),
            parameters: json!({
                "type": "object",
                "properties": { "query": { "type": "string", "minLength": 1, "maxLength": 500,
                    "description": "What the tool should do, in a few words." } },
                "required": ["query"],
                "additionalProperties": false
            }),
        });
        offers
    }

    /// Performs a search for tools, if the step is one. Returns whether it is.
    pub(super) fn search_tools(&mut self, id: &StepId) -> bool {
        let Some(step) = self.m.steps.get(id).filter(|step| step.kind == StepKind::Tool) else { return false };
        let (Some(FIND_TOOLS), Some(agent)) = (step.detail.tool(), id.parent()) else { return false };
        let query = step.input.as_ref().and_then(|input| input.get("query")?.as_str()).unwrap_or_default().to_owned();
        if let Some(step) = self.m.steps.get_mut(id) {
            step.attempt += 1;
            let event = Event::StepStarted { step: step.head(), attempt: step.attempt };
            self.turn.events.push(event);
        }
        let plan = self.plan.clone();
        let Some(spec) = self.spec_of(&plan, &agent).filter(|_| !query.trim().is_empty()) else {
            let error = StepError::new(ErrorClass::BadInput, "tool.arguments", "Say what the tool should do.");
            self.fail(id, error);
            return true;
        };
        let found: Vec<Value> = relevance::rank(self.tools_of(&agent, &spec), &query)
            .into_iter()
            .take(FOUND)
            .map(|tool| json!({ "name": tool.name, "description": tool.description }))
            .collect();
        self.succeed(id, json!({ "tools": found }));
        true
    }
}

fn offer(tool: &ToolSpec) -> ToolOffer {
    ToolOffer { name: tool.name.clone(), description: tool.description.clone(), parameters: tool.parameters.clone() }
}

fn found_in(output: Option<&Value>) -> Vec<String> {
    let tools = output.and_then(|output| output.get("tools")?.as_array()).into_iter().flatten();
    tools.filter_map(|tool| tool.get("name")?.as_str()).map(str::to_owned).collect()
}
