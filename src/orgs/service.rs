//! Entering an organization, founding one, and listing one's own.

use std::collections::BTreeSet;

use super::{Membership, OrgSettings, store};
use crate::{
    access::{Actor, Ctx, Grant, OrgRef, Role, right},
    accounts::service::SignedIn,
    db::IdentityTx,
    deps::Deps,
    kernel::{Error, OrgId, Result, UserId, money::typed_micros, text},
};

/// The longest that ended runs are kept, unless it is for ever: ten years.
const MAX_RETENTION_DAYS: i32 = 3_650;
/// The most hosts that an organization lists.
const MAX_DOMAINS: usize = 100;

/// The context of a person in one of their organizations. The membership is read here, on every call, so a removal or
/// another role counts from the next call on.
///
/// # Errors
/// `not_found`: the organization does not exist, or the person is no member.
pub async fn enter(person: &SignedIn, slug: &str) -> Result<Ctx> {
    if !is_slug(slug) {
        return Err(Error::not_found("organization"));
    }
    let mut tx = person.deps().db.identity().await?;
    let found = store::membership(&mut tx, person.user(), slug).await?;
    let (membership, name) = found.ok_or_else(|| Error::not_found("organization"))?;
    let actor = Actor::User { id: person.user(), name };
    let request_id = person.request_id().to_owned();
    let cx = Ctx::new(person.deps().clone(), actor, membership.org, membership.role, request_id);
    Ok(cx.with_sign_in(person.is_fresh()))
}

/// The organizations of a person, the one joined first at the top.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn list(person: &SignedIn) -> Result<Vec<Membership>> {
    let mut tx = person.deps().db.identity().await?;
    store::memberships(&mut tx, person.user()).await
}

/// Where a person begins: the dashboard of their first organization, or `/` as long as they have none.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn home(person: &SignedIn) -> Result<String> {
    let first = list(person).await?.into_iter().next();
    Ok(first.map_or_else(|| "/".to_owned(), |membership| format!("/o/{}/", membership.org.slug)))
}

/// Founds an organization with its owner, inside the transaction that makes the account.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn found(tx: &mut IdentityTx, name: &str, owner: UserId) -> Result<OrgRef> {
    let wish = match text::slug(name, 40) {
        slug if slug.is_empty() => "team".to_owned(),
        slug => slug,
    };
    let id = OrgId::new();
    // The name's own slug if it is free; else with the end of the id behind it, which is.
    let mut slug = wish.clone();
    if !store::insert_organization(tx, id, name, &slug).await? {
        slug = format!("{wish}-{}", &id.to_string()[26..]);
        if !store::insert_organization(tx, id, name, &slug).await? {
            return Err(Error::internal("no free slug for an organization"));
        }
    }
    store::insert_membership(tx, id, owner, Role::Owner).await?;
    Ok(OrgRef { id, name: name.to_owned(), slug })
}

/// The organization with this address, for the operator on the command line.
///
/// # Errors
/// `not_found`.
pub async fn by_slug(deps: &Deps, slug: &str) -> Result<OrgRef> {
    if !is_slug(slug) {
        return Err(Error::not_found("organization"));
    }
    let mut tx = deps.db.identity().await?;
    store::organization(&mut tx, slug).await?.ok_or_else(|| Error::not_found("organization"))
}

/// What the organization has settled for itself.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn settings(grant: &Grant<right::View>) -> Result<OrgSettings> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::settings(&mut tx).await
}

/// Settles it anew. The amount is as it was typed.
///
/// # Errors
/// `invalid`, when it is no amount.
pub async fn update_settings(grant: &Grant<right::Deploy>, typed_amount: &str) -> Result<()> {
    let typed_amount_micros = typed_micros(typed_amount)
        .ok_or_else(|| Error::invalid("typed_amount", "Enter an amount from 0 on, such as 1000 or 1,000.50."))?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::set_typed_amount(&mut tx, typed_amount_micros).await?;
    tx.commit().await
}

/// Says how many of its runs may be at work at once, as it was typed; nothing means the operator's default.
///
/// # Errors
/// `invalid`, when it is no such number.
pub async fn update_max_running(grant: &Grant<right::Deploy>, most: &str) -> Result<()> {
    let most = match most.trim() {
        "" => None,
        text => Some(
            text.parse()
                .ok()
                .filter(|most| (1..=100_000).contains(most))
                .ok_or_else(|| Error::invalid("max_running", "Enter a number from 1 to 100000, or leave it empty."))?,
        ),
    };
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::set_max_running(&mut tx, most).await?;
    tx.commit().await
}

/// Settles how many days ended runs are kept, as it was typed: nothing for the server's setting, 0 for ever.
///
/// # Errors
/// `invalid`, when it is no number of days.
pub async fn update_retention(grant: &Grant<right::Deploy>, days: &str) -> Result<()> {
    let days = match days.trim() {
        "" => None,
        text => Some(
            text.parse()
                .ok()
                .filter(|days| (0..=MAX_RETENTION_DAYS).contains(days))
                .ok_or_else(|| Error::invalid("retention_days", "Enter days from 0 to 3650, or leave it empty."))?,
        ),
    };
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::set_retention(&mut tx, days).await?;
    tx.commit().await
}

/// Says which hosts alone tools may call, as it was typed: one on a line; none for all public ones. It counts from the next
/// call on.
///
/// # Errors
/// `invalid`, when one is no name of a host, or there are too many.
pub async fn update_allowed_domains(grant: &Grant<right::Deploy>, typed: &str) -> Result<()> {
    let apart = |letter: char| letter.is_whitespace() || ",;".contains(letter);
    let names: BTreeSet<String> = typed.split(apart).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let fault = |message: String| Error::invalid("allowed_domains", message);
    if let Some(name) = names.iter().find(|name| !text::is_host_name(name)) {
        return Err(fault(format!(
            "“{}” is not the name of a host. Write it without https:// and path, such as example.com.",
            text::shortened(name, 80),
        )));
    }
    if names.len() > MAX_DOMAINS {
        return Err(fault(format!("{MAX_DOMAINS} hosts are the most.")));
    }
    let names: Vec<_> = names.into_iter().collect();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::set_allowed_domains(&mut tx, &names).await?;
    tx.commit().await?;
    let by = grant.actor().reference();
    tracing::info!(organization = %grant.org_id(), by, hosts = names.len(), "hosts of tools changed");
    Ok(())
}

/// Whether an organization could have this address: the database is asked for no other text.
fn is_slug(text: &str) -> bool {
    text.len() <= 80 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
