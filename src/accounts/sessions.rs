//! Sessions: what a signed-in browser's cookie stands for. Rows are found by the SHA-256 of the cookie's id, so a copy of
//! the table opens nothing; both time limits hold here, on the server, whatever the cookie says.
//!
//! Sessions are written at sign-in and sign-out only. A request moves the idle limit on, at most every ten minutes.

use std::{collections::HashMap, fmt};

use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store,
};

pub use tower_sessions::Session;

use super::store;
use crate::{
    db::Db,
    kernel::{Error, Result, UserId},
};

/// The key of the person in a session's data.
const USER: &str = "user";
/// The key that says whether the sign-in is fresh. It is in what was loaded, by the database's clock, and never kept.
const FRESH: &str = "fresh";
/// How long a sign-in counts as fresh: two hours.
pub(super) const FRESH_S: u32 = 2 * 3600;

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without a request.
    pub idle_s: u32,
    /// In all.
    pub absolute_s: u32,
}

impl Default for Limits {
    /// Two weeks without a request, thirty days in all.
    fn default() -> Self {
        Self { idle_s: 14 * 24 * 3600, absolute_s: 30 * 24 * 3600 }
    }
}

impl Limits {
    /// How long the idle limit stays as it is while requests come.
    pub(super) fn step_s(self) -> f64 {
        f64::from((self.idle_s / 10).min(600))
    }

    /// What a cookie may live at most.
    #[must_use]
    pub fn cookie_age(self) -> Duration {
        Duration::seconds(i64::from(self.absolute_s))
    }
}

/// The table of sessions, for `tower-sessions`.
#[derive(Clone)]
pub struct Sessions {
    db: Db,
    limits: Limits,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Sessions {
    /// The sessions of this database, with these limits.
    #[must_use]
    pub const fn new(db: Db, limits: Limits) -> Self {
        Self { db, limits }
    }

    /// Removes the rows of sessions that have ended. Returns how many.
    ///
    /// # Errors
    /// `unavailable`, when the database does not answer.
    pub async fn sweep(&self) -> Result<u64> {
        let mut tx = self.db.identity().await?;
        let gone = store::sweep_sessions(&mut tx, self.limits).await?;
        tx.commit().await?;
        Ok(gone)
    }

    async fn try_load(&self, id: &Id) -> Result<Option<Record>> {
        let mut tx = self.db.identity().await?;
        let Some(row) = store::load_session(&mut tx, &hash(*id), self.limits).await? else { return Ok(None) };
        if row.idle_limit_is_old {
            store::touch_session(&mut tx, &hash(*id), self.limits).await?;
            tx.commit().await?;
        }
        let mut data: HashMap<String, Value> =
            serde_json::from_value(row.data).map_err(|cause| Error::internal(format!("sessions.data: {cause}")))?;
        data.insert(FRESH.to_owned(), Value::Bool(row.is_fresh));
        let expiry_date = OffsetDateTime::from_unix_timestamp(row.expires_at.timestamp())
            .map_err(|cause| Error::internal(format!("sessions.expires_at: {cause}")))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn try_create(&self, record: &Record) -> Result<()> {
        let mut tx = self.db.identity().await?;
        store::create_session(&mut tx, &hash(record.id), user_in(&record.data), &data_of(record), self.limits).await?;
        tx.commit().await
    }

    async fn try_save(&self, record: &Record) -> Result<()> {
        let mut tx = self.db.identity().await?;
        store::save_session(&mut tx, &hash(record.id), user_in(&record.data), &data_of(record)).await?;
        tx.commit().await
    }

    async fn try_delete(&self, id: &Id) -> Result<()> {
        let mut tx = self.db.identity().await?;
        store::delete_session(&mut tx, &hash(*id)).await?;
        tx.commit().await
    }
}

#[async_trait]
impl SessionStore for Sessions {
    /// The id is always a fresh one: nothing that came in a cookie becomes the id of a session.
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        record.id = Id::default();
        self.try_create(record).await.map_err(backend)
    }

    /// A session that has ended meanwhile stays ended: saving makes no row.
    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.try_save(record).await.map_err(backend)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        self.try_load(id).await.map_err(backend)
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.try_delete(id).await.map_err(backend)
    }
}

/// The person that a session belongs to.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn user(session: &Session) -> Result<Option<UserId>> {
    session.get::<UserId>(USER).await.map_err(|cause| failed(&cause))
}

/// Whether the person signed in within the last two hours. Not, where the session began with this very request.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn is_fresh(session: &Session) -> Result<bool> {
    Ok(session.get::<bool>(FRESH).await.map_err(|cause| failed(&cause))?.unwrap_or(false))
}

/// Whether the session lives now, for what outlasts its request. It moves no limit: an open stream is no activity.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn is_alive(db: &Db, session: &Session) -> Result<bool> {
    let Some(id) = session.id() else { return Ok(false) };
    store::session_lives(&mut db.identity().await?, &hash(id)).await
}

/// Begins the session of a person: under a new id, with nothing left of what the browser had before.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn begin(session: &Session, user: UserId) -> Result<()> {
    end(session).await?;
    session.insert(USER, user).await.map_err(|cause| failed(&cause))?;
    session.save().await.map_err(|cause| failed(&cause))
}

/// Ends the session on the server; the cookie goes with the answer.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn end(session: &Session) -> Result<()> {
    if session.id().is_none() {
        return Ok(());
    }
    session.flush().await.map_err(|cause| failed(&cause))
}

fn hash(id: Id) -> [u8; 32] {
    Sha256::digest(id.0.to_le_bytes()).into()
}

fn data_of(record: &Record) -> Value {
    let kept = record.data.iter().filter(|(key, _)| *key != FRESH);
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn user_in(data: &HashMap<String, Value>) -> Option<UserId> {
    data.get(USER).and_then(Value::as_str).and_then(|id| id.parse().ok())
}

fn backend(error: Error) -> session_store::Error {
    // What happened is in the log already, where the error was made.
    session_store::Error::Backend(error.code)
}

fn failed(cause: &tower_sessions::session::Error) -> Error {
    tracing::warn!(error = %cause, "session");
    Error::unavailable()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_thousand_ids_are_a_thousand() {
        let ids: HashSet<i128> = (0..1_000).map(|_| Id::default().0).collect();
        assert_eq!(ids.len(), 1_000);
    }

    #[test]
    fn the_table_holds_no_id() {
        let id = Id::default();
        assert_ne!(hash(id)[..16], id.0.to_le_bytes());
        assert_eq!(hash(id), hash(id));
    }
}
