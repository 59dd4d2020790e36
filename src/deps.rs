//! What operations work with, made once at start and handed down. Nothing below reads the environment or makes its own.

use crate::{accounts::password::Passwords, db::Db, live::Hub};

/// What operations work with. Cheap to clone.
#[derive(Clone)]
pub struct Deps {
    /// The database.
    pub db: Db,
    /// Where readers hear what is committed.
    pub live: Hub,
    /// Hashes passwords, a few at a time.
    pub passwords: Passwords,
}
