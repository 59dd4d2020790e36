//! Server functions of saved views.

use leptos::prelude::*;

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::views::service;

/// Keeps the filters of a page under a name: `kept` is the address behind the question mark.
#[server]
pub async fn save_view(org: String, page: String, name: String, kept: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::save(&cx.grant()?, &page, &name, &kept).await?)
}

/// Gives a view another name.
#[server]
pub async fn rename_view(org: String, page: String, view: String, name: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::rename(&cx.grant()?, &page, &view, &name).await?)
}

/// Removes a view.
#[server]
pub async fn remove_view(org: String, page: String, view: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::remove(&cx.grant()?, &page, &view).await?)
}
