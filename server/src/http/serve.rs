//! The accept loop: our own over hyper, because a server that is told nothing else waits for slow headers for ever.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::ConnectInfo};
use futures::FutureExt;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{self, HeaderValue},
    rt::{Sleep, Timer},
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{io::InspectReader, sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::shutdown::Stop;

/// How long open requests may take to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long requests are still taken in after the word to stop.
const LINGER: Duration = Duration::from_millis(500);
/// How long a connection is waited on.
const WAITS: Waits = Waits { head: Duration::from_secs(10), idle: Duration::from_secs(70) };
/// The largest head of a request; more is 431.
const HEAD_BYTES: usize = 32 * 1024;
/// Connections of one address at a time. Behind a proxy, all are the proxy's.
const PER_ADDRESS: usize = 1_000;
/// Pause after a refusal of the system, which is out of file handles then.
const BREATH: Duration = Duration::from_millis(200);
/// How an HTTP/2 connection begins.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection is waited on.
#[derive(Clone, Copy)]
struct Waits {
    /// From the first byte of a request's head to its last.
    head: Duration,
    /// For the first byte of a request, the connection's first or the next. Longer than the minute for which proxies keep
    /// a connection, and browsers one that they made in advance: where the server closes first, a request that is just
    /// on its way is lost.
    idle: Duration,
}

/// Serves until stopping is requested and the open requests have ended, or patience has.
pub async fn serve(listener: TcpListener, router: Router, stop: &Stop) {
    serve_with(listener, router, stop, WAITS).await;
}

async fn serve_with(listener: TcpListener, router: Router, stop: &Stop, waits: Waits) {
    let accepts = Accepts {
        open: Open::default(),
        connections: TaskTracker::new(),
        closing: CancellationToken::new(),
        router,
        stop: stop.clone(),
        waits,
    };
    // A request that is on its way when the word to stop comes is answered, and told that its connection ends: until
    // then nobody knows that they should go elsewhere.
    let mut last: Option<tokio::time::Instant> = None;
    loop {
        let lingered = async {
            match last {
                Some(last) => tokio::time::sleep_until(last).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = listener.accept() => accepts.take(accepted).await,
            () = stop.requested(), if last.is_none() => last = Some(tokio::time::Instant::now() + LINGER),
            () = lingered => break,
        }
    }
    // Who stands in the queue has been let in already, as far as they know.
    while let Some(accepted @ Ok(_)) = listener.accept().now_or_never() {
        accepts.take(accepted).await;
    }
    // New connections are refused from here on. Those that are there are told to end as they are used; one that nobody
    // uses may be just about to be, so it is kept as long as there is other work to wait for.
    drop(listener);
    let end = tokio::time::Instant::now() + PATIENCE;
    drop(tokio::time::timeout_at(end, stop.drained()).await);
    accepts.closing.cancel();
    accepts.connections.close();
    if tokio::time::timeout_at(end + BREATH, accepts.connections.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

/// What takes in connections.
struct Accepts {
    open: Open,
    connections: TaskTracker,
    /// Connections end with the request that is on them, or at once.
    closing: CancellationToken,
    router: Router,
    stop: Stop,
    waits: Waits,
}

impl Accepts {
    async fn take(&self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                return tokio::time::sleep(BREATH).await;
            }
        };
        let Some(place) = self.open.enter(peer.ip()) else { return };
        let (router, stop, waits) = (self.router.clone(), self.stop.clone(), self.waits);
        let closing = self.closing.clone();
        self.connections.spawn(async move {
            let stopped = async {
                stop.requested().await;
                tokio::time::sleep(LINGER).await;
            };
            let version = tokio::select! {
                biased;
                version = first_bytes(&stream, waits) => version,
                () = stopped => None,
            };
            if let Some(version) = version
                && let Err(error) = connection(stream, version, peer, router, &closing, waits, stop).await
            {
                // Mostly somebody who went away.
                tracing::debug!(%error, %peer, "a connection ended early");
            }
            drop(place);
        });
    }
}

/// What a connection speaks.
enum Version {
    Http1,
    Http2,
}

/// Waits for the bytes that say what a connection speaks, and leaves them where they are. None: they did not come.
async fn first_bytes(stream: &TcpStream, waits: Waits) -> Option<Version> {
    let mut start = [0; PREFACE.len()];
    let mut came = tokio::time::timeout(waits.idle, stream.peek(&mut start)).await.ok()?.ok()?;
    let limit = Instant::now() + waits.head;
    while came > 0 && came < PREFACE.len() && PREFACE.starts_with(&start[..came]) {
        if Instant::now() > limit {
            return None;
        }
        // Rare, and there is nothing to wait for: what was seen already makes the stream readable.
        tokio::time::sleep(Duration::from_millis(20)).await;
        came = stream.peek(&mut start).await.ok()?;
    }
    Some(if start == *PREFACE { Version::Http2 } else { Version::Http1 })
}

async fn connection(
    stream: TcpStream,
    version: Version,
    peer: SocketAddr,
    router: Router,
    closing: &CancellationToken,
    waits: Waits,
    stop: Stop,
) -> hyper::Result<()> {
    // Small answers go at once; where that cannot be had, they go a little later.
    drop(stream.set_nodelay(true));
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(Body::new)
    });
    match version {
        Version::Http1 => {
            let service = TowerToHyperService::new(service.map_response(move |mut response: Response<Body>| {
                if stop.is_requested() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }));
            let heads = Heads { arrived: Arc::default(), waits };
            let arrived = heads.arrived.clone();
            let count = move |bytes: &[u8]| {
                arrived.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            };
            let stream = TokioIo::new(InspectReader::new(stream, count));
            let mut builder = http1::Builder::new();
            // Without a limit hyper would not ask the timer; which one counts, the timer says.
            builder.timer(heads).header_read_timeout(waits.head).max_buf_size(HEAD_BYTES);
            until_closed(builder.serve_connection(stream, service), closing).await
        }
        Version::Http2 => {
            let service = TowerToHyperService::new(service);
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(HEAD_BYTES as u32)
                .max_concurrent_streams(100)
                .keep_alive_interval(Duration::from_secs(30))
                .keep_alive_timeout(Duration::from_secs(20));
            until_closed(builder.serve_connection(TokioIo::new(stream), service), closing).await
        }
    }
}

/// Serves a connection to its end. One that is to be closed takes in first what has come on it: closed at once, hyper would
/// leave a request without an answer that it has not read yet.
async fn until_closed<C: GracefulConnection>(connection: C, closing: &CancellationToken) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = closing.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// The timer of an HTTP/1 connection. hyper has one limit for a head, which begins with the wait for it; this one tells
/// a head that is slow from one that has not begun, whatever time it is asked for.
struct Heads {
    /// Bytes that have come on the connection.
    arrived: Arc<AtomicU64>,
    waits: Waits,
}

impl Timer for Heads {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Head {
            before: self.arrived.load(Ordering::Relaxed),
            arrived: self.arrived.clone(),
            has_begun: false,
            limit: self.waits.head,
            sleep: Box::pin(tokio::time::sleep(self.waits.idle)),
        })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(self.waits.head)
    }
}

/// The time of one head. hyper asks for it when it begins to wait, and looks at it after each read.
struct Head {
    before: u64,
    arrived: Arc<AtomicU64>,
    has_begun: bool,
    limit: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Sleep for Head {}

impl Future for Head {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_begun && self.arrived.load(Ordering::Relaxed) > self.before {
            self.has_begun = true;
            let end = tokio::time::Instant::now() + self.limit;
            self.sleep.as_mut().reset(end);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// How many connections each address has open.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Open {
    fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place { open: self.clone(), address })
    }
}

/// One open connection.
struct Place {
    open: Open,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHORT: Waits = Waits { head: Duration::from_millis(400), idle: Duration::from_millis(1_600) };
    const PING: &[u8] = b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n";

    /// Serves with short waits.
    async fn server() -> (SocketAddr, Stop) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Stop::default());
        let (router, told) = (Router::new().route("/ping", get(|| async { "pong" })), stop.clone());
        tokio::spawn(async move { serve_with(listener, router, &told, SHORT).await });
        (address, stop)
    }

    async fn ping(stream: &mut TcpStream) {
        stream.write_all(PING).await.unwrap();
        answered(stream).await;
    }

    async fn answered(stream: &mut TcpStream) {
        let mut answer = String::new();
        while !answer.ends_with("pong") {
            let mut bytes = [0; 1_024];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "closed after {answer:?}");
            answer.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }

    /// How long it lasts until the server closes.
    async fn closes(mut stream: TcpStream) -> Duration {
        let begun = Instant::now();
        let closed = tokio::time::timeout(SHORT.idle * 3, async {
            // After an answer to a broken head, there may be one.
            while stream.read(&mut [0; 1_024]).await.is_ok_and(|count| count > 0) {}
        });
        closed.await.expect("the server closes");
        begun.elapsed()
    }

    #[tokio::test]
    async fn a_head_that_has_begun_must_come_soon() {
        let (address, _stop) = server().await;
        let cut = async |answered: bool, start: &[u8]| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if answered {
                ping(&mut stream).await;
            }
            stream.write_all(start).await.unwrap();
            let took = closes(stream).await;
            let name = String::from_utf8_lossy(start).into_owned();
            assert!(took >= SHORT.head / 2 && took < SHORT.idle * 3 / 4, "{name} {answered}: {took:?}");
        };
        tokio::join!(
            cut(false, b"GET /ping HTTP/1.1\r\nhost: x\r\n"),
            cut(true, b"GET /ping HTTP/1.1\r\nhost: x\r\n"),
            cut(false, b"G"),
            cut(true, b"G"),
            // These could become HTTP/2.
            cut(false, b"P"),
            cut(false, b"PRI * HTTP/2.0\r\n"),
        );
    }

    #[tokio::test]
    async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
        let (address, _stop) = server().await;
        let idle = async |answered: bool| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if answered {
                ping(&mut stream).await;
            }
            let took = closes(stream).await;
            assert!(took >= SHORT.idle * 3 / 4, "{answered}: {took:?}");
        };
        let used_late = async |answered_before: bool| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if answered_before {
                ping(&mut stream).await;
            }
            tokio::time::sleep(SHORT.idle * 3 / 4).await;
            // Its head has its own time, though it comes in pieces.
            let (one, two) = PING.split_at(9);
            stream.write_all(one).await.unwrap();
            tokio::time::sleep(SHORT.head / 2).await;
            stream.write_all(two).await.unwrap();
            answered(&mut stream).await;
        };
        tokio::join!(idle(false), idle(true), used_late(false), used_late(true));
    }

    #[tokio::test]
    async fn connections_that_say_nothing_end_when_the_server_stops() {
        let (address, stop) = server().await;
        let mut used = TcpStream::connect(address).await.unwrap();
        ping(&mut used).await;
        let silent = TcpStream::connect(address).await.unwrap();
        // It has been accepted once a later one is answered.
        ping(&mut TcpStream::connect(address).await.unwrap()).await;
        stop.request();
        let (used, silent) = tokio::join!(closes(used), closes(silent));
        assert!(used < SHORT.idle / 2 && silent < SHORT.idle / 2, "{used:?} {silent:?}");
    }

    #[tokio::test]
    async fn a_request_that_is_on_its_way_when_the_server_stops_is_answered() {
        let (address, stop) = server().await;
        let mut used = TcpStream::connect(address).await.unwrap();
        ping(&mut used).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        stop.request();
        tokio::time::sleep(LINGER / 5).await;
        let mut new = TcpStream::connect(address).await.unwrap();
        for stream in [&mut used, &mut silent, &mut new] {
            ping(stream).await;
        }
        for stream in [used, silent, new] {
            assert!(closes(stream).await < LINGER / 2, "it was told that the connection ends");
        }
        tokio::time::sleep(LINGER).await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody is let in any more");
    }

    #[tokio::test]
    async fn a_request_that_was_not_read_when_its_connection_is_to_close_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(PING).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let router = Router::new().route("/ping", get(|| async { "pong" }));
        let (closing, stop) = (CancellationToken::new(), Stop::default());
        closing.cancel();
        stop.request();
        assert!(matches!(first_bytes(&stream, SHORT).await, Some(Version::Http1)));
        connection(stream, Version::Http1, peer, router, &closing, SHORT, stop).await.unwrap();
        answered(&mut client).await;
    }

    #[test]
    fn one_address_cannot_take_all_connections() {
        let open = Open::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let places: Vec<_> = (0..PER_ADDRESS).map(|_| open.enter(address).unwrap()).collect();
        assert!(open.enter(address).is_none());
        assert!(open.enter(IpAddr::from([192, 0, 2, 2])).is_some());
        drop(places);
        assert!(open.enter(address).is_some());
        assert!(open.0.lock().unwrap().is_empty(), "nothing is remembered of who left");
    }
}
