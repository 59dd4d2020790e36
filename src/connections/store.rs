//! Statements on connections to providers of models.

use sqlx::query;

use super::{ModelConnection, rules};
use crate::{
    credentials::store as credentials,
    db::TenantTx,
    kernel::{ConnectionId, CredentialId, Result, Timestamp, UserId},
};

/// A connection as it is kept.
pub(super) struct Row {
    pub(super) id: ConnectionId,
    pub(super) credential: Option<CredentialId>,
    pub(super) provider: String,
    pub(super) label: String,
    pub(super) base_url: Option<String>,
    pub(super) models: Vec<String>,
    pub(super) rank: i16,
    pub(super) enabled: bool,
    pub(super) checked_at: Option<Timestamp>,
    pub(super) error: Option<String>,
}

/// What a test has found.
pub(super) type Tested<'a> = Result<(), &'a str>;

/// All connections, in the order of asking.
pub(super) async fn rows(tx: &mut TenantTx) -> Result<Vec<Row>> {
    Ok(sqlx::query_as!(
        Row,
        r#"select id as "id: ConnectionId", credential_id as "credential: CredentialId", provider, label, base_url,
                  models, rank, enabled, checked_at, error
           from model_connections
           where organization_id = $1
           order by rank, lower(label), id"#,
        tx.org().uuid(),
    )
    .fetch_all(tx.conn())
    .await?)
}

/// One connection. Nobody else changes it meanwhile.
pub(super) async fn find(tx: &mut TenantTx, id: ConnectionId) -> Result<Option<Row>> {
    Ok(sqlx::query_as!(
        Row,
        r#"select id as "id: ConnectionId", credential_id as "credential: CredentialId", provider, label, base_url,
                  models, rank, enabled, checked_at, error
           from model_connections
           where organization_id = $1 and id = $2
           for update"#,
        tx.org().uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// What a use of a connection says of it.
pub(super) struct Used {
    pub credential: CredentialId,
    pub provider: String,
    pub base_url: Option<String>,
}

/// A connection whose key is used, where it has one.
pub(super) async fn used(tx: &mut TenantTx, id: ConnectionId) -> Result<Option<Used>> {
    let found = sqlx::query_as!(
        Used,
        r#"select credential_id as "credential!: CredentialId", provider, base_url from model_connections
           where organization_id = $1 and id = $2 and credential_id is not null"#,
        tx.org().uuid(),
        id.uuid(),
    );
    Ok(found.fetch_optional(tx.conn()).await?)
}

/// All connections as the page shows them.
pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<ModelConnection>> {
    let rows = rows(tx).await?;
    let mut keys = credentials::of_models(tx).await?;
    let shown = rows.into_iter().map(|row| {
        let key = row.credential.and_then(|id| keys.remove(&id));
        ModelConnection {
            id: row.id,
            provider_label: rules::provider_label(&row.provider),
            provider: row.provider,
            label: row.label,
            base_url: row.base_url,
            models: row.models,
            rank: row.rank,
            enabled: row.enabled,
            has_key: key.is_some(),
            last_used_at: key.as_ref().and_then(|key| key.last_used_at),
            last4: key.and_then(|key| key.last4),
            checked_at: row.checked_at,
            error: row.error,
        }
    });
    Ok(shown.collect())
}

/// Whether the label was free, and the connection is made.
pub(super) async fn insert(
    tx: &mut TenantTx,
    row: &Row,
    tested: Tested<'_>,
    created_by: Option<UserId>,
) -> Result<bool> {
    let made = query!(
        "insert into model_connections (organization_id, id, credential_id, provider, label, base_url, models, rank,
                                        enabled, created_by, checked_at, error)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now(), $11)
         on conflict do nothing",
        tx.org().uuid(),
        row.id.uuid(),
        row.credential.map(CredentialId::uuid),
        row.provider,
        row.label,
        row.base_url,
        &row.models,
        row.rank,
        row.enabled,
        created_by.map(UserId::uuid),
        tested.err(),
    )
    .execute(tx.conn())
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Whether another connection has this label.
pub(super) async fn is_taken(tx: &mut TenantTx, id: ConnectionId, label: &str) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from model_connections where organization_id = $1 and id <> $2 and lower(label) = lower($3)
           ) as "taken!""#,
        tx.org().uuid(),
        id.uuid(),
        label,
    )
    .fetch_one(tx.conn())
    .await?)
}

pub(super) async fn update(
    tx: &mut TenantTx,
    id: ConnectionId,
    label: &str,
    models: &[String],
    rank: i16,
    enabled: bool,
) -> Result<()> {
    query!(
        "update model_connections set label = $3, models = $4, rank = $5, enabled = $6
         where organization_id = $1 and id = $2",
        tx.org().uuid(),
        id.uuid(),
        label,
        models,
        rank,
        enabled,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The connection has this key from now on.
pub(super) async fn set_credential(tx: &mut TenantTx, id: ConnectionId, credential: CredentialId) -> Result<()> {
    query!(
        "update model_connections set credential_id = $3 where organization_id = $1 and id = $2",
        tx.org().uuid(),
        id.uuid(),
        credential.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes what a test has found.
pub(super) async fn note_test(tx: &mut TenantTx, id: ConnectionId, tested: Tested<'_>) -> Result<()> {
    query!(
        "update model_connections set checked_at = now(), error = $3 where organization_id = $1 and id = $2",
        tx.org().uuid(),
        id.uuid(),
        tested.err(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn remove(tx: &mut TenantTx, id: ConnectionId) -> Result<()> {
    query!("delete from model_connections where organization_id = $1 and id = $2", tx.org().uuid(), id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}
