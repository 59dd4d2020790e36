//! On the server nothing is followed.

use std::rc::Rc;

use leptos::prelude::RwSignal;

use super::{Connection, Message, Topic};

pub fn subscribe(_: RwSignal<Connection>, _: &str, _: Topic, _: Rc<dyn Fn(Vec<Message>)>) -> u32 {
    0
}

pub fn unsubscribe(_: u32) {}
