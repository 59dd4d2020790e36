//! The dashboard's chart as a file: what it draws, a line each.

use std::{collections::HashMap, fmt::Write as _};

use agentflow::{
    access::{Grant, right},
    accounts::service::Visitor,
    dashboard::{
        Range,
        service::{self, Wish},
    },
    kernel::Result,
    orgs,
};
use axum::{
    extract::{Path, Query, Request, State as Extract},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::SecondsFormat;

use crate::{http::refusal::Asker, state::State};

/// `GET /o/{org}/dashboard.csv?range=` or `?from=&to=`: comma-separated values with a head (RFC 4180). Moments are in UTC.
pub async fn table(
    Extract(state): Extract<State>,
    Path(org): Path<String>,
    Query(mut entries): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let asker = Asker::of(&parts);
    let wish = Wish {
        range: entries.get("range").and_then(|range| Range::parse(range)).unwrap_or_default(),
        from: entries.remove("from"),
        to: entries.remove("to"),
    };
    let written = async {
        let person = Visitor::of(&state.deps, &parts)?.signed_in().await?;
        let grant: Grant<right::View> = orgs::service::enter(&person, &org).await?.grant()?;
        let mut lines = String::from("from,to,succeeded,failed,stopped,not_ended\r\n");
        for bar in service::chart(&grant, &wish, service::ZONE).await? {
            let [from, to] = [bar.from, bar.to].map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            // Writing to a string never fails.
            let _ = write!(lines, "{from},{to},{},{},{},{}\r\n", bar.succeeded, bar.failed, bar.stopped, bar.open);
        }
        Result::Ok(lines)
    };
    let lines = match written.await {
        Ok(lines) => lines,
        Err(error) => return asker.refuse(&error),
    };
    let mut response = lines.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"outcomes.csv\""),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
