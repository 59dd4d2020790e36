//! `agentflow seed`: large cases for tests and measurements, by the names of the design, made in an organization that is
//! there.
//!
//! All of it goes through the engine's own write path. What a workflow can do is done by a deployed workflow, the engine
//! and the sandbox model; what no workflow can make is written by hand, but through the same journal writer. The same seed
//! gives the same names, inputs, outputs, errors and lines; ids and times differ.

pub mod deep;
mod dice;
pub mod emit;
pub mod ground;
pub mod groups;
mod hand;
pub mod log;
pub mod month;

use std::time::{Duration, Instant};

use agentflow::{kernel::RunId, orgs};
use clap::Subcommand;

use crate::{
    config::Config,
    shutdown::Stop,
    startup::{Database, Trouble},
    state::State,
};
use emit::Emission;
use ground::{Ground, said};

/// What can be made.
#[derive(Debug, Subcommand)]
pub enum Seed {
    /// A run of 30,000 steps, of which three fail
    #[command(name = "run_30k")]
    Run30k(Target),
    /// A run that works on 400 items, of which nine fail
    #[command(name = "run_loop400")]
    RunLoop400(Target),
    /// A run that nests 40 levels deep, and fails at the bottom
    #[command(name = "run_deep")]
    RunDeep(Target),
    /// A run with a log of 100,000 lines, of which 1,922 hold the word "timeout"
    #[command(name = "log_100k")]
    Log100k(Target),
    /// A month of history: 3,000 ended runs of four workflows
    #[command(name = "org_month")]
    OrgMonth(Target),
    /// A run that goes on and emits events, for measuring how long one takes to a screen
    Emit {
        #[command(flatten)]
        target: Target,
        /// Events a second
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rate: u32,
        /// For how long: `90`, `90s` or `5m`
        #[arg(long = "for", default_value = "60s", value_parser = length)]
        length: Duration,
        /// Steps that the run has done before it begins to emit
        #[arg(long, default_value_t = 0)]
        steps: usize,
    },
}

/// Where, and by which chance.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The organization: `acme` in https://…/o/acme/
    #[arg(long)]
    org: String,
    /// The same number makes the same things
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Seed {
    /// Makes it, says what was made, and closes the database again.
    ///
    /// # Errors
    /// When there is no such organization, or the engine does not come to the end that was meant.
    pub async fn run(self, mut config: Config) -> Result<(), Trouble> {
        // Nobody watches the model write.
        config.models.sandbox_pause = Duration::ZERO;
        // An emission ends well when it is told to. The others leave runs that go on elsewhere, like any node that is lost.
        let stop = if matches!(self, Self::Emit { .. }) { Stop::on_signal()? } else { Stop::default() };
        let database = Database::open(&config).await?;
        let done = match State::new(config, database.db.clone(), stop.clone()).await {
            Ok(state) => Box::pin(self.make(&state, &stop)).await,
            Err(trouble) => Err(trouble),
        };
        database.close().await;
        done
    }

    async fn make(self, state: &State, stop: &Stop) -> Result<(), Trouble> {
        let Target { org, seed } = self.target().clone();
        let org = orgs::service::by_slug(&state.deps, &org).await.map_err(said)?;
        let ground = Ground::new(&state.deps, org);
        let begun = Instant::now();
        let (what, runs) = match self {
            Self::Run30k(_) => ("a run of 30,000 steps", vec![groups::many_steps(&ground, seed, 30_000, 3).await?]),
            Self::RunLoop400(_) => ("a run with 400 items", vec![groups::items(&ground, seed, 400, 9).await?]),
            Self::RunDeep(_) => ("a run of 40 levels", vec![deep::make(&ground, seed, 40).await?]),
            Self::Log100k(_) => ("a log of 100,000 lines", vec![log::make(&ground, seed, 100_000, 1_922).await?]),
            Self::OrgMonth(_) => ("a month of history", month::make(&ground, seed, 3_000).await?),
            Self::Emit { rate, length, steps, .. } => {
                let emission = Emission { rate, length, before: steps };
                // Told at once: whoever measures opens the page now.
                let begun = |run| tell(state, &ground, run);
                emit::make(&ground, emission, stop, begun).await?;
                ("an emission", Vec::new())
            }
        };
        eprintln!("Made {what} in {:.1} s.", begun.elapsed().as_secs_f64());
        runs.into_iter().for_each(|run| tell(state, &ground, run));
        Ok(())
    }

    fn target(&self) -> &Target {
        match self {
            Self::Run30k(target)
            | Self::RunLoop400(target)
            | Self::RunDeep(target)
            | Self::Log100k(target)
            | Self::OrgMonth(target)
            | Self::Emit { target, .. } => target,
        }
    }
}

/// A line for a script: the run, and the address of its page.
fn tell(state: &State, ground: &Ground, run: RunId) {
    println!("{run} {}{}", state.config.http.public_url, ground.page(run));
}

/// A length of time, as `90`, `90s` or `5m`.
fn length(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 = number.parse().map_err(|_| "write it as 90, 90s or 5m".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_seconds_or_minutes() {
        assert_eq!(length("90"), Ok(Duration::from_secs(90)));
        assert_eq!(length("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(length("5m"), Ok(Duration::from_secs(300)));
        assert!(length("soon").is_err() && length("").is_err() && length("-1").is_err());
    }
}
