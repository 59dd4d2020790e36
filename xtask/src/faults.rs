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
        shell::step("faults");
        shell::run(&mut self.command())
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
