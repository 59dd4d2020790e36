//! What the operator allows and sets up for tools.

use secrecy::SecretString;
use url::Url;

use crate::kernel::Money;

/// Where Brave's search is, unless the operator names another address.
const BRAVE: &str = "https://api.search.brave.com";

/// What Brave takes for a search, as listed on 2026-11-27: five dollars for a thousand.
const BRAVE_COST: Money = Money(5_000);
/// No search costs more: a thousand dollars.
const MAX_COST: Money = Money(1_000_000_000);

/// What the operator allows and sets up for tools.
#[derive(Debug, Clone, Default)]
pub struct ToolSettings {
    /// Who searches the web.
    pub search: Option<SearchService>,
    /// What a search costs.
    pub search_cost: Money,
    /// Whether commands may be run in a sandbox.
    pub shell: bool,
}

/// Who searches the web.
#[derive(Debug, Clone)]
pub enum SearchService {
    /// A SearXNG server that answers in JSON.
    Searxng {
        /// Its address.
        base: Url,
    },
    /// Brave Search.
    Brave {
        /// Its address.
        base: Url,
        /// The key.
        key: SecretString,
    },
}

impl ToolSettings {
    /// Reads the settings. The errors are sentences.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let text = |name: &str| lookup(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut wrong = Vec::new();
        let mut address = |name: &str, text: &str| {
            let url = Url::parse(text).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.query().is_none()
                    && url.username().is_empty()
            });
            if url.is_none() {
                wrong.push(format!("{name} is not a web address, such as http://localhost:8080."));
            }
            url
        };
        let searxng = text("AGENTFLOW_SEARCH_URL").and_then(|text| address("AGENTFLOW_SEARCH_URL", &text));
        let brave = text("AGENTFLOW_BRAVE_BASE_URL").unwrap_or_else(|| BRAVE.to_owned());
        let brave = text("AGENTFLOW_BRAVE_API_KEY").zip(address("AGENTFLOW_BRAVE_BASE_URL", &brave));
        if searxng.is_some() && brave.is_some() {
            wrong.push(
                "AGENTFLOW_SEARCH_URL and AGENTFLOW_BRAVE_API_KEY are both set; one service searches.".to_owned(),
            );
        }
        let search_cost = match text("AGENTFLOW_SEARCH_COST") {
            None if brave.is_some() => BRAVE_COST,
            None => Money::ZERO,
            Some(text) => Money::parse(&text).filter(|cost| *cost <= MAX_COST).unwrap_or_else(|| {
                wrong.push(format!("AGENTFLOW_SEARCH_COST is “{text}” and not an amount in dollars, such as 0.005."));
                Money::ZERO
            }),
        };
        let shell = match text("AGENTFLOW_SHELL").as_deref() {
            None | Some("off") => false,
            Some("bubblewrap") => true,
            Some(other) => {
                wrong.push(format!("AGENTFLOW_SHELL is “{other}” and not bubblewrap or off."));
                false
            }
        };
        let search = searxng
            .map(|base| SearchService::Searxng { base })
            .or_else(|| brave.map(|(key, base)| SearchService::Brave { base, key: SecretString::from(key) }));
        if wrong.is_empty() { Ok(Self { search, search_cost, shell }) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<ToolSettings, Vec<String>> {
        ToolSettings::read(&|name| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_on_by_itself_and_what_is_wrong_is_said() {
        let none = read(&[]).unwrap();
        assert!(none.search.is_none() && !none.shell);
        let some =
            read(&[("AGENTFLOW_SEARCH_URL", "http://localhost:8080"), ("AGENTFLOW_SHELL", "bubblewrap")]).unwrap();
        assert!(matches!(some.search, Some(SearchService::Searxng { .. })) && some.shell);
        let brave = read(&[("AGENTFLOW_BRAVE_API_KEY", "k")]).unwrap();
        assert_eq!([none.search_cost, some.search_cost, brave.search_cost], [Money::ZERO, Money::ZERO, Money(5_000)]);
        assert_eq!(read(&[("AGENTFLOW_SEARCH_COST", "0.01")]).unwrap().search_cost, Money(10_000));
        assert!(
            matches!(brave.search, Some(SearchService::Brave { base, .. }) if base.as_str() == "https://api.search.brave.com/")
        );
        let wrong = [
            ("AGENTFLOW_SEARCH_URL", "localhost"),
            ("AGENTFLOW_SHELL", "yes"),
            ("AGENTFLOW_SEARCH_COST", "half a cent"),
        ];
        assert_eq!(read(&wrong).unwrap_err().len(), 3);
        let both = [("AGENTFLOW_SEARCH_URL", "http://localhost:8080"), ("AGENTFLOW_BRAVE_API_KEY", "k")];
        assert_eq!(read(&both).unwrap_err().len(), 1);
    }
}
