//! Keeping connections to providers of models: list, add, change, test, remove. Nothing here gives a key back.

use secrecy::{ExposeSecret, SecretString};

use super::{
    ModelConnection, ModelConnections, ProviderChoice, kept, rules,
    store::{self, Row},
};
use crate::{
    access::{Ctx, FreshGrant, Grant, right},
    accounts::parse_name,
    credentials::{
        CredentialKind, rules as secrets, service as credentials,
        store::{self as sealed, NewRow},
    },
    db::TenantTx,
    guardrails::Guard,
    kernel::{Checks, ConnectionId, CredentialId, Error, Result, text},
    models::settings::COMPATIBLE,
};

/// The most connections of an organization.
const MOST: usize = 50;

/// What a new connection is asked to be, as it was typed.
#[derive(Debug)]
pub struct NewConnection {
    /// The provider's name.
    pub provider: String,
    /// What to call it; empty: as the provider.
    pub label: String,
    /// Its key; empty: it needs none.
    pub secret: SecretString,
    /// Where it is; empty: at the provider's usual address.
    pub base_url: String,
    /// The models to offer; empty: those of the price table.
    pub models: String,
    /// Who is asked first; empty: 1.
    pub rank: String,
    /// Whether to keep it although its test failed.
    pub anyway: bool,
}

/// What a connection is to become, as it was typed.
#[derive(Debug)]
pub struct Change {
    /// What it is called.
    pub label: String,
    /// The models to offer.
    pub models: String,
    /// Who is asked first.
    pub rank: String,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// The organization's connections, in the order of asking, without their keys.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<ModelConnection>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx).await
}

/// The providers that can be connected.
#[must_use]
pub fn providers() -> Vec<ProviderChoice> {
    rules::providers()
}

/// Adds a connection once its test has passed, for somebody who signed in a short while ago.
///
/// # Errors
/// `invalid`, at the fields: also what the provider said to the test. `credentials.no_master_key`.
pub async fn add(grant: &FreshGrant<right::Deploy>, new: &NewConnection) -> Result<ConnectionId> {
    let mut checks = Checks::default();
    let provider = rules::provider(&new.provider);
    let known = provider.is_ok();
    let provider = checks.take(provider);
    let label = match new.label.trim() {
        "" => rules::provider_label(&provider),
        typed => checks.take(parse_name("label", typed)),
    };
    let base_url = checks.take(rules::base_url(&provider, &new.base_url));
    let models = if known { checks.take(rules::models(&provider, &new.models)) } else { Vec::new() };
    let rank = checks.take(rules::rank(&new.rank));
    // A server of one's own may need no key.
    let needs_none = new.secret.expose_secret().trim().is_empty() && provider == COMPATIBLE;
    let key = if needs_none { Ok(None) } else { secrets::value(CredentialKind::Model, &new.secret).map(Some) };
    let key = checks.take(key);
    checks.done()?;
    let vault = &grant.deps().vault;
    if key.is_some() {
        // Said before a provider is asked.
        vault.can_store()?;
    }
    let row = Row {
        id: ConnectionId::new(),
        credential: key.as_ref().map(|_| CredentialId::new()),
        provider,
        label,
        base_url: base_url.map(String::from),
        models,
        rank,
        enabled: true,
        checked_at: None,
        error: None,
    };
    is_free(grant, &row).await?;
    let tested = probe(grant, &row, key.clone()).await;
    passed(&tested, new.anyway)?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if let (Some(credential), Some(key)) = (row.credential, &key) {
        insert_key(grant, &mut tx, &row, credential, key).await?;
    }
    if !store::insert(&mut tx, &row, tested.as_deref().map(|_| ()).map_err(|error| &**error), grant.actor().user())
        .await?
    {
        return Err(taken());
    }
    done(grant, tx, row.id, "connection to a provider added").await?;
    Ok(row.id)
}

/// Replaces a connection's key once its test has passed, for somebody who signed in a short while ago.
///
/// # Errors
/// `not_found`; `invalid`, at the key: also what the provider said to the test. `credentials.no_master_key`.
pub async fn replace_key(
    grant: &FreshGrant<right::Deploy>,
    id: ConnectionId,
    secret: &SecretString,
    anyway: bool,
) -> Result<()> {
    let deps = grant.deps();
    let mut tx = deps.db.tenant(grant.org_id()).await?;
    let row = store::find(&mut tx, id).await?.ok_or_else(not_found)?;
    drop(tx);
    let key = secrets::value(CredentialKind::Model, secret)?;
    deps.vault.can_store()?;
    let tested = probe(grant, &row, Some(key.clone())).await;
    passed(&tested, anyway)?;
    let mut tx = deps.db.tenant(grant.org_id()).await?;
    // Before the row's own lock, as a rotation does.
    sealed::lock_keys(&mut tx).await?;
    let row = store::find(&mut tx, id).await?.ok_or_else(not_found)?;
    match row.credential {
        Some(credential) => {
            let value = deps.vault.seal(&mut tx, credential, &key).await?;
            let last4 = secrets::last4(CredentialKind::Model, &key);
            sealed::replace(&mut tx, credential, &value, last4.as_deref()).await?;
        }
        None => {
            let credential = CredentialId::new();
            insert_key(grant, &mut tx, &row, credential, &key).await?;
            store::set_credential(&mut tx, id, credential).await?;
        }
    }
    store::note_test(&mut tx, id, tested.as_deref().map(|_| ()).map_err(|error| &**error)).await?;
    done(grant, tx, id, "key of a connection to a provider replaced").await
}

/// Changes everything but the key and the address, which belong together: for another address, add a connection.
///
/// # Errors
/// `not_found`; `invalid`, at the fields.
pub async fn change(grant: &Grant<right::Deploy>, id: ConnectionId, change: &Change) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let row = store::find(&mut tx, id).await?.ok_or_else(not_found)?;
    let mut checks = Checks::default();
    let label = checks.take(parse_name("label", &change.label));
    let models = checks.take(rules::models(&row.provider, &change.models));
    let rank = checks.take(rules::rank(&change.rank));
    checks.done()?;
    if store::is_taken(&mut tx, id, &label).await? {
        return Err(taken());
    }
    store::update(&mut tx, id, &label, &models, rank, change.enabled).await?;
    done(grant, tx, id, "connection to a provider changed").await
}

/// Asks the provider for a few words, and notes what it said.
///
/// # Errors
/// `not_found`; a test that failed is none.
pub async fn test(grant: &Grant<right::Deploy>, id: ConnectionId) -> Result<()> {
    let deps = grant.deps();
    let mut tx = deps.db.tenant(grant.org_id()).await?;
    let row = store::find(&mut tx, id).await?.ok_or_else(not_found)?;
    let key = match row.credential {
        None => None,
        Some(id) => {
            let key = sealed::of_models(&mut tx).await?.remove(&id);
            Some(key.and_then(|key| deps.vault.unseal(grant.org_id(), &key.row).ok()))
        }
    };
    drop(tx);
    let tested = match key {
        Some(None) => Err("The key cannot be opened with this server's master key. Replace it.".to_owned()),
        key => probe(grant, &row, key.flatten()).await,
    };
    let mut tx = deps.db.tenant(grant.org_id()).await?;
    store::note_test(&mut tx, id, tested.as_deref().map(|_| ()).map_err(|error| &**error)).await?;
    tx.commit().await
}

/// Removes a connection, and its key with it.
///
/// # Errors
/// `not_found`.
pub async fn remove(grant: &Grant<right::Deploy>, id: ConnectionId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let row = store::find(&mut tx, id).await?.ok_or_else(not_found)?;
    store::remove(&mut tx, id).await?;
    if let Some(credential) = row.credential {
        sealed::remove(&mut tx, credential).await?;
    }
    done(grant, tx, id, "connection to a provider removed").await
}

/// The model that answered, or what the provider said instead: in words, and without the key that it may have repeated.
async fn probe(cx: &Ctx, row: &Row, key: Option<SecretString>) -> Result<String, String> {
    let deps = cx.deps();
    deps.known.note(cx.org_id(), key.clone());
    let row = Row {
        provider: row.provider.clone(),
        label: row.label.clone(),
        base_url: row.base_url.clone(),
        models: row.models.clone(),
        error: None,
        ..*row
    };
    let connection = kept::connection(row, key).ok_or("Its address cannot be read. Add the connection anew.")?;
    deps.models.probe(&connection).await.map_err(|error| {
        let words = Guard::of(&deps.known, cx.org_id(), None).error(error).message;
        text::shortened(&text::without_nul(words), 500)
    })
}

fn passed(tested: &Result<String, String>, anyway: bool) -> Result<()> {
    match tested {
        Err(why) if !anyway => Err(Error::invalid(
            "anyway",
            format!("The test failed: {why} Correct it, or tick “Save even if the test fails”."),
        )),
        _ => Ok(()),
    }
}

/// Whether there is room for one more, under its label.
async fn is_free(grant: &Grant<right::Deploy>, new: &Row) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if store::is_taken(&mut tx, new.id, &new.label).await? {
        return Err(taken());
    }
    if store::rows(&mut tx).await?.len() >= MOST {
        let message = format!("An organization has {MOST} connections at most. Remove one.");
        return Err(Error::conflict("connections.too_many", message));
    }
    Ok(())
}

async fn insert_key(
    grant: &Grant<right::Deploy>,
    tx: &mut TenantTx,
    row: &Row,
    id: CredentialId,
    key: &SecretString,
) -> Result<()> {
    let value = grant.deps().vault.seal(tx, id, key).await?;
    credentials::room(sealed::count(tx).await?)?;
    let base = row.base_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    let hosts: Vec<String> = base.as_ref().and_then(url::Url::host_str).map(str::to_owned).into_iter().collect();
    let new = NewRow {
        id,
        name: &row.label,
        kind: CredentialKind::Model,
        config: &std::collections::BTreeMap::new(),
        last4: secrets::last4(CredentialKind::Model, key),
        sealed: &value,
        allowed_hosts: &hosts,
        created_by: grant.actor().user(),
    };
    sealed::insert(tx, &new).await.map(drop)
}

/// Commits, and has this process call with the new state at once.
async fn done(grant: &Grant<right::Deploy>, tx: TenantTx, id: ConnectionId, what: &'static str) -> Result<()> {
    let connections: &ModelConnections = &grant.deps().connections;
    let committed = tx.commit().await;
    connections.forget(grant.org_id());
    committed?;
    tracing::info!(organization = %grant.org_id(), connection = %id, by = grant.actor().reference(), "{what}");
    Ok(())
}

fn taken() -> Error {
    Error::invalid("label", "Another connection has this name. Choose a different one.")
}

fn not_found() -> Error {
    Error::not_found("connection")
}
