//! Every check and every test, in the order of what fails soonest.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    Result,
    build::{self, Mode},
    checks,
    cluster::Cluster,
    contrast,
    faults::Faults,
    places, prepare, setup, shell, stamp,
};

/// The checks, then the tests on a database of their own, then (if wanted) the tests in a browser against the release
/// build.
///
/// # Errors
/// The first thing that fails.
pub fn test(browser: bool) -> Result {
    let begun = Instant::now();
    setup::setup(browser)?;
    check()?;
    shell::step("tests");
    {
        let cluster = Cluster::start()?;
        let mut tests = shell::cargo(&["test", "--quiet"]);
        tests.env("TEST_DATABASE_URL", cluster.url());
        // The tests of MCP talk to a published server. Who says where it is, wants it tried.
        if shell::which("npm").is_some() {
            tests.env("AGENTFLOW_NODE_MODULES", node_modules()?);
        }
        shell::run(&mut tests)?;
    }
    Faults::short().run()?;
    shell::run(&mut shell::cargo(&["test", "--quiet", "--package", "xtask"]))?;
    let binary = build::build(Mode::Release)?;
    shell::step("what the browser loads");
    checks::sizes()?;
    if browser {
        shell::step("tests in a browser");
        end_to_end(&binary)?;
    }
    eprintln!("\nEverything passed, in {} s.", begun.elapsed().as_secs());
    Ok(())
}

/// The checks that need no test.
///
/// # Errors
/// The first that fails.
pub fn check() -> Result {
    shell::step("format");
    shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))?;
    shell::step("contrast");
    contrast::check()?;
    shell::step("layers");
    checks::layers()?;
    shell::step("lints");
    setup::wasm_target()?;
    shell::run(&mut shell::cargo(&["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"]))?;
    shell::run(&mut shell::cargo(&[
        "clippy",
        "--quiet",
        "--package",
        "xtask",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    let browser =
        ["clippy", "--quiet", "--package", "frontend", "--target", "wasm32-unknown-unknown", "--", "-D", "warnings"];
    shell::run(shell::cargo(&browser).env("CARGO_TARGET_DIR", places::browser_target()))?;
    shell::step("SQL data");
    prepare::prepare(true)
}

/// The packages of the tests, in the cache folder under the name of their lock file.
fn node_modules() -> Result<PathBuf> {
    let folder = places::root().join("end2end");
    let lock = fs::read(folder.join("package-lock.json"))?;
    let packages = places::cache().join("node").join(stamp::of_bytes(&[&lock]));
    if !packages.join("complete").is_file() {
        drop(fs::remove_dir_all(&packages));
        fs::create_dir_all(&packages)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(folder.join(file), packages.join(file))?;
        }
        shell::run(
            Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&packages),
        )?;
        fs::write(packages.join("complete"), "")?;
    }
    Ok(packages.join("node_modules"))
}

/// Playwright, with its packages.
fn end_to_end(binary: &Path) -> Result {
    let folder = places::root().join("end2end");
    let packages = node_modules()?;
    let here = folder.join("node_modules");
    if here.is_symlink() {
        fs::remove_file(&here)?;
    }
    if !here.exists() {
        symlink(packages, &here)?;
    }
    let chromium: PathBuf = setup::browser().ok_or("Chromium is not installed: make setup")?;
    let mut playwright = Command::new("npx");
    playwright.args(["--no-install", "playwright", "test"]).current_dir(&folder);
    shell::run(playwright.env("AGENTFLOW_BINARY", binary).env("CHROMIUM", chromium))
}
