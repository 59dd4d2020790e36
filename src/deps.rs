//! What operations work with, made once at start and handed down. Nothing below reads the environment or makes its own.

use crate::{accounts::password::Passwords, db::Db, engine::handle::Engine, live::Hub};

/// What operations work with. Cheap to clone.
#[derive(Clone)]
pub struct Deps {
    /// The database.
    pub db: Db,
    /// The engine, to be told of what was committed for it.
    pub engine: Engine,
    /// Where readers hear what is committed.
    pub live: Hub,
    /// Hashes passwords, a few at a time.
    pub passwords: Passwords,
}
