//! What is published: the form of the guarantees for each part and in total, and what was found broken.

use std::{collections::BTreeMap, time::Instant};

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The number of the guarantee, such as `G7`.
    pub guarantee: &'static str,
    /// What was seen.
    pub what: String,
}

/// One part of the tests and its figures.
pub struct Part {
    /// What it is called.
    pub name: String,
    begun: Instant,
    minutes: f64,
    /// Runs that were accepted.
    pub runs: usize,
    /// Steps that they had.
    pub steps: usize,
    /// Faults, by kind.
    pub faults: BTreeMap<String, usize>,
    /// Accepted runs that are gone.
    pub lost: usize,
    /// Calls that came more than once.
    pub raw: usize,
    /// Effects that would have happened twice at a service that knows the idempotency key.
    pub doubled: usize,
    /// Results that were read in two ways.
    pub conflicting: usize,
    /// Runs that came to no end.
    pub stuck: usize,
    /// Milliseconds from each fault until work went on.
    pub recovery: Vec<u64>,
    /// Requests to processes that nothing was done to, and those of them that were served.
    pub offered: (usize, usize),
    notes: Vec<(&'static str, String)>,
    findings: Vec<Finding>,
}

impl Part {
    /// A part that begins now.
    pub fn new(name: &str) -> Self {
        eprintln!("\n== {name}");
        Self {
            name: name.to_owned(),
            begun: Instant::now(),
            minutes: 0.0,
            runs: 0,
            steps: 0,
            faults: BTreeMap::new(),
            lost: 0,
            raw: 0,
            doubled: 0,
            conflicting: 0,
            stuck: 0,
            recovery: Vec::new(),
            offered: (0, 0),
            notes: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Counts a fault.
    pub fn fault(&mut self, kind: &str) {
        *self.faults.entry(kind.to_owned()).or_default() += 1;
    }

    /// A figure of a guarantee.
    pub fn note(&mut self, guarantee: &'static str, figure: impl Into<String>) {
        self.notes.push((guarantee, figure.into()));
    }

    /// Something that must not be.
    pub fn find(&mut self, guarantee: &'static str, what: impl Into<String>) {
        self.findings.push(Finding { guarantee, what: what.into() });
    }

    /// Something that must not be, where it is so.
    pub fn find_if(&mut self, wrong: bool, guarantee: &'static str, what: impl FnOnce() -> String) {
        if wrong {
            self.find(guarantee, what());
        }
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The part has ended: its figures are printed.
    pub fn end(mut self, stamp: &Stamp) -> Self {
        self.minutes = self.begun.elapsed().as_secs_f64() / 60.0;
        println!("\n── {} ──", self.name);
        println!("{}", self.form(stamp));
        for (guarantee, figure) in &self.notes {
            println!("  {guarantee:<4} {figure}");
        }
        print_findings(&self.findings);
        self
    }

    /// The report form of the guarantees.
    fn form(&self, stamp: &Stamp) -> String {
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
        let (offered, served) = self.offered;
        let share = if offered == 0 { 100.0 } else { served as f64 * 100.0 / offered as f64 };
        format!(
            "  runs {} · steps {} · faults {} ({faults}) · minutes {:.1} · seed {} · commit {}\n  lost {} · duplicated {} \
             raw / {} after dedup · conflicting {} · stuck {} · recovery {}\n  operations between faults {served} of \
             {offered} ({share:.1} %)",
            self.runs,
            self.steps,
            self.faults.values().sum::<usize>(),
            self.minutes,
            stamp.seed,
            stamp.commit,
            self.lost,
            self.raw,
            self.doubled,
            self.conflicting,
            self.stuck,
            quantiles(&self.recovery),
        )
    }
}

/// What every report names.
pub struct Stamp {
    /// The seed that chose the moments.
    pub seed: u64,
    /// The commit that was tested.
    pub commit: String,
}

/// All parts together.
pub fn total(parts: &[Part], stamp: &Stamp) -> Part {
    let mut total = Part::new("total");
    for part in parts {
        total.minutes += part.minutes;
        total.runs += part.runs;
        total.steps += part.steps;
        total.lost += part.lost;
        total.raw += part.raw;
        total.doubled += part.doubled;
        total.conflicting += part.conflicting;
        total.stuck += part.stuck;
        total.recovery.extend(&part.recovery);
        total.offered.0 += part.offered.0;
        total.offered.1 += part.offered.1;
        total.findings.extend(part.findings.iter().cloned());
        for (kind, count) in &part.faults {
            *total.faults.entry(kind.clone()).or_default() += count;
        }
    }
    println!("\n══ total ══\n{}", total.form(stamp));
    // Once more, where whoever reads the end alone sees them.
    print_findings(&total.findings);
    let kills: usize = total.faults.iter().filter(|(kind, _)| kind.contains("kill")).map(|(_, count)| count).sum();
    if kills > 0 && total.findings.is_empty() {
        println!(
            "  nothing broken in {kills} kills: with 95 % certainty fewer than {:.1} % of kills break",
            300.0 / kills as f64
        );
    }
    total
}

/// The first of each kind say enough.
fn print_findings(findings: &[Finding]) {
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for Finding { guarantee, what } in findings {
        let count = shown.entry(guarantee).or_default();
        *count += 1;
        if *count <= 8 {
            println!("  BROKEN {guarantee:<4} {what}");
        }
    }
    for (guarantee, count) in shown.into_iter().filter(|(_, count)| *count > 8) {
        println!("  BROKEN {guarantee:<4} … and {} more", count - 8);
    }
}

/// p50, p95 and the largest of milliseconds, in words.
pub fn quantiles(values: &[u64]) -> String {
    let mut values = values.to_vec();
    values.sort_unstable();
    let at = |share: usize| values.get(values.len().saturating_sub(1) * share / 100).copied().unwrap_or(0);
    match values.last() {
        None => "–".to_owned(),
        Some(last) => format!("p50 {} / p95 {} / max {last} ms (n = {})", at(50), at(95), values.len()),
    }
}
