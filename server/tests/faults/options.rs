//! What the harness is told on its command line, and how much work follows from it.

use std::path::PathBuf;

use agentflow::engine::retry::scramble;
use clap::{Parser, Subcommand};

/// The command line.
#[derive(Debug, Parser)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Breaks things and checks what is left
    Run(Options),
}

impl Cli {
    /// What is to be run; nothing, when nobody asked for it.
    pub fn wanted() -> Option<Options> {
        match Self::try_parse().map(|cli| cli.command) {
            Ok(Some(Command::Run(options))) => Some(options),
            Ok(_) => None,
            // Words of `cargo test`, such as `--quiet`; a mistake behind `run` is told.
            Err(_) if std::env::args().nth(1).as_deref() != Some("run") => None,
            Err(error) => error.exit(),
        }
    }
}

/// How much is broken, and from which seed.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A minute or so, with a little of everything
    #[arg(long)]
    pub short: bool,
    /// How often processes are killed in the main part
    #[arg(long)]
    kills: Option<usize>,
    /// How often the database is stopped in the main part
    #[arg(long)]
    stops: Option<usize>,
    /// The most minutes of the main part
    #[arg(long)]
    minutes: Option<u64>,
    /// What chooses moments and victims
    #[arg(long, default_value_t = 20_261_120)]
    pub seed: u64,
    /// Only these parts, by commas
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Another binary than the one that was built with this test
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// The server of the commit before the newest change of the schema
    #[arg(long)]
    pub former: Option<PathBuf>,
    /// Writes finished runs of the main part down, for the test that reads them with later versions
    #[arg(long)]
    pub record: Option<PathBuf>,
    /// The folder of PostgreSQL's programs
    #[arg(long, env = "PG_BIN_DIR")]
    pub postgres: Option<PathBuf>,
    /// The commit, for the report
    #[arg(long, default_value = "unknown")]
    pub commit: String,
}

/// How much of each thing.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Kills in the main part.
    pub kills: usize,
    /// Owners that are stopped for longer than their lease.
    pub pauses: usize,
    /// Hard stops of the database.
    pub stops: usize,
    /// The most seconds of the main part.
    pub seconds: u64,
    /// Milliseconds between two starts of the load.
    pub pace_ms: u64,
    /// Approvals, and deciders of each.
    pub approvals: (usize, usize),
    /// Keys that are started with fifty times at once.
    pub keys: usize,
    /// Runs that are cancelled.
    pub cancels: usize,
    /// Boots of the crash loop, and runs that wait meanwhile.
    pub boots: (usize, usize),
    /// Kills under calls that must not be repeated.
    pub once: usize,
    /// Seconds of the parts that are about who works beside whom.
    pub beside_s: u64,
    /// Good runs beside a poisonous one.
    pub good: usize,
    /// Open streams while a process ends.
    pub streams: usize,
    /// Runs of another organization that wait, and starts beside them, one a second.
    pub flood: (usize, usize),
}

impl Options {
    /// How much of each thing.
    pub fn extent(&self) -> Extent {
        let usual = if self.short {
            Extent {
                kills: 8,
                pauses: 1,
                stops: 1,
                seconds: 40,
                pace_ms: 180,
                approvals: (4, 32),
                keys: 2,
                cancels: 12,
                boots: (4, 20),
                once: 6,
                beside_s: 6,
                good: 12,
                streams: 20,
                flood: (1_000, 6),
            }
        } else {
            Extent {
                kills: 300,
                pauses: 15,
                stops: 20,
                seconds: 3_600,
                pace_ms: 150,
                approvals: (500, 32),
                keys: 200,
                cancels: 1_000,
                boots: (30, 500),
                once: 300,
                beside_s: 45,
                good: 50,
                streams: 100,
                flood: (10_000, 60),
            }
        };
        Extent {
            kills: self.kills.unwrap_or(usual.kills),
            stops: self.stops.unwrap_or(usual.stops),
            seconds: self.minutes.map_or(usual.seconds, |minutes| minutes * 60),
            ..usual
        }
    }
}

/// A folder for what processes say; named in the environment while looking for a fault.
pub fn log_folder() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the rule is the server's; this is a test")]
    std::env::var("AGENTFLOW_FAULTS_LOG").ok().map(PathBuf::from)
}

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The dice of a seed, and of what they are thrown for.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self { state: scramble(seed ^ scramble(purpose)) }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state = scramble(self.state);
        (self.state % bound.max(1) as u64) as usize
    }

    /// A number of milliseconds in between.
    pub fn millis(&mut self, from: usize, to: usize) -> std::time::Duration {
        std::time::Duration::from_millis((from + self.below(to - from + 1)) as u64)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}
