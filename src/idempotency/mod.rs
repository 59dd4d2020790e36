//! Requests that may be sent again: one with the same key and body gets the first one's answer, for a day; one with the
//! same key and another body is refused.

mod store;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    db::TenantTx,
    kernel::{Error, Kind, Result},
};

/// What a request is known by.
pub struct Keyed<'a> {
    key: Option<&'a str>,
    route: &'static str,
    body_sha256: Vec<u8>,
}

impl<'a> Keyed<'a> {
    /// A request to a route, with the caller's key, if there is one.
    ///
    /// # Errors
    /// `invalid`, when the key is not one.
    pub fn new(key: Option<&'a str>, route: &'static str, body: &Value) -> Result<Self> {
        if let Some(key) = key
            && (key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(Error::invalid(
                "Idempotency-Key",
                "An idempotency key has 1 to 255 visible ASCII characters and no spaces.",
            ));
        }
        Ok(Self { key, route, body_sha256: Sha256::digest(body.to_string()).to_vec() })
    }

    /// What the same request was answered with before, if it was; else the key stands for `answer` from this commit on.
    ///
    /// # Errors
    /// `mismatch`, when the key was used for another request.
    pub async fn answered<T: Serialize + DeserializeOwned>(&self, tx: &mut TenantTx, answer: &T) -> Result<Option<T>> {
        let Some(key) = self.key else { return Ok(None) };
        let response = serde_json::to_value(answer).map_err(Error::internal)?;
        let Some(kept) = store::take_key(tx, self.route, key, &self.body_sha256, 202, &response).await? else {
            return Ok(None);
        };
        if kept.body_sha256 != self.body_sha256 {
            return Err(Error::new(
                Kind::Mismatch,
                "idempotency.mismatch",
                "This idempotency key was used for another request. Use a new key for a new request.",
            ));
        }
        serde_json::from_value(kept.response).map(Some).map_err(Error::internal)
    }
}
