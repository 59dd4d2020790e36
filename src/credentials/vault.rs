//! The one door to what is sealed.

use std::{fmt, sync::Arc};

use secrecy::SecretString;

use super::{
    CredentialKind, Opened, rules,
    seal::{CannotOpen, DataKey, MasterKeys, Place},
    store::{self, Sealed, SealedRow, UseRow, WrappedKey},
};
use crate::{
    db::{Db, TenantTx},
    engine::{
        port::CallScope,
        state::{ErrorClass, StepError},
    },
    guardrails::Known,
    kernel::{CredentialId, Error, Kind, OrgId, Result, text::shortened},
};

/// The field of a credential that is sealed.
const VALUE: &str = "value";

/// What a credential is opened for. It is written down.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// The organization.
    pub org: OrgId,
    /// Which credential.
    pub credential: CredentialId,
    /// The host that it is sent to: the credential says which it may go to.
    pub host: &'a str,
    /// What for, in a few words: `tool crm_lookup`.
    pub purpose: &'a str,
    /// The call that needs it; nothing for a test by a person.
    pub scope: Option<&'a CallScope>,
}

/// A credential that was found by its name.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which it is.
    pub id: CredentialId,
    /// The host that it goes to.
    pub host: String,
}

/// Why the master keys that this process has are not the ones that the database needs.
#[derive(Debug)]
pub enum Unfit {
    /// There are sealed credentials, and no master key at all.
    Missing,
    /// There are data keys under other master keys, named by their fingerprints.
    Other(Vec<String>),
    /// The database could not be asked.
    Unknown(Error),
}

/// The one door to what is sealed. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    db: Db,
    keys: Arc<MasterKeys>,
    known: Known,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Vault {
    /// A door to what this database holds, with the operator's keys. What is opened is made known, so that it is blotted
    /// out wherever it turns up.
    #[must_use]
    pub fn new(db: Db, keys: MasterKeys, known: Known) -> Self {
        Self { db, keys: Arc::new(keys), known }
    }

    /// Whether there is a master key: without one nothing can be sealed.
    #[must_use]
    pub fn can_seal(&self) -> bool {
        self.keys.current.is_some()
    }

    /// Makes sure that everything which is sealed can be opened with the keys that there are.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), Unfit> {
        let needed = store::master_keys(self.db.keeper()).await.map_err(Unfit::Unknown)?;
        let absent: Vec<String> = needed.into_iter().filter(|id| self.keys.find(id).is_none()).collect();
        match absent.is_empty() {
            true => Ok(()),
            false if self.keys.current.is_none() && self.keys.others.is_empty() => Err(Unfit::Missing),
            false => Err(Unfit::Other(absent)),
        }
    }

    /// The credential of a name and a kind, to be opened: for tools whose arguments name one.
    ///
    /// # Errors
    /// `credentials.unknown`, also where there is one of that name and another kind.
    pub async fn find(&self, org: OrgId, name: &str, kind: CredentialKind) -> Result<Found, StepError> {
        let mut tx = self.db.tenant(org).await.map_err(of_database)?;
        let found = store::named(&mut tx, name, kind).await.map_err(of_database)?;
        let (id, host) = found.ok_or_else(|| {
            let message = format!("There is no credential “{}” for this.", shortened(name, 60));
            auth("credentials.unknown", message)
        })?;
        Ok(Found { id, host })
    }

    /// Opens a credential for one call, and writes down that it was.
    ///
    /// # Errors
    /// `credentials.unknown`; `credentials.host` where it may not be sent to this host; `credentials.disconnected` where
    /// its value was thrown away; `credentials.sealed` where it cannot be opened with the keys that there are.
    pub async fn open(&self, wanted: &Use<'_>) -> Result<Opened, StepError> {
        let mut tx = self.db.tenant(wanted.org).await.map_err(of_database)?;
        let found = store::to_open(&mut tx, wanted.credential).await.map_err(of_database)?;
        // A model's key goes to its provider and nowhere else.
        let found = found.filter(|found| found.kind != CredentialKind::Model).ok_or_else(|| {
            auth("credentials.unknown", "The credential does not exist any more. Choose another one.".to_owned())
        })?;
        let host = rules::normal_host(wanted.host).unwrap_or_default();
        if !found.allowed_hosts.iter().any(|allowed| rules::covers(allowed, &host)) {
            let message = format!(
                "The credential may not be sent to “{}”. It is for {}.",
                shortened(wanted.host, 100),
                found.allowed_hosts.join(", ")
            );
            return Err(auth("credentials.host", message));
        }
        let row = found.row.ok_or_else(|| {
            let message = "The credential was disconnected. Replace its value under Integrations.".to_owned();
            auth("credentials.disconnected", message)
        })?;
        let Ok(secret) = self.unseal(wanted.org, &row) else {
            let why = "It cannot be opened with this server's master key. Replace its value.";
            store::mark_unusable(&mut tx, wanted.credential, why).await.map_err(of_database)?;
            tx.commit().await.map_err(of_database)?;
            tracing::error!(organization = %wanted.org, credential = %wanted.credential, "a credential does not open");
            return Err(auth("credentials.sealed", format!("The credential is damaged. {why}")));
        };
        let Use { credential, purpose, scope, .. } = *wanted;
        store::note_use(&mut tx, &UseRow { credential, host: &host, purpose, scope, of_model: false })
            .await
            .map_err(of_database)?;
        // Nothing is handed out whose use was not written down.
        tx.commit().await.map_err(of_database)?;
        let opened = Opened { kind: found.kind, config: found.config, secret };
        self.known.note(wanted.org, opened.values());
        Ok(opened)
    }

    /// Seals a value for a credential, with the organization's newest data key, which is made if there is none.
    ///
    /// # Errors
    /// `credentials.no_master_key`.
    pub(crate) async fn seal(&self, tx: &mut TenantTx, id: CredentialId, value: &SecretString) -> Result<Sealed> {
        self.can_store()?;
        store::lock_keys(tx).await?;
        let key = match store::data_keys(tx).await?.first() {
            Some(newest) => self.unwrap(tx.org(), newest).map_err(broken)?,
            None => self.make_data_key(tx, 1).await?,
        };
        seal_with(&key, tx.org(), id, value)
    }

    /// Without a master key, nothing is ever stored.
    ///
    /// # Errors
    /// `credentials.no_master_key`, with what the operator must do.
    pub(crate) fn can_store(&self) -> Result<()> {
        let message = "This server has no master key, so it cannot keep secrets. Ask its operator to set \
                       AGENTFLOW_MASTER_KEY (a key is made with: openssl rand -base64 32) and to start it again.";
        match self.can_seal() {
            true => Ok(()),
            false => Err(Error::conflict("credentials.no_master_key", message)),
        }
    }

    /// A new data key of the organization, kept under the current master key.
    pub(super) async fn make_data_key(&self, tx: &mut TenantTx, version: i32) -> Result<DataKey> {
        let key = DataKey::generate(tx.org(), version);
        store::insert_data_key(tx, &self.wrap(&key)?).await?;
        Ok(key)
    }

    /// A data key under the current master key.
    pub(super) fn wrap(&self, key: &DataKey) -> Result<WrappedKey> {
        self.can_store()?;
        let master = self.keys.current.as_ref().ok_or_else(|| Error::internal("no master key"))?;
        let wrapped = key.wrap(master).map_err(broken)?;
        Ok(WrappedKey { version: key.version(), master_key_id: master.id().to_owned(), wrapped })
    }

    /// Whether a data key is under the current master key.
    pub(super) fn is_current(&self, key: &WrappedKey) -> bool {
        self.keys.current.as_ref().is_some_and(|master| master.id() == key.master_key_id)
    }

    /// A data key from under its master key.
    pub(super) fn unwrap(&self, org: OrgId, key: &WrappedKey) -> Result<DataKey, CannotOpen> {
        let master = self.keys.find(&key.master_key_id).ok_or(CannotOpen)?;
        DataKey::unwrap(org, key.version, &key.wrapped, master)
    }

    /// The value of a credential.
    pub(crate) fn unseal(&self, org: OrgId, row: &SealedRow) -> Result<SecretString, CannotOpen> {
        let place = Place { org, credential: row.id, field: VALUE };
        let value = self.unwrap(org, &row.key)?.open(place, &row.sealed)?;
        // Wherever it turns up from now on it is blotted out.
        self.known.note(org, [value.clone()]);
        Ok(value)
    }

    pub(super) fn db(&self) -> &Db {
        &self.db
    }
}

/// Seals a value with this data key.
pub(super) fn seal_with(key: &DataKey, org: OrgId, id: CredentialId, value: &SecretString) -> Result<Sealed> {
    let bytes = key.seal(Place { org, credential: id, field: VALUE }, value).map_err(broken)?;
    Ok(Sealed { bytes, key_version: key.version() })
}

#[track_caller]
pub(super) fn broken(_: CannotOpen) -> Error {
    Error::internal("a data key does not open, or nothing can be sealed with it")
}

fn auth(code: &str, message: String) -> StepError {
    StepError::new(ErrorClass::Auth, code, message)
}

fn of_database(error: Error) -> StepError {
    let class = if error.kind == Kind::Unavailable { ErrorClass::Unavailable } else { ErrorClass::Internal };
    StepError::new(class, error.code, error.message)
}
