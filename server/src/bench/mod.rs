//! `agentflow bench`: what the engine costs, measured on a PostgreSQL of its own beside the limits of the same machine in
//! the same minutes. Rates alone say little (disks and neighbours vary), so each is printed with its ratio to a floor: a
//! loop without an engine that writes the very same rows.
//!
//! Steps are calls through the engine's real port, answered at once: the engine is measured, not a tool.

mod cluster;
mod effects;
mod floor;
mod graphs;
mod history;
mod latency;
mod limits;
mod memory;
mod node;
mod place;
mod report;
mod stats;
mod store;
mod stream;
mod throughput;
mod wake;
mod watch;

use clap::ValueEnum;

use crate::{config::Config, startup::Trouble};
use place::Place;
use report::Report;

/// What `bench` is asked to do.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// What to measure; everything, where nothing is named
    #[arg(value_enum)]
    workloads: Vec<Workload>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Multiply the sizes of all workloads, such as 0.01 for a trial
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How often a workload and its floors are measured in turn; the medians are printed
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Events of ended runs that `history` puts into the tables first
    #[arg(long, default_value_t = 10_000_000)]
    old_events: u64,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Commits of one row with 1, 8 and 32 clients, by pgbench
    Limits,
    /// 500 runs of 5 steps one after the other
    W1,
    /// One run with 200, and one with 1,000 steps side by side, and a join
    W2,
    /// A run of 3 steps at a time: until its first step begins, until it is done
    W3,
    /// 10,000 waiting runs woken at once
    Wake,
    /// From an event's commit to 1, 100 and 1,000 readers over HTTP
    Stream,
    /// Memory of this process for waiting and for running runs
    Memory,
    /// W1 beside many old events, against W1 in empty tables
    History,
}

impl Options {
    /// Everything in this order: the tables are empty until `wake`, and full from `history` on.
    const ALL: [Workload; 8] = [
        Workload::Limits,
        Workload::W1,
        Workload::W2,
        Workload::W3,
        Workload::Stream,
        Workload::Wake,
        Workload::Memory,
        Workload::History,
    ];

    fn wants(&self, workload: Workload) -> bool {
        self.workloads.is_empty() || self.workloads.contains(&workload)
    }

    /// A size, scaled.
    fn size(&self, whole: usize) -> usize {
        ((whole as f64 * self.scale) as usize).max(1)
    }

    fn repeat(&self) -> usize {
        self.repeat.max(1)
    }
}

/// Measures what was asked for, and prints it.
///
/// # Errors
/// When PostgreSQL does not start, a database of the operator's is named, or a run of the benchmark fails.
pub async fn run(config: Config, options: Options) -> Result<(), Trouble> {
    let report = measure(config, &options).await?;
    if options.json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(())
}

/// Measures what was asked for.
///
/// # Errors
/// As [`run`].
pub async fn measure(config: Config, options: &Options) -> Result<Report, Trouble> {
    let cluster = cluster::Cluster::start(&config).await?;
    let measured = async {
        let place = Place::new(&cluster, config).await?;
        let mut report = Report::new(&place).await?;
        for workload in Options::ALL {
            if options.wants(workload) {
                eprintln!("measuring {}", workload.name());
                Box::pin(workload.measure(&cluster, &place, options, &mut report)).await?;
            }
        }
        Ok(report)
    };
    let measured = Box::pin(measured).await;
    cluster.remove().await;
    measured
}

impl Workload {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    async fn measure(
        self,
        cluster: &cluster::Cluster,
        place: &Place,
        options: &Options,
        report: &mut Report,
    ) -> Result<(), Trouble> {
        match self {
            Self::Limits => limits::measure(cluster, options, report).await,
            Self::W1 => throughput::w1(place, options, report).await,
            Self::W2 => throughput::w2(place, options, report).await,
            Self::W3 => latency::measure(place, options, report).await,
            Self::Stream => stream::measure(place, options, report).await,
            Self::Wake => wake::measure(place, options, report).await,
            Self::Memory => memory::measure(place, options, report).await,
            Self::History => history::measure(cluster, place, options, report).await,
        }
    }
}
