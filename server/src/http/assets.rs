//! The files of the browser's half.

use app::shell::Assets;
use axum::Router;

use crate::state::State;

/// The hashed names of the files that a page begins with.
#[must_use]
pub fn names() -> Assets {
    Assets::default()
}

/// Where the files are served.
pub fn routes() -> Router<State> {
    Router::new()
}
