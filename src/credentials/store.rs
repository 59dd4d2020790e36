//! Statements on credentials, their keys and their uses. All of the app's role but where it is said.

use std::collections::BTreeMap;

use sqlx::{PgPool, query, query_scalar, types::Json};
use uuid::Uuid;

use super::{Credential, CredentialKind, CredentialStatus};
use crate::{
    db::TenantTx,
    engine::port::CallScope,
    kernel::{CredentialId, Error, OrgId, Result, Timestamp, UserId},
};

/// Who uses credentials: what it is, and a statement with a credential's id and the name of its user. A feature that
/// names credentials joins in here.
const USERS: [(&str, &str); 2] = [
    (
        "model provider",
        "select credential_id, label from model_connections
         where organization_id = $1 and credential_id is not null",
    ),
    (
        "MCP server",
        "select credential_id, name from mcp_servers where organization_id = $1 and credential_id is not null",
    ),
];
/// The same for those who write the credential down as people and addresses do: `cred_…`.
const USERS_BY_TEXT: [(&str, &str); 1] = [(
    "tool",
    "select v.config ->> 'credential', t.name from custom_tools t
     join custom_tool_versions v on v.organization_id = t.organization_id and v.tool_id = t.id
         and v.version in (t.latest_version, t.deployed_version)
     where t.organization_id = $1 and t.status <> 'archived' and v.config ->> 'credential' is not null
     group by 1, 2",
)];

/// A data key as it is kept.
pub(super) struct WrappedKey {
    pub(super) version: i32,
    pub(super) master_key_id: String,
    pub(super) wrapped: Vec<u8>,
}

/// What is sealed, with the key that it is sealed with.
pub(crate) struct SealedRow {
    pub(super) id: CredentialId,
    pub(super) sealed: Vec<u8>,
    pub(super) key: WrappedKey,
}

/// A credential to be opened.
pub(super) struct ToOpen {
    pub(super) kind: CredentialKind,
    pub(super) config: BTreeMap<String, String>,
    pub(super) allowed_hosts: Vec<String>,
    /// Nothing where it was disconnected.
    pub(super) row: Option<SealedRow>,
}

/// A credential to be.
pub(crate) struct NewRow<'a> {
    pub(crate) id: CredentialId,
    pub(crate) name: &'a str,
    pub(crate) kind: CredentialKind,
    pub(crate) config: &'a BTreeMap<String, String>,
    pub(crate) last4: Option<String>,
    pub(crate) sealed: &'a Sealed,
    pub(crate) allowed_hosts: &'a [String],
    pub(crate) created_by: Option<UserId>,
}

/// A sealed value, and the version of the key that it is sealed with.
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) key_version: i32,
}

/// Until the transaction ends, nobody else seals anything of this organization or changes its keys.
pub(crate) async fn lock_keys(tx: &mut TenantTx) -> Result<()> {
    query!("select pg_advisory_xact_lock(hashtextextended('data_keys ' || $1::text, 0))", tx.org().uuid().to_string(),)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The organization's data keys, the newest first.
pub(super) async fn data_keys(tx: &mut TenantTx) -> Result<Vec<WrappedKey>> {
    Ok(sqlx::query_as!(
        WrappedKey,
        "select version, master_key_id, wrapped from data_keys where organization_id = $1 order by version desc",
        tx.org().uuid(),
    )
    .fetch_all(tx.conn())
    .await?)
}

pub(super) async fn insert_data_key(tx: &mut TenantTx, key: &WrappedKey) -> Result<()> {
    query!(
        "insert into data_keys (organization_id, version, master_key_id, wrapped) values ($1, $2, $3, $4)",
        tx.org().uuid(),
        key.version,
        key.master_key_id,
        key.wrapped,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn rewrap_data_key(tx: &mut TenantTx, key: &WrappedKey) -> Result<()> {
    query!(
        "update data_keys set master_key_id = $3, wrapped = $4 where organization_id = $1 and version = $2",
        tx.org().uuid(),
        key.version,
        key.master_key_id,
        key.wrapped,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Removes the keys before a version that nothing is sealed with any more.
pub(super) async fn remove_data_keys(tx: &mut TenantTx, before: i32) -> Result<()> {
    query!(
        "delete from data_keys k
         where k.organization_id = $1 and k.version < $2
           and not exists (
               select from credentials c where c.organization_id = k.organization_id and c.key_version = k.version
           )",
        tx.org().uuid(),
        before,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What is sealed with a key before this version, after a place in the order of ids.
pub(super) async fn sealed_before(tx: &mut TenantTx, version: i32, after: Uuid, most: i64) -> Result<Vec<SealedRow>> {
    let rows = query!(
        r#"select c.id as "id: CredentialId", c.sealed as "sealed!", k.version, k.master_key_id, k.wrapped
           from credentials c
           join data_keys k on k.organization_id = c.organization_id and k.version = c.key_version
           where c.organization_id = $1 and c.key_version < $2 and c.id > $3
           order by c.id
           limit $4
           for update of c"#,
        tx.org().uuid(),
        version,
        after,
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    let sealed = rows.into_iter().map(|row| SealedRow {
        id: row.id,
        sealed: row.sealed,
        key: WrappedKey { version: row.version, master_key_id: row.master_key_id, wrapped: row.wrapped },
    });
    Ok(sealed.collect())
}

/// The same value under another key.
pub(super) async fn reseal(tx: &mut TenantTx, id: CredentialId, sealed: &Sealed) -> Result<()> {
    query!(
        "update credentials set sealed = $3, key_version = $4 where organization_id = $1 and id = $2",
        tx.org().uuid(),
        id.uuid(),
        sealed.bytes,
        sealed.key_version,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The organizations that have data keys. Of the keeper's role.
pub(super) async fn organizations(keeper: &PgPool) -> Result<Vec<OrgId>> {
    Ok(query_scalar!(r#"select distinct organization_id as "id: OrgId" from data_keys order by 1"#)
        .fetch_all(keeper)
        .await?)
}

/// The master keys that data keys are wrapped under. Of the keeper's role.
pub(super) async fn master_keys(keeper: &PgPool) -> Result<Vec<String>> {
    Ok(query_scalar!("select distinct master_key_id from data_keys order by 1").fetch_all(keeper).await?)
}

/// A credential to be opened, if there is one.
pub(super) async fn to_open(tx: &mut TenantTx, id: CredentialId) -> Result<Option<ToOpen>> {
    let row = query!(
        r#"select c.kind, c.config as "config: Json<BTreeMap<String, String>>", c.allowed_hosts, c.sealed,
                  k.version as "version?", k.master_key_id as "master_key_id?", k.wrapped as "wrapped?"
           from credentials c
           left join data_keys k on k.organization_id = c.organization_id and k.version = c.key_version
           where c.organization_id = $1 and c.id = $2"#,
        tx.org().uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let key = match (row.version, row.master_key_id, row.wrapped) {
        (Some(version), Some(master_key_id), Some(wrapped)) => Some(WrappedKey { version, master_key_id, wrapped }),
        _ => None,
    };
    let sealed = row.sealed.zip(key).map(|(sealed, key)| SealedRow { id, sealed, key });
    Ok(Some(ToOpen { kind: kind(&row.kind)?, config: row.config.0, allowed_hosts: row.allowed_hosts, row: sealed }))
}

/// The credential of a name and a kind, with the first host that it may be sent to.
pub(super) async fn named(
    tx: &mut TenantTx,
    name: &str,
    kind: CredentialKind,
) -> Result<Option<(CredentialId, String)>> {
    let row = query!(
        r#"select id as "id: CredentialId", allowed_hosts from credentials
           where organization_id = $1 and lower(name) = lower($2) and kind = $3"#,
        tx.org().uuid(),
        name,
        kind.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (row.id, row.allowed_hosts.into_iter().next().unwrap_or_default())))
}

/// A use to be noted.
pub(crate) struct UseRow<'a> {
    pub(crate) credential: CredentialId,
    pub(crate) host: &'a str,
    pub(crate) purpose: &'a str,
    /// The call that needs it.
    pub(crate) scope: Option<&'a CallScope>,
    /// Whether it is a model's key: then once for each run.
    pub(crate) of_model: bool,
}

/// Notes a use, and when it was.
pub(crate) async fn note_use(tx: &mut TenantTx, noted: &UseRow<'_>) -> Result<()> {
    query!(
        "insert into credential_uses (organization_id, credential_id, run_id, step_id, host, purpose, of_model)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict do nothing",
        tx.org().uuid(),
        noted.credential.uuid(),
        noted.scope.map(|scope| scope.run.uuid()),
        noted.scope.map(|scope| scope.step.as_str()),
        noted.host,
        noted.purpose,
        noted.of_model,
    )
    .execute(tx.conn())
    .await?;
    query!(
        "update credentials set last_used_at = now()
         where organization_id = $1 and id = $2
           and coalesce(last_used_at < now() - interval '1 minute', true)",
        tx.org().uuid(),
        noted.credential.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that a credential cannot be opened.
pub(super) async fn mark_unusable(tx: &mut TenantTx, id: CredentialId, why: &str) -> Result<()> {
    query!(
        "update credentials set status = 'error', error = $3
         where organization_id = $1 and id = $2 and status = 'connected'",
        tx.org().uuid(),
        id.uuid(),
        why,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The credentials of tools, by name.
pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<Credential>> {
    let rows = query!(
        r#"select id as "id: CredentialId", name, kind, config as "config: Json<BTreeMap<String, String>>", last4,
                  allowed_hosts, status, error, rotated_at, last_used_at
           from credentials
           where organization_id = $1 and kind <> 'model'
           order by lower(name), id"#,
        tx.org().uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut users: BTreeMap<CredentialId, Vec<String>> = BTreeMap::new();
    for (credential, user) in users_of(tx).await? {
        users.entry(credential).or_default().push(user);
    }
    rows.into_iter()
        .map(|row| {
            let kind = kind(&row.kind)?;
            Ok(Credential {
                id: row.id,
                name: row.name,
                kind,
                detail: kind.detail().and_then(|name| row.config.0.get(name).cloned()),
                last4: row.last4,
                allowed_hosts: row.allowed_hosts,
                status: CredentialStatus::parse(&row.status).ok_or_else(|| Error::internal("an unknown status"))?,
                error: row.error,
                rotated_at: row.rotated_at,
                last_used_at: row.last_used_at,
                used_by: users.remove(&row.id).unwrap_or_default(),
            })
        })
        .collect()
}

/// Who uses which credential, in words.
pub(super) async fn users_of(tx: &mut TenantTx) -> Result<Vec<(CredentialId, String)>> {
    let mut found = Vec::new();
    for (what, statement) in USERS {
        let users: Vec<(CredentialId, String)> =
            sqlx::query_as(statement).bind(tx.org().uuid()).fetch_all(tx.conn()).await?;
        found.extend(users.into_iter().map(|(credential, name)| (credential, format!("{what} “{name}”"))));
    }
    for (what, statement) in USERS_BY_TEXT {
        let users: Vec<(String, String)> = sqlx::query_as(statement).bind(tx.org().uuid()).fetch_all(tx.conn()).await?;
        let named = |(credential, name): (String, String)| Some((credential.parse().ok()?, format!("{what} “{name}”")));
        found.extend(users.into_iter().filter_map(named));
    }
    Ok(found)
}

/// How many credentials the organization has.
pub(crate) async fn count(tx: &mut TenantTx) -> Result<i64> {
    let count =
        query_scalar!(r#"select count(*) as "count!" from credentials where organization_id = $1"#, tx.org().uuid(),);
    Ok(count.fetch_one(tx.conn()).await?)
}

/// Whether the name was free, and the credential is made.
pub(crate) async fn insert(tx: &mut TenantTx, row: &NewRow<'_>) -> Result<bool> {
    let made = query!(
        "insert into credentials (organization_id, id, name, kind, config, last4, sealed, key_version, allowed_hosts,
                                  created_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict do nothing",
        tx.org().uuid(),
        row.id.uuid(),
        row.name,
        row.kind.as_str(),
        Json(row.config) as _,
        row.last4,
        row.sealed.bytes,
        row.sealed.key_version,
        row.allowed_hosts,
        row.created_by.map(UserId::uuid),
    )
    .execute(tx.conn())
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Puts another value in the place of the one that there was.
pub(crate) async fn replace(tx: &mut TenantTx, id: CredentialId, sealed: &Sealed, last4: Option<&str>) -> Result<bool> {
    let done = query!(
        "update credentials
         set sealed = $3, key_version = $4, last4 = $5, status = 'connected', error = null, rotated_at = now()
         where organization_id = $1 and id = $2",
        tx.org().uuid(),
        id.uuid(),
        sealed.bytes,
        sealed.key_version,
        last4,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A credential of a tool that is to be changed: its kind and its hosts. Nobody else changes it meanwhile.
pub(super) async fn to_change(tx: &mut TenantTx, id: CredentialId) -> Result<Option<(CredentialKind, Vec<String>)>> {
    let row = query!(
        "select kind, allowed_hosts from credentials
         where organization_id = $1 and id = $2 and kind <> 'model'
         for update",
        tx.org().uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| Ok((kind(&row.kind)?, row.allowed_hosts))).transpose()
}

/// Whether another credential has this name.
pub(super) async fn is_taken(tx: &mut TenantTx, id: CredentialId, name: &str) -> Result<bool> {
    Ok(query_scalar!(
        r#"select exists (
               select from credentials
               where organization_id = $1 and id <> $2 and lower(name) = lower($3) and kind <> 'model'
           ) as "taken!""#,
        tx.org().uuid(),
        id.uuid(),
        name,
    )
    .fetch_one(tx.conn())
    .await?)
}

pub(super) async fn rename(tx: &mut TenantTx, id: CredentialId, name: &str, hosts: &[String]) -> Result<()> {
    query!(
        "update credentials set name = $3, allowed_hosts = $4 where organization_id = $1 and id = $2",
        tx.org().uuid(),
        id.uuid(),
        name,
        hosts,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Throws the value away.
pub(super) async fn disconnect(tx: &mut TenantTx, id: CredentialId) -> Result<bool> {
    let done = query!(
        "update credentials
         set sealed = null, key_version = null, last4 = null, status = 'disconnected', error = null
         where organization_id = $1 and id = $2 and kind <> 'model'",
        tx.org().uuid(),
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn remove(tx: &mut TenantTx, id: CredentialId) -> Result<bool> {
    let done = query!("delete from credentials where organization_id = $1 and id = $2", tx.org().uuid(), id.uuid());
    Ok(done.execute(tx.conn()).await?.rows_affected() == 1)
}

/// A credential that a model's connection names, with what the connection shows of it.
pub(crate) struct OfModel {
    pub(crate) row: SealedRow,
    pub(crate) last4: Option<String>,
    pub(crate) last_used_at: Option<Timestamp>,
}

/// The keys of the organization's connections to models.
pub(crate) async fn of_models(tx: &mut TenantTx) -> Result<BTreeMap<CredentialId, OfModel>> {
    let rows = query!(
        r#"select c.id as "id: CredentialId", c.sealed as "sealed!", c.last4, c.last_used_at, k.version,
                  k.master_key_id, k.wrapped
           from credentials c
           join data_keys k on k.organization_id = c.organization_id and k.version = c.key_version
           where c.organization_id = $1 and c.kind = 'model'"#,
        tx.org().uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let keys = rows.into_iter().map(|row| {
        let key = WrappedKey { version: row.version, master_key_id: row.master_key_id, wrapped: row.wrapped };
        let sealed = SealedRow { id: row.id, sealed: row.sealed, key };
        (row.id, OfModel { row: sealed, last4: row.last4, last_used_at: row.last_used_at })
    });
    Ok(keys.collect())
}

fn kind(word: &str) -> Result<CredentialKind> {
    CredentialKind::parse(word).ok_or_else(|| Error::internal("a kind of credential that does not exist is stored"))
}
