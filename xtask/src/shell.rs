//! Running other programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Result, places};

/// A cargo command in the repository. SQL is checked against `.sqlx`, whatever database the environment names.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(places::variable("CARGO").unwrap_or_else(|| "cargo".to_owned()));
    command.args(arguments).current_dir(places::root()).env("CARGO_TARGET_DIR", places::target());
    command.env("SQLX_OFFLINE", "true").env_remove("SQLX_OFFLINE_DIR").env_remove("DATABASE_URL");
    command
}

/// Runs a command and lets it speak.
///
/// # Errors
/// When it fails.
pub fn run(command: &mut Command) -> Result {
    let status = command.status().map_err(|error| format!("{}: {error}", words(command)))?;
    if status.success() { Ok(()) } else { Err(format!("failed: {}", words(command)).into()) }
}

/// Runs a command and gives what it printed.
///
/// # Errors
/// When it fails, with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", words(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("failed: {}\n{}", words(command), said.trim()).into())
}

/// The program of this name on the search path.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = places::variable("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Says which step begins.
pub fn step(words: &str) {
    eprintln!("\n== {words}");
}

/// The files below a folder (or the file itself), in order.
pub fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.push(path.to_owned());
        return;
    }
    let mut entries: Vec<_> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.file_name().is_some_and(|name| name != "node_modules" && name != "target") {
            files(&entry, found);
        }
    }
}

fn words(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}
