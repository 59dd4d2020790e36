//! Saying something to an agent that is being tried, and reading what was said.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Conversation, ConversationLine, MAX_PROMPT, store};
use crate::{
    access::{Grant, right},
    agents::{
        self, AgentConfig,
        cases::CaseForm,
        trial::{Effects, Trial},
    },
    engine::{state::Priority, store as engine},
    kernel::{AgentId, ConversationId, Error, Kind, Result, text},
    workflows,
};

/// The most messages of one conversation.
const MAX_TURNS: i32 = 200;
/// How many of the last messages the agent is told of, and how many characters of them together.
const TOLD_TURNS: i64 = 30;
const TOLD_CHARS: usize = 60_000;

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
    /// The tools of which it was agreed that they really change or send what they do; nothing: they only tell.
    pub for_real: Option<BTreeSet<String>>,
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

/// A message with its answer as the form of a test case, to be looked at before it is kept.
///
/// # Errors
/// `not_found`.
pub async fn as_case(
    grant: &Grant<right::ViewPayloads>,
    agent: AgentId,
    conversation: ConversationId,
    turn: i32,
) -> Result<CaseForm> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let Some((prompt, answer)) = store::turn(&mut tx, agent, conversation, turn).await? else {
        return Err(Error::not_found("message"));
    };
    let answer = match answer {
        Some(stored) => Some(engine::value(&mut tx, stored).await?),
        None => None,
    };
    Ok(CaseForm::of_answer(&prompt, answer.as_ref()))
}

/// Says something to an agent: starts a run, and a second one where the deployed version is asked too. Durable once it
/// answers.
///
/// # Errors
/// `invalid` with the fields of the draft or the message at fault; `not_found`; `conflict` where the agent cannot run, or
/// can really do more than was agreed.
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
    let hash = Sha256::digest(serde_json::to_vec(&draft).map_err(Error::internal)?);
    let effects = if say.for_real.is_some() { Effects::ForReal } else { Effects::Simulated };
    let asked = Trial::of(&mut tx, &agent, workflow, draft.spec(agent.version), effects, Priority::High).await?;
    agreed(&asked, say.for_real.as_ref())?;
    let run = asked.start(&mut tx, grant.actor(), prompt, &history).await?;
    let deployed = match agent.deployed_version.filter(|_| say.beside_deployed) {
        Some(version) => {
            let config = agents::service::config_at(&mut tx, agent.id, version).await?;
            let asked = Trial::of(&mut tx, &agent, workflow, config.spec(version), effects, Priority::High).await?;
            agreed(&asked, say.for_real.as_ref())?;
            Some(asked.start(&mut tx, grant.actor(), prompt, &history).await?)
        }
        None if say.beside_deployed => {
            return Err(Error::conflict("agents.not_deployed", "No version of this agent is deployed yet."));
        }
        None => None,
    };
    store::add(&mut tx, conversation, seq, prompt, &hash, say.for_real.is_none(), run, deployed).await?;
    tx.commit().await?;
    for run in [Some(run), deployed].into_iter().flatten() {
        grant.deps().engine.started(grant.org_id(), run, None);
    }
    Ok(conversation)
}

/// What is really done was named before: an agent that can do more by now is not asked.
fn agreed(trial: &Trial, named: Option<&BTreeSet<String>>) -> Result<()> {
    let Some(named) = named else { return Ok(()) };
    let more: Vec<String> = trial.changes().into_iter().filter(|tool| !named.contains(tool)).collect();
    if more.is_empty() {
        return Ok(());
    }
    let message = format!("By now it can also really do this: {}. Look at the switch again.", more.join(", "));
    Err(Error::conflict("conversations.not_agreed", message))
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
}
