//! Checks that no compiler makes: layers, sizes.

use std::{collections::BTreeSet, fs};

use crate::{
    Result,
    assets::Manifest,
    build::{Mode, site},
    shell,
};

/// Crates of the server that must not come into the browser's half.
const SERVER_ONLY: [&str; 10] =
    ["sqlx", "sqlx-core", "axum", "hyper", "mio", "tokio", "argon2", "tower-sessions", "reqwest", "rquickjs"];

/// The browser's half has no crate of the server's.
///
/// # Errors
/// Naming those that it has.
pub fn layers() -> Result {
    let tree = shell::output(&mut shell::cargo(&[
        "tree",
        "--package",
        "frontend",
        "--target",
        "wasm32-unknown-unknown",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]))?;
    let found: Vec<&str> =
        tree.lines().filter(|line| SERVER_ONLY.iter().any(|name| line.split(' ').next() == Some(*name))).collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("The browser's half depends on crates of the server: {}", found.join(", ")).into())
}

/// The most bytes, packed, of what every page begins with: the glue and the WASM of the entry (`ui/design.md` §3).
const ENTRY_BUDGET: u64 = 300_000;
/// The most bytes, packed, before a page can be worked with: the entry, the styles, and what its chunk adds. Not yet what
/// it should be (340 KB), and not to grow: the page of a run is the largest.
const PAGE_BUDGET: u64 = 640_000;
/// The most files of them.
const PAGE_FILES: usize = 8;
/// The most bytes, packed, of all modules. Not yet what it should be (900 KB), and not to grow.
const MODULES_BUDGET: u64 = 1_550_000;
const STYLES_BUDGET: u64 = 30_000;

/// What the browser loads is within its budgets (in thousands of bytes, brotli).
///
/// # Errors
/// When something is too large.
pub fn sizes() -> Result {
    let site = site(Mode::Release);
    let Manifest { css, code } = serde_json::from_slice(&fs::read(site.join("manifest.json"))?)?;
    let packed =
        |address: &String| Ok::<_, std::io::Error>(fs::metadata(format!("{}{address}.br", site.display()))?.len());
    let mut fits = true;
    let mut tell = |what: &str, bytes: u64, budget: u64| {
        fits &= bytes <= budget;
        eprintln!("{what:16} {:7.1} KB of {:.0}", kilobytes(bytes), kilobytes(budget));
    };
    let entry = [&code.js, &code.split, &code.wasm];
    let all = |files: &mut dyn Iterator<Item = &String>| files.map(packed).sum::<std::io::Result<u64>>();
    let (styles, entry_bytes) = (packed(&css)?, all(&mut entry.into_iter())?);
    tell("entry", entry_bytes, ENTRY_BUDGET);
    tell("styles", styles, STYLES_BUDGET);
    let mut modules = BTreeSet::from(entry);
    for (name, files) in &code.chunks {
        let added = all(&mut files.iter())?;
        tell(&format!("page of {name}"), entry_bytes + styles + added, PAGE_BUDGET);
        modules.extend(files);
        if entry.len() + files.len() + 1 > PAGE_FILES {
            return Err(format!("A page of {name} begins with more than {PAGE_FILES} files.").into());
        }
    }
    tell("all modules", all(&mut modules.into_iter())?, MODULES_BUDGET);
    if fits { Ok(()) } else { Err("What the browser loads is over its budget.".into()) }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1000.0
}
