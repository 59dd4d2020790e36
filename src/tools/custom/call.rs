//! A call of a REST tool: the templates filled in with the arguments, the credential joined in last, the answer mapped.
//! The same for a run and for a test.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value, json};
use url::Url;

use super::{CustomToolConfig, Entry, Received, SentRequest, Trial, address, address::Address, auth::Access, store};
use crate::{
    credentials::{Use, Vault},
    egress::{Egress, Request, Response},
    engine::{
        journal::LogLevel,
        plan::template::{self, Piece},
        port::{Answer, CallScope},
        retry,
        state::{ErrorClass, StepError},
    },
    expressions::{Expressions, Work},
    guardrails::Domains,
    kernel::{
        CustomToolId, OrgId, Timestamp,
        text::{duration, shortened},
    },
    schema,
    tools::{deed::classed, http_request as http_tool, registry::ToolContext},
};

/// The most bytes that an answer may have.
const MAX_ANSWER: usize = 1 << 20;
/// How much of a body a test shows.
const SHOWN: usize = 20_000;

/// Calls a tool for a run, at the version that its plan was made with.
///
/// # Errors
/// Classed.
pub(in crate::tools) async fn call(
    id: CustomToolId,
    version: i32,
    name: &str,
    arguments: Value,
    context: &ToolContext<'_>,
) -> Result<Answer, StepError> {
    let mut tx = context.db.tenant(context.scope.org).await.map_err(classed)?;
    let config = store::version(&mut tx, id, version).await.map_err(classed)?;
    let now = crate::tools::store::now(&mut tx).await.map_err(classed)?;
    drop(tx);
    let config = config.ok_or_else(|| {
        let message = format!("The tool {} does not exist any more.", shortened(name, 60));
        StepError::new(ErrorClass::BadInput, "tool.unknown", message)
    })?;
    let caller = Caller {
        egress: context.egress,
        vault: context.vault,
        org: context.scope.org,
        domains: context.domains().await?,
        evaluator: Evaluator { expressions: context.expressions, now, scope: Some(context.scope) },
    };
    let ready = caller.prepare(name, &config, arguments).await?;
    let line = format!("{} {}", ready.request.method, shortened(without_query(&ready.request.url), 200));
    let response = ready.send(context.egress).await.inspect_err(|_| {
        (context.log)(LogLevel::Warn, format!("{line}: no answer"));
    })?;
    let took = duration(response.duration.as_millis() as i64);
    (context.log)(LogLevel::Info, format!("{line}: {} in {took}", response.status.as_u16()));
    Ok(Answer::Tool { output: caller.result(name, &config, &ready.access, &response).await? })
}

/// Queries hold secrets now and then; the log does without them.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Whoever calls a tool, with what the call works with.
pub(super) struct Caller<'a> {
    pub egress: &'a Egress,
    pub vault: &'a Vault,
    pub org: OrgId,
    /// The hosts that may be called.
    pub domains: Domains,
    pub evaluator: Evaluator<'a>,
}

/// A request that is ready to go, and the same as it may be shown.
pub(super) struct Ready {
    request: Request,
    shown: SentRequest,
    access: Access,
}

impl Ready {
    async fn send(&self, egress: &Egress) -> Result<Response, StepError> {
        Ok(egress.send(self.request.clone()).await?)
    }
}

impl Caller<'_> {
    /// Really calls, and tells what went out and what came back.
    pub async fn test(&self, name: &str, config: &CustomToolConfig, arguments: Value) -> Trial {
        let mut trial = Trial { request: None, answer: None, result: None, problem: None };
        let ready = match self.prepare(name, config, arguments).await {
            Ok(ready) => ready,
            Err(error) => return Trial { problem: Some(error.message), ..trial },
        };
        trial.request = Some(ready.shown.clone());
        let response = match ready.send(self.egress).await {
            Ok(response) => response,
            Err(error) => return Trial { problem: Some(error.message), ..trial },
        };
        trial.answer = Some(received(&response, &ready.access));
        match self.result(name, config, &ready.access, &response).await {
            Ok(result) => trial.result = Some(result),
            Err(error) => trial.problem = Some(error.message),
        }
        trial
    }

    async fn prepare(&self, name: &str, config: &CustomToolConfig, arguments: Value) -> Result<Ready, StepError> {
        let arguments = if arguments.is_null() { json!({}) } else { arguments };
        let faults = schema::check(&config.parameters, &arguments);
        if !faults.is_empty() {
            let message = format!("The arguments do not fit the tool {name}. {}", schema::in_words(&faults));
            return Err(StepError::new(ErrorClass::BadInput, "tool.arguments", message));
        }
        let address = Address::parse(&config.url).map_err(bad)?;
        let filled = self.evaluator.filled(config, &address, arguments).await?;
        let (mut url, mut headers) = (filled.url, filled.headers);
        let access = self.access(name, config, &address).await?;
        let mut shown = (url.clone(), headers.clone());
        access.mark(&mut shown.0, &mut shown.1);
        access.join(&mut url, &mut headers);
        let request = Request {
            method: http::Method::from_bytes(config.method.as_str().as_bytes()).map_err(|_| bad("No such method."))?,
            url: url.into(),
            headers,
            body: filled.body,
            timeout: Duration::from_secs(config.timeout_s),
            max_bytes: MAX_ANSWER,
            domains: self.domains.clone(),
        };
        let body = request.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let shown = SentRequest {
            method: config.method.as_str().to_owned(),
            url: shown.0.into(),
            headers: pairs(&shown.1, &access),
            body: shortened(&access.conceal(&body), SHOWN),
        };
        Ok(Ready { request, shown, access })
    }

    async fn access(&self, name: &str, config: &CustomToolConfig, address: &Address<'_>) -> Result<Access, StepError> {
        let Some(credential) = config.credential else { return Ok(Access::default()) };
        let (host, purpose) = (address.host(), format!("tool {name}"));
        let of = Use { org: self.org, credential, host: &host, purpose: &purpose, scope: self.evaluator.scope };
        Access::of(&self.vault.open(&of).await?)
    }

    /// The result of an answer: a failure by its status, else mapped, and checked.
    async fn result(
        &self,
        name: &str,
        config: &CustomToolConfig,
        access: &Access,
        response: &Response,
    ) -> Result<Value, StepError> {
        let status = response.status.as_u16();
        if status >= 400 && !config.statuses.contains(&status) {
            let mut error = http_tool::failed(response);
            error.message = access.conceal(&error.message);
            return Err(error);
        }
        let mut body = http_tool::body(response);
        access.conceal_in(&mut body);
        let result = match config.result.trim() {
            "" => body,
            expression => {
                let mut headers = http_tool::told_headers(&response.headers);
                access.conceal_in(&mut headers);
                let answer = json!({ "status": status, "headers": headers, "body": body });
                self.evaluator.evaluate(mapping(expression), "response", answer).await?
            }
        };
        let faults = schema::check(&config.output, &result);
        if !faults.is_empty() {
            let message =
                format!("The result of the tool {name} does not fit its schema. {}", schema::in_words(&faults));
            return Err(StepError::new(ErrorClass::InvalidOutput, "tool.result", message));
        }
        Ok(result)
    }
}

/// Fills templates in. Chance inside of them is the same whenever the same call is made again.
pub(super) struct Evaluator<'a> {
    pub expressions: &'a Expressions,
    /// The moment of the clock in expressions.
    pub now: Timestamp,
    /// The run's call; nothing for a test by a person.
    pub scope: Option<&'a CallScope>,
}

impl Evaluator<'_> {
    async fn evaluate(&self, template: Value, seen: &str, value: Value) -> Result<Value, StepError> {
        let scope = Map::from_iter([(seen.to_owned(), value)]);
        let seed = self.scope.map_or(0, |scope| {
            scope.idempotency_key().bytes().fold(0, |seed, byte| retry::scramble(seed ^ u64::from(byte)))
        });
        self.expressions.evaluate(Work { template, scope, now: self.now, seed }).await
    }

    /// The request with the arguments in it.
    async fn filled(
        &self,
        config: &CustomToolConfig,
        address: &Address<'_>,
        arguments: Value,
    ) -> Result<Filled, StepError> {
        let body = Body::of(config).map_err(bad)?;
        let whole = |expressions: &[&str]| -> Value {
            expressions.iter().map(|code| Value::String(format!("{{{{ {code}\n}}}}"))).collect()
        };
        let values =
            |entries: &[Entry]| -> Value { entries.iter().map(|entry| Value::String(entry.value.clone())).collect() };
        let template = json!({
            "address": whole(address.expressions()),
            "query": values(&config.query),
            "headers": values(&config.headers),
            "body": body.template(&whole),
        });
        let mut filled = self.evaluate(template, "input", arguments).await?;
        let mut url = address.fill(&texts(&filled["address"])).map_err(bad)?;
        for (entry, value) in config.query.iter().zip(texts(&filled["query"])).filter(|(_, value)| !value.is_empty()) {
            url.query_pairs_mut().append_pair(entry.name.trim(), &value);
        }
        let wanted: Map<String, Value> = (config.headers.iter().zip(texts(&filled["headers"])))
            .filter(|(_, value)| !value.is_empty())
            .map(|(entry, value)| (entry.name.trim().to_owned(), Value::String(value)))
            .collect();
        let mut headers = http_tool::headers(Some(&wanted))?;
        let body = body.filled(filled["body"].take());
        if let Some((_, kind)) = &body {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
        }
        match self.scope {
            Some(scope) => http_tool::with_ours(&mut headers, scope)?,
            None => drop(headers.insert(HeaderName::from_static("idempotency-key"), test_key()?)),
        }
        Ok(Filled { url, headers, body: body.map(|(body, _)| body) })
    }
}

/// The key of a test: each is a call of its own.
fn test_key() -> Result<HeaderValue, StepError> {
    HeaderValue::from_str(&format!("test/{}", crate::kernel::RunId::new())).map_err(|_| bad("Not a header."))
}

/// A request with the arguments in it, and without the credential.
struct Filled {
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
}

/// How a body's template is read.
#[derive(Debug, Clone, PartialEq)]
enum Body<'a> {
    None,
    /// JSON with expressions in its texts: what they give stays a value, whatever stands in it.
    Json(Value),
    /// Parameters of a form: what expressions give is encoded.
    Form(Vec<Piece<'a>>),
    /// Any other text, or one expression.
    Text(&'a str),
}

impl<'a> Body<'a> {
    fn of(config: &'a CustomToolConfig) -> Result<Self, String> {
        let text = config.body.as_str();
        let kind = config.headers.iter().find(|entry| entry.name.trim().eq_ignore_ascii_case("content-type"));
        let kind = kind.map(|entry| entry.value.trim().to_ascii_lowercase()).unwrap_or_default();
        if text.trim().is_empty() {
            return Ok(Self::None);
        }
        if let Ok(value) = serde_json::from_str(text) {
            return Ok(Self::Json(value));
        }
        let pieces = template::pieces(text)?;
        if kind.starts_with("application/x-www-form-urlencoded") {
            Ok(Self::Form(pieces))
        } else {
            Ok(Self::Text(text))
        }
    }

    fn template(&self, whole: &dyn Fn(&[&str]) -> Value) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Json(value) => value.clone(),
            Self::Form(pieces) => {
                let codes: Vec<&str> = pieces
                    .iter()
                    .filter_map(|piece| if let Piece::Expression(code) = piece { Some(*code) } else { None })
                    .collect();
                whole(&codes)
            }
            Self::Text(text) => Value::String((*text).to_owned()),
        }
    }

    /// What is sent, and its type where no header says one.
    fn filled(&self, value: Value) -> Option<(Bytes, &'static str)> {
        const JSON: &str = "application/json";
        match (self, value) {
            (Self::None, _) => None,
            (Self::Form(pieces), values) => {
                let mut values = texts(&values).into_iter();
                let text: String = pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => (*text).to_owned(),
                        Piece::Expression(_) => address::encoded(&values.next().unwrap_or_default()),
                    })
                    .collect();
                Some((Bytes::from(text.trim().to_owned()), "application/x-www-form-urlencoded"))
            }
            (Self::Text(_), Value::String(text)) => Some((Bytes::from(text), "text/plain; charset=utf-8")),
            (_, value) => Some((Bytes::from(value.to_string()), JSON)),
        }
    }
}

/// Values as they stand in an address or header: texts as they are, nothing as nothing, the rest as JSON.
fn texts(values: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    values.as_array().into_iter().flatten().map(text).collect()
}

/// The mapping as a template: a plain expression, or a text with expressions in it.
pub(super) fn mapping(text: &str) -> Value {
    Value::String(if text.contains("{{") { text.to_owned() } else { format!("{{{{ {text}\n}}}}") })
}

/// What can be said of a tool's templates before it is called. The errors are sentences, with their fields.
pub(super) fn check(config: &CustomToolConfig) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if let Err(message) = Address::parse(&config.url) {
        out.push(("url".to_owned(), message));
    }
    for (field, entries) in [("query", &config.query), ("headers", &config.headers)] {
        for (place, entry) in entries.iter().enumerate() {
            if let Err(message) = template::pieces(&entry.value) {
                out.push((format!("{field}.{place:02}.value"), message));
            }
        }
    }
    for (place, entry) in config.headers.iter().enumerate() {
        let one = Map::from_iter([(entry.name.trim().to_owned(), Value::String("x".to_owned()))]);
        if let Err(error) = http_tool::headers(Some(&one)) {
            out.push((format!("headers.{place:02}.name"), error.message));
        }
    }
    match Body::of(config) {
        Err(message) => out.push(("body".to_owned(), message)),
        Ok(Body::Json(value)) => template::for_each_text(&value, &mut |text| {
            if let Err(message) = template::pieces(text) {
                out.push(("body".to_owned(), message));
            }
        }),
        Ok(_) => {}
    }
    let result = config.result.trim();
    if !result.is_empty() {
        let template = mapping(result);
        let text = template.as_str().unwrap_or_default();
        if let Err(message) = template::pieces(text) {
            out.push(("result".to_owned(), message));
        } else if !result.contains("{{") && template::whole_expression(text).is_none() {
            out.push(("result".to_owned(), "This is not one expression.".to_owned()));
        }
    }
    out
}

fn pairs(headers: &HeaderMap, access: &Access) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| access.conceal(&shortened(&String::from_utf8_lossy(value.as_bytes()), 500));
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn received(response: &Response, access: &Access) -> Received {
    let mut headers = response.headers.clone();
    // Cookies are credentials of whoever asked.
    headers.remove(header::SET_COOKIE);
    let body = match http_tool::body(response) {
        Value::Null => String::new(),
        Value::String(text) => text,
        value => serde_json::to_string_pretty(&value).unwrap_or_default(),
    };
    Received {
        status: response.status.as_u16(),
        headers: pairs(&headers, access),
        body: shortened(&access.conceal(&body), SHOWN),
        bytes: response.body.len(),
        duration_ms: i64::try_from(response.duration.as_millis()).unwrap_or(i64::MAX),
    }
}

fn bad(message: impl Into<String>) -> StepError {
    StepError::new(ErrorClass::BadInput, "tool.request", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::custom::Method;

    fn filled(config: &CustomToolConfig, arguments: Value) -> Result<(String, HeaderMap, String), StepError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let expressions = Expressions::default();
            let now = "2026-11-20T14:30:00Z".parse().unwrap();
            let evaluator = Evaluator { expressions: &expressions, now, scope: None };
            let address = Address::parse(&config.url).map_err(bad)?;
            let Filled { url, headers, body } = evaluator.filled(config, &address, arguments).await?;
            let body = body.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            Ok((url.into(), headers, body))
        })
    }

    fn with_body(body: &str, kind: Option<&str>) -> CustomToolConfig {
        let headers = kind.map(|kind| Entry { name: "Content-Type".into(), value: kind.into() });
        CustomToolConfig {
            method: Method::Post,
            url: "https://api.example.com/{{ input.id }}".into(),
            body: body.into(),
            headers: headers.into_iter().collect(),
            ..CustomToolConfig::default()
        }
    }

    #[test]
    fn an_argument_stays_a_value_in_each_kind_of_body() {
        let evil = "x\", \"admin\": true, \"y\": \"&role=owner";
        let arguments = json!({ "id": 7, "name": evil, "tags": ["a"], "n": 2 });
        let json_body =
            with_body(r#"{ "name": "{{ input.name }}", "n": "{{ input.n }}", "tags": "{{ input.tags }}" }"#, None);
        let (url, _, body) = filled(&json_body, arguments.clone()).unwrap();
        assert_eq!(url, "https://api.example.com/7");
        let sent: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(sent, json!({ "name": evil, "n": 2, "tags": ["a"] }));
        let form = with_body("name={{ input.name }}&n={{ input.n }}", Some("application/x-www-form-urlencoded"));
        let (_, _, body) = filled(&form, arguments.clone()).unwrap();
        let sent: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        assert_eq!(sent, [("name".to_owned(), evil.to_owned()), ("n".to_owned(), "2".to_owned())]);
        let whole = filled(&with_body("{{ ({ n: input.n }) }}", None), arguments).unwrap();
        assert_eq!(whole.2, r#"{"n":2}"#);
    }

    #[test]
    fn templates_are_checked_before_they_are_kept() {
        let config = CustomToolConfig {
            url: "https://{{ input.host }}/".into(),
            query: vec![Entry { name: "q".into(), value: "{{ open".into() }],
            headers: vec![Entry { name: "Host".into(), value: "x".into() }],
            result: "response.body }} {{ 1".into(),
            ..with_body("{\"a\": \"{{ \"}", None)
        };
        let fields: Vec<String> = check(&config).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["url", "query.00.value", "headers.00.name", "body", "result"]);
    }
}
