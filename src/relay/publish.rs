//! `--publish`: what listens outside for a port of the jail's loopback. The launcher
//! listens before the command starts; who takes the connections enters the jail's user
//! and network namespaces and no other.

use std::ffi::CStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::policy::net::Hole;
use crate::relay::connect::Target;
use crate::relay::process::Running;
use crate::relay::{Gate, Holes, Jail};
use crate::sys::Arguments;

/// What it is called in ps(1).
const NAME: &CStr = c"publisher";

/// Connections that wait to be taken, for each address.
pub(crate) const BACKLOG: i32 = 4096;

/// A socket that listens outside.
pub(crate) struct Listening {
    pub(crate) socket: OwnedFd,
    /// Where, with the port that the kernel chose for 0, and for which port inside.
    pub(crate) hole: Hole,
}

impl Listening {
    /// Listens in the caller's network.
    pub(crate) fn new(hole: Hole) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = if hole.at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        if hole.at.is_ipv6() {
            // Of IPv4 nothing was said.
            set_ipv6_v6only(&socket, true)?;
        }
        // Connections of an earlier run that are ending are no reason to wait.
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &hole.at)?;
        listen(&socket, BACKLOG)?;
        let at = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { socket, hole: Hole { at, ..hole } })
    }
}

/// Starts the relay for the network of process 1, which must wait for it.
pub(crate) fn start(arguments: &Arguments, process_one: Pid, own_ids: bool, sockets: Vec<Listening>) -> Result<Running, Errno> {
    let jail = pidfd_open(process_one, PidfdFlags::empty())?;
    let targets: Vec<Target> =
        sockets.iter().map(|listening| Target::Tcp(vec![(Ipv4Addr::LOCALHOST, listening.hole.to).into()])).collect();
    let gates = sockets.into_iter().enumerate().map(|(to, listening)| Gate { socket: listening.socket, to }).collect();
    let holes = Holes { gates, more: None, targets: &targets, jail: Jail::Listens };
    // The right to enter a network comes with the user namespace that it belongs to.
    let ids = if own_ids { ThreadNameSpaceType::USER } else { ThreadNameSpaceType::empty() };
    let enter = |jail: OwnedFd| move_into_thread_name_spaces(jail.as_fd(), ids | ThreadNameSpaceType::NETWORK);
    Running::start(arguments, NAME, holes, Some((jail, enter)))
}
