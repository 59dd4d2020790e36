//! Where things are.

use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A variable of the environment; an empty one is none.
pub fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the rule is the server's; this is the build")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What cargo builds for this machine.
pub fn target() -> PathBuf {
    match variable("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// What cargo builds for the browser: another folder, so that neither build makes the other one begin anew.
pub fn browser_target() -> PathBuf {
    variable("WASM_TARGET_DIR").map_or_else(|| target().join("browser"), PathBuf::from)
}

/// The user's cache folder for what is neither source nor built by cargo.
pub fn cache() -> PathBuf {
    let base =
        variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("agentflow")
}
