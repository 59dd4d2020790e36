//! REST tools that an organization describes itself: a request as a template, what it takes, and what becomes of the
//! answer. Every save is a version; a run calls the version that its plan was made with.

#[cfg(feature = "ssr")]
mod address;
#[cfg(feature = "ssr")]
pub(crate) mod auth;
#[cfg(feature = "ssr")]
mod call;
pub mod form;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

#[cfg(feature = "ssr")]
pub(super) use call::call;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    engine::plan::ToolEffect,
    kernel::{CredentialId, CustomToolId, FieldError, Money, Timestamp, VersionLine},
};

/// The most seconds that a call may take.
pub const MAX_TIMEOUT_S: u64 = 120;
/// The most entries of the query, and the most headers.
const MAX_ENTRIES: usize = 30;
/// The most characters of an address, and of the value of an entry.
const MAX_LINE: usize = 4_000;
/// The most characters of a body's template.
const MAX_BODY: usize = 64 << 10;
/// The most that a call may cost.
const MAX_COST: Money = Money(1_000_000_000);
/// The most characters of a description.
const MAX_DESCRIPTION: usize = 4_000;

/// The method of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "HTTP's own names")]
pub enum Method {
    #[default]
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
}

impl Method {
    /// All of them, the usual first.
    pub const ALL: [Self; 6] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Head];

    /// The word in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
        }
    }

    /// The method of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == word)
    }

    /// Whether a request with it may have a body.
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::Get | Self::Head)
    }
}

/// A name and the template of its value: a parameter of the query, or a header. One whose value comes out empty is not
/// sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The template of the value.
    pub value: String,
}

/// What a version of a tool is made of. Templates read `{{ input.… }}`: the arguments of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomToolConfig {
    /// What people read.
    pub title: String,
    /// What it does and when to use it, for models and people.
    pub description: String,
    /// What it does to the world.
    pub effect: ToolEffect,
    /// JSON Schema of the arguments.
    pub parameters: Value,
    /// The method.
    pub method: Method,
    /// The address. Expressions may stand in its path and query alone.
    pub url: String,
    /// What is added to the query.
    pub query: Vec<Entry>,
    /// The headers.
    pub headers: Vec<Entry>,
    /// What is sent: a JSON value with expressions inside, or a text; empty for nothing.
    pub body: String,
    /// The credential that is joined in last.
    pub credential: Option<CredentialId>,
    /// An expression over `response` (`status`, `headers`, `body`); empty for the body.
    pub result: String,
    /// JSON Schema of the result; null for anything.
    pub output: Value,
    /// Seconds that a call may take.
    pub timeout_s: u64,
    /// Statuses of 400 and above that are an answer and no failure.
    pub statuses: Vec<u16>,
    /// What its service takes for a call; nothing where it is free.
    #[serde(skip_serializing_if = "Money::is_zero")]
    pub cost: Money,
}

impl Default for CustomToolConfig {
    fn default() -> Self {
        Self {
            title: String::new(),
            description: String::new(),
            effect: ToolEffect::Read,
            parameters: no_parameters(),
            method: Method::Get,
            url: String::new(),
            query: Vec::new(),
            headers: Vec::new(),
            body: String::new(),
            credential: None,
            result: String::new(),
            output: Value::Null,
            timeout_s: 30,
            statuses: Vec::new(),
            cost: Money::ZERO,
        }
    }
}

/// The schema of a tool that takes nothing.
fn no_parameters() -> Value {
    json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false })
}

impl CustomToolConfig {
    /// What is wrong with it, by field, as far as that can be said without a server.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let mut out = Vec::new();
        let mut fault = |field: String, message: &str| out.push(FieldError { field, message: message.to_owned() });
        if !(1..=80).contains(&self.title.trim().chars().count()) {
            fault("title".to_owned(), "Enter a title of 1 to 80 characters.");
        }
        let description = self.description.trim().chars().count();
        if !(1..=MAX_DESCRIPTION).contains(&description) {
            fault("description".to_owned(), "Say in 1 to 4,000 characters what it does: models choose tools by it.");
        }
        if self.parameters["type"] != "object" {
            fault("parameters_schema".to_owned(), "The schema must be of an object: \"type\": \"object\".");
        }
        if self.url.chars().count() > MAX_LINE {
            fault("url".to_owned(), "An address has at most 4,000 characters.");
        }
        for (field, entries) in [("query", &self.query), ("headers", &self.headers)] {
            if entries.len() > MAX_ENTRIES {
                fault(field.to_owned(), "At most 30 entries are possible.");
            }
            for (place, entry) in entries.iter().enumerate() {
                if entry.name.trim().is_empty() || entry.name.len() > 200 || entry.name.contains("{{") {
                    fault(format!("{field}.{place:02}.name"), "Enter a name of at most 200 characters, without {{ }}.");
                }
                if entry.value.chars().count() > MAX_LINE {
                    fault(format!("{field}.{place:02}.value"), "A value has at most 4,000 characters.");
                }
            }
        }
        if !self.method.has_body() && !self.body.trim().is_empty() {
            fault("body".to_owned(), "A request with the method GET or HEAD has no body. Choose another method.");
        }
        if self.body.chars().count() > MAX_BODY {
            fault("body".to_owned(), "A body has at most 65,536 characters.");
        }
        if self.result.chars().count() > MAX_LINE {
            fault("result".to_owned(), "An expression has at most 4,000 characters here.");
        }
        if !(1..=MAX_TIMEOUT_S).contains(&self.timeout_s) {
            fault("timeout_s".to_owned(), "Between 1 and 120 seconds are possible.");
        }
        if self.statuses.len() > 20 || self.statuses.iter().any(|status| !(400..=599).contains(status)) {
            fault("statuses".to_owned(), "Enter at most 20 statuses between 400 and 599.");
        }
        if !(Money::ZERO..=MAX_COST).contains(&self.cost) {
            fault("cost".to_owned(), "A call can cost between $0 and $1,000.");
        }
        out
    }
}

/// Whether a text can be the name of a tool: lower-case letters, digits and underscores, a letter first, 2 to 41 of them.
#[must_use]
pub fn is_tool_name(text: &str) -> bool {
    (2..=41).contains(&text.len())
        && text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A tool with its newest version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomTool {
    /// Its id.
    pub id: CustomToolId,
    /// What graphs, agents and models call it. Never changed.
    pub name: String,
    /// Its newest version's number.
    pub version: i32,
    /// The version that runs use; nothing while it is a draft.
    pub deployed_version: Option<i32>,
    /// What the newest version is made of.
    pub config: CustomToolConfig,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// When it was last saved or deployed.
    pub updated_at: Timestamp,
}

/// A tool at one of its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomToolDetail {
    /// The tool.
    pub tool: CustomTool,
    /// The version that is shown.
    pub shown: i32,
    /// What it is made of.
    pub config: CustomToolConfig,
    /// All versions, the newest first.
    pub versions: Vec<VersionLine>,
}

/// A request as it went out, with the credential's place marked and never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    /// The method.
    pub method: String,
    /// The address.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body, shortened.
    pub body: String,
}

/// An answer as a test shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body, shortened.
    pub body: String,
    /// How many bytes it has.
    pub bytes: usize,
    /// How long it took.
    pub duration_ms: i64,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What went out; nothing where it did not come so far.
    pub request: Option<SentRequest>,
    /// What came back.
    pub answer: Option<Received>,
    /// The result that a run would have; nothing where there is none.
    pub result: Option<Value>,
    /// Why there is none.
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_models_and_graphs_can_say() {
        for good in ["crm_lookup", "a1", &"x".repeat(41)] {
            assert!(is_tool_name(good), "{good}");
        }
        for bad in ["", "a", "1a", "Crm", "crm-lookup", "crm lookup", "_a", &"x".repeat(42)] {
            assert!(!is_tool_name(bad), "{bad}");
        }
    }

    #[test]
    fn each_field_says_what_is_wrong_with_it() {
        let good = CustomToolConfig {
            title: "Look up".into(),
            description: "Looks a customer up.".into(),
            url: "https://api.example.com/".into(),
            ..CustomToolConfig::default()
        };
        assert_eq!(good.faults(), []);
        let entry = Entry { name: " ".into(), value: "x".repeat(4_001) };
        let bad = CustomToolConfig {
            title: String::new(),
            description: String::new(),
            parameters: json!({ "type": "string" }),
            query: vec![entry],
            body: "x".into(),
            timeout_s: 0,
            statuses: vec![200],
            ..good
        };
        let fields: Vec<String> = bad.faults().into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "title",
                "description",
                "parameters_schema",
                "query.00.name",
                "query.00.value",
                "body",
                "timeout_s",
                "statuses"
            ]
        );
    }
}
