//! Statements about links in messages: who got one, and whose one is.

use crate::{
    access::Role,
    db::{IdentityTx, TenantTx},
    kernel::{ApprovalId, Error, OrgId, Result, UserId},
};

/// Whose a link is, and what it leads to.
pub struct Found {
    /// The organization.
    pub org: OrgId,
    /// Its name.
    pub org_name: String,
    /// Its part of the address.
    pub slug: String,
    /// What is to be decided.
    pub approval: ApprovalId,
    /// The person.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// Their role, as it is now.
    pub role: Role,
    /// Whether its time is over.
    pub expired: bool,
    /// Whether the person has decided by it.
    pub used: bool,
}

/// Keeps a link: for a week, and never past the deadline.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut TenantTx, digest: &[u8; 32], approval: ApprovalId, user: UserId, days: i32) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        r#"
        insert into approval_links (token_sha256, organization_id, approval_id, user_id, expires_at)
        select $2, a.organization_id, a.id, $4, least(now() + make_interval(days => $5), a.expires_at)
        from approvals a
        where a.organization_id = $1
          and a.id = $3
        "#,
        org.uuid(),
        digest.as_slice(),
        approval.uuid(),
        user.uuid(),
        days,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whose link hashes to this. Nothing for whoever is no member any more.
///
/// # Errors
/// When the database does not answer.
pub async fn find(tx: &mut IdentityTx, digest: &[u8; 32]) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"
        select l.organization_id as "org: OrgId", o.name as org_name, o.slug, l.approval_id as "approval: ApprovalId",
               l.user_id as "user: UserId", u.name, m.role, l.expires_at <= clock_timestamp() as "expired!",
               l.used_at is not null as "used!"
        from approval_links l
        join organizations o on o.id = l.organization_id
        join memberships m on m.organization_id = l.organization_id and m.user_id = l.user_id
        join users u on u.id = l.user_id
        where l.token_sha256 = $1
        "#,
        digest.as_slice(),
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Found {
        org: row.org,
        org_name: row.org_name,
        slug: row.slug,
        approval: row.approval,
        user: row.user,
        name: row.name,
        role: Role::parse(&row.role).ok_or_else(|| Error::internal("memberships.role holds no role"))?,
        expired: row.expired,
        used: row.used,
    }))
}

/// Notes that the person has decided by it.
///
/// # Errors
/// When the database does not answer.
pub async fn set_used(tx: &mut TenantTx, digest: &[u8; 32]) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "update approval_links set used_at = now() where organization_id = $1 and token_sha256 = $2 and used_at is null",
        org.uuid(),
        digest.as_slice(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
