//! The command line: `agentflow serve` (the default), `migrate`, `doctor`, `admin`, `bench`, `seed`, `completions`.

use std::{future::Future, process::ExitCode};

use agentflow::expressions::worker;
use clap::{CommandFactory, Parser, Subcommand};
#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{
    admin::Admin,
    bench,
    config::Config,
    seed::Seed,
    startup::{self, Trouble},
    workers::Role,
};

/// Runs AI agents and workflows, and keeps every step that they took.
#[derive(Debug, Parser)]
#[command(name = "agentflow", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server (this is what happens without a command, too)
    Serve {
        /// What this process does
        #[arg(long, value_enum, default_value_t = Role::All)]
        role: Role,
    },
    /// Bring the database to this version, and stop
    Migrate,
    /// Check everything that the server needs, and say what to do about what is wrong
    Doctor,
    /// Make accounts and API keys, reset passwords
    #[command(subcommand)]
    Admin(Admin),
    /// Measure what the engine costs, on a PostgreSQL of its own beside its limits
    Bench(bench::Options),
    /// Make large cases for tests and measurements, in an existing organization
    #[command(subcommand)]
    Seed(Seed),
    /// Evaluate expressions from standard input; the server starts itself so
    #[command(name = worker::COMMAND, hide = true)]
    EvaluateExpressions,
    /// Print the completions for a shell
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Does what the command line says.
    #[must_use]
    pub fn run(self) -> ExitCode {
        without_dumps();
        match self.command.unwrap_or(Command::Serve { role: Role::All }) {
            Command::Serve { role } => with_config(|config| {
                crate::run(Config { expression_worker: std::env::current_exe().ok(), ..config }, role)
            }),
            Command::EvaluateExpressions => match worker::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Command::Migrate => with_config(startup::migrate),
            Command::Doctor => with_config(startup::doctor),
            Command::Admin(admin) => with_config(|config| admin.run(config)),
            Command::Bench(options) => with_config(|config| bench::run(config, options)),
            Command::Seed(seed) => with_config(|config| seed.run(config)),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "agentflow", &mut std::io::stdout());
                ExitCode::SUCCESS
            }
        }
    }
}

/// Keeps what is in memory, keys among it, out of files: a crash writes no core dump, and no other process of the same user
/// looks into this one. Where the system refuses, the server starts all the same.
fn without_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Reads the settings, starts the log and the runtime, and reports what went wrong in words.
pub(crate) fn with_config<F>(work: impl FnOnce(Config) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Trouble>>,
{
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(troubles) => {
            for trouble in troubles {
                eprintln!("{trouble}");
            }
            return ExitCode::from(78);
        }
    };
    crate::telemetry::init(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("The system gives this process no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(Box::pin(work(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}
