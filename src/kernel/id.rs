//! Typed ids. On the outside an id is a prefix and 26 characters of Crockford's base 32 (`run_01jd…`); inside it is a
//! UUID of version 7, so ids sort by the time they were made. They are made on the server only.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// A text that is not an id of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError {
    /// The prefix that was wanted, such as `run`.
    pub wanted: &'static str,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an id of the form {}_…", self.wanted)
    }
}

impl std::error::Error for ParseIdError {}

fn encode(id: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let bits = id.as_u128();
    for place in (0..LENGTH).rev() {
        let digit = (bits >> (place * 5)) & 31;
        // A digit is below 32, so the alphabet always has it.
        write!(f, "{}", char::from(ALPHABET[digit as usize]))?;
    }
    Ok(())
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != LENGTH {
        return None;
    }
    let mut bits: u128 = 0;
    for (place, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)? as u128;
        // 26 digits hold 130 bits: the first may be 7 at most.
        if place == 0 && digit > 7 {
            return None;
        }
        bits = (bits << 5) | digit;
    }
    Some(Uuid::from_u128(bits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "ssr", derive(sqlx::Type))]
        #[cfg_attr(feature = "ssr", sqlx(transparent))]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form begins with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, later than all before it.
            #[cfg(feature = "ssr")]
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default id would be a new one each time")]
            #[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID that the database holds.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The id of a UUID that the database holds.
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_", Self::PREFIX)?;
                encode(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(ParseIdError { wanted: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// An organization: the tenant.
    OrgId = "org";
    /// A person.
    UserId = "usr";
    /// An agent.
    AgentId = "ag";
    /// A budget.
    BudgetId = "bud";
    /// An organization's own way to a provider of models.
    ConnectionId = "conn";
    /// A conversation with an agent that is being tried.
    ConversationId = "conv";
    /// A sealed credential.
    CredentialId = "cred";
    /// A tool that an organization has made.
    CustomToolId = "tool";
    /// An MCP server.
    McpServerId = "mcp";
    /// A rehearsal: an agent's test cases, run with one of its versions.
    RehearsalId = "reh";
    /// A test case of an agent.
    TestCaseId = "case";
    /// A workflow.
    WorkflowId = "wf";
    /// A run.
    RunId = "run";
    /// An approval.
    ApprovalId = "apr";
    /// An event from the outside.
    EventId = "evt";
    /// An API key.
    ApiKeyId = "key";
    /// A message in the local outbox.
    EmailId = "mail";
    /// A server process that works on runs.
    NodeId = "node";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_form() {
        let id = RunId::from_uuid(Uuid::from_u128(0x0193_4c5a_7d10_7abc_8def_0123_4567_89ab));
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        assert!(id.to_string().starts_with("run_"));
        assert_eq!(id.to_string().len(), 30);
    }

    #[test]
    fn another_prefix_or_a_damaged_text_is_refused() {
        let id = RunId::from_uuid(Uuid::from_u128(7)).to_string();
        assert!(id.replace("run_", "wf_").parse::<RunId>().is_err());
        assert!(id.to_uppercase().parse::<RunId>().is_err());
        assert!("run_".parse::<RunId>().is_err());
        assert!("run_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RunId>().is_err());
    }
}
