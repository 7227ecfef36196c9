//! The addresses of a name.

use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::process::helper::{self, Refused, Unusable};
use crate::process::spawn::Program;
use crate::util::fs::read_all;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no getent(1).
    NoResolver,
    /// There is one, and the launcher does not run it.
    Refused(Refused),
    /// getent(1) cannot be started.
    Start(Errno),
    /// Nobody knows the name.
    Unknown,
}

/// Asks getent(1), which asks as this machine is set up: its hosts file, DNS, mDNS, a
/// directory. A static program's own resolver knows two of these.
///
/// # Errors
/// Where it knows nothing, or there is none to be asked.
pub fn resolve(name: &str) -> Result<Vec<IpAddr>, Unresolved> {
    let words = ["getent", "ahosts", name].iter().filter_map(|word| CString::new(*word).ok()).collect();
    let getent = helper::find("getent").map_err(|unusable| match unusable {
        Unusable::Missing => Unresolved::NoResolver,
        Unusable::Refused(refused) => Unresolved::Refused(refused),
    })?;
    let (says, stdout) = pipe_with(PipeFlags::CLOEXEC).map_err(Unresolved::Start)?;
    let mut getent = Program::start(&getent, words, stdout.as_fd()).map_err(Unresolved::Start)?;
    drop(stdout);
    let said = read_all(says.as_fd()).unwrap_or_default();
    getent.wait();
    let said = String::from_utf8(said).unwrap_or_default();
    // An address is on several lines, one for each kind of socket.
    let mut addresses: Vec<IpAddr> = Vec::new();
    for line in said.lines() {
        if let Some(Ok(address)) = line.split_ascii_whitespace().next().map(str::parse) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    if addresses.is_empty() { Err(Unresolved::Unknown) } else { Ok(addresses) }
}
