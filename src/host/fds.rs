//! The descriptors that the caller left open.

use std::ffi::CStr;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};

use crate::host::Host;
use crate::sys;

impl Host {
    /// How the caller left descriptor `fd`.
    pub fn opened(&self, fd: i32) -> Opened {
        match &self.descriptors {
            None => match sys::inherited(fd).map(fcntl_getfl) {
                Some(Ok(flags)) if flags & OFlags::RWMODE == OFlags::WRONLY => Opened::WriteOnly,
                Some(Ok(flags)) if flags & OFlags::RWMODE != OFlags::RDONLY => Opened::ForWriting,
                Some(Ok(_)) => Opened::ReadOnly,
                Some(Err(_)) | None => Opened::Not,
            },
            Some(open) if open.contains(&fd) => Opened::ForWriting,
            Some(_) => Opened::Not,
        }
    }

    /// Is descriptor `fd` a directory, or one that only names a file?
    pub fn leads_elsewhere(&self, fd: i32) -> bool {
        if self.descriptors.is_some() {
            return false;
        }
        sys::inherited(fd).is_some_and(|fd| {
            fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH))
                || fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        })
    }
}

/// How a descriptor is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is not.
    Not,
    /// It can be read, or only named.
    ReadOnly,
    /// It can be read and written.
    ForWriting,
    /// It can be written but not read.
    WriteOnly,
}

/// The cgroup that the callers of a jail with limits wait in, beside the jail's.
pub const CALLERS: &CStr = c"jail.callers";
