//! Words everyone uses: ids, errors, money, pages, text. No input or output, and no knowledge of any feature.

pub mod error;
pub mod id;
pub mod money;
pub mod page;
pub mod text;
pub mod version;

pub use error::{Checks, Error, FieldError, Kind, Result};
pub use id::{
    AgentId, ApiKeyId, ApprovalId, BudgetId, ConnectionId, ConversationId, CredentialId, CustomToolId, EmailId,
    EventId, McpServerId, NodeId, OrgId, RehearsalId, RunId, TestCaseId, UserId, WorkflowId,
};
pub use money::Money;
pub use page::{Cursor, Page};
pub use version::VersionLine;

/// A moment, always in UTC. Made on the server only.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
