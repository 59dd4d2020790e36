//! What nobody outside may have called, in all the ways to write it: the one list that every door to the outside is tried
//! with. Doors differ in where they refuse a vector, and each door's test says where; none may let one through.

use std::{fmt, io::ErrorKind};

use crate::egress::Canary;

/// What is wrong with a vector: by this a door's test knows where it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is well written, and leads inside, or to a port where nobody is called.
    Inside,
    /// It is a name that this machine may know for itself: refused once it is looked up. Elsewhere it has no address.
    Name,
    /// A user name stands before the host.
    User,
    /// It does not begin as an address does, and the URL standard reads it all the same.
    Loose,
    /// It is no address to call: of another scheme, or with signs that none has.
    Unfit,
}

/// A host or a whole address that may not be called.
pub struct Vector {
    /// How it is written.
    pub text: String,
    /// What is wrong with it.
    pub flaw: Flaw,
    what: &'static str,
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {}", self.text, self.what)
    }
}

/// Hosts that are read as what is not public, and what they are.
const INSIDE: &[(&str, &str)] = &[
    ("127.0.0.1", "loopback"),
    ("127.0.0.1.", "loopback with a final dot"),
    ("127.255.255.254", "the end of loopback"),
    ("127.1", "loopback in two parts"),
    ("127.0.1", "loopback in three parts"),
    ("0x7f.1", "loopback in hex and short"),
    ("0x7f000001", "loopback as a hex number"),
    ("0X7F.0.0.01", "loopback in hex and octal"),
    ("2130706433", "loopback as a number"),
    ("017700000001", "loopback as an octal number"),
    ("0177.0.0.01", "loopback in octal"),
    ("%31%32%37.0.0.1", "loopback, its digits encoded"),
    ("127%2e0%2e0%2e1", "loopback, its dots encoded"),
    ("１２７.0.0.1", "loopback in wide digits"),
    ("%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", "loopback in wide digits, encoded"),
    ("①②⑦.0.0.1", "loopback in circled digits"),
    ("127。0。0。1", "loopback with ideographic dots"),
    ("0", "this host as a number"),
    ("0.0.0.0", "this host"),
    ("0.1.2.3", "this network"),
    ("[::]", "this host in IPv6"),
    ("[::1]", "loopback in IPv6"),
    ("[0:0:0:0:0:0:0:1]", "loopback in IPv6, written out"),
    ("[::127.0.0.1]", "loopback, IPv4-compatible"),
    ("[::ffff:127.0.0.1]", "loopback, IPv4-mapped"),
    ("[::ffff:7f00:1]", "loopback, IPv4-mapped, in hex"),
    ("[::ffff:0:127.0.0.1]", "loopback, IPv4-translated"),
    ("[64:ff9b::7f00:1]", "loopback behind NAT64"),
    ("[64:ff9b:1::7f00:1]", "loopback behind a local NAT64"),
    ("[2002:7f00:1::]", "loopback by 6to4"),
    ("[2001:0:7f00:1::]", "loopback as a Teredo server"),
    ("localhost", "loopback by name"),
    ("LOCALHOST", "loopback by name, in capitals"),
    ("localhost.", "loopback by name, with a final dot"),
    ("a.localhost", "a name below localhost"),
    ("ｌｏｃａｌｈｏｓｔ", "loopback by name, in wide letters"),
    ("lo\u{ad}calhost", "loopback by name, with a soft hyphen"),
    ("%6c%6f%63%61%6c%68%6f%73%74", "loopback by name, encoded"),
    ("printer.local", "a name of the local network"),
    ("host.docker.internal", "the host of a container"),
    ("metadata.google.internal", "metadata by name"),
    ("METADATA.google.internal.", "metadata by name, in capitals and with a final dot"),
    ("169.254.169.254", "metadata"),
    ("0251.0376.0251.0376", "metadata in octal"),
    ("0xa9fea9fe", "metadata as a hex number"),
    ("2852039166", "metadata as a number"),
    ("[::ffff:a9fe:a9fe]", "metadata, IPv4-mapped"),
    ("[64:ff9b::a9fe:a9fe]", "metadata behind NAT64"),
    ("[2002:a9fe:a9fe::]", "metadata by 6to4"),
    ("[fd00:ec2::254]", "metadata in IPv6"),
    ("169.254.0.1", "link-local"),
    ("10.0.0.7", "private, 10/8"),
    ("10.255.255.255", "the end of 10/8"),
    ("[64:ff9b::10.0.0.7]", "private behind NAT64"),
    ("172.16.0.1", "private, 172.16/12"),
    ("172.31.255.255", "the end of 172.16/12"),
    ("192.168.0.1", "private, 192.168/16"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.255", "the end of carrier-grade NAT"),
    ("192.0.0.1", "protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "a 6to4 relay"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "the end of benchmarking"),
    ("198.51.100.1", "documentation, the second"),
    ("203.0.113.1", "documentation, the third"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "the end of multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("[fc00::1]", "unique local"),
    ("[fdff:ffff::1]", "unique local, the upper half"),
    ("[fe80::1]", "link-local in IPv6"),
    ("[febf::1]", "the end of link-local in IPv6"),
    ("[fec0::1]", "site-local"),
    ("[ff02::1]", "multicast in IPv6"),
    ("[100::1]", "discarded in IPv6"),
    ("[2001:db8::1]", "documentation in IPv6"),
];

/// Names that are looked up.
const NAMES: &[(&str, &str)] =
    &[("ip6-localhost", "loopback in IPv6 by name"), ("ip6-loopback", "the same by another")];

/// Hosts behind a user name.
const USERS: &[(&str, &str)] = &[
    ("ok@127.0.0.1", "loopback behind a user"),
    ("ok:ok@127.0.0.1", "loopback behind a user and a password"),
    ("example.com@127.0.0.1", "loopback behind a user that looks like a host"),
];

/// Hosts that are none.
const UNFIT: &[(&str, &str)] =
    &[("[fe80::1%25lo]", "link-local in IPv6 with its zone"), ("%2Fvar%2Frun", "a folder of sockets")];

/// The hosts.
pub fn hosts() -> Vec<Vector> {
    let mut all = Vec::new();
    for (flaw, list) in [(Flaw::Inside, INSIDE), (Flaw::Name, NAMES), (Flaw::User, USERS), (Flaw::Unfit, UNFIT)] {
        all.extend(list.iter().map(|&(text, what)| Vector { text: text.to_owned(), flaw, what }));
    }
    let here = std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned();
    // What reads as a number is never looked up.
    if matches!(url::Host::parse(&here), Ok(url::Host::Domain(_))) {
        all.push(Vector { text: here, flaw: Flaw::Name, what: "this machine by its own name" });
    }
    all
}

/// The hosts as addresses, at the usual port and at this one; and all that is wrong as a whole.
pub fn addresses(port: u16) -> Vec<Vector> {
    let mut all = Vec::new();
    for Vector { text, flaw, what } in hosts() {
        all.push(Vector { text: format!("http://{text}/"), flaw, what });
        // At such a port no name is even looked up.
        let flaw = if flaw == Flaw::Name { Flaw::Inside } else { flaw };
        all.push(Vector { text: format!("http://{text}:{port}/latest/meta-data/"), flaw, what });
    }
    all.extend(wholes(port));
    all
}

/// Addresses that are wrong by more than their host.
fn wholes(port: u16) -> impl Iterator<Item = Vector> {
    let of = |flaw, text: &str, what| Vector { text: text.replace("PORT", &port.to_string()), flaw, what };
    [
        of(Flaw::Inside, "https://127.0.0.1:PORT/", "loopback by https"),
        of(Flaw::Inside, "http://example.com:22/", "the port of SSH"),
        of(Flaw::Inside, "http://example.com:5432/", "the port of PostgreSQL"),
        of(Flaw::Inside, "https://example.com:6379/", "the port of Redis"),
        of(Flaw::User, "http://user:pass@example.com/", "a user and a password"),
        of(Flaw::User, "http://127.0.0.1:PORT%2F@example.com/", "a user that looks like an address"),
        of(Flaw::Loose, "http:127.0.0.1:PORT/", "no slashes"),
        of(Flaw::Loose, "http:///127.0.0.1:PORT/", "three slashes"),
        of(Flaw::Loose, "HTTP://127.0.0.1:PORT/", "a scheme in capitals"),
        of(Flaw::Unfit, "http://127.0.0.1:PORT#@example.com/", "another host behind a #"),
        of(Flaw::Unfit, "http://127.0.0.1:PORT\\@example.com/", "another host behind a backslash"),
        of(Flaw::Unfit, "http:\\\\127.0.0.1:PORT\\", "backslashes for slashes"),
        of(Flaw::Unfit, "http://127.0.0.1\t:PORT/", "a tab in the host"),
        of(Flaw::Unfit, "http://127.0.0.1:PORT/\r\nHost: example.com", "a header in the path"),
        of(Flaw::Unfit, "//127.0.0.1:PORT/", "no scheme"),
        of(Flaw::Unfit, "127.0.0.1:PORT", "no scheme and no slashes"),
        of(Flaw::Unfit, "localhost:PORT", "a host that reads as a scheme"),
        of(Flaw::Unfit, "ws://127.0.0.1:PORT/", "a web socket"),
        of(Flaw::Unfit, "gopher://127.0.0.1:PORT/_GET%20/", "gopher"),
        of(Flaw::Unfit, "ftp://127.0.0.1:PORT/", "ftp"),
        of(Flaw::Unfit, "dict://127.0.0.1:PORT/stat", "dict"),
        of(Flaw::Unfit, "ldap://127.0.0.1:PORT/", "ldap"),
        of(Flaw::Unfit, "jar:http://127.0.0.1:PORT/x!/", "jar"),
        of(Flaw::Unfit, "file:///etc/passwd", "a file"),
        of(Flaw::Unfit, "unix:/var/run/docker.sock", "a socket of this machine"),
        of(Flaw::Unfit, "data:text/plain,hello", "data"),
        of(Flaw::Unfit, "javascript:fetch('http://127.0.0.1:PORT/')", "a script"),
        of(Flaw::Unfit, "http://[::1", "a bracket that stays open"),
        of(Flaw::Unfit, "", "nothing"),
    ]
    .into_iter()
}

/// Where a call that gets through arrives: all of this machine's own addresses, at one port, and at the usual one if we may
/// listen there.
pub struct Canaries {
    port: u16,
    all: Vec<Canary>,
}

impl Canaries {
    pub async fn listen() -> Self {
        loop {
            let four = Canary::at("0.0.0.0:0").await.unwrap();
            let port = four.port();
            let mut all = vec![four];
            match Canary::at(&format!("[::1]:{port}")).await {
                Ok(six) => all.push(six),
                // Somebody else's: once more, with another port.
                Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
                // A machine without IPv6.
                Err(_) => {}
            }
            for usual in ["0.0.0.0:80", "[::1]:80"] {
                all.extend(Canary::at(usual).await.ok());
            }
            return Self { port, all };
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn visitors(&self) -> usize {
        self.all.iter().map(Canary::visitors).sum()
    }
}
