//! What a user can ask for: files.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Asked;

/// May what is shown be changed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may be read.
    ReadOnly,
    /// It may be changed, as far as its permissions let the caller.
    Writable,
}

/// Where what the command changes in the `--root` tree goes, and not into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// To memory, of which it may take `size` bytes.
    Vanish {
        /// Bytes; the kernel's default is half the machine's memory.
        size: Option<u64>,
    },
    /// Into this directory of the host's.
    Keep {
        /// Where it is, as typed.
        dir: PathBuf,
    },
}

/// What a flag puts into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A host file or directory.
    Bind {
        /// Where it is on the host, as typed.
        source: PathBuf,
        /// Read-only or not.
        access: Access,
    },
    /// A host device node.
    Device {
        /// Where it is on the host, as typed.
        source: PathBuf,
    },
    /// An empty directory in memory, of at most `size` bytes.
    Tmpfs {
        /// Bytes; the kernel's default is half the machine's memory.
        size: Option<u64>,
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: OsString,
    },
    /// A file with what a descriptor gives.
    File {
        /// The descriptor.
        fd: i32,
    },
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is put there.
    pub what: What,
    /// Where, as typed.
    pub dest: PathBuf,
    /// A missing source is no error.
    pub may_miss: bool,
    /// The flag.
    pub asked: Asked,
}

/// A path that is hidden or whose execution is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The path inside, as typed.
    pub path: PathBuf,
    /// That it is missing is no error.
    pub may_miss: bool,
    /// The flag.
    pub asked: Asked,
}
