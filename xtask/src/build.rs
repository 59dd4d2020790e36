//! The browser's half, the styles, and the server that carries both.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Result, assets, places, setup, shell,
    stamp::{self, Stamp},
};

/// How to build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Quickly, again and again.
    Dev,
    /// Small and fast, for people to use.
    Release,
}

impl Mode {
    /// The mode of the flag.
    pub fn new(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }

    /// Its name in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

/// Where the files for the browser are put together.
pub fn site(mode: Mode) -> PathBuf {
    places::target().join("site").join(mode.name())
}

/// The binary.
pub fn binary(mode: Mode) -> PathBuf {
    places::target().join(if mode == Mode::Release { "release" } else { "debug" }).join("agentflow")
}

/// Builds everything that has changed. Gives the binary.
///
/// # Errors
/// When a step fails.
pub fn build(mode: Mode) -> Result<PathBuf> {
    let whole = Stamp::at(&places::target().join(format!("agentflow-{}.stamp", mode.name())));
    let state = stamp::of_inputs()?;
    let binary = binary(mode);
    if whole.says(&state) && binary.is_file() {
        return Ok(binary);
    }
    whole.clear();
    browsers_half(mode)?;
    shell::step("the server");
    let mut cargo = shell::cargo(&["build", "--package", "server"]);
    if mode == Mode::Release {
        cargo.arg("--release");
    }
    shell::run(cargo.env("AGENTFLOW_ASSETS", site(mode)))?;
    whole.set(&state)?;
    Ok(binary)
}

/// Builds what the browser loads.
///
/// # Errors
/// When a step fails.
pub fn browsers_half(mode: Mode) -> Result {
    setup::wasm_target()?;
    shell::step("the browser's half");
    let wasm = browser(mode)?;
    assets::assemble(&wasm, &site(mode), mode)
}

/// Compiles the browser's half. Gives the module.
fn browser(mode: Mode) -> Result<PathBuf> {
    let profile = if mode == Mode::Release { "wasm-release" } else { "dev" };
    let arguments =
        ["build", "--package", "frontend", "--lib", "--target", "wasm32-unknown-unknown", "--profile", profile];
    let mut cargo = shell::cargo(&arguments);
    shell::run(cargo.env("CARGO_TARGET_DIR", places::browser_target()))?;
    let folder = if mode == Mode::Release { profile } else { "debug" };
    Ok(places::browser_target().join("wasm32-unknown-unknown").join(folder).join("frontend.wasm"))
}

/// Makes what is missing, builds what has changed, and becomes the server.
///
/// # Errors
/// When a step fails.
pub fn run() -> Result {
    setup::setup(false)?;
    let binary = build(Mode::Release)?;
    Err(become_server(&binary).into())
}

/// From here on this process is the server: signals reach it, and its exit code is ours.
fn become_server(binary: &Path) -> std::io::Error {
    Command::new(binary).arg("serve").exec()
}

/// Writes a file, making its folder.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, content)?)
}
