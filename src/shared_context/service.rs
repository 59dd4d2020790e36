//! Reading and writing the shared context. It is called by runs, each inside of its own organization.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::store;
use crate::{
    db::Db,
    kernel::{Error, Kind, OrgId, Result, RunId},
};

/// The most bytes of one value as JSON.
const MAX_VALUE: usize = 256 << 10;
/// The most keys of one run or organization.
const MAX_KEYS: i64 = 1_000;
/// The most bytes that expressions can read at once as `context`.
const MAX_READ: i64 = 2 << 20;

/// Who shares a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The steps of a run.
    Run(RunId),
    /// All runs of the organization.
    Organization,
}

impl Scope {
    fn uuid(self, org: OrgId) -> Uuid {
        match self {
            Self::Run(run) => run.uuid(),
            Self::Organization => org.uuid(),
        }
    }
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    /// The value; null where there is none.
    pub value: Value,
    /// How often it was written; 0 where there is none.
    pub version: i64,
}

/// A value to store.
#[derive(Debug, Clone)]
pub struct Change {
    /// The value; null takes the key away.
    pub value: Value,
    /// Seconds until it is forgotten.
    pub expires_s: Option<i32>,
    /// Store only if the version is still this one.
    pub if_version: Option<i64>,
}

/// What stands under a key.
///
/// # Errors
/// When the database does not answer.
pub async fn get(db: &Db, org: OrgId, scope: Scope, key: &str) -> Result<Current> {
    let mut tx = db.tenant(org).await?;
    let found = store::find(&mut tx, scope.uuid(org), key).await?;
    tx.commit().await?;
    Ok(found.map_or(Current { value: Value::Null, version: 0 }, |entry| Current {
        value: entry.value,
        version: entry.version,
    }))
}

/// Stores a value and answers its version. `Err` inside: the version is another one, and this is what is there.
///
/// A repeated attempt whose first one had worked finds its own value one version later, and counts as done.
///
/// # Errors
/// When the value or the number of keys is too large, or the database does not answer.
pub async fn set(db: &Db, org: OrgId, scope: Scope, key: &str, change: &Change) -> Result<Result<i64, Current>> {
    if change.value.to_string().len() > MAX_VALUE {
        let message = format!("A value of the shared context has at most {} KiB.", MAX_VALUE >> 10);
        return Err(Error::new(Kind::TooLarge, "context.too_large", message));
    }
    let scope = scope.uuid(org);
    let mut tx = db.tenant(org).await?;
    store::lock(&mut tx, scope, key).await?;
    store::remove(&mut tx, scope, None).await?;
    let found = store::find(&mut tx, scope, key).await?;
    let version = found.as_ref().map_or(0, |entry| entry.version);
    if change.if_version.is_some_and(|wanted| wanted != version) {
        let is_next = change.if_version == Some(version - 1);
        let is_mine = is_next && found.as_ref().is_some_and(|entry| entry.value == change.value);
        let value = found.map_or(Value::Null, |entry| entry.value);
        return Ok(if is_mine { Ok(version) } else { Err(Current { value, version }) });
    }
    if change.value.is_null() {
        store::remove(&mut tx, scope, Some(key)).await?;
        tx.commit().await?;
        return Ok(Ok(0));
    }
    if version == 0 && store::count(&mut tx, scope).await? >= MAX_KEYS {
        let message = format!("The shared context has its {MAX_KEYS} keys already; take some away first.");
        return Err(Error::new(Kind::TooLarge, "context.full", message));
    }
    store::put(&mut tx, scope, key, &change.value, version + 1, change.expires_s).await?;
    tx.commit().await?;
    Ok(Ok(version + 1))
}

/// All that a run sees: the organization's values, and the run's own over them.
///
/// # Errors
/// When it is too much to read at once, or the database does not answer.
pub async fn load(db: &Db, org: OrgId, run: RunId) -> Result<Map<String, Value>> {
    let mut tx = db.tenant(org).await?;
    if store::size(&mut tx, run.uuid()).await? > MAX_READ {
        let message = "The shared context is too large to be read as a whole; read one key with the tool context_get.";
        return Err(Error::new(Kind::TooLarge, "context.too_large", message));
    }
    let all = store::all(&mut tx, run.uuid()).await?;
    tx.commit().await?;
    Ok(all.into_iter().collect())
}
