//! Trying an agent: runs with the trigger `test`, of a workflow that stands in no list. The chat and the test cases are
//! made of them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::Agent;
use crate::{
    access::Actor,
    db::TenantTx,
    engine::{
        plan::{AgentSpec, Graph, Plan},
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
        let plan = Plan {
            graph: graph(&agent.key)?,
            agents: BTreeMap::from([(agent.key.clone(), spec)]),
            simulate: effects == Effects::Simulated,
            trial: true,
            ..Plan::default()
        };
        let plan = Arc::new(workflows::service::complete(tx, plan, true).await?);
        Ok(Self { name: agent.config.name.clone(), workflow, plan, priority })
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
        };
        engine::start_run(tx, &new, None).await?;
        Ok(new.id)
    }
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
    use super::graph;

    #[test]
    fn a_trial_is_a_graph_like_any_other() {
        assert_eq!(graph("helper").unwrap().nodes.len(), 3);
    }
}
