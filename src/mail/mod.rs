//! E-mail: over SMTP where it is set up, else kept in the local outbox, which a page shows while developing.

#[cfg(feature = "ssr")]
mod sender;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
pub use sender::{Delivery, Letter, Mail, MailSettings, Receipt, SendMail};

use crate::kernel::{EmailId, Timestamp};

/// A message in the local outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Its id.
    pub id: EmailId,
    /// To whom.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
}
