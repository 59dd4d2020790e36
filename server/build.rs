//! Tells the compiler where the browser's half is (see `xtask`), so that the binary carries it. Without one, as in a
//! plain `cargo check`, the binary carries nothing, and pages work as they do with JavaScript off.

use std::{env, fs, path::PathBuf};

#[expect(clippy::disallowed_methods, reason = "a build script is told everything by the environment")]
fn main() {
    println!("cargo:rerun-if-env-changed=AGENTFLOW_ASSETS");
    let folder = match env::var("AGENTFLOW_ASSETS") {
        Ok(folder) => {
            println!("cargo:rerun-if-changed={folder}/manifest.json");
            PathBuf::from(folder)
        }
        Err(_) => PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("no-assets"),
    };
    if let Err(error) = fs::create_dir_all(&folder) {
        println!("cargo:warning={}: {error}", folder.display());
    }
    println!("cargo:rustc-env=AGENTFLOW_ASSETS={}", folder.display());
}
