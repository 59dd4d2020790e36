//! Lines of a run's log in the panel of a step. The log itself is in [`crate::logs`].

use agentflow::{
    engine::journal::LogLevel,
    kernel::{Timestamp, text},
    runs::LogLine,
};
use leptos::prelude::*;

use crate::kit::time::{browser_now, for_machines};

/// One line: when, how serious, what.
pub fn log_row(line: &LogLine, zero: Timestamp) -> AnyView {
    let after = format!("+{}", text::duration((line.at - zero).num_milliseconds()));
    let level = match line.level {
        LogLevel::Debug | LogLevel::Info => "log-level neutral",
        LogLevel::Warn => "log-level warning",
        LogLevel::Error => "log-level danger",
    };
    view! {
        <li class="log-line">
            <span class="log-seq">{line.seq}</span>
            <time class="log-at" datetime=for_machines(line.at)>{after}</time>
            <span class=level>{line.level.as_str()}</span>
            <span class="log-text">{line.message.clone()}</span>
        </li>
    }
    .into_any()
}

/// The browser's clock as the server's: how far apart they are.
#[must_use]
pub fn clock_offset(server: Timestamp) -> i64 {
    server.timestamp_millis() - browser_now()
}
