//! The binary `agentflow`: one server, and the commands that go with it.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    server::cli::Cli::parse().run()
}
