//! Files of the kernel's and the machine's, read whole.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// What the file at `path` holds.
pub fn read(path: &Path) -> Result<Vec<u8>, Errno> {
    read_all(openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.as_fd())
}

/// The same as text; nothing of what cannot be read, or is none.
pub fn text(path: impl AsRef<Path>) -> String {
    read(path.as_ref()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// What can be read from `file`, to its end.
pub fn read_all(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match rustix::io::read(file, &mut part) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// In a line of mountinfo: what of its file system is mounted, where, and its kind.
pub fn mounted(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    // As many optional ones as there are end with this.
    fields.find(|field| *field == "-")?;
    Some((root, point, fields.next()?))
}
