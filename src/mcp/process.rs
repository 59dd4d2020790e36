//! An MCP server that is started here: without a shell, with an empty environment and a folder of its own, and ended
//! together with everything that it has started.

use std::{io, path::PathBuf, process::Stdio, sync::Arc};

use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use rmcp::transport::TokioChildProcess;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{ChildStderr, Command},
};

use crate::{
    guardrails::outside::visible,
    kernel::{McpServerId, text::shortened},
    tools::custom::auth::Access,
};

/// How much of what a server says on standard error goes to the log.
const MAX_SAID: u64 = 64 << 10;

/// A folder that a server has as its home. Removed with its connection.
pub(super) struct Home(PathBuf);

impl Home {
    fn make() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("agentflow-{}", McpServerId::new()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "the folder of an MCP server could not be removed");
        }
    }
}

/// Starts a server. It ends when what is returned is dropped.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(
    slug: &str,
    command: &[String],
    search_path: &str,
    variable: &str,
    access: &Arc<Access>,
) -> io::Result<(TokioChildProcess, Home)> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no program is named"))?;
    let home = Home::make()?;
    let mut process = Command::new(program);
    process.args(arguments).env_clear().env("PATH", search_path).env("HOME", &home.0).current_dir(&home.0);
    if let (false, Some(secret)) = (variable.is_empty(), access.secret()) {
        process.env(variable, secret);
    }
    let mut process = CommandWrap::from(process);
    process.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
    let (transport, said) = TokioChildProcess::builder(process).stderr(Stdio::piped()).spawn()?;
    if let Some(said) = said {
        tokio::spawn(log(slug.to_owned(), said, Arc::clone(access)));
    }
    Ok((transport, home))
}

/// Takes what a server says besides its answers: some of it to the log, the rest to nowhere, so that it never waits.
async fn log(slug: String, said: ChildStderr, access: Arc<Access>) {
    let mut lines = BufReader::new(said.take(MAX_SAID));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = access.conceal(&visible(String::from_utf8_lossy(&line).trim()));
        tracing::info!(server = slug, "an MCP server says: {}", shortened(&text, 500));
        line.clear();
    }
    let mut rest = lines.into_inner().into_inner();
    drop(tokio::io::copy(&mut rest, &mut tokio::io::sink()).await);
}
