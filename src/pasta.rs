//! `--net pasta`: a network of the jail's own, connected by pasta(1), which
//! translates between it and ordinary sockets of the caller's.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::policy::Hole;
use crate::sys;

/// Why the network could not be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pasta {
    /// It is not installed.
    Missing,
    /// It cannot be started.
    Start(Errno),
    /// It ended before the network stood; it has said why.
    Ended,
    /// This signal came before the network stood.
    Interrupted(i32),
}

/// pasta while the jail runs; it ends with this.
pub(crate) struct Running {
    process: Child,
    /// Where it writes once the network stands; None from then on.
    says: Option<ChildStdout>,
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nothing of the host's passes in unasked: by default pasta forwards the ports
/// that are bound outside, and maps the gateway's address to the host's loopback.
const ARGUMENTS: [&str; 12] =
    ["--quiet", "--foreground", "--config-net", "--no-map-gw", "-t", "none", "-T", "none", "-U", "none", "--pid", "/dev/stdout"];

/// Has pasta connect the network namespace of `pid`; `root`: as root, which it
/// would give up otherwise, and with it the right to enter. It passes on what comes to
/// the ports of `udp`.
pub(crate) fn start(pid: Pid, root: bool, udp: &[Hole]) -> Result<Running, Pasta> {
    let mut command = Command::new("pasta");
    command.args(ARGUMENTS);
    if udp.is_empty() {
        command.args(["-u", "none"]);
    }
    for Hole { at, to, .. } in udp {
        // pasta wants no brackets around an address.
        command.arg("-u").arg(format!("{}/{}:{to}", at.ip(), at.port()));
    }
    command.args(if root { &["--runas", "0:0"][..] } else { &[] });
    command.arg(pid.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    // What is typed at the terminal is for the jail's command.
    command.process_group(0);
    // It keeps the network namespace alive, and so would not notice.
    sys::end_with_us(&mut command);
    match command.spawn() {
        Ok(mut process) => Ok(Running { says: process.stdout.take(), process }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Pasta::Missing),
        Err(error) => Err(Pasta::Start(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
    }
}

impl Running {
    /// What can be read once `connected` has an answer.
    pub(crate) fn says(&self) -> Option<BorrowedFd<'_>> {
        self.says.as_ref().map(AsFd::as_fd)
    }

    /// Takes its word that the network stands: it then writes its number.
    pub(crate) fn connected(&mut self) -> Result<(), Pasta> {
        match self.says.take().map(|mut says| says.read(&mut [0; 32])) {
            Some(Ok(read)) if read > 0 => Ok(()),
            Some(Ok(_) | Err(_)) | None => Err(Pasta::Ended),
        }
    }
}
