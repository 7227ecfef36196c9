//! `--reach`, while the jail runs: process 1 makes sockets that listen inside and hands
//! them out; a process beside the launcher takes their connections and passes them on
//! from the caller's network, in which it stays.

use std::ffi::CStr;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat2, statat};
use rustix::io::{Errno, read};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, socketpair};
use rustix::process::Pid;

use crate::plan::op::Outward;
use crate::process::fd_channel;
use crate::relay::connect::Target;
use crate::relay::process::Running;
use crate::relay::publish::BACKLOG;
use crate::relay::{Holes, Jail};
use crate::sys::Arguments;
use crate::sys::fd::RESOLVE;

/// What it is called in ps(1).
const NAME: &CStr = c"reacher";

/// The process and what leads to it, as the launcher has it.
pub(crate) struct Reacher {
    /// Where process 1 hands out what listens. Closed before the process is waited for,
    /// which waits for the end of it.
    doors: Option<OwnedFd>,
    running: Running,
}

impl Reacher {
    /// Starts one that passes on to these.
    pub(crate) fn start(arguments: &Arguments, targets: &[Target]) -> Result<Self, Errno> {
        let (more, doors) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let holes = Holes { gates: Vec::new(), more: Some(more), targets, jail: Jail::Connects };
        let running = Running::start(arguments, NAME, holes, None::<(OwnedFd, fn(OwnedFd) -> Result<(), Errno>)>)?;
        Ok(Self { doors: Some(doors), running })
    }

    /// The launcher has nothing to hand out.
    pub(crate) fn close_doors(&mut self) {
        self.doors = None;
    }

    /// The process, and the descriptor by which it knows that the launcher lives.
    pub(crate) fn pid(&self) -> Pid {
        self.running.pid()
    }

    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.running.descriptor()
    }

    /// Process 1 hands out what listens inside for target number `hole`, and waits until
    /// it is taken in: a hole that is not there would be found out by the command.
    fn hand_out(&self, socket: &OwnedFd, hole: u32) -> Result<(), Errno> {
        let doors = self.doors.as_ref().ok_or(Errno::BADF)?;
        fd_channel::send(doors.as_fd(), &hole.to_ne_bytes(), socket.as_fd())?;
        let mut errno = [0; 4];
        loop {
            return match read(doors, &mut errno) {
                Ok(4) if errno == [0; 4] => Ok(()),
                Ok(4) => Err(Errno::from_raw_os_error(i32::from_ne_bytes(errno))),
                Ok(_) => Err(Errno::PIPE),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(errno),
            };
        }
    }

    /// Process 1 listens on its own network for connections to target number `hole`.
    pub(crate) fn listen(&self, at: &SocketAddr, hole: u32) -> Result<(), Errno> {
        let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        if at.is_ipv6() {
            set_ipv6_v6only(&socket, true)?;
        }
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, at)?;
        listen(&socket, BACKLOG)?;
        self.hand_out(&socket, hole)
    }

    /// The same with a Unix socket, which is made at `path`.
    pub(crate) fn listen_at(&self, path: &CStr, hole: u32) -> Result<(), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, BACKLOG)?;
        self.hand_out(&socket, hole)
    }
}

/// Holds what a hole leads to: of a Unix socket its directory, so that nobody puts
/// another in its place. A server that starts anew makes its socket anew there.
pub(crate) fn hold(to: &Outward) -> Result<Target, Errno> {
    let (dir, name) = match to {
        Outward::Tcp(addresses) => return Ok(Target::Tcp(addresses.clone())),
        Outward::Unix { dir, name } => (dir, name),
    };
    // Plans hold paths without links: one that has come to be there since is an error.
    let dir = openat2(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), RESOLVE)?;
    let there = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(there.st_mode) != FileType::Socket {
        return Err(Errno::NOTSOCK);
    }
    Ok(Target::Unix(dir, name.clone()))
}
