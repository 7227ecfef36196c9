//! The addresses of a name.

use std::ffi::{CString, OsStr};
use std::net::IpAddr;
use std::os::fd::AsFd;

use rustix::pipe::{PipeFlags, pipe_with};

use crate::host::read_all;
use crate::plan::candidates;
use crate::program::Program;
use crate::sys;

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no getent(1).
    NoResolver,
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
    let paths = candidates(OsStr::new("getent"), &sys::environment()).unwrap_or_default();
    let (says, stdout) = pipe_with(PipeFlags::CLOEXEC).map_err(|_| Unresolved::NoResolver)?;
    let mut getent = Program::start(&paths, words, stdout.as_fd()).map_err(|_| Unresolved::NoResolver)?;
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
