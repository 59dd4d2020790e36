//! From texts to a configuration, and back.

use std::collections::BTreeSet;

use serde_json::Value;

use super::AgentForm;
use crate::{
    agents::{AgentConfig, Capabilities, config::fallback_faults},
    engine::plan::{AgentLimits, Guardrails, InputCheck, Memory, ModelOptions, Reasoning, Sensitive, ToolPermission},
    kernel::{Error, FieldError, Money, Result},
};

/// The word of a kind of sensitive text in the form.
fn word_of(kind: Sensitive) -> &'static str {
    match kind {
        Sensitive::Credential => "credential",
        Sensitive::Card => "card",
        Sensitive::Iban => "iban",
        Sensitive::Ssn => "ssn",
        Sensitive::Email => "email",
        Sensitive::Phone => "phone",
    }
}

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
        let guardrails = &config.guardrails;
        let sensitive = Sensitive::ALL.map(|kind| {
            let word = match (guardrails.redact.contains(&kind), guardrails.stop.contains(&kind)) {
                (false, false) => "leave",
                (true, false) => "redact",
                (false, true) => "stop",
                (true, true) => "both",
            };
            (word_of(kind).to_owned(), word.to_owned())
        });
        let fallbacks = config.fallbacks.iter().enumerate();
        Self {
            name: config.name.clone(),
            role: config.role.clone(),
            instructions: config.instructions.clone(),
            model: config.model.clone(),
            other_model: String::new(),
            fallbacks: fallbacks.map(|(place, model)| (place.to_string(), model.clone())).collect(),
            temperature: typed(config.temperature),
            top_p: typed(config.options.top_p),
            max_output_tokens: typed(config.options.max_output_tokens),
            reasoning: match config.options.reasoning {
                None => "",
                Some(Reasoning::Low) => "low",
                Some(Reasoning::Medium) => "medium",
                Some(Reasoning::High) => "high",
            }
            .to_owned(),
            compress: if config.options.compress { "true" } else { "" }.to_owned(),
            memory: match config.memory {
                Memory::None => "none",
                Memory::Conversation => "conversation",
                Memory::Key => "key",
            }
            .to_owned(),
            tools: tools.collect(),
            output_schema: match &config.output_schema {
                Value::Null => String::new(),
                schema => serde_json::to_string_pretty(schema).unwrap_or_default(),
            },
            max_turns: config.limits.max_turns.to_string(),
            max_tokens: config.limits.max_tokens.to_string(),
            max_cost: config.limits.max_cost.typed(),
            timeout_s: config.limits.timeout_s.to_string(),
            task_s: typed(config.limits.task_s),
            injection: match guardrails.injection {
                InputCheck::Off => "off",
                InputCheck::Warn => "warn",
                InputCheck::Stop => "stop",
            }
            .to_owned(),
            max_input_chars: typed(guardrails.max_input_chars),
            sensitive: sensitive.into_iter().collect(),
            allowed_domains: lines(&guardrails.allowed_domains),
            rule_of_two: if guardrails.rule_of_two { "ask" } else { "off" }.to_owned(),
            tags: config.capabilities.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
            about: config.capabilities.about.clone(),
            note: String::new(),
        }
    }

    /// The configuration of a form. Whether it makes sense as a whole is said when it is saved.
    ///
    /// # Errors
    /// `invalid`, with the form's fields at fault.
    pub fn config(&self) -> Result<AgentConfig> {
        let mut faults = Faults(Vec::new());
        let temperature = self.temperature.trim();
        let temperature =
            faults.number("temperature", temperature, "The temperature must be a number between 0 and 2, or empty.");
        let options = self.options(&mut faults);
        let output_schema = match self.output_schema.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| {
                let place = format!("line {}, column {}", error.line(), error.column());
                faults.add("output_schema", format!("This is not valid JSON ({place})."));
                Value::Null
            }),
        };
        let max_turns = faults.whole("max_turns", &self.max_turns);
        let limits = AgentLimits {
            max_turns: u32::try_from(max_turns).unwrap_or(u32::MAX),
            max_tokens: faults.whole("max_tokens", &self.max_tokens),
            timeout_s: faults.whole("timeout_s", &self.timeout_s),
            task_s: faults.whole_or_none("task_s", &self.task_s),
            max_cost: Money::parse(&self.max_cost).unwrap_or_else(|| {
                faults.add("max_cost", "Enter an amount in dollars, such as 1.00.");
                Money(1)
            }),
        };
        let guardrails = self.guardrails(&mut faults);
        let model = if self.other_model.trim().is_empty() { &self.model } else { &self.other_model };
        let model = model.trim().to_owned();
        // A choice between two others may be empty: what is wrong is told at the choice itself.
        let chosen: Vec<(usize, &str)> = self
            .fallbacks
            .iter()
            .filter_map(|(place, fallback)| Some((place.parse().ok()?, fallback.trim())))
            .filter(|(_, fallback)| !fallback.is_empty())
            .collect();
        faults.0.extend(fallback_faults(&model, chosen.iter().copied()));
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
        if let Some(error) = Error::invalid_fields(faults.0) {
            return Err(error);
        }
        Ok(AgentConfig {
            name: self.name.trim().to_owned(),
            role: self.role.trim().to_owned(),
            instructions: self.instructions.replace("\r\n", "\n"),
            model,
            fallbacks: chosen.into_iter().map(|(_, fallback)| fallback.to_owned()).collect(),
            temperature,
            options,
            tools,
            output_schema,
            limits,
            guardrails,
            capabilities: Capabilities { tags: words(&self.tags), about: self.about.trim().to_owned() },
            memory: match self.memory.as_str() {
                "conversation" => Memory::Conversation,
                "key" => Memory::Key,
                _ => Memory::None,
            },
        })
    }

    fn options(&self, faults: &mut Faults) -> ModelOptions {
        let top_p = "Top P must be a number above 0 and at most 1, or empty.";
        ModelOptions {
            top_p: faults.number("top_p", self.top_p.trim(), top_p),
            max_output_tokens: faults.whole_or_none("max_output_tokens", &self.max_output_tokens),
            reasoning: match self.reasoning.as_str() {
                "low" => Some(Reasoning::Low),
                "medium" => Some(Reasoning::Medium),
                "high" => Some(Reasoning::High),
                _ => None,
            },
            compress: self.compress == "true",
        }
    }

    fn guardrails(&self, faults: &mut Faults) -> Guardrails {
        let usual = Guardrails::default();
        let kinds = |usual: &BTreeSet<Sensitive>, word: &str| {
            let holds = |kind: Sensitive| match self.sensitive.get(word_of(kind)) {
                None => usual.contains(&kind),
                Some(chosen) => chosen == word || chosen == "both",
            };
            Sensitive::ALL.into_iter().filter(|kind| holds(*kind)).collect()
        };
        let most = faults.whole_or_none("max_input_chars", &self.max_input_chars);
        Guardrails {
            injection: match self.injection.as_str() {
                "off" => InputCheck::Off,
                "stop" => InputCheck::Stop,
                "warn" => InputCheck::Warn,
                _ => usual.injection,
            },
            max_input_chars: most.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
            redact: kinds(&usual.redact, "redact"),
            stop: kinds(&usual.stop, "stop"),
            allowed_domains: words(&self.allowed_domains),
            rule_of_two: match self.rule_of_two.as_str() {
                "off" => false,
                "ask" => true,
                _ => usual.rule_of_two,
            },
        }
    }
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), message: message.into() });
    }

    fn number(&mut self, field: &str, text: &str, message: &str) -> Option<f64> {
        if text.is_empty() {
            return None;
        }
        let number = text.parse().ok();
        if number.is_none() {
            self.add(field, message);
        }
        number
    }

    fn whole_or_none(&mut self, field: &str, text: &str) -> Option<u64> {
        if text.trim().is_empty() { None } else { Some(self.whole(field, text)) }
    }

    fn whole(&mut self, field: &str, text: &str) -> u64 {
        let number = text.trim().replace(',', "").parse::<u64>();
        if number.is_err() {
            self.add(field, "Enter a whole number.");
        }
        number.unwrap_or(1_000)
    }
}

/// The words of a list that people type, in small letters.
fn words(text: &str) -> BTreeSet<String> {
    let apart = |letter: char| letter.is_whitespace() || letter == ',' || letter == ';';
    text.split(apart).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn lines(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

fn typed(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_survives_its_form() {
        let config = AgentConfig {
            name: "Support".into(),
            role: "helps".into(),
            instructions: "One\nTwo".into(),
            model: "openai/gpt-5".into(),
            fallbacks: vec!["class/routine".into(), "sandbox/sandbox".into()],
            temperature: Some(0.3),
            options: ModelOptions {
                top_p: Some(0.9),
                max_output_tokens: Some(2_000),
                reasoning: Some(Reasoning::Medium),
                compress: true,
            },
            tools: BTreeMap::from([
                ("calculator".to_owned(), ToolPermission::Allowed),
                ("email_send".to_owned(), ToolPermission::NeedsApproval),
                ("http_request".to_owned(), ToolPermission::Policy),
            ]),
            output_schema: json!({ "type": "object" }),
            limits: AgentLimits { task_s: Some(900), ..AgentLimits::default() },
            guardrails: Guardrails {
                injection: InputCheck::Stop,
                max_input_chars: Some(4_000),
                redact: BTreeSet::from([Sensitive::Card, Sensitive::Email]),
                stop: BTreeSet::from([Sensitive::Card, Sensitive::Ssn]),
                allowed_domains: BTreeSet::from(["a.example".to_owned(), "b.example".to_owned()]),
                rule_of_two: false,
            },
            capabilities: Capabilities {
                tags: BTreeSet::from(["billing".to_owned(), "refunds".to_owned()]),
                about: "Answers customers.".into(),
            },
            memory: Memory::Key,
        };
        assert_eq!(AgentForm::of(&config).config(), Ok(config));
    }

    #[test]
    fn what_is_not_sent_is_as_usual_and_what_is_emptied_is_empty() {
        let whole = AgentForm::of(&AgentConfig::default());
        let sent = AgentForm {
            max_turns: whole.max_turns.clone(),
            max_tokens: whole.max_tokens.clone(),
            max_cost: whole.max_cost.clone(),
            timeout_s: whole.timeout_s.clone(),
            ..AgentForm::default()
        };
        assert_eq!(sent.config().map(|config| config.guardrails), Ok(Guardrails::default()));
        let leave = BTreeMap::from([("credential".to_owned(), "leave".to_owned())]);
        let sent = AgentForm { sensitive: leave, ..sent };
        assert_eq!(sent.config().map(|config| config.guardrails.redact), Ok(BTreeSet::new()));
    }

    #[test]
    fn a_list_is_typed_as_one_likes_and_a_gap_between_models_is_none() {
        assert_eq!(words(" Billing,refunds;\n refunds\tvip"), words("billing refunds vip"));
        let models = [("0", "a/1"), ("1", ""), ("3", "a/2"), ("4", "a/1")];
        let fallbacks = models.map(|(place, model)| (place.to_owned(), model.to_owned()));
        let form = AgentForm {
            fallbacks: BTreeMap::from(fallbacks),
            model: "a/0".into(),
            ..AgentForm::of(&AgentConfig::default())
        };
        let fields: Vec<String> =
            form.config().expect_err("a repeat").fields.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["fallbacks.4"], "told at its own place");
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_field() {
        let form = AgentForm { temperature: "warm".into(), output_schema: "{".into(), ..AgentForm::default() };
        let fields: Vec<String> =
            form.config().expect_err("faults").fields.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["temperature", "output_schema", "max_turns", "max_tokens", "timeout_s", "max_cost"]);
    }
}
