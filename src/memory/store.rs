//! Statements on `agent_memories`.

use super::{Entry, KeyLine};
use crate::{
    db::TenantTx,
    engine::{port::PastTask, state::StepId},
    kernel::{AgentId, Result, RunId},
};

/// The last tasks under a key, the newest first.
pub(super) async fn last(tx: &mut TenantTx, agent: &str, key: &str, most: i64) -> Result<Vec<PastTask>> {
    let org = tx.org().uuid();
    let rows = sqlx::query_as!(
        PastTask,
        "select prompt, answer from agent_memories
         where organization_id = $1 and agent_key = $2 and key = $3
         order by seq desc
         limit $4",
        org,
        agent,
        key,
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// Keeps a task, unless its step is kept already.
pub(super) async fn insert(
    tx: &mut TenantTx,
    (agent, key): (&str, &str),
    (run, step): (RunId, &StepId),
    task: &PastTask,
) -> Result<()> {
    let org = tx.org().uuid();
    sqlx::query!(
        "insert into agent_memories (organization_id, agent_key, key, run_id, step_id, prompt, answer)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (organization_id, run_id, step_id) do nothing",
        org,
        agent,
        key,
        run.uuid(),
        step.as_str(),
        task.prompt,
        task.answer,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Removes all but the newest tasks under a key.
pub(super) async fn remove_oldest(tx: &mut TenantTx, agent: &str, key: &str, kept: i64) -> Result<()> {
    let org = tx.org().uuid();
    sqlx::query!(
        "delete from agent_memories
         where organization_id = $1 and agent_key = $2 and key = $3
           and seq <= (
               select seq from agent_memories
               where organization_id = $1 and agent_key = $2 and key = $3
               order by seq desc
               offset $4 limit 1
           )",
        org,
        agent,
        key,
        kept,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The keys of an agent whose text holds another one, the last used first.
pub(super) async fn keys(tx: &mut TenantTx, agent: AgentId, wanted: &str, most: i64) -> Result<Vec<KeyLine>> {
    let org = tx.org().uuid();
    let rows = sqlx::query_as!(
        KeyLine,
        r#"select m.key, count(*) as "tasks!", max(m.created_at) as "last_at!"
           from agents a
           join agent_memories m on m.organization_id = a.organization_id and m.agent_key = a.key
           where a.organization_id = $1 and a.id = $2 and position(lower($3) in lower(m.key)) > 0
           group by m.key
           order by max(m.seq) desc
           limit $4"#,
        org,
        agent.uuid(),
        wanted,
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// How many keys an agent has.
pub(super) async fn count(tx: &mut TenantTx, agent: AgentId) -> Result<i64> {
    let org = tx.org().uuid();
    Ok(sqlx::query_scalar!(
        r#"select count(distinct m.key) as "count!"
           from agents a
           join agent_memories m on m.organization_id = a.organization_id and m.agent_key = a.key
           where a.organization_id = $1 and a.id = $2"#,
        org,
        agent.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}

/// The tasks of an agent under a key, the newest first.
pub(super) async fn entries(tx: &mut TenantTx, agent: AgentId, key: &str, most: i64) -> Result<Vec<Entry>> {
    let org = tx.org().uuid();
    let rows = sqlx::query_as!(
        Entry,
        r#"select m.prompt, m.answer, r.id as "run?: RunId", m.created_at as at
           from agents a
           join agent_memories m on m.organization_id = a.organization_id and m.agent_key = a.key
           left join runs r on r.organization_id = m.organization_id and r.id = m.run_id
           where a.organization_id = $1 and a.id = $2 and m.key = $3
           order by m.seq desc
           limit $4"#,
        org,
        agent.uuid(),
        key,
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// Removes what an agent remembers under a key, or all of it.
pub(super) async fn remove(tx: &mut TenantTx, agent: AgentId, key: Option<&str>) -> Result<u64> {
    let org = tx.org().uuid();
    let done = sqlx::query!(
        "delete from agent_memories m using agents a
         where m.organization_id = $1 and a.organization_id = $1 and a.id = $2 and m.agent_key = a.key
           and ($3::text is null or m.key = $3)",
        org,
        agent.uuid(),
        key,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
