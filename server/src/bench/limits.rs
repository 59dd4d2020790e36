//! What this machine's PostgreSQL can do at best: commits of one row, by its own pgbench.

use super::{Options, cluster::Cluster, report::Report, report::Section, store};
use crate::startup::Trouble;

/// Measures 1, 8 and 32 clients.
pub async fn measure(cluster: &Cluster, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    let mut section = Section::new("limits", "pgbench: one row per commit");
    store::make_pgbench_table(&cluster.superuser_url()).await?;
    let script = cluster.folder().join("bench.sql");
    let text = "insert into bench_rows (state, data) values ('running', '{\"from\": \"step1\"}');\n";
    std::fs::write(&script, text).map_err(|error| Trouble::new(format!("{}: {error}", script.display()), ""))?;
    let seconds = options.size(5).to_string();
    for clients in ["1", "8", "32"] {
        let Some(mut pgbench) = cluster.program("pgbench") else {
            section.line("pgbench is not installed", 0.0, "");
            break;
        };
        pgbench.args(["-n", "-M", "prepared", "-j", "2", "-T", &seconds, "-c", clients, "-f"]).arg(&script);
        let output = pgbench.output().await.map_err(|error| Trouble::new(format!("pgbench: {error}"), ""))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
        let Some(rate) = rate else {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Trouble::new(format!("pgbench failed: {words}"), ""));
        };
        section.line(format!("{clients} clients"), rate, "commits/s");
    }
    report.add(section);
    Ok(())
}
