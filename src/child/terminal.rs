//! The jail's own terminal, from inside.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::sys;

/// Opens a terminal on the mount `devpts`: its master, and the side for the jail,
/// with the size and the settings of the caller's terminal, where that is one.
pub(crate) fn open(devpts: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), Errno> {
    let master = openat(devpts, c"ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    unlockpt(&master)?;
    let slave = peer(&master)?;
    let streams = [0, 1, 2].map(sys::inherited);
    let size = streams.into_iter().flatten().find_map(|stream| tcgetwinsize(stream).ok());
    tcsetwinsize(&slave, size.unwrap_or(Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }))?;
    match streams[0].map(tcgetattr) {
        Some(Ok(settings)) => tcsetattr(&slave, OptionalActions::Now, &settings)?,
        Some(Err(_)) | None => {
            // Nobody types: what comes in is not to come out again.
            let mut settings = tcgetattr(&slave)?;
            settings.local_modes.remove(LocalModes::ECHO);
            tcsetattr(&slave, OptionalActions::Now, &settings)?;
        }
    }
    Ok((master, slave))
}

pub(crate) fn peer(master: &OwnedFd) -> Result<OwnedFd, Errno> {
    ioctl_tiocgptpeer(master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
}

/// Makes `slave` the terminal of this process, in a session of its own.
pub(crate) fn take(slave: &OwnedFd) -> Result<(), Errno> {
    setsid()?;
    ioctl_tiocsctty(slave)?;
    dup2_stdin(slave)?;
    dup2_stdout(slave)?;
    dup2_stderr(slave)
}
