//! Statements on organizations and memberships, most of them before an organization is known.

use sqlx::{query, query_as};

use super::{Membership, OrgSettings};
use crate::{
    access::{OrgRef, Role},
    db::{IdentityTx, TenantTx},
    kernel::{Error, OrgId, Result, UserId},
};

/// The membership of a person in the organization with this slug, and the person's name.
pub(super) async fn membership(tx: &mut IdentityTx, user: UserId, slug: &str) -> Result<Option<(Membership, String)>> {
    let row = query!(
        r#"select o.id as "id: OrgId", o.name, o.slug, m.role, u.name as user_name
           from memberships m
           join organizations o on o.id = m.organization_id
           join users u on u.id = m.user_id
           where m.user_id = $1 and o.slug = $2"#,
        user.uuid(),
        slug,
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let org = OrgRef { id: row.id, name: row.name, slug: row.slug };
    Ok(Some((Membership { org, role: role(&row.role)? }, row.user_name)))
}

pub(super) async fn memberships(tx: &mut IdentityTx, user: UserId) -> Result<Vec<Membership>> {
    query!(
        r#"select o.id as "id: OrgId", o.name, o.slug, m.role
           from memberships m
           join organizations o on o.id = m.organization_id
           where m.user_id = $1
           order by m.created_at, o.id"#,
        user.uuid(),
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .map(|row| {
        let org = OrgRef { id: row.id, name: row.name, slug: row.slug };
        Ok(Membership { org, role: role(&row.role)? })
    })
    .collect()
}

/// Whether the slug was free, and the organization is made.
pub(super) async fn insert_organization(tx: &mut IdentityTx, id: OrgId, name: &str, slug: &str) -> Result<bool> {
    let made = query!(
        "insert into organizations (id, name, slug) values ($1, $2, $3) on conflict (slug) do nothing",
        id.uuid(),
        name,
        slug,
    )
    .execute(tx.conn())
    .await?;
    Ok(made.rows_affected() == 1)
}

pub(super) async fn insert_membership(tx: &mut IdentityTx, org: OrgId, user: UserId, role: Role) -> Result<()> {
    query!(
        "insert into memberships (organization_id, user_id, role) values ($1, $2, $3)",
        org.uuid(),
        user.uuid(),
        role.as_str(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn organization(tx: &mut IdentityTx, slug: &str) -> Result<Option<OrgRef>> {
    let found = query_as!(OrgRef, r#"select id as "id: OrgId", name, slug from organizations where slug = $1"#, slug)
        .fetch_optional(tx.conn())
        .await?;
    Ok(found)
}

pub(super) async fn settings(tx: &mut TenantTx) -> Result<OrgSettings> {
    let org = tx.org();
    Ok(query_as!(
        OrgSettings,
        "select typed_amount_micros, max_running, retention_days, allowed_domains from organizations where id = $1",
        org.uuid()
    )
    .fetch_one(tx.conn())
    .await?)
}

pub(super) async fn set_max_running(tx: &mut TenantTx, most: Option<i32>) -> Result<()> {
    let org = tx.org();
    query!("update organizations set max_running = $2 where id = $1", org.uuid(), most).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_typed_amount(tx: &mut TenantTx, limit_micros: i64) -> Result<()> {
    let org = tx.org();
    query!("update organizations set typed_amount_micros = $2 where id = $1", org.uuid(), limit_micros)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn set_retention(tx: &mut TenantTx, days: Option<i32>) -> Result<()> {
    let org = tx.org();
    query!("update organizations set retention_days = $2 where id = $1", org.uuid(), days).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_allowed_domains(tx: &mut TenantTx, domains: &[String]) -> Result<()> {
    let org = tx.org();
    query!("update organizations set allowed_domains = $2 where id = $1", org.uuid(), domains)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn role(word: &str) -> Result<Role> {
    Role::parse(word).ok_or_else(|| Error::internal("memberships.role holds no role"))
}
