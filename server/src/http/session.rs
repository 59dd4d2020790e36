//! Who a request comes from: the session of its cookie, and the address of its socket.
//!
//! The cookie is `__Host-agentflow` with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`. Browsers keep such a cookie
//! over https, and over plain http on this machine. When people come over plain http from elsewhere, which only a test
//! set-up should do, they would drop it: there it is `agentflow`, without `Secure`, and the log warns of it at start.

use std::net::{IpAddr, SocketAddr};

use agentflow::accounts::{sessions::Sessions, throttle::ClientAddress};
use axum::{
    Router,
    extract::{ConnectInfo, Request, State as Extract},
    http::{HeaderMap, HeaderValue, header::SET_COOKIE},
    middleware::{self, Next},
    response::Response,
};
use tower_sessions::{Expiry, SessionManagerLayer, cookie::SameSite};
use url::{Host, Url};

use crate::{config::Config, state::State};

/// The cookie's name where it is a safe one.
pub const COOKIE: &str = "__Host-agentflow";
/// The cookie's name over plain http from another machine.
const PLAIN_COOKIE: &str = "agentflow";

/// Puts the session and [`ClientAddress`] into the extensions of each request to these routes.
pub fn around(routes: Router<State>, state: &State) -> Router<State> {
    let limits = state.config.accounts.sessions;
    let secure = can_be_secure(&state.config.http.public_url);
    let sessions = SessionManagerLayer::new(Sessions::new(state.deps.db.clone(), limits))
        .with_name(if secure { COOKIE } else { PLAIN_COOKIE })
        .with_secure(secure)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        // The cookie outlives the idle limit on purpose: that one is the server's to count.
        .with_expiry(Expiry::OnInactivity(limits.cookie_age()));
    routes
        .layer(sessions)
        .layer(middleware::map_response(complete_removal))
        .layer(middleware::from_fn_with_state(state.clone(), note_address))
}

/// Whether browsers keep a `Secure` cookie of this address.
#[must_use]
pub fn can_be_secure(public_url: &Url) -> bool {
    public_url.scheme() == "https" || is_this_machine(public_url)
}

/// Whether an address is this machine's own, wherever it is opened.
#[must_use]
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The end of a cookie must have the marks of its beginning: a browser ignores it without them.
async fn complete_removal(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let removes = |value: &HeaderValue| value.as_bytes().starts_with(b"__Host-agentflow=;");
    if headers.get_all(SET_COOKIE).iter().any(removes) {
        let kept: Vec<HeaderValue> =
            headers.get_all(SET_COOKIE).iter().filter(|value| !removes(value)).cloned().collect();
        headers.insert(
            SET_COOKIE,
            HeaderValue::from_static("__Host-agentflow=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"),
        );
        for value in kept {
            headers.append(SET_COOKIE, value);
        }
    }
    response
}

async fn note_address(Extract(state): Extract<State>, mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(socket)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let address = client_address(socket.ip(), request.headers(), &state.config);
        request.extensions_mut().insert(ClientAddress(address));
    }
    next.run(request).await
}

/// The socket's address. Only where that is a proxy which the operator trusts, the last address that the proxies say
/// which is not one of theirs.
fn client_address(socket: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    let trusted = |address: IpAddr| config.accounts.trusted_proxies.contains(&address.to_canonical());
    if !trusted(socket) {
        return socket;
    }
    let said: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .collect();
    for text in said.into_iter().rev() {
        // What cannot be read ends the chain: nothing before it can be believed.
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        if !trusted(address) {
            return address;
        }
    }
    socket
}

/// What the operator must know at start, if people come over plain http from other machines.
#[must_use]
pub fn warning(public_url: &Url) -> Option<String> {
    (!can_be_secure(public_url)).then(|| {
        format!(
            "{public_url} is plain http on another machine: the session's cookie cannot be secure there, and anybody \
             on the way can take it. Put https in front and set AGENTFLOW_PUBLIC_URL."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_get_the_safe_cookie() {
        for (url, secure) in [
            ("https://flows.example.com", true),
            ("http://localhost:3000", true),
            ("http://127.0.0.1:3000", true),
            ("http://[::1]:3000", true),
            ("http://flows.example.com", false),
            ("http://10.0.0.7:3000", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(can_be_secure(&url), secure, "{url}");
            assert_eq!(warning(&url).is_none(), secure);
        }
    }

    #[test]
    fn forwarded_addresses_count_behind_a_trusted_proxy_alone() {
        let mut config = Config::read(&|_| None).unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 203.0.113.9"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.2"));
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(client_address(proxy, &headers, &config), proxy);
        config.accounts.trusted_proxies = vec![proxy, "10.0.0.2".parse().unwrap()];
        assert_eq!(client_address(proxy, &headers, &config), "203.0.113.9".parse::<IpAddr>().unwrap());
        headers.append("x-forwarded-for", HeaderValue::from_static("nonsense"));
        assert_eq!(client_address(proxy, &headers, &config), proxy);
        let stranger: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(client_address(stranger, &headers, &config), stranger);
    }
}
