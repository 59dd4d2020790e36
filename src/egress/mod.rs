//! The one way out: every call to an address that somebody else chose goes through here, whoever makes it.
//!
//! The address is checked as text, the name is looked up once and all its addresses are checked, and the connection goes
//! to exactly those. There is no proxy, redirects are followed by hand with the same checks, and answers are bounded in
//! time and size. Whatever is refused is refused with the same words before a connection is tried, so that an answer
//! tells nothing about what stands behind.

mod address;
mod resolver;
mod rules;

use std::{
    io::Read as _,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use tokio::net::TcpStream;
use url::Url;

pub use rules::EgressSettings;

use crate::{
    engine::state::{ErrorClass, StepError},
    guardrails::Domains,
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 3;
/// The most bytes of headers that an answer may have, and how many.
const MAX_HEADER_BYTES: usize = 32 << 10;
const MAX_HEADERS: usize = 100;
const AGENT: &str = concat!("AgentFlow/", env!("CARGO_PKG_VERSION"));

/// Headers that may follow a redirect to another origin. Everything else could be a credential.
const PLAIN_HEADERS: [HeaderName; 4] =
    [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CONTENT_TYPE, header::USER_AGENT];

/// A call to the outside.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address, as it was given.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Option<Bytes>,
    /// How long all of it may take, redirects and body included.
    pub timeout: Duration,
    /// The most bytes that the answer may have, as sent and unpacked.
    pub max_bytes: usize,
    /// The hosts that may be called, redirects included.
    pub domains: Domains,
}

/// An answer from the outside.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The address that answered, after redirects.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unpacked.
    pub body: Bytes,
    /// How long it took.
    pub duration: Duration,
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The address may not be called. Deliberately without a reason.
    Refused,
    /// The host is not one of those that the caller may call.
    NotListed,
    /// The name has no address, or nothing answers there.
    Unreachable,
    /// The time is up.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
    /// The answer cannot be read: broken off, badly packed, too many redirects.
    Unreadable,
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        let (class, code, message) = match failure {
            Failure::Refused => (
                ErrorClass::BadInput,
                "egress.refused",
                "This address cannot be called. AgentFlow calls public http and https addresses on the usual ports, \
                 without a user name in the address; private and internal ones only where the operator has allowed them.",
            ),
            Failure::NotListed => (
                ErrorClass::BadInput,
                "guardrails.domain",
                "This host is not among those that may be called. The organization's settings and the agent's guardrails list \
                 them.",
            ),
            Failure::Unreachable => (
                ErrorClass::Unavailable,
                "egress.unreachable",
                "Nothing answers at this address. Check its spelling, or try again later.",
            ),
            Failure::Timeout => (ErrorClass::Timeout, "egress.timeout", "The other side took too long to answer."),
            Failure::TooLarge => (
                ErrorClass::InvalidOutput,
                "egress.too_large",
                "The answer is larger than allowed. Ask for less, for example a page of a list.",
            ),
            Failure::Unreadable => {
                (ErrorClass::Unavailable, "egress.unreadable", "The answer broke off, or it cannot be read.")
            }
        };
        Self::new(class, code, message)
    }
}

/// The client for calls to the outside. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    settings: Arc<EgressSettings>,
    public: reqwest::Client,
    trusted: reqwest::Client,
}

impl Egress {
    /// Makes the client.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(settings: EgressSettings) -> Result<Self, reqwest::Error> {
        Ok(Self {
            public: builder().dns_resolver(resolver::PublicOnly).build()?,
            trusted: builder().build()?,
            settings: Arc::new(settings),
        })
    }

    /// The client for base addresses that the operator has set, such as a model provider's: no redirects, no proxy.
    #[must_use]
    pub fn for_operator(&self) -> reqwest::Client {
        self.trusted.clone()
    }

    /// The client for a base address that an organization has set: it is checked as any address is, and the client
    /// connects to nothing private, whatever the name's addresses become. No redirects, no proxy.
    ///
    /// # Errors
    /// [`Failure::Refused`].
    pub fn for_base(&self, base: &Url) -> Result<reqwest::Client, Failure> {
        let checked = rules::check(base.as_str(), &self.settings)?;
        Ok(if checked.trusted { self.trusted.clone() } else { self.public.clone() })
    }

    /// Connects to a host and port, for what speaks no HTTP: the name is looked up once, all its addresses are checked, and
    /// the connection goes to those.
    ///
    /// # Errors
    /// When it may not be called, or nothing answers there.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let checked = rules::check_socket(host, port, &self.settings)?;
        let connecting = async {
            let found = resolver::addresses(&checked, port).await?;
            TcpStream::connect(found.as_slice()).await.map_err(|_| Failure::Unreachable)
        };
        tokio::time::timeout(CONNECT, connecting).await.map_err(|_| Failure::Timeout)?
    }

    /// Makes a call. Dropping the future ends it.
    ///
    /// # Errors
    /// When the address may not be called or there is no proper answer. Any status is an answer.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let limit = request.timeout;
        tokio::time::timeout(limit, self.follow(request)).await.map_err(|_| Failure::Timeout)?
    }

    async fn follow(&self, request: Request) -> Result<Response, Failure> {
        let started = Instant::now();
        let Request { mut method, url, mut headers, mut body, max_bytes, domains, .. } = request;
        let mut checked = listed(rules::check(&url, &self.settings)?, &domains)?;
        for _ in 0..=MAX_REDIRECTS {
            let client = if checked.trusted { &self.trusted } else { &self.public };
            let mut outgoing = client.request(method.clone(), checked.url.clone()).headers(headers.clone());
            // Set last: what we can unpack under a limit, and nothing else.
            outgoing = outgoing.header(header::ACCEPT_ENCODING, "gzip");
            if let Some(body) = &body {
                outgoing = outgoing.body(body.clone());
            }
            let answer = outgoing.send().await.map_err(|error| sort(&error))?;
            check_headers(answer.headers())?;
            let Some(target) = redirect(&answer, &checked.url) else {
                return read(answer, checked.url, max_bytes, started).await;
            };
            let next = listed(rules::check(target?.as_str(), &self.settings)?, &domains)?;
            if next.url.origin() != checked.url.origin() {
                headers = PLAIN_HEADERS.iter().filter_map(|name| headers.remove_entry_of(name)).collect();
            }
            let status = answer.status();
            let becomes_get = status == StatusCode::SEE_OTHER
                || (matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) && method == Method::POST);
            if becomes_get && method != Method::HEAD {
                method = Method::GET;
                body = None;
                headers.remove(header::CONTENT_TYPE);
            }
            checked = next;
        }
        Err(Failure::Unreadable)
    }
}

fn listed(checked: rules::Checked, domains: &Domains) -> Result<rules::Checked, Failure> {
    if domains.allow(checked.url.host_str().unwrap_or_default()) { Ok(checked) } else { Err(Failure::NotListed) }
}

trait RemoveEntry {
    fn remove_entry_of(&mut self, name: &HeaderName) -> Option<(HeaderName, http::HeaderValue)>;
}

impl RemoveEntry for HeaderMap {
    fn remove_entry_of(&mut self, name: &HeaderName) -> Option<(HeaderName, http::HeaderValue)> {
        self.remove(name).map(|value| (name.clone(), value))
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(AGENT)
        .no_proxy()
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        // Unpacked by us, under a limit on both sides.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .connect_timeout(CONNECT)
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(MAX_HEADER_BYTES as u32)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4)
}

/// Why a call by a client of [`Egress::for_base`] has no answer, whatever library made it; nothing where the client did
/// its part.
#[must_use]
pub fn failure(error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<reqwest::Error>() {
            return Some(sort(error));
        }
        cause = inner.source();
    }
    None
}

/// What a failed call means. A refusal by the resolver arrives as a connect error with our mark in its chain.
fn sort(error: &reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<resolver::NotPublic>() {
            return Failure::Refused;
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        Failure::Timeout
    } else if error.is_connect() {
        Failure::Unreachable
    } else {
        Failure::Unreadable
    }
}

/// How long the other side asks to be left alone, in milliseconds: `Retry-After` in seconds or as a date (told against
/// the answer's own clock), or `retry-after-ms`.
#[must_use]
pub fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()).filter(|ms| *ms >= 0.0) {
        return Some(ms as u64);
    }
    let after = text("retry-after")?;
    if let Ok(seconds) = after.parse::<f64>() {
        return (seconds >= 0.0).then_some((seconds * 1_000.0) as u64);
    }
    let moment = |text: &str| chrono::DateTime::parse_from_rfc2822(text).ok();
    let wait = moment(after)?.signed_duration_since(moment(text("date")?)?);
    u64::try_from(wait.num_milliseconds()).ok()
}

fn check_headers(headers: &HeaderMap) -> Result<(), Failure> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES { Err(Failure::TooLarge) } else { Ok(()) }
}

/// Where a redirect leads; `None` where the answer is none.
fn redirect(answer: &reqwest::Response, from: &Url) -> Option<Result<Url, Failure>> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?;
    let text =
        location.to_str().ok().filter(|text| !text.contains(|letter: char| letter.is_control() || letter == '\\'));
    Some(text.and_then(|text| from.join(text).ok()).ok_or(Failure::Refused))
}

async fn read(answer: reqwest::Response, url: Url, max_bytes: usize, started: Instant) -> Result<Response, Failure> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    if answer.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(Failure::TooLarge);
    }
    let mut packed = BytesMut::new();
    let mut stream = answer.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| sort(&error))?;
        if packed.len() + chunk.len() > max_bytes {
            return Err(Failure::TooLarge);
        }
        packed.extend_from_slice(&chunk);
    }
    let body = match headers.get(header::CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => packed.freeze(),
        Some(b"gzip" | b"x-gzip") => unpack(packed.freeze(), max_bytes).await?,
        Some(_) => return Err(Failure::Unreadable),
    };
    Ok(Response { status, url, headers, body, duration: started.elapsed() })
}

async fn unpack(packed: Bytes, max_bytes: usize) -> Result<Bytes, Failure> {
    if packed.is_empty() {
        return Ok(packed);
    }
    let work = move || {
        let mut body = Vec::new();
        let mut unpacking = flate2::read::MultiGzDecoder::new(&packed[..]).take(max_bytes as u64 + 1);
        unpacking.read_to_end(&mut body).map_err(|_| Failure::Unreadable)?;
        if body.len() > max_bytes { Err(Failure::TooLarge) } else { Ok(Bytes::from(body)) }
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Unreadable)?
}
