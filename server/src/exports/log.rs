//! A run's log as a file: every line that the page's filters let through, sent as it is read, however long it is.

use std::collections::HashMap;

use agentflow::{
    access::{Grant, right},
    accounts::service::Visitor,
    kernel::{Error, Result, RunId},
    orgs,
    runs::{LogLine, LogQuery, logs},
};
use app::runs::logs::LogFilter;
use axum::{
    body::Body,
    extract::{Path, Query, Request, State as Extract},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::SecondsFormat;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use crate::{http::refusal::Asker, state::State};

/// How lines are written.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// `1204 2026-11-20T14:02:11.123Z WARN triage.lookup1 Status 503`.
    Text,
    /// A JSON object a line.
    JsonLines,
    /// Comma-separated values with a head (RFC 4180).
    Table,
}

type Place = Path<(String, String)>;
type Entries = Query<HashMap<String, String>>;

/// `GET /o/{org}/runs/{id}/log.txt?level=&of=`
pub async fn text(state: Extract<State>, place: Place, entries: Entries, request: Request) -> Response {
    log(Form::Text, state, place, entries, request).await
}

/// `GET /o/{org}/runs/{id}/log.jsonl?level=&of=`
pub async fn json_lines(state: Extract<State>, place: Place, entries: Entries, request: Request) -> Response {
    log(Form::JsonLines, state, place, entries, request).await
}

/// `GET /o/{org}/runs/{id}/log.csv?level=&of=`
pub async fn table(state: Extract<State>, place: Place, entries: Entries, request: Request) -> Response {
    log(Form::Table, state, place, entries, request).await
}

async fn log(
    form: Form,
    Extract(state): Extract<State>,
    Path((org, run)): Place,
    Query(entries): Entries,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let asker = Asker::of(&parts);
    // What the page's address says, but for the window that it shows.
    let filter = LogFilter { before: None, after: Some(0), ..LogFilter::of(|name| entries.get(name).cloned()) };
    let opened = async {
        let run: RunId = run.parse().map_err(|_| Error::not_found("run"))?;
        let person = Visitor::of(&state.deps, &parts)?.signed_in().await?;
        let grant: Grant<right::ViewPayloads> = orgs::service::enter(&person, &org).await?.grant()?;
        // The first window is read before anything is answered: a run that does not exist is said so.
        let first = window(&grant, run, form, filter.query()).await?;
        Ok((grant, run, first))
    };
    let (grant, run, first) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return asker.refuse(&error),
    };
    let rest = stream::try_unfold((grant, first.1), move |(grant, next)| async move {
        let Some(next) = next else { return Ok(None) };
        let (text, next) = window(&grant, run, form, next).await?;
        Ok::<_, Error>(Some((text, (grant, next))))
    });
    let head = if matches!(form, Form::Table) { "seq,at,level,step,message\r\n" } else { "" };
    let text = stream::iter([Ok(head.to_owned()), Ok(first.0)]).chain(rest);
    let mut response = Body::from_stream(text.map_err(std::io::Error::other)).into_response();
    let (kind, extension) = match form {
        Form::Text => ("text/plain; charset=utf-8", "txt"),
        Form::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
        Form::Table => ("text/csv; charset=utf-8; header=present", "csv"),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{run}.log.{extension}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// The lines after a number, and the question for those that follow; nothing at the end.
async fn window(
    grant: &Grant<right::ViewPayloads>,
    run: RunId,
    form: Form,
    query: LogQuery,
) -> Result<(String, Option<LogQuery>)> {
    let (lines, more) = logs::lines(grant, run, &query).await?;
    let last = lines.last().map(|line| line.seq).filter(|_| more);
    let next = last.map(|last| LogQuery { after: Some(last), ..query });
    Ok((lines.iter().map(|line| written(form, line)).collect(), next))
}

/// A line is one line, whatever its message holds.
fn written(form: Form, line: &LogLine) -> String {
    let LogLine { seq, at, level, step, message } = line;
    let (at, level) = (at.to_rfc3339_opts(SecondsFormat::Millis, true), level.as_str());
    let step = step.as_ref().map(|step| step.as_str());
    match form {
        Form::Text => {
            let message = message.replace(['\n', '\r'], " ");
            format!("{seq} {at} {level:5} {} {message}\n", step.unwrap_or("-"))
        }
        Form::JsonLines => {
            let line = json!({ "seq": seq, "at": at, "level": level, "step": step, "message": message });
            format!("{line}\n")
        }
        Form::Table => format!("{seq},{at},{level},{},{}\r\n", cell(step.unwrap_or_default()), cell(message)),
    }
}

/// A cell that no spreadsheet takes for a formula, nor for the end of its line.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\"").replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use agentflow::engine::{journal::LogLevel, state::StepId};

    use super::*;

    fn line(message: &str) -> LogLine {
        LogLine {
            seq: 12,
            at: chrono::DateTime::from_timestamp_millis(1_900_000_000_123).expect("a moment"),
            level: LogLevel::Warn,
            step: Some(StepId::root("send")),
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let line = line("status 503\n13 INFO all is well");
        let text = written(Form::Text, &line);
        assert_eq!(text, "12 2030-03-17T17:46:40.123Z WARN  send status 503 13 INFO all is well\n");
        for form in [Form::Text, Form::JsonLines, Form::Table] {
            assert_eq!(written(form, &line).lines().count(), 1, "{form:?}");
        }
    }

    #[test]
    fn a_table_s_cells_are_texts_to_every_spreadsheet() {
        let row = written(Form::Table, &line("=HYPERLINK(\"https://evil.example\"), \"now\""));
        let message = "\"'=HYPERLINK(\"\"https://evil.example\"\"), \"\"now\"\"\"";
        assert_eq!(row, format!("12,2030-03-17T17:46:40.123Z,WARN,\"send\",{message}\r\n"));
    }
}
