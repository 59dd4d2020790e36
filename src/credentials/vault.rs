//! The one door to what is sealed.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::CredentialKind;
use crate::{
    db::Db,
    engine::{
        port::CallScope,
        state::{ErrorClass, StepError},
    },
    kernel::{CredentialId, OrgId, text::shortened},
};

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

/// An opened credential. Lives as long as the call.
#[derive(Debug)]
pub struct Opened {
    /// How it shows itself.
    pub kind: CredentialKind,
    /// What is not secret: `header` (its name), `parameter`, `username`.
    pub config: BTreeMap<String, String>,
    /// The secret itself.
    pub secret: SecretString,
}

/// The one door to what is sealed. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    #[expect(dead_code, reason = "the tables come with the next step")]
    db: Db,
}

impl Vault {
    /// A door to what this database holds.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The credential of a name and a kind, to be opened: for tools whose arguments name one.
    ///
    /// # Errors
    /// `credentials.unknown`, also where there is one of that name and another kind.
    #[expect(clippy::unused_async, reason = "the tables come with the next step")]
    pub async fn find(&self, _org: OrgId, name: &str, _kind: CredentialKind) -> Result<Found, StepError> {
        let message = format!("There is no credential “{}” for this.", shortened(name, 60));
        Err(StepError::new(ErrorClass::Auth, "credentials.unknown", message))
    }

    /// Opens a credential for one call, and writes down that it was.
    ///
    /// # Errors
    /// `credentials.unknown`; `credentials.host` where it may not be sent to this host; `credentials.sealed` where it
    /// cannot be opened with the keys that there are.
    #[expect(clippy::unused_async, reason = "the tables come with the next step")]
    pub async fn open(&self, _use: &Use<'_>) -> Result<Opened, StepError> {
        Err(StepError::new(ErrorClass::Auth, "credentials.unknown", "The credential does not exist any more."))
    }
}
