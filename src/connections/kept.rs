//! The connections of organizations, opened, for the calls of a moment.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync;

use super::{
    OperatorProvider, rules,
    store::{self, Row},
};
use crate::{
    credentials::{
        Vault,
        store::{self as credentials, UseRow},
    },
    db::Db,
    engine::port::CallScope,
    kernel::{ConnectionId, OrgId, Result, RunId},
    models::{
        ModelSettings, ProviderSettings,
        connection::{Connection, Connections},
    },
};

/// How long what was opened is kept: so late at most does a process hear of a change that another one has made.
const KEPT: Duration = Duration::from_millis(1_500);
/// Uses that are remembered as noted.
const NOTED: usize = 4_096;

/// The connections of all organizations. Cheap to clone.
#[derive(Clone)]
pub struct ModelConnections {
    inner: Arc<Inner>,
    operator: Arc<[OperatorProvider]>,
}

struct Inner {
    db: Db,
    vault: Vault,
    kept: Mutex<HashMap<OrgId, Slot>>,
    noted: Mutex<HashSet<(RunId, String)>>,
}

/// What was opened for an organization. Of several who ask at a time one opens it, and the others wait.
type Slot = Arc<sync::Mutex<Option<Opened>>>;

struct Opened {
    at: Instant,
    connections: Vec<Connection>,
}

impl ModelConnections {
    /// The connections that this database holds.
    #[must_use]
    pub fn new(db: Db, vault: Vault) -> Self {
        let inner = Inner { db, vault, kept: Mutex::default(), noted: Mutex::default() };
        Self { inner: Arc::new(inner), operator: Arc::default() }
    }

    /// The same, beside the operator's own providers, for the page that shows both.
    #[must_use]
    pub fn beside(self, settings: &ModelSettings) -> Self {
        let shown = |one: &ProviderSettings| OperatorProvider { label: one.label.clone(), models: one.models.clone() };
        Self { operator: settings.providers.iter().map(shown).collect(), ..self }
    }

    /// The providers that the operator has set up for all organizations.
    #[must_use]
    pub fn operator(&self) -> &[OperatorProvider] {
        &self.operator
    }

    /// Forgets what was opened for an organization, as after a change.
    pub(super) fn forget(&self, org: OrgId) {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&org);
    }

    /// All that are switched on, opened. One that does not open is left out: the others go on.
    async fn opened(&self, org: OrgId) -> Result<Vec<Connection>> {
        let Inner { db, vault, .. } = &*self.inner;
        let mut tx = db.tenant(org).await?;
        let rows = store::rows(&mut tx).await?;
        let mut keys = if rows.is_empty() { Default::default() } else { credentials::of_models(&mut tx).await? };
        drop(tx);
        let mut connections = Vec::new();
        for row in rows.into_iter().filter(|row| row.enabled) {
            let key = match row.credential {
                None => None,
                Some(id) => match keys.remove(&id).map(|key| vault.unseal(org, &key.row)) {
                    Some(Ok(key)) => Some(key),
                    _ => {
                        tracing::error!(organization = %org, connection = %row.id, "the key of a connection does not open");
                        continue;
                    }
                },
            };
            connections.extend(connection(row, key));
        }
        Ok(connections)
    }

    /// Forgets a slot when its time is over, so that no key stays in memory that nobody asks for.
    fn forget_later(&self, org: OrgId, slot: &Slot) {
        let (inner, slot) = (Arc::downgrade(&self.inner), Arc::downgrade(slot));
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            let Some((inner, slot)) = inner.upgrade().zip(slot.upgrade()) else { return };
            let mut kept = inner.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.get(&org).is_some_and(|now| Arc::ptr_eq(now, &slot)) {
                kept.remove(&org);
            }
        });
    }
}

/// A connection with its key, as models are called with. Nothing where its address is none: the key must not go to the
/// provider's usual one instead.
pub(super) fn connection(row: Row, key: Option<SecretString>) -> Option<Connection> {
    let base_url = rules::base_url(&row.provider, row.base_url.as_deref().unwrap_or_default()).ok()?;
    let provider = ProviderSettings { name: row.provider, label: row.label, key, base_url, models: row.models };
    Some(Connection { id: row.id.to_string(), rank: row.rank, by_operator: false, provider })
}

#[async_trait]
impl Connections for ModelConnections {
    async fn of(&self, org: OrgId) -> Result<Vec<Connection>> {
        let slot = Arc::clone(self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner).entry(org).or_default());
        let mut kept = slot.lock().await;
        if let Some(opened) = kept.as_ref().filter(|opened| opened.at.elapsed() < KEPT) {
            return Ok(opened.connections.clone());
        }
        // Before it is read: what changes meanwhile is heard of in time.
        let at = Instant::now();
        let connections = self.opened(org).await?;
        *kept = Some(Opened { at, connections: connections.clone() });
        self.forget_later(org, &slot);
        Ok(connections)
    }

    async fn used(&self, scope: &CallScope, connection: &str) {
        // The operator's have other ids.
        let Ok(id) = connection.parse::<ConnectionId>() else { return };
        {
            let mut noted = self.inner.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.len() >= NOTED {
                noted.clear();
            }
            if !noted.insert((scope.run, connection.to_owned())) {
                return;
            }
        }
        let noted = async {
            let mut tx = self.inner.db.tenant(scope.org).await?;
            let Some(used) = store::used(&mut tx, id).await? else { return Ok(()) };
            let base = used.base_url.as_deref().and_then(|base| url::Url::parse(base).ok());
            let host = base.as_ref().and_then(url::Url::host_str).unwrap_or(&used.provider);
            let (credential, purpose) = (used.credential, "models");
            credentials::note_use(&mut tx, &UseRow { credential, host, purpose, scope: Some(scope), of_model: true })
                .await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            // The next call of the run notes it.
            self.inner.noted.lock().unwrap_or_else(PoisonError::into_inner).remove(&(scope.run, connection.to_owned()));
            tracing::warn!(%error, organization = %scope.org, "the use of a model's key could not be noted");
        }
    }
}
