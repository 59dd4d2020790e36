//! Connections to MCP servers, kept for a while: one for each organization and server, shared with nobody else. The
//! protocol is the official library's; where a connection may go, what it carries and how large and slow an answer may be
//! is decided here.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as StdError,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, ClientRequest, Implementation, ListToolsRequest, PaginatedRequestParams,
        ServerResult,
    },
    service::{NotificationContext, Peer, RunningService, ServiceError, serve_client},
    transport::{
        common::client_side_sse::NeverRetry,
        streamable_http_client::{
            AuthRequiredError, HttpStatusError, InsufficientScopeError, StreamableHttpClientTransport,
            StreamableHttpClientTransportConfig, StreamableHttpError,
        },
    },
};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{
    Definition, MAX_TOOLS, McpServer, Transport, definition,
    process::{self, Home},
};
use crate::{
    egress::{self, Egress, Failure},
    engine::state::{ErrorClass, StepError},
    guardrails::outside::visible,
    kernel::{McpServerId, OrgId, text::shortened},
    tools::custom::auth::Access,
};

/// How long it may take until a server has said what it offers.
const CONNECT: Duration = Duration::from_secs(20);
/// For how long its word on that holds.
const FRESH: Duration = Duration::from_secs(180);
/// After how long without a call a connection is closed.
const IDLE: Duration = Duration::from_secs(300);
/// The most bytes of one answer, and of one event of a stream.
const MAX_ANSWER: usize = 2 << 20;
/// The most bytes of an answer that is no answer of the protocol.
const MAX_COMPLAINT: usize = 4 << 10;
/// The most pages that a list of tools may have.
const MAX_PAGES: usize = 20;

/// What the operator allows.
#[derive(Debug, Clone, Default)]
pub struct McpSettings {
    /// Whether servers may be started here by a command.
    pub commands: bool,
    /// Where the programs of commands are looked for: their `PATH`.
    pub search_path: String,
}

/// The connections of this process. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    egress: Egress,
    settings: McpSettings,
    slots: Mutex<HashMap<(OrgId, McpServerId), Arc<Slot>>>,
}

/// The place of one connection. Who connects holds it, so that all others find what came of it.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<Live>>);

struct Live {
    /// What it was made with: another address or credential needs another connection.
    key: [u8; 32],
    running: Arc<Running>,
    about: String,
    listing: Arc<Listing>,
    listed: Instant,
    used: Instant,
}

/// A connection that is open. It closes with the last one who holds it.
struct Running {
    service: RunningService<RoleClient, Handler>,
    changed: Arc<AtomicBool>,
    _home: Option<Home>,
}

/// What a server offers, by its own names.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Each definition with its hash.
    pub tools: BTreeMap<String, (Definition, String)>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// A connection that can be used, and what the server offers.
pub(super) struct Session {
    /// What the server says of itself.
    pub about: String,
    /// What it offers.
    pub listing: Arc<Listing>,
    /// Whether that is news, to be written down.
    pub is_new: bool,
    running: Arc<Running>,
}

impl Session {
    /// The other side.
    pub fn peer(&self) -> &Peer<RoleClient> {
        self.running.service.peer()
    }
}

impl Connections {
    /// Connections that go out by this way.
    #[must_use]
    pub fn new(egress: Egress, settings: McpSettings) -> Self {
        Self(Arc::new(Inner { egress, settings, slots: Mutex::default() }))
    }

    /// Whether servers may be started here by a command.
    #[must_use]
    pub fn commands_are_allowed(&self) -> bool {
        self.0.settings.commands
    }

    /// Whether an address may be called at all.
    pub(super) fn may_call(&self, url: &Url) -> bool {
        self.0.egress.for_base(url).is_ok()
    }

    /// The connection to a server: one that is open, else a new one. `anew`: what it offers is asked again in any case.
    pub(super) async fn open(
        &self,
        org: OrgId,
        server: &McpServer,
        access: Access,
        anew: bool,
    ) -> Result<Session, StepError> {
        let slot = {
            let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry((org, server.id)).or_default())
        };
        let opened = tokio::time::timeout(CONNECT, self.open_at(&slot, server, access, anew)).await;
        opened.unwrap_or_else(|_| Err(Failure::Timeout.into()))
    }

    async fn open_at(
        &self,
        slot: &Arc<Slot>,
        server: &McpServer,
        access: Access,
        anew: bool,
    ) -> Result<Session, StepError> {
        let key = key(server, &access);
        let mut place = slot.0.lock().await;
        let open = place.take().filter(|live| live.key == key && !live.running.service.peer().is_transport_closed());
        let mut is_new = true;
        let mut live = match open {
            Some(mut live) => {
                let changed = live.running.changed.swap(false, Ordering::SeqCst);
                if anew || changed || live.listed.elapsed() >= FRESH {
                    live.listing = Arc::new(list(live.running.service.peer()).await?);
                    live.listed = Instant::now();
                } else {
                    is_new = false;
                }
                live
            }
            None => {
                let access = Arc::new(access);
                let made = self.connect(key, server, &access).await;
                made.map_err(|mut error| {
                    error.message = access.conceal(&error.message);
                    error
                })?
            }
        };
        if is_new && live.used == live.listed {
            tokio::spawn(close_when_idle(Arc::downgrade(&self.0), Arc::downgrade(slot)));
        }
        live.used = Instant::now();
        let session = Session {
            about: live.about.clone(),
            listing: Arc::clone(&live.listing),
            is_new,
            running: Arc::clone(&live.running),
        };
        *place = Some(live);
        Ok(session)
    }

    /// Closes the connection to a server, once nobody uses it any more.
    pub(super) fn close(&self, org: OrgId, server: McpServerId) {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&(org, server));
    }

    /// Closes all connections, once nobody uses them any more.
    pub fn forget_all(&self) {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn connect(&self, key: [u8; 32], server: &McpServer, access: &Arc<Access>) -> Result<Live, StepError> {
        let changed = Arc::new(AtomicBool::new(false));
        let handler = Handler { changed: Arc::clone(&changed) };
        let (service, home) = match &server.transport {
            Transport::Url { url } => {
                let url = Url::parse(url).map_err(|_| Failure::Refused)?;
                let client = self.0.egress.for_base(&url)?;
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    .custom_headers(access.header.clone().into_iter().collect())
                    .max_sse_event_size(MAX_ANSWER)
                    .max_json_response_size(MAX_ANSWER)
                    .max_error_response_size(MAX_COMPLAINT);
                // A stream that breaks off is not taken up again: the call fails, and whoever made it decides.
                config.retry_config = Arc::new(NeverRetry::default());
                let transport = StreamableHttpClientTransport::with_client(client, config);
                (serve_client(handler, transport).await.map_err(|error| failed(&error))?, None)
            }
            Transport::Command { command } => {
                if !self.0.settings.commands {
                    let message = "Servers that are started by a command are switched off here by the operator.";
                    return Err(StepError::new(ErrorClass::BadInput, "mcp.commands_off", message));
                }
                let path = &self.0.settings.search_path;
                let started = process::start(&server.slug, command, path, &server.variable, access);
                let (transport, home) = started.map_err(|error| {
                    let message = format!("The program of the server cannot be started: {error}.");
                    StepError::new(ErrorClass::Unavailable, "mcp.start", message)
                })?;
                (serve_client(handler, transport).await.map_err(|error| failed(&error))?, Some(home))
            }
        };
        let running = Arc::new(Running { service, changed, _home: home });
        let listing = Arc::new(list(running.service.peer()).await?);
        let about = running.service.peer().peer_info().map_or_else(String::new, |info| {
            let who = info.server_info.as_ref().map(|who| format!("{} {}, ", who.name, who.version));
            let text = format!("{}protocol {}", who.unwrap_or_default(), info.protocol_version);
            shortened(&visible(&text), 200)
        });
        let now = Instant::now();
        Ok(Live { key, running, about, listing, listed: now, used: now })
    }
}

/// What a connection hangs on besides its server's id.
fn key(server: &McpServer, access: &Access) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(server.updated_at.to_rfc3339().as_bytes());
    if let Some((name, value)) = &access.header {
        hash.update(name.as_str().as_bytes());
        hash.update(value.as_bytes());
    }
    hash.update(access.secret().unwrap_or_default().as_bytes());
    hash.finalize().into()
}

/// Closes a connection that nobody has used for a while.
async fn close_when_idle(inner: Weak<Inner>, slot: Weak<Slot>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(slot) = slot.upgrade() else { return };
        let mut place = slot.0.lock().await;
        match &*place {
            Some(live) if live.used.elapsed() < IDLE => continue,
            _ => *place = None,
        }
        drop(place);
        if let Some(inner) = inner.upgrade() {
            let mut slots = inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.retain(|_, there| !Arc::ptr_eq(there, &slot));
        }
        return;
    }
}

/// What we are to a server: somebody who calls tools, and answers none of its own questions.
struct Handler {
    changed: Arc<AtomicBool>,
}

impl ClientHandler for Handler {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.store(true, Ordering::SeqCst);
    }

    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("AgentFlow", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
    }
}

/// All that a server offers. Not by the library's own list, which remembers, and gives what it remembers after an error.
async fn list(peer: &Peer<RoleClient>) -> Result<Listing, StepError> {
    let mut listing = Listing::default();
    let mut cursor = None;
    let (mut seen, too_many) = (0, || {
        let message = format!("The server offers more than {MAX_TOOLS} tools. Ask its maker for a smaller choice.");
        StepError::new(ErrorClass::BadInput, "mcp.too_many_tools", message)
    });
    for _ in 0..MAX_PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let request =
            ListToolsRequest { method: Default::default(), params: Some(params), extensions: Default::default() };
        let answer = peer.send_request(ClientRequest::ListToolsRequest(request)).await;
        let ServerResult::ListToolsResult(page) = answer.map_err(|error| failed(&error))? else {
            return Err(strange("It answers something else than a list of tools."));
        };
        seen += page.tools.len();
        if seen > MAX_TOOLS {
            return Err(too_many());
        }
        for tool in page.tools {
            match definition::read(tool) {
                Err(problem) => listing.left_out.push(shortened(&problem, 300)),
                Ok((name, _)) if listing.tools.contains_key(&name) => {
                    listing.left_out.push(format!("{name}: it is there twice."));
                }
                Ok((name, definition)) => {
                    let hash = definition::hash(&definition);
                    listing.tools.insert(name, (definition, hash));
                }
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(listing);
        }
    }
    Err(too_many())
}

/// What an error of the library means.
pub(super) fn failed(error: &(dyn StdError + 'static)) -> StepError {
    if let Some(failure) = egress::failure(error) {
        return failure.into();
    }
    let auth = || {
        let message = "The server does not accept the credential, or needs one.";
        StepError::new(ErrorClass::Auth, "mcp.auth", message)
    };
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(ServiceError::McpError(said)) = inner.downcast_ref() {
            let message = format!("The server answers with an error: {}", shortened(&visible(&said.message), 300));
            return StepError::new(ErrorClass::BadInput, "mcp.error", message);
        }
        if let Some(ServiceError::TransportClosed) = inner.downcast_ref() {
            return Failure::Unreadable.into();
        }
        if inner.is::<AuthRequiredError>() || inner.is::<InsufficientScopeError>() {
            return auth();
        }
        if let Some(status) = inner.downcast_ref::<HttpStatusError>() {
            let class = if status.status == 429 { ErrorClass::RateLimited } else { ErrorClass::Unavailable };
            let message = format!("The server answers with status {}.", status.status);
            let mut error = StepError::new(class, format!("http.status_{}", status.status), message);
            let after = status.retry_after.as_ref().and_then(|after| after.trim().parse::<u64>().ok());
            error.retry_after_ms = after.map(|seconds| seconds.saturating_mul(1_000));
            return error;
        }
        match inner.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            Some(StreamableHttpError::ResponseBodyTooLarge { .. }) => return Failure::TooLarge.into(),
            Some(StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_)) => return auth(),
            // The library does not give it as its source.
            Some(StreamableHttpError::Client(client)) => return failed(client),
            _ => {}
        }
        cause = inner.source();
    }
    strange(&error.to_string())
}

fn strange(what: &str) -> StepError {
    let what = shortened(&visible(what), 300);
    let message = format!("The server does not answer as an MCP server does. {}.", what.trim_end_matches('.'));
    StepError::new(ErrorClass::Unavailable, "mcp.unreadable", message)
}
