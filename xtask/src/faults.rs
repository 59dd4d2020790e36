//! The tests that break the built server from outside (`server/tests/faults`).

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use clap::Args;

use crate::{Result, cluster, places, shell};

/// What is broken, and how often.
#[derive(Debug, Clone, Default, Args)]
pub struct Faults {
    /// A minute or so, with a little of everything
    #[arg(long)]
    short: bool,
    /// How often processes are killed in the main part
    #[arg(long)]
    kills: Option<usize>,
    /// How often the database is stopped in the main part
    #[arg(long)]
    stops: Option<usize>,
    /// What chooses moments and victims
    #[arg(long)]
    seed: Option<u64>,
    /// The most minutes of the main part
    #[arg(long)]
    minutes: Option<u64>,
    /// Only these parts, by commas
    #[arg(long)]
    only: Option<String>,
    /// Write finished runs of the main part down, for the tests of later versions (server/tests/histories)
    #[arg(long)]
    record: Option<PathBuf>,
    /// Build the server with each of three mistakes, and see that the tests notice
    #[arg(long)]
    prove: bool,
}

/// The mistakes of `src/engine/store/broken.rs`, and the guarantees that each of them breaks.
const MISTAKES: [(&str, &[&str]); 3] = [("no_fence", &["G7"]), ("early_ack", &["G3", "G7"]), ("serial_feed", &["G10"])];

impl Faults {
    /// The short form, a part of `make test`.
    #[must_use]
    pub fn short() -> Self {
        Self { short: true, ..Self::default() }
    }

    /// Runs the tests.
    ///
    /// # Errors
    /// When something is broken.
    pub fn run(&self) -> Result {
        if self.prove {
            return MISTAKES.iter().try_for_each(|(name, broken)| self.prove(name, broken));
        }
        let former = if self.has_part("versions") { former()? } else { None };
        shell::step("faults");
        let mut command = self.command();
        if let Some(former) = former {
            command.arg("--former").arg(former);
        }
        if let Some(file) = &self.record {
            command.arg("--record").arg(std::path::absolute(file)?);
        }
        shell::run(&mut command)
    }

    fn has_part(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|part| part == name))
    }

    /// The tests fail on a server with this mistake, at the right place.
    fn prove(&self, mistake: &str, broken: &[&str]) -> Result {
        shell::step(&format!("faults of a server with the mistake {mistake}"));
        let binary = mistaken(mistake)?;
        let output =
            Self { short: true, prove: false, ..self.clone() }.command().arg("--binary").arg(binary).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let found: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("BROKEN")).collect();
        let hit = found.iter().find(|line| line.split_whitespace().nth(1).is_some_and(|name| broken.contains(&name)));
        match hit {
            Some(line) if !output.status.success() => {
                eprintln!("{mistake} was noticed: {} findings, such as\n  {line}", found.len());
                Ok(())
            }
            _ => Err(format!("{mistake} was not noticed:\n{said}").into()),
        }
    }

    fn command(&self) -> Command {
        let mut cargo = shell::cargo(&["test", "--quiet", "--package", "server", "--test", "faults", "--", "run"]);
        if let Some(binaries) = cluster::binaries() {
            cargo.env("PG_BIN_DIR", binaries);
        }
        if self.short {
            cargo.arg("--short");
        }
        let numbers = [
            ("--kills", self.kills.map(|number| number as u64)),
            ("--stops", self.stops.map(|number| number as u64)),
            ("--seed", self.seed),
            ("--minutes", self.minutes),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                cargo.arg(name).arg(number.to_string());
            }
        }
        if let Some(only) = &self.only {
            cargo.args(["--only", only]);
        }
        let commit = shell::output(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
        cargo.arg("--commit").arg(commit.map_or_else(|_| "unknown".to_owned(), |commit| commit.trim().to_owned()));
        cargo
    }
}

/// The server of the commit before the newest change of the schema: it must be able to go on beside this one. Its
/// migrations are all among these, as they are: a commit with others was never released. `None` where that commit is not
/// there, as in a clone without history.
fn former() -> Result<Option<PathBuf>> {
    let git = |arguments: &[&str]| shell::output(Command::new("git").args(arguments).current_dir(places::root()));
    let Ok(added) = git(&["log", "--diff-filter=A", "--format=%H", "--", "migrations"]) else { return Ok(None) };
    let before = |added: &str| {
        let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{}^", added.trim())]).ok()?;
        let changed = ["diff", "--no-renames", "--diff-filter=DM", "--name-only", commit.trim(), "--", "migrations"];
        git(&changed).is_ok_and(|files| files.trim().is_empty()).then_some(commit)
    };
    let Some(commit) = added.lines().find_map(before) else { return Ok(None) };
    let commit = commit.trim();
    let folder = places::cache().join("former").join(commit);
    let kept = folder.join("agentflow");
    if kept.is_file() {
        return Ok(Some(kept));
    }
    shell::step(&format!("the server of {}, before the newest change of the schema", &commit[..8]));
    let source = folder.join("source");
    drop(fs::remove_dir_all(&source));
    fs::create_dir_all(&source)?;
    let archive = folder.join("source.tar");
    shell::run(
        Command::new("git")
            .args(["archive", "--format=tar", "-o"])
            .arg(&archive)
            .arg(commit)
            .current_dir(places::root()),
    )?;
    shell::run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&source))?;
    // A target folder apart: cargo would take this tree's crates for those.
    let target = places::target().join("former");
    let mut cargo = shell::cargo(&["build", "--quiet", "--package", "server", "--bin", "agentflow"]);
    shell::run(cargo.current_dir(&source).env("CARGO_TARGET_DIR", &target))?;
    fs::copy(target.join("debug/agentflow"), &kept)?;
    fs::remove_dir_all(&source)?;
    fs::remove_file(&archive)?;
    Ok(Some(kept))
}

/// The server with a mistake, in a target folder apart: a flag that only the project's own crates are compiled with.
fn mistaken(mistake: &str) -> Result<PathBuf> {
    let folder = places::target().join("faults");
    let kept = folder.join(mistake);
    fs::create_dir_all(&kept)?;
    let wrapper = kept.join("rustc");
    fs::write(&wrapper, format!("#!/bin/sh\nexec \"$@\" --cfg 'agentflow_fault=\"{mistake}\"'\n"))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let mut cargo = shell::cargo(&["build", "--quiet", "--package", "server", "--bin", "agentflow"]);
    shell::run(cargo.env("CARGO_TARGET_DIR", &folder).env("RUSTC_WORKSPACE_WRAPPER", wrapper))?;
    let binary = kept.join("agentflow");
    fs::copy(folder.join("debug/agentflow"), &binary)?;
    Ok(binary)
}
