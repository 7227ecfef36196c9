//! A process beside the launcher that takes connections and passes their bytes on:
//! from outside to a port of the jail for `--publish`, from inside to what `--reach`
//! names. Bytes are spliced, and nothing but bytes passes: no descriptor, no
//! credentials. Made only for a run that has such a hole.

pub(crate) mod connect;
pub(crate) mod event_loop;
pub(crate) mod process;
pub(crate) mod publish;
pub(crate) mod pump;
pub(crate) mod reach;

use std::os::fd::{AsRawFd, OwnedFd};

use crate::relay::connect::Target;

/// Connections at once, where descriptors suffice; the others wait.
pub(crate) const MOST: usize = 4096;

/// What a connection takes: two sockets, and a pipe each way while bytes wait.
pub(crate) const DESCRIPTORS: u64 = 6;

/// Descriptors for all else.
pub(crate) const OTHERS: u64 = 32;

/// Bytes moved at once; no more of one direction are held.
pub(crate) const CHUNK: usize = 65536;

/// Chunks that one connection moves before others have their turn.
pub(crate) const TURN: usize = 16;

/// Empty pipes kept for who needs one next.
pub(crate) const SPARE: usize = 16;

/// After the jail's end, what readers have to take in all that it has said, and those of
/// --publish, who may be anyone, to go on reading in.
pub(crate) const PATIENCE: u64 = 2_000_000_000;

pub(crate) const SILENCE: u64 = 200_000_000;

/// What an address has to answer in, where there is another to try: two packets are
/// repeated by then.
pub(crate) const ANSWER: u64 = 4_000_000_000;

/// When one is asked again who has too many that wait, and does not say when not; twice
/// as long after each time, until it is this long.
pub(crate) const AGAIN: u64 = 20_000_000;

pub(crate) const SELDOM: u64 = 1_000_000_000;

/// When a connection is tried to be taken again for which something was short.
pub(crate) const SHORT: u64 = 100_000_000;

/// What the launcher gives the relay to end in. It is done sooner, unless the kernel
/// holds it up.
pub(crate) const END: u64 = PATIENCE + 1_000_000_000;

/// Who takes connections.
pub(crate) struct Gate {
    /// It listens, and does not block.
    pub(crate) socket: OwnedFd,
    /// Which target it leads to.
    pub(crate) to: usize,
}

/// On which side of the relay the jail is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jail {
    /// It connects.
    Connects = 0,
    /// It is connected to.
    Listens = 1,
}

/// What a relay passes on.
pub(crate) struct Holes<'a> {
    /// What listens already.
    pub(crate) gates: Vec<Gate>,
    /// On which more come, with the number of a target in the message.
    pub(crate) more: Option<OwnedFd>,
    pub(crate) targets: &'a [Target],
    pub(crate) jail: Jail,
}

impl Holes<'_> {
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        let gates = self.gates.iter().map(|gate| gate.socket.as_raw_fd());
        let targets = self.targets.iter().filter_map(|target| match target {
            Target::Unix(dir, _) => Some(dir.as_raw_fd()),
            Target::Tcp(_) => None,
        });
        gates.chain(self.more.iter().map(AsRawFd::as_raw_fd)).chain(targets).collect()
    }
}
