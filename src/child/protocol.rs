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
    /// Process 1 is there, and its ids may be mapped.
    AwaitsIds,
    /// The inode of the jail's namespace number `index` of `NAMESPACES`.
    Namespace(usize, u64),
    /// The command was stopped by this signal.
    Stopped(i32),
    /// The command goes on.
    Continued,
    /// The command ended with this wait(2) status.
    Ended(i32),
}

/// The namespaces as /proc/PID/ns names them.
pub const NAMESPACES: [&core::ffi::CStr; 7] = [c"ns/user", c"ns/mnt", c"ns/pid", c"ns/net", c"ns/ipc", c"ns/uts", c"ns/cgroup"];

const SIZE: usize = 16;

impl Report {
    /// Writes the record. There is no one to tell of a failure.
    pub(crate) fn send(self, pipe: BorrowedFd<'_>) {
        let raw = |errno: Errno| u64::try_from(errno.raw_os_error()).unwrap_or(0);
        let signed = |value: i32| u64::from(u32::from_ne_bytes(value.to_ne_bytes()));
        let (kind, index, value): (u32, usize, u64) = match self {
            Self::Inside(index, errno) => (1, index, raw(errno)),
            Self::Last(index, errno) => (2, index, raw(errno)),
            Self::Fork(errno) => (3, 0, raw(errno)),
            Self::Exec { index, found: false, errno } => (4, index, raw(errno)),
            Self::Exec { index, found: true, errno } => (5, index, raw(errno)),
            Self::Ended(status) => (6, 0, signed(status)),
            Self::AwaitsNetwork => (7, 0, 0),
            Self::Namespace(index, inode) => (8, index, inode),
            Self::Stopped(signal) => (9, 0, signed(signal)),
            Self::Continued => (10, 0, 0),
            Self::AwaitsIds => (11, 0, 0),
        };
        let mut bytes = [0; SIZE];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_ne_bytes());
        bytes[8..].copy_from_slice(&value.to_ne_bytes());
        // Shorter than PIPE_BUF, so written whole or not at all.
        while write(pipe, &bytes) == Err(Errno::INTR) {}
    }

    /// Reads the next record; None at the end.
    ///
    /// # Errors
    /// The kernel's, and EIO for what is no record.
    pub(crate) fn receive(pipe: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let mut bytes = [0; SIZE];
        loop {
            match read(pipe, &mut bytes) {
                Ok(SIZE) => break,
                Ok(0) => return Ok(None),
                Ok(_) => return Err(Errno::IO),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        let [a, b, c, d, e, f, g, h, value @ ..] = bytes;
        let index = usize::try_from(u32::from_ne_bytes([e, f, g, h])).unwrap_or(usize::MAX);
        let value = u64::from_ne_bytes(value);
        let signed = i32::from_ne_bytes(u32::try_from(value).unwrap_or(0).to_ne_bytes());
        // Not for a status: an error number is never 0.
        let errno = Errno::from_raw_os_error(if (1..4096).contains(&signed) { signed } else { libc::EIO });
        Ok(Some(match u32::from_ne_bytes([a, b, c, d]) {
            1 => Self::Inside(index, errno),
            2 => Self::Last(index, errno),
            3 => Self::Fork(errno),
            4 => Self::Exec { index, found: false, errno },
            5 => Self::Exec { index, found: true, errno },
            6 => Self::Ended(signed),
            7 => Self::AwaitsNetwork,
            8 => Self::Namespace(index, value),
            9 => Self::Stopped(signed),
            10 => Self::Continued,
            11 => Self::AwaitsIds,
            _ => return Err(Errno::IO),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_sent_is_received() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let all = [
            Report::Inside(3, Errno::PERM),
            Report::Last(0, Errno::NOENT),
            Report::Fork(Errno::AGAIN),
            Report::Exec { index: 1, found: true, errno: Errno::ACCESS },
            Report::Exec { index: 2, found: false, errno: Errno::NOENT },
            Report::AwaitsNetwork,
            Report::AwaitsIds,
            Report::Namespace(6, u64::MAX),
            Report::Stopped(20),
            Report::Continued,
            Report::Ended(0x8b),
            Report::Ended(-1),
        ];
        all.iter().for_each(|report| report.send(writer.as_fd()));
        for report in all {
            assert_eq!(Report::receive(reader.as_fd()), Ok(Some(report)));
        }
        drop(writer);
        assert_eq!(Report::receive(reader.as_fd()), Ok(None));
    }
}
