//! Files to download, by cookie: what a page shows, whole.

mod chart;
mod log;

use agentflow::{
    access::{Grant, right},
    accounts::service::Visitor,
    kernel::{Error, Result, RunId, WorkflowId, text},
    orgs,
    run_files::{self, RunFile},
    workflows,
};
use axum::{
    Router,
    extract::{Path, Query, Request, State as Extract, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{http::refusal::Asker, state::State};

/// The files: to be put behind the session layer and the gate.
pub fn routes() -> Router<State> {
    Router::new()
        .route("/o/{org}/runs/{id}/log.txt", get(log::text))
        .route("/o/{org}/runs/{id}/log.jsonl", get(log::json_lines))
        .route("/o/{org}/runs/{id}/log.csv", get(log::table))
        .route("/o/{org}/logs.txt", get(log::all_text))
        .route("/o/{org}/logs.jsonl", get(log::all_json_lines))
        .route("/o/{org}/logs.csv", get(log::all_table))
        .route("/o/{org}/runs/{id}/files/{*path}", get(file))
        .route("/o/{org}/dashboard.csv", get(chart::table))
        .route("/o/{org}/workflows/{id}/export.yaml", get(workflow))
}

/// Which version of a workflow.
#[derive(serde::Deserialize)]
struct At {
    v: Option<i32>,
}

/// `GET /o/{org}/workflows/{id}/export.yaml?v=`: a workflow with the agents that it needs, as a file to import elsewhere.
async fn workflow(
    Extract(state): Extract<State>,
    Path((org, workflow)): Path<(String, String)>,
    at: Result<Query<At>, QueryRejection>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let asker = Asker::of(&parts);
    let written = async {
        let id: WorkflowId = workflow.parse().map_err(|_| Error::not_found("workflow"))?;
        let Query(At { v: version }) = at.map_err(|_| Error::not_found("workflow"))?;
        let person = Visitor::of(&state.deps, &parts)?.signed_in().await?;
        let grant: Grant<right::View> = orgs::service::enter(&person, &org).await?.grant()?;
        let whole = workflows::service::with_agents(&grant, id, version).await?;
        Ok::<_, Error>((text::slug(&whole.name, 60), workflows::yaml::export(&whole)?))
    };
    let (name, file) = match written.await {
        Ok(written) => written,
        Err(error) => return asker.refuse(&error),
    };
    let mut response = file.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml; charset=utf-8"));
    let name = if name.is_empty() { "workflow".to_owned() } else { name };
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.yaml\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// `GET /o/{org}/runs/{id}/files/{path}`: a file that a run keeps.
async fn file(
    Extract(state): Extract<State>,
    Path((org, run, path)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let opened = async {
        let run: RunId = run.parse().map_err(|_| Error::not_found("run"))?;
        let person = Visitor::of(&state.deps, &parts)?.signed_in().await?;
        let grant: Grant<right::ViewPayloads> = orgs::service::enter(&person, &org).await?.grant()?;
        run_files::service::open(&grant, run, &path).await
    };
    match opened.await {
        Ok((file, content)) => download(&file, content),
        Err(error) => Asker::of(&parts).refuse(&error),
    }
}

/// A file of a run as an answer: to be kept, never to be shown or run by the browser.
pub fn download(file: &RunFile, content: Vec<u8>) -> Response {
    let is_text = file.media_type.starts_with("text/");
    let kind = if is_text { format!("{}; charset=utf-8", file.media_type) } else { file.media_type.clone() };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " ._-".contains(letter);
    let ascii: String = file.path.name().chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
    let exact: String = url::form_urlencoded::byte_serialize(file.path.name().as_bytes()).collect();
    // Both: the second for every letter, the first for programs that do not know the second.
    let name =
        format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", exact.replace('+', "%20").replace('*', "%2A"));
    let mut response = content.into_response();
    let headers = response.headers_mut();
    for (header, value) in [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use agentflow::run_files::FilePath;

    use super::*;

    #[test]
    fn a_file_s_name_cannot_break_out_of_its_header() {
        let path = "a/b \"; x=ü\u{2f}c'; d.html".replace('/', "_");
        let file = RunFile {
            path: FilePath::parse(&path).expect("a path"),
            size: 1,
            media_type: "text/plain".to_owned(),
            updated_at: chrono::DateTime::UNIX_EPOCH,
        };
        let response = download(&file, vec![b'x']);
        let name = response.headers()[header::CONTENT_DISPOSITION].to_str().expect("ASCII");
        assert_eq!(
            name,
            "attachment; filename=\"a_b __ x___c__ d.html\"; filename*=UTF-8''a_b%20%22%3B%20x%3D%C3%BC_c%27%3B%20d.html"
        );
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    }
}
