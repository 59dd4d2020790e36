//! Large values: whatever is over 256 KiB as JSON stands in `artifacts` by its content, and the row holds a reference.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::{
    db::TenantTx,
    kernel::{Error, OrgId, Result},
};

/// The most bytes of JSON that a row of `runs` or `steps` holds itself.
const INLINE_BYTES: usize = 256 * 1024;

/// The value as a row holds it: itself, or a reference to an artifact that is written here. Writing one is harmless when
/// the row's own commit fails: artifacts are found by content and belong to nobody.
///
/// # Errors
/// When the database does not answer.
pub async fn pack(connection: &mut PgConnection, org: OrgId, value: &Value) -> Result<Value> {
    let text = value.to_string();
    if stands_inline(value, &text) {
        return Ok(value.clone());
    }
    let (hash, bytes) = address(&text)?;
    // One that is there already is made young again: housekeeping removes old ones that nothing refers to yet.
    sqlx::query!(
        "insert into artifacts (organization_id, sha256, bytes, body) values ($1, $2, $3, $4)
         on conflict (organization_id, sha256) do update set created_at = now()
          where artifacts.created_at < now() - interval '1 hour'",
        org.uuid(),
        hash,
        bytes,
        value,
    )
    .execute(connection)
    .await?;
    Ok(json!({ "$artifact": hex(&hash), "bytes": text.len() }))
}

/// Whether a row holds the value itself.
#[must_use]
pub fn is_small(value: &Value) -> bool {
    stands_inline(value, &value.to_string())
}

/// A value that looks like a reference is stored away too, so that nobody can forge one.
fn stands_inline(value: &Value, text: &str) -> bool {
    text.len() <= INLINE_BYTES && value.get("$artifact").is_none()
}

/// The value as a row of the database gives it back: what whoever reads it later sees. An object's keys stand by length
/// and then by their bytes, and numbers have no exponent and no negative zero.
#[must_use]
pub fn as_stored(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(as_stored).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(key, value)| (key, as_stored(value))).collect();
            fields.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
            Value::Object(Map::from_iter(fields))
        }
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(0.0) => json!(0.0),
            Some(float) if number.to_string().contains('e') => {
                float.to_string().parse().map_or(Value::Number(number), Value::Number)
            }
            _ => Value::Number(number),
        },
        other => other,
    }
}

/// SHA-256 of a value as JSON without spaces, keys in order: the same whoever wrote it down and read it again.
#[must_use]
pub fn digest(value: &Value) -> Vec<u8> {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    Sha256::digest(sorted.to_string().as_bytes()).to_vec()
}

/// The key of a value, and its length.
pub(super) fn address(text: &str) -> Result<(Vec<u8>, i32)> {
    let bytes = i32::try_from(text.len()).map_err(|_| {
        Error::new(crate::kernel::Kind::TooLarge, "engine.value_too_large", "A value is larger than 2 GiB.")
    })?;
    Ok((Sha256::digest(text.as_bytes()).to_vec(), bytes))
}

/// The value that a row stands for, looked up where it is a reference.
///
/// # Errors
/// When the database does not answer, or the artifact is gone.
pub async fn unpack(connection: &mut PgConnection, org: OrgId, stored: Value) -> Result<Value> {
    let Some(reference) = stored.get("$artifact").and_then(Value::as_str) else { return Ok(stored) };
    let Some(hash) = unhex(reference) else { return Ok(stored) };
    let body =
        sqlx::query_scalar!("select body from artifacts where organization_id = $1 and sha256 = $2", org.uuid(), hash,)
            .fetch_optional(connection)
            .await?;
    body.ok_or_else(|| Error::internal(format!("artifact {reference} is missing")))
}

/// The value that a row stands for, for a service.
///
/// # Errors
/// When the database does not answer, or the artifact is gone.
pub async fn value(tx: &mut TenantTx, stored: Value) -> Result<Value> {
    let org = tx.org();
    unpack(tx.conn(), org, stored).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|place| u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()).collect()
}
