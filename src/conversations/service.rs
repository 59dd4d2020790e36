//! Saying something to an agent that is being tried, and reading what was said.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Conversation, ConversationLine, MAX_PROMPT, store};
use crate::{
    access::{Grant, right},
    agents::{self, Agent, AgentConfig},
    db::TenantTx,
    engine::{
        plan::{AgentSpec, Graph, Plan},
        state::Priority,
        store::{self as engine, NewRun},
    },
    kernel::{AgentId, ConversationId, Error, Kind, Result, RunId, WorkflowId, text},
    workflows,
};

/// The most messages of one conversation.
const MAX_TURNS: i32 = 200;
/// How many of the last messages the agent is told of, and how many characters of them together.
const TOLD_TURNS: i64 = 30;
const TOLD_CHARS: usize = 60_000;
/// A trial ends after so many seconds, whatever it waits for.
const DEADLINE_S: u64 = 86_400;

/// What is said to an agent.
#[derive(Debug, Clone)]
pub struct Say {
    /// The agent.
    pub agent: AgentId,
    /// The conversation; nothing begins a new one.
    pub conversation: Option<ConversationId>,
    /// What is said.
    pub prompt: String,
    /// The agent as it stands in its form; nothing: its newest version.
    pub draft: Option<AgentConfig>,
    /// Whether tools with effects really do what they do.
    pub for_real: bool,
    /// Whether the deployed version is asked the same.
    pub beside_deployed: bool,
}

/// The last conversations with an agent, the newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::ViewPayloads>, agent: AgentId) -> Result<Vec<ConversationLine>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx, agent).await
}

/// What was said in a conversation with an agent.
///
/// # Errors
/// `not_found`.
pub async fn find(
    grant: &Grant<right::ViewPayloads>,
    agent: AgentId,
    conversation: ConversationId,
) -> Result<Conversation> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::exists(&mut tx, agent, conversation).await? {
        return Err(Error::not_found("conversation"));
    }
    Ok(Conversation { id: Some(conversation), turns: store::turns(&mut tx, conversation).await? })
}

/// Says something to an agent: starts a run, and a second one where the deployed version is asked too. Durable once it
/// answers.
///
/// # Errors
/// `invalid` with the fields of the draft or the message at fault; `not_found`; `conflict` where the agent cannot run.
pub async fn say(grant: &Grant<right::Operate>, say: Say) -> Result<ConversationId> {
    let prompt = say.prompt.trim();
    match prompt.chars().count() {
        0 => return Err(Error::invalid("prompt", "Write a message.")),
        1..=MAX_PROMPT => {}
        _ => return Err(Error::invalid("prompt", "The message is too long; 20,000 characters are the most.")),
    }
    if prompt.contains('\0') {
        return Err(Error::invalid("prompt", text::NUL_REFUSED));
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let agent = agents::service::for_trial(&mut tx, say.agent).await?;
    let draft = match say.draft {
        Some(draft) => agents::service::checked(&mut tx, draft).await?,
        None => agent.config.clone(),
    };
    let conversation = match say.conversation {
        Some(id) if !store::exists(&mut tx, agent.id, id).await? => return Err(Error::not_found("conversation")),
        Some(id) => id,
        None => {
            let id = ConversationId::new();
            store::insert(&mut tx, id, agent.id, &text::shortened(prompt, 80), grant.actor()).await?;
            id
        }
    };
    let seq = store::next_seq(&mut tx, conversation).await?;
    if seq > MAX_TURNS {
        return Err(Error::conflict("conversations.full", "This conversation is full. Begin a new one."));
    }
    let history = history(store::said(&mut tx, conversation, TOLD_TURNS).await?);
    let workflow = workflows::service::for_trials(&mut tx, &agent, grant.actor()).await?;
    let sides = Sides { agent: &agent, workflow, prompt, history: &history, simulate: !say.for_real };
    let hash = Sha256::digest(serde_json::to_vec(&draft).map_err(Error::internal)?);
    let run = sides.start(grant, &mut tx, draft.spec(agent.version)).await?;
    let deployed = match agent.deployed_version.filter(|_| say.beside_deployed) {
        Some(version) => {
            let config = agents::service::config_at(&mut tx, agent.id, version).await?;
            Some(sides.start(grant, &mut tx, config.spec(version)).await?)
        }
        None if say.beside_deployed => {
            return Err(Error::conflict("agents.not_deployed", "No version of this agent is deployed yet."));
        }
        None => None,
    };
    store::add(&mut tx, conversation, seq, prompt, &hash, !say.for_real, run, deployed).await?;
    tx.commit().await?;
    for run in [Some(run), deployed].into_iter().flatten() {
        grant.deps().engine.started(grant.org_id(), run, None);
    }
    Ok(conversation)
}

/// What the runs of one message have in common.
struct Sides<'a> {
    agent: &'a Agent,
    workflow: WorkflowId,
    prompt: &'a str,
    history: &'a Value,
    simulate: bool,
}

impl Sides<'_> {
    async fn start(&self, grant: &Grant<right::Operate>, tx: &mut TenantTx, spec: AgentSpec) -> Result<RunId> {
        let plan = Plan {
            graph: graph(&self.agent.key)?,
            agents: BTreeMap::from([(self.agent.key.clone(), spec)]),
            simulate: self.simulate,
            ..Plan::default()
        };
        let plan = workflows::service::complete(tx, plan, true).await?;
        let new = NewRun {
            id: RunId::new(),
            workflow: self.workflow,
            workflow_version: 1,
            plan: Arc::new(plan),
            title: text::shortened(&format!("{}: {}", self.agent.config.name, self.prompt), 120),
            trigger: "test",
            started_by: grant.actor().reference(),
            started_by_name: grant.actor().name().to_owned(),
            input: json!({ "prompt": self.prompt, "history": self.history }),
            deadline_s: Some(DEADLINE_S),
            retry_of: None,
            priority: Priority::High,
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

/// The last of what was said, as much as the agent is told of it, the oldest first.
fn history(newest_first: Vec<(String, Value)>) -> Value {
    let mut lines = Vec::new();
    let mut room = TOLD_CHARS;
    for (prompt, answer) in newest_first {
        let answer = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        let length = prompt.chars().count() + answer.chars().count();
        if length > room {
            break;
        }
        room -= length;
        lines.push(json!({ "role": "assistant", "text": answer }));
        lines.push(json!({ "role": "user", "text": prompt }));
    }
    lines.reverse();
    Value::Array(lines)
}

/// Stops what an agent writes in answer to the last message.
///
/// # Errors
/// `not_found`.
pub async fn stop(grant: &Grant<right::Operate>, agent: AgentId, conversation: ConversationId) -> Result<()> {
    let runs = {
        let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
        if !store::exists(&mut tx, agent, conversation).await? {
            return Err(Error::not_found("conversation"));
        }
        store::open_runs(&mut tx, conversation).await?
    };
    for run in runs {
        match crate::runs::control::cancel(grant, run).await {
            // It was faster.
            Err(error) if error.kind == Kind::Conflict => {}
            stopped => drop(stopped?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_what_was_said_is_told_in_its_order() {
        let told = history(vec![("And you?".into(), json!("Fine.")), ("Hello".into(), json!({ "a": 1 }))]);
        let texts: Vec<_> = told.as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["Hello", "{\"a\":1}", "And you?", "Fine."]);
        let long = "x".repeat(TOLD_CHARS);
        assert_eq!(history(vec![("b".into(), json!("c")), (long, json!("a"))]).as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_trial_is_a_graph_like_any_other() {
        let graph = graph("helper").unwrap();
        assert_eq!(graph.nodes.len(), 3);
    }
}
