//! Which providers there are: those whose key (or address) the operator has set.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::prices::Prices;

/// A provider that the product knows: its name in model ids, its label, and where its settings come from.
struct Known {
    name: &'static str,
    label: &'static str,
    keys: &'static [&'static str],
    base_url: &'static str,
    models: &'static str,
}

const KNOWN: [Known; 9] = [
    Known {
        name: "anthropic",
        label: "Anthropic",
        keys: &["ANTHROPIC_API_KEY"],
        base_url: "ANTHROPIC_BASE_URL",
        models: "ANTHROPIC_MODELS",
    },
    Known {
        name: "openai",
        label: "OpenAI",
        keys: &["OPENAI_API_KEY"],
        base_url: "OPENAI_BASE_URL",
        models: "OPENAI_MODELS",
    },
    Known {
        name: "gemini",
        label: "Google Gemini",
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_url: "GEMINI_BASE_URL",
        models: "GEMINI_MODELS",
    },
    Known {
        name: "deepseek",
        label: "DeepSeek",
        keys: &["DEEPSEEK_API_KEY"],
        base_url: "DEEPSEEK_BASE_URL",
        models: "DEEPSEEK_MODELS",
    },
    Known {
        name: "xai",
        label: "xAI",
        keys: &["XAI_API_KEY", "GROK_API_KEY"],
        base_url: "XAI_BASE_URL",
        models: "XAI_MODELS",
    },
    Known {
        name: "perplexity",
        label: "Perplexity",
        keys: &["PERPLEXITY_API_KEY"],
        base_url: "PERPLEXITY_BASE_URL",
        models: "PERPLEXITY_MODELS",
    },
    Known {
        name: "mistral",
        label: "Mistral",
        keys: &["MISTRAL_API_KEY"],
        base_url: "MISTRAL_BASE_URL",
        models: "MISTRAL_MODELS",
    },
    Known { name: "groq", label: "Groq", keys: &["GROQ_API_KEY"], base_url: "GROQ_BASE_URL", models: "GROQ_MODELS" },
    // Any server that speaks OpenAI's language: Ollama, vLLM, LM Studio, a gateway. Needs an address and names, no key.
    Known {
        name: COMPATIBLE,
        label: "Own server",
        keys: &["AGENTFLOW_MODEL_KEY"],
        base_url: "AGENTFLOW_MODEL_BASE_URL",
        models: "AGENTFLOW_MODELS",
    },
];

/// The variable that names the operator's price table.
const PRICES_FILE: &str = "AGENTFLOW_PRICES_FILE";

/// The provider name of a server that is known by its address alone.
pub const COMPATIBLE: &str = "compatible";

/// A provider that can be called with one key.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Its name in model ids.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// Its key. A server of one's own may want none.
    pub key: Option<SecretString>,
    /// Where it is, if not at its usual address.
    pub base_url: Option<Url>,
    /// The models to offer; empty means those of the price table.
    pub models: Vec<String>,
}

/// The providers, how fast the sandbox model writes, and what models cost.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// The providers that can be called, one for each key.
    pub providers: Vec<ProviderSettings>,
    /// The pause after each word of the sandbox model, so that streaming can be seen.
    pub sandbox_pause: Duration,
    /// What their models cost.
    pub prices: Prices,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self { providers: Vec::new(), sandbox_pause: Duration::from_millis(12), prices: Prices::default() }
    }
}

impl ModelSettings {
    /// Reads the settings by the names of their variables: per provider a key (`ANTHROPIC_API_KEY`, `OPENAI_API_KEY`,
    /// `GEMINI_API_KEY`, `DEEPSEEK_API_KEY`, `XAI_API_KEY`, `PERPLEXITY_API_KEY`, `MISTRAL_API_KEY`, `GROQ_API_KEY`), or
    /// several with commas between, which share the work; and optionally `…_BASE_URL` and `…_MODELS` (names, with commas
    /// between); `AGENTFLOW_MODEL_BASE_URL`, `AGENTFLOW_MODELS` and `AGENTFLOW_MODEL_KEY` for any server that speaks
    /// OpenAI's language; `AGENTFLOW_SANDBOX_PAUSE_MS`; `AGENTFLOW_PRICES_FILE`, a price table that is laid over ours.
    ///
    /// # Errors
    /// When a value cannot be used; the error is a sentence that names the variable.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut settings = Self::default();
        if let Some(text) = get("AGENTFLOW_SANDBOX_PAUSE_MS") {
            let pause = text.parse().ok().filter(|pause| *pause <= 1_000);
            settings.sandbox_pause =
                Duration::from_millis(pause.ok_or("AGENTFLOW_SANDBOX_PAUSE_MS must be a number from 0 to 1000.")?);
        }
        if let Some(path) = get(PRICES_FILE) {
            settings.prices = Prices::with_file(PRICES_FILE, &path)?;
        }
        for known in &KNOWN {
            let listed = |text: Option<String>| -> Vec<String> {
                let names = text.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned());
                names.filter(|name| !name.is_empty()).collect()
            };
            let keys = listed(known.keys.iter().find_map(|name| get(name)));
            let base_url = get(known.base_url).map(|text| base(known.base_url, &text)).transpose()?;
            let models = listed(get(known.models));
            let is_own = known.name == COMPATIBLE;
            if is_own && base_url.is_some() && models.is_empty() {
                return Err("AGENTFLOW_MODEL_BASE_URL is set: name its models in AGENTFLOW_MODELS.".to_owned());
            }
            let mut keys: Vec<Option<SecretString>> = keys.into_iter().map(|key| Some(key.into())).collect();
            if is_own && base_url.is_some() && keys.is_empty() {
                keys.push(None);
            }
            if is_own && base_url.is_none() {
                keys.clear();
            }
            settings.providers.extend(keys.into_iter().map(|key| ProviderSettings {
                name: known.name.to_owned(),
                label: known.label.to_owned(),
                key,
                base_url: base_url.clone(),
                models: models.clone(),
            }));
        }
        Ok(settings)
    }
}

/// A base address, with the slash at its end that joining needs.
pub(crate) fn base(variable: &str, text: &str) -> Result<Url, String> {
    let slash = if text.ends_with('/') { "" } else { "/" };
    Url::parse(&format!("{text}{slash}"))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none())
        .ok_or_else(|| format!("{variable} must be an address such as http://localhost:11434/v1."))
}

/// A provider that the product knows, as the documentation lists it.
#[derive(Debug, Clone, Copy)]
pub struct KnownProvider {
    /// Its name in model ids.
    pub name: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// The variables that hold its key; the first that is set counts.
    pub keys: &'static [&'static str],
    /// The variable of its address.
    pub base_url: &'static str,
    /// The variable of the models to offer.
    pub models: &'static str,
}

/// The providers that the product knows.
pub fn known() -> impl Iterator<Item = KnownProvider> {
    KNOWN.iter().map(|known| KnownProvider {
        name: known.name,
        label: known.label,
        keys: known.keys,
        base_url: known.base_url,
        models: known.models,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ModelSettings, String> {
        ModelSettings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn providers_appear_with_their_keys() {
        assert!(read(&[]).unwrap().providers.is_empty());
        assert!(read(&[("OPENAI_API_KEY", " ")]).unwrap().providers.is_empty());
        let both = read(&[("GROK_API_KEY", "x"), ("ANTHROPIC_API_KEY", "y"), ("ANTHROPIC_MODELS", "a, b,")]).unwrap();
        assert_eq!(both.providers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["anthropic", "xai"]);
        assert_eq!(both.providers[0].models, ["a", "b"]);
        assert!(
            !format!("{:?}", both.providers[1]).contains('x')
                || format!("{:?}", both.providers[1]).contains("REDACTED")
        );
    }

    #[test]
    fn several_keys_are_several_connections() {
        let keys = read(&[("OPENAI_API_KEY", "a, b,,c"), ("OPENAI_MODELS", "gpt-5")]).unwrap();
        assert_eq!(keys.providers.len(), 3);
        assert!(keys.providers.iter().all(|one| one.name == "openai" && one.models == ["gpt-5"]));
        assert_eq!(read(&[("PERPLEXITY_API_KEY", "x")]).unwrap().providers[0].name, "perplexity");
    }

    #[test]
    fn a_server_of_ones_own_needs_an_address_and_names() {
        let own =
            read(&[("AGENTFLOW_MODEL_BASE_URL", "http://localhost:11434/v1"), ("AGENTFLOW_MODELS", "llama")]).unwrap();
        assert_eq!(own.providers[0].base_url.as_ref().map(Url::as_str), Some("http://localhost:11434/v1/"));
        assert!(own.providers[0].key.is_none());
        assert!(read(&[("AGENTFLOW_MODEL_BASE_URL", "http://localhost:11434/v1")]).is_err());
        assert!(read(&[("AGENTFLOW_MODEL_BASE_URL", "localhost"), ("AGENTFLOW_MODELS", "x")]).is_err());
        assert!(read(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "fast")]).is_err());
        let gone = read(&[("AGENTFLOW_PRICES_FILE", "/nowhere/prices.json")]).unwrap_err();
        assert!(gone.starts_with("AGENTFLOW_PRICES_FILE is “/nowhere/prices.json”"), "{gone}");
    }
}
