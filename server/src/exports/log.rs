//! A log as a file, of a run or of all runs: every line that the page's filters let through, sent as it is read, however
//! long it is.

use agentflow::{
    access::{Grant, right},
    accounts::service::Visitor,
    kernel::{Error, Result},
    logs::{Line, Place, address::LogAddress, ansi, pages::Pages},
    orgs,
};
use axum::{
    body::Body,
    extract::{Path, RawQuery, Request, State as Extract},
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

type OfRun = Path<(String, String)>;
type OfOrganization = Path<String>;

/// `GET /o/{org}/runs/{id}/log.txt?` with the filters of the page.
pub async fn text(state: Extract<State>, path: OfRun, query: RawQuery, request: Request) -> Response {
    of_run(Form::Text, state, path, query, request).await
}

/// `GET /o/{org}/runs/{id}/log.jsonl?` with the filters of the page.
pub async fn json_lines(state: Extract<State>, path: OfRun, query: RawQuery, request: Request) -> Response {
    of_run(Form::JsonLines, state, path, query, request).await
}

/// `GET /o/{org}/runs/{id}/log.csv?` with the filters of the page.
pub async fn table(state: Extract<State>, path: OfRun, query: RawQuery, request: Request) -> Response {
    of_run(Form::Table, state, path, query, request).await
}

/// `GET /o/{org}/logs.txt?` with the filters of the page.
pub async fn all_text(state: Extract<State>, path: OfOrganization, query: RawQuery, request: Request) -> Response {
    of_organization(Form::Text, state, path, query, request).await
}

/// `GET /o/{org}/logs.jsonl?` with the filters of the page.
pub async fn all_json_lines(
    state: Extract<State>,
    path: OfOrganization,
    query: RawQuery,
    request: Request,
) -> Response {
    of_organization(Form::JsonLines, state, path, query, request).await
}

/// `GET /o/{org}/logs.csv?` with the filters of the page.
pub async fn all_table(state: Extract<State>, path: OfOrganization, query: RawQuery, request: Request) -> Response {
    of_organization(Form::Table, state, path, query, request).await
}

async fn of_run(
    form: Form,
    Extract(state): Extract<State>,
    Path((org, run)): OfRun,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let place = run.parse().map(Place::Run).map_err(|_| Error::not_found("run"));
    log(form, state, &org, place, &query.unwrap_or_default(), request).await
}

async fn of_organization(
    form: Form,
    Extract(state): Extract<State>,
    Path(org): OfOrganization,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    log(form, state, &org, Ok(Place::Organization), &query.unwrap_or_default(), request).await
}

async fn log(form: Form, state: State, org: &str, place: Result<Place>, query: &str, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let asker = Asker::of(&parts);
    let filter = LogAddress::read(query).filter;
    let opened = async {
        let place = place?;
        let person = Visitor::of(&state.deps, &parts)?.signed_in().await?;
        let grant: Grant<right::ViewPayloads> = orgs::service::enter(&person, org).await?.grant()?;
        let mut pages = Pages::open(grant, place, filter).await?;
        // The first page is read before anything is answered: a run that does not exist is said so.
        let first = pages.next().await?;
        Ok((place, pages, first.unwrap_or_default()))
    };
    let (place, pages, first) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return asker.refuse(&error),
    };
    let rest = stream::try_unfold(pages, move |mut pages| async move {
        let Some(lines) = pages.next().await? else { return Ok(None) };
        Ok::<_, Error>(Some((whole(form, place, &lines), pages)))
    });
    let head = match (form, place) {
        (Form::Table, Place::Run(_)) => "seq,at,level,step,message\r\n",
        (Form::Table, Place::Organization) => "run,seq,at,level,step,message\r\n",
        _ => "",
    };
    let text = stream::iter([Ok(head.to_owned()), Ok(whole(form, place, &first))]).chain(rest);
    let mut response = Body::from_stream(text.map_err(std::io::Error::other)).into_response();
    let (kind, extension) = match form {
        Form::Text => ("text/plain; charset=utf-8", "txt"),
        Form::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
        Form::Table => ("text/csv; charset=utf-8; header=present", "csv"),
    };
    let name = match place {
        Place::Run(run) => format!("attachment; filename=\"{run}.log.{extension}\""),
        Place::Organization => format!("attachment; filename=\"logs.{extension}\""),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

fn whole(form: Form, place: Place, lines: &[Line]) -> String {
    lines.iter().map(|line| written(form, place, line)).collect()
}

/// A line is one line, whatever its message holds. Where lines are of several runs, each names its own.
fn written(form: Form, place: Place, line: &Line) -> String {
    let Line { run, seq, at, level, step, message, fields } = line;
    let (at, level) = (at.to_rfc3339_opts(SecondsFormat::Millis, true), level.as_str());
    let step = step.as_ref().map(|step| step.as_str());
    let of_many = matches!(place, Place::Organization);
    match form {
        Form::Text => {
            let run = if of_many { format!("{run} ") } else { String::new() };
            // For people, who would see what is meant for a terminal as noise.
            let message = ansi::plain(message).replace(['\n', '\r'], " ");
            format!("{run}{seq} {at} {level:5} {} {message}\n", step.unwrap_or("-"))
        }
        Form::JsonLines => {
            let mut line = json!({ "seq": seq, "at": at, "level": level, "step": step, "message": message });
            if of_many {
                line["run"] = json!(run);
            }
            if let Some(fields) = fields {
                line["fields"] = fields.clone();
            }
            format!("{line}\n")
        }
        Form::Table => {
            let run = if of_many { format!("{run},") } else { String::new() };
            format!("{run}{seq},{at},{level},{},{}\r\n", cell(step.unwrap_or_default()), cell(message))
        }
    }
}

/// A cell that no spreadsheet takes for a formula, nor for the end of its line.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\"").replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use agentflow::{
        engine::{journal::LogLevel, state::StepId},
        kernel::RunId,
    };

    use super::*;

    fn line(message: &str) -> Line {
        Line {
            run: RunId::new(),
            seq: 12,
            at: chrono::DateTime::from_timestamp_millis(1_900_000_000_123).expect("a moment"),
            level: LogLevel::Warn,
            step: Some(StepId::root("send")),
            message: message.to_owned(),
            fields: None,
        }
    }

    fn place(line: &Line) -> Place {
        Place::Run(line.run)
    }

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let line = line("status 503\n13 INFO all is well");
        let text = written(Form::Text, place(&line), &line);
        assert_eq!(text, "12 2030-03-17T17:46:40.123Z WARN  send status 503 13 INFO all is well\n");
        for form in [Form::Text, Form::JsonLines, Form::Table] {
            for place in [place(&line), Place::Organization] {
                assert_eq!(written(form, place, &line).lines().count(), 1, "{form:?}");
            }
        }
    }

    #[test]
    fn a_table_s_cells_are_texts_to_every_spreadsheet() {
        let line = line("=HYPERLINK(\"https://evil.example\"), \"now\"");
        let row = written(Form::Table, place(&line), &line);
        let message = "\"'=HYPERLINK(\"\"https://evil.example\"\"), \"\"now\"\"\"";
        assert_eq!(row, format!("12,2030-03-17T17:46:40.123Z,WARN,\"send\",{message}\r\n"));
    }
}
