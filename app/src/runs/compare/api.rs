//! The server function of comparisons.

use agentflow::kernel::RunId;
use leptos::prelude::*;

#[cfg(feature = "ssr")]
use super::drawn;
#[cfg(feature = "ssr")]
use crate::door;
use crate::{error::ApiError, kit::Html};
#[cfg(feature = "ssr")]
use agentflow::{kernel::Kind, runs::compare};

/// A run beside the run `with`, with the title of the page; what it can be compared with, where that is none.
///
/// # Errors
/// `not_found`.
#[server]
pub async fn load_comparison(
    org: String,
    run: RunId,
    with: String,
    show: String,
    from: String,
    step: String,
) -> Result<(String, Html), ApiError> {
    let cx = door::ctx(&org).await?;
    if let Ok(other) = with.parse() {
        match compare::compare(&cx.grant()?, [other, run], &drawn::ask(&show, &from, step)).await {
            Ok(comparison) => return Ok(drawn::compared(&org, &comparison, &show, &from)),
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(drawn::choice(&org, &compare::offer(&cx.grant()?, run).await?, &with))
}
