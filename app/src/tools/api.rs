//! Tools: all that there are, the organization's own REST tools, and MCP servers.

use agentflow::{
    kernel::{CustomToolId, McpServerId},
    mcp::{McpServerDetail, ServerForm},
    tools::{
        Listed,
        custom::{CustomTool, CustomToolDetail, Trial, form::ToolForm},
    },
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use super::views;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, wire::in_form};
#[cfg(feature = "ssr")]
use agentflow::{
    access::Permission,
    mcp::service as mcp,
    tools::{self, custom::service as custom},
};

/// All tools, by where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolsPage {
    /// Those that are part of the product.
    pub built_in: Vec<Listed>,
    /// The organization's own.
    pub own: Vec<CustomTool>,
    /// MCP servers with theirs.
    pub servers: Vec<McpServerDetail>,
    /// Whether the one who looks may make a REST tool.
    pub can_build: bool,
    /// Whether the one who looks may add a server.
    pub can_deploy: bool,
}

/// A REST tool's form, with what it offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolPage {
    /// The tool; nothing for a new one.
    pub detail: Option<CustomToolDetail>,
    /// The form.
    pub form: ToolForm,
    /// The credentials that there are: id and name.
    pub credentials: Vec<(String, String)>,
    /// Arguments to begin a test with.
    pub sample: String,
    /// Whether the one who looks may save.
    pub can_build: bool,
    /// Whether the one who looks may deploy.
    pub can_deploy: bool,
}

/// An MCP server's form, with what it offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerPage {
    /// The server; nothing for a new one.
    pub detail: Option<McpServerDetail>,
    /// The form.
    pub form: ServerForm,
    /// The credentials that there are: id and name.
    pub credentials: Vec<(String, String)>,
    /// Whether servers by command are allowed here.
    pub commands: bool,
    /// Whether the one who looks may look at the server now.
    pub can_build: bool,
    /// Whether the one who looks may change anything.
    pub can_deploy: bool,
}

/// All tools.
#[server]
pub async fn list_tools(org: String) -> Result<ToolsPage, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(ToolsPage {
        built_in: tools::service::built_in(&cx.grant()?),
        own: custom::list(&cx.grant()?).await?,
        servers: mcp::list(&cx.grant()?).await?,
        can_build: cx.role().may(Permission::Build),
        can_deploy: cx.role().may(Permission::Deploy),
    })
}

/// A REST tool's form, at its newest or another version; the form of a new one.
#[server]
pub async fn load_tool(org: String, tool: Option<CustomToolId>, version: Option<i32>) -> Result<ToolPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = match tool {
        Some(id) => Some(custom::find(&cx.grant()?, id, version).await?),
        None => None,
    };
    Ok(views::tool(&cx, detail).await?)
}

/// Makes a REST tool, as a draft.
#[server]
pub async fn create_tool(org: String, form: ToolForm) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let grant = cx.grant()?;
    let tool = custom::create(&grant, &form.name, form.config().map_err(in_form)?).await.map_err(in_form)?;
    leptos_axum::redirect(&format!("/o/{}/tools/{}", cx.org().slug, tool.id));
    Ok(())
}

/// Saves a REST tool as a new version, made from version `base`.
#[server]
pub async fn save_tool(org: String, tool: CustomToolId, base: i32, form: ToolForm) -> Result<(), ApiError> {
    let grant = door::ctx(&org).await?.grant()?;
    custom::save(&grant, tool, base, form.config().map_err(in_form)?).await.map_err(in_form)?;
    Ok(())
}

/// Makes a version the one that runs use.
#[server]
pub async fn deploy_tool(org: String, tool: CustomToolId, version: i32) -> Result<(), ApiError> {
    Ok(custom::deploy(&door::ctx(&org).await?.grant()?, tool, version).await?)
}

/// Takes a REST tool out of use.
#[server]
pub async fn archive_tool(org: String, tool: CustomToolId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    custom::archive(&cx.grant()?, tool).await?;
    leptos_axum::redirect(&format!("/o/{}/tools", cx.org().slug));
    Ok(())
}

/// Really calls a version of a REST tool with these arguments.
#[server]
pub async fn test_tool(org: String, tool: CustomToolId, version: i32, arguments: String) -> Result<Trial, ApiError> {
    let cx = door::ctx(&org).await?;
    let config = custom::find(&cx.grant()?, tool, Some(version)).await?.config;
    let arguments = views::arguments(&arguments)?;
    Ok(custom::test(&cx.grant()?, config, arguments).await?)
}

/// An MCP server's page; the form of a new one.
#[server]
pub async fn load_server(org: String, server: Option<McpServerId>) -> Result<ServerPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = match server {
        Some(id) => Some(mcp::find(&cx.grant()?, id).await?),
        None => None,
    };
    Ok(views::server(&cx, detail).await?)
}

/// Adds an MCP server, and looks at it.
#[server]
pub async fn create_server(org: String, form: ServerForm) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let server = mcp::create(&cx.grant()?, &form).await.map_err(in_form)?;
    leptos_axum::redirect(&format!("/o/{}/tools/servers/{}", cx.org().slug, server.id));
    Ok(())
}

/// Changes an MCP server, and looks at it.
#[server]
pub async fn save_server(org: String, server: McpServerId, form: ServerForm) -> Result<(), ApiError> {
    mcp::save(&door::ctx(&org).await?.grant()?, server, &form).await.map_err(in_form)?;
    Ok(())
}

/// Looks at an MCP server now.
#[server]
pub async fn check_server(org: String, server: McpServerId) -> Result<(), ApiError> {
    mcp::check(&door::ctx(&org).await?.grant()?, server).await?;
    Ok(())
}

/// Switches an MCP server on or off.
#[server]
pub async fn switch_server(org: String, server: McpServerId, on: bool) -> Result<(), ApiError> {
    Ok(mcp::set_enabled(&door::ctx(&org).await?.grant()?, server, on).await?)
}

/// Forgets an MCP server.
#[server]
pub async fn remove_server(org: String, server: McpServerId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    mcp::remove(&cx.grant()?, server).await?;
    leptos_axum::redirect(&format!("/o/{}/tools", cx.org().slug));
    Ok(())
}

/// Approves the definition of a server's tool: the one with this hash.
#[server]
pub async fn approve_tool(
    org: String,
    server: McpServerId,
    tool: String,
    hash: String,
    effect: String,
) -> Result<(), ApiError> {
    Ok(mcp::approve(&door::ctx(&org).await?.grant()?, server, &tool, &hash, views::effect(&effect)).await?)
}

/// Switches a server's tool off.
#[server]
pub async fn switch_tool_off(org: String, server: McpServerId, tool: String) -> Result<(), ApiError> {
    Ok(mcp::switch_off(&door::ctx(&org).await?.grant()?, server, &tool).await?)
}
