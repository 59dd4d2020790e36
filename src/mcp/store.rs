//! The tables of MCP servers and of what they offer.

use sqlx::types::Json;

use super::{Definition, McpServer, McpTool, Transport};
use crate::{
    db::TenantTx,
    engine::plan::ToolEffect,
    kernel::{CredentialId, Error, McpServerId, Result, Timestamp},
};

struct ServerRow {
    id: McpServerId,
    slug: String,
    name: String,
    transport: Json<Transport>,
    credential_id: Option<CredentialId>,
    variable: String,
    enabled: bool,
    checked_at: Option<Timestamp>,
    error: Option<String>,
    about: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<ServerRow> for McpServer {
    fn from(row: ServerRow) -> Self {
        Self {
            id: row.id,
            slug: row.slug,
            name: row.name,
            transport: row.transport.0,
            credential: row.credential_id,
            variable: row.variable,
            enabled: row.enabled,
            checked_at: row.checked_at,
            error: row.error,
            about: row.about,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// All servers, by name.
pub async fn servers(tx: &mut TenantTx) -> Result<Vec<McpServer>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        ServerRow,
        r#"select id as "id: McpServerId", slug, name, transport as "transport: Json<Transport>",
               credential_id as "credential_id: CredentialId", variable, enabled, checked_at, error, about, created_at,
               updated_at
           from mcp_servers where organization_id = $1 order by lower(name), id"#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(McpServer::from).collect())
}

/// One server. `hold`: nobody else changes it, or what is known of its tools, until the transaction ends.
pub async fn server(tx: &mut TenantTx, id: McpServerId, hold: bool) -> Result<Option<McpServer>> {
    let org = tx.org();
    if hold {
        sqlx::query!(
            "select id from mcp_servers where organization_id = $1 and id = $2 for update",
            org.uuid(),
            id.uuid(),
        )
        .fetch_optional(tx.conn())
        .await?;
    }
    let row = sqlx::query_as!(
        ServerRow,
        r#"select id as "id: McpServerId", slug, name, transport as "transport: Json<Transport>",
               credential_id as "credential_id: CredentialId", variable, enabled, checked_at, error, about, created_at,
               updated_at
           from mcp_servers where organization_id = $1 and id = $2"#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(McpServer::from))
}

/// What is kept of a server that is made or changed.
pub struct Draft<'a> {
    pub name: &'a str,
    pub transport: &'a Transport,
    pub credential: Option<CredentialId>,
    pub variable: &'a str,
}

/// A new server.
pub async fn insert(tx: &mut TenantTx, id: McpServerId, slug: &str, draft: &Draft<'_>) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into mcp_servers (organization_id, id, slug, name, transport, credential_id, variable)
         values ($1, $2, $3, $4, $5, $6, $7)",
        org.uuid(),
        id.uuid(),
        slug,
        draft.name,
        Json(draft.transport) as _,
        draft.credential.map(CredentialId::uuid),
        draft.variable,
    )
    .execute(tx.conn())
    .await
    .map_err(cannot_be)?;
    Ok(())
}

fn cannot_be(error: sqlx::Error) -> Error {
    match error.as_database_error().and_then(|error| error.constraint()) {
        Some("mcp_servers_slug_key") => {
            Error::invalid("slug", "Another server's tools begin like this. Choose something else.")
        }
        Some("mcp_servers_credential_fkey") => {
            Error::invalid("credential", "This credential was removed. Choose another one.")
        }
        _ => error.into(),
    }
}

/// Changes a server.
pub async fn save(tx: &mut TenantTx, id: McpServerId, draft: &Draft<'_>) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update mcp_servers set name = $3, transport = $4, credential_id = $5, variable = $6, updated_at = now()
         where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        draft.name,
        Json(draft.transport) as _,
        draft.credential.map(CredentialId::uuid),
        draft.variable,
    )
    .execute(tx.conn())
    .await
    .map_err(cannot_be)?;
    Ok(())
}

/// Switches a server on or off.
pub async fn set_enabled(tx: &mut TenantTx, id: McpServerId, enabled: bool) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update mcp_servers set enabled = $3, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        enabled,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes down what a look at a server found.
pub async fn checked(tx: &mut TenantTx, id: McpServerId, about: Option<&str>, error: Option<&str>) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update mcp_servers set checked_at = now(), error = $3, about = coalesce($4, about)
         where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        error,
        about,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets a server and its tools.
pub async fn remove(tx: &mut TenantTx, id: McpServerId) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!("delete from mcp_servers where organization_id = $1 and id = $2", org.uuid(), id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() > 0)
}

struct ToolRow {
    server_id: McpServerId,
    name: String,
    alias: String,
    definition: Json<Definition>,
    hash: String,
    approved_definition: Option<Json<Definition>>,
    approved_hash: Option<String>,
    approved_by_name: Option<String>,
    approved_at: Option<Timestamp>,
    effect: String,
    enabled: bool,
    gone_at: Option<Timestamp>,
}

impl From<ToolRow> for (McpServerId, McpTool) {
    fn from(row: ToolRow) -> Self {
        let tool = McpTool {
            name: row.name,
            alias: row.alias,
            definition: row.definition.0,
            hash: row.hash,
            approved: row.approved_definition.map(|definition| definition.0),
            approved_hash: row.approved_hash,
            approved_by: row.approved_by_name,
            approved_at: row.approved_at,
            effect: match row.effect.as_str() {
                "read" => ToolEffect::Read,
                "destructive" => ToolEffect::Destructive,
                _ => ToolEffect::Write,
            },
            enabled: row.enabled,
            gone_at: row.gone_at,
        };
        (row.server_id, tool)
    }
}

/// The word of an effect in the database.
fn effect_word(effect: ToolEffect) -> &'static str {
    match effect {
        ToolEffect::Read => "read",
        ToolEffect::Write => "write",
        ToolEffect::Destructive => "destructive",
    }
}

/// The tools of one server or of all, by name.
pub async fn tools(tx: &mut TenantTx, server: Option<McpServerId>) -> Result<Vec<(McpServerId, McpTool)>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        ToolRow,
        r#"select server_id as "server_id: McpServerId", name, alias, definition as "definition: Json<Definition>", hash,
               approved_definition as "approved_definition: Json<Definition>", approved_hash, approved_by_name,
               approved_at, effect, enabled, gone_at
           from mcp_tools where organization_id = $1 and ($2::uuid is null or server_id = $2) order by name, server_id"#,
        org.uuid(),
        server.map(McpServerId::uuid),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One tool of a server.
pub async fn tool(tx: &mut TenantTx, server: McpServerId, name: &str) -> Result<Option<McpTool>> {
    let org = tx.org();
    let row = sqlx::query_as!(
        ToolRow,
        r#"select server_id as "server_id: McpServerId", name, alias, definition as "definition: Json<Definition>", hash,
               approved_definition as "approved_definition: Json<Definition>", approved_hash, approved_by_name,
               approved_at, effect, enabled, gone_at
           from mcp_tools where organization_id = $1 and server_id = $2 and name = $3"#,
        org.uuid(),
        server.uuid(),
        name,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| <(McpServerId, McpTool)>::from(row).1))
}

/// Writes down what a server says of a tool that was seen before.
pub async fn seen(
    tx: &mut TenantTx,
    server: McpServerId,
    name: &str,
    definition: &Definition,
    hash: &str,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update mcp_tools set definition = $4, hash = $5, last_seen_at = now(), gone_at = null
         where organization_id = $1 and server_id = $2 and name = $3",
        org.uuid(),
        server.uuid(),
        name,
        Json(definition) as _,
        hash,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes down a tool that was not seen before. False when its alias was taken at the same moment.
pub async fn found(
    tx: &mut TenantTx,
    server: McpServerId,
    name: &str,
    alias: &str,
    definition: &Definition,
    hash: &str,
) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "insert into mcp_tools (organization_id, server_id, name, alias, definition, hash, effect)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict on constraint mcp_tools_alias_key do nothing",
        org.uuid(),
        server.uuid(),
        name,
        alias,
        Json(definition) as _,
        hash,
        effect_word(ToolEffect::Write),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that a server does not offer any tools any more but these. Those that nobody ever approved are forgotten.
pub async fn gone(tx: &mut TenantTx, server: McpServerId, still: &[String]) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "delete from mcp_tools
         where organization_id = $1 and server_id = $2 and name <> all ($3) and approved_hash is null",
        org.uuid(),
        server.uuid(),
        still,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update mcp_tools set gone_at = coalesce(gone_at, now())
         where organization_id = $1 and server_id = $2 and name <> all ($3)",
        org.uuid(),
        server.uuid(),
        still,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A person's decision on a tool.
pub struct Decision<'a> {
    pub effect: ToolEffect,
    pub enabled: bool,
    pub by: &'a str,
}

/// Approves a tool's present definition. False where it is not this one any more.
pub async fn decide(
    tx: &mut TenantTx,
    server: McpServerId,
    name: &str,
    hash: &str,
    decision: &Decision<'_>,
) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update mcp_tools set effect = $5, enabled = $6, approved_definition = definition, approved_hash = hash,
             approved_by_name = $7, approved_at = now()
         where organization_id = $1 and server_id = $2 and name = $3 and hash = $4",
        org.uuid(),
        server.uuid(),
        name,
        hash,
        effect_word(decision.effect),
        decision.enabled,
        decision.by,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Switches a tool off, whatever its definition is.
pub async fn switch_off(tx: &mut TenantTx, server: McpServerId, name: &str) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update mcp_tools set enabled = false where organization_id = $1 and server_id = $2 and name = $3",
        org.uuid(),
        server.uuid(),
        name,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes back all that was approved of a server.
pub async fn disapprove(tx: &mut TenantTx, server: McpServerId) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update mcp_tools set enabled = false, approved_definition = null, approved_hash = null,
             approved_by_name = null, approved_at = null
         where organization_id = $1 and server_id = $2",
        org.uuid(),
        server.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether a tool of a server has this alias.
pub async fn has_alias(tx: &mut TenantTx, alias: &str) -> Result<bool> {
    let org = tx.org();
    let has = sqlx::query_scalar!(
        r#"select exists (select from mcp_tools where organization_id = $1 and alias = $2) as "has!""#,
        org.uuid(),
        alias,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(has)
}
