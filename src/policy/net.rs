//! What a user can ask for: the network.

use std::net::SocketAddr;

/// The network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// The jail's own, with nothing but a loopback.
    None,
    /// The host's.
    Host,
    /// The jail's own, connected by pasta(1).
    Pasta,
}

/// An address outside that reaches a port of the jail's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// For datagrams, and not connections: then pasta(1) passes them on.
    pub udp: bool,
    /// The address; port 0: a free one.
    pub at: SocketAddr,
    /// The port inside.
    pub to: u16,
}
