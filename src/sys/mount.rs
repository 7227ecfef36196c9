//! mount_setattr(2).

use core::ffi::c_long;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::{Result, check};

/// `struct mount_attr` of mount_setattr(2), version 0 (Linux 5.12).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MountAttr {
    /// MOUNT_ATTR_* to set.
    pub(crate) set: u64,
    /// MOUNT_ATTR_* to clear.
    pub(crate) clear: u64,
    /// MS_PRIVATE and the like, or 0.
    pub(crate) propagation: u64,
    /// A user namespace, with MOUNT_ATTR_IDMAP.
    pub(crate) userns: u64,
}

/// mount_setattr(2) on the mount that `mount` is open on, and with `recursive`
/// on all mounts below.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a constant that ends in NUL; attr points to a
    // mount_attr of the size passed, which the kernel only reads.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            c_long::from(mount.as_raw_fd()),
            c"".as_ptr(),
            c_long::from(flags),
            ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}
