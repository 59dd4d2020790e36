//! Statements on API keys.

use sqlx::{query, query_as};

use super::{ApiKey, KeyState};
use crate::{
    access::{OrgRef, Role},
    db::{IdentityTx, TenantTx},
    kernel::{ApiKeyId, Error, OrgId, Result, Timestamp, UserId},
};

/// A row to be.
pub(super) struct NewRow<'a> {
    pub(super) id: ApiKeyId,
    pub(super) name: &'a str,
    pub(super) prefix: &'a str,
    pub(super) secret_hash: [u8; 32],
    pub(super) role: Role,
    pub(super) created_by: Option<UserId>,
    pub(super) days: i32,
}

/// A key that opens something.
pub(super) struct Found {
    pub(super) id: ApiKeyId,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) org: OrgRef,
    /// What its maker may do now; nothing where the operator made it.
    pub(super) maker_role: Option<Role>,
    /// The last use was noted a minute ago or earlier.
    pub(super) last_use_is_old: bool,
}

struct Row {
    id: ApiKeyId,
    name: String,
    prefix: String,
    role: String,
    created_by: Option<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    revoked: bool,
    expired: bool,
}

pub(super) async fn insert(tx: &mut TenantTx, row: &NewRow<'_>) -> Result<()> {
    query!(
        "insert into api_keys (organization_id, id, name, prefix, secret_hash, role, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(days => $8))",
        tx.org().uuid(),
        row.id.uuid(),
        row.name,
        row.prefix,
        row.secret_hash.as_slice(),
        row.role.as_str(),
        row.created_by.map(UserId::uuid),
        row.days,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<ApiKey>> {
    query_as!(
        Row,
        r#"select k.id as "id: ApiKeyId", k.name, k.prefix, k.role, u.name as "created_by?", k.created_at,
                  k.expires_at, k.last_used_at,
                  k.revoked_at is not null as "revoked!",
                  coalesce(k.expires_at <= now(), false) as "expired!"
           from api_keys k
           left join users u on u.id = k.created_by
           where k.organization_id = $1
           order by k.created_at desc, k.id desc"#,
        tx.org().uuid(),
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .map(|row| {
        Ok(ApiKey {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            role: role(&row.role)?,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            state: match (row.revoked, row.expired) {
                (true, _) => KeyState::Revoked,
                (false, true) => KeyState::Expired,
                (false, false) => KeyState::Active,
            },
        })
    })
    .collect()
}

/// Whether there is such a key; from then on it opens nothing.
pub(super) async fn revoke(tx: &mut TenantTx, key: ApiKeyId) -> Result<bool> {
    let done = query!(
        "update api_keys set revoked_at = coalesce(revoked_at, now()) where organization_id = $1 and id = $2",
        tx.org().uuid(),
        key.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The key with this secret, if it opens anything. A key made by a person ends with that person's membership.
pub(super) async fn find_by_secret(tx: &mut IdentityTx, secret_hash: &[u8; 32]) -> Result<Option<Found>> {
    let row = query!(
        r#"select k.id as "id: ApiKeyId", k.name, k.role, o.id as "org: OrgId", o.name as org_name, o.slug,
                  m.role as "maker_role?",
                  coalesce(k.last_used_at < now() - interval '1 minute', true) as "last_use_is_old!"
           from api_keys k
           join organizations o on o.id = k.organization_id
           left join memberships m on m.organization_id = k.organization_id and m.user_id = k.created_by
           where k.secret_hash = $1
             and k.revoked_at is null
             and (k.expires_at is null or k.expires_at > now())
             and (k.created_by is null or m.role is not null)"#,
        secret_hash.as_slice(),
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Found {
        id: row.id,
        name: row.name,
        role: role(&row.role)?,
        org: OrgRef { id: row.org, name: row.org_name, slug: row.slug },
        maker_role: row.maker_role.as_deref().map(role).transpose()?,
        last_use_is_old: row.last_use_is_old,
    }))
}

pub(super) async fn touch(tx: &mut IdentityTx, org: OrgId, key: ApiKeyId) -> Result<()> {
    query!("update api_keys set last_used_at = now() where organization_id = $1 and id = $2", org.uuid(), key.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn role(word: &str) -> Result<Role> {
    Role::parse(word).ok_or_else(|| Error::internal("a role that does not exist is stored"))
}
