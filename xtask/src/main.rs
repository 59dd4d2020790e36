//! The build, and the project's own checks. `make help` lists what people use; `cargo xtask help` lists everything.

mod assets;
mod build;
mod bundles;
mod checks;
mod cluster;
mod contrast;
mod dev;
mod faults;
mod places;
mod prepare;
mod setup;
mod shell;
mod stamp;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The result of every step.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(name = "xtask", about = "The build and the checks of AgentFlow")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing on this machine
    Setup {
        /// What the tests need, too: Node and Chromium
        #[arg(long)]
        tests: bool,
    },
    /// Build the browser's half, the styles and the server
    Build {
        /// Small and fast, for people to use
        #[arg(long)]
        release: bool,
    },
    /// Build for release if anything has changed, and start the server
    Run,
    /// Build for development, start the server, and do both again on every change
    Dev,
    /// Run every check and every test
    Test {
        /// Without the tests in a browser
        #[arg(long)]
        no_browser: bool,
    },
    /// Break the built server from outside, and check what it promised
    Faults(faults::Faults),
    /// Run the checks that need no test: format, lints, layers, SQL data, contrast
    Check,
    /// Build the browser's half for release and say how large it is
    Sizes,
    /// Renew the data that SQL statements are checked against (`.sqlx`)
    Prepare {
        /// Only say whether it is up to date
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup { tests } => setup::setup(tests),
        Command::Build { release } => build::build(build::Mode::new(release)).map(drop),
        Command::Run => build::run(),
        Command::Dev => dev::dev(),
        Command::Test { no_browser } => test::test(!no_browser),
        Command::Faults(faults) => faults.run(),
        Command::Check => test::check(),
        Command::Sizes => build::browsers_half(build::Mode::Release).and_then(|()| checks::sizes()),
        Command::Prepare { check } => prepare::prepare(check),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error}");
            ExitCode::FAILURE
        }
    }
}
