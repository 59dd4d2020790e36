//! The way out against servers that lie, drip, flood and lead elsewhere. What must not be called is a canary: it counts
//! its visitors, and there must be none.

use std::{
    collections::HashMap,
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use agentflow::{
    egress::{Egress, EgressSettings, Failure, Request, Response},
    guardrails::Domains,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::{any, get},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::vectors::{self, Canaries, Flaw};

/// A listener that must never be reached.
pub struct Canary {
    address: SocketAddr,
    visitors: Arc<AtomicUsize>,
}

impl Canary {
    pub async fn at(address: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let canary = Self { address: listener.local_addr()?, visitors: Arc::default() };
        let visitors = Arc::clone(&canary.visitors);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                visitors.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(canary)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn visitors(&self) -> usize {
        self.visitors.load(Ordering::SeqCst)
    }
}

/// A server on this machine that the operator has allowed.
async fn server() -> SocketAddr {
    let echo = |method: Method, headers: HeaderMap, body: Bytes| async move {
        let headers: HashMap<_, _> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned())).collect();
        axum::Json(json!({ "method": method.as_str(), "headers": headers, "body": String::from_utf8_lossy(&body) }))
    };
    let to = |Path(status): Path<u16>, Query(query): Query<HashMap<String, String>>| async move {
        let location = HeaderValue::from_str(&query["u"]).unwrap();
        (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, location)], "moved")
    };
    let hop = |Path(left): Path<u32>| async move {
        if left == 0 {
            "arrived".into_response()
        } else {
            Redirect::temporary(&format!("/hop/{}", left - 1)).into_response()
        }
    };
    let drip = || async {
        let drops = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, std::io::Error>("x")
        });
        Body::from_stream(drops)
    };
    let bomb = || async {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![0; 20 << 20]).unwrap();
        ([(header::CONTENT_ENCODING, "gzip")], packer.finish().unwrap())
    };
    let gzip = || async {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(b"unpacked").unwrap();
        ([(header::CONTENT_ENCODING, "gzip")], packer.finish().unwrap())
    };
    let many = || async {
        let mut headers = HeaderMap::new();
        for number in 0..90 {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            headers.insert(name, HeaderValue::try_from("v".repeat(1_000)).unwrap());
        }
        (headers, "small")
    };
    let cut = || async { Body::from_stream(stream::iter([Ok("half"), Err(std::io::Error::other("cut"))])) };
    let router = Router::new()
        .route("/echo", any(echo))
        .route("/to/{status}", any(to))
        .route("/hop/{left}", get(hop))
        .route("/big", get(|| async { vec![b'x'; 2 << 20] }))
        .route("/drip", get(drip))
        .route("/bomb", get(bomb))
        .route("/gzip", get(gzip))
        .route("/lies", get(|| async { ([(header::CONTENT_ENCODING, "gzip")], "not packed") }))
        .route("/strange", get(|| async { ([(header::CONTENT_ENCODING, "zstd")], "x") }))
        .route("/many", get(many))
        .route("/cut", get(cut));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

pub fn egress(allowed: &[SocketAddr]) -> Egress {
    let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let allowed = EgressSettings::parse_allowed(&allowed).unwrap();
    Egress::new(EgressSettings { allowed, own_hosts: ["app.example.com".to_owned()].into() }).unwrap()
}

pub fn get_of(url: &str) -> Request {
    Request {
        method: Method::GET,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: None,
        timeout: Duration::from_secs(5),
        max_bytes: 1 << 20,
        domains: Domains::default(),
    }
}

fn echoed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn no_way_to_write_an_inner_address_reaches_it() {
    let canaries = Canaries::listen().await;
    let egress = egress(&[]);
    for vector in vectors::addresses(canaries.port()) {
        let failure = egress.send(get_of(&vector.text)).await.unwrap_err();
        // A name that this machine does not know has no address at all.
        let is_unknown = vector.flaw == Flaw::Name && failure == Failure::Unreachable;
        assert!(is_unknown || failure == Failure::Refused, "{vector}: {failure:?}");
    }
    assert_eq!(canaries.visitors(), 0);
}

#[tokio::test]
async fn a_refusal_tells_nothing_of_what_stands_behind() {
    let open = Canary::at("127.0.0.1:0").await.unwrap();
    let egress = egress(&[]);
    let mut errors = Vec::new();
    for url in [
        format!("http://{}/", open.address),
        "http://127.0.0.1:1/".to_owned(),
        "http://10.255.255.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://app.example.com/".to_owned(),
    ] {
        let started = Instant::now();
        let failure = egress.send(get_of(&url)).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_millis(100), "{url}");
        errors.push(agentflow::engine::state::StepError::from(failure));
    }
    assert_eq!(errors[0].code, "egress.refused");
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
}

#[tokio::test]
async fn no_redirect_leads_where_a_call_may_not_go() {
    let server = server().await;
    let canary = Canary::at("127.0.0.1:0").await.unwrap();
    let egress = egress(&[server]);
    let port = canary.address.port();
    for status in [301, 302, 303, 307, 308] {
        for target in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            format!("//127.0.0.1:{port}/"),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "file:///etc/passwd".to_owned(),
            "gopher://127.0.0.1/".to_owned(),
            format!("http://user:pass@{server}/echo"),
        ] {
            let from = format!("http://{server}/to/{status}?u={}", target.replace(':', "%3A").replace('/', "%2F"));
            assert_eq!(egress.send(get_of(&from)).await.unwrap_err(), Failure::Refused, "{status} {target}");
        }
    }
    assert_eq!(canary.visitors(), 0);
    assert_eq!(egress.send(get_of(&format!("http://{server}/hop/3"))).await.unwrap().body, "arrived");
    assert_eq!(egress.send(get_of(&format!("http://{server}/hop/4"))).await.unwrap_err(), Failure::Unreadable);
}

#[tokio::test]
async fn credentials_stay_with_the_server_that_they_are_for() {
    let (first, second) = (server().await, server().await);
    let egress = egress(&[first, second]);
    let with_secrets = |url: String, method: Method| {
        let mut request = get_of(&url);
        for (name, value) in [("authorization", "Bearer secret"), ("x-api-key", "secret"), ("accept", "text/plain")] {
            request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if method == Method::POST {
            request.body = Some(Bytes::from_static(b"payload"));
        }
        request.method = method;
        request
    };
    let to = |status: u16, target: SocketAddr| format!("http://{first}/to/{status}?u=http%3A%2F%2F{target}%2Fecho");
    let same = egress.send(with_secrets(to(302, first), Method::GET)).await.unwrap();
    assert_eq!(echoed(&same)["headers"]["authorization"], "Bearer secret");
    let other = egress.send(with_secrets(to(302, second), Method::GET)).await.unwrap();
    let headers = &echoed(&other)["headers"];
    assert!(headers.get("authorization").is_none() && headers.get("x-api-key").is_none(), "{headers}");
    assert_eq!(headers["accept"], "text/plain");
    assert_eq!(other.url.as_str(), format!("http://{second}/echo"));
    for (status, method, body) in
        [(303, "GET", ""), (302, "GET", ""), (307, "POST", "payload"), (308, "POST", "payload")]
    {
        let answer = echoed(&egress.send(with_secrets(to(status, first), Method::POST)).await.unwrap());
        assert_eq!((answer["method"].as_str(), answer["body"].as_str()), (Some(method), Some(body)), "{status}");
    }
}

#[tokio::test]
async fn answers_are_bounded_in_size_time_and_form() {
    let server = server().await;
    let egress = egress(&[server]);
    let fetch = async |path: &str| {
        let mut request = get_of(&format!("http://{server}/{path}"));
        // A busy machine may be slow, so only what is to run out of time has little of it.
        request.timeout = Duration::from_millis(if path == "drip" { 1_500 } else { 30_000 });
        egress.send(request).await
    };
    assert_eq!(fetch("gzip").await.unwrap().body, "unpacked");
    assert_eq!(fetch("big").await.unwrap_err(), Failure::TooLarge);
    assert_eq!(fetch("bomb").await.unwrap_err(), Failure::TooLarge);
    assert_eq!(fetch("many").await.unwrap_err(), Failure::TooLarge);
    assert_eq!(fetch("lies").await.unwrap_err(), Failure::Unreadable);
    assert_eq!(fetch("strange").await.unwrap_err(), Failure::Unreadable);
    assert_eq!(fetch("cut").await.unwrap_err(), Failure::Unreadable);
    let started = Instant::now();
    assert_eq!(fetch("drip").await.unwrap_err(), Failure::Timeout);
    // Its second and a half, and what a busy machine adds; it would drip for good.
    assert!(started.elapsed() < Duration::from_secs(20));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = self::egress(&[closed]).send(get_of(&format!("http://{closed}/"))).await;
    assert_eq!(nobody.unwrap_err(), Failure::Unreachable);
}
