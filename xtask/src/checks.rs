//! Checks that no compiler makes: layers, sizes.

use std::fs;

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

/// The most bytes, packed, of what a page begins with: the glue and the WASM of the entry (`ui/design.md` §3).
const ENTRY_BUDGET: u64 = 300_000;
/// The most bytes, packed, of what a page's chunk adds to it: not yet what it should be, and not to grow. The page of a run
/// and the one where an agent is made and tried are the largest.
const CHUNK_BUDGET: u64 = 315_000;
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
        eprintln!("{what:12} {:6.1} KB of {:.0}", kilobytes(bytes), kilobytes(budget));
    };
    tell("entry", packed(&code.js)? + packed(&code.split)? + packed(&code.wasm)?, ENTRY_BUDGET);
    for (name, files) in &code.chunks {
        tell(name, files.iter().map(packed).sum::<std::io::Result<u64>>()?, CHUNK_BUDGET);
    }
    tell("styles", packed(&css)?, STYLES_BUDGET);
    if fits { Ok(()) } else { Err("What the browser loads is over its budget.".into()) }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1000.0
}
