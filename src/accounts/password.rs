//! Passwords: which ones are accepted, and argon2id around them.
//!
//! Hashing costs memory and a core on purpose, so it is rationed: one core is left for everything else, a short queue
//! waits, and who comes after that is asked to come again.

use std::{num::NonZeroUsize, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use super::PASSWORD_LENGTH;
use crate::kernel::{Error, Result};

/// How many wait for a core at most.
const QUEUE: usize = 32;

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for Cost {
    /// 19 MiB, twice: what OWASP asks for at least.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

/// The hasher. Cheap to clone; all clones share one ration.
#[derive(Clone)]
pub struct Passwords {
    inner: Arc<Inner>,
}

struct Inner {
    argon2: Argon2<'static>,
    /// Permits to work: one for each core but one.
    cores: Semaphore,
    /// Permits to work or wait.
    places: Semaphore,
    /// A hash that no password has, for accounts that do not exist.
    dummy: String,
}

impl Passwords {
    /// A hasher of this cost. Takes as long as one hash.
    ///
    /// # Errors
    /// `internal`, when argon2 has no such cost.
    pub fn new(cost: Cost) -> Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(Error::internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = hash(&argon2, &rand::random::<[u8; 32]>())?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let slots = cores.saturating_sub(1).max(1);
        Ok(Self {
            inner: Arc::new(Inner {
                argon2,
                cores: Semaphore::new(slots),
                places: Semaphore::new(slots + QUEUE),
                dummy,
            }),
        })
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    /// `over_limit`, when too many wait already.
    pub async fn hash(&self, password: &str) -> Result<String> {
        let password = password.as_bytes().to_vec();
        self.work(move |argon2, _| hash(argon2, &password)).await
    }

    /// Whether the password is the one of `stored`, and the hash to store in its place if that one is out of date.
    /// Without `stored` the work is the same and the answer no.
    ///
    /// # Errors
    /// `over_limit`, when too many wait already.
    pub async fn verify(&self, password: &str, stored: Option<String>) -> Result<Verdict> {
        if password.chars().count() > *PASSWORD_LENGTH.end() {
            return Ok(Verdict::Wrong);
        }
        let password = password.as_bytes().to_vec();
        self.work(move |argon2, dummy| {
            let known = stored.is_some();
            let stored = stored.as_deref().unwrap_or(dummy);
            let parsed =
                PasswordHash::new(stored).map_err(|cause| Error::internal(format!("users.password_hash: {cause}")))?;
            if argon2.verify_password(&password, &parsed).is_err() || !known {
                return Ok(Verdict::Wrong);
            }
            let current = Params::try_from(&parsed).is_ok_and(|params| {
                params.m_cost() >= argon2.params().m_cost() && params.t_cost() >= argon2.params().t_cost()
            });
            if current { Ok(Verdict::Right) } else { Ok(Verdict::RightButOld { new_hash: hash(argon2, &password)? }) }
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Argon2<'static>, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let busy =
            || Error::over_limit("accounts.busy", "Many people are signing in right now. Try again in 2 seconds.", 2);
        let _place = self.inner.places.try_acquire().map_err(|_| busy())?;
        let _core = self.inner.cores.acquire().await.map_err(|_| busy())?;
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || task(&inner.argon2, &inner.dummy)).await.map_err(Error::internal)?
    }
}

/// What a password was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not the one.
    Wrong,
    /// The one.
    Right,
    /// The one, and its hash should be replaced.
    RightButOld {
        /// The replacement.
        new_hash: String,
    },
}

fn hash(argon2: &Argon2<'static>, password: &[u8]) -> Result<String> {
    let hash: PasswordHash = argon2.hash_password(password).map_err(Error::internal)?;
    Ok(hash.to_string())
}

/// Whether a new password is good enough: long enough, and not one that a list or the person's own words give away.
/// Nothing is cut off, and no kind of character is asked for.
///
/// # Errors
/// `invalid`, at `field`.
pub fn check_new(field: &str, password: &str, known_words: &[&str]) -> Result<()> {
    // Bytes first: a megabyte is not counted letter by letter.
    if password.len() > PASSWORD_LENGTH.end() * 4 || password.chars().count() > *PASSWORD_LENGTH.end() {
        return Err(Error::invalid(field, format!("Use {} characters at most.", PASSWORD_LENGTH.end())));
    }
    if password.chars().count() < *PASSWORD_LENGTH.start() {
        return Err(Error::invalid(field, format!("Use {} characters or more.", PASSWORD_LENGTH.start())));
    }
    let mut words = vec!["agentflow", "agent", "flow"];
    words.extend(known_words);
    if zxcvbn::zxcvbn(password, &words).score() < zxcvbn::Score::Two {
        return Err(Error::invalid(
            field,
            "This password is easy to guess. Use a few unrelated words, or a password manager's suggestion.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };

    #[test]
    fn guessable_passwords_are_refused_and_good_ones_are_not() {
        for bad in ["short", "password123", "agentflow", "AgentFlow1!", "12345678", "qwertyuiop", "ada@example.com"] {
            assert!(check_new("password", bad, &["ada@example.com"]).is_err(), "{bad}");
        }
        // Letters of several bytes, as many as are allowed, and no pattern that a guesser would try.
        let long: String = (0..200_u32).map(|n| char::from_u32(0x3b1 + n * n * 7 % 24).unwrap()).collect();
        for good in ["violet-tractor-sings", "h7#Kq2!vLz", "ein langer Satz mit Wörtern", &long] {
            assert_eq!(check_new("password", good, &["ada@example.com"]), Ok(()), "{good}");
        }
        assert!(check_new("password", &"x9".repeat(101), &[]).is_err());
        assert!(check_new("password", &"x".repeat(1_000_000), &[]).is_err());
    }

    #[tokio::test]
    async fn a_password_is_told_from_others_to_its_last_letter() {
        let passwords = Passwords::new(CHEAP).expect("a hasher");
        let long = "violet tractor ".repeat(13);
        let (one, other) = (format!("{long}1"), format!("{long}2"));
        let stored = passwords.hash(&one).await.expect("a hash");
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        assert_eq!(passwords.verify(&one, Some(stored.clone())).await, Ok(Verdict::Right));
        assert_eq!(passwords.verify(&other, Some(stored)).await, Ok(Verdict::Wrong));
        assert_eq!(passwords.verify(&one, None).await, Ok(Verdict::Wrong));
    }

    #[tokio::test]
    async fn a_hash_of_lower_cost_is_replaced_when_it_is_used() {
        let old = Passwords::new(CHEAP).expect("a hasher").hash("violet-tractor").await.expect("a hash");
        let passwords = Passwords::new(Cost { memory_kib: 128, passes: 1 }).expect("a hasher");
        let Ok(Verdict::RightButOld { new_hash }) = passwords.verify("violet-tractor", Some(old)).await else {
            panic!("the hash was not replaced")
        };
        assert!(new_hash.contains("m=128,"));
        assert_eq!(passwords.verify("violet-tractor", Some(new_hash)).await, Ok(Verdict::Right));
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_asked_to_come_again() {
        let passwords = Passwords::new(CHEAP).expect("a hasher");
        let all = passwords
            .inner
            .places
            .acquire_many(u32::try_from(passwords.inner.places.available_permits()).expect("few"));
        let _all = all.await.expect("places");
        let refused = passwords.hash("violet-tractor").await.expect_err("no place was left");
        assert_eq!((refused.code.as_str(), refused.retry_after_s), ("accounts.busy", Some(2)));
    }
}
