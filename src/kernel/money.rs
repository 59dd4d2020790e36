//! Money, exact to a millionth of a US dollar.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
};

use serde::{Deserialize, Serialize};

/// An amount in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount in millionths of a dollar.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// `$12.40`; under one dollar up to four decimals, `$0.0094`; smaller than that, `<$0.0001`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        if micros == 0 {
            return write!(f, "$0.00");
        }
        if micros < 50 {
            return write!(f, "{sign}<$0.0001");
        }
        if micros < 1_000_000 {
            let tenths_of_mill = (micros + 50) / 100;
            let text = format!("{}.{:04}", tenths_of_mill / 10_000, tenths_of_mill % 10_000);
            let short = text.trim_end_matches('0');
            let decimals = short.len().saturating_sub(2).max(2);
            return write!(f, "{sign}${}", &text[..2 + decimals]);
        }
        let cents = (micros + 5_000) / 10_000;
        write!(f, "{sign}${}.{:02}", crate::kernel::text::grouped(cents / 100), cents % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn amounts_read_as_people_write_them() {
        for (micros, text) in [
            (0, "$0.00"),
            (9_400, "$0.0094"),
            (52_000, "$0.052"),
            (500_000, "$0.50"),
            (12_400_000, "$12.40"),
            (1_234_567_890, "$1,234.57"),
            (1, "<$0.0001"),
            (-2_500_000, "-$2.50"),
        ] {
            assert_eq!(Money(micros).to_string(), text, "{micros}");
        }
    }
}
