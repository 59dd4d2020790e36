//! The data that SQL statements are checked against where there is no database: `.sqlx`.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{Result, cluster::Cluster, places, shell};

/// Renews it from a database with the schema of `migrations/`; with `check`, only compares.
///
/// # Errors
/// When a statement is wrong, or (with `check`) the data is not up to date.
pub fn prepare(check: bool) -> Result {
    let cluster = Cluster::start()?;
    cluster.migrate()?;
    let kept = places::root().join(".sqlx");
    let fresh = places::target().join("sqlx-data");
    drop(fs::remove_dir_all(&fresh));
    fs::create_dir_all(&fresh)?;
    // The macros write as they are expanded, so the crate must be compiled anew. A flag that nobody reads does that for
    // this one crate, and leaves the sources (and what else was built from them) as they are.
    let flag = format!("expanded_by=\"{}\"", std::process::id());
    let mut cargo = shell::cargo(&["rustc", "--quiet", "--package", "agentflow", "--features", "ssr", "--lib"]);
    cargo.args(["--profile", "check", "--", "--cfg", &flag, "--check-cfg", "cfg(expanded_by, values(any()))"]);
    cargo.env("SQLX_OFFLINE", "false").env("DATABASE_URL", cluster.url()).env("SQLX_OFFLINE_DIR", &fresh);
    shell::run(&mut cargo)?;
    let (new, old) = (read(&fresh)?, read(&kept)?);
    if check {
        if new == old {
            return Ok(());
        }
        return Err("The data in .sqlx is not up to date: run `cargo xtask prepare` and commit it.".into());
    }
    drop(fs::remove_dir_all(&kept));
    fs::create_dir_all(&kept)?;
    for (name, content) in &new {
        fs::write(kept.join(name), content)?;
    }
    eprintln!("{} statements", new.len());
    Ok(())
}

fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}
