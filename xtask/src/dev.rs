//! Development: build, start, and again on every change.

use std::{
    process::{Child, Command},
    sync::mpsc,
    time::{Duration, Instant},
};

use notify_debouncer_mini::{new_debouncer, notify::RecursiveMode};

use crate::{
    Result,
    build::{self, Mode},
    places, setup,
};

/// What a change of makes another build.
const WATCHED: [&str; 9] =
    ["src", "app", "frontend", "server/src", "style", "public", "migrations", ".sqlx", "Cargo.toml"];

/// Builds and starts the server, and does so again whenever something changes, until Ctrl-C.
///
/// # Errors
/// When changes cannot be watched.
pub fn dev() -> Result {
    setup::setup(false)?;
    let (tell, changes) = mpsc::channel();
    let mut watcher = new_debouncer(Duration::from_millis(200), tell)?;
    for path in WATCHED {
        let path = places::root().join(path);
        if path.exists() {
            watcher.watcher().watch(&path, RecursiveMode::Recursive)?;
        }
    }
    let mut server = None;
    loop {
        let begun = Instant::now();
        match build::build(Mode::Dev) {
            Ok(binary) => {
                if let Some(running) = server.take() {
                    stop(running);
                }
                eprintln!("built in {:.1} s", begun.elapsed().as_secs_f32());
                server = Some(Command::new(binary).arg("serve").spawn()?);
            }
            // The old server goes on until there is a new one.
            Err(error) => eprintln!("\n{error}\nwaiting for a change"),
        }
        changes.recv()??;
        while changes.try_recv().is_ok() {}
    }
}

/// Stops a server as the operator would.
fn stop(mut server: Child) {
    let asked = Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
    if !asked.is_ok_and(|status| status.success()) {
        drop(server.kill());
    }
    drop(server.wait());
}
