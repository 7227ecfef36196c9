//! Files read and written between clone and exec.

use core::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, sendfile};
use rustix::io::{Errno, read, write};

/// Opens `path` below `root` name by name, and gives the errors of openat2 where it meets
/// a link or `..`.
pub(crate) fn walk(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(root, c".", flags, Mode::empty())?;
    for name in path.to_bytes().split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".") {
        if name == b".." {
            return Err(Errno::XDEV);
        }
        at = openat(&at, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&at)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
    }
    Ok(at)
}

/// The other side has said that it is done.
pub(crate) fn wait_for_byte(pipe: &OwnedFd) -> Result<(), Errno> {
    match read(pipe, &mut [0]) {
        Ok(1) => Ok(()),
        // It has said elsewhere why not, or is dead.
        Ok(_) => Err(Errno::PIPE),
        Err(errno) => Err(errno),
    }
}

/// Copies all that `from` gives. In the kernel where it can be; a pipe or a
/// terminal cannot be a source of sendfile on every kernel.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    loop {
        match sendfile(to, from, None, 1 << 30) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::SPIPE) => break,
            Err(errno) => return Err(errno),
        }
    }
    let mut buffer = [0; 16384];
    loop {
        let read = match rustix::io::read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            rest = &rest[write(to, rest)?..];
        }
    }
}

pub(crate) fn write_all(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match write(file, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
