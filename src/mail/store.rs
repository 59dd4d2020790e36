//! Statements on `emails`.

use super::{Letter, OutboxEntry};
use crate::{
    db::TenantTx,
    kernel::{EmailId, Result},
};

/// A message as it stands under its idempotency key.
pub(super) struct Kept {
    pub id: EmailId,
    pub state: String,
}

/// Writes a message under its key, unless one is there. Whether it is this one.
pub(super) async fn insert(
    tx: &mut TenantTx,
    id: EmailId,
    idempotency_key: &str,
    letter: &Letter,
    state: &str,
) -> Result<bool> {
    let org = tx.org().uuid();
    let done = sqlx::query!(
        "insert into emails (organization_id, id, idempotency_key, recipients, subject, body, state)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (organization_id, idempotency_key) do nothing",
        org,
        id.uuid(),
        idempotency_key,
        &letter.to,
        letter.subject,
        letter.body,
        state,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn find(tx: &mut TenantTx, idempotency_key: &str) -> Result<Option<Kept>> {
    let org = tx.org().uuid();
    let row = sqlx::query!(
        "select id, state from emails where organization_id = $1 and idempotency_key = $2",
        org,
        idempotency_key,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Kept { id: EmailId::from_uuid(row.id), state: row.state }))
}

/// Moves a message from one state to another. Whether it was in the first.
pub(super) async fn advance(tx: &mut TenantTx, id: EmailId, from: &str, to: &str) -> Result<bool> {
    let org = tx.org().uuid();
    let done = sqlx::query!(
        "update emails set state = $4, sent_at = case when $4 = 'sent' then now() end
         where organization_id = $1 and id = $2 and state = $3",
        org,
        id.uuid(),
        from,
        to,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes the links that are one person's own out of a notice that is not sent any more: whoever reads the table later gets
/// none that still leads somewhere.
pub(super) async fn forget_links(tx: &mut TenantTx, id: EmailId) -> Result<()> {
    let org = tx.org().uuid();
    sqlx::query!(
        "update emails
         set body = regexp_replace(
                 body, '[^[:space:]]+/approve/[A-Za-z0-9_-]{43}', '[link removed after sending]', 'g')
         where organization_id = $1 and id = $2 and idempotency_key like 'notice/%'",
        org,
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes a message that waits for being sent, or that was refused before. `None` when there is nothing to be sent.
pub(super) async fn take(tx: &mut TenantTx, id: EmailId) -> Result<Option<Letter>> {
    let org = tx.org().uuid();
    let letter = sqlx::query_as!(
        Letter,
        r#"update emails set state = 'sending'
           where organization_id = $1 and id = $2 and state in ('queued', 'failed')
           returning recipients as "to", subject, body"#,
        org,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(letter)
}

/// The newest messages that were not sent for lack of a mail server.
pub(super) async fn outbox(tx: &mut TenantTx, most: i64) -> Result<Vec<OutboxEntry>> {
    let org = tx.org().uuid();
    let rows = sqlx::query!(
        "select id, recipients, subject, body, created_at from emails
         where organization_id = $1 and state = 'outbox'
         order by created_at desc, id desc
         limit $2",
        org,
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    let entries = rows.into_iter().map(|row| OutboxEntry {
        id: EmailId::from_uuid(row.id),
        to: row.recipients,
        subject: row.subject,
        body: row.body,
        created_at: row.created_at,
    });
    Ok(entries.collect())
}
