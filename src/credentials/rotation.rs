//! Another master key: every data key is wrapped anew, and every organization gets a new data key that its credentials
//! are sealed with anew. In short transactions, beside servers that go on; whoever was stopped in the middle begins again
//! and does the rest.

use uuid::Uuid;

use super::{
    Vault, store,
    vault::{broken, seal_with},
};
use crate::kernel::{OrgId, Result};

/// Credentials that are sealed anew in one transaction.
const BATCH: i64 = 50;

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Data keys that were wrapped anew.
    pub data_keys: u64,
    /// Credentials that were sealed anew.
    pub credentials: u64,
    /// Credentials that do not open, and stay as they are.
    pub damaged: u64,
}

/// Brings everything under the current master key. The old one is not needed any more then.
///
/// # Errors
/// `credentials.no_master_key`; `internal` where a data key does not open; `unavailable`.
pub async fn rotate(vault: &Vault) -> Result<Rotated> {
    vault.can_store()?;
    let mut done = Rotated::default();
    for org in store::organizations(vault.db().keeper()).await? {
        let Some(newest) = rewrap(vault, org, &mut done).await? else { continue };
        let mut place = Some(Uuid::nil());
        while let Some(after) = place {
            place = reseal(vault, org, newest, after, &mut done).await?;
        }
        let mut tx = vault.db().tenant(org).await?;
        store::lock_keys(&mut tx).await?;
        store::remove_data_keys(&mut tx, newest).await?;
        tx.commit().await?;
    }
    Ok(done)
}

/// Wraps the organization's data keys anew. The newest one is the mark of how far a rotation came: under the current
/// master key it is the one to seal with, under another one it is followed by a new one. Gives its version.
async fn rewrap(vault: &Vault, org: OrgId, done: &mut Rotated) -> Result<Option<i32>> {
    let mut tx = vault.db().tenant(org).await?;
    store::lock_keys(&mut tx).await?;
    let keys = store::data_keys(&mut tx).await?;
    let Some(newest) = keys.first() else { return Ok(None) };
    let mut version = newest.version;
    if !vault.is_current(newest) {
        version += 1;
        vault.make_data_key(&mut tx, version).await?;
    }
    for key in keys.iter().filter(|key| !vault.is_current(key)) {
        let wrapped = vault.wrap(&vault.unwrap(org, key).map_err(broken)?)?;
        store::rewrap_data_key(&mut tx, &wrapped).await?;
        done.data_keys += 1;
    }
    tx.commit().await?;
    Ok(Some(version))
}

/// Seals the next credentials with the newest data key. Gives the place to go on from.
async fn reseal(vault: &Vault, org: OrgId, newest: i32, after: Uuid, done: &mut Rotated) -> Result<Option<Uuid>> {
    let mut tx = vault.db().tenant(org).await?;
    store::lock_keys(&mut tx).await?;
    let keys = store::data_keys(&mut tx).await?;
    let Some(key) = keys.iter().find(|key| key.version == newest) else { return Ok(None) };
    let key = vault.unwrap(org, key).map_err(broken)?;
    let rows = store::sealed_before(&mut tx, newest, after, BATCH).await?;
    for row in &rows {
        let Ok(value) = vault.unseal(org, row) else {
            tracing::error!(organization = %org, credential = %row.id, "a credential does not open; it stays as it is");
            done.damaged += 1;
            continue;
        };
        store::reseal(&mut tx, row.id, &seal_with(&key, org, row.id, &value)?).await?;
        done.credentials += 1;
    }
    tx.commit().await?;
    Ok(rows.last().map(|row| row.id.uuid()))
}
