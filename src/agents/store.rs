//! The agents' tables.

pub mod cases;
pub mod record;
pub mod rehearsals;

use sqlx::types::Json;

use super::{Agent, AgentConfig, AgentStatus, Deployment, config::Capabilities};
use crate::{
    access::Actor,
    db::TenantTx,
    kernel::{AgentId, Error, Result, Timestamp, VersionLine},
};

struct Row {
    id: AgentId,
    key: String,
    status: String,
    latest_version: i32,
    deployed_version: Option<i32>,
    config: Json<AgentConfig>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for Agent {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            key: row.key,
            // The table allows no other word.
            status: AgentStatus::parse(&row.status).unwrap_or(AgentStatus::Archived),
            version: row.latest_version,
            deployed_version: row.deployed_version,
            config: row.config.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// All agents that are not archived, or those that are, by name.
pub async fn list(tx: &mut TenantTx, archived: bool) -> Result<Vec<Agent>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        Row,
        r#"select a.id as "id: AgentId", a.key, a.status, a.latest_version, a.deployed_version,
               v.config as "config: Json<AgentConfig>", a.created_at, a.updated_at
           from agents a
           join agent_versions v on v.organization_id = a.organization_id and v.agent_id = a.id and v.version = a.latest_version
           where a.organization_id = $1 and (a.status = 'archived') = $2
           order by lower(a.name), a.id"#,
        org.uuid(),
        archived,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Agent::from).collect())
}

/// One agent, archived or not.
pub async fn find(tx: &mut TenantTx, id: AgentId) -> Result<Option<Agent>> {
    let org = tx.org();
    let row = sqlx::query_as!(
        Row,
        r#"select a.id as "id: AgentId", a.key, a.status, a.latest_version, a.deployed_version,
               v.config as "config: Json<AgentConfig>", a.created_at, a.updated_at
           from agents a
           join agent_versions v on v.organization_id = a.organization_id and v.agent_id = a.id and v.version = a.latest_version
           where a.organization_id = $1 and a.id = $2"#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Agent::from))
}

/// Holds the agent's row until the transaction ends, so that of two savers one is told. Its newest version's number.
pub async fn lock(tx: &mut TenantTx, id: AgentId) -> Result<Option<i32>> {
    let org = tx.org();
    let version = sqlx::query_scalar!(
        "select latest_version from agents where organization_id = $1 and id = $2 for update",
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(version)
}

/// The versions, the newest first.
pub async fn versions(tx: &mut TenantTx, id: AgentId) -> Result<Vec<VersionLine>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        VersionLine,
        r#"select version, note, saved_by_name as saved_by, created_at, true as "valid!"
           from agent_versions where organization_id = $1 and agent_id = $2 order by version desc limit 200"#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// What one version holds.
pub async fn version(tx: &mut TenantTx, id: AgentId, version: i32) -> Result<Option<AgentConfig>> {
    let org = tx.org();
    let row = sqlx::query_scalar!(
        r#"select config as "config: Json<AgentConfig>"
           from agent_versions where organization_id = $1 and agent_id = $2 and version = $3"#,
        org.uuid(),
        id.uuid(),
        version,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|config| config.0))
}

/// The keys of all agents, archived ones too, that begin with a text.
pub async fn keys_like(tx: &mut TenantTx, beginning: &str) -> Result<Vec<String>> {
    let org = tx.org();
    let keys = sqlx::query_scalar!(
        "select key from agents where organization_id = $1 and starts_with(key, $2)",
        org.uuid(),
        beginning,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(keys)
}

/// A new agent with its first version. False when its key was taken at the same moment.
pub async fn insert(tx: &mut TenantTx, id: AgentId, key: &str, config: &AgentConfig, by: &Actor) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "insert into agents (organization_id, id, key, name) values ($1, $2, $3, $4)
         on conflict on constraint agents_key_key do nothing",
        org.uuid(),
        id.uuid(),
        key,
        config.name,
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    insert_version(tx, id, 1, config, "Created", by).await?;
    Ok(true)
}

/// A new version, which becomes the newest one.
pub async fn save(
    tx: &mut TenantTx,
    id: AgentId,
    version: i32,
    config: &AgentConfig,
    note: &str,
    by: &Actor,
) -> Result<()> {
    insert_version(tx, id, version, config, note, by).await?;
    let org = tx.org();
    sqlx::query!(
        "update agents set latest_version = $3, name = $4, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        version,
        config.name,
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    Ok(())
}

async fn insert_version(
    tx: &mut TenantTx,
    id: AgentId,
    version: i32,
    config: &AgentConfig,
    note: &str,
    by: &Actor,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into agent_versions (organization_id, agent_id, version, config, note, saved_by, saved_by_name)
         values ($1, $2, $3, $4, $5, $6, $7)",
        org.uuid(),
        id.uuid(),
        version,
        Json(config) as _,
        note,
        by.reference(),
        by.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Makes a version the one that workflows use. The agent's row is held.
pub async fn deploy(tx: &mut TenantTx, id: AgentId, version: i32, by: &Actor) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into agent_deployments
             (organization_id, agent_id, number, version, replaced, deployed_by, deployed_by_name)
         select organization_id, id,
                1 + coalesce((select max(number) from agent_deployments d
                              where d.organization_id = a.organization_id and d.agent_id = a.id), 0),
                $3, nullif(deployed_version, $3), $4, $5
         from agents a where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        version,
        by.reference(),
        by.name(),
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update agents set deployed_version = $3, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        version,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The version that was deployed before the one that is deployed now.
pub async fn former(tx: &mut TenantTx, id: AgentId) -> Result<Option<i32>> {
    let org = tx.org();
    let former = sqlx::query_scalar!(
        "select d.replaced from agent_deployments d
         join agents a on a.organization_id = d.organization_id and a.id = d.agent_id
         where d.organization_id = $1 and d.agent_id = $2 and d.version = a.deployed_version and d.replaced is not null
         order by d.number desc limit 1",
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(former.flatten())
}

/// The deployments, the last first.
pub async fn deployments(tx: &mut TenantTx, id: AgentId) -> Result<Vec<Deployment>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        Deployment,
        "select version, replaced, deployed_by_name as deployed_by, deployed_at
         from agent_deployments where organization_id = $1 and agent_id = $2 order by number desc limit 50",
        org.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// Takes the agent out of use, or brings it back.
pub async fn set_status(tx: &mut TenantTx, id: AgentId, status: AgentStatus) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update agents set status = $3, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        status.as_str(),
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    Ok(done.rows_affected() > 0)
}

/// What runs use of the agents with these keys: the deployed version, or the newest where none is deployed.
pub struct ForRun {
    pub key: String,
    pub version: i32,
    pub deployed: bool,
    pub active: bool,
    pub config: AgentConfig,
}

/// The agents with these keys, archived ones left out.
pub async fn for_run(tx: &mut TenantTx, keys: &[String]) -> Result<Vec<ForRun>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select a.key, v.version, a.deployed_version is not null as "deployed!",
               a.status = 'active' as "active!", v.config as "config: Json<AgentConfig>"
           from agents a
           join agent_versions v on v.organization_id = a.organization_id and v.agent_id = a.id
               and v.version = coalesce(a.deployed_version, a.latest_version)
           where a.organization_id = $1 and a.key = any($2) and a.status <> 'archived'"#,
        org.uuid(),
        keys,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ForRun {
            key: row.key,
            version: row.version,
            deployed: row.deployed,
            active: row.active,
            config: row.config.0,
        })
        .collect())
}

/// An agent that others can call, as its deployed version tells of it.
pub struct Callable {
    pub key: String,
    pub name: String,
    pub role: String,
    pub capabilities: Capabilities,
}

/// The agents that can be called by others.
pub async fn deployed(tx: &mut TenantTx) -> Result<Vec<Callable>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select a.key, a.name, coalesce(v.config ->> 'role', '') as "role!",
               coalesce(v.config -> 'capabilities', '{}') as "capabilities!: Json<Capabilities>"
           from agents a
           join agent_versions v
               on v.organization_id = a.organization_id and v.agent_id = a.id and v.version = a.deployed_version
           where a.organization_id = $1 and a.status = 'active'"#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let callable = rows.into_iter().map(|row| Callable {
        key: row.key,
        name: row.name,
        role: row.role,
        capabilities: row.capabilities.0,
    });
    Ok(callable.collect())
}

/// The keys that workflows may name.
pub async fn keys(tx: &mut TenantTx) -> Result<Vec<String>> {
    let org = tx.org();
    let keys = sqlx::query_scalar!(
        "select key from agents where organization_id = $1 and status <> 'archived' order by key",
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(keys)
}

fn name_taken(error: sqlx::Error) -> Error {
    if error.as_database_error().is_some_and(|error| error.constraint() == Some("agents_name_key")) {
        return Error::invalid("name", "Another agent has this name. Choose a different one.");
    }
    error.into()
}
