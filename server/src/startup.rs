//! From nothing to ready: everything that the server needs, in order, and what is missing, wrong or defaulted said
//! plainly, with what to do about it.

use std::{fmt, process::ExitCode};

use agentflow::db::{self, Db};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

use crate::{config::Config, http::session, shutdown::Stop, state::State};

/// Something that keeps the server from starting: what it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    what: String,
    remedy: String,
}

impl Trouble {
    /// What is wrong, and what to do about it (may be empty).
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.remedy) }
    }
}

impl std::error::Error for Trouble {}

/// What a start leaves behind.
pub struct Started {
    /// What requests can reach.
    pub state: State,
    /// The open port.
    pub listener: TcpListener,
}

/// Starts everything but the workers and the service itself.
///
/// # Errors
/// The first thing that is missing or wrong.
pub async fn start(config: Config, stop: &Stop) -> Result<Started, Trouble> {
    for line in &config.defaulted {
        tracing::info!("not set: {line}");
    }
    if let Some(warning) = session::warning(&config.http.public_url) {
        tracing::warn!("{warning}");
    }
    let address = config.http.address;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Trouble::new(
            format!("Cannot listen on {address}: {error}."),
            "Stop what uses this port, or choose another one with AGENTFLOW_ADDRESS.",
        )
    })?;
    let url = database_url(&config)?;
    let db = open(&url, config.database.connections).await?;
    let state = State::new(config, db, stop.clone()).await?;
    Ok(Started { state, listener })
}

/// Brings the database to this version.
///
/// # Errors
/// When it cannot be reached, or belongs to a newer version.
pub async fn migrate(config: Config) -> Result<(), Trouble> {
    let url = database_url(&config)?;
    db::prepare(&url).await.map_err(|error| Trouble::new(error.to_string(), ""))?;
    println!("The database is up to date.");
    Ok(())
}

/// Checks everything, and says what to do.
#[must_use]
pub fn doctor(config: &Result<Config, Vec<Trouble>>) -> ExitCode {
    match config {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn database_url(config: &Config) -> Result<String, Trouble> {
    match &config.database.url {
        Some(url) => Ok(url.expose_secret().to_owned()),
        None => Err(Trouble::new("DATABASE_URL is not set.", "")),
    }
}

async fn open(url: &str, connections: u32) -> Result<Db, Trouble> {
    db::prepare(url).await.map_err(|error| Trouble::new(error.to_string(), ""))?;
    Db::connect(url, connections)
        .await
        .map_err(|error| Trouble::new(format!("The database refuses connections: {error}."), ""))
}
