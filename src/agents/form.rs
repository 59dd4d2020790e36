//! An agent as a form: texts as they are typed. The server turns them into a configuration and back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is typed into an agent's form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentForm {
    /// What it is called.
    pub name: String,
    /// What it is, in a few words.
    pub role: String,
    /// How it works.
    pub instructions: String,
    /// The model.
    pub model: String,
    /// A model that is not in the list.
    pub other_model: String,
    /// 0 to 2, or empty.
    pub temperature: String,
    /// For each tool `off`, `policy`, `allowed` or `needs_approval`.
    pub tools: BTreeMap<String, String>,
    /// JSON Schema, or empty.
    pub output_schema: String,
    /// Model calls.
    pub max_turns: String,
    /// Tokens.
    pub max_tokens: String,
    /// Dollars.
    pub max_cost: String,
    /// Seconds.
    pub timeout_s: String,
}

#[cfg(feature = "ssr")]
pub(crate) mod convert {
    use serde_json::Value;

    use super::AgentForm;
    use crate::{
        agents::AgentConfig,
        engine::plan::{AgentLimits, ToolPermission},
        kernel::{Error, FieldError, Money, Result},
    };

    impl AgentForm {
        /// The form of a configuration.
        #[must_use]
        pub fn of(config: &AgentConfig) -> Self {
            let tools = config.tools.iter().map(|(name, permission)| {
                let word = match permission {
                    ToolPermission::Policy => "policy",
                    ToolPermission::Allowed => "allowed",
                    ToolPermission::NeedsApproval => "needs_approval",
                };
                (name.clone(), word.to_owned())
            });
            Self {
                name: config.name.clone(),
                role: config.role.clone(),
                instructions: config.instructions.clone(),
                model: config.model.clone(),
                other_model: String::new(),
                temperature: config.temperature.map(|value| value.to_string()).unwrap_or_default(),
                tools: tools.collect(),
                output_schema: match &config.output_schema {
                    Value::Null => String::new(),
                    schema => serde_json::to_string_pretty(schema).unwrap_or_default(),
                },
                max_turns: config.limits.max_turns.to_string(),
                max_tokens: config.limits.max_tokens.to_string(),
                max_cost: dollars(config.limits.max_cost),
                timeout_s: config.limits.timeout_s.to_string(),
            }
        }

        /// The configuration of a form. Whether it makes sense as a whole is said when it is saved.
        ///
        /// # Errors
        /// `invalid`, with the form's fields at fault.
        pub fn config(&self) -> Result<AgentConfig> {
            let mut faults = Vec::new();
            let mut fault = |field: &str, message: &str| {
                faults.push(FieldError { field: field.to_owned(), message: message.to_owned() });
            };
            let temperature = match self.temperature.trim() {
                "" => None,
                text => text.parse::<f64>().ok().or_else(|| {
                    fault("temperature", "The temperature must be a number between 0 and 2, or empty.");
                    None
                }),
            };
            let output_schema = match self.output_schema.trim() {
                "" => Value::Null,
                text => serde_json::from_str(text).unwrap_or_else(|error| {
                    let place = format!("line {}, column {}", error.line(), error.column());
                    fault("output_schema", &format!("This is not valid JSON ({place})."));
                    Value::Null
                }),
            };
            let mut whole = |field: &str, text: &str| {
                let number = text.trim().replace(',', "").parse::<u64>();
                if number.is_err() {
                    fault(field, "Enter a whole number.");
                }
                number.unwrap_or(1_000)
            };
            let max_turns = u32::try_from(whole("max_turns", &self.max_turns)).unwrap_or(u32::MAX);
            let max_tokens = whole("max_tokens", &self.max_tokens);
            let timeout_s = whole("timeout_s", &self.timeout_s);
            let max_cost = amount(&self.max_cost).unwrap_or_else(|| {
                fault("max_cost", "Enter an amount in dollars, such as 1.00.");
                Money(1)
            });
            let tools = self.tools.iter().filter_map(|(name, word)| {
                let permission = match word.as_str() {
                    "policy" => ToolPermission::Policy,
                    "allowed" => ToolPermission::Allowed,
                    "needs_approval" => ToolPermission::NeedsApproval,
                    _ => return None,
                };
                Some((name.clone(), permission))
            });
            let tools = tools.collect();
            if let Some(error) = Error::invalid_fields(faults) {
                return Err(error);
            }
            let model = if self.other_model.trim().is_empty() { &self.model } else { &self.other_model };
            Ok(AgentConfig {
                name: self.name.trim().to_owned(),
                role: self.role.trim().to_owned(),
                instructions: self.instructions.replace("\r\n", "\n"),
                model: model.trim().to_owned(),
                temperature,
                tools,
                output_schema,
                limits: AgentLimits { max_turns, max_tokens, max_cost, timeout_s },
                ..AgentConfig::default()
            })
        }
    }

    pub(crate) fn dollars(amount: Money) -> String {
        let micros = amount.micros().max(0);
        let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let short = text.trim_end_matches('0');
        let decimals = short.len() - short.find('.').map_or(short.len(), |dot| dot + 1);
        format!("{short}{}", "0".repeat(2_usize.saturating_sub(decimals)))
    }

    /// `1`, `1.5`, `$0.0025`: exact, without a detour over floating point.
    pub(crate) fn amount(text: &str) -> Option<Money> {
        let text = text.trim().trim_start_matches('$').trim().replace(',', "");
        let (whole, part) = text.split_once('.').unwrap_or((text.as_str(), ""));
        let digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
        if (whole.is_empty() && part.is_empty()) || whole.len() > 9 || part.len() > 6 || !digits(whole) || !digits(part)
        {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part: i64 = format!("{part:0<6}").parse().ok()?;
        Some(Money(whole * 1_000_000 + part))
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeMap;

        use serde_json::json;

        use super::*;

        #[test]
        fn money_is_read_exactly() {
            for (text, micros) in [("1", 1_000_000), ("$1.50", 1_500_000), (".000001", 1), ("1,200.25", 1_200_250_000)]
            {
                assert_eq!(amount(text), Some(Money(micros)), "{text}");
            }
            for text in ["", "$", "-1", "1.0000001", "1.2.3", "12 dollars", "99999999999"] {
                assert_eq!(amount(text), None, "{text}");
            }
            assert_eq!(dollars(Money(1_500_000)), "1.50");
            assert_eq!(dollars(Money(1_000_000)), "1.00");
            assert_eq!(dollars(Money(1)), "0.000001");
        }

        #[test]
        fn an_agent_survives_its_form() {
            let config = AgentConfig {
                name: "Support".into(),
                role: "helps".into(),
                instructions: "One\nTwo".into(),
                model: "openai/gpt-5".into(),
                temperature: Some(0.3),
                tools: BTreeMap::from([
                    ("calculator".to_owned(), ToolPermission::Allowed),
                    ("email_send".to_owned(), ToolPermission::NeedsApproval),
                    ("http_request".to_owned(), ToolPermission::Policy),
                ]),
                output_schema: json!({ "type": "object" }),
                limits: AgentLimits::default(),
                ..AgentConfig::default()
            };
            assert_eq!(AgentForm::of(&config).config(), Ok(config));
        }

        #[test]
        fn what_cannot_be_read_is_told_at_its_field() {
            let form = AgentForm { temperature: "warm".into(), output_schema: "{".into(), ..AgentForm::default() };
            let fields: Vec<String> =
                form.config().expect_err("faults").fields.into_iter().map(|fault| fault.field).collect();
            assert_eq!(fields, ["temperature", "output_schema", "max_turns", "max_tokens", "timeout_s", "max_cost"]);
        }
    }
}
