//! What calls cost: the price table, which is data with a date, and the sum for one call.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{ModelInfo, Price};
use crate::kernel::Money;

#[derive(Deserialize)]
struct Table {
    models: Vec<Row>,
}

/// A model of the table.
#[derive(Deserialize)]
pub(super) struct Row {
    pub id: String,
    pub label: String,
    #[serde(flatten)]
    pub price: Price,
    pub context: Option<u32>,
}

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let read = serde_json::from_str::<Table>(include_str!("prices.json"));
    read.map(|table| table.models).unwrap_or_else(|error| {
        tracing::error!(%error, "the price table cannot be read");
        Vec::new()
    })
});

/// The models of a provider, the usual choice first.
pub(super) fn of_provider(provider: &str) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| row.id.split_once('/').is_some_and(|(owner, _)| owner == provider))
}

/// The row of a model: by its id, else by the longest id that its dated name begins with (`gpt-4o-2024-11-20`).
pub(super) fn find(id: &str) -> Option<&'static Row> {
    let dated = |row: &&Row| {
        id.strip_prefix(&row.id)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest == "latest" || rest.chars().all(|letter| letter.is_ascii_digit() || letter == '-'))
    };
    TABLE.iter().find(|row| row.id == id).or_else(|| TABLE.iter().filter(dated).max_by_key(|row| row.id.len()))
}

/// The tokens of one call, each counted once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tokens {
    /// Read anew.
    pub input: u64,
    /// Read from what the provider had kept.
    pub cached: u64,
    /// Read and kept by the provider.
    pub cache_write: u64,
    /// Written.
    pub output: u64,
}

/// What a call costs, rounded up to a millionth of a dollar.
pub(super) fn cost(price: &Price, tokens: Tokens) -> Money {
    // In millionths of a millionth of a dollar, which is what the price of one token is given in, so the sum is exact.
    let sum: u128 = [
        (tokens.input, price.input),
        (tokens.cached, price.cached.unwrap_or(price.input)),
        (tokens.cache_write, price.cache_write.unwrap_or(price.input)),
        (tokens.output, price.output),
    ]
    .into_iter()
    .map(|(count, dollars_per_million)| u128::from(count) * (dollars_per_million * 1e6).round() as u128)
    .sum();
    Money(i64::try_from(sum.div_ceil(1_000_000)).unwrap_or(i64::MAX))
}

/// The most that a call costs: none of its input is known to the provider, and all of it may be kept there.
pub(super) fn most(price: &Price, input: u64, output: u64) -> Money {
    let kept = price.cache_write.is_some_and(|kept| kept > price.input);
    let (input, cache_write) = if kept { (0, input) } else { (input, 0) };
    cost(price, Tokens { input, cached: 0, cache_write, output })
}

impl Row {
    pub(super) fn info(&self, provider: &str) -> ModelInfo {
        ModelInfo {
            id: self.id.clone(),
            label: self.label.clone(),
            provider: provider.to_owned(),
            context: self.context,
            price: Some(self.price),
            sandbox: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_has_what_it_says() {
        assert!(TABLE.len() > 40);
        for row in TABLE.iter() {
            assert!(super::super::ModelId::parse(&row.id).is_ok(), "{}", row.id);
            assert!(row.price.input > 0.0 && row.price.output >= row.price.input, "{}", row.id);
            assert!(row.price.cached.is_none_or(|cached| cached <= row.price.input), "{}", row.id);
        }
        assert_eq!(find("openai/gpt-4o-2024-11-20").map(|row| row.id.as_str()), Some("openai/gpt-4o"));
        assert_eq!(find("openai/gpt-4o-mini").map(|row| row.id.as_str()), Some("openai/gpt-4o-mini"));
        assert!(find("openai/gpt-4o-audio").is_none());
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up() {
        let price = Price { input: 2.5, output: 10.0, cached: Some(1.25), cache_write: None };
        let tokens = |input, cached, output| Tokens { input, cached, cache_write: 0, output };
        assert_eq!(cost(&price, tokens(1_000, 0, 100)), Money(3_500));
        assert_eq!(cost(&price, tokens(0, 1_000, 0)), Money(1_250));
        assert_eq!(cost(&price, tokens(1, 0, 0)), Money(3));
        assert_eq!(cost(&price, Tokens::default()), Money(0));
    }
}
