//! The benchmark's steps: the engine's port, answered at once or when told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use agentflow::{
    engine::{
        port::{Answer, Call, CallScope, Effects, Evaluation, Progress},
        state::StepError,
    },
    kernel::RunId,
};
use serde_json::Value;

/// How steps answer.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// At once.
    AtOnce,
    /// After a pause.
    After(Duration),
    /// Not at all.
    Never,
}

/// Steps that do nothing, and remember when each run's first one began.
pub struct Steps {
    manner: Manner,
    begun: Mutex<HashMap<RunId, Instant>>,
}

impl Steps {
    /// Steps of a manner.
    pub fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self { manner, begun: Mutex::default() })
    }

    /// When a run's first step began.
    pub fn begun(&self, run: RunId) -> Option<Instant> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).get(&run).copied()
    }

    /// How many runs have come to their first step.
    pub fn count(&self) -> usize {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait::async_trait]
impl Effects for Steps {
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        _progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).entry(scope.run).or_insert_with(Instant::now);
        match self.manner {
            Manner::AtOnce => {}
            Manner::After(pause) => tokio::time::sleep(pause).await,
            Manner::Never => std::future::pending().await,
        }
        match call {
            Call::Tool(call) => Ok(Answer::Tool { output: call.arguments }),
            // No graph of the benchmark has an agent.
            Call::Model(_) | Call::Memory(_) => Ok(Answer::Tool { output: Value::Null }),
        }
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        Ok(evaluation.template)
    }
}
