//! Making, listing, revoking and checking API keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{ApiKey, NewApiKey, store};
use crate::{
    access::{Actor, Ctx, FreshGrant, Grant, Role, right},
    accounts::parse_name,
    db::TenantTx,
    deps::Deps,
    kernel::{ApiKeyId, Checks, Error, Result, UserId},
};

/// What every secret begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "agentflow_";
/// How much of a secret a list shows.
const SHOWN: usize = PREFIX.len() + 6;
/// A year, the longest that a key lives.
const LONGEST_DAYS: i32 = 365;

/// What a new key is asked to be.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What it is for.
    pub name: String,
    /// `admin`, `member` or `viewer`.
    pub role: String,
    /// How many days it lives, 1 to 365.
    pub days: i32,
}

/// Makes a key, never with more rights than its maker has.
///
/// # Errors
/// `invalid`, at the fields; `forbidden`, when the role is above one's own.
pub async fn create(grant: &FreshGrant<right::ManageKeys>, wish: &Wish) -> Result<NewApiKey> {
    let (name, role) = checked(wish)?;
    if role > grant.role() {
        return Err(Error::forbidden(format!(
            "A key has no more rights than you. Choose {} at most.",
            grant.role().as_str()
        )));
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let key = insert(&mut tx, &name, role, wish.days, grant.actor().user()).await?;
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), key = %key.id, by = grant.actor().reference(), "API key made");
    Ok(key)
}

/// Makes a key for the operator on the command line.
///
/// # Errors
/// `invalid`, at the fields; `not_found`, when no organization has the address.
pub async fn create_as_operator(deps: &Deps, org: crate::kernel::OrgId, wish: &Wish) -> Result<NewApiKey> {
    let (name, role) = checked(wish)?;
    let mut tx = deps.db.tenant(org).await?;
    let key = insert(&mut tx, &name, role, wish.days, None).await?;
    tx.commit().await?;
    Ok(key)
}

/// The organization's keys, the newest first, those that have ended included.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn list(grant: &Grant<right::ManageKeys>) -> Result<Vec<ApiKey>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx).await
}

/// Takes a key back, at once. Doing it twice is as doing it once.
///
/// # Errors
/// `not_found`; `forbidden`, when the key's role is above one's own.
pub async fn revoke(grant: &Grant<right::ManageKeys>, key: ApiKeyId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::revoke(&mut tx, key).await? {
        return Err(Error::not_found("API key"));
    }
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), key = %key, by = grant.actor().reference(), "API key revoked");
    Ok(())
}

/// The context of the program that holds this secret, in the one organization that the key belongs to.
///
/// # Errors
/// `unauthenticated`: no such key, or it has ended, or its maker may not make it any more.
pub async fn authenticate(deps: &Deps, secret: &str, request_id: String) -> Result<Ctx> {
    let refused = || {
        let mut error = Error::unauthenticated();
        error.message = "This API key is not valid. Send a valid one as `Authorization: Bearer agentflow_…`.".into();
        error
    };
    // Nothing that long is a key; don't hash what a stranger sends without end.
    if !secret.starts_with(PREFIX) || secret.len() > 128 {
        return Err(refused());
    }
    let mut tx = deps.db.identity().await?;
    let found = store::find_by_secret(&mut tx, &digest(secret)).await?.ok_or_else(refused)?;
    if found.last_use_is_old {
        store::touch(&mut tx, found.org.id, found.id).await?;
        tx.commit().await?;
    }
    let role = found.role.min(found.maker_role.unwrap_or(found.role));
    Ok(Ctx::new(deps.clone(), Actor::Key { id: found.id, name: found.name }, found.org, role, request_id))
}

fn checked(wish: &Wish) -> Result<(String, Role)> {
    let mut checks = Checks::default();
    let name = checks.take(parse_name("name", &wish.name));
    let role = Role::parse(&wish.role).filter(|role| *role < Role::Owner);
    checks.take(role.map(drop).ok_or_else(|| Error::invalid("role", "Choose admin, member or viewer.")));
    if !(1..=LONGEST_DAYS).contains(&wish.days) {
        checks.take::<()>(Err(Error::invalid("days", "Choose 1 to 365 days.")));
    }
    checks.done()?;
    Ok((name, role.unwrap_or(Role::Viewer)))
}

async fn insert(tx: &mut TenantTx, name: &str, role: Role, days: i32, by: Option<UserId>) -> Result<NewApiKey> {
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let id = ApiKeyId::new();
    let row =
        store::NewRow { id, name, prefix: &secret[..SHOWN], secret_hash: digest(&secret), role, created_by: by, days };
    store::insert(tx, &row).await?;
    Ok(NewApiKey { id, name: name.to_owned(), secret })
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
