//! Names become addresses here, and only public ones leave. The connection is made to what this returns and to nothing
//! else, so a name cannot change its mind between the check and the call.

use std::{fmt, net::SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use super::{Failure, address, rules::Checked};

/// Looks names up and refuses one as soon as any of its addresses is not public.
pub(super) struct PublicOnly;

/// The mark of a refusal in an error's chain.
#[derive(Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a public address")
    }
}

impl std::error::Error for NotPublic {}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // All of them: a name with a public and a private address would otherwise be a game of chance.
            all_public(found).map_err(Into::into)
        })
    }
}

/// The addresses of a host that was checked as text: public ones, unless the operator has named it.
pub(super) async fn addresses(checked: &Checked, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let found: Vec<SocketAddr> = match checked.url.host() {
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map_err(|_| Failure::Unreachable)?.collect()
        }
        Some(Host::Ipv4(four)) => vec![SocketAddr::from((four, port))],
        Some(Host::Ipv6(six)) => vec![SocketAddr::from((six, port))],
        None => return Err(Failure::Refused),
    };
    if checked.trusted {
        return Ok(found);
    }
    all_public(found).map(|all| all.collect()).map_err(|NotPublic| Failure::Refused)
}

fn all_public(found: Vec<SocketAddr>) -> Result<Addrs, NotPublic> {
    if found.iter().all(|socket| address::is_public(socket.ip())) {
        Ok(Box::new(found.into_iter()))
    } else {
        Err(NotPublic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_private_address_among_public_ones_is_enough_to_refuse() {
        let of =
            |texts: &[&str]| texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect::<Vec<_>>();
        assert!(all_public(of(&["8.8.8.8", "2606:4700::1111"])).is_ok());
        assert!(all_public(of(&["8.8.8.8", "10.0.0.1"])).is_err());
        assert!(all_public(of(&["::ffff:127.0.0.1"])).is_err());
    }
}
