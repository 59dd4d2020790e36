//! The log: lines for people on a terminal, JSON everywhere else.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::config::{Log, LogFormat};

/// What of all that is told comes into the log.
#[must_use]
pub fn filter(words: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(words).unwrap_or_else(|_| EnvFilter::new("info"));
    // The library for models logs the bodies of refusals, and providers repeat parts of keys in those.
    let filter = match "genai=off".parse() {
        Ok(off) => filter.add_directive(off),
        Err(_) => filter,
    };
    // The library of the job queue tells of each job that it is done.
    match "graphile_worker=warn".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    }
}

/// Starts the log. A second call changes nothing, so tests may call it as often as they like.
pub fn init(config: &Log) {
    let filter = filter(&config.filter);
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let result = if json {
        let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(lines.with_writer(io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_target(false).with_writer(io::stderr)).try_init()
    };
    // Started before: it stays as it is.
    drop(result);
}
