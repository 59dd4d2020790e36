//! On the server nothing is followed.

use leptos::prelude::RwSignal;

use super::{Connection, Listener, Topic};

pub fn subscribe(_: RwSignal<Connection>, _: &str, _: Topic, _: Listener) -> u32 {
    0
}

pub fn unsubscribe(_: u32) {}
