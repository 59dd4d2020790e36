//! A world of one test: a fresh database with the schema, and the real router over it.
//!
//! `TEST_DATABASE_URL` names a database of a cluster whose role may create databases; the test's own database is made
//! beside it from a template, and dropped with the world. `cargo xtask test` starts such a cluster by itself.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use agentflow::{
    db::{self, Db},
    deps::Deps,
};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use bytes::Bytes;
use server::{State, config::Config, shutdown::Stop, workers::Role};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use tower::ServiceExt;
use url::Url;

/// The origin that the tests' requests come from, and the `Host` that they name.
pub const ORIGIN: &str = "http://localhost:3000";

/// A fresh database and the real router over it.
pub struct World {
    /// What requests can reach.
    pub state: State,
    router: Router,
    url: Url,
    database: String,
}

impl World {
    /// A world with nobody in it.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A world with other settings than the usual.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let base = base_url();
        let template = template(&base).await;
        let database = unique();
        let mut connection = connect(&base).await;
        statement(&mut connection, &format!("create database {database} template {template}")).await;
        let url = at(&base, &database);
        let config = Config::read(&|name| match settings.iter().find(|(key, _)| *key == name) {
            Some((_, value)) => Some((*value).to_owned()),
            None if name == "DATABASE_URL" => Some(url.to_string()),
            None => None,
        })
        .expect("settings");
        server::telemetry::init(&server::config::Log {
            filter: "error".to_owned(),
            format: server::config::LogFormat::Text,
        });
        let db = Db::connect(url.as_str(), 4).await.expect("pools");
        let state = State::new(config, db, Stop::default()).await.expect("state");
        let router = server::router(state.clone());
        Self { state, router, url, database }
    }

    /// What operations work with.
    pub fn deps(&self) -> &Deps {
        &self.state.deps
    }

    /// The name of the world's database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The address of the world's database, for a role that owns the schema.
    pub fn database_url(&self) -> &str {
        self.url.as_str()
    }

    /// A connection of the role that owns the schema.
    pub async fn owner(&self) -> PgConnection {
        connect(&self.url).await
    }

    /// Starts the workers: from here on, runs run.
    pub fn work(&self) {
        server::workers::spawn(&self.state, Role::All, &self.state.stop);
    }

    /// A browser that nobody is signed in with yet.
    pub fn client(&self) -> Client {
        Client { router: self.router.clone(), cookies: BTreeMap::new(), bearer: None, address: [127, 0, 0, 1] }
    }

    /// A program with an API key.
    pub fn program(&self, key: &str) -> Client {
        Client { bearer: Some(key.to_owned()), ..self.client() }
    }

    /// Serves on a real port of this machine, until the world ends. Gives the address, without a slash at its end.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let (router, stop) = (self.router.clone(), self.state.stop.clone());
        tokio::spawn(async move { server::http::serve::serve(listener, router, &stop).await });
        format!("http://{address}")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.state.stop.request();
        let (base, database) = (base_url(), self.database.clone());
        // The test's own runtime may be ending: the database goes by another one.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async move {
                let mut connection = connect(&base).await;
                statement(&mut connection, &format!("alter database {database} allow_connections false")).await;
                // Not `with (force)`: that one may not end an autovacuum of another role, and fails; without it, the
                // autovacuum is sent away.
                let ours = "pg_stat_activity where backend_type = 'client backend' and datname";
                statement(&mut connection, &format!("select pg_terminate_backend(pid) from {ours} = '{database}'"))
                    .await;
                statement(&mut connection, &format!("drop database {database}")).await;
            });
        });
        assert!(dropped.join().is_ok() || std::thread::panicking(), "the world's database could not be dropped");
    }
}

/// Somebody at the other end of the wire: keeps cookies, and sends what a browser sends.
#[derive(Clone)]
pub struct Client {
    router: Router,
    cookies: BTreeMap<String, String>,
    bearer: Option<String>,
    address: [u8; 4],
}

impl Client {
    /// Fetches a page, as a browser does.
    pub async fn get(&mut self, path: &str) -> Reply {
        let request = self.request(Method::GET, path).header(header::ACCEPT, "text/html");
        self.send(request.body(Body::empty()).expect("request")).await
    }

    /// Sends a form of this site.
    pub async fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        self.send(request.body(Body::from(body)).expect("request")).await
    }

    /// Sends JSON, from this site or (with a key) from a program.
    pub async fn post_json(&mut self, path: &str, body: &serde_json::Value) -> Reply {
        let request = self.request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("request")).await
    }

    /// The beginning of a request with everything that a browser (or, with a key, a program) sends by itself.
    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:3000");
        if let Some(key) = &self.bearer {
            return request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        request = request.header("sec-fetch-site", "same-origin").header(header::ORIGIN, ORIGIN);
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        request
    }

    /// Sends a request, and keeps the cookies that come back.
    pub async fn send(&mut self, mut request: Request<Body>) -> Reply {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((self.address, 50_000))));
        let response = self.router.clone().oneshot(request).await.expect("the router never fails");
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("cookie");
            let (name, rest) = cookie.split_once('=').expect("cookie");
            let value = rest.split(';').next().unwrap_or_default();
            let ended = value.is_empty() || rest.to_ascii_lowercase().contains("max-age=0");
            if ended {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("body");
        Reply { status: Status(parts.status), headers: parts.headers, body }
    }

    /// The same browser, somewhere else on the net.
    #[must_use]
    pub fn at(mut self, address: [u8; 4]) -> Self {
        self.address = address;
        self
    }

    /// Puts a cookie into the browser, as somebody who planted or stole it would.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// The cookies that it keeps.
    pub fn cookies(&self) -> &BTreeMap<String, String> {
        &self.cookies
    }
}

/// What came back.
pub struct Reply {
    /// The status; compares with a number.
    pub status: Status,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("header"))
    }
}

/// The database that tests make theirs beside.
pub fn base_url() -> Url {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where to make databases")]
    let text = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run `make test`, or name a database");
    Url::parse(&text).expect("TEST_DATABASE_URL")
}

fn at(base: &Url, database: &str) -> Url {
    let mut url = base.clone();
    url.set_path(database);
    url
}

async fn connect(url: &Url) -> PgConnection {
    PgConnection::connect(url.as_str()).await.expect("the test database answers")
}

async fn statement(connection: &mut PgConnection, text: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned())).execute(connection).await.expect("statement");
}

/// A name that no other process and no other test uses.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("agentflow_it_{}_{}", NEXT.fetch_add(1, Ordering::Relaxed), &random[..12])
}

/// A database with the schema of exactly these migrations, made by whichever test comes first.
async fn template(base: &Url) -> String {
    let mut hash = Sha256::new();
    for migration in db::MIGRATOR.iter() {
        hash.update(&migration.checksum);
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("agentflow_template_{hash}");
    let mut connection = connect(base).await;
    statement(&mut connection, "select pg_advisory_lock(7033600)").await;
    let exists: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
        .bind(&name)
        .fetch_optional(&mut connection)
        .await
        .expect("pg_database");
    if exists.is_none() {
        // Under another name until it is whole: a test that is killed here leaves no half template behind.
        let draft = unique();
        statement(&mut connection, &format!("create database {draft}")).await;
        db::prepare(at(base, &draft).as_str()).await.expect("migrations");
        statement(&mut connection, &format!("alter database {draft} rename to {name}")).await;
    }
    drop(connection.close().await);
    name
}

/// A status that compares with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub StatusCode);

impl PartialEq<u16> for Status {
    fn eq(&self, other: &u16) -> bool {
        self.0.as_u16() == *other
    }
}
