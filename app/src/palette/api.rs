//! Server functions of the search.

use leptos::prelude::*;

#[cfg(feature = "ssr")]
use super::found;
#[cfg(feature = "ssr")]
use crate::door;
use crate::{error::ApiError, kit::fragment::Html};
#[cfg(feature = "ssr")]
use agentflow::search;

/// What fits a text: places and actions that the person may go to, workflows, agents and runs. Each is a link in a list
/// with a heading. A text that begins with `>` is for actions alone, with `#` for runs, with `@` for agents.
#[server]
pub async fn find(org: String, q: String) -> Result<Html, ApiError> {
    let cx = door::ctx(&org).await?;
    let hits = search::service::find(&cx.grant()?, found::name_of(&q)).await?;
    Ok(found::lists(&org, &q, cx.role(), &hits))
}

/// Which keys do what, and where.
#[server]
pub async fn shortcuts(org: String) -> Result<Html, ApiError> {
    door::ctx(&org).await?;
    Ok(found::shortcuts())
}
