//! Addresses that a name must not lead to: the owner of a name could make it lead to what
//! only this machine, its link or its cloud's metadata service trusts the caller with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a name must not lead to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    /// It is the loopback.
    Loopback,
    /// It belongs to an interface of this machine.
    Own,
    /// It is link-local or site-local: it has a meaning on this machine's link alone.
    Link,
    /// It names no single machine: unspecified, multicast or broadcast.
    NoMachine,
    /// A cloud's metadata service is there.
    Metadata,
    /// It holds an IPv4 address, to which a translator or tunnel leads, in this way.
    Holds(&'static str, Option<Ipv4Addr>),
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("this machine's loopback"),
            Self::Own => f.write_str("an address of this machine"),
            Self::Link => f.write_str("an address of this machine's link alone"),
            Self::NoMachine => f.write_str("not the address of a single machine"),
            Self::Metadata => f.write_str("the address of a cloud's metadata service"),
            Self::Holds(how, None) => write!(f, "an IPv6 address that holds an IPv4 address ({how})"),
            Self::Holds(how, Some(v4)) => write!(f, "an IPv6 address that holds the IPv4 address {v4} ({how})"),
        }
    }
}

/// Finds why a name must not lead to `address`, as far as the address itself says so.
pub fn near(address: IpAddr) -> Option<Near> {
    match address {
        IpAddr::V4(v4) => near_v4(v4),
        IpAddr::V6(v6) => near_v6(v6),
    }
}

/// Metadata services outside 169.254.0.0/16, which is link-local: those of Alibaba Cloud,
/// Oracle Cloud and Azure.
const METADATA: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];

/// First 16-bit groups of the same for IPv6, outside fe80::/10: those of AWS (all that is
/// of the instance itself lies below it), Google Cloud, Oracle Cloud and Scaleway.
const METADATA6: [&[u16]; 4] = [
    &[0xfd00, 0xec2],
    &[0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254],
    &[0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe],
    &[0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42],
];

fn near_v4(v4: Ipv4Addr) -> Option<Near> {
    let this_network = v4.octets()[0] == 0;
    let all = [
        (v4.is_loopback(), Near::Loopback),
        (v4.is_link_local(), Near::Link),
        (v4.is_multicast() || v4.is_broadcast() || this_network, Near::NoMachine),
        (METADATA.contains(&v4), Near::Metadata),
    ];
    all.into_iter().find(|(is, _)| *is).map(|(_, near)| near)
}

fn near_v6(v6: Ipv6Addr) -> Option<Near> {
    let all = [
        (v6.is_loopback(), Near::Loopback),
        (v6.is_unspecified() || v6.is_multicast(), Near::NoMachine),
        // fec0::/10: private use before RFC 4193, to which some networks still route.
        (v6.is_unicast_link_local() || v6.segments()[0] & 0xffc0 == 0xfec0, Near::Link),
        (METADATA6.iter().any(|service| v6.segments().starts_with(service)), Near::Metadata),
    ];
    all.into_iter().find(|(is, _)| *is).map(|(_, near)| near).or_else(|| holds(v6))
}

/// The IPv4 address in `v6`, if its form is that of one that holds one.
fn holds(v6: Ipv6Addr) -> Option<Near> {
    let (groups, octets) = (v6.segments(), v6.octets());
    let v4 = |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    match groups {
        [0, 0, 0, 0, 0, 0, ..] => Some(Near::Holds("IPv4-compatible", Some(v4(12)))),
        [0, 0, 0, 0, 0, 0xffff, ..] => Some(Near::Holds("IPv4-mapped", Some(v4(12)))),
        [0, 0, 0, 0, 0xffff, 0, ..] => Some(Near::Holds("IPv4-translated", Some(v4(12)))),
        // On a network without IPv4 DNS64 gives such an address to each name that has an
        // IPv4 address alone. It reaches nothing that the IPv4 address would not.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] if is_public(v4(12)) => None,
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(Near::Holds("NAT64", Some(v4(12)))),
        // Where in it the IPv4 address lies, each network chooses (RFC 8215).
        [0x64, 0xff9b, 1, ..] => Some(Near::Holds("NAT64", None)),
        [0x2002, ..] => Some(Near::Holds("6to4", Some(v4(2)))),
        // Inverted, that of the client behind the tunnel (RFC 4380).
        [0x2001, 0, ..] => Some(Near::Holds("Teredo", Some(Ipv4Addr::from(!u32::from(v4(12)))))),
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Some(Near::Holds("ISATAP", Some(v4(12)))),
        _ => None,
    }
}

/// True if `v4` is routed on the internet: in no block of the IANA's special-purpose
/// registry that is not globally reachable.
fn is_public(v4: Ipv4Addr) -> bool {
    let within = |block: [u8; 4], bits: u32| (u32::from(v4) ^ u32::from(Ipv4Addr::from(block))) >> (32 - bits) == 0;
    let special = v4.is_private()
        || v4.is_documentation()
        || within([100, 64, 0, 0], 10)
        || within([192, 0, 0, 0], 24)
        || within([198, 18, 0, 0], 15)
        || within([240, 0, 0, 0], 4);
    near_v4(v4).is_none() && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_addresses_are_told_from_those_of_others() {
        let holds = |how, v4: [u8; 4]| Some(Near::Holds(how, Some(v4.into())));
        let metadata = [169, 254, 169, 254];
        for (address, expected) in [
            ("127.0.0.1", Some(Near::Loopback)),
            ("127.9.9.9", Some(Near::Loopback)),
            ("::1", Some(Near::Loopback)),
            ("0.0.0.0", Some(Near::NoMachine)),
            ("0.1.2.3", Some(Near::NoMachine)),
            ("255.255.255.255", Some(Near::NoMachine)),
            ("224.0.0.1", Some(Near::NoMachine)),
            ("239.1.2.3", Some(Near::NoMachine)),
            ("::", Some(Near::NoMachine)),
            ("ff02::1", Some(Near::NoMachine)),
            ("ff0e::1", Some(Near::NoMachine)),
            ("169.254.169.254", Some(Near::Link)),
            ("169.254.170.2", Some(Near::Link)),
            ("fe80::a9fe:a9fe", Some(Near::Link)),
            ("febf::1", Some(Near::Link)),
            ("fec0::1", Some(Near::Link)),
            ("feff::1", Some(Near::Link)),
            ("100.100.100.200", Some(Near::Metadata)),
            ("192.0.0.192", Some(Near::Metadata)),
            ("168.63.129.16", Some(Near::Metadata)),
            ("fd00:ec2::254", Some(Near::Metadata)),
            ("fd00:ec2::23", Some(Near::Metadata)),
            ("fd20:ce::254", Some(Near::Metadata)),
            ("fd00:c1::a9fe:a9fe", Some(Near::Metadata)),
            ("fd00:42::42", Some(Near::Metadata)),
            ("::127.0.0.1", holds("IPv4-compatible", [127, 0, 0, 1])),
            ("::8.8.8.8", holds("IPv4-compatible", [8, 8, 8, 8])),
            ("::ffff:169.254.169.254", holds("IPv4-mapped", metadata)),
            ("::ffff:8.8.8.8", holds("IPv4-mapped", [8, 8, 8, 8])),
            ("::ffff:0:169.254.169.254", holds("IPv4-translated", metadata)),
            ("64:ff9b::a9fe:a9fe", holds("NAT64", metadata)),
            ("64:ff9b::127.0.0.1", holds("NAT64", [127, 0, 0, 1])),
            ("64:ff9b::10.0.0.1", holds("NAT64", [10, 0, 0, 1])),
            ("64:ff9b::192.168.1.1", holds("NAT64", [192, 168, 1, 1])),
            ("64:ff9b::172.31.0.1", holds("NAT64", [172, 31, 0, 1])),
            ("64:ff9b::100.64.0.1", holds("NAT64", [100, 64, 0, 1])),
            ("64:ff9b::168.63.129.16", holds("NAT64", [168, 63, 129, 16])),
            ("64:ff9b::240.0.0.1", holds("NAT64", [240, 0, 0, 1])),
            ("64:ff9b:1::a9fe:a9fe", Some(Near::Holds("NAT64", None))),
            ("64:ff9b:1:fffe::1", Some(Near::Holds("NAT64", None))),
            ("2002:7f00:1::", holds("6to4", [127, 0, 0, 1])),
            ("2002:a9fe:a9fe::1", holds("6to4", metadata)),
            ("2001:0:4136:e378:8000:63bf:5601:5601", holds("Teredo", metadata)),
            ("2001:db8::5efe:169.254.169.254", holds("ISATAP", metadata)),
            ("fd01::200:5efe:10.0.0.1", holds("ISATAP", [10, 0, 0, 1])),
            // Others, among them those of a private network.
            ("8.8.8.8", None),
            ("10.0.0.1", None),
            ("192.168.1.1", None),
            ("172.16.0.1", None),
            ("100.64.0.1", None),
            ("100.100.100.201", None),
            ("192.0.2.1", None),
            ("168.63.129.17", None),
            ("2001:db8::1", None),
            ("2001:4860:4860::8888", None),
            ("2606:4700::6810:84e5", None),
            ("fd00::1", None),
            ("fd12:3456:789a::1", None),
            ("64:ff9b::140.82.121.3", None),
            ("64:ff9c::a9fe:a9fe", None),
        ] {
            assert_eq!(near(address.parse().unwrap()), expected, "{address}");
        }
    }
}
