//! Trying an agent: runs with the trigger `test`, of a workflow that stands in no list. The chat and the test cases are
//! made of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::Agent;
use crate::{
    access::Actor,
    db::TenantTx,
    engine::{
        plan::{AgentSpec, Graph, Plan, ToolEffect, ToolSource},
        state::Priority,
        store::{self as engine, NewRun},
    },
    kernel::{Error, Result, RunId, WorkflowId, text},
    workflows,
};

/// A trial ends after so many seconds, whatever it waits for.
const DEADLINE_S: u64 = 86_400;

/// What becomes of calls that would change or send something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effects {
    /// They only tell what they would have done.
    Simulated,
    /// They are done, under the usual permissions.
    ForReal,
}

/// An agent as it is tried, ready to be given tasks.
pub(crate) struct Trial {
    name: String,
    workflow: WorkflowId,
    plan: Arc<Plan>,
    priority: Priority,
}

impl Trial {
    /// One version or draft of an agent, with all that it may call, as runs of the workflow of its trials.
    ///
    /// # Errors
    /// `conflict` where something that it needs cannot run.
    pub async fn of(
        tx: &mut TenantTx,
        agent: &Agent,
        workflow: WorkflowId,
        spec: AgentSpec,
        effects: Effects,
        priority: Priority,
    ) -> Result<Self> {
        let plan = Plan { simulate: effects == Effects::Simulated, ..plan_of(&agent.key, spec)? };
        let plan = Arc::new(workflows::service::complete(tx, plan, true).await?);
        Ok(Self { name: agent.config.name.clone(), workflow, plan, priority })
    }

    /// The tools with which it changes or sends something: its own, and those of the agents and workflows that it may call
    /// and that these may call.
    #[must_use]
    pub fn changes(&self) -> BTreeSet<String> {
        changes(&self.plan)
    }

    /// Gives it a task, with what was said before. Durable with the caller's commit, after which the engine is to be told.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn start(&self, tx: &mut TenantTx, by: &Actor, prompt: &str, history: &Value) -> Result<RunId> {
        let new = NewRun {
            id: RunId::new(),
            workflow: self.workflow,
            workflow_version: 1,
            plan: Arc::clone(&self.plan),
            title: text::shortened(&format!("{}: {prompt}", self.name), 120),
            trigger: "test",
            started_by: by.reference(),
            started_by_name: by.name().to_owned(),
            input: json!({ "prompt": prompt, "history": history }),
            deadline_s: Some(DEADLINE_S),
            retry_of: None,
            priority: self.priority,
            group: None,
            labels: Vec::new(),
        };
        engine::start_run(tx, &new, None).await?;
        Ok(new.id)
    }
}

/// What a trial of an agent with these tools would change or send, without being started.
///
/// # Errors
/// `conflict` where something that it needs cannot run.
pub(crate) async fn changes_with(tx: &mut TenantTx, agent: &Agent, spec: AgentSpec) -> Result<BTreeSet<String>> {
    let plan = plan_of(&agent.key, spec)?;
    Ok(changes(&workflows::service::complete(tx, plan, true).await?))
}

/// What a plan's tools change or send. Those that only hand work on do nothing themselves: what comes of it is done by
/// tools that the plan has, too.
fn changes(plan: &Plan) -> BTreeSet<String> {
    let hands_on = |source: &ToolSource| matches!(source, ToolSource::Agent { .. } | ToolSource::Workflow { .. });
    let acts = plan.tools.values().filter(|tool| tool.effect != ToolEffect::Read && !hands_on(&tool.source));
    acts.map(|tool| tool.name.clone()).collect()
}

/// The plan of a trial, without what its agent may call.
fn plan_of(agent: &str, spec: AgentSpec) -> Result<Plan> {
    let agents = BTreeMap::from([(agent.to_owned(), spec)]);
    Ok(Plan { graph: graph(agent)?, agents, trial: true, ..Plan::default() })
}

/// What a trial runs: the agent, asked what the run was given.
pub(crate) fn graph(agent: &str) -> Result<Graph> {
    serde_json::from_value(json!({
        "input": {
            "type": "object",
            "properties": { "prompt": { "type": "string" }, "history": { "type": "array" } },
            "required": ["prompt"]
        },
        "nodes": [
            { "id": "start", "kind": "start" },
            { "id": "agent", "name": "Agent", "kind": "agent", "agent": agent, "prompt": "{{ input.prompt }}",
              "history": "{{ input.history }}", "on_error": "fail", "after": ["start"] },
            { "id": "end", "kind": "end", "output": "{{ steps.agent.output }}", "after": ["agent"] }
        ]
    }))
    .map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::ToolSpec;

    #[test]
    fn what_hands_work_on_changes_nothing_itself() {
        let tool = |name: &str, effect, source| {
            (name.to_owned(), ToolSpec { name: name.to_owned(), effect, source, ..ToolSpec::default() })
        };
        let workflow = ToolSource::Workflow { workflow: "wf_1".to_owned() };
        let tools = [
            tool("calculator", ToolEffect::Read, ToolSource::default()),
            tool("email_send", ToolEffect::Write, ToolSource::default()),
            tool("erase", ToolEffect::Destructive, ToolSource::default()),
            tool("workflow_1", ToolEffect::Write, workflow),
        ];
        let plan = Plan { tools: tools.into(), ..Plan::default() };
        assert_eq!(changes(&plan), ["email_send", "erase"].map(str::to_owned).into());
    }

    #[test]
    fn a_trial_is_a_graph_like_any_other() {
        assert_eq!(graph("helper").unwrap().nodes.len(), 3);
    }
}
