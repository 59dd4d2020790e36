//! The benchmark itself: that it runs from beginning to end. What it measures is no test's business.

use clap::Parser;
use server::{bench, config::Config};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: bench::Options,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tiny_benchmark_runs_and_prints_json() {
    let arguments = ["bench", "--json", "--scale", "0.004", "--repeat", "1", "--old-events", "400"];
    let Line { options } = Line::parse_from(arguments);
    let config = Config::read(&|_| None).expect("settings");
    let report = bench::measure(config, &options).await.expect("benchmark");
    let report: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    let sections = report["sections"].as_array().expect("sections");
    let names: Vec<_> = sections.iter().filter_map(|section| section["name"].as_str()).collect();
    assert_eq!(names, ["limits", "w1", "w2, 1 wide", "w2, 4 wide", "w3", "stream", "wake", "memory", "history"]);
    for line in sections.iter().flat_map(|section| section["lines"].as_array().expect("lines")) {
        assert!(line["value"].is_number(), "{line}");
    }
}

#[tokio::test]
async fn the_benchmark_keeps_away_from_the_operators_database() {
    let Line { options } = Line::parse_from(["bench"]);
    let config = Config::read(&|name| (name == "DATABASE_URL").then(|| "postgres://x@localhost/x".to_owned()));
    let trouble = bench::measure(config.expect("settings"), &options).await.expect_err("a refusal");
    assert!(trouble.to_string().contains("DATABASE_URL"), "{trouble}");
}
