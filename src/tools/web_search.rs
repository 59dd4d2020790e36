//! The tool web_search, by the service that the operator has set up.

use async_trait::async_trait;
use futures::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;

use super::{
    ToolInfo, catalog,
    deed::{number, output, text},
    registry::{Tool, ToolContext},
    settings::SearchService,
};
use crate::{
    egress::retry_after_ms,
    engine::{
        port::Answer,
        state::{ErrorClass, StepError},
    },
    guardrails::outside::visible,
    kernel::{Money, text::shortened},
};

/// The most bytes of a service's answer.
const MAX_BYTES: usize = 2 << 20;

struct WebSearch {
    info: ToolInfo,
    service: SearchService,
}

/// The tool.
pub(super) fn tool(service: SearchService, cost: Money) -> Option<Box<dyn Tool>> {
    let info = ToolInfo { cost, ..catalog::find("web_search")?.clone() };
    Some(Box::new(WebSearch { info, service }))
}

#[async_trait]
impl Tool for WebSearch {
    fn info(&self) -> &ToolInfo {
        &self.info
    }

    async fn call(&self, arguments: Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
        let count = number(&arguments, "count", 10);
        // The service's address is the operator's, wherever it is.
        let mut request = context.egress.for_operator().get(address(&self.service, &arguments, count));
        request = request.header(header::ACCEPT, "application/json");
        if let SearchService::Brave { key, .. } = &self.service {
            let mut key = HeaderValue::from_str(key.expose_secret()).map_err(|_| refused(StatusCode::UNAUTHORIZED))?;
            key.set_sensitive(true);
            request = request.header("x-subscription-token", key);
        }
        let answer = request.send().await.map_err(|_| silent())?;
        let status = answer.status();
        if !status.is_success() {
            let mut error = refused(status);
            error.retry_after_ms = retry_after_ms(answer.headers());
            return Err(error);
        }
        let mut body = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk.map_err(|_| silent())?);
            if body.len() > MAX_BYTES {
                return Err(unreadable());
            }
        }
        let value = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        results(&self.service, &value, count).map(output)
    }
}

fn address(service: &SearchService, arguments: &Value, count: usize) -> Url {
    let (base, path) = match service {
        SearchService::Searxng { base } => (base, "/search"),
        SearchService::Brave { base, .. } => (base, "/res/v1/web/search"),
    };
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    let (count, language) = (count.to_string(), text(arguments, "language"));
    let mut query = url.query_pairs_mut();
    query.append_pair("q", text(arguments, "query"));
    match service {
        SearchService::Searxng { .. } => {
            query.extend_pairs([("format", "json"), ("safesearch", "1")]);
            if !language.is_empty() {
                query.append_pair("language", language);
            }
        }
        SearchService::Brave { .. } => {
            query.extend_pairs([("count", count.as_str()), ("text_decorations", "false")]);
            if !language.is_empty() {
                query.append_pair("search_lang", language);
            }
        }
    }
    drop(query);
    url
}

fn results(service: &SearchService, value: &Value, count: usize) -> Result<Value, StepError> {
    let (list, words) = match service {
        SearchService::Searxng { .. } => (value.get("results"), "content"),
        SearchService::Brave { .. } => (value.pointer("/web/results"), "description"),
    };
    let list = match list.and_then(Value::as_array) {
        Some(list) => list.as_slice(),
        // Brave leaves the whole part away where it has found nothing.
        None if text(value, "type") == "search" => &[],
        None => return Err(unreadable()),
    };
    let field = |one: &Value, name: &str, max: usize| shortened(visible(text(one, name)).trim(), max);
    let results: Vec<Value> = list
        .iter()
        .filter(|one| ["http://", "https://"].iter().any(|start| text(one, "url").starts_with(start)))
        .take(count)
        .map(|one| {
            json!({ "title": field(one, "title", 300), "url": field(one, "url", 2_000), "snippet": field(one, words, 1_000) })
        })
        .collect();
    Ok(json!({ "results": results }))
}

fn silent() -> StepError {
    StepError::new(ErrorClass::Unavailable, "web_search.unreachable", "The search service does not answer.")
}

fn unreadable() -> StepError {
    let message = "The search service's answer cannot be read. A SearXNG server must have the format json switched on.";
    StepError::new(ErrorClass::InvalidOutput, "web_search.unreadable", message)
}

fn refused(status: StatusCode) -> StepError {
    let (class, message) = match status.as_u16() {
        429 => (ErrorClass::RateLimited, "The search service takes no more questions for now."),
        401 => (ErrorClass::Auth, "The search service does not know the operator's key."),
        403 => (
            ErrorClass::Auth,
            "The search service refuses. The operator checks its key; a SearXNG server must have the format json switched on.",
        ),
        402 => (ErrorClass::Quota, "The plan with the search service is used up."),
        500.. => (ErrorClass::Unavailable, "The search service has a fault of its own."),
        _ => (ErrorClass::BadInput, "The search service does not take this question."),
    };
    StepError::new(class, format!("web_search.status_{}", status.as_u16()), message)
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn each_service_is_asked_and_read_in_its_own_way() {
        let searxng = SearchService::Searxng { base: Url::parse("http://localhost:8080/searx/").unwrap() };
        let asked = address(&searxng, &json!({ "query": "a b&c", "language": "de" }), 5);
        assert_eq!(asked.as_str(), "http://localhost:8080/searx/search?q=a+b%26c&format=json&safesearch=1&language=de");
        let found = json!({ "results": [
            { "title": "A\u{200b}", "url": "https://a.example/", "content": " words " },
            { "title": "B", "url": "javascript:alert(1)" },
            { "title": "C", "url": "https://c.example/" },
            { "title": "D", "url": "https://d.example/" }
        ] });
        assert_eq!(
            results(&searxng, &found, 2).unwrap(),
            json!({ "results": [
                { "title": "A", "url": "https://a.example/", "snippet": "words" },
                { "title": "C", "url": "https://c.example/", "snippet": "" }
            ] })
        );
        assert!(results(&searxng, &json!({ "error": 1 }), 2).is_err());

        let base = Url::parse("https://api.search.brave.com").unwrap();
        let brave = SearchService::Brave { base, key: SecretString::from("k") };
        let asked = address(&brave, &json!({ "query": "a" }), 5);
        assert_eq!(asked.as_str(), "https://api.search.brave.com/res/v1/web/search?q=a&count=5&text_decorations=false");
        let found =
            json!({ "web": { "results": [{ "title": "A", "url": "https://a.example/", "description": "words" }] } });
        assert_eq!(results(&brave, &found, 5).unwrap()["results"][0]["snippet"], "words");
        assert_eq!(results(&brave, &json!({ "type": "search" }), 5).unwrap(), json!({ "results": [] }));
    }
}
