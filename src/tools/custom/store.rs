//! The tables of REST tools.

use sqlx::types::Json;

use super::{CustomTool, CustomToolConfig};
use crate::{
    access::Actor,
    db::TenantTx,
    kernel::{CustomToolId, Result, Timestamp, VersionLine},
};

struct Row {
    id: CustomToolId,
    name: String,
    version: i32,
    deployed_version: Option<i32>,
    config: Json<CustomToolConfig>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for CustomTool {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            version: row.version,
            deployed_version: row.deployed_version,
            config: row.config.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// All tools that are not archived, by name, at their newest versions.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<CustomTool>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        Row,
        r#"select t.id as "id: CustomToolId", t.name, t.latest_version as version, t.deployed_version,
               v.config as "config: Json<CustomToolConfig>", t.created_at, t.updated_at
           from custom_tools t
           join custom_tool_versions v
               on v.organization_id = t.organization_id and v.tool_id = t.id and v.version = t.latest_version
           where t.organization_id = $1 and t.status <> 'archived' order by t.name, t.id"#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(CustomTool::from).collect())
}

/// The tools that runs may use, at their deployed versions.
pub async fn deployed(tx: &mut TenantTx) -> Result<Vec<CustomTool>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        Row,
        r#"select t.id as "id: CustomToolId", t.name, v.version, t.deployed_version,
               v.config as "config: Json<CustomToolConfig>", t.created_at, t.updated_at
           from custom_tools t
           join custom_tool_versions v
               on v.organization_id = t.organization_id and v.tool_id = t.id and v.version = t.deployed_version
           where t.organization_id = $1 and t.status = 'active' order by t.name, t.id"#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(CustomTool::from).collect())
}

/// One tool that is not archived.
pub async fn find(tx: &mut TenantTx, id: CustomToolId) -> Result<Option<CustomTool>> {
    let org = tx.org();
    let row = sqlx::query_as!(
        Row,
        r#"select t.id as "id: CustomToolId", t.name, t.latest_version as version, t.deployed_version,
               v.config as "config: Json<CustomToolConfig>", t.created_at, t.updated_at
           from custom_tools t
           join custom_tool_versions v
               on v.organization_id = t.organization_id and v.tool_id = t.id and v.version = t.latest_version
           where t.organization_id = $1 and t.id = $2 and t.status <> 'archived'"#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(CustomTool::from))
}

/// Holds the tool's row until the transaction ends. Its newest version's number; nothing where it is archived.
pub async fn lock(tx: &mut TenantTx, id: CustomToolId) -> Result<Option<i32>> {
    let org = tx.org();
    let version = sqlx::query_scalar!(
        "select latest_version from custom_tools
         where organization_id = $1 and id = $2 and status <> 'archived' for update",
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(version)
}

/// What a version is made of, also of a tool that is archived: a run may still be under way with it.
pub async fn version(tx: &mut TenantTx, id: CustomToolId, version: i32) -> Result<Option<CustomToolConfig>> {
    let org = tx.org();
    let config = sqlx::query_scalar!(
        r#"select config as "config: Json<CustomToolConfig>" from custom_tool_versions
           where organization_id = $1 and tool_id = $2 and version = $3"#,
        org.uuid(),
        id.uuid(),
        version,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(config.map(|config| config.0))
}

/// The versions, the newest first.
pub async fn versions(tx: &mut TenantTx, id: CustomToolId) -> Result<Vec<VersionLine>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        VersionLine,
        r#"select version, '' as "note!", saved_by_name as saved_by, created_at, true as "valid!"
           from custom_tool_versions where organization_id = $1 and tool_id = $2 order by version desc limit 200"#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// A new tool with its first version. False when its name is taken.
pub async fn insert(
    tx: &mut TenantTx,
    id: CustomToolId,
    name: &str,
    config: &CustomToolConfig,
    by: &Actor,
) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "insert into custom_tools (organization_id, id, name) values ($1, $2, $3)
         on conflict (organization_id, name) where status <> 'archived' do nothing",
        org.uuid(),
        id.uuid(),
        name,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    insert_version(tx, id, 1, config, by).await?;
    Ok(true)
}

/// A new version, which becomes the newest one.
pub async fn save(
    tx: &mut TenantTx,
    id: CustomToolId,
    version: i32,
    config: &CustomToolConfig,
    by: &Actor,
) -> Result<()> {
    insert_version(tx, id, version, config, by).await?;
    let org = tx.org();
    sqlx::query!(
        "update custom_tools set latest_version = $3, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        version,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn insert_version(
    tx: &mut TenantTx,
    id: CustomToolId,
    version: i32,
    config: &CustomToolConfig,
    by: &Actor,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into custom_tool_versions (organization_id, tool_id, version, config, saved_by, saved_by_name)
         values ($1, $2, $3, $4, $5, $6)",
        org.uuid(),
        id.uuid(),
        version,
        Json(config) as _,
        by.reference(),
        by.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Makes a version the one that runs use.
pub async fn deploy(tx: &mut TenantTx, id: CustomToolId, version: i32) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update custom_tools set deployed_version = $3, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        version,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes a tool out of use.
pub async fn archive(tx: &mut TenantTx, id: CustomToolId) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update custom_tools set status = 'archived', updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether a tool that is not archived has this name.
pub async fn has_name(tx: &mut TenantTx, name: &str) -> Result<bool> {
    let org = tx.org();
    let has = sqlx::query_scalar!(
        r#"select exists (
               select from custom_tools where organization_id = $1 and name = $2 and status <> 'archived'
           ) as "has!""#,
        org.uuid(),
        name,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(has)
}

/// How many tools that are not archived there are.
pub async fn count(tx: &mut TenantTx) -> Result<i64> {
    let org = tx.org();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from custom_tools where organization_id = $1 and status <> 'archived'"#,
        org.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}
