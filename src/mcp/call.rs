//! A call of a server's tool: only while the definition is the one that a person approved.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ContentBlock, MetaObject, RequestMetaObject, ResourceContents,
};
use serde_json::{Map, Value, json};
use url::Url;

use super::{McpServer, McpTool, Transport, connect::failed, service, store};
use crate::{
    egress::Failure,
    engine::{
        journal::LogLevel,
        port::Answer,
        state::{ErrorClass, StepError},
    },
    guardrails::outside::visible,
    kernel::{
        McpServerId,
        text::{duration, shortened},
    },
    schema,
    tools::{custom::auth::Access, deed::classed, http_request::clean, registry::ToolContext},
};

/// Seconds that a call may take.
pub(super) const TIMEOUT_S: u64 = 60;
/// The name of our key among what goes along with a call.
const KEY: &str = "agentflow/idempotency-key";

/// Calls a tool, as it was approved when the run's plan was made.
///
/// # Errors
/// Classed: `mcp.changed` where its definition is another one by now.
pub(crate) async fn call(
    id: McpServerId,
    name: &str,
    hash: &str,
    arguments: Value,
    context: &ToolContext<'_>,
) -> Result<Answer, StepError> {
    let org = context.scope.org;
    let mut tx = context.db.tenant(org).await.map_err(classed)?;
    let server = store::server(&mut tx, id, false).await.map_err(classed)?;
    let tool = store::tool(&mut tx, id, name).await.map_err(classed)?;
    drop(tx);
    let (server, tool) = server.zip(tool).ok_or_else(|| {
        let message = format!("The tool {} does not exist any more.", shortened(name, 64));
        StepError::new(ErrorClass::BadInput, "tool.unknown", message)
    })?;
    if !server.enabled || !tool.enabled {
        let message = format!("The tool {} is switched off.", tool.alias);
        return Err(StepError::new(ErrorClass::BadInput, "mcp.off", message));
    }
    let approved = tool.approved.as_ref().filter(|_| tool.approved_hash.as_deref() == Some(hash));
    let Some(approved) = approved.filter(|_| tool.is_offered()) else { return Err(changed(&tool)) };
    let arguments = if arguments.is_null() { json!({}) } else { arguments };
    let faults = schema::check(&approved.input, &arguments);
    if !faults.is_empty() {
        let message = format!("The arguments do not fit the tool {}. {}", tool.alias, schema::in_words(&faults));
        return Err(StepError::new(ErrorClass::BadInput, "tool.arguments", message));
    }
    if let Transport::Url { url } = &server.transport
        && !context.domains().await?.allow(Url::parse(url).ok().as_ref().and_then(Url::host_str).unwrap_or_default())
    {
        return Err(Failure::NotListed.into());
    }
    let access = service::access(context.vault, org, &server, &tool.alias, Some(context.scope)).await?;
    let hidden = access.clone();
    let started = Instant::now();
    let limit = Duration::from_secs(TIMEOUT_S);
    let done = tokio::time::timeout(limit, called(&server, &tool, hash, arguments, access, context)).await;
    let took = duration(started.elapsed().as_millis() as i64);
    let done = done.unwrap_or_else(|_| {
        let message = format!("The tool {} took longer than {took}.", tool.alias);
        Err(StepError::new(ErrorClass::Timeout, "tool.timeout", message))
    });
    let word = if done.is_ok() { "answered" } else { "no answer" };
    (context.log)(LogLevel::Info, format!("MCP server {}, tool {name}: {word} in {took}", server.slug));
    if done.is_err() {
        // Whatever it was: the next call asks anew what the server offers.
        context.mcp.close(org, id);
    }
    result(&tool, done?, &hidden).map(|output| Answer::Tool { output })
}

async fn called(
    server: &McpServer,
    tool: &McpTool,
    hash: &str,
    arguments: Value,
    access: Access,
    context: &ToolContext<'_>,
) -> Result<CallToolResult, StepError> {
    let session = Box::pin(context.mcp.open(context.scope.org, server, access, false)).await?;
    if session.is_new {
        service::record(context.db, context.scope.org, server.id, &session).await.map_err(classed)?;
    }
    if session.listing.tools.get(&tool.name).is_none_or(|(_, now)| now != hash) {
        return Err(changed(tool));
    }
    let Value::Object(arguments) = arguments else { return Err(changed(tool)) };
    let mut params = CallToolRequestParams::new(tool.name.clone()).with_arguments(arguments);
    let key = Value::String(context.scope.idempotency_key());
    params.meta = Some(RequestMetaObject(MetaObject(Map::from_iter([(KEY.to_owned(), key)]))));
    // Dropped, it tells the server that nobody waits any more.
    session.peer().call_tool(params).await.map_err(|error| failed(&error))
}

fn changed(tool: &McpTool) -> StepError {
    let message = format!(
        "The tool {}: its definition changed since it was approved. An admin can look at the change and approve it on \
         the page of its server.",
        tool.alias
    );
    StepError::new(ErrorClass::BadInput, "mcp.changed", message)
}

/// What a run gets of an answer.
fn result(tool: &McpTool, said: CallToolResult, access: &Access) -> Result<Value, StepError> {
    let is_error = said.is_error == Some(true);
    let mut value = match said.structured_content {
        Some(value) if !is_error => value,
        _ => content(said.content),
    };
    if !schema::is_shallow(&value, schema::MAX_DEPTH) {
        let message = format!("The answer of the tool {} nests too deep.", tool.alias);
        return Err(StepError::new(ErrorClass::InvalidOutput, "tool.result", message));
    }
    clean(&mut value);
    access.conceal_in(&mut value);
    if is_error {
        let words = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let message = format!("The tool {} reports an error: {}", tool.alias, shortened(words.trim(), 500));
        return Err(StepError::new(ErrorClass::BadInput, "mcp.tool_error", message));
    }
    let output = tool.approved.as_ref().map_or(&Value::Null, |definition| &definition.output);
    let faults = schema::check(output, &value);
    if !faults.is_empty() {
        let words = schema::in_words(&faults);
        let message = format!("The result of the tool {} does not fit its schema. {words}", tool.alias);
        return Err(StepError::new(ErrorClass::InvalidOutput, "tool.result", message));
    }
    Ok(value)
}

/// Pieces of content: one as it is, several as a list. What is no text is told by its type and size.
fn content(blocks: Vec<ContentBlock>) -> Value {
    let mut pieces: Vec<Value> = blocks.into_iter().map(|block| Value::String(piece(block))).collect();
    if pieces.len() == 1 { pieces.remove(0) } else { Value::Array(pieces) }
}

fn piece(block: ContentBlock) -> String {
    let kilobytes = |data: &str| STANDARD.decode(data).map_or(data.len(), |bytes| bytes.len()).div_ceil(1_000);
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => format!("[image, {}, {} KB]", image.mime_type, kilobytes(&image.data)),
        ContentBlock::Audio(audio) => format!("[audio, {}, {} KB]", audio.mime_type, kilobytes(&audio.data)),
        ContentBlock::Resource(resource) => match resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("{uri}\n{text}"),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.unwrap_or_else(|| "binary data".to_owned());
                format!("[{uri}, {kind}, {} KB]", kilobytes(&blob))
            }
            _ => "[a resource of another kind]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => {
            let about = link.description.or(link.title).unwrap_or(link.name);
            format!("[link: {} ({})]", link.uri, visible(&about))
        }
        _ => "[content of another kind]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::plan::ToolEffect, mcp::Definition};

    fn tool(output: Value) -> McpTool {
        McpTool {
            name: "x".into(),
            alias: "srv_x".into(),
            definition: Definition::default(),
            hash: "a".into(),
            approved: Some(Definition { output, ..Definition::default() }),
            approved_hash: Some("a".into()),
            approved_by: None,
            approved_at: None,
            effect: ToolEffect::Write,
            enabled: true,
            gone_at: None,
        }
    }

    fn got(output: Value, answer: Value) -> Result<Value, String> {
        let said = serde_json::from_value(answer).unwrap();
        result(&tool(output), said, &Access::default()).map_err(|error| error.code)
    }

    #[test]
    fn answers_become_values_and_nothing_large_or_hidden() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        assert_eq!(got(Value::Null, json!({ "content": [text("a\u{200b}b")] })), Ok(json!("ab")));
        assert_eq!(got(Value::Null, json!({ "content": [text("a"), text("b")] })), Ok(json!(["a", "b"])));
        let image = json!({ "type": "image", "data": STANDARD.encode(vec![0; 12_345]), "mimeType": "image/png" });
        assert_eq!(got(Value::Null, json!({ "content": [image] })), Ok(json!("[image, image/png, 13 KB]")));
        let link = json!({ "type": "resource_link", "uri": "file:///a", "name": "a.txt" });
        assert_eq!(got(Value::Null, json!({ "content": [link] })), Ok(json!("[link: file:///a (a.txt)]")));
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let structured = json!({ "content": [text("{}")], "structuredContent": { "n": 1 } });
        assert_eq!(got(schema.clone(), structured), Ok(json!({ "n": 1 })));
        let wrong = json!({ "content": [], "structuredContent": { "n": "x" } });
        assert_eq!(got(schema, wrong), Err("tool.result".to_owned()));
        let error = json!({ "content": [text("no such file")], "isError": true });
        assert_eq!(got(Value::Null, error), Err("mcp.tool_error".to_owned()));
    }
}
