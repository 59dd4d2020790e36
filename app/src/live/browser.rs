//! The tab's one `EventSource`, who listens to it, and how it is opened again.

use std::{cell::RefCell, rc::Rc, time::Duration};

use agentflow::engine::journal::Event;
use leptos::{leptos_dom::helpers::TimeoutHandle, prelude::*};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{EventSource, MessageEvent, js_sys};

use super::{Connection, Listener, Message, Partial, Topic};

/// Batches are handed on at most this often.
const BATCH: Duration = Duration::from_millis(100);
const FIRST_PAUSE_MS: f64 = 500.0;
const LONGEST_PAUSE_MS: f64 = 30_000.0;
const PARTIAL: &str = "step.partial";
const RUNS: &str = "runs";
const APPROVALS: &str = "approvals";
/// The number that was asked for is unknown: the run's events follow from the first.
const RESET: &str = "reset";

impl Topic {
    /// The word in the stream's address.
    fn word(self) -> String {
        match self {
            Self::Run { id, .. } => format!("run:{id}"),
            Self::Runs => "runs".to_owned(),
            Self::Approvals => "approvals".to_owned(),
        }
    }
}

struct Follower {
    number: u32,
    topic: Topic,
    on: Listener,
    waiting: Vec<Message>,
}

/// An open source and the closures that it calls: they live as long as it does.
struct Source {
    source: EventSource,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_open: Closure<dyn FnMut()>,
    _on_error: Closure<dyn FnMut()>,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.source.set_onopen(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}

#[derive(Default)]
struct Hub {
    org: String,
    connection: Option<RwSignal<Connection>>,
    followers: Vec<Follower>,
    made: u32,
    source: Option<Source>,
    opening: Option<TimeoutHandle>,
    batch: Option<TimeoutHandle>,
    failures: u32,
    opened_before: bool,
    last_ms: i64,
    watches: bool,
}

thread_local! {
    static HUB: RefCell<Hub> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut Hub) -> T) -> T {
    HUB.with_borrow_mut(work)
}

fn now_ms() -> f64 {
    js_sys::Date::now()
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit many times over")]
fn now() -> i64 {
    now_ms() as i64
}

pub fn subscribe(connection: RwSignal<Connection>, org: &str, topic: Topic, on: Listener) -> u32 {
    watch_the_tab();
    let number = with(|hub| {
        hub.made += 1;
        hub.connection = Some(connection);
        if hub.org != org {
            org.clone_into(&mut hub.org);
            hub.opened_before = false;
        }
        hub.followers.push(Follower { number: hub.made, topic, on, waiting: Vec::new() });
        hub.made
    });
    open_in(Duration::ZERO);
    number
}

pub fn unsubscribe(number: u32) {
    with(|hub| hub.followers.retain(|follower| follower.number != number));
    open_in(Duration::ZERO);
}

/// Opens the stream anew after a pause, so that several changes of the topics in a row open it once.
fn open_in(pause: Duration) {
    with(|hub| {
        if let Some(opening) = hub.opening.take() {
            opening.clear();
        }
        hub.opening = set_timeout_with_handle(open, pause).ok();
    });
}

fn address(hub: &Hub) -> Option<String> {
    let mut words: Vec<_> = hub.followers.iter().map(|follower| follower.topic.word()).collect();
    words.sort_unstable();
    words.dedup();
    if words.is_empty() {
        return None;
    }
    let after = hub.followers.iter().find_map(|follower| match follower.topic {
        Topic::Run { after, .. } => Some(format!("&after={after}")),
        Topic::Runs | Topic::Approvals => None,
    });
    Some(format!("/o/{}/stream?topics={}{}", hub.org, words.join(","), after.unwrap_or_default()))
}

fn open() {
    let hidden = document().hidden();
    let address = with(|hub| {
        hub.opening = None;
        hub.source = None;
        if hidden { None } else { address(hub) }
    });
    let Some(address) = address else { return };
    let Ok(source) = EventSource::new(&address) else { return };
    let on_message = Closure::new(receive);
    for name in Event::NAMES.into_iter().chain([PARTIAL, RUNS, APPROVALS, RESET]) {
        // Adding a listener to a fresh source cannot fail.
        let _ = source.add_event_listener_with_callback(name, on_message.as_ref().unchecked_ref());
    }
    let on_open = Closure::new(opened);
    let on_error = Closure::new(lost);
    source.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    with(|hub| {
        hub.source = Some(Source { source, _on_message: on_message, _on_open: on_open, _on_error: on_error });
    });
}

fn opened() {
    let connection = with(|hub| {
        hub.failures = 0;
        hub.last_ms = now();
        // What the counters missed while the stream was away is not repeated: they fetch once.
        if std::mem::replace(&mut hub.opened_before, true) {
            for follower in &mut hub.followers {
                if !matches!(follower.topic, Topic::Run { .. }) {
                    follower.waiting.push(Message::Changed);
                }
            }
        }
        hub.connection
    });
    if let Some(connection) = connection {
        connection.try_set(Connection::Live);
    }
    hand_on_soon();
}

fn lost() {
    let (connection, last_ms, pause) = with(|hub| {
        hub.failures = (hub.failures + 1).min(16);
        let longest = (FIRST_PAUSE_MS * f64::from(1_u32 << (hub.failures - 1))).min(LONGEST_PAUSE_MS);
        (hub.connection, hub.last_ms, longest * (0.5 + js_sys::Math::random() / 2.0))
    });
    if let Some(connection) = connection {
        connection.try_set(Connection::Reconnecting { last_ms });
    }
    // The source is dropped when the next one opens: not here, inside of its own callback.
    with(|hub| {
        if let Some(source) = &hub.source {
            source.source.close();
        }
    });
    open_in(Duration::from_secs_f64(pause / 1_000.0));
}

fn receive(event: MessageEvent) {
    let Some(data) = event.data().as_string() else { return };
    let name = event.type_();
    with(|hub| {
        hub.last_ms = now();
        for follower in &mut hub.followers {
            let message = match (&mut follower.topic, name.as_str()) {
                (Topic::Runs, RUNS) | (Topic::Approvals, APPROVALS) | (Topic::Run { .. }, RESET) => {
                    Some(Message::Changed)
                }
                (Topic::Run { id, .. }, PARTIAL) => {
                    let partial = serde_json::from_slice::<Partial>(data.as_bytes()).ok();
                    partial.filter(|partial| partial.run == *id).map(Message::Partial)
                }
                (Topic::Run { after, .. }, word) if word != RUNS && word != APPROVALS => {
                    *after = event.last_event_id().parse().unwrap_or(0).max(*after);
                    Some(Message::Event(data.clone()))
                }
                _ => None,
            };
            follower.waiting.extend(message);
        }
    });
    hand_on_soon();
}

fn hand_on_soon() {
    with(|hub| {
        if hub.batch.is_none() && hub.followers.iter().any(|follower| !follower.waiting.is_empty()) {
            hub.batch = set_timeout_with_handle(hand_on, BATCH).ok();
        }
    });
}

fn hand_on() {
    let ready: Vec<_> = with(|hub| {
        hub.batch = None;
        hub.followers
            .iter_mut()
            .filter(|follower| !follower.waiting.is_empty())
            .map(|follower| (Rc::clone(&follower.on), std::mem::take(&mut follower.waiting)))
            .collect()
    });
    // Outside of the borrow: a follower may subscribe or unsubscribe.
    for (on, messages) in ready {
        on(messages);
    }
}

/// Closes the stream while the tab is hidden (a browser allows six per host) and opens it when it shows, or when the
/// network is back.
fn watch_the_tab() {
    if with(|hub| std::mem::replace(&mut hub.watches, true)) {
        return;
    }
    let on_change = Closure::<dyn FnMut()>::new(|| open_in(Duration::ZERO));
    let _ = document().add_event_listener_with_callback("visibilitychange", on_change.as_ref().unchecked_ref());
    let _ = window().add_event_listener_with_callback("online", on_change.as_ref().unchecked_ref());
    // For as long as the tab lives.
    on_change.forget();
}
