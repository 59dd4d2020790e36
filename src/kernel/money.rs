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

    /// The amount that a person typed, in dollars, with or without their sign: `1`, `$0.0025`, `1,000.50`.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let typed = typed.trim();
        typed_micros(typed.strip_prefix('$').unwrap_or(typed)).map(Self)
    }

    /// The amount as [`Money::parse`] reads it, in full: `1.50`, `0.000001`.
    #[must_use]
    pub fn typed(self) -> String {
        let micros = self.0.max(0);
        let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let short = text.trim_end_matches('0');
        let decimals = short.len() - short.find('.').map_or(short.len(), |dot| dot + 1);
        format!("{short}{}", "0".repeat(2_usize.saturating_sub(decimals)))
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// The millionths of a number from 0 on that a person typed, exact, with or without spaces or commas between thousands. A
/// comma anywhere else may mean decimals: such a number is none.
#[must_use]
pub fn typed_micros(typed: &str) -> Option<i64> {
    let number: String = typed.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
    let first = whole.split(',').next().unwrap_or_default();
    let are_thousands = whole.split(',').skip(1).all(|group| group.len() == 3)
        && (first == whole || ((1..=3).contains(&first.len()) && !first.starts_with('0')));
    let whole = whole.replace(',', "");
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let is_number = whole.len() + part.len() > 0 && digits(&whole) && digits(part);
    if !are_thousands || !is_number || whole.len() > 12 || part.len() > 6 {
        return None;
    }
    format!("{whole}{part:0<6}").parse().ok()
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
    use super::{Money, typed_micros};

    #[test]
    fn a_comma_that_may_mean_decimals_is_refused() {
        assert_eq!(typed_micros("20,000.00"), Some(20_000_000_000));
        assert_eq!(typed_micros("1,234,567"), Some(1_234_567_000_000));
        for unclear in ["1000,00", "1,5", "1.000,00", ",", "-1", "", "0,005", "1234,567", ",123"] {
            assert_eq!(typed_micros(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn money_is_read_exactly() {
        for (text, micros) in [("1", 1_000_000), ("$1.50", 1_500_000), (".000001", 1), ("1,200.25", 1_200_250_000)] {
            assert_eq!(Money::parse(text), Some(Money(micros)), "{text}");
        }
        for text in ["", "$", "-1", "1.0000001", "1.2.3", "12 dollars", "9999999999999", "1,5", "$$5"] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
        assert_eq!(Money(1_500_000).typed(), "1.50");
        assert_eq!(Money(1_000_000).typed(), "1.00");
        assert_eq!(Money(1).typed(), "0.000001");
    }

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
