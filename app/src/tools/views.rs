//! From tools to what their pages show. Server only, so that the browser's half stays small.

use agentflow::{
    access::{Ctx, Permission},
    credentials::CredentialKind,
    engine::plan::ToolEffect,
    kernel::{Error, Result},
    mcp::{McpServerDetail, ServerForm},
    tools::custom::{CustomToolConfig, CustomToolDetail, form::ToolForm},
};
use serde_json::{Map, Value, json};

use super::api::{ServerPage, ToolPage};

/// The form of a REST tool.
pub async fn tool(cx: &Ctx, detail: Option<CustomToolDetail>) -> Result<ToolPage> {
    let config = detail.as_ref().map_or_else(CustomToolConfig::default, |detail| detail.config.clone());
    Ok(ToolPage {
        form: ToolForm::of(&config),
        sample: sample(&config.parameters),
        detail,
        credentials: credentials(cx).await?,
        can_build: cx.role().may(Permission::Build),
        can_deploy: cx.role().may(Permission::Deploy),
    })
}

/// The page of an MCP server.
pub async fn server(cx: &Ctx, detail: Option<McpServerDetail>) -> Result<ServerPage> {
    let form = match &detail {
        Some(detail) => ServerForm::from(&detail.server),
        None => ServerForm { kind: "url".to_owned(), ..ServerForm::default() },
    };
    Ok(ServerPage {
        detail,
        form,
        credentials: credentials(cx).await?,
        commands: cx.deps().mcp.commands_are_allowed(),
        can_build: cx.role().may(Permission::Build),
        can_deploy: cx.role().may(Permission::Deploy),
    })
}

/// The credentials that a request can carry: id and name.
async fn credentials(cx: &Ctx) -> Result<Vec<(String, String)>> {
    let all = agentflow::credentials::service::list(&cx.grant()?).await?.into_iter();
    let fitting = all.filter(|one| !matches!(one.kind, CredentialKind::Model | CredentialKind::Postgres));
    Ok(fitting.map(|one| (one.id.to_string(), one.name)).collect())
}

/// Arguments to begin a test with: one of each type.
fn sample(parameters: &Value) -> String {
    let fields = parameters["properties"].as_object().into_iter().flatten().map(|(name, schema)| {
        let value = match schema["type"].as_str() {
            Some("number" | "integer") => json!(1),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => json!(""),
        };
        (name.clone(), value)
    });
    let fields: Map<String, Value> = fields.collect();
    serde_json::to_string_pretty(&fields).unwrap_or_default()
}

/// The arguments of a test, as they are typed.
pub fn arguments(text: &str) -> Result<Value> {
    match text.trim() {
        "" => Ok(json!({})),
        text => serde_json::from_str(text)
            .map_err(|_| Error::invalid("arguments", "Enter the arguments as JSON, such as {\"id\": 7}.")),
    }
}

/// The effect of a word.
pub fn effect(word: &str) -> ToolEffect {
    match word {
        "read" => ToolEffect::Read,
        "destructive" => ToolEffect::Destructive,
        _ => ToolEffect::Write,
    }
}
