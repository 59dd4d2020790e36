//! What calls cost: the price table, which is data with a date, what the operator lays over it, and the sum for one call.

use std::{fmt, path::Path, sync::Arc};

use serde::Deserialize;

use super::{ModelId, ModelInfo, Price, SANDBOX, settings::COMPATIBLE};
use crate::kernel::Money;

/// The most dollars for a million tokens.
const MOST: f64 = 1e6;

#[derive(Deserialize)]
struct Table {
    models: Vec<Row>,
}

/// A model of the table.
#[derive(Clone, Deserialize)]
pub(super) struct Row {
    pub id: String,
    #[serde(default)]
    pub label: String,
    #[serde(flatten)]
    pub price: Price,
    pub context: Option<u32>,
    /// What calls cost that read more, the smallest first.
    #[serde(default)]
    pub tiers: Vec<Tier>,
}

/// A price for long calls: all of their tokens cost so much.
#[derive(Clone, Deserialize)]
pub(super) struct Tier {
    /// Above so many tokens read.
    pub above: u64,
    #[serde(flatten)]
    pub price: Price,
}

/// A price table. Cheap to clone.
#[derive(Clone)]
pub struct Prices {
    rows: Arc<Vec<Row>>,
}

/// The price that a model is counted with.
#[derive(Clone, Copy)]
pub(super) struct Priced<'a> {
    pub row: &'a Row,
    /// Whether it is not its own: that is not known, so it counts like the dearest of its provider.
    pub is_assumed: bool,
}

impl Default for Prices {
    /// The list prices.
    fn default() -> Self {
        let read = serde_json::from_str::<Table>(include_str!("prices.json"));
        let rows = read.map(|table| table.models).unwrap_or_else(|error| {
            tracing::error!(%error, "the price table cannot be read");
            Vec::new()
        });
        Self { rows: Arc::new(rows) }
    }
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prices({} models)", self.rows.len())
    }
}

impl Prices {
    /// The list prices, with those of a file laid over them. The error is a sentence that names the variable.
    pub(super) fn with_file(variable: &str, path: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(Path::new(path))
            .map_err(|error| format!("{variable} is “{path}”, which cannot be read: {error}."))?;
        Self::default().overlaid(&text).map_err(|why| format!("{variable} is “{path}”: {why}"))
    }

    /// This table with another one laid over it: what that has counts, and what it does not have stays.
    fn overlaid(&self, text: &str) -> Result<Self, String> {
        let table: Table = serde_json::from_str(text).map_err(|error| {
            format!("it is no price table such as {{\"models\": [{{\"id\": \"openai/gpt-5\", \"input\": 1, \"output\": 8}}]}}: {error}.")
        })?;
        let mut rows = (*self.rows).clone();
        for mut row in table.models {
            row.check()?;
            row.tiers.sort_by_key(|tier| tier.above);
            match rows.iter_mut().find(|known| known.id == row.id) {
                Some(known) => {
                    if row.label.is_empty() {
                        row.label.clone_from(&known.label);
                    }
                    row.context = row.context.or(known.context);
                    *known = row;
                }
                None => {
                    if row.label.is_empty() {
                        row.label = super::label(&row.id).to_owned();
                    }
                    rows.push(row);
                }
            }
        }
        Ok(Self { rows: Arc::new(rows) })
    }

    /// The models of a provider, the usual choice first.
    pub(super) fn of_provider(&self, provider: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.id.split_once('/').is_some_and(|(owner, _)| owner == provider))
    }

    /// The row of a model: by its id, else by the longest id that its dated name begins with (`gpt-4o-2024-11-20`).
    pub(super) fn find(&self, id: &str) -> Option<&Row> {
        let dated = |row: &&Row| {
            id.strip_prefix(&row.id).and_then(|rest| rest.strip_prefix('-')).is_some_and(|rest| {
                rest == "latest" || rest.chars().all(|letter| letter.is_ascii_digit() || letter == '-')
            })
        };
        let exact = self.rows.iter().find(|row| row.id == id);
        exact.or_else(|| self.rows.iter().filter(dated).max_by_key(|row| row.id.len()))
    }

    /// The price that a model is counted with. One without a price of its own counts like the dearest of its provider, so
    /// that budgets hold; on a server of one's own it costs nothing.
    pub(super) fn of(&self, id: &str) -> Option<Priced<'_>> {
        if let Some(row) = self.find(id) {
            return Some(Priced { row, is_assumed: false });
        }
        let provider = id.split_once('/').map(|(provider, _)| provider).filter(|provider| *provider != COMPATIBLE)?;
        let sum = |row: &Row| row.price.input + row.price.output;
        let dearest = self.of_provider(provider).max_by(|one, other| sum(one).total_cmp(&sum(other)))?;
        Some(Priced { row: dearest, is_assumed: true })
    }
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

impl Row {
    /// What a call costs, rounded up to a millionth of a dollar.
    pub fn cost(&self, tokens: Tokens) -> Money {
        let read = tokens.input + tokens.cached + tokens.cache_write;
        cost(self.tiers.iter().rfind(|tier| read > tier.above).map_or(&self.price, |tier| &tier.price), tokens)
    }

    /// The most that a call costs: none of its input is known to the provider, and all of it may be kept there. It may read
    /// less than that, and so fall into a lower tier.
    pub fn most(&self, input: u64, output: u64) -> Money {
        let reached = self.tiers.iter().filter(|tier| input > tier.above).map(|tier| &tier.price);
        reached.chain([&self.price]).map(|price| most(price, input, output)).max().unwrap_or(Money::ZERO)
    }

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

    fn check(&self) -> Result<(), String> {
        let id = &self.id;
        ModelId::parse(id).map_err(|why| format!("“{id}” is no model. {why}"))?;
        if id == SANDBOX || id.starts_with("class/") {
            return Err(format!("“{id}” has no price: name a model of a provider."));
        }
        let is_price = |price: &Price| {
            let given = [Some(price.input), Some(price.output), price.cached, price.cache_write];
            given.into_iter().flatten().all(|dollars| (0.0..=MOST).contains(&dollars))
        };
        if !is_price(&self.price) || !self.tiers.iter().all(|tier| is_price(&tier.price)) {
            return Err(format!("a price of “{id}” is not between 0 and 1,000,000 dollars for a million tokens."));
        }
        Ok(())
    }
}

fn cost(price: &Price, tokens: Tokens) -> Money {
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

fn most(price: &Price, input: u64, output: u64) -> Money {
    let kept = price.cache_write.is_some_and(|kept| kept > price.input);
    let (input, cache_write) = if kept { (0, input) } else { (input, 0) };
    cost(price, Tokens { input, cached: 0, cache_write, output })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_is_readable_and_has_what_it_says() {
        let table = Prices::default();
        assert!(table.rows.len() > 40);
        for row in table.rows.iter() {
            assert_eq!(row.check(), Ok(()));
            for price in row.tiers.iter().map(|tier| &tier.price).chain([&row.price]) {
                assert!(price.input > 0.0 && price.output >= price.input, "{}", row.id);
                assert!(price.cached.is_none_or(|cached| cached <= price.input), "{}", row.id);
            }
            assert!(row.tiers.is_sorted_by_key(|tier| tier.above), "{}", row.id);
        }
        let id = |name: &str| table.find(name).map(|row| row.id.as_str());
        assert_eq!(id("openai/gpt-4o-2024-11-20"), Some("openai/gpt-4o"));
        assert_eq!(id("openai/gpt-4o-mini"), Some("openai/gpt-4o-mini"));
        assert!(id("openai/gpt-4o-audio").is_none());
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

    #[test]
    fn above_its_tier_all_of_a_call_costs_more() {
        let table = Prices::default();
        let row = table.find("anthropic/claude-sonnet-4-5").unwrap();
        let cost = |input, cached, output| row.cost(Tokens { input, cached, cache_write: 0, output });
        assert_eq!(cost(200_000, 0, 1_000), Money(600_000 + 15_000));
        assert_eq!(cost(200_001, 0, 1_000), Money(1_200_006 + 22_500));
        assert_eq!(cost(100_000, 100_001, 0), Money(600_000 + 60_001), "what is read from the cache counts too");
        assert_eq!(row.most(200_000, 0), Money(750_000));
        assert_eq!(row.most(200_001, 0), Money(1_500_008));
    }

    #[test]
    fn a_model_without_a_price_counts_like_the_dearest_of_its_provider_and_on_an_own_server_nothing() {
        let table = Prices::default();
        let of = |id: &str| table.of(id).map(|priced| (priced.row.id.as_str(), priced.is_assumed));
        assert_eq!(of("openai/gpt-4o"), Some(("openai/gpt-4o", false)));
        assert_eq!(of("openai/gpt-99"), Some(("openai/gpt-6-astra", true)));
        assert_eq!(
            (of("compatible/llama"), of(SANDBOX), of("nobody/x"), of("class/routine")),
            (None, None, None, None)
        );
        let own = table.overlaid(r#"{"models": [{"id": "compatible/llama", "input": 1, "output": 1}]}"#).unwrap();
        assert!(own.of("compatible/llama").is_some_and(|priced| !priced.is_assumed));
        assert!(own.of("compatible/other").is_none(), "one priced model does not make the server a paid one");
    }

    #[test]
    fn an_operators_table_is_laid_over_and_its_faults_are_named() {
        let over = r#"{"as_of": "2026-11-01", "models": [
            {"id": "openai/gpt-4o", "input": 1, "output": 2, "tiers": [{"above": 9, "input": 3, "output": 3}, {"above": 5, "input": 2, "output": 2}]},
            {"id": "openai/gpt-7", "input": 0, "output": 4}
        ]}"#;
        let table = Prices::default().overlaid(over).unwrap();
        let row = table.find("openai/gpt-4o").unwrap();
        assert_eq!((row.label.as_str(), row.context, row.price.cached), ("GPT-4o", Some(128_000), None));
        assert_eq!(row.cost(Tokens { input: 6, ..Tokens::default() }), Money(12));
        assert_eq!(table.find("openai/gpt-7").map(|row| row.label.as_str()), Some("gpt-7"));
        assert_eq!(table.find("openai/gpt-5").map(|row| row.price.output), Some(10.0), "the others stay");
        for (text, why) in [
            ("[]", "it is no price table"),
            (r#"{"models": [{"id": "openai/x", "input": 1}]}"#, "missing field `output`"),
            (r#"{"models": [{"id": "gpt", "input": 1, "output": 1}]}"#, "“gpt” is no model."),
            (r#"{"models": [{"id": "sandbox/sandbox", "input": 1, "output": 1}]}"#, "has no price"),
            (r#"{"models": [{"id": "openai/x", "input": -1, "output": 1}]}"#, "a price of “openai/x” is not between"),
            (r#"{"models": [{"id": "openai/x", "input": 1, "output": 1e9}]}"#, "a price of “openai/x” is not between"),
        ] {
            let fault = Prices::default().overlaid(text).unwrap_err();
            assert!(fault.contains(why), "{fault}");
        }
        let gone = Prices::with_file("AGENTFLOW_PRICES_FILE", "/nowhere/prices.json").unwrap_err();
        assert!(gone.starts_with("AGENTFLOW_PRICES_FILE is “/nowhere/prices.json”, which cannot be read"), "{gone}");
    }

    proptest! {
        #[test]
        fn no_call_costs_more_than_its_most(
            place in 0_usize..64, input in 0_u64..400_000, cached in 0_u64..400_000, kept in 0_u64..400_000,
            output in 0_u64..100_000, more in 0_u64..400_000,
        ) {
            let table = Prices::default();
            let row = &table.rows[place % table.rows.len()];
            let cost = row.cost(Tokens { input, cached, cache_write: kept, output });
            prop_assert!(cost <= row.most(input + cached + kept + more, output), "{}", row.id);
        }
    }
}
