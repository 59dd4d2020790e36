//! Statements of the search. They read what other features write.

use super::{Found, Hit, NEWEST};
use crate::{
    db::TenantTx,
    engine::state::RunState,
    kernel::{AgentId, Error, Result, RunId, WorkflowId},
};

/// Of each sort at most.
const EACH: i64 = 6;

/// Workflows whose name holds the text; those that begin with it first.
///
/// # Errors
/// When the database does not answer.
pub async fn workflows(tx: &mut TenantTx, text: &str) -> Result<Vec<Hit>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select id as "id: WorkflowId", name
        from workflows
        where organization_id = $1 and status <> 'archived' and trial_of is null
          and position(lower($2) in lower(name)) > 0
        order by position(lower($2) in lower(name)) > 1, lower(name)
        limit $3
        "#,
        org.uuid(),
        text,
        EACH,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| Hit { found: Found::Workflow(row.id), name: row.name }).collect())
}

/// Agents whose name holds the text; those that begin with it first.
///
/// # Errors
/// When the database does not answer.
pub async fn agents(tx: &mut TenantTx, text: &str) -> Result<Vec<Hit>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select id as "id: AgentId", name
        from agents
        where organization_id = $1 and status <> 'archived' and position(lower($2) in lower(name)) > 0
        order by position(lower($2) in lower(name)) > 1, lower(name)
        limit $3
        "#,
        org.uuid(),
        text,
        EACH,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| Hit { found: Found::Agent(row.id), name: row.name }).collect())
}

/// Of the newest runs, those whose title holds the text or that have it as their id, the newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn runs(tx: &mut TenantTx, text: &str) -> Result<Vec<Hit>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        (select id as "id!: RunId", title as "title!", state as "state!", created_at as "created_at!"
         from runs where organization_id = $1 and id = $4)
        union all
        (select id, title, state, created_at
         from (select id, title, state, created_at from runs where organization_id = $1
               order by created_at desc, id desc limit $5) as newest
         where position(lower($2) in lower(title)) > 0 and $4::uuid is null
         limit $3)
        "#,
        org.uuid(),
        text,
        EACH,
        text.parse::<RunId>().ok().map(RunId::uuid),
        NEWEST,
    )
    .fetch_all(tx.conn())
    .await?;
    let hit = |(id, title, state, at): (RunId, String, String, _)| {
        let state = RunState::parse(&state).ok_or_else(|| Error::internal(format!("the state {state} of a run")))?;
        Ok(Hit { found: Found::Run(id, state, at), name: title })
    };
    rows.into_iter().map(|row| hit((row.id, row.title, row.state, row.created_at))).collect()
}
