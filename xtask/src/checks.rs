//! Checks that no compiler makes: layers, sizes.

use std::{fs, path::Path};

use crate::{
    Result,
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

/// The most bytes that WASM and glue may have, packed (`ui/design.md` §3).
const CODE_BUDGET: u64 = 300_000;
/// What they have had at the most so far, where that is more: a ratchet on the way to the budget.
const CODE_CEILING: u64 = 790_000;

/// What the browser loads first is within the budget (in thousands of bytes, brotli).
///
/// # Errors
/// Naming what is too large.
pub fn sizes() -> Result {
    let pkg = site(Mode::Release).join("pkg");
    let code = packed(&pkg, ".wasm.br")? + packed(&pkg, ".js.br")?;
    let css = packed(&pkg, ".css.br")?;
    eprintln!("code {:.1} KB of 300, styles {:.1} KB of 30", kilobytes(code), kilobytes(css));
    if code > CODE_BUDGET {
        eprintln!(
            "THE CODE IS OVER ITS BUDGET. Until it is met, it may only shrink: lower CODE_CEILING with each step."
        );
    }
    if code > CODE_CEILING || css > 30_000 {
        return Err("What the browser loads first has grown beyond what is allowed.".into());
    }
    Ok(())
}

fn packed(folder: &Path, ending: &str) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(ending) {
            total += entry.metadata()?.len();
        }
    }
    if total == 0 { Err(format!("no *{ending} in {}", folder.display()).into()) } else { Ok(total) }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1000.0
}
