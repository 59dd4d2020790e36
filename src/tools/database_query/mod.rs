//! The tool database_query: a question to a PostgreSQL database of somebody else's.
//!
//! The address is checked and pinned like any other one (`egress`). What goes over the connection passes through a private
//! socket of this process, where it is counted: a server that answers without end is cut off, however it wraps its answer.

mod store;

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpStream, UnixListener},
};
use url::Url;

use super::{
    deed::{bad, deeds, number, output, text},
    registry::ToolContext,
};
use crate::{
    credentials::{CredentialKind, Use},
    egress::{Egress, Failure},
    engine::{
        journal::LogLevel,
        port::Answer,
        state::{ErrorClass, StepError},
    },
    kernel::text::{duration, shortened},
};

/// The most bytes of rows that are returned.
const MAX_BYTES: usize = 1 << 20;
/// The most bytes that a server may send: rows, and all that comes before them.
const MAX_WIRE: u64 = 8 << 20;
/// How long it may take until the server lets us in.
const SIGN_IN: Duration = Duration::from_secs(10);

deeds! {
    DatabaseQuery = "database_query" => query;
}

/// What a database is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The query.
    pub sql: &'a str,
    /// The values of `$1`, `$2` and so on.
    pub params: &'a [Value],
    /// The most rows.
    pub max_rows: usize,
    /// How long the query may take.
    pub timeout: Duration,
}

async fn query(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let name = text(arguments, "connection");
    let found = context.vault.find(context.scope.org, name, CredentialKind::Postgres).await?;
    if !context.domains().await?.allow(&found.host) {
        return Err(Failure::NotListed.into());
    }
    let opened = context
        .vault
        .open(&Use {
            org: context.scope.org,
            credential: found.id,
            host: &found.host,
            purpose: "tool database_query",
            scope: Some(context.scope),
        })
        .await?;
    if host_of(&opened.secret).as_deref() != Some(found.host.as_str()) {
        return Err(not_an_address());
    }
    let params = arguments.get("params").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let question = Question {
        sql: text(arguments, "sql"),
        params,
        max_rows: number(arguments, "max_rows", 100),
        timeout: Duration::from_secs(number(arguments, "timeout_s", 10) as u64),
    };
    let answer = ask(&opened.secret, question, context.egress).await?;
    let took = answer["duration_ms"].as_i64().unwrap_or_default();
    (context.log)(LogLevel::Info, format!("{}: {} rows in {}", found.host, answer["count"], duration(took)));
    Ok(output(answer))
}

fn host_of(address: &SecretString) -> Option<String> {
    Url::parse(address.expose_secret()).ok()?.host_str().map(str::to_owned)
}

/// Asks a database at an address, `postgres://user:password@host:port/database`.
///
/// # Errors
/// Classed: the address is refused, the server does not answer or does not let us in, the query is wrong, writes, or takes
/// too long.
pub async fn ask(address: &SecretString, question: Question<'_>, egress: &Egress) -> Result<Value, StepError> {
    let started = Instant::now();
    let (options, host, port) = options(address)?;
    let socket = egress.connect(&host, port).await.map_err(|failure| match failure {
        Failure::Refused => bad(
            "egress.refused",
            "This database cannot be called. AgentFlow calls public addresses; private and internal ones only where the \
             operator has allowed them.",
        ),
        other => other.into(),
    })?;
    let folder = tempfile::tempdir().map_err(|error| broken(&error))?;
    let listener =
        UnixListener::bind(folder.path().join(format!(".s.PGSQL.{port}"))).map_err(|error| broken(&error))?;
    let options = options.socket(folder.path());
    let asking = async {
        let signing_in = tokio::time::timeout(SIGN_IN, options.connect()).await;
        let mut conn = signing_in.map_err(|_| StepError::from(Failure::Timeout))?.map_err(|error| sorted(&error))?;
        // The server keeps the time; this is for one that does not.
        let limit = question.timeout + Duration::from_secs(2);
        let rows = tokio::time::timeout(limit, store::rows(&mut conn, &question, MAX_BYTES)).await;
        let rows = rows.map_err(|_| too_slow())?.map_err(|error| sorted(&error))?;
        if !rows.truncated {
            store::close(conn).await;
        }
        Ok::<_, StepError>(rows)
    };
    let rows = tokio::select! {
        rows = asking => rows?,
        cut_off = carry(listener, socket) => return Err(cut_off),
    };
    Ok(json!({
        "count": rows.rows.len(),
        "rows": rows.rows,
        "truncated": rows.truncated,
        "duration_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Carries bytes between our private socket and the server. Comes back only where the server has sent too much.
async fn carry(listener: UnixListener, server: TcpStream) -> StepError {
    let Ok((client, _)) = listener.accept().await else { return std::future::pending().await };
    let (mut from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut from_server = from_server.take(MAX_WIRE);
    let there = async {
        drop(tokio::io::copy(&mut from_client, &mut to_server).await);
        std::future::pending::<u64>().await
    };
    let back = async { tokio::io::copy(&mut from_server, &mut to_client).await.unwrap_or_default() };
    let received = tokio::select! {
        never = there => never,
        received = back => received,
    };
    if received >= MAX_WIRE {
        let message = "The answer is larger than allowed. Ask for fewer rows or columns.";
        return StepError::new(ErrorClass::InvalidOutput, "database.too_large", message);
    }
    // The server has hung up. Whoever waits for it reads what it said last, and then sees that.
    drop((from_client, to_client));
    std::future::pending().await
}

/// How to connect. What of the address would read files of this machine, or its settings, is not taken.
fn options(address: &SecretString) -> Result<(PgConnectOptions, String, u16), StepError> {
    let mut url = Url::parse(address.expose_secret()).map_err(|_| not_an_address())?;
    let database = url.path().trim_start_matches('/');
    if !matches!(url.scheme(), "postgres" | "postgresql")
        || url.username().is_empty()
        || database.is_empty()
        || database.contains('/')
        || url.fragment().is_some()
    {
        return Err(not_an_address());
    }
    let mode = match url.query_pairs().collect::<Vec<_>>().as_slice() {
        [] => "prefer",
        [(name, mode)] if name == "sslmode" => ["disable", "prefer", "require", "verify-ca", "verify-full"]
            .into_iter()
            .find(|known| mode == *known)
            .ok_or_else(not_an_address)?,
        _ => return Err(not_an_address()),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(not_an_address)?.to_owned();
    let port = url.port().unwrap_or(5432);
    url.set_query(Some(&format!("sslmode={mode}")));
    let has_password = url.password().is_some();
    let mut options: PgConnectOptions = url.as_str().parse().map_err(|_| not_an_address())?;
    if !has_password {
        // None is none: not one that this machine happens to know for that server.
        options = options.password("");
    }
    options = options.port(port).statement_cache_capacity(0).application_name("agentflow").disable_statement_logging();
    Ok((options, host, port))
}

fn not_an_address() -> StepError {
    let message = "The credential is not the address of a database, such as postgres://user:password@host:5432/database; \
                   after a question mark only sslmode may stand.";
    StepError::new(ErrorClass::Auth, "database.address", message)
}

fn too_slow() -> StepError {
    let message = "The query took longer than it may. Make it simpler, or allow it more time.";
    StepError::new(ErrorClass::Timeout, "database.timeout", message)
}

fn broken(error: &std::io::Error) -> StepError {
    tracing::error!(%error, "a private socket for a database cannot be made");
    StepError::new(ErrorClass::Unavailable, "database.unavailable", "Databases cannot be asked now.")
}

/// What went wrong, by PostgreSQL's own classes.
fn sorted(error: &sqlx::Error) -> StepError {
    let sqlx::Error::Database(told) = error else {
        return match error {
            sqlx::Error::Tls(_) => StepError::new(
                ErrorClass::Auth,
                "database.tls",
                "The connection cannot be made safe as the credential's sslmode asks for.",
            ),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => StepError::new(
                ErrorClass::InvalidOutput,
                "database.unreadable",
                "The database's answer cannot be read.",
            ),
            sqlx::Error::Encode(_) => bad("database.params", "A parameter cannot be sent."),
            _ => StepError::new(
                ErrorClass::Unavailable,
                "database.unreachable",
                "The database broke the connection off.",
            ),
        };
    };
    let state = told.code().unwrap_or_default();
    let (class, code) = match state.as_ref() {
        "57014" => return too_slow(),
        "25006" => (ErrorClass::BadInput, "database.read_only"),
        "42501" => (ErrorClass::Auth, "database.denied"),
        "08P01" => (ErrorClass::BadInput, "database.params"),
        "53300" => (ErrorClass::Unavailable, "database.unavailable"),
        state => match state.get(..2).unwrap_or_default() {
            "28" | "3D" => (ErrorClass::Auth, "database.sign_in"),
            "08" | "57" | "58" | "XX" => (ErrorClass::Unavailable, "database.unavailable"),
            "53" => (ErrorClass::Quota, "database.resources"),
            "40" => (ErrorClass::Unavailable, "database.conflict"),
            _ => (ErrorClass::BadInput, "database.query"),
        },
    };
    StepError::new(class, code, format!("The database says: {}.", shortened(told.message().trim_end_matches('.'), 500)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_one_that_reads_our_files_is_refused() {
        let read = |text: &str| options(&SecretString::from(text)).map(|(_, host, port)| (host, port));
        assert_eq!(read("postgres://a:b@db.example.com/x").unwrap(), ("db.example.com".to_owned(), 5432));
        assert_eq!(read("postgresql://a@[2001:db8::1]:6000/x?sslmode=require").unwrap().1, 6000);
        for text in [
            "postgres://a:b@/x",
            "postgres://db.example.com/x",
            "postgres://a:b@db.example.com",
            "postgres://a:b@db.example.com/x?sslrootcert=/etc/passwd",
            "postgres://a:b@db.example.com/x?sslmode=require&sslkey=/root/key",
            "postgres://a:b@db.example.com/x?host=/var/run/postgresql",
            "postgres://a:b@db.example.com/x?options=-c%20x",
            "postgres://a:b@db.example.com/x?sslmode=nonsense",
            "mysql://a:b@db.example.com/x",
            "db.example.com",
            "",
        ] {
            let error = options(&SecretString::from(text)).map(|_| ()).unwrap_err();
            assert_eq!(error.code, "database.address", "{text}");
        }
    }
}
