//! Use cases of events: send one.

use serde_json::{Value, json};

use super::Sent;
use crate::{
    access::{Ctx, Grant, right},
    engine::store as engine,
    idempotency::Keyed,
    kernel::{Error, EventId, Result, text::NUL_REFUSED},
    runs::service::check_json,
};

/// The most characters of a key.
const KEY: usize = 200;
/// Seconds that an event is kept for the first step that will wait for it: a day.
const LASTS_S: u32 = 86_400;

/// Sends an event to the steps that wait for its key; where none does, it is kept for a day for the first that will. Once
/// it answers, the event gets there whatever happens.
///
/// # Errors
/// `invalid`, with the fields; `mismatch`, when the idempotency key was used for another request.
pub async fn send(
    grant: &Grant<right::Operate>,
    key: &str,
    data: &Value,
    idempotency_key: Option<&str>,
) -> Result<Sent> {
    let key = key.trim();
    if key.is_empty() || key.chars().count() > KEY {
        return Err(Error::invalid("key", format!("The key must have 1 to {KEY} characters.")));
    }
    if key.contains('\0') {
        return Err(Error::invalid("key", NUL_REFUSED));
    }
    check_json(data, "data")?;
    let request = Keyed::new(idempotency_key, "events.send", &json!({ "key": key, "data": data }))?;
    let sent = Sent { event: EventId::new() };
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if let Some(before) = request.answered(&mut tx, &sent).await? {
        return Ok(before);
    }
    engine::keep_event(&mut tx, sent.event, key, data, &grant.actor().reference(), LASTS_S).await?;
    tx.commit().await?;
    // The event is kept: were the rest to fail, the nodes would find it by themselves.
    if let Err(error) = deliver(grant, key).await {
        tracing::warn!(%error, "an event is kept and not delivered yet");
    }
    Ok(sent)
}

async fn deliver(cx: &Ctx, key: &str) -> Result<()> {
    for run in engine::deliver(cx.deps().db.engine(), cx.org_id(), key).await? {
        cx.deps().engine.committed(cx.org_id(), run);
    }
    Ok(())
}
