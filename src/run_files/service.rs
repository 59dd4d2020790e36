//! Reading and writing the files of a run: by the run itself, and by people who may see what runs hold.

use std::collections::BTreeMap;

use super::{FilePath, MAX_ALL, MAX_FILE, MAX_FILES, RunFile, media_type, store};
use crate::{
    access::{Grant, right},
    db::{Db, TenantTx},
    kernel::{Error, Kind, OrgId, Result, RunId},
};

/// Something to write.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    /// Where.
    pub path: FilePath,
    /// What.
    pub content: Vec<u8>,
    /// Whether it is added to what is there.
    pub append: bool,
    /// The step that writes. Its first attempt that came through counts, whatever is tried again.
    pub step: &'a str,
}

/// Writes a file. The flag says that this step had done so before.
///
/// # Errors
/// When the file, or all of them, would become too large, or the database does not answer.
pub async fn write(db: &Db, org: OrgId, run: RunId, write: Write<'_>) -> Result<(RunFile, bool)> {
    let Write { path, mut content, append, step } = write;
    let mut tx = db.tenant(org).await?;
    store::lock(&mut tx, run).await?;
    let files = store::list(&mut tx, run).await?;
    if !store::note(&mut tx, run, step).await? {
        let file = files.into_iter().find(|file| file.path == path);
        // It was written, and has been taken away since.
        return Ok((file.ok_or_else(|| unknown(&path))?, true));
    }
    if append && let Some((_, before)) = store::find(&mut tx, run, &path).await? {
        content = [before, content].concat();
    }
    let mut sizes: BTreeMap<&FilePath, usize> = files.iter().map(|file| (&file.path, file.size)).collect();
    sizes.insert(&path, content.len());
    check(&sizes)?;
    let file = store::put(&mut tx, run, &path, &content, media_type(&path, &content)).await?;
    tx.commit().await?;
    Ok((file, false))
}

/// Whether so many files, this large, may be kept, and whether none of them is a folder of another one.
fn check(sizes: &BTreeMap<&FilePath, usize>) -> Result<()> {
    let too_large = |message: String| Err(Error::new(Kind::TooLarge, "files.too_large", message));
    if sizes.values().any(|size| *size > MAX_FILE) {
        return too_large(format!("A file has at most {} MiB.", MAX_FILE >> 20));
    }
    if sizes.len() > MAX_FILES {
        return too_large(format!("A run has at most {MAX_FILES} files. Take some away first."));
    }
    if sizes.values().sum::<usize>() > MAX_ALL {
        return too_large(format!("The files of a run have at most {} MiB together.", MAX_ALL >> 20));
    }
    let is_folder = |path: &FilePath| {
        let folder = format!("{path}/");
        sizes.keys().any(|other| other.as_str().starts_with(&folder))
    };
    match sizes.keys().find(|path| is_folder(path)) {
        Some(path) => {
            Err(Error::new(Kind::Conflict, "files.folder", format!("“{path}” cannot be both a file and a folder.")))
        }
        None => Ok(()),
    }
}

/// A file with what is in it.
///
/// # Errors
/// `files.unknown`, or when the database does not answer.
pub async fn read(db: &Db, org: OrgId, run: RunId, path: &FilePath) -> Result<(RunFile, Vec<u8>)> {
    let mut tx = db.tenant(org).await?;
    let found = store::find(&mut tx, run, path).await?;
    tx.commit().await?;
    found.ok_or_else(|| unknown(path))
}

fn unknown(path: &FilePath) -> Error {
    Error::new(Kind::NotFound, "files.unknown", format!("The run has no file “{path}”."))
}

/// The files of a run, by path.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &Db, org: OrgId, run: RunId) -> Result<Vec<RunFile>> {
    let mut tx = db.tenant(org).await?;
    let files = store::list(&mut tx, run).await?;
    tx.commit().await?;
    Ok(files)
}

/// Takes a file away. False: it was not there.
///
/// # Errors
/// When the database does not answer.
pub async fn delete(db: &Db, org: OrgId, run: RunId, path: &FilePath) -> Result<bool> {
    let mut tx = db.tenant(org).await?;
    store::lock(&mut tx, run).await?;
    let removed = store::remove(&mut tx, run, path).await?;
    tx.commit().await?;
    Ok(removed)
}

/// All files with what is in them, for a command that works on them.
///
/// # Errors
/// When the database does not answer.
pub async fn all(db: &Db, org: OrgId, run: RunId) -> Result<BTreeMap<FilePath, Vec<u8>>> {
    let mut tx = db.tenant(org).await?;
    let all = store::all(&mut tx, run).await?;
    tx.commit().await?;
    Ok(all.into_iter().collect())
}

/// Writes what a command has changed, and takes away what it has deleted: all of it or nothing.
///
/// # Errors
/// When that would be too much, or the database does not answer.
pub async fn apply(
    db: &Db,
    org: OrgId,
    run: RunId,
    written: &BTreeMap<FilePath, Vec<u8>>,
    deleted: &[FilePath],
) -> Result<()> {
    let mut tx = db.tenant(org).await?;
    store::lock(&mut tx, run).await?;
    for path in deleted {
        store::remove(&mut tx, run, path).await?;
    }
    let files = store::list(&mut tx, run).await?;
    let mut sizes: BTreeMap<&FilePath, usize> = files.iter().map(|file| (&file.path, file.size)).collect();
    sizes.extend(written.iter().map(|(path, content)| (path, content.len())));
    check(&sizes)?;
    for (path, content) in written {
        store::put(&mut tx, run, path, content, media_type(path, content)).await?;
    }
    tx.commit().await
}

/// Gives a run that goes on where another one ended the files that that one had.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn take_over(tx: &mut TenantTx, from: RunId, to: RunId) -> Result<()> {
    store::copy(tx, from, to).await
}

/// The files of a run, for people.
///
/// # Errors
/// `not_found`.
pub async fn show(grant: &Grant<right::ViewPayloads>, run: RunId) -> Result<Vec<RunFile>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::exists(&mut tx, run).await? {
        return Err(Error::not_found("run"));
    }
    store::list(&mut tx, run).await
}

/// A file of a run, for people.
///
/// # Errors
/// `not_found`, of the run as of the file.
pub async fn open(grant: &Grant<right::ViewPayloads>, run: RunId, path: &str) -> Result<(RunFile, Vec<u8>)> {
    let path = FilePath::parse(path).map_err(|_| Error::not_found("file"))?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::find(&mut tx, run, &path).await?.ok_or_else(|| Error::not_found("file"))
}
