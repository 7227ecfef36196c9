//! Landlock's rules.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::Errno;

use crate::child::context::State;
use crate::child::mounts::queues;
use crate::plan::ruleset;
use crate::plan::ruleset::{IOCTL_DEV, READ_DIR, READ_FILE, Ruleset, TRUNCATE, WRITE_FILE};
use crate::sys;

impl<'a> State<'a> {
    pub(crate) fn rules(&self, abi: u32, rules: &Ruleset) -> Result<OwnedFd, Errno> {
        let ruleset = sys::landlock_ruleset(abi, rules.files, rules.ports, rules.scoped)?;
        for (path, rights) in &rules.below {
            let file = self.inside(path)?;
            match sys::landlock_allow_below(ruleset.as_fd(), file.as_fd(), *rights) {
                // The kernel refuses a right over a file that only directories have.
                Err(Errno::INVAL) => sys::landlock_allow_below(ruleset.as_fd(), file.as_fd(), rights & ruleset::OF_FILES)?,
                done => done?,
            }
        }
        if let Some(queues) = if rules.queues { queues()? } else { None } {
            let rights = ruleset::READ_FILE | ruleset::WRITE_FILE;
            sys::landlock_allow_below(ruleset.as_fd(), queues.as_fd(), rights & rules.files)?;
        }
        for file in rules.descriptors.iter().filter_map(|fd| sys::inherited(*fd)) {
            if let Some(rights) = rights_of(file)?.map(|rights| rights & rules.files) {
                match sys::landlock_allow_below(ruleset.as_fd(), file, rights) {
                    // A file in memory that lies in no tree: it needs no rule.
                    Err(Errno::BADFD) => {}
                    done => done?,
                }
            }
        }
        for (ports, right) in [(&rules.connect, ruleset::CONNECT_TCP), (&rules.listen, ruleset::BIND_TCP)] {
            for port in ports {
                sys::landlock_allow_port(ruleset.as_fd(), *port, right)?;
            }
        }
        Ok(ruleset)
    }
}

/// What a descriptor lets its holder do with its file, as rights to open it anew
/// through /proc/self/fd; None where it has no path, as pipes and sockets.
pub(crate) fn rights_of(file: BorrowedFd<'_>) -> Result<Option<u64>, Errno> {
    let flags = fcntl_getfl(file)?;
    // A closed stream has a placeholder; see `keep_off_closed_streams`.
    if flags.contains(OFlags::PATH) {
        return Ok(None);
    }
    let write = if flags.contains(OFlags::APPEND) { WRITE_FILE } else { WRITE_FILE | TRUNCATE };
    let mode = match flags & OFlags::RWMODE {
        OFlags::RDONLY => READ_FILE,
        OFlags::WRONLY => write,
        _ => READ_FILE | write,
    };
    let kind = FileType::from_raw_mode(fstat(file)?.st_mode);
    Ok(if kind == FileType::RegularFile {
        Some(mode)
    } else if kind == FileType::CharacterDevice || kind == FileType::BlockDevice {
        Some(mode | IOCTL_DEV)
    } else if kind == FileType::Directory {
        // Given with --fd: what could be done below can be done.
        Some(ruleset::BELOW_A_DESCRIPTOR | READ_DIR)
    } else {
        None
    })
}
