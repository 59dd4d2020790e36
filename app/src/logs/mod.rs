//! The log of a run, and of all runs of an organization. The server writes the lines, what is above them, and marks what is
//! searched for; the browser asks for the blocks of lines around what is in sight, keeps few of them, and follows the end.

pub mod api;
#[cfg(feature = "ssr")]
mod bar;
mod hand;
#[cfg(feature = "ssr")]
mod part;
#[cfg(feature = "ssr")]
mod place;
#[cfg(feature = "ssr")]
mod row;
mod sight;
mod view;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use agentflow::kernel::{Error, RunId};

pub use view::LogView;

use crate::{
    frame::use_org,
    kit::{Html, PageFailure, PageHeader, Skeleton, Title},
    live::{Topic, use_live},
    wire::loading,
};

/// Lines of a block: blocks come, are drawn and go as a whole.
pub const BLOCK: u32 = 30;
/// Blocks that are drawn at most, while all that is in sight fits.
pub const BLOCKS: u32 = 4;

/// Where in the log to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spot {
    /// Where the address says; without that at the end.
    #[default]
    Address,
    /// At the lines that the address names after its `#`.
    Line,
    /// At the end.
    End,
    /// At a block.
    Block,
}

/// What the browser asks of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogAsk {
    /// The query of the address.
    pub address: String,
    /// What is behind its `#`.
    pub hash: String,
    /// The address of what the page shows, as the server told.
    pub known: Option<String>,
    /// Where to look.
    pub spot: Spot,
    /// The first block.
    pub block: u32,
    /// How many blocks; none for the numbers alone.
    pub blocks: u32,
    /// All that a page without JavaScript shows.
    pub whole: bool,
    /// The first line in sight, to be kept there if the lines are the same.
    pub top: Option<u64>,
    /// From which place on errors are counted.
    pub since: Option<u64>,
    /// When the lines of `known` begin, in microseconds since 1970, as the server told; so they do as long as they are the same.
    pub begin: Option<i64>,
    /// How many minutes the browser's clock is behind the world's, where it is known.
    pub zone: Option<i32>,
}

/// What is known of the lines that are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFacts {
    /// The address of what is shown.
    pub address: String,
    /// How many lines there are.
    pub total: u64,
    /// The first block that came.
    pub first: u32,
    /// How many lines each block has that came.
    pub counts: Vec<u32>,
    /// The line to be brought into sight; without one, the end.
    pub focus: Option<u64>,
    /// When the last line was written, in milliseconds since 1970.
    pub last_ms: i64,
    /// When the lines of an organization begin, in microseconds since 1970.
    pub begin: Option<i64>,
    /// How many errors there are from the place on that was asked for.
    pub errors: u64,
    /// Whether long lines are broken.
    pub wrap: bool,
    /// Whether times are to be written by the reader's clock, which was not known.
    pub wants_zone: bool,
    /// Whether only some of the lines are shown.
    pub filtered: bool,
}

/// What is put into the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHtml {
    /// The search, the filters and the chart; nothing where the page has them already.
    pub bar: Option<Html>,
    /// What was found.
    pub found: Html,
    /// The blocks of lines.
    pub rows: Html,
    /// The ways to older and newer lines, for reading without JavaScript.
    pub pages: Html,
}

/// A part of a log, as the server answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    /// What is known.
    pub facts: LogFacts,
    /// What is put into the page.
    pub html: LogHtml,
}

/// What a page begins with: its HTML is in the page, and not a second time in its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstLog {
    /// What is known.
    pub facts: LogFacts,
    /// The HTML; empty where the page came with it.
    #[serde(skip)]
    pub html: LogHtml,
}

/// Loads what a page begins with.
///
/// # Errors
/// As [`api::read_log`].
pub async fn first(org: String, run: Option<RunId>, address: String) -> Result<FirstLog, Error> {
    let ask = LogAsk { address, whole: true, ..LogAsk::default() };
    let LogPart { facts, html } = api::read_log(org, run, ask).await.map_err(|error| error.0)?;
    Ok(FirstLog { facts, html })
}

/// The page of the logs of all runs.
#[component]
pub fn LogsPage() -> impl IntoView {
    let org = use_org();
    let search = leptos_router::hooks::use_location().search;
    let slug = org.clone();
    let page = loading(
        || (),
        move |()| {
            let (org, search) = (slug.clone(), search.get_untracked());
            async move { Ok(first(org, None, search).await?) }
        },
    );
    let news = use_live().ticks(org.clone(), Topic::Runs);
    view! {
        <Title text=Signal::stored("Logs".to_owned())/>
        <PageHeader title=Signal::stored("Logs".to_owned())/>
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match page.await {
                        Ok(first) => {
                            let first = Some(Ok(first));
                            view! { <LogView org run=None first news ended=Signal::stored(false)/> }.into_any()
                        }
                        Err(error) => view! { <PageFailure error=error.0/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}
