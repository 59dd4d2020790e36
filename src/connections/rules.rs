//! What a connection may look like, as it is typed. Pure.

use url::Url;

use super::ProviderChoice;
use crate::{
    kernel::{Error, Result, text},
    models::{
        ModelId,
        settings::{self, COMPATIBLE, KnownProvider},
    },
};

/// The most models that a connection names.
const MOST_MODELS: usize = 50;

/// The providers that an organization can connect.
pub(super) fn providers() -> Vec<ProviderChoice> {
    let label = |known: &KnownProvider| label_of(known.name, known.label);
    settings::known().map(|known| ProviderChoice { name: known.name.to_owned(), label: label(&known) }).collect()
}

fn label_of(name: &str, label: &str) -> String {
    if name == COMPATIBLE { "Any server that speaks OpenAI's language" } else { label }.to_owned()
}

/// The label of a provider, also of one that is not known any more.
pub(super) fn provider_label(name: &str) -> String {
    settings::known().find(|known| known.name == name).map_or(name, |known| known.label).to_owned()
}

/// Whether it is a provider that we know.
pub(super) fn provider(typed: &str) -> Result<String> {
    match settings::known().find(|known| known.name == typed) {
        Some(known) => Ok(known.name.to_owned()),
        None => Err(Error::invalid("provider", "Choose a provider.")),
    }
}

/// Another address than the provider's usual one.
pub(super) fn base_url(provider: &str, typed: &str) -> Result<Option<Url>> {
    let typed = typed.trim();
    let wrong = |message: &str| Error::invalid("base_url", message);
    if typed.is_empty() {
        return match provider {
            COMPATIBLE => Err(wrong("Enter the server's address, such as https://models.example.com/v1.")),
            _ => Ok(None),
        };
    }
    let form = "Enter an address such as https://models.example.com/v1.";
    if typed.len() > 500 || typed.contains(|letter: char| letter.is_control() || letter == '\\') {
        return Err(wrong(form));
    }
    let url = settings::base("", typed).map_err(|_| wrong(form))?;
    match url.username().is_empty() && url.password().is_none() && url.has_host() {
        true => Ok(Some(url)),
        false => Err(wrong("Enter the address without a user name; the key has a field of its own.")),
    }
}

/// The names of models, by commas or lines.
pub(super) fn models(provider: &str, typed: &str) -> Result<Vec<String>> {
    let wrong = |message: String| Error::invalid("models", message);
    let mut models: Vec<String> = Vec::new();
    for word in typed.split([',', '\n', '\r']).map(str::trim).filter(|word| !word.is_empty()) {
        // As it stands in model ids, it is often pasted so.
        let name = word.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(word);
        if ModelId::parse(&format!("{provider}/{name}")).is_err() {
            let shown = text::shortened(&text::without_nul(name.to_owned()), 60);
            return Err(wrong(format!(
                "“{shown}” is not the name of a model. Enter names such as gpt-5, with commas between."
            )));
        }
        if !models.iter().any(|known| known == name) {
            models.push(name.to_owned());
        }
    }
    match models.len() {
        0 if provider == COMPATIBLE => Err(wrong("Name at least one model of the server.".to_owned())),
        0..=MOST_MODELS => Ok(models),
        _ => Err(wrong(format!("Name {MOST_MODELS} models at most."))),
    }
}

/// The place in the order of asking.
pub(super) fn rank(typed: &str) -> Result<i16> {
    let rank = if typed.trim().is_empty() { Some(1) } else { typed.trim().parse().ok() };
    rank.filter(|rank| (1..=100).contains(rank)).ok_or_else(|| Error::invalid("rank", "Enter a number from 1 to 100."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_have_a_slash_at_the_end_and_no_secrets() {
        let good = base_url("openai", " https://gate.example.com/v1 ").expect("address").expect("one");
        assert_eq!(good.as_str(), "https://gate.example.com/v1/");
        assert_eq!(base_url("openai", " ").expect("none"), None);
        for typed in ["", "gate.example.com", "ftp://gate.example.com", "https://u:p@gate.example.com", "https://a\\b"]
        {
            assert!(base_url(COMPATIBLE, typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn models_are_names_without_their_provider() {
        assert_eq!(models("openai", "openai/gpt-5, gpt-5\no4-mini,,").expect("models"), ["gpt-5", "o4-mini"]);
        assert!(models("openai", "").expect("none").is_empty());
        assert!(models(COMPATIBLE, " , ").is_err());
        assert!(models("openai", "gpt 5").is_err());
        assert!(models("openai", "gpt\0").is_err());
        let many: Vec<String> = (0..51).map(|at| format!("m{at}")).collect();
        assert!(models("openai", &many.join(",")).is_err());
    }

    #[test]
    fn the_order_is_a_small_number() {
        assert_eq!((rank("").ok(), rank(" 7 ").ok()), (Some(1), Some(7)));
        assert!(["0", "101", "-1", "x", "1.5"].iter().all(|typed| rank(typed).is_err()));
        assert!(provider("openai").is_ok() && provider("acme").is_err());
        assert!(providers().iter().any(|choice| choice.name == COMPATIBLE));
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_breaks(typed: String) {
            let _ = base_url("openai", &typed);
            let _ = models("openai", &typed);
            let _ = rank(&typed);
        }
    }
}
