//! Slows down guessing, per account and per address, in the database and so over all instances.
//!
//! An account's pause is a minute at most, so its owner gets in within a minute of the last wrong guess. But not
//! sooner: each pause ends with one try for whoever comes first, so somebody who goes on guessing, from many addresses,
//! can keep an account's owner from signing in for as long as they go on. Sessions that are open already are not touched.
//! An address waits longer, up to five minutes, as it tries many accounts.

use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest, Sha256};

use super::store;
use crate::{
    db::Db,
    kernel::{Error, Result},
};

/// The address that a request came from: the socket's, or what a trusted proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// One try to get in, counted against its account and its address.
#[derive(Debug)]
pub(super) struct Try {
    account: Option<String>,
    address: Option<String>,
}

impl Try {
    /// Counts a try. Nobody can tell from the answer whether the account exists.
    ///
    /// # Errors
    /// `over_limit`, with the seconds to wait.
    pub(super) async fn count(db: &Db, email: Option<&str>, address: Option<ClientAddress>) -> Result<Self> {
        let this = Self { account: email.map(account_key), address: address.map(address_key) };
        let mut tx = db.identity().await?;
        let mut wait = None;
        if let Some(key) = &this.address {
            wait = store::count_try(&mut tx, key, 20, 300.0, 3_600.0).await?;
        }
        if let (None, Some(key)) = (wait, &this.account) {
            wait = store::count_try(&mut tx, key, 5, 60.0, 3_600.0).await?;
        }
        tx.commit().await?;
        match wait {
            None => Ok(this),
            Some(seconds) => Err(over_limit(seconds)),
        }
    }

    /// The try was a right one.
    pub(super) async fn succeeded(self, db: &Db) -> Result<()> {
        let mut tx = db.identity().await?;
        if let Some(key) = &self.address {
            store::take_try_back(&mut tx, key).await?;
        }
        if let Some(key) = &self.account {
            store::forget_tries(&mut tx, key).await?;
        }
        tx.commit().await
    }
}

fn over_limit(wait_s: f64) -> Error {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 300, see `count`")]
    let seconds = wait_s.ceil().clamp(1.0, 300.0) as u32;
    Error::over_limit("accounts.throttled", format!("Too many tries. Wait {seconds} seconds, then try again."), seconds)
}

/// The digest, since people type other things into this field too, a password for one.
fn account_key(email: &str) -> String {
    let digest = Sha256::digest(email.to_lowercase().as_bytes());
    let mut key = String::from("account:");
    for byte in digest.iter().take(16) {
        key.push_str(&format!("{byte:02x}"));
    }
    key
}

/// A home or an office has a /64 of IPv6 to itself, so that is what counts as one address.
fn address_key(address: ClientAddress) -> String {
    match address.0.to_canonical() {
        IpAddr::V4(v4) => format!("address:{v4}"),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("address:{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_key_however_it_is_written() {
        let key = |text: &str| address_key(ClientAddress(text.parse().expect("an address")));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(account_key("Ada@Example.com"), account_key("ada@example.com"));
        assert!(!account_key("ada@example.com").contains("ada"));
    }
}
