//! Breaks the built server from outside and checks what it promised: processes are killed and stopped at moments that a
//! seed chooses, the database is stopped hard, clocks are wrong, while a load of all shapes of runs goes on against a
//! model and a tool server that write down each call before they answer it. `docs/faults.md` tells the whole.
//!
//! `cargo xtask faults` runs it. `cargo test` alone leaves it out: it takes its time.

#![expect(clippy::expect_used, reason = "in a test it is how it fails")]

mod approvals;
mod arena;
mod cancels;
mod chaos;
mod checks;
mod client;
mod clocks;
mod crash_loop;
mod drain;
mod dump;
mod fairness;
mod faults;
mod load;
mod model;
mod options;
mod outside;
mod place;
mod poison;
mod postgres;
mod processes;
mod readers;
mod record;
mod report;
mod roles;
mod snapshot;
mod starts;
mod uncertain;
mod versions;

use std::process::ExitCode;

use arena::Arena;
use options::{Cli, Options};
use report::{Part, Stamp};

fn main() -> ExitCode {
    let Some(options) = Cli::wanted() else {
        println!("faults: left out; `cargo xtask faults` runs them");
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let total = runtime.block_on(run(options));
    if total.findings().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(options: Options) -> Part {
    let stamp = Stamp { seed: options.seed, commit: options.commit.clone() };
    let arena = Arena::make(options).await;
    let short =
        ["chaos", "starts", "approvals", "cancels", "drain", "poison", "uncertain", "fairness", "roles", "versions"];
    let wanted = |name: &str| match arena.options.only.as_slice() {
        [] => !arena.options.short || short.contains(&name),
        only => only.iter().any(|wanted| wanted == name),
    };
    let mut parts = Vec::new();
    macro_rules! part {
        ($($name:ident)*) => { $(
            if wanted(stringify!($name)) {
                parts.push($name::run(&arena).await.end(&stamp));
            }
        )* };
    }
    part!(chaos starts approvals cancels drain clocks poison uncertain crash_loop fairness dump roles versions);
    report::total(&parts, &stamp)
}
