//! Reading a list again when the live stream says that something changed: not more often than anybody can follow, one
//! request at a time, and never after the page was left.

use std::{future::Future, time::Duration};

use leptos::prelude::*;

use crate::error::ApiError;

/// How long changes gather before a list is read again.
const GATHER: Duration = Duration::from_millis(400);

/// Fetches after each tick and hands what came to `take`. What fails is left: the next tick tries again.
pub fn on_tick<T, F>(
    ticks: ReadSignal<u32>,
    fetch: impl Fn() -> F + Send + Sync + 'static,
    take: impl Fn(T) + Send + Sync + 'static,
) where
    T: 'static,
    F: Future<Output = Result<T, ApiError>> + 'static,
{
    let plan =
        Plan { work: StoredValue::new((fetch, take)), busy: StoredValue::new(false), again: StoredValue::new(false) };
    Effect::new(move |first: Option<()>| {
        ticks.track();
        if first.is_none() {
            return;
        }
        if plan.busy.get_value() {
            plan.again.set_value(true);
        } else {
            plan.busy.set_value(true);
            fetch_soon(plan);
        }
    });
}

/// What is to be done, and whether it is being done. Gone with the page: then nothing happens any more.
struct Plan<W: 'static> {
    work: StoredValue<W>,
    busy: StoredValue<bool>,
    again: StoredValue<bool>,
}

impl<W> Clone for Plan<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Plan<W> {}

fn fetch_soon<T, F, A, B>(plan: Plan<(A, B)>)
where
    T: 'static,
    F: Future<Output = Result<T, ApiError>> + 'static,
    A: Fn() -> F + Send + Sync + 'static,
    B: Fn(T) + Send + Sync + 'static,
{
    let run = move || {
        let Some(future) = plan.work.try_with_value(|(fetch, _)| fetch()) else { return };
        let _ = plan.again.try_set_value(false);
        leptos::task::spawn_local(async move {
            if let Ok(value) = future.await {
                let _ = plan.work.try_with_value(|(_, take)| take(value));
            }
            // Changes that came meanwhile cause one more.
            if plan.again.try_get_value() == Some(true) {
                fetch_soon(plan);
            } else {
                let _ = plan.busy.try_set_value(false);
            }
        });
    };
    set_timeout(run, GATHER);
}
