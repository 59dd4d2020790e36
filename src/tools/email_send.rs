//! The tool email_send.

use serde_json::{Value, json};

use super::{
    deed::{deeds, output, text},
    registry::ToolContext,
};
use crate::{
    engine::{
        journal::LogLevel,
        port::Answer,
        state::{ErrorClass, StepError},
    },
    mail::{Delivery, Letter},
};

deeds! {
    EmailSend = "email_send" => send_email;
}

async fn send_email(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let mut to: Vec<String> = match &arguments["to"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    };
    to.dedup();
    let letter =
        Letter { to, subject: text(arguments, "subject").to_owned(), body: text(arguments, "body").to_owned() };
    if letter.subject.chars().any(char::is_control) {
        return Err(StepError::new(ErrorClass::BadInput, "mail.message", "A subject is one line."));
    }
    let key = context.scope.idempotency_key();
    let receipt = context.mail.send(context.db, context.scope.org, &key, &letter).await?;
    let delivery = match receipt.delivery {
        Delivery::Sent => "sent",
        Delivery::Outbox => "outbox",
        Delivery::Unknown => {
            let line = "An earlier attempt was cut off while it was sending this e-mail. It is not sent a second time.";
            (context.log)(LogLevel::Warn, line.to_owned());
            "unknown"
        }
    };
    Ok(output(json!({
        "id": receipt.id,
        "delivery": delivery,
        "to": letter.to,
        "repeated": receipt.repeated,
    })))
}
