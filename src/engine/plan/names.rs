//! The names inside of a graph: nodes, branches, and the ports that edges come from.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The tool by which an agent that may use many tools finds those that are not on offer. The engine performs it itself.
pub const FIND_TOOLS: &str = "find_tools";
/// The tools by which the agents of a run speak to each other. The engine performs them itself.
pub const MESSAGE_TOOLS: [&str; 4] = [MESSAGE_SEND, MESSAGE_ASK, MESSAGE_REPLY, MESSAGES_READ];
/// Sends a message to an agent, or to all.
pub const MESSAGE_SEND: &str = "message_send";
/// Asks an agent, and waits for the answer.
pub const MESSAGE_ASK: &str = "message_ask";
/// Answers a question.
pub const MESSAGE_REPLY: &str = "message_reply";
/// Reads what came in.
pub const MESSAGES_READ: &str = "messages_read";

fn is_name(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks a text. The error is a sentence for the person who typed it.
            ///
            /// # Errors
            /// When it is not a name.
            pub fn parse(text: &str) -> Result<Self, String> {
                if is_name(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(format!(
                    "“{}” cannot be a {}: use up to 40 lower-case letters, digits and underscores, beginning with a letter.",
                    crate::kernel::text::shortened(text, 60), $what,
                ))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A node's key in its graph.
    NodeKey, "node's key";
    /// A branch of a decision or approval.
    BranchName, "branch's name";
}

impl BranchName {
    /// A decision's branch for when no other holds.
    #[must_use]
    pub fn otherwise() -> Self {
        Self("otherwise".to_owned())
    }

    /// An approval's branch after a yes; its plain edge means the same.
    #[must_use]
    pub fn approved() -> Self {
        Self("approved".to_owned())
    }

    /// The branch of whatever failed, which any node has.
    #[must_use]
    pub fn error() -> Self {
        Self("error".to_owned())
    }

    /// An approval's branch after “not like this”.
    #[must_use]
    pub fn changes() -> Self {
        Self("changes".to_owned())
    }

    /// An approval's branch after a no.
    #[must_use]
    pub fn rejected() -> Self {
        Self("rejected".to_owned())
    }
}

/// Where an edge comes from: a node, or one of its branches. As text `triage` or `size.large`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The node.
    pub node: NodeKey,
    /// The branch, where the node has several ways out.
    pub branch: Option<BranchName>,
}

impl Port {
    /// Checks a text.
    ///
    /// # Errors
    /// When it is not `node` or `node.branch`; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            None => Ok(Self { node: NodeKey::parse(text)?, branch: None }),
            Some((node, branch)) => Ok(Self { node: NodeKey::parse(node)?, branch: Some(BranchName::parse(branch)?) }),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.branch {
            None => write!(f, "{}", self.node),
            Some(branch) => write!(f, "{}.{branch}", self.node),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
