//! What the processes inside tell the launcher: fixed records on a pipe that
//! closes on exec, each written at once and so whole.

use std::os::fd::BorrowedFd;

use rustix::io::{Errno, read, write};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Step `index` of the plan's `inside` list failed.
    Inside(usize, Errno),
    /// Step `index` of its `last` list failed.
    Last(usize, Errno),
    /// The command's process could not be made.
    Fork(Errno),
    /// Candidate `index` could not be executed; `found`: it is there.
    Exec {
        /// Which of the candidates.
        index: usize,
        /// Is a file there?
        found: bool,
        /// The kernel's word.
        errno: Errno,
    },
    /// The namespaces stand and the network in them may be connected.
    AwaitsNetwork,
    /// The command ended with this wait(2) status.
    Ended(i32),
}

const SIZE: usize = 12;

impl Report {
    /// Writes the record. There is no one to tell of a failure.
    pub(crate) fn send(self, pipe: BorrowedFd<'_>) {
        let (kind, index, value): (u32, usize, i32) = match self {
            Self::Inside(index, errno) => (1, index, errno.raw_os_error()),
            Self::Last(index, errno) => (2, index, errno.raw_os_error()),
            Self::Fork(errno) => (3, 0, errno.raw_os_error()),
            Self::Exec { index, found: false, errno } => (4, index, errno.raw_os_error()),
            Self::Exec { index, found: true, errno } => (5, index, errno.raw_os_error()),
            Self::Ended(status) => (6, 0, status),
            Self::AwaitsNetwork => (7, 0, 0),
        };
        let mut bytes = [0; SIZE];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_ne_bytes());
        bytes[8..].copy_from_slice(&value.to_ne_bytes());
        // Shorter than PIPE_BUF, so written whole or not at all.
        while write(pipe, &bytes) == Err(Errno::INTR) {}
    }

    /// Reads the next record; None at the end.
    pub(crate) fn receive(pipe: BorrowedFd<'_>) -> Option<Self> {
        let mut bytes = [0; SIZE];
        loop {
            match read(pipe, &mut bytes) {
                Ok(SIZE) => break,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return None,
            }
        }
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let index = usize::try_from(u32::from_ne_bytes(word(4))).unwrap_or(usize::MAX);
        let value = i32::from_ne_bytes(word(8));
        // Not for a status: an error number is never 0.
        let errno = || Errno::from_raw_os_error(if (1..4096).contains(&value) { value } else { libc::EIO });
        match u32::from_ne_bytes(word(0)) {
            1 => Some(Self::Inside(index, errno())),
            2 => Some(Self::Last(index, errno())),
            3 => Some(Self::Fork(errno())),
            4 => Some(Self::Exec { index, found: false, errno: errno() }),
            5 => Some(Self::Exec { index, found: true, errno: errno() }),
            6 => Some(Self::Ended(value)),
            7 => Some(Self::AwaitsNetwork),
            _ => None,
        }
    }
}
