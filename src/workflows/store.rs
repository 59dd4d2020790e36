//! The workflows' tables.

use serde_json::Value;
use sqlx::types::Json;

use super::{Workflow, WorkflowVersion};
use crate::{
    access::Actor,
    db::TenantTx,
    engine::plan::Graph,
    kernel::{AgentId, Error, Result, VersionLine, WorkflowId},
};

/// All workflows that are not archived, the last saved first.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Workflow>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        Workflow,
        r#"select w.id as "id: WorkflowId", w.name, w.description, w.status, w.latest_version as version, v.valid,
               w.deployed_version, w.created_at, w.updated_at
           from workflows w
           join workflow_versions v
               on v.organization_id = w.organization_id and v.workflow_id = w.id and v.version = w.latest_version
           where w.organization_id = $1 and w.status <> 'archived'
           order by w.updated_at desc, w.id"#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// The workflow that an agent's trials are runs of.
pub async fn of_trials(tx: &mut TenantTx, agent: AgentId) -> Result<Option<WorkflowId>> {
    let org = tx.org();
    let id = sqlx::query_scalar!(
        r#"select id as "id: WorkflowId" from workflows where organization_id = $1 and trial_of = $2"#,
        org.uuid(),
        agent.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id)
}

/// A workflow for an agent's trials, unless there is one. It is archived from the beginning, so that no list shows it.
pub async fn insert_for_trials(
    tx: &mut TenantTx,
    id: WorkflowId,
    agent: AgentId,
    name: &str,
    graph: &Graph,
    by: &Actor,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "with made as (
             insert into workflows (organization_id, id, name, status, trial_of) values ($1, $2, $3, 'archived', $4)
             on conflict (organization_id, trial_of) where trial_of is not null do nothing
             returning organization_id, id
         )
         insert into workflow_versions (organization_id, workflow_id, version, graph, valid, saved_by, saved_by_name)
         select organization_id, id, 1, $5, true, $6, $7 from made",
        org.uuid(),
        id.uuid(),
        name,
        agent.uuid(),
        Json(graph) as _,
        by.reference(),
        by.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A deployed workflow, as far as a caller has to know it.
pub struct Deployed {
    pub id: WorkflowId,
    pub name: String,
    pub description: String,
    pub input: Value,
}

/// The workflows that can be called by others.
pub async fn deployed(tx: &mut TenantTx) -> Result<Vec<Deployed>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        Deployed,
        r#"select w.id as "id: WorkflowId", w.name, w.description,
               coalesce(v.graph -> 'input', '{"type": "object"}') as "input!"
           from workflows w
           join workflow_versions v
               on v.organization_id = w.organization_id and v.workflow_id = w.id and v.version = w.deployed_version
           where w.organization_id = $1 and w.status = 'active'"#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// One workflow, archived or not.
pub async fn find(tx: &mut TenantTx, id: WorkflowId) -> Result<Option<Workflow>> {
    let org = tx.org();
    let row = sqlx::query_as!(
        Workflow,
        r#"select w.id as "id: WorkflowId", w.name, w.description, w.status, w.latest_version as version, v.valid,
               w.deployed_version, w.created_at, w.updated_at
           from workflows w
           join workflow_versions v
               on v.organization_id = w.organization_id and v.workflow_id = w.id and v.version = w.latest_version
           where w.organization_id = $1 and w.id = $2"#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row)
}

/// Holds the workflow's row until the transaction ends, so that of two savers one is told.
pub async fn lock(tx: &mut TenantTx, id: WorkflowId) -> Result<Option<i32>> {
    let org = tx.org();
    let version = sqlx::query_scalar!(
        "select latest_version from workflows where organization_id = $1 and id = $2 for update",
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(version)
}

/// The versions, the newest first.
pub async fn versions(tx: &mut TenantTx, id: WorkflowId) -> Result<Vec<VersionLine>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        VersionLine,
        "select version, note, saved_by_name as saved_by, created_at, valid
         from workflow_versions where organization_id = $1 and workflow_id = $2 order by version desc limit 200",
        org.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// One version.
pub async fn version(tx: &mut TenantTx, id: WorkflowId, version: i32) -> Result<Option<WorkflowVersion>> {
    let org = tx.org();
    let row = sqlx::query!(
        r#"select version, graph as "graph: Json<Graph>", valid, note, saved_by_name, created_at
           from workflow_versions where organization_id = $1 and workflow_id = $2 and version = $3"#,
        org.uuid(),
        id.uuid(),
        version,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| WorkflowVersion {
        version: row.version,
        graph: row.graph.0,
        valid: row.valid,
        note: row.note,
        saved_by: row.saved_by_name,
        created_at: row.created_at,
    }))
}

/// The newest version that passed validation.
pub async fn newest_valid(tx: &mut TenantTx, id: WorkflowId) -> Result<Option<i32>> {
    let org = tx.org();
    let version = sqlx::query_scalar!(
        "select max(version) from workflow_versions where organization_id = $1 and workflow_id = $2 and valid",
        org.uuid(),
        id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

/// A version to be written.
pub struct NewVersion<'a> {
    pub version: i32,
    pub graph: &'a Graph,
    pub valid: bool,
    pub note: &'a str,
    pub by: &'a Actor,
}

/// A new workflow with its first version.
pub async fn insert(
    tx: &mut TenantTx,
    id: WorkflowId,
    name: &str,
    description: &str,
    first: &NewVersion<'_>,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into workflows (organization_id, id, name, description) values ($1, $2, $3, $4)",
        org.uuid(),
        id.uuid(),
        name,
        description,
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    insert_version(tx, id, first).await
}

/// A new version, which becomes the newest one.
pub async fn save(tx: &mut TenantTx, id: WorkflowId, next: &NewVersion<'_>) -> Result<()> {
    insert_version(tx, id, next).await?;
    let org = tx.org();
    sqlx::query!(
        "update workflows set latest_version = $3, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        next.version,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn insert_version(tx: &mut TenantTx, id: WorkflowId, next: &NewVersion<'_>) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into workflow_versions (organization_id, workflow_id, version, graph, valid, note, saved_by, saved_by_name)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        org.uuid(),
        id.uuid(),
        next.version,
        Json(next.graph) as _,
        next.valid,
        next.note,
        next.by.reference(),
        next.by.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Another name and description.
pub async fn describe(tx: &mut TenantTx, id: WorkflowId, name: &str, description: &str) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update workflows set name = $3, description = $4, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        name,
        description,
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    Ok(done.rows_affected() > 0)
}

/// Makes a version the one that runs use.
pub async fn deploy(tx: &mut TenantTx, id: WorkflowId, version: i32) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update workflows set deployed_version = $3, status = 'active', updated_at = now()
         where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        version,
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    Ok(())
}

/// Takes the workflow out of use.
pub async fn archive(tx: &mut TenantTx, id: WorkflowId) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update workflows set status = 'archived', updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The names of the workflows whose newest or deployed version names an agent.
pub async fn naming_agent(tx: &mut TenantTx, key: &str) -> Result<Vec<String>> {
    let org = tx.org();
    let names = sqlx::query_scalar!(
        r#"select w.name from workflows w
           where w.organization_id = $1 and w.status <> 'archived' and exists (
               select from workflow_versions v
               where v.organization_id = w.organization_id and v.workflow_id = w.id
                   and v.version in (w.latest_version, w.deployed_version)
                   and (
                       jsonb_path_exists(
                           v.graph, '$.nodes.** ? (@.kind == "agent" && @.agent == $key)', jsonb_build_object('key', $2::text)
                       ) or jsonb_path_exists(
                           v.graph, '$.nodes.**.alternatives[*] ? (@.agent == $key)', jsonb_build_object('key', $2::text)
                       )
                   )
           )
           order by lower(w.name)"#,
        org.uuid(),
        key,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(names)
}

/// The names in use that begin with a text.
pub async fn names_like(tx: &mut TenantTx, beginning: &str) -> Result<Vec<String>> {
    let org = tx.org();
    let names = sqlx::query_scalar!(
        "select name from workflows
         where organization_id = $1 and status <> 'archived' and starts_with(lower(name), lower($2))",
        org.uuid(),
        beginning,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(names)
}

fn name_taken(error: sqlx::Error) -> Error {
    if error.as_database_error().is_some_and(|error| error.constraint() == Some("workflows_name_key")) {
        return Error::invalid("name", "Another workflow has this name. Choose a different one.");
    }
    error.into()
}
