//! Keeping credentials: list, create, change, disconnect, remove. Nothing here gives a value back.

use secrecy::SecretString;

use super::{
    Credential, CredentialKind, rules,
    store::{self, NewRow},
};
use crate::{
    access::{FreshGrant, Grant, right},
    accounts::parse_name,
    kernel::{Checks, CredentialId, Error, Result},
};

/// The most credentials of an organization.
pub(crate) const MOST: i64 = 500;

/// What a new credential is asked to be, as it was typed.
#[derive(Debug)]
pub struct NewCredential {
    /// What it is called.
    pub name: String,
    /// The word of its kind.
    pub kind: String,
    /// The user's name, the header's or the parameter's, by kind.
    pub detail: String,
    /// The hosts that it may be sent to, by commas or lines.
    pub hosts: String,
    /// The value.
    pub secret: SecretString,
}

/// What a credential is to become, as it was typed.
#[derive(Debug)]
pub struct Change {
    /// What it is called.
    pub name: String,
    /// The hosts that it may be sent to.
    pub hosts: String,
    /// Another value; nothing keeps the one that there is.
    pub secret: Option<SecretString>,
}

/// The credentials of tools, by name, without their values.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<Credential>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx).await
}

/// Keeps a credential, for somebody who signed in a short while ago.
///
/// # Errors
/// `invalid`, at the fields; `credentials.too_many`; `credentials.no_master_key`.
pub async fn create(grant: &FreshGrant<right::Deploy>, new: &NewCredential) -> Result<CredentialId> {
    let mut checks = Checks::default();
    let name = checks.take(parse_name("name", &new.name));
    let kind = CredentialKind::parse(&new.kind).filter(|kind| *kind != CredentialKind::Model);
    checks.take(kind.map(drop).ok_or_else(|| Error::invalid("kind", "Choose what kind of credential it is.")));
    let kind = kind.unwrap_or(CredentialKind::Bearer);
    let config = checks.take(rules::config(kind, &new.detail));
    let value = rules::value(kind, &new.secret);
    let hosts = match &value {
        // Of a database the hosts are in its value, whose fault is said once.
        Err(_) if kind == CredentialKind::Postgres => Vec::new(),
        value => checks.take(rules::hosts(kind, &new.hosts, value.as_ref().ok())),
    };
    let value = checks.take(value);
    checks.done()?;
    let (deps, id) = (grant.deps(), CredentialId::new());
    let mut tx = deps.db.tenant(grant.org_id()).await?;
    let sealed = deps.vault.seal(&mut tx, id, &value).await?;
    room(store::count(&mut tx).await?)?;
    let row = NewRow {
        id,
        name: &name,
        kind,
        config: &config,
        last4: rules::last4(kind, &value),
        sealed: &sealed,
        allowed_hosts: &hosts,
        created_by: grant.actor().user(),
    };
    if !store::insert(&mut tx, &row).await? {
        return Err(taken());
    }
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), credential = %id, by = grant.actor().reference(), "credential made");
    Ok(id)
}

/// Changes a credential's name, its hosts or its value. It is sent to another host only with a new value: whoever adds a
/// host could else read there what nobody can read here.
///
/// # Errors
/// `not_found`; `invalid`, at the fields; `credentials.no_master_key`.
pub async fn change(grant: &FreshGrant<right::Deploy>, id: CredentialId, change: &Change) -> Result<()> {
    let deps = grant.deps();
    let mut tx = deps.db.tenant(grant.org_id()).await?;
    // Before the row's own lock, as a rotation does.
    store::lock_keys(&mut tx).await?;
    let (kind, before) = store::to_change(&mut tx, id).await?.ok_or_else(|| Error::not_found("credential"))?;
    let mut checks = Checks::default();
    let name = checks.take(parse_name("name", &change.name));
    let value = change.secret.as_ref().map(|typed| rules::value(kind, typed)).transpose();
    let hosts = match &value {
        Err(_) if kind == CredentialKind::Postgres => before.clone(),
        Ok(None) if kind == CredentialKind::Postgres => before.clone(),
        value => checks.take(rules::hosts(kind, &change.hosts, value.as_ref().ok().and_then(Option::as_ref))),
    };
    let is_wider = hosts.iter().any(|host| !before.iter().any(|known| rules::covers(known, host)));
    if is_wider && change.secret.is_none() {
        let message = "Enter the value again to send it to another host: whoever adds a host must know it.";
        checks.take::<()>(Err(Error::invalid("secret", message)));
    }
    let value = checks.take(value);
    checks.done()?;
    if store::is_taken(&mut tx, id, &name).await? {
        return Err(taken());
    }
    store::rename(&mut tx, id, &name, &hosts).await?;
    if let Some(value) = &value {
        let sealed = deps.vault.seal(&mut tx, id, value).await?;
        store::replace(&mut tx, id, &sealed, rules::last4(kind, value).as_deref()).await?;
    }
    tx.commit().await?;
    let (by, replaced) = (grant.actor().reference(), value.is_some());
    tracing::info!(organization = %grant.org_id(), credential = %id, by, replaced, "credential changed");
    Ok(())
}

/// Throws a credential's value away at once, whoever uses it. Its name and hosts stay, for a new value.
///
/// # Errors
/// `not_found`.
pub async fn disconnect(grant: &Grant<right::Deploy>, id: CredentialId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::disconnect(&mut tx, id).await? {
        return Err(Error::not_found("credential"));
    }
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), credential = %id, by = grant.actor().reference(), "credential disconnected");
    Ok(())
}

/// Removes a credential that nobody uses.
///
/// # Errors
/// `not_found`; `credentials.in_use`, with who uses it.
pub async fn remove(grant: &Grant<right::Deploy>, id: CredentialId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::to_change(&mut tx, id).await?.ok_or_else(|| Error::not_found("credential"))?;
    let users: Vec<String> =
        store::users_of(&mut tx).await?.into_iter().filter(|(used, _)| *used == id).map(|(_, user)| user).collect();
    if !users.is_empty() {
        let message =
            format!("The credential is used by {}. Give them another one first, or disconnect it.", users.join(", "));
        return Err(Error::conflict("credentials.in_use", message));
    }
    store::remove(&mut tx, id).await?;
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), credential = %id, by = grant.actor().reference(), "credential removed");
    Ok(())
}

/// Whether one more fits. Asked under the lock that sealing takes.
pub(crate) fn room(count: i64) -> Result<()> {
    if count < MOST {
        return Ok(());
    }
    Err(Error::conflict(
        "credentials.too_many",
        format!("An organization has {MOST} credentials at most. Remove some."),
    ))
}

fn taken() -> Error {
    Error::invalid("name", "Another credential has this name. Choose a different one.")
}
