//! What other sides bear. Who asked to be left alone (`Retry-After`) is known to all nodes, and no call goes there before
//! that moment; how many calls at a time a side takes is found out by each process for itself. Both by organization, and
//! by the model's provider or the host.

mod store;
mod window;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use url::Url;

use crate::{
    db::Db,
    engine::{
        plan::HTTP_TOOL,
        port::{Answer, Call, CallScope, Place},
        retry,
        state::{ErrorClass, StepError},
    },
    kernel::{OrgId, Timestamp},
    models::{ModelId, SANDBOX},
};
use window::Window;

/// The most calls at a time to one side.
const MOST: usize = 128;
/// Sides that are remembered in memory, beyond which those that nobody calls are forgotten.
const REMEMBERED: usize = 10_000;
/// Within how many milliseconds after a block ends those that waited for it come.
const SPREAD_MS: u64 = 500;
/// The pause before a database that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Another side, as far as its limits go: `model:openai`, `host:api.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey(String);

impl LimitKey {
    /// The side that a call goes to; nothing for one that stays in the house.
    #[must_use]
    pub fn of(call: &Call) -> Option<Self> {
        let key = match call {
            Call::Model(call) if call.model == SANDBOX => return None,
            Call::Model(call) => format!("model:{}", ModelId::parse(&call.model).ok()?.provider()),
            Call::Tool(call) if call.tool == HTTP_TOOL => {
                let url = Url::parse(call.arguments.get("url")?.as_str()?.trim()).ok()?;
                let host = url.host_str()?;
                url.port().map_or_else(|| format!("host:{host}"), |port| format!("host:{host}:{port}"))
            }
            Call::Tool(_) => return None,
        };
        // No name is longer than 253 letters.
        (key.len() <= 300).then_some(Self(key))
    }

    fn as_str(&self) -> &str {
        &self.0
    }

    /// What people call it.
    fn label(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }
}

/// The calls to each side of an organization.
type Windows = HashMap<(OrgId, LimitKey), Arc<Window>>;

/// The limits of all sides. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    db: Db,
    windows: Arc<Mutex<Windows>>,
}

impl Limits {
    /// Limits that nothing is known of yet but what the database holds.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, windows: Arc::default() }
    }

    /// Waits for a place among the calls to a side.
    pub async fn place(&self, org: OrgId, key: LimitKey) -> Box<dyn Place> {
        let window = {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            if windows.len() >= REMEMBERED {
                windows.retain(|_, window| Arc::strong_count(window) > 1);
            }
            windows.entry((org, key)).or_insert_with(|| Window::new(MOST)).clone()
        };
        Box::new(window.enter().await)
    }

    /// What to answer instead of calling, while the side is to be left alone.
    pub async fn put_off(&self, scope: &CallScope, key: &LimitKey) -> Option<Answer> {
        let until = self.blocked_until(scope.org, key).await?;
        // The same for each attempt of a step, so that whoever waits is not put behind the others again and again.
        let spread = retry::scramble(retry::seed_of(&scope.idempotency_key())) % SPREAD_MS;
        let at = until + TimeDelta::milliseconds(spread.cast_signed());
        Some(Answer::Later { at, why: key.label().to_owned() })
    }

    /// A call is not made while it is not known whether it may be: the database is asked as long as it takes.
    async fn blocked_until(&self, org: OrgId, key: &LimitKey) -> Option<Timestamp> {
        loop {
            match store::blocked_until(self.db.engine(), org, key).await {
                Ok(until) => return until,
                Err(error) => {
                    tracing::warn!(%error, "it is not known whether a call may be made; asking again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Takes in what a side said to a call.
    pub async fn hear(&self, org: OrgId, key: &LimitKey, error: &StepError) {
        let Some(asked) = error.retry_after_ms else { return };
        let seconds = asked.min(retry::LONGEST_RETRY_AFTER_MS) as f64 / 1_000.0;
        if let Err(error) = store::block(self.db.engine(), org, key, seconds).await {
            tracing::warn!(%error, "a side asked to be left alone, and the other nodes do not know");
        }
    }
}

impl Place for window::Place {
    fn came_back(&self, result: &Result<Answer, StepError>) {
        match result {
            // Nothing went out.
            Ok(Answer::Later { .. } | Answer::Cached(_)) => {}
            Ok(_) => self.went_well(),
            Err(error) if is_too_much(error) => self.was_too_much(),
            // It says nothing of how much the side bears.
            Err(_) => {}
        }
    }
}

/// Whether an error says that there are more calls than the side bears.
fn is_too_much(error: &StepError) -> bool {
    matches!(error.class, ErrorClass::RateLimited | ErrorClass::Timeout)
        || (error.class == ErrorClass::Unavailable
            && matches!(error.code.as_str(), "http.status_503" | "model.unavailable"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::port::ToolCall;

    #[test]
    fn a_side_is_a_host_with_its_port_and_a_provider() {
        let key = |tool: &str, url: &str| {
            let call =
                Call::Tool(ToolCall { tool: tool.to_owned(), arguments: json!({ "url": url }), ..ToolCall::default() });
            LimitKey::of(&call).map(|key| key.0)
        };
        assert_eq!(key(HTTP_TOOL, " https://API.example.com:443/a?b").as_deref(), Some("host:api.example.com"));
        assert_eq!(key(HTTP_TOOL, "http://127.0.0.1:8080/").as_deref(), Some("host:127.0.0.1:8080"));
        assert_eq!(key(HTTP_TOOL, "nowhere"), None);
        assert_eq!(key("calculator", "https://example.com"), None);
        let model = |model: &str| {
            let call = json!({ "type": "model", "model": model, "system": "", "messages": [], "tools": [] });
            LimitKey::of(&serde_json::from_value(call).unwrap()).map(|key| key.0)
        };
        assert_eq!(model("groq/openai/gpt-oss-120b").as_deref(), Some("model:groq"));
        assert_eq!(model(SANDBOX), None);
    }

    #[test]
    fn a_fault_of_one_call_is_not_too_much() {
        let error = |class, code: &str| StepError::new(class, code, "");
        assert!(is_too_much(&error(ErrorClass::RateLimited, "model.rate_limited")));
        assert!(is_too_much(&error(ErrorClass::Unavailable, "http.status_503")));
        assert!(is_too_much(&error(ErrorClass::Timeout, "egress.timeout")));
        assert!(!is_too_much(&error(ErrorClass::Unavailable, "egress.unreachable")));
        assert!(!is_too_much(&error(ErrorClass::BadInput, "http.status_404")));
    }
}
