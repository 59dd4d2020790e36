//! Expressions in `{{ }}`: JavaScript in a bounded interpreter that sees plain data and nothing else. The clock inside is
//! the run's and the random source is seeded by the step, so the same evaluation always gives the same value.

mod fault;
mod interpreter;
pub mod worker;

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::{
    engine::{
        plan::template,
        state::{ErrorClass, StepError},
    },
    kernel::Timestamp,
    schema::is_shallow,
};

pub use fault::Fault;
use worker::Workers;

/// Milliseconds of work that all expressions of a template may take together.
pub const MAX_MS: u64 = 250;
/// The memory that the interpreter may take, the data included.
pub const MAX_MEMORY: usize = 16 << 20;
/// The longest expression, in bytes.
pub const MAX_EXPRESSION: usize = 20 << 10;
/// How deep a template may nest.
pub const MAX_NESTING: usize = 64;
/// The most bytes that a filled-in template may have as JSON.
pub const MAX_RESULT: usize = 1 << 20;

/// The names that expressions see, where there is something for them to show.
pub use crate::engine::plan::template::NAMES;

/// A template and what its expressions see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// The template value.
    pub template: Value,
    /// What expressions see, by name.
    pub scope: Map<String, Value>,
    /// The moment of the clock inside.
    pub now: Timestamp,
    /// The seed of the random source inside.
    pub seed: u64,
}

/// Evaluates templates, as many at a time as there are cores. Cheap to clone.
#[derive(Clone)]
pub struct Expressions {
    places: Arc<Semaphore>,
    /// None: the interpreter runs in this process, on threads for blocking work.
    workers: Option<Arc<Workers>>,
}

impl Default for Expressions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { places: Arc::new(Semaphore::new(cores)), workers: None }
    }
}

impl Expressions {
    /// Evaluates in processes of their own, which can be ended whatever an expression does. `program` runs
    /// [`worker::serve`] when it is called with [`worker::COMMAND`].
    #[must_use]
    pub fn in_workers(program: PathBuf) -> Self {
        Self { workers: Some(Arc::new(Workers::new(program))), ..Self::default() }
    }

    /// Fills in a template.
    ///
    /// # Errors
    /// `expression.failed` where an expression is wrong, `expression.limit` where it takes too much.
    pub async fn evaluate(&self, work: Work) -> Result<Value, StepError> {
        if !is_shallow(&work.template, MAX_NESTING) {
            return Err(Fault::Nesting.into());
        }
        if !has_expressions(&work.template) {
            return Ok(work.template);
        }
        let broken = || {
            StepError::new(ErrorClass::Unavailable, "expression.unavailable", "Expressions cannot be evaluated now.")
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| broken())?;
        let evaluated = match &self.workers {
            Some(workers) => workers.evaluate(&work).await.map_err(|error| {
                tracing::error!(%error, "no worker for expressions can be started");
                broken()
            })?,
            None => {
                let in_here = tokio::task::spawn_blocking(move || {
                    // Given back when the work is done, not when somebody stops waiting for it.
                    let _place = place;
                    interpreter::evaluate(&work)
                });
                in_here.await.map_err(|_| broken())?
            }
        };
        evaluated.map_err(StepError::from)
    }
}

/// Whether any text of a template begins an expression.
#[must_use]
pub fn has_expressions(template: &Value) -> bool {
    !template::is_constant(template)
}

#[cfg(test)]
mod tests;
