//! What changes while a page is open. One event stream per tab carries everything: the frame's counters and the run on
//! screen share it. It is closed while the tab is hidden and goes on from the last event when the tab comes back.
//!
//! The frame calls [`provide_live`] once. Whoever wants to follow something calls, from a component's body:
//!
//! ```ignore
//! // A counter or a list: fetch again whenever something changed (also after a connection was mended).
//! let ticks = use_live().ticks(org, Topic::Approvals);
//! let pending = Resource::new(move || ticks.get(), move |_| api::pending_count(org));
//!
//! // A run: every event after `after`, in order, in batches of a tenth of a second.
//! use_live().follow(org, Topic::Run { id, after }, move |messages| { … });
//! ```
//!
//! A subscription ends with the component that made it. On the server all of this does nothing.

#[cfg_attr(not(feature = "hydrate"), path = "live/none.rs")]
#[cfg_attr(feature = "hydrate", path = "live/browser.rs")]
mod stream;

use std::rc::Rc;

use agentflow::{engine::state::StepId, kernel::RunId};
use leptos::prelude::*;
use serde::Deserialize;

/// What can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Every event of a run after this number, and what models write in it. Pieces of text come from this run alone; the
    /// events of several runs that a tab follows are not told apart, so who follows several only learns that there is news.
    Run {
        /// The run.
        id: RunId,
        /// The number of the last event that is known already.
        after: i64,
    },
    /// Some run of the organization changed.
    Runs,
    /// Some approval of the organization changed.
    Approvals,
}

/// A piece of the text that a model is writing. Shown, never kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Partial {
    /// The run.
    pub run: RunId,
    /// The model's step.
    pub step: StepId,
    /// The attempt that it belongs to.
    pub attempt: u32,
    /// The piece; nothing where the pieces so far count no more.
    #[serde(default)]
    pub text: Option<String>,
}

/// What a follower receives.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// An event of the run, as JSON: who follows reads it, so that the frame needs not know how.
    Event(String),
    /// A piece of text of the run.
    Partial(Partial),
    /// Something changed, or may have while the connection was away: fetch again.
    Changed,
}

/// Who is told of messages.
type Listener = Rc<dyn Fn(Vec<Message>)>;

/// How the stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Not opened yet, or not needed.
    Off,
    /// Open.
    Live,
    /// Lost; a new attempt follows.
    Reconnecting {
        /// The browser's clock when the last event (or the opening) was seen, in milliseconds.
        last_ms: i64,
    },
}

/// The tab's stream. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    connection: RwSignal<Connection>,
}

/// Makes the tab's stream known to everything below. Opens nothing by itself.
pub fn provide_live() -> Live {
    let live = Live { connection: RwSignal::new(Connection::Off) };
    provide_context(live);
    live
}

/// The tab's stream; outside of the frame, one of its own.
#[must_use]
pub fn use_live() -> Live {
    use_context::<Live>().unwrap_or_else(provide_live)
}

impl Live {
    /// How the stream is doing.
    #[must_use]
    pub fn connection(self) -> ReadSignal<Connection> {
        self.connection.read_only()
    }

    /// Calls `on` with what happens from now on, until the component ends. Batches come at most every 100 ms.
    pub fn follow(self, org: impl Into<String>, topic: Topic, on: impl Fn(Vec<Message>) + 'static) {
        let org: String = org.into();
        let on: Listener = Rc::new(on);
        let number = StoredValue::new(None::<u32>);
        Effect::new(move |_| {
            let number_now = untrack(|| stream::subscribe(self.connection, &org, topic, Rc::clone(&on)));
            number.set_value(Some(number_now));
        });
        on_cleanup(move || {
            if let Some(Some(number)) = number.try_get_value() {
                stream::unsubscribe(number);
            }
        });
    }

    /// A number that grows with every change of the topic: a resource that reads it fetches again.
    #[must_use]
    pub fn ticks(self, org: impl Into<String>, topic: Topic) -> ReadSignal<u32> {
        let (ticks, set_ticks) = signal(0);
        self.follow(org, topic, move |_| set_ticks.update(|count| *count += 1));
        ticks
    }
}
