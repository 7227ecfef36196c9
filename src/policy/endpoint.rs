//! `--reach`: the endpoints that are named, as typed. Who they are at the moment, and
//! where they appear inside, `reach` finds.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::error::Words;
use crate::util::escape::{about, shown};
use crate::util::units;

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// By its name, in small letters; the resolver is asked.
    Name(String),
    /// By its address.
    Address(IpAddr),
}

impl Machine {
    /// Is it this machine, by the name that means it everywhere (RFC 6761)?
    pub fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost")
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// A TCP port of a machine.
    Tcp(Machine, u16),
    /// A Unix socket, at this path, as typed.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(machine, port) => write!(f, "{machine}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", shown(path)),
        }
    }
}

/// A hole from inside to outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reach {
    /// What it is called inside.
    pub at: Endpoint,
    /// What it leads to.
    pub to: Endpoint,
}

const UNIX: &[u8] = b"unix:";
const FORMS: &str = "write HOST:PORT, HOST:PORT=HOST:PORT, unix:PATH or unix:PATH=unix:PATH, e.g. example.org:443";

/// Reads `HOST:PORT`, `unix:PATH`, and each with `=` and another of its kind.
///
/// # Errors
/// The problem and its remedy.
pub fn reach(typed: &OsStr) -> Result<Reach, (Words, Words)> {
    let bytes = typed.as_bytes();
    // A path may hold an equals sign.
    let separator: &[u8] = if bytes.starts_with(UNIX) { b"=unix:" } else { b"=" };
    let cut = bytes.windows(separator.len()).position(|part| part == separator);
    let at = endpoint(cut.map_or(bytes, |cut| &bytes[..cut]))?;
    let to = cut.map(|cut| endpoint(&bytes[cut + 1..])).transpose()?;
    match (&at, &to) {
        (Endpoint::Tcp(..), Some(Endpoint::Unix(_))) => {
            Err(("a TCP port leads to a TCP port, and a Unix socket to one".into(), FORMS.into()))
        }
        _ => Ok(Reach { to: to.unwrap_or_else(|| at.clone()), at }),
    }
}

fn endpoint(typed: &[u8]) -> Result<Endpoint, (Words, Words)> {
    let word = OsStr::from_bytes(typed);
    if let Some(path) = typed.strip_prefix(UNIX) {
        if path.is_empty() || path.ends_with(b"/") {
            return Err((about("", word, " names no socket").into(), FORMS.into()));
        }
        return Ok(Endpoint::Unix(OsString::from_vec(path.to_vec()).into()));
    }
    let text = word.to_str().unwrap_or("");
    if text.ends_with("/udp") {
        return Err(("only TCP is relayed, and no UDP".into(), "use --net pasta for a jail that needs UDP".into()));
    }
    let text = text.strip_suffix("/tcp").unwrap_or(text);
    let colon = text.bytes().rposition(|b| b == b':');
    let parts = colon.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)));
    let port = parts.and_then(|(_, port)| units::whole(port)).and_then(|port| u16::try_from(port).ok());
    let (Some((host, _)), Some(port @ 1..)) = (parts, port) else {
        return Err((about("", word, " is not HOST:PORT").into(), FORMS.into()));
    };
    Ok(Endpoint::Tcp(machine(host)?, port))
}

fn machine(host: &str) -> Result<Machine, (Words, Words)> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return Err((about("", address, " is no IPv6 address").into(), "write it in full, e.g. [2001:db8::1]:443".into()));
        };
        if !is_one_machine(address.into()) {
            return Err(no_machine(host));
        }
        return Ok(Machine::Address(address.to_canonical()));
    }
    // What inet_aton(3) takes for an address (127.1, 0x7f000001, 2130706433) is no
    // name that a hosts file could give another.
    let last = host.as_bytes().rsplit(|b| *b == b'.').next().unwrap_or_default();
    if last.first().is_some_and(u8::is_ascii_digit) {
        return match host.parse::<Ipv4Addr>() {
            Ok(address) if !is_one_machine(address.into()) => Err(no_machine(host)),
            Ok(address) => Ok(Machine::Address(address.into())),
            Err(_) => Err((about("", host, " is neither a name nor an IPv4 address").into(), "write all four numbers".into())),
        };
    }
    if host.contains(':') {
        return Err((about("", host, " is ambiguous").into(), "write an IPv6 address in brackets, e.g. [::1]:443".into()));
    }
    if host.contains('*') {
        return Err(("a pattern names no host".into(), "name each host with a flag of its own".into()));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let labels = || host.split('.').all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-'));
    if host.len() > 253 || !host.bytes().all(plain) || !labels() {
        let remedy = "write letters, digits, - and dots, a name of other letters as xn--...; see also the forms in jail(1)";
        return Err((about("", host, " is not a host's name").into(), remedy.into()));
    }
    Ok(Machine::Name(host.to_ascii_lowercase()))
}

/// True if `address` alone says which machine is meant, so that it can be typed.
pub fn is_one_machine(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        // Of a link an address says nothing without the link's name.
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()),
    }
}

fn no_machine(host: &str) -> (Words, Words) {
    (format!("{host} is not the address of one machine").into(), "name a host by its name or address".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &str) -> String {
        match reach(OsStr::new(typed)) {
            Ok(Reach { at, to }) if at == to => at.to_string(),
            Ok(Reach { at, to }) => format!("{at} -> {to}"),
            Err((problem, _)) => problem.into_owned(),
        }
    }

    #[test]
    fn endpoints_are_read_as_they_are_meant() {
        for (typed, meant) in [
            ("Example.ORG:443", "example.org:443"),
            ("db:5432/tcp", "db:5432"),
            ("a_b.c-d:1=10.0.0.1:65535", "a_b.c-d:1 -> 10.0.0.1:65535"),
            ("[::1]:80", "[::1]:80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("unix:/run/x=y.sock", "unix:/run/x=y.sock"),
            ("unix:a=unix:b", "unix:a -> unix:b"),
            ("localhost:80=[2001:db8::1]:80", "localhost:80 -> [2001:db8::1]:80"),
        ] {
            assert_eq!(read(typed), meant, "{typed}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for (typed, problem) in [
            ("example.org", "example.org is not HOST:PORT"),
            ("example.org:0", "example.org:0 is not HOST:PORT"),
            ("example.org:65536", "is not HOST:PORT"),
            ("example.org:https", "is not HOST:PORT"),
            (":80", "'' is not a host's name"),
            ("a..b:80", "is not a host's name"),
            ("-a:80", "is not a host's name"),
            ("a b:80", "is not a host's name"),
            ("a\nb:80", "is not a host's name"),
            ("bücher.example:80", "is not a host's name"),
            ("*.example.org:80", "a pattern names no host"),
            ("::1:80", "::1 is ambiguous"),
            ("[fe80::1]:80", "is not the address of one machine"),
            ("[::1%lo]:80", "is no IPv6 address"),
            ("127.1:80", "127.1 is neither a name nor an IPv4 address"),
            ("2130706433:80", "is neither a name nor an IPv4 address"),
            ("0x7f000001:80", "is neither a name nor an IPv4 address"),
            ("0.0.0.0:80", "is not the address of one machine"),
            ("dns:53/udp", "only TCP is relayed"),
            ("unix:", "unix: names no socket"),
            ("unix:/run/", "names no socket"),
            ("a:80=unix:/x", "a TCP port leads to a TCP port"),
            ("unix:/x=a:80", "unix:/x=a:80"),
            ("a:80=", "'' is not HOST:PORT"),
        ] {
            assert!(read(typed).contains(problem), "{typed}: {}", read(typed));
        }
        assert!(reach(OsStr::from_bytes(b"a\xff:80")).is_err());
        assert_eq!(read("unix:/\u{e9}"), "unix:/\u{e9}");
    }
}
