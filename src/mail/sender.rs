//! Sending: once per idempotency key, whatever happens in between. A step's message is sent by the step, which tells what
//! became of it; any other is left to a job.

use std::{sync::Arc, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::store;
use crate::{
    db::{Db, TenantTx},
    deps::Deps,
    engine::state::{ErrorClass, StepError},
    jobs::{self, Job},
    kernel::{EmailId, Error, Kind, OrgId, Result},
};

/// Where mail goes out.
#[derive(Debug, Clone, Default)]
pub struct MailSettings {
    /// `smtps://user:password@host:465` or `smtp://host:587?tls=required`. None: the local outbox.
    pub smtp_url: Option<SecretString>,
    /// Who writes, such as `AgentFlow <agentflow@example.com>`. Needed with a server.
    pub from: Option<String>,
}

impl MailSettings {
    /// Reads the settings by the names of their variables: `SMTP_URL` and `MAIL_FROM`.
    #[must_use]
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Self { smtp_url: get("SMTP_URL").map(SecretString::from), from: get("MAIL_FROM") }
    }
}

/// How long the mail server may take to say that it is there.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// A message to send.
#[derive(Debug, Clone)]
pub struct Letter {
    /// To whom.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: EmailId,
    /// Where it is.
    pub delivery: Delivery,
    /// Whether an earlier attempt had written it.
    pub repeated: bool,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The mail server has taken it.
    Sent,
    /// Here, for lack of a mail server.
    Outbox,
    /// An earlier attempt was cut off while sending. It is not sent again: nobody gets it twice.
    Unknown,
}

/// The way out for mail. Cheap to clone.
#[derive(Clone)]
pub struct Mail {
    server: Option<Arc<Server>>,
}

struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

enum Reserved {
    /// To be sent now.
    Mine { id: EmailId, repeated: bool },
    /// Nothing to do.
    Done(Receipt),
}

impl Mail {
    /// Sets the way out up. No connection is made yet.
    ///
    /// # Errors
    /// When a setting cannot be used; the error is a sentence.
    pub fn new(settings: &MailSettings) -> Result<Self, String> {
        let Some(url) = &settings.smtp_url else { return Ok(Self { server: None }) };
        let from = settings.from.as_deref().ok_or("SMTP_URL is set: say in MAIL_FROM who writes.")?;
        let from =
            from.parse().map_err(|_| "MAIL_FROM must be an address, such as AgentFlow <agentflow@example.com>.")?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|_| "SMTP_URL must be an address such as smtps://user:password@mail.example.com.")?
            .timeout(Some(Duration::from_secs(30)))
            .build();
        Ok(Self { server: Some(Arc::new(Server { transport, from })) })
    }

    /// Whether mail leaves this machine.
    #[must_use]
    pub fn has_server(&self) -> bool {
        self.server.is_some()
    }

    /// Asks the mail server whether it would take mail from here. Nothing is sent.
    ///
    /// # Errors
    /// When it cannot be reached or does not let us in; the error is a sentence.
    pub async fn check(&self) -> Result<(), String> {
        let Some(server) = &self.server else { return Ok(()) };
        match tokio::time::timeout(CHECK_LIMIT, server.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("The mail server does not take mail from here.".to_owned()),
            Ok(Err(error)) if error.is_permanent() => Err(format!(
                "The mail server refuses us ({}).",
                error.status().map_or_else(String::new, |code| code.to_string())
            )),
            Ok(Err(_)) | Err(_) => Err("The mail server cannot be reached.".to_owned()),
        }
    }

    /// Sends a message, or keeps it in the outbox: at most once per key.
    ///
    /// # Errors
    /// When the mail server refuses it or does not answer; then another attempt may send it.
    pub async fn send(&self, db: &Db, org: OrgId, key: &str, letter: &Letter) -> Result<Receipt, StepError> {
        let (id, repeated) = match self.reserve(db, org, key, letter).await.map_err(not_written)? {
            Reserved::Mine { id, repeated } => (id, repeated),
            Reserved::Done(receipt) => return Ok(receipt),
        };
        let Some(server) = &self.server else { return Ok(Receipt { id, delivery: Delivery::Outbox, repeated }) };
        let sent = server.send(id, letter).await;
        settle(db, org, id, &sent).await.map_err(not_written)?;
        sent.map(|()| Receipt { id, delivery: Delivery::Sent, repeated })
    }

    /// Leaves a message to be sent soon after the commit, or keeps it in the outbox: at most once per key. Whether it is a
    /// new one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn leave(&self, tx: &mut TenantTx, key: &str, letter: &Letter) -> Result<bool> {
        let id = EmailId::new();
        let state = if self.server.is_some() { "queued" } else { "outbox" };
        let is_new = store::insert(tx, id, key, letter, state).await?;
        if is_new && self.server.is_some() {
            jobs::enqueue(tx, &SendMail { email: id }).await?;
        }
        Ok(is_new)
    }

    /// Sends a message that was left. One whose sending was cut off may have arrived, and is not sent again.
    async fn send_left(&self, db: &Db, org: OrgId, id: EmailId) -> Result<()> {
        let Some(server) = &self.server else {
            return Err(Error::new(Kind::Unavailable, "mail.no_server", "No mail server is set (SMTP_URL)."));
        };
        let mut tx = db.tenant(org).await?;
        let letter = store::take(&mut tx, id).await?;
        tx.commit().await?;
        let Some(letter) = letter else { return Ok(()) };
        let sent = server.send(id, &letter).await;
        settle(db, org, id, &sent).await?;
        match sent {
            // Refused for good: another try would be refused too.
            Err(fault) if fault.class == ErrorClass::BadInput => {
                tracing::warn!(organization = %org, email = %id, code = fault.code, "a message was refused");
                Ok(())
            }
            sent => sent.map_err(|fault| Error::new(Kind::Unavailable, fault.code, fault.message)),
        }
    }

    /// Writes the message down before anything is sent, so that a later attempt finds it.
    async fn reserve(&self, db: &Db, org: OrgId, key: &str, letter: &Letter) -> Result<Reserved> {
        let id = EmailId::new();
        let state = if self.server.is_some() { "sending" } else { "outbox" };
        let mut tx = db.tenant(org).await?;
        let reserved = if store::insert(&mut tx, id, key, letter, state).await? {
            Reserved::Mine { id, repeated: false }
        } else {
            let kept = store::find(&mut tx, key).await?;
            let kept = kept.ok_or_else(|| crate::kernel::Error::internal("a message is neither new nor there"))?;
            let done = |delivery| Reserved::Done(Receipt { id: kept.id, delivery, repeated: true });
            match kept.state.as_str() {
                "sent" => done(Delivery::Sent),
                "outbox" => done(Delivery::Outbox),
                "failed" if store::advance(&mut tx, kept.id, "failed", state).await? => {
                    Reserved::Mine { id: kept.id, repeated: true }
                }
                _ => done(Delivery::Unknown),
            }
        };
        tx.commit().await?;
        Ok(reserved)
    }
}

/// Sends a message that [`Mail::leave`] has left.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendMail {
    email: EmailId,
}

impl Job for SendMail {
    const NAME: &'static str = "send_mail";
    // For about a day: the mail server may be away for a night.
    const MAX_ATTEMPTS: i32 = 13;

    fn key(&self) -> String {
        self.email.to_string()
    }

    async fn run(self, deps: &Deps, org: OrgId) -> Result<()> {
        deps.mail.send_left(&deps.db, org, self.email).await
    }
}

/// Notes what became of a message. One that has left, or is refused for good, keeps no links that are one person's own.
async fn settle(db: &Db, org: OrgId, id: EmailId, sent: &Result<(), StepError>) -> Result<()> {
    let mut tx = db.tenant(org).await?;
    store::advance(&mut tx, id, "sending", if sent.is_ok() { "sent" } else { "failed" }).await?;
    let is_over = match sent {
        Ok(()) => true,
        Err(fault) => fault.class == ErrorClass::BadInput,
    };
    if is_over {
        store::forget_links(&mut tx, id).await?;
    }
    tx.commit().await
}

fn not_written(error: crate::kernel::Error) -> StepError {
    StepError::new(ErrorClass::Unavailable, "mail.database", error.message)
}

impl Server {
    async fn send(&self, id: EmailId, letter: &Letter) -> Result<(), StepError> {
        let bad = |message: &str| StepError::new(ErrorClass::BadInput, "mail.message", message);
        let mut message = Message::builder()
            // The same over all attempts: mail servers drop a second one.
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .from(self.from.clone())
            .subject(&letter.subject)
            .header(ContentType::TEXT_PLAIN);
        for address in &letter.to {
            message = message.to(address.parse().map_err(|_| bad("A recipient's address is not one."))?);
        }
        let message = message.body(letter.body.clone()).map_err(|_| bad("The message cannot be built."))?;
        self.transport.send(message).await.map(drop).map_err(|error| {
            tracing::warn!(%error, "the mail server did not take a message");
            let (class, code, words) = if error.is_permanent() {
                (ErrorClass::BadInput, "mail.refused", "The mail server refuses this message or its recipient.")
            } else if error.is_timeout() {
                (ErrorClass::Timeout, "mail.timeout", "The mail server took too long.")
            } else {
                (ErrorClass::Unavailable, "mail.unavailable", "The mail server cannot be reached or takes no mail now.")
            };
            StepError::new(class, code, words)
        })
    }
}
