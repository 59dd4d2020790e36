//! What the panel shows of a step, or of the run while none is selected: what went in and out, the log, the events. The
//! server writes it; here is only what is asked for, and when.

#[cfg(feature = "ssr")]
mod answer;
#[cfg(feature = "ssr")]
pub mod written;

use agentflow::{
    engine::{journal::StepView, state::StepId},
    kernel::{Error, RunId},
};
use leptos::{prelude::*, task::spawn_local};
use serde::{Deserialize, Serialize};

use super::{api, model::RunModel};
use crate::kit::{Failure, Skeleton, fragment::Html};

/// How long a selection has to rest before its part is fetched.
const REST: std::time::Duration = std::time::Duration::from_millis(80);

/// What of a step is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tab {
    /// What went in and came out.
    #[default]
    Io,
    /// Its lines of the log.
    Logs,
    /// When it did what.
    Timing,
    /// Its part of the journal.
    Events,
}

impl Tab {
    /// All of them, in the order of the panel.
    pub const ALL: [Self; 4] = [Self::Io, Self::Logs, Self::Timing, Self::Events];

    /// The tab of a word in the address.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|tab| tab.word() == word).unwrap_or_default()
    }

    /// The word in the address.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Logs => "logs",
            Self::Timing => "timing",
            Self::Events => "events",
        }
    }

    /// The words on screen.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Io => "Input and output",
            Self::Logs => "Log",
            Self::Timing => "Timing",
            Self::Events => "Events",
        }
    }
}

/// What is to be shown, and of which moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The step; the run itself without one.
    pub step: Option<StepId>,
    /// The tab.
    pub tab: Tab,
    /// Whether values come along however large they are.
    pub full: bool,
    /// The state and the attempt, and how many lines of its log came live: when these change, so may the part.
    moment: (String, u32, usize),
}

impl Wanted {
    /// What a tab shows of a step as it stands.
    #[must_use]
    pub fn of(step: &StepView, tab: Tab, full: bool, lines: usize) -> Self {
        let moment = (step.state.as_str().to_owned(), step.attempt, if tab == Tab::Logs { lines } else { 0 });
        Self { step: Some(step.id.clone()), tab, full, moment }
    }

    /// What is shown of the run itself.
    #[must_use]
    pub fn of_run(state: &str, full: bool) -> Self {
        Self { step: None, tab: Tab::Io, full, moment: (state.to_owned(), 0, 0) }
    }

    /// Whether both are the same part, of whatever moment.
    fn is_part_of(&self, other: &Self) -> bool {
        self.step == other.step && self.tab == other.tab
    }
}

/// A part, and for what it was fetched. What the page begins with is in its HTML, and not in its data once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// For what.
    pub wanted: Wanted,
    /// Why there is none.
    pub failed: Option<Error>,
    /// The part.
    #[serde(skip)]
    pub html: Html,
}

/// Fetches a part.
pub async fn fetch(org: String, run: RunId, wanted: Wanted) -> Fetched {
    let fetched = match &wanted.step {
        _ if wanted.tab == Tab::Timing => Ok(Html::default()),
        Some(step) => api::step_part(org, run, step.clone(), wanted.tab, wanted.full).await,
        None => api::run_part(org, run, wanted.full).await,
    };
    match fetched {
        Ok(html) => Fetched { wanted, failed: None, html },
        Err(error) => Fetched { wanted, failed: Some(error.0), html: Html::default() },
    }
}

/// The part that is wanted, once it rests. While a step goes on, what was fetched before stays until the next is there.
#[component]
pub fn Part(
    /// The run.
    model: RunModel,
    /// What is wanted.
    wanted: Memo<Wanted>,
    /// What came with the page.
    first: Option<Fetched>,
) -> impl IntoView {
    let fetched = RwSignal::new(first);
    Effect::new(move |_| {
        let now = wanted.get();
        if now.tab == Tab::Timing {
            return;
        }
        if fetched.with_untracked(|fetched| fetched.as_ref().is_some_and(|fetched| fetched.wanted == now)) {
            return;
        }
        let org = model.org.get_value();
        let ask = move || {
            spawn_local(async move {
                let answer = fetch(org, model.id, now).await;
                if wanted.try_get_untracked().as_ref() == Some(&answer.wanted) {
                    let _ = fetched.try_set(Some(answer));
                }
            });
        };
        if let Ok(timer) = set_timeout_with_handle(ask, REST) {
            on_cleanup(move || timer.clear());
        }
    });
    let html = Memo::new(move |_| {
        fetched.with(|fetched| fetched.as_ref().map(|fetched| fetched.html.clone().into_inner()).unwrap_or_default())
    });
    let is_timing = move || wanted.with(|wanted| wanted.tab == Tab::Timing);
    // One element that stays: what the server wrote into it at first stays until something else is fetched.
    let stage = Memo::new(move |_| {
        let wanted = wanted.get();
        // The times of a step are known here.
        if is_timing() {
            return Some(None);
        }
        fetched.with(|fetched| match fetched {
            Some(fetched) if fetched.wanted.is_part_of(&wanted) => Some(fetched.failed.clone()),
            _ => None,
        })
    });
    view! {
        <div hidden=move || stage.get() != Some(None) || is_timing() inner_html=move || html.get()></div>
        {move || match stage.get() {
            None => Some(view! { <Skeleton/> }.into_any()),
            Some(Some(error)) => Some(view! { <Failure error/> }.into_any()),
            Some(None) => None,
        }}
    }
    .into_any()
}
