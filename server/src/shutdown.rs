//! Stopping: one signal, told to everyone at once, and everyone waited for, with an end to the patience.

use std::{future::Future, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::startup::Trouble;

/// How long open requests and workers may take to end: the engine's drain limit, and the time to give its runs back.
const PATIENCE: Duration = Duration::from_secs(30);

/// The wish to stop, and the tasks that it waits for. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Stop {
    /// A wish that comes true when the process gets SIGTERM or SIGINT. A second signal ends the process at once.
    ///
    /// # Errors
    /// When the system takes no signal handler.
    pub fn on_signal() -> Result<Self, Trouble> {
        let stop = Self::default();
        let failed = |error| Trouble::new(format!("The system takes no signal handler: {error}"), "");
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let told = stop.clone();
        tokio::spawn(async move {
            let mut next = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
            next().await;
            tracing::info!("stopping: open requests may end, at most {} s", PATIENCE.as_secs());
            told.request();
            next().await;
            tracing::warn!("told to stop again: ending at once");
            std::process::exit(130);
        });
        Ok(stop)
    }

    /// Asks everyone to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until stopping is asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// The token that streams and workers watch.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task that the process waits for when it stops.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Waits for all tasks, until patience ends.
    pub async fn drained(&self) {
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "some tasks did not end in time");
        }
    }
}
