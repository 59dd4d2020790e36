//! Stamps: what a result was made from. Where nothing has changed since, the step is skipped.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use sha2::{Digest, Sha256};

use crate::{Result, places, shell};

/// What the product is made from.
const INPUTS: [&str; 14] = [
    "src",
    "app",
    "frontend",
    "server/src",
    "server/build.rs",
    "server/Cargo.toml",
    "style",
    "public",
    "migrations",
    ".sqlx",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo",
    "xtask",
];

/// A short name for the state of all inputs: their paths, sizes and times, and the compiler.
///
/// # Errors
/// When a file cannot be read about, or there is no compiler.
pub fn of_inputs() -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(shell::output(std::process::Command::new("rustc").arg("-V").current_dir(places::root()))?);
    let mut found = Vec::new();
    for input in INPUTS {
        shell::files(&places::root().join(input), &mut found);
    }
    for file in found {
        let about = fs::metadata(&file)?;
        let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        hash.update(format!("{}\0{}\0{}\0", file.display(), about.len(), changed.as_nanos()));
    }
    Ok(short(&hash.finalize()))
}

/// A short name for some bytes.
pub fn of_bytes(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    short(&hash.finalize())
}

fn short(hash: &[u8]) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A file that says what a result was made from.
pub struct Stamp(PathBuf);

impl Stamp {
    /// The stamp in this file.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether the result was made from exactly this.
    pub fn says(&self, state: &str) -> bool {
        fs::read_to_string(&self.0).is_ok_and(|said| said == state)
    }

    /// The result is now made from this.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set(&self, state: &str) -> Result {
        Ok(fs::write(&self.0, state)?)
    }

    /// The result is about to change.
    pub fn clear(&self) {
        drop(fs::remove_file(&self.0));
    }
}
