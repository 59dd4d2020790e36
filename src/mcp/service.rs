//! What people do with MCP servers. The only door to their tables.

use std::collections::BTreeMap;

use url::Url;

use super::{
    McpServer, McpServerDetail, McpTool, ServerForm, Transport, call::TIMEOUT_S, connect::Session,
    definition::MAX_NAME, store,
};
use crate::{
    access::{Ctx, Grant, right},
    credentials::{Use, Vault},
    db::{Db, TenantTx},
    egress::Failure,
    engine::{
        plan::{Flow, ToolEffect, ToolSource, ToolSpec},
        port::CallScope,
        state::{ErrorClass, StepError},
    },
    kernel::{CredentialId, Error, FieldError, McpServerId, Money, OrgId, Result, text},
    tools::{
        self, Listed,
        custom::{self, auth::Access},
    },
};

/// The most servers that an organization may have.
const MOST: usize = 50;
/// The most letters that the names of a server's tools begin with.
const MAX_SLUG: usize = 24;

/// All servers with their tools, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<McpServerDetail>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    all(&mut tx).await
}

async fn all(tx: &mut TenantTx) -> Result<Vec<McpServerDetail>> {
    let mut by_server: BTreeMap<McpServerId, Vec<McpTool>> = BTreeMap::new();
    for (server, tool) in store::tools(tx, None).await? {
        by_server.entry(server).or_default().push(tool);
    }
    let servers = store::servers(tx).await?.into_iter();
    Ok(servers
        .map(|server| McpServerDetail { tools: by_server.remove(&server.id).unwrap_or_default(), server })
        .collect())
}

/// One server with its tools.
///
/// # Errors
/// `not_found`.
pub async fn find(grant: &Grant<right::View>, id: McpServerId) -> Result<McpServerDetail> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let server = store::server(&mut tx, id, false).await?.ok_or_else(unknown)?;
    let tools = store::tools(&mut tx, Some(id)).await?.into_iter().map(|(_, tool)| tool).collect();
    Ok(McpServerDetail { server, tools })
}

/// A new server. It is looked at at once; what is wrong with it then is told with it.
///
/// # Errors
/// `invalid`, with the fields at fault.
pub async fn create(grant: &Grant<right::Deploy>, form: &ServerForm) -> Result<McpServer> {
    let checked = Checked::of(grant, form)?;
    let slug = slug_of(form)?;
    let id = McpServerId::new();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if store::servers(&mut tx).await?.len() >= MOST {
        let message = format!("An organization has at most {MOST} MCP servers. Remove one first.");
        return Err(Error::conflict("mcp.too_many", message));
    }
    store::insert(&mut tx, id, &slug, &checked.draft()).await?;
    tx.commit().await?;
    look(grant, id).await
}

/// Changes a server. One that is somewhere else now is another one: nothing that was approved of it holds any more.
///
/// # Errors
/// `not_found`; `invalid`, with the fields at fault.
pub async fn save(grant: &Grant<right::Deploy>, id: McpServerId, form: &ServerForm) -> Result<McpServer> {
    let checked = Checked::of(grant, form)?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let before = store::server(&mut tx, id, true).await?.ok_or_else(unknown)?;
    store::save(&mut tx, id, &checked.draft()).await?;
    if before.transport != checked.transport {
        store::disapprove(&mut tx, id).await?;
    }
    tx.commit().await?;
    grant.deps().mcp.close(grant.org_id(), id);
    look(grant, id).await
}

/// Switches a server on or off.
///
/// # Errors
/// `not_found`.
pub async fn set_enabled(grant: &Grant<right::Deploy>, id: McpServerId, enabled: bool) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::set_enabled(&mut tx, id, enabled).await? {
        return Err(unknown());
    }
    tx.commit().await?;
    grant.deps().mcp.close(grant.org_id(), id);
    Ok(())
}

/// Forgets a server. Runs that are under way find its tools gone.
///
/// # Errors
/// `not_found`.
pub async fn remove(grant: &Grant<right::Deploy>, id: McpServerId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::remove(&mut tx, id).await? {
        return Err(unknown());
    }
    tx.commit().await?;
    grant.deps().mcp.close(grant.org_id(), id);
    Ok(())
}

/// Looks at a server now: whether it answers, and what it offers.
///
/// # Errors
/// `not_found`. What is wrong with the server is told with it.
pub async fn check(grant: &Grant<right::Build>, id: McpServerId) -> Result<McpServer> {
    look(grant, id).await
}

/// Approves a tool's definition: the one with this hash, which the person has seen. From then on it is offered.
///
/// # Errors
/// `not_found`; `conflict` where the definition is another one by now.
pub async fn approve(
    grant: &Grant<right::Deploy>,
    id: McpServerId,
    tool: &str,
    hash: &str,
    effect: ToolEffect,
) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::tool(&mut tx, id, tool).await?.ok_or_else(unknown_tool)?;
    let decision = store::Decision { effect, enabled: true, by: grant.actor().name() };
    if !store::decide(&mut tx, id, tool, hash, &decision).await? {
        let message = "The tool's definition has changed meanwhile. Look at the new one, then approve that.";
        return Err(Error::conflict("mcp.changed", message));
    }
    tx.commit().await
}

/// Switches a tool off.
///
/// # Errors
/// `not_found`.
pub async fn switch_off(grant: &Grant<right::Deploy>, id: McpServerId, tool: &str) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::switch_off(&mut tx, id, tool).await? {
        return Err(unknown_tool());
    }
    tx.commit().await
}

/// The tools that runs may use.
pub(crate) async fn specs(tx: &mut TenantTx) -> Result<Vec<ToolSpec>> {
    let mut specs = Vec::new();
    for McpServerDetail { server, tools } in all(tx).await?.into_iter().filter(|detail| detail.server.enabled) {
        specs.extend(tools.into_iter().filter(McpTool::is_offered).map(|tool| spec(&server, tool)));
    }
    Ok(specs)
}

/// The same for people.
pub(crate) async fn offered(tx: &mut TenantTx) -> Result<Vec<Listed>> {
    let mut offered = Vec::new();
    for McpServerDetail { server, tools } in all(tx).await?.into_iter().filter(|detail| detail.server.enabled) {
        offered.extend(tools.into_iter().filter(McpTool::is_offered).map(|tool| {
            let title = if tool.definition.title.is_empty() { tool.name } else { tool.definition.title };
            Listed {
                name: tool.alias,
                title: format!("{}: {title}", server.name),
                description: tool.definition.description,
                effect: tool.effect,
                from: server.name.clone(),
                cost: Money::ZERO,
            }
        }));
    }
    Ok(offered)
}

fn spec(server: &McpServer, tool: McpTool) -> ToolSpec {
    ToolSpec {
        name: tool.alias,
        description: tool.definition.description,
        parameters: tool.definition.input,
        output: tool.definition.output,
        effect: tool.effect,
        flow: Flow { untrusted: true, outbound: true, private: server.credential.is_some() },
        source: ToolSource::Mcp { server: server.id, tool: tool.name, hash: tool.hash },
        timeout_s: TIMEOUT_S,
        at_most_once: false,
        repeatable: false,
        cost: Money::ZERO,
    }
}

/// Whether a tool of a server has this alias.
pub(crate) async fn has_alias(tx: &mut TenantTx, alias: &str) -> Result<bool> {
    store::has_alias(tx, alias).await
}

/// The access that a server's credential gives.
pub(super) async fn access(
    vault: &Vault,
    org: OrgId,
    server: &McpServer,
    purpose: &str,
    scope: Option<&CallScope>,
) -> Result<Access, StepError> {
    let Some(credential) = server.credential else { return Ok(Access::default()) };
    match &server.transport {
        Transport::Url { url } => {
            let url = Url::parse(url).map_err(|_| Failure::Refused)?;
            let host = url.host_str().unwrap_or_default();
            let opened = vault.open(&Use { org, credential, host, purpose, scope }).await?;
            let access = Access::of(&opened)?;
            if access.is_in_address() {
                let message = "An MCP server gets its credential in a header. Choose a credential of another kind.";
                return Err(StepError::new(ErrorClass::Auth, "credentials.kind", message));
            }
            Ok(access)
        }
        Transport::Command { .. } => {
            // It goes to a program on this machine, and nowhere by us.
            let opened = vault.open(&Use { org, credential, host: "localhost", purpose, scope }).await?;
            Ok(Access::for_a_program(&opened))
        }
    }
}

/// Connects to a server and writes down what it offers, or why it does not.
async fn look(ctx: &Ctx, id: McpServerId) -> Result<McpServer> {
    let (deps, org) = (ctx.deps(), ctx.org_id());
    let mut tx = deps.db.tenant(org).await?;
    let server = store::server(&mut tx, id, false).await?.ok_or_else(unknown)?;
    drop(tx);
    let purpose = format!("a look at the MCP server {}", server.slug);
    let opened = match access(&deps.vault, org, &server, &purpose, None).await {
        Ok(access) => Box::pin(deps.mcp.open(org, &server, access, true)).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(session) => record(&deps.db, org, id, &session).await?,
        Err(error) => {
            deps.mcp.close(org, id);
            let mut tx = deps.db.tenant(org).await?;
            store::checked(&mut tx, id, None, Some(&text::without_nul(error.message))).await?;
            tx.commit().await?;
        }
    }
    let mut tx = deps.db.tenant(org).await?;
    store::server(&mut tx, id, false).await?.ok_or_else(unknown)
}

/// Writes down what a server offers. What is new is off, and what has changed is not offered until somebody approves it.
pub(super) async fn record(db: &Db, org: OrgId, id: McpServerId, session: &Session) -> Result<()> {
    let mut tx = db.tenant(org).await?;
    // It may have been removed meanwhile.
    let Some(server) = store::server(&mut tx, id, true).await? else { return Ok(()) };
    let before: BTreeMap<String, McpTool> =
        store::tools(&mut tx, Some(id)).await?.into_iter().map(|(_, tool)| (tool.name.clone(), tool)).collect();
    for (name, (definition, hash)) in &session.listing.tools {
        match before.get(name) {
            Some(known) if known.hash == *hash && known.gone_at.is_none() => {}
            Some(_) => store::seen(&mut tx, id, name, definition, hash).await?,
            None => {
                for alias in aliases(&server.slug, name) {
                    let is_taken = tools::find(&alias).is_some() || custom::service::has_name(&mut tx, &alias).await?;
                    if !is_taken && store::found(&mut tx, id, name, &alias, definition, hash).await? {
                        break;
                    }
                }
            }
        }
    }
    let names: Vec<String> = session.listing.tools.keys().cloned().collect();
    store::gone(&mut tx, id, &names).await?;
    let left_out = &session.listing.left_out;
    let note = (!left_out.is_empty())
        .then(|| text::shortened(&format!("Some tools are left out. {}", left_out.join(" ")), 900));
    let about = text::without_nul(session.about.clone());
    store::checked(&mut tx, id, Some(&about), note.map(text::without_nul).as_deref()).await?;
    tx.commit().await
}

/// Names for a tool, the best first: what models and graphs call it.
fn aliases(slug: &str, name: &str) -> impl Iterator<Item = String> {
    let wanted = format!("{slug}_{name}");
    (1..100_u32).map(move |number| {
        let end = if number == 1 { String::new() } else { format!("_{number}") };
        let begin: String = wanted.chars().take(MAX_NAME - end.len()).collect();
        begin + &end
    })
}

/// A server as it is typed, checked.
struct Checked {
    name: String,
    transport: Transport,
    credential: Option<CredentialId>,
    variable: String,
}

impl Checked {
    fn of(ctx: &Ctx, form: &ServerForm) -> Result<Self> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, message: String| faults.push(FieldError { field: field.to_owned(), message });
        let name = form.name.trim().to_owned();
        if !(1..=80).contains(&name.chars().count()) || name.contains('\0') {
            fault("name", "Enter a name of 1 to 80 characters.".to_owned());
        }
        let transport = if form.kind == "command" {
            let command: Vec<String> =
                form.command.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
            if !ctx.deps().mcp.commands_are_allowed() {
                fault("kind", "The operator of this installation has not allowed servers by command.".to_owned());
            } else if command.is_empty() || command.len() > 50 {
                fault("command", "Enter the program, and each of its arguments in a line of its own.".to_owned());
            } else if command.iter().any(|word| word.len() > 1_000 || word.contains('\0')) {
                fault("command", "A line has at most 1,000 characters.".to_owned());
            }
            Transport::Command { command }
        } else {
            let url = Url::parse(form.url.trim()).ok().filter(|url| url.as_str().len() <= 2_000);
            match &url {
                None => fault("url", "Enter a web address, such as https://mcp.example.com/mcp.".to_owned()),
                Some(url) if !ctx.deps().mcp.may_call(url) => {
                    fault("url", StepError::from(Failure::Refused).message);
                }
                Some(_) => {}
            }
            Transport::Url { url: url.map(String::from).unwrap_or_default() }
        };
        let credential = match form.credential.trim() {
            "" => None,
            text => text.parse().ok().or_else(|| {
                fault("credential", "There is no such credential.".to_owned());
                None
            }),
        };
        let variable = form.variable.trim().to_owned();
        let needs_variable = credential.is_some() && matches!(transport, Transport::Command { .. });
        if (needs_variable || !variable.is_empty()) && !is_variable(&variable) {
            fault("variable", "Enter the variable that the program reads, such as API_TOKEN.".to_owned());
        }
        Error::invalid_fields(faults).map_or(Ok(Self { name, transport, credential, variable }), Err)
    }

    fn draft(&self) -> store::Draft<'_> {
        let Self { name, transport, credential, variable } = self;
        store::Draft { name, transport, credential: *credential, variable }
    }
}

/// Whether a variable may be set for a program: none that says which code it runs.
fn is_variable(name: &str) -> bool {
    const NO: [&str; 7] = ["LD_", "DYLD_", "NODE_OPTIONS", "PYTHON", "PERL", "RUBY", "BASH_ENV"];
    (1..=64).contains(&name.len())
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && !matches!(name, "PATH" | "HOME" | "ENV" | "IFS")
        && !NO.iter().any(|begin| name.starts_with(begin))
}

/// What the names of a new server's tools begin with.
fn slug_of(form: &ServerForm) -> Result<String> {
    let typed = form.slug.trim();
    if typed.is_empty() {
        let made = text::slug(&form.name, 20).replace('-', "_");
        let begins_well = made.starts_with(|letter: char| letter.is_ascii_lowercase());
        return Ok(if begins_well { made } else { format!("s{made}") });
    }
    let is_slug = typed.len() <= MAX_SLUG
        && typed.starts_with(|letter: char| letter.is_ascii_lowercase())
        && typed.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let message = "Enter at most 24 lower-case letters, digits and underscores, a letter first.";
    if is_slug { Ok(typed.to_owned()) } else { Err(Error::invalid("slug", message)) }
}

fn unknown() -> Error {
    Error::not_found("MCP server")
}

fn unknown_tool() -> Error {
    Error::not_found("tool")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools_begin_with_their_servers_and_are_never_too_long() {
        let all: Vec<String> = aliases("docs", "search-pages").take(3).collect();
        assert_eq!(all, ["docs_search-pages", "docs_search-pages_2", "docs_search-pages_3"]);
        let long = "x".repeat(64);
        assert!(aliases("a_server_of_24_letters_x", &long).all(|alias| alias.len() <= 64));
        let form =
            |name: &str, slug: &str| ServerForm { name: name.into(), slug: slug.into(), ..ServerForm::default() };
        assert_eq!(slug_of(&form("My Docs, Inc.", "")).unwrap(), "my_docs_inc");
        assert_eq!(slug_of(&form("2nd", "")).unwrap(), "s2nd");
        assert_eq!(slug_of(&form("文", "")).unwrap(), "s");
        assert!(slug_of(&form("x", "No")).is_err());
    }

    #[test]
    fn no_variable_says_which_code_a_program_runs() {
        for good in ["API_TOKEN", "GITHUB_TOKEN2"] {
            assert!(is_variable(good), "{good}");
        }
        for bad in ["", "path", "PATH", "HOME", "LD_PRELOAD", "NODE_OPTIONS", "PYTHONPATH", "1A", "A B", "BASH_ENV"] {
            assert!(!is_variable(bad), "{bad}");
        }
    }
}
