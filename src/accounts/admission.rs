//! Who may make an account: everybody, or (where sign-up is closed) whoever holds the link to the first account, which
//! the console shows as long as there is none. Everybody else's account is made by the operator.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

/// Who may make an account. Cheap to clone; all clones know the same link.
#[derive(Clone)]
pub struct SignUps {
    open: bool,
    /// Of this process alone, and gone with it. Never logged.
    first: Arc<str>,
}

impl SignUps {
    /// For everybody, or closed.
    #[must_use]
    pub fn new(open: bool) -> Self {
        Self { open, first: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()).into() }
    }

    /// Whether everybody may sign up.
    #[must_use]
    pub const fn are_open(&self) -> bool {
        self.open
    }

    /// The secret of the link to the first account, for the console.
    #[must_use]
    pub fn first(&self) -> &str {
        &self.first
    }

    /// Whether this is that secret. Takes as long for every guess.
    pub(super) fn is_first(&self, secret: &str) -> bool {
        self.first.as_bytes().ct_eq(secret.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_the_secret() {
        let (ours, other) = (SignUps::new(false), SignUps::new(false));
        assert!(ours.is_first(ours.first()));
        assert_eq!(ours.first().len(), 43, "32 random bytes");
        for wrong in ["", &ours.first()[1..], other.first(), &format!("{} ", ours.first())] {
            assert!(!ours.is_first(wrong), "{wrong}");
        }
    }
}
