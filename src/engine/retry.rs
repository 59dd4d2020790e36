//! When a failed attempt is tried again. Pure: the same step and attempt always get the same pause.

use super::{plan::RetryPolicy, state::StepError};

/// The longest that another side's `Retry-After` is obeyed, in milliseconds: an hour.
pub const LONGEST_RETRY_AFTER_MS: u64 = 3_600_000;

/// Milliseconds until the next attempt, or `None` when there is none: the error does not allow it, or the attempts are
/// spent. `failures` counts those that failed by themselves, this one included.
#[must_use]
pub fn pause_ms(policy: &RetryPolicy, error: &StepError, failures: u32, seed: u64) -> Option<u64> {
    if !policy.covers(error.class) || failures >= policy.attempts {
        return None;
    }
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = policy.backoff_ms as f64 * policy.factor.max(1.0).powi(exponent);
    let bounded = grown.min(policy.max_backoff_ms as f64).max(0.0);
    let jitter = if policy.jitter { (scramble(seed ^ u64::from(failures)) % 1_000) as f64 / 2_000.0 } else { 0.5 };
    let own = (bounded * (0.5 + jitter)) as u64;
    Some(match error.retry_after_ms {
        Some(asked) => own.max(asked.min(LONGEST_RETRY_AFTER_MS)),
        None => own,
    })
}

/// Spreads a number over all 64 bits (the finalizer of splitmix64).
#[must_use]
pub fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number made of a text (FNV-1a), for seeds.
#[must_use]
pub fn seed_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::state::ErrorClass;

    fn error(class: ErrorClass, retry_after_ms: Option<u64>) -> StepError {
        StepError { retry_after_ms, ..StepError::new(class, "test", "a test") }
    }

    #[test]
    fn only_what_can_be_mended_by_waiting_is_tried_again() {
        let policy = RetryPolicy::default();
        assert!(pause_ms(&policy, &error(ErrorClass::Unavailable, None), 1, 0).is_some());
        assert!(pause_ms(&policy, &error(ErrorClass::BadInput, None), 1, 0).is_none());
        assert!(pause_ms(&policy, &error(ErrorClass::Auth, None), 1, 0).is_none());
        assert!(pause_ms(&policy, &error(ErrorClass::Timeout, None), 3, 0).is_none());
    }

    proptest! {
        #[test]
        fn the_pause_is_bounded_and_never_shorter_than_asked(failures in 1_u32..9, seed: u64, asked in 0_u64..10_000_000) {
            let policy = RetryPolicy { attempts: 10, ..RetryPolicy::default() };
            let plain = pause_ms(&policy, &error(ErrorClass::Unavailable, None), failures, seed).unwrap();
            prop_assert!(plain <= policy.max_backoff_ms);
            prop_assert!(plain >= policy.backoff_ms / 2);
            let told = pause_ms(&policy, &error(ErrorClass::RateLimited, Some(asked)), failures, seed).unwrap();
            prop_assert!(told >= asked.min(LONGEST_RETRY_AFTER_MS));
        }
    }
}
