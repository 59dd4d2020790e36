//! The master key: from the settings, from a file, or (beside the private PostgreSQL) a file of our own, made at the first
//! start.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use agentflow::{
    credentials::{MasterKey, MasterKeys, Unfit, Vault},
    db::Db,
    guardrails::Known,
};

use crate::{
    config::Config,
    postgres::folder::{Place, unusable},
    startup::Trouble,
};

/// The file in the data folder, beside the private cluster.
pub const FILE: &str = "master.key";

/// The keys that this process seals and opens credentials with. Without a key of the settings and with a private
/// PostgreSQL, one is made where nothing is sealed yet.
///
/// # Errors
/// When a file cannot be read or written, or has no usable key.
pub async fn find(config: &Config, db: &Db) -> Result<MasterKeys, Trouble> {
    let settings = &config.master_key;
    let mut current = settings.key.clone();
    if let Some(file) = &settings.file {
        let what = || format!("AGENTFLOW_MASTER_KEY_FILE, {}, cannot be read", file.display());
        current = read(file).map_err(|why| Trouble::new(format!("{}: {why}", what()), ""))?;
        if current.is_none() {
            return Err(Trouble::new(format!("{}: there is no such file.", what()), "Name another one, or make it."));
        }
    }
    if current.is_none() && config.database.url.is_none() {
        let base = Place::of(&config.database).await?.base;
        let file = base.join(FILE);
        current = read(&file).map_err(|why| unusable(&file, &why))?;
        let nothing_is_sealed = Vault::new(db.clone(), MasterKeys::default(), Known::default()).check().await.is_ok();
        if current.is_none() && nothing_is_sealed {
            current = Some(make(&base, &file).map_err(|error| unusable(&file, &error.to_string()))?);
        }
    }
    Ok(MasterKeys { current, others: settings.old.clone() })
}

/// Makes sure that what is sealed in the database opens with these keys.
///
/// # Errors
/// Why not, and what to do.
pub async fn fits(vault: &Vault) -> Result<(), Trouble> {
    vault.check().await.map_err(|unfit| match unfit {
        Unfit::Unknown(error) => Trouble::new(error.message, ""),
        Unfit::Missing => Trouble::new(
            "There are sealed credentials in the database, and no master key to open them with.",
            "Set AGENTFLOW_MASTER_KEY or AGENTFLOW_MASTER_KEY_FILE to the key that they were sealed under; of a private \
             PostgreSQL it is the file master.key in the data folder.",
        ),
        Unfit::Other(keys) => Trouble::new(
            format!(
                "The master key does not fit the database: credentials in it are sealed under other keys ({}).",
                keys.join(", ")
            ),
            "Set AGENTFLOW_MASTER_KEY to the key that they were sealed under. If it is to be replaced, set the old one \
             as AGENTFLOW_MASTER_KEY_OLD beside it.",
        ),
    })
}

/// What a start says of the key.
#[must_use]
pub fn said(vault: &Vault) -> &'static str {
    match vault.can_seal() {
        true => "the master key is there, and opens everything that is sealed",
        false => {
            "there is no master key, so organizations can store no credentials: set AGENTFLOW_MASTER_KEY (openssl rand \
             -base64 32)"
        }
    }
}

/// The key of a file; nothing where there is no file.
fn read(file: &Path) -> Result<Option<MasterKey>, String> {
    match fs::read_to_string(file) {
        Ok(text) => MasterKey::parse(&text).map(Some).map_err(|why| format!("its key {why}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes a key and its file, which nobody else can read. It is written whole before it has its name, so that of several
/// processes that start at once all have the one that was first.
fn make(base: &Path, file: &Path) -> io::Result<MasterKey> {
    let draft = base.join(format!("{FILE}.{}", std::process::id()));
    let key = MasterKey::generate();
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut open = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    open.write_all(key.export().as_bytes())?;
    open.write_all(b"\n")?;
    open.sync_all()?;
    let named = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match named {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The name is on the disk before anything is sealed under the key.
    File::open(base)?.sync_all()?;
    read(file).map_err(io::Error::other)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}
