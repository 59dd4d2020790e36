//! A word above every page for as long as what it shows may be old: the connection is lost, or the whole network is.

use std::time::Duration;

use leptos::{ev, leptos_dom::helpers::TimeoutHandle, prelude::*};

use crate::{
    kit::{Glyph, Icon},
    live::{Connection, use_live},
};

/// A connection that comes back sooner is not spoken of.
const SPOKEN_OF: Duration = Duration::from_millis(1_200);

/// The word, while there is something to say.
#[component]
pub fn Stale() -> impl IntoView {
    let connection = use_live().connection();
    let (offline, set_offline) = signal(false);
    let (lost, set_lost) = signal(false);
    let timer = StoredValue::new(None::<TimeoutHandle>);
    let spoken_of = move || {
        set_lost.try_set(true);
    };
    Effect::new(move |_| {
        let gone = matches!(connection.get(), Connection::Reconnecting { .. });
        let waits = timer.with_value(Option::is_some);
        if !gone {
            if let Some(Some(timer)) = timer.try_update_value(Option::take) {
                timer.clear();
            }
            set_lost.set(false);
        } else if !waits {
            timer.set_value(set_timeout_with_handle(spoken_of, SPOKEN_OF).ok());
        }
    });
    let left = window_event_listener(ev::offline, move |_| set_offline.set(true));
    let back = window_event_listener(ev::online, move |_| set_offline.set(false));
    on_cleanup(move || {
        left.remove();
        back.remove();
    });
    let words = move || {
        if offline.get() {
            Some(
                "You are offline. This page shows what was known before; it goes on by itself when the network is back.",
            )
        } else if lost.get() {
            Some("The connection is lost. Reconnecting; this page may be old until then.")
        } else {
            None
        }
    };
    view! {
        <div role="status">
            {move || words().map(|words| view! { <p class="banner stale"><Icon glyph=Glyph::Warning/><span>{words}</span></p> })}
        </div>
    }
    .into_any()
}
