//! The tool shell: a command in a sandbox, with the run's files.

mod archive;
mod sandbox;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    ToolInfo, catalog,
    deed::{classed, number, output, text},
    registry::{Tool, ToolContext},
};
use crate::{
    engine::{
        journal::LogLevel,
        port::Answer,
        state::{ErrorClass, StepError},
    },
    guardrails::outside::visible,
    kernel::text::{duration, shortened},
    run_files::{FilePath, service},
};
use sandbox::{Done, Fault};

/// How long the sandbox may take that is tried at start.
const TRIAL: Duration = Duration::from_secs(10);

struct Shell {
    info: &'static ToolInfo,
    /// As many commands at a time as there are cores.
    places: Arc<Semaphore>,
}

/// The tool, where a sandbox can be made on this machine.
///
/// # Errors
/// Why not, a sentence.
pub(super) async fn tool() -> Result<Option<Box<dyn Tool>>, String> {
    match Box::pin(sandbox::run("exit 7", "", &BTreeMap::new(), TRIAL)).await {
        Ok(Done { exit_code: 7, .. }) => {}
        Ok(done) => {
            return Err(format!("A sandbox by bubblewrap does not work here: {}", shortened(&done.stderr, 200)));
        }
        Err(Fault::Broken(why)) => return Err(format!("A sandbox by bubblewrap cannot be made here: {why}")),
        Err(_) => return Err("A sandbox by bubblewrap takes too long here.".to_owned()),
    }
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let places = Arc::new(Semaphore::new(cores));
    Ok(catalog::find("shell").map(|info| Box::new(Shell { info, places }) as Box<dyn Tool>))
}

#[async_trait]
impl Tool for Shell {
    fn info(&self) -> &ToolInfo {
        self.info
    }

    async fn call(&self, arguments: Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
        let _place = self.places.acquire().await.map_err(|_| broken())?;
        let started = Instant::now();
        let (scope, command) = (context.scope, text(&arguments, "command"));
        if command.contains('\0') {
            return Err(StepError::new(ErrorClass::BadInput, "shell.command", "A command has no NUL in it."));
        }
        let before = service::all(context.db, scope.org, scope.run).await.map_err(classed)?;
        let limit = Duration::from_secs(number(&arguments, "timeout_s", 30) as u64);
        let done =
            Box::pin(sandbox::run(command, text(&arguments, "stdin"), &before, limit)).await.map_err(|fault| {
                match fault {
                    Fault::Timeout => {
                        let message = format!("The command took longer than {}.", duration(limit.as_millis() as i64));
                        StepError::new(ErrorClass::Timeout, "shell.timeout", message)
                    }
                    Fault::TooLarge => {
                        let message = "The command left more files in /work than a run may have.";
                        StepError::new(ErrorClass::InvalidOutput, "shell.too_large", message)
                    }
                    Fault::Broken(why) => {
                        tracing::warn!(why, "a sandbox failed");
                        broken()
                    }
                }
            })?;
        let Done { exit_code, stdout, stderr, truncated, files, left_out } = done;
        let deleted: Vec<FilePath> = before.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        let written: BTreeMap<FilePath, Vec<u8>> =
            files.into_iter().filter(|(path, content)| before.get(path) != Some(content)).collect();
        if !(written.is_empty() && deleted.is_empty()) {
            service::apply(context.db, scope.org, scope.run, &written, &deleted).await.map_err(classed)?;
        }
        let took = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        (context.log)(LogLevel::Info, format!("exit code {exit_code} after {}", duration(took)));
        Ok(output(json!({
            "exit_code": exit_code,
            "stdout": visible(&stdout),
            "stderr": visible(&stderr),
            "truncated": truncated,
            "written": written.keys().collect::<Vec<_>>(),
            "deleted": deleted,
            "left_out": left_out,
            "duration_ms": took,
        })))
    }
}

fn broken() -> StepError {
    StepError::new(ErrorClass::Unavailable, "shell.unavailable", "The sandbox for commands cannot be made now.")
}
