//! The way out on a network of its own: names that change their minds, and the clouds' metadata service where it really
//! is. The test starts itself again in a network namespace in which public, private and link-local addresses are all this
//! machine's, and the system's resolver asks a DNS server of ours. Nothing of the product is replaced: it looks up,
//! checks and connects as it does everywhere.

use std::{
    collections::HashMap,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use agentflow::egress::{Failure, Request};
use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::IntoResponse,
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::egress::{Canary, egress, get_of};

/// Public addresses, which are only here this machine's.
const PUBLIC: [&str; 2] = ["8.8.8.8", "2606:4700::1111"];
/// What nothing may reach: this machine, a private network, and the metadata services.
const INNER: [&str; 5] = ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00:ec2::254"];
/// How many names change their minds.
const REBINDS: usize = 200;

/// Makes the network, says so, and goes on within it.
const PREPARE: &str = r#"
    set -e
    ip link set lo up
    for address in $3; do ip address add $address dev lo; done
    echo 'nameserver 127.0.0.1' > "$2/resolv"
    echo 'hosts: dns' > "$2/nsswitch"
    mount --bind "$2/resolv" /etc/resolv.conf
    mount --bind "$2/nsswitch" /etc/nsswitch.conf
    echo prepared
    exec "$1" --exact own_network::within --ignored --nocapture"#;

/// What a name's addresses are: those of its first lookup, and those of all later ones.
fn addresses_of(name: &str, lookups: usize) -> Vec<&'static str> {
    match name {
        _ if name.ends_with(".changes.example.com") && lookups == 0 => vec!["8.8.8.8"],
        _ if name.ends_with(".changes.example.com") => vec!["127.0.0.1"],
        "public.example.com" => PUBLIC.to_vec(),
        "both.example.com" => vec!["8.8.8.8", "10.0.0.7"],
        "mixed.example.com" => vec!["8.8.8.8", "::1"],
        "inside.corp.example.com" => vec!["10.0.0.7"],
        "six.example.com" => vec!["::1"],
        "mapped.example.com" => vec!["::ffff:127.0.0.1"],
        "sixmeta.example.com" => vec!["fd00:ec2::254"],
        "meta.example.com" | "metadata.google.internal" => vec!["169.254.169.254"],
        "sixpublic.example.com" => vec!["2606:4700::1111"],
        _ => Vec::new(),
    }
}

/// What a name is another name for.
fn alias_of(name: &str) -> Option<&'static str> {
    match name {
        "alias.example.com" => Some("inside.corp.example.com"),
        "metalias.example.com" => Some("metadata.google.internal"),
        "goodalias.example.com" => Some("public.example.com"),
        _ => None,
    }
}

/// A DNS server that remembers how often it was asked for a name's addresses. Nothing that it says may be kept.
#[derive(Clone, Default)]
struct Names {
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Names {
    async fn serve(&self) {
        let socket = UdpSocket::bind("127.0.0.1:53").await.expect("the namespace's own port");
        let names = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                drop(socket.send_to(&names.answer(&buffer[..size]), from).await);
            }
        });
    }

    fn lookups(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    /// RFC 1035: the question again, and behind it the alias and the addresses, all with a time to live of zero.
    fn answer(&self, query: &[u8]) -> Vec<u8> {
        let (mut name, mut place) = (Vec::new(), 12);
        while query[place] != 0 {
            let end = place + 1 + usize::from(query[place]);
            name.push(String::from_utf8_lossy(&query[place + 1..end]).to_lowercase());
            place = end;
        }
        let (name, wanted, end) = (name.join("."), query[place + 2], place + 5);
        let alias = alias_of(&name);
        let lookups = self.lookups(&name);
        if wanted == 1 {
            self.asked.lock().unwrap().insert(name.clone(), lookups + 1);
        }
        let (mut records, mut count) = (Vec::new(), 0_u8);
        let mut add = |kind: u8, owner: &[u8], data: &[u8]| {
            records.extend_from_slice(owner);
            records.extend([0, kind, 0, 1, 0, 0, 0, 0, 0, data.len() as u8]);
            records.extend_from_slice(data);
            count += 1;
        };
        let mut owner = vec![0xc0, 12];
        if let Some(alias) = alias {
            let mut encoded: Vec<u8> =
                alias.split('.').flat_map(|part| [&[part.len() as u8], part.as_bytes()].concat()).collect();
            encoded.push(0);
            add(5, &owner, &encoded);
            owner = encoded;
        }
        for address in addresses_of(alias.unwrap_or(&name), lookups) {
            match (address.parse().unwrap(), wanted) {
                (IpAddr::V4(four), 1) => add(1, &owner, &four.octets()),
                (IpAddr::V6(six), 28) => add(28, &owner, &six.octets()),
                _ => {}
            }
        }
        let head = [query[0], query[1], 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
        [&head, &query[12..end], &records].concat()
    }
}

/// Somebody's public server: `/to/URL` leads there with every request's method, everything else says that it was reached.
async fn public_servers() -> Arc<AtomicUsize> {
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    let answer = move |uri: Uri| {
        count.fetch_add(1, Ordering::SeqCst);
        // Each call is to look the name up anew.
        let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
        let target = uri.path().strip_prefix("/to/").map(|target| HeaderValue::from_str(target).unwrap());
        async move {
            match target {
                Some(target) => (StatusCode::TEMPORARY_REDIRECT, close, [(header::LOCATION, target)]).into_response(),
                None => (close, "public").into_response(),
            }
        }
    };
    for address in PUBLIC {
        let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), 80)).await.expect("the public address");
        let router = Router::new().fallback(answer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    visits
}

fn token_of(url: &str) -> Request {
    let mut request = get_of(url);
    request.method = Method::PUT;
    let name = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
    request.headers.insert(name, HeaderValue::from_static("21600"));
    request
}

#[tokio::test]
async fn names_that_change_their_minds_and_the_metadata_service_are_never_reached() {
    let folder = tempfile::tempdir().unwrap();
    let mut addresses: Vec<&str> = [PUBLIC.as_slice(), &INNER].concat();
    addresses.retain(|address| !matches!(*address, "127.0.0.1" | "::1"));
    let within = |user: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(user).args(["--net", "--mount", "sh", "-c", PREPARE, "sh"]);
        command.arg(std::env::current_exe().unwrap()).arg(folder.path()).arg(addresses.join(" ")).output()
    };
    // As root it needs no more than that; others are root of a namespace of their own, where the machine permits it.
    let tries: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    for user in tries {
        let Ok(output) = within(user) else { continue };
        let told = String::from_utf8_lossy(&output.stdout);
        if told.starts_with("prepared") {
            assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
            assert!(told.contains("1 passed"), "{told}");
            println!("{told}");
            return;
        }
    }
    // Not `eprintln`, which is silent when a test passes.
    let words = "\nNOT TESTED: rebinding and the bound metadata address. This machine permits no network namespaces.\n";
    std::io::stderr().write_all(words.as_bytes()).unwrap();
    for address in INNER {
        let host = SocketAddr::new(address.parse().unwrap(), 80);
        let refused = egress(&[]).send(token_of(&format!("http://{host}/latest/api/token"))).await;
        assert_eq!(refused.unwrap_err(), Failure::Refused, "{address}");
    }
}

#[tokio::test]
#[ignore = "the test above starts it, in a network of its own"]
async fn within() {
    let names = Names::default();
    names.serve().await;
    let visits = public_servers().await;
    let mut canaries = Vec::new();
    for address in INNER {
        let socket = SocketAddr::new(address.parse().unwrap(), 80);
        canaries.push((socket, Canary::at(&socket.to_string()).await.expect("the inner address")));
    }
    let egress = egress(&[]);
    let send = async |url: &str| egress.send(get_of(url)).await.map(|answer| answer.body);

    // What is public is reached, by either family and through an alias: the refusals below are not for want of a network.
    for name in ["public", "sixpublic", "goodalias"] {
        assert_eq!(send(&format!("http://{name}.example.com/")).await.unwrap(), "public", "{name}");
    }
    // The first lookup is public, each later one is not: whoever looked up again to connect would come to the canary.
    for number in 0..REBINDS {
        let name = format!("{number}.changes.example.com");
        let url = format!("http://{name}/");
        assert_eq!(send(&url).await.unwrap(), "public", "{name}");
        assert_eq!(names.lookups(&name), 1, "{name}: looked up once for the check and the call");
        assert_eq!(send(&url).await.unwrap_err(), Failure::Refused, "{name}");
        // And between a call and the redirect to the same name.
        let turn = format!("http://turn{number}.changes.example.com/to/http://turn{number}.changes.example.com/");
        assert_eq!(send(&turn).await.unwrap_err(), Failure::Refused, "{turn}");
    }
    let reached = visits.load(Ordering::SeqCst);
    assert_eq!(reached, 3 + 2 * REBINDS);
    for name in ["both", "mixed", "alias", "six", "mapped", "sixmeta", "inside.corp", "meta", "metalias"] {
        assert_eq!(send(&format!("http://{name}.example.com/")).await.unwrap_err(), Failure::Refused, "{name}");
    }
    assert_eq!(visits.load(Ordering::SeqCst), reached, "one inner address among public ones refuses them all");

    let path = "latest/api/token";
    for host in [
        "169.254.169.254",
        "169.254.43518",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "metadata.google.internal",
        "metadata.google.internal.",
        "METADATA.google.internal",
        "meta.example.com",
        "metalias.example.com",
        "sixmeta.example.com",
    ] {
        for url in [format!("http://{host}/{path}"), format!("http://public.example.com/to/http://{host}/{path}")] {
            for request in [get_of(&url), token_of(&url)] {
                let method = request.method.clone();
                assert_eq!(egress.send(request).await.unwrap_err(), Failure::Refused, "{method} {url}");
            }
        }
    }
    for (socket, canary) in &canaries {
        assert_eq!(canary.visitors(), 0, "{socket}");
        // It was there all the time, and would have counted.
        TcpStream::connect(socket).await.unwrap();
        while canary.visitors() == 0 {
            tokio::task::yield_now().await;
        }
    }
    println!("names that changed {} · hits 0 of {} inner addresses", 2 * REBINDS, canaries.len());
}
