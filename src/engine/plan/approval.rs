//! What an approval node asks, of whom, and by when.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Role;

/// What an approval node asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Template: what will happen, one sentence.
    pub title: String,
    /// Template: what the decider should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Template, anywhere inside: exactly what is approved. It can be edited on approval.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// Template: who and what is touched, and what it costs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub impact: String,
    /// Template: the money that is moved, a number. Above the organization's limit it is typed to approve what cannot be
    /// undone.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub amount: Value,
    /// Template: the amount's currency, as in ISO 4217. Empty means USD.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub currency: String,
    /// Template: why it is proposed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Template: how sure the one who proposes it is, a number from 0 to 1.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub confidence: Value,
    /// Whether what follows can be undone.
    #[serde(default)]
    pub reversible: bool,
    /// Template: until when it can be undone, RFC 3339. Empty means at any time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reversible_until: String,
    /// The least role that may decide. None: whoever may decide approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Templates: the people who may decide, by their e-mail addresses. Without a role they alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
    /// How many must say yes. One no is enough.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quorum: u32,
    /// Whether whoever started the run may not decide.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_own: bool,
    /// Seconds until the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
    /// What happens then.
    #[serde(default)]
    pub on_expiry: OnExpiry,
    /// The least role of those who decide after a deadline that hands it over. None: admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_to: Option<Role>,
}

/// The most people who can be made to agree.
pub const MAX_QUORUM: u32 = 20;
/// The most people that an approval can name.
pub const MAX_PEOPLE: usize = 50;

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_one(number: &u32) -> bool {
    *number == 1
}

/// What happens to an approval at its deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// It counts as rejected.
    #[default]
    Reject,
    /// It counts as approved.
    Approve,
    /// Others decide, with as much time again; then it counts as rejected.
    Escalate,
}

impl OnExpiry {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Approve => "approve",
            Self::Escalate => "escalate",
        }
    }
}
