//! `--net pasta`: a network of the jail's own, connected by pasta(1), which
//! translates between it and ordinary sockets of the caller's.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::policy::net::Hole;
use crate::process::spawn::Program;

/// Why the network could not be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pasta {
    /// It cannot be started.
    Start(Errno),
    /// It ended before the network stood; it has said why.
    Ended,
    /// This signal came before the network stood.
    Interrupted(i32),
}

/// pasta while the jail runs; it ends with this.
pub(crate) struct Running {
    process: Program,
    /// Where it writes once the network stands; None from then on.
    says: Option<OwnedFd>,
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }
}

/// Nothing of the host's passes in unasked: by default pasta forwards the ports
/// that are bound outside, and maps the gateway's address to the host's loopback.
const WORDS: [&CStr; 13] = [
    c"pasta",
    c"--quiet",
    c"--foreground",
    c"--config-net",
    c"--no-map-gw",
    c"-t",
    c"none",
    c"-T",
    c"none",
    c"-U",
    c"none",
    c"--pid",
    c"/dev/stdout",
];

/// Has the pasta at `path` connect the network namespace of `pid`; `root`: as root, which
/// it would give up otherwise, and with it the right to enter. It passes on what comes to
/// the ports of `udp`.
pub(crate) fn start(path: &CStr, pid: Pid, root: bool, udp: &[Hole]) -> Result<Running, Pasta> {
    let mut words = WORDS.map(CStr::to_owned).to_vec();
    if udp.is_empty() {
        words.extend([c"-u", c"none"].map(CStr::to_owned));
    }
    for Hole { at, to, .. } in udp {
        // pasta wants no brackets around an address.
        words.push(c"-u".to_owned());
        words.extend(CString::new(format!("{}/{}:{to}", at.ip(), at.port())));
    }
    if root {
        words.extend([c"--runas", c"0:0"].map(CStr::to_owned));
    }
    words.extend(CString::new(pid.to_string()));
    let (says, stdout) = pipe_with(PipeFlags::CLOEXEC).map_err(Pasta::Start)?;
    // It keeps the network namespace alive, and so would not notice the launcher's death.
    let process = Program::start(path, words, stdout.as_fd()).map_err(Pasta::Start)?;
    Ok(Running { process, says: Some(says) })
}

impl Running {
    /// What can be read once `connected` has an answer.
    pub(crate) fn says(&self) -> Option<BorrowedFd<'_>> {
        self.says.as_ref().map(AsFd::as_fd)
    }

    /// Takes its word that the network stands: it then writes its number.
    pub(crate) fn connected(&mut self) -> Result<(), Pasta> {
        match self.says.take().map(|says| read(&says, &mut [0; 32])) {
            Some(Ok(1..)) => Ok(()),
            Some(Ok(_) | Err(_)) | None => Err(Pasta::Ended),
        }
    }
}
