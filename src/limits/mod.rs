//! What other sides bear. Who asked to be left alone (`Retry-After`) is known to all nodes, and no call goes there before
//! that moment; how many calls at a time a side takes is found out by each process for itself. Both by organization, and
//! by the host or the model's provider: of a provider each connection can be blocked, and all of them share its places.

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
        port::{Answer, BUDGET_SPENT, CallScope, ModelAnswer, Place, ToolCall},
        retry,
        state::{ErrorClass, StepError},
    },
    kernel::{OrgId, Timestamp},
    models::{OPERATOR, routing::Side},
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

/// Another side, as far as its limits go: `model:openai`, `model:openai/operator-2`, `host:api.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey(String);

impl LimitKey {
    /// The side that a tool call goes to; nothing for one that stays in the house.
    #[must_use]
    pub fn of(call: &ToolCall) -> Option<Self> {
        if call.tool != HTTP_TOOL {
            return None;
        }
        let url = Url::parse(call.arguments.get("url")?.as_str()?.trim()).ok()?;
        let host = url.host_str()?;
        let key = url.port().map_or_else(|| format!("host:{host}"), |port| format!("host:{host}:{port}"));
        // No name is longer than 253 letters.
        (key.len() <= 300).then_some(Self(key))
    }

    /// A provider of models, whichever of its connections.
    #[must_use]
    pub fn of_provider(name: &str) -> Self {
        Self(format!("model:{name}"))
    }

    /// One connection to a provider of models.
    #[must_use]
    pub fn of_connection(side: &Side) -> Self {
        let Side { provider, connection } = side;
        if connection == OPERATOR {
            Self::of_provider(provider)
        } else {
            Self(format!("model:{provider}/{connection}"))
        }
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
        let blocked = self.blocked(scope.org, std::slice::from_ref(key)).await;
        Some(Self::later(scope, *blocked.get(key)?, key.label()))
    }

    /// The answer that a call is to be made once more, after a side's block has ended.
    #[must_use]
    pub fn later(scope: &CallScope, until: Timestamp, whom: &str) -> Answer {
        // The same for each attempt of a step, so that whoever waits is not put behind the others again and again.
        let spread = retry::scramble(retry::seed_of(&scope.idempotency_key())) % SPREAD_MS;
        Answer::Later { at: until + TimeDelta::milliseconds(spread.cast_signed()), why: whom.to_owned() }
    }

    /// Those of the sides that are to be left alone, and until when. A call is not made while it is not known whether it
    /// may be: the database is asked as long as it takes.
    pub async fn blocked(&self, org: OrgId, keys: &[LimitKey]) -> HashMap<LimitKey, Timestamp> {
        loop {
            match store::blocked(self.db.engine(), org, keys).await {
                Ok(blocked) => return blocked.into_iter().map(|(key, until)| (LimitKey(key), until)).collect(),
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
            Ok(Answer::Model(answer)) if went_elsewhere(answer) => {
                if answer.tried.iter().any(|one| TOO_MUCH.contains(&one.code.as_str())) {
                    self.was_too_much();
                }
            }
            Ok(_) => self.went_well(),
            Err(error) if is_too_much(error) => self.was_too_much(),
            // It says nothing of how much the side bears.
            Err(_) => {}
        }
    }
}

/// What providers of models say when there are more calls than they bear.
const TOO_MUCH: [&str; 3] = ["model.rate_limited", "model.timeout", "model.unavailable"];

/// Whether another provider answered than the one that was asked first, with whom the call has its place.
fn went_elsewhere(answer: &ModelAnswer) -> bool {
    let provider = |id: &str| id.split_once('/').map(|(provider, _)| provider.to_owned());
    // Who was passed over was not asked, nor was a class that a budget had no room for.
    let passed = ["model.left_alone", "model.circuit_open", BUDGET_SPENT];
    let asked = answer.tried.iter().find(|one| !passed.contains(&one.code.as_str()));
    asked.is_some_and(|first| provider(&first.model) != provider(&answer.model))
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
    use crate::engine::{journal::Usage, port::Tried};

    #[test]
    fn a_side_is_a_host_with_its_port_or_a_connection_of_a_provider() {
        let key = |tool: &str, url: &str| {
            let call = ToolCall { tool: tool.to_owned(), arguments: json!({ "url": url }), ..ToolCall::default() };
            LimitKey::of(&call).map(|key| key.0)
        };
        assert_eq!(key(HTTP_TOOL, " https://API.example.com:443/a?b").as_deref(), Some("host:api.example.com"));
        assert_eq!(key(HTTP_TOOL, "http://127.0.0.1:8080/").as_deref(), Some("host:127.0.0.1:8080"));
        assert_eq!(key(HTTP_TOOL, "nowhere"), None);
        assert_eq!(key("calculator", "https://example.com"), None);
        let side = |connection: &str| {
            LimitKey::of_connection(&Side { provider: "groq".to_owned(), connection: connection.to_owned() })
        };
        assert_eq!(side("operator"), LimitKey::of_provider("groq"));
        assert_eq!(side("operator-2").0, "model:groq/operator-2");
    }

    #[test]
    fn a_place_is_judged_by_the_provider_that_it_is_for() {
        let answer = |tried: &[(&str, &str)]| {
            let tried = tried.iter().map(|(model, code)| Tried {
                model: (*model).to_owned(),
                code: (*code).to_owned(),
                message: String::new(),
                usage: Usage::default(),
            });
            ModelAnswer { model: "xai/grok-4.7".to_owned(), tried: tried.collect(), ..ModelAnswer::default() }
        };
        assert!(!went_elsewhere(&answer(&[])));
        assert!(!went_elsewhere(&answer(&[("xai/grok-4.7", "model.rate_limited")])), "another key of the same one");
        assert!(!went_elsewhere(&answer(&[("openai/gpt-5", "model.left_alone")])), "the place is with who was asked");
        assert!(went_elsewhere(&answer(&[("openai/gpt-5", "model.rate_limited")])));
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
