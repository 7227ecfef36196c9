//! How a launch ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;

use crate::child::protocol::Report;
use crate::supervisor::cgroup::Counted;
use crate::supervisor::idmap_helper::Unmapped;
use crate::supervisor::overlay_dir::{Entry, Unfit};
use crate::supervisor::pasta::Pasta;
use crate::util::exit_status::{FAILED, TIMED_OUT};

/// Where a launch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Before anything was made.
    Prepare(Errno),
    /// Step `index` of the plan's `outside` list.
    Outside(usize, Errno),
    /// The same, because of an entry of the directory that changes are kept in.
    Changes(usize, Entry, Unfit),
    /// Making process 1 and its namespaces.
    Namespaces(Errno),
    /// The command's process was killed before it was the command; `true`: because
    /// memory was at its limit.
    KilledBefore(bool),
    /// Process 1 ended without a word, by this signal if by one.
    Killed(Option<i32>),
    /// Connecting the network.
    Pasta(Pasta),
    /// Relaying what is published.
    Publish(Errno),
    /// Mapping subordinate ids.
    Subids(Unmapped),
    /// Something inside.
    Inside(Report),
    /// Relaying between the jail's terminal and the caller's streams. All is dead.
    Relay(Errno),
    /// Waiting for the end. All is dead.
    Supervise(Errno),
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its wait(2) status.
    pub status: ExitStatus,
    /// Was its time up?
    pub timed_out: bool,
    /// What its cgroup counted, where it had one.
    pub counted: Option<Counted>,
}

impl Ended {
    /// The exit status that says so: the command's own, 128+N, or 124.
    pub fn exit_status(&self) -> u8 {
        let code = match (self.status.code(), self.status.signal()) {
            _ if self.timed_out => TIMED_OUT.into(),
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => FAILED.into(),
        };
        u8::try_from(code).unwrap_or(FAILED)
    }
}
