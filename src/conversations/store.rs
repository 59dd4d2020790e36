//! The tables of conversations, and what they show of their runs.

use std::collections::HashMap;

use serde_json::Value;

use super::{CallLine, ConversationLine, Reply, SHOWN_CHARS, Turn};
use crate::{
    access::Actor,
    db::TenantTx,
    engine::{
        journal::Usage,
        state::{StepError, StepKind, StepState},
    },
    kernel::{AgentId, ApprovalId, ConversationId, Error, Money, Result, RunId, Timestamp},
};

/// The last conversations with an agent, the newest first.
pub async fn list(tx: &mut TenantTx, agent: AgentId) -> Result<Vec<ConversationLine>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        ConversationLine,
        r#"select id as "id: ConversationId", title, updated_at from agent_conversations
           where organization_id = $1 and agent_id = $2 order by updated_at desc, id limit 20"#,
        org.uuid(),
        agent.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// Whether it is a conversation with this agent.
pub async fn exists(tx: &mut TenantTx, agent: AgentId, conversation: ConversationId) -> Result<bool> {
    let org = tx.org();
    let there = sqlx::query_scalar!(
        r#"select exists (
               select from agent_conversations where organization_id = $1 and agent_id = $2 and id = $3
           ) as "there!""#,
        org.uuid(),
        agent.uuid(),
        conversation.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(there)
}

/// A new conversation.
pub async fn insert(tx: &mut TenantTx, id: ConversationId, agent: AgentId, title: &str, by: &Actor) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into agent_conversations (organization_id, id, agent_id, title, created_by, created_by_name)
         values ($1, $2, $3, $4, $5, $6)",
        org.uuid(),
        id.uuid(),
        agent.uuid(),
        title,
        by.reference(),
        by.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The place of the next message. Holds the conversation, so that two messages do not get the same.
pub async fn next_seq(tx: &mut TenantTx, conversation: ConversationId) -> Result<i32> {
    let org = tx.org();
    sqlx::query!(
        "update agent_conversations set updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        conversation.uuid(),
    )
    .execute(tx.conn())
    .await?;
    let last = sqlx::query_scalar!(
        r#"select coalesce(max(seq), 0) as "last!" from agent_turns where organization_id = $1 and conversation_id = $2"#,
        org.uuid(),
        conversation.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(last + 1)
}

/// The last messages that were answered, with their answers, the newest first.
pub async fn said(tx: &mut TenantTx, conversation: ConversationId, limit: i64) -> Result<Vec<(String, Value)>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select t.prompt, r.output as "output!"
           from agent_turns t
           join runs r on r.organization_id = t.organization_id and r.id = t.run_id
           where t.organization_id = $1 and t.conversation_id = $2 and r.state = 'succeeded' and r.output is not null
           order by t.seq desc limit $3"#,
        org.uuid(),
        conversation.uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.prompt, row.output)).collect())
}

/// A message with its answer as the run's row holds it, once there is one.
pub async fn turn(
    tx: &mut TenantTx,
    agent: AgentId,
    conversation: ConversationId,
    seq: i32,
) -> Result<Option<(String, Option<Value>)>> {
    let org = tx.org();
    let row = sqlx::query!(
        "select t.prompt, r.output
         from agent_turns t
         join agent_conversations c on c.organization_id = t.organization_id and c.id = t.conversation_id
         join runs r on r.organization_id = t.organization_id and r.id = t.run_id
         where t.organization_id = $1 and c.agent_id = $2 and t.conversation_id = $3 and t.seq = $4",
        org.uuid(),
        agent.uuid(),
        conversation.uuid(),
        seq,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (row.prompt, row.output)))
}

/// A message with its runs.
pub async fn add(
    tx: &mut TenantTx,
    conversation: ConversationId,
    seq: i32,
    prompt: &str,
    config: &[u8],
    simulated: bool,
    run: RunId,
    deployed: Option<RunId>,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into agent_turns
             (organization_id, conversation_id, seq, prompt, config_sha256, simulated, run_id, deployed_run_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        org.uuid(),
        conversation.uuid(),
        seq,
        prompt,
        config,
        simulated,
        run.uuid(),
        deployed.map(RunId::uuid),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The runs of a conversation that have not ended.
pub async fn open_runs(tx: &mut TenantTx, conversation: ConversationId) -> Result<Vec<RunId>> {
    let org = tx.org();
    let rows = sqlx::query_scalar!(
        r#"select r.id as "id: RunId"
           from agent_turns t
           join runs r on r.organization_id = t.organization_id and r.id in (t.run_id, t.deployed_run_id)
           where t.organization_id = $1 and t.conversation_id = $2
               and r.state not in ('succeeded', 'failed', 'cancelled')"#,
        org.uuid(),
        conversation.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// What was said, in order, with what came of it.
pub async fn turns(tx: &mut TenantTx, conversation: ConversationId) -> Result<Vec<Turn>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select seq, prompt, simulated, run_id as "run_id: RunId", deployed_run_id as "deployed_run_id: RunId",
               config_sha256 is distinct from lag(config_sha256) over (order by seq) and seq > 1 as "changed!",
               created_at
           from agent_turns where organization_id = $1 and conversation_id = $2 order by seq"#,
        org.uuid(),
        conversation.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut replies = replies(tx, conversation).await?;
    let mut turns = Vec::new();
    for row in rows {
        let Some(reply) = replies.remove(&row.run_id) else { continue };
        turns.push(Turn {
            seq: row.seq,
            prompt: row.prompt,
            changed: row.changed,
            simulated: row.simulated,
            at: row.created_at,
            reply,
            deployed: row.deployed_run_id.and_then(|run| replies.remove(&run)),
        });
    }
    Ok(turns)
}

async fn replies(tx: &mut TenantTx, conversation: ConversationId) -> Result<HashMap<RunId, Reply>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select r.id as "id: RunId", r.state, r.last_seq, r.output, r.error, r.tokens_in, r.tokens_out, r.cost_micros,
               r.created_at, r.finished_at
           from agent_turns t
           join runs r on r.organization_id = t.organization_id and r.id in (t.run_id, t.deployed_run_id)
           where t.organization_id = $1 and t.conversation_id = $2"#,
        org.uuid(),
        conversation.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut calls = calls(tx, conversation).await?;
    let mut found = HashMap::new();
    for row in rows {
        let answers = calls.remove(&row.id).unwrap_or_default();
        let error = row.error.and_then(|error| serde_json::from_value::<StepError>(error).ok());
        let text = row.output.filter(|output| !output.is_null()).map(as_text);
        found.insert(
            row.id,
            Reply {
                run: row.id,
                state: word(&row.state)?,
                last_seq: row.last_seq,
                text,
                error: error.map(|error| error.message),
                usage: usage(row.tokens_in, row.tokens_out, row.cost_micros),
                first_token_ms: answers.first_token_ms,
                total_ms: row.finished_at.map(|end| (end - row.created_at).num_milliseconds()),
                model: answers.model,
                calls: answers.lines,
            },
        );
    }
    Ok(found)
}

/// What an agent's calls say of a reply.
#[derive(Default)]
struct Calls {
    lines: Vec<CallLine>,
    model: Option<String>,
    first_token_ms: Option<u64>,
}

async fn calls(tx: &mut TenantTx, conversation: ConversationId) -> Result<HashMap<RunId, Calls>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select s.run_id as "run_id: RunId", s.id, s.kind, s.name, s.state,
               case when s.kind = 'model' then '' else left(coalesce(s.input::text, ''), $3) end as "input!",
               case when s.kind = 'model' then coalesce(s.output ->> 'text', '') else left(coalesce(s.output::text, ''), $3) end
                   as "output!",
               coalesce((s.output ->> 'simulated')::boolean, false) as "simulated!",
               case when s.kind = 'model' then s.output ->> 'model' end as model,
               case when s.kind = 'model' then (s.output ->> 'first_token_ms')::bigint end as first_token_ms,
               s.detail ->> 'about' as about, s.detail ->> 'approval' as approval, s.error, s.started_at, s.finished_at,
               u.tokens_in as "tokens_in!", u.tokens_out as "tokens_out!", u.cost_micros as "cost_micros!"
           from agent_turns t
           join steps s on s.organization_id = t.organization_id and s.run_id in (t.run_id, t.deployed_run_id)
               and s.parent_id = 'agent'
           cross join lateral (
               select coalesce(sum(b.tokens_in), 0)::bigint as tokens_in, coalesce(sum(b.tokens_out), 0)::bigint as tokens_out,
                   coalesce(sum(b.cost_micros), 0)::bigint as cost_micros
               from steps b
               where b.organization_id = s.organization_id and b.run_id = s.run_id
                   and (b.id = s.id or starts_with(b.id, s.id || '.'))
           ) u
           where t.organization_id = $1 and t.conversation_id = $2
           order by s.run_id, s.ordinal"#,
        org.uuid(),
        conversation.uuid(),
        SHOWN_CHARS,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut found: HashMap<RunId, Calls> = HashMap::new();
    for row in rows {
        let calls = found.entry(row.run_id).or_default();
        if let Some(model) = row.model {
            calls.model = Some(model);
        }
        if calls.first_token_ms.is_none() {
            calls.first_token_ms = row.first_token_ms.and_then(|ms| u64::try_from(ms).ok());
        }
        let error = row.error.and_then(|error| serde_json::from_value::<StepError>(error).ok());
        let kind: StepKind = word(&row.kind)?;
        calls.lines.push(CallLine {
            step: row.id,
            kind,
            name: row.about.filter(|_| kind != StepKind::Model).unwrap_or(row.name),
            state: word::<StepState>(&row.state)?,
            input: row.input,
            output: row.output,
            error: error.map(|error| error.message),
            simulated: row.simulated,
            approval: row.approval.and_then(|id| id.parse::<ApprovalId>().ok()),
            took_ms: took(row.started_at, row.finished_at),
            usage: usage(row.tokens_in, row.tokens_out, row.cost_micros),
        });
    }
    Ok(found)
}

fn took(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<i64> {
    Some((to? - from?).num_milliseconds())
}

fn usage(tokens_in: i64, tokens_out: i64, cost: i64) -> Usage {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Usage { tokens_in: count(tokens_in), tokens_out: count(tokens_out), cost: Money(cost) }
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        // It is kept elsewhere, and loaded where it is looked at.
        Value::Object(fields) if fields.contains_key("$artifact") => {
            "The answer is too long for here. Open the run.".to_owned()
        }
        other => serde_json::to_string_pretty(&other).unwrap_or_default(),
    }
}

/// A state or kind by its word.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_value(Value::from(text)).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::RunState;

    #[test]
    fn words_of_the_database_are_states() {
        assert_eq!(word::<RunState>("succeeded").ok(), Some(RunState::Succeeded));
        assert!(word::<StepState>("nonsense").is_err());
    }
}
