//! The tests that break the built server from outside (`server/tests/faults`).

use std::process::Command;

use clap::Args;

use crate::{Result, cluster, shell};

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
}

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
        shell::step("faults");
        shell::run(&mut self.command())
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
