//! What of /proc is root's own, and what names a process.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::util::path::below;

/// Why an entry of /proc, which belongs to no process, is kept from a jail that root started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootsOwn {
    /// A file that only root may read.
    Secret,
    /// Any other file. Root may give it another mode, also one that cannot be written, and
    /// the kernel keeps the mode for every /proc of the machine.
    File,
    /// A directory: it may hold such files.
    Dir,
}

/// True if `path` is the directory of a process in the host's /proc, or lies below one.
pub fn names_a_process(path: &Path) -> bool {
    let Some(below) = below(path, Path::new("/proc")) else { return false };
    let name = below.as_os_str().as_bytes().split(|b| *b == b'/').next().unwrap_or_default();
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

/// True if each process that follows `link` comes to another file, or if only the kernel can
/// follow it: /proc/self, /proc/thread-self and the links below a process's directory.
pub fn leads_by_process(link: &Path) -> bool {
    let own = ["/proc/self", "/proc/thread-self"].map(Path::new);
    own.contains(&link) || names_a_process(link)
}

pub(crate) fn roots_own(proc: &Path) -> Result<Vec<(PathBuf, RootsOwn)>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match openat(CWD, proc, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        dir => dir?,
    };
    let mut all = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().iter().all(|b| b.is_ascii_digit() || *b == b'.') {
            continue;
        }
        let file = match entry.file_type() {
            FileType::Symlink => continue,
            FileType::Directory => None,
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat).filter(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory),
                // A module was unloaded since the directory was read.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            },
        };
        let own = match file {
            None => RootsOwn::Dir,
            // The kernel lets only root read it.
            Some(stat) if stat.st_mode & 0o004 == 0 => RootsOwn::Secret,
            // Root of a user namespace, whose files these are not, cannot change the mode.
            Some(stat) if stat.st_uid != 0 && stat.st_mode & 0o222 == 0 => continue,
            Some(_) => RootsOwn::File,
        };
        all.push((proc.join(OsStr::from_bytes(name.to_bytes())), own));
    }
    Ok(all)
}

/// Names a type of file, with its article.
pub fn kind_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown type",
    }
}
