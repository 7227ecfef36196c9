//! Connections on their way to the other end.

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getpeername, socket_with};

use crate::relay::pump::Way;
use crate::relay::{AGAIN, ANSWER, SELDOM};
use crate::sys;
use crate::util::stack_str::Line;

/// Where the bytes of a listening socket's connections go.
#[derive(Debug)]
pub(crate) enum Target {
    /// The first of these that takes a connection.
    Tcp(Vec<SocketAddr>),
    /// The socket of this name, in a directory that nobody can put another in the place
    /// of.
    Unix(OwnedFd, CString),
}

pub(crate) struct Connection {
    /// Who connected, and who is connected to.
    pub(crate) ends: [OwnedFd; 2],
    /// What each of them says.
    pub(crate) ways: [Way; 2],
    /// One end was reset, and the other is to see that.
    pub(crate) broken: bool,
    /// One of them has said something urgent.
    pub(crate) urgent: bool,
    /// While the second end is not connected.
    pub(crate) trying: Option<Trying>,
}

/// How far the search for someone who takes the connection has come.
#[derive(Clone, Copy)]
pub(crate) struct Trying {
    pub(crate) target: usize,
    /// The address to try after this one.
    pub(crate) next: usize,
    /// When to go on to that, by `sys::now`.
    pub(crate) until: Option<u64>,
    /// How long that was.
    pub(crate) pause: u64,
}

/// What there is to know of a connection that is being made.
pub(crate) enum Progress {
    Connected,
    Pending,
    /// Not there.
    Failed,
    /// Who wanted it is gone.
    Unwanted,
}

impl Connection {
    pub(crate) fn progress(&self) -> Progress {
        if !matches!(socket_error(&self.ends[0]), Ok(Ok(()))) {
            return Progress::Unwanted;
        }
        match socket_error(&self.ends[1]) {
            Ok(Ok(())) if getpeername(&self.ends[1]).is_ok() => Progress::Connected,
            Ok(Ok(())) => Progress::Pending,
            Ok(Err(_)) | Err(_) => Progress::Failed,
        }
    }
}

impl Target {
    /// Begins to connect, from address number `from` on and after a `pause`: the socket,
    /// and how to go on.
    pub(crate) fn connect(&self, target: usize, from: usize, pause: u64) -> Option<(OwnedFd, Trying)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self {
            Self::Tcp(addresses) => addresses.iter().enumerate().skip(from).find_map(|(index, address)| {
                let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let socket = socket_with(family, SocketType::STREAM, flags, None).ok()?;
                match connect(&socket, address) {
                    Ok(()) | Err(Errno::INPROGRESS) => {
                        let other = index + 1 < addresses.len();
                        let until = if other { Some(sys::now() + ANSWER) } else { None };
                        Some((socket, Trying { target, next: index + 1, until, pause }))
                    }
                    Err(_) => None,
                }
            }),
            Self::Unix(dir, name) => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
                // Not through a link, which someone inside may have put there.
                let file = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
                let stat = statat(&file, c"", AtFlags::EMPTY_PATH).ok()?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
                    return None;
                }
                let mut path = Line::<32>::new();
                path.print(format_args!("/proc/self/fd/{}\0", file.as_raw_fd())).ok()?;
                let path = SocketAddrUnix::new(path.c_str().ok()?).ok()?;
                match connect(&socket, &path) {
                    Ok(()) => Some((socket, Trying { target, next: 0, until: None, pause })),
                    Err(Errno::AGAIN) => {
                        let pause = (2 * pause).clamp(AGAIN, SELDOM);
                        Some((socket, Trying { target, next: 0, until: Some(sys::now() + pause), pause }))
                    }
                    Err(_) => None,
                }
            }
        }
    }
}
