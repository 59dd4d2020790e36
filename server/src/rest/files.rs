//! `/api/v1/runs/{id}/files`: what a run keeps as files.

use agentflow::{kernel::Timestamp, run_files::service};
use axum::{Json, extract::Path, response::Response};
use serde::Serialize;

use super::{
    input::{List, id},
    key::Caller,
    problem::Answer,
};
use crate::exports::download;

/// A file, besides what is in it.
#[derive(Debug, Serialize)]
pub struct File {
    path: String,
    size: usize,
    media_type: String,
    updated_at: Timestamp,
}

/// `GET /api/v1/runs/{id}/files`
pub async fn list(caller: Caller, Path(run): Path<String>) -> Answer<Json<List<File>>> {
    let files = service::show(&caller.cx.grant()?, id(&run, "run")?).await?;
    let items = files.into_iter().map(|file| File {
        path: file.path.into(),
        size: file.size,
        media_type: file.media_type,
        updated_at: file.updated_at,
    });
    Ok(Json(List { items: items.collect(), next_cursor: None }))
}

/// `GET /api/v1/runs/{id}/files/{path}`
pub async fn find(caller: Caller, Path((run, path)): Path<(String, String)>) -> Answer<Response> {
    let (file, content) = service::open(&caller.cx.grant()?, id(&run, "run")?, &path).await?;
    Ok(download(&file, content))
}
