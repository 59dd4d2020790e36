//! Money that a decision moves, in whatever currency the workflow deals in. What AgentFlow itself costs is
//! [`Money`](crate::kernel::Money).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernel::{money::typed_micros, text};

/// The greatest amount.
const MOST: f64 = 1e12;
/// The currency of an amount that names none.
const USUAL: &str = "USD";

/// An amount with its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// In millionths of the currency's unit.
    micros: i64,
    /// Three capital letters, as ISO 4217 has them.
    currency: String,
}

impl Amount {
    /// The amount of what a template gave; none where it gave nothing.
    ///
    /// # Errors
    /// When it is no number from 0 on, or the currency is not three letters; the error is a sentence.
    pub fn read(value: &Value, currency: &str) -> Result<Option<Self>, String> {
        let micros = match value {
            Value::Null => return Ok(None),
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => micros(text.trim()),
            Value::Number(number) => micros(&number.to_string()),
            _ => None,
        };
        let micros = micros.ok_or_else(|| format!("The amount must be a number from 0 on, and is {value}."))?;
        let currency = match currency.trim() {
            "" => USUAL,
            named => named,
        };
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(format!("The currency must be three letters such as EUR, and is “{currency}”."));
        }
        Ok(Some(Self { micros, currency: currency.to_ascii_uppercase() }))
    }

    /// In millionths of the currency's unit.
    #[must_use]
    pub const fn micros(&self) -> i64 {
        self.micros
    }

    /// Three capital letters, as ISO 4217 has them.
    #[must_use]
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Whether a person has typed this amount: with or without its currency, with or without commas between thousands.
    #[must_use]
    pub fn is_typed_as(&self, typed: &str) -> bool {
        let typed = typed.trim().to_ascii_uppercase();
        let number = typed.strip_suffix(&self.currency).or_else(|| typed.strip_prefix(&self.currency));
        typed_micros(number.unwrap_or(&typed)) == Some(self.micros)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "10^18 at most")]
fn micros(text: &str) -> Option<i64> {
    // The reader of numbers also takes words such as `inf`.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    (number <= MOST).then(|| (number * 1e6).round() as i64)
}

/// `1,840.50 EUR`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_units(self.micros))?;
        write!(f, " {}", self.currency)
    }
}

/// `1,840.50`: two decimals, or as many as it has.
#[must_use]
pub fn in_units(micros: i64) -> String {
    let micros = micros.unsigned_abs();
    let decimals = format!("{:06}", micros % 1_000_000);
    let end = decimals.trim_end_matches('0').len().max(2);
    format!("{}.{}", text::grouped(micros / 1_000_000), &decimals[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn amount(value: Value, currency: &str) -> Amount {
        Amount::read(&value, currency).unwrap().unwrap()
    }

    #[test]
    fn amounts_are_read_and_shown() {
        assert_eq!(amount(json!(1840.5), "eur").to_string(), "1,840.50 EUR");
        assert_eq!(amount(json!("12"), "").to_string(), "12.00 USD");
        assert_eq!(amount(json!(0.0425), "CHF").to_string(), "0.0425 CHF");
        assert_eq!(Amount::read(&json!(null), ""), Ok(None));
        assert_eq!(Amount::read(&json!(" "), ""), Ok(None));
        for wrong in [json!(-1), json!("a lot"), json!("inf"), json!("NaN"), json!(1e13), json!([1]), json!("1,840")] {
            assert!(Amount::read(&wrong, "").is_err(), "{wrong}");
        }
        assert!(Amount::read(&json!(1), "euros").is_err());
    }

    #[test]
    fn an_amount_is_typed_as_people_type_it_and_in_no_other_way() {
        let amount = amount(json!(1840.5), "EUR");
        for right in ["1840.5", " 1840.50 ", "1,840.50 EUR", "eur 1840.5", "1 840.50"] {
            assert!(amount.is_typed_as(right), "{right}");
        }
        for wrong in
            ["", "EUR", "1840", "1840.51", "1840,50", "18,40.5", "1840.5,0", "1.840,50", "1840.5 USD", "-1840.5", "yes"]
        {
            assert!(!amount.is_typed_as(wrong), "{wrong}");
        }
    }
}
