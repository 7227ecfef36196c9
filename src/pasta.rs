//! `--net pasta`: a network of the jail's own, connected by pasta(1), which
//! translates between it and ordinary sockets of the caller's.

use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::process::Pid;

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
}

/// pasta while the jail runs; it ends with this.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nothing of the host's passes in unasked: by default pasta forwards the ports
/// that are bound outside, and maps the gateway's address to the host's loopback.
const ARGUMENTS: [&str; 14] = [
    "--quiet",
    "--foreground",
    "--config-net",
    "--no-map-gw",
    "-t",
    "none",
    "-u",
    "none",
    "-T",
    "none",
    "-U",
    "none",
    "--pid",
    "/dev/stdout",
];

/// Connects the network namespace of `pid`, and returns once it stands.
pub(crate) fn connect(pid: Pid) -> Result<Running, Pasta> {
    let mut command = Command::new("pasta");
    command.args(ARGUMENTS).arg(pid.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    // What is typed at the terminal is for the jail's command.
    command.process_group(0);
    // It keeps the network namespace alive, and so would not notice.
    sys::end_with_us(&mut command);
    let mut running = match command.spawn() {
        Ok(child) => Running(child),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Pasta::Missing),
        Err(error) => return Err(Pasta::Start(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
    };
    // It writes its number once the network stands.
    match running.0.stdout.take().map(|mut out| out.read(&mut [0; 32])) {
        Some(Ok(read)) if read > 0 => Ok(running),
        Some(Ok(_) | Err(_)) | None => Err(Pasta::Ended),
    }
}
