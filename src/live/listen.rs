//! What other processes commit, heard over the database: one connection per process that listens, and a slow poll as the
//! net under it. A notification is a hint; what is published is read from the table.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgListener};
use tokio_util::sync::CancellationToken;

use super::{Hub, Tick, Watched, store};
use crate::{
    deps::Deps,
    kernel::{OrgId, Result, RunId},
};

/// The channel that the engine notifies after its commits. The payload is a list of `[org, run, last_seq]`.
pub const CHANNEL: &str = "agentflow_events";

/// How often the runs that have readers are looked at even though nobody called.
const POLL: Duration = Duration::from_secs(5);
/// The most events that one statement reads.
const BATCH: i64 = 500;

/// Listens until it is told to stop. Never fails: while the database is away it tries again.
pub async fn run(deps: Deps, stop: CancellationToken) {
    let mut pause = Duration::from_millis(200);
    loop {
        let listening = async {
            let mut listener = PgListener::connect_with(deps.db.engine()).await?;
            listener.listen(CHANNEL).await?;
            pause = Duration::from_millis(200);
            hear(&deps, &mut listener).await
        };
        tokio::select! {
            () = stop.cancelled() => return,
            result = listening => if let Err(error) = result {
                tracing::warn!(%error, "the listener for events lost its connection");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(POLL),
        }
    }
}

async fn hear(deps: &Deps, listener: &mut PgListener) -> Result<()> {
    let (engine, hub) = (deps.db.engine(), &deps.live);
    // What was said while nobody listened is in the table.
    catch_up(engine, hub).await?;
    hub.tick_all();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    poll.tick().await;
    loop {
        tokio::select! {
            heard = listener.try_recv() => match heard? {
                Some(notification) => take(deps, notification.payload()).await?,
                // The connection was lost and made again; what was said in between is lost.
                None => {
                    catch_up(engine, hub).await?;
                    hub.tick_all();
                }
            },
            _ = poll.tick() => catch_up(engine, hub).await?,
        }
    }
}

async fn take(deps: &Deps, payload: &str) -> Result<()> {
    let hub = &deps.live;
    let Ok(news) = serde_json::from_str::<Vec<(OrgId, RunId, i64)>>(payload) else {
        tracing::warn!(payload, "a notification that is not a list of runs");
        return Ok(());
    };
    for (org, run, last) in news {
        if hub.is_own(run, last) {
            continue;
        }
        // It may be this process that works on the run, or could.
        deps.engine.heard(run);
        if let Some(watched) = hub.behind(org, run, last) {
            bring(deps.db.engine(), hub, watched).await?;
        }
        hub.tick(org, Tick::ALL);
    }
    Ok(())
}

async fn catch_up(engine: &PgPool, hub: &Hub) -> Result<()> {
    for watched in hub.watched() {
        let last = store::last_seq(engine, watched.org, watched.run).await?;
        if last.is_some_and(|last| last > watched.seen) {
            bring(engine, hub, watched).await?;
        }
    }
    Ok(())
}

async fn bring(engine: &PgPool, hub: &Hub, watched: Watched) -> Result<()> {
    let Watched { org, run, mut seen } = watched;
    loop {
        let events = store::events_after(engine, org, run, seen, BATCH).await?;
        let Some(last) = events.last().map(|event| event.seq) else { return Ok(()) };
        let full = events.len() as i64 == BATCH;
        hub.publish(org, run, Arc::from(events));
        seen = last;
        if !full {
            return Ok(());
        }
    }
}
