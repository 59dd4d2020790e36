//! The accept loop: our own over hyper, because a server that is told nothing else waits for slow headers for ever.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::shutdown::Stop;

/// How long open requests may take to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long the head of a request may take to come, and how long an idle connection is kept.
const HEAD: Duration = Duration::from_secs(10);
/// The largest head of a request; more is 431.
const HEAD_BYTES: usize = 32 * 1024;
/// Connections of one address at a time. Behind a proxy, all are the proxy's.
const PER_ADDRESS: usize = 1_000;
/// Pause after a refusal of the system, which is out of file handles then.
const BREATH: Duration = Duration::from_millis(200);

/// Serves until stopping is requested and the open requests have ended, or patience has.
pub async fn serve(listener: TcpListener, router: Router, stop: &Stop) {
    let builder = Arc::new(builder());
    let open = Open::default();
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            },
            () = stop.requested() => break,
        };
        let Some(place) = open.enter(peer.ip()) else { continue };
        let connection = connection(stream, peer, router.clone(), builder.clone(), &graceful);
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
    // New connections are refused from here on.
    drop(listener);
    if tokio::time::timeout(PATIENCE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES as u32)
        .max_concurrent_streams(100)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    builder: Arc<Builder<TokioExecutor>>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    // Small answers go at once; where that cannot be had, they go a little later.
    drop(stream.set_nodelay(true));
    let service = TowerToHyperService::new(router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(Body::new)
    }));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    async move {
        if let Err(error) = watched.await {
            // Mostly somebody who went away.
            tracing::debug!(%error, %peer, "a connection ended early");
        }
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
    use super::*;

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
