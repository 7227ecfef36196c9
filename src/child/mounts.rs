//! File systems and mounts that the view is made of.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process::fchdir;

use crate::child::context::{CLONE, State};
use crate::child::overlay_mount;
use crate::policy::files::Access;
use crate::sys::{self, MountAttr};
use crate::util::stack_str::Line;

impl<'a> State<'a> {
    pub(crate) fn lay_on_root(&mut self, mount: OwnedFd) -> Result<(), Errno> {
        // On the host's root and not in a directory of it: sources are found
        // from the root that lies below, and none of them is covered.
        move_mount(&mount, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        self.root = Some(mount);
        Ok(())
    }
}

pub(crate) const QUIET: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

pub(crate) const MOUNT_ATTR_RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;

pub(crate) const MOUNT_ATTR_NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;

pub(crate) const MOUNT_ATTR_NODEV: u64 = libc::MOUNT_ATTR_NODEV;

pub(crate) const MOUNT_ATTR_NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;

/// Sets attributes on a mount and all below, and cuts it off from later mounts
/// on the host. One call, Linux 5.12; a remount would leave submounts writable.
pub(crate) fn restrict(tree: BorrowedFd<'_>, access: Access, attributes: u64) -> Result<(), Errno> {
    let read_only = match access {
        // To see that Landlock holds alone; see tests/landlock.rs.
        _ if cfg!(open_mounts) => 0,
        Access::ReadOnly => MOUNT_ATTR_RDONLY,
        Access::Writable => 0,
    };
    let attr = MountAttr { set: attributes | read_only, propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    sys::mount_setattr(tree, true, &attr)
}

/// A file system in memory, mounted nowhere yet.
pub(crate) fn memory(size: Option<u64>, mode: u32, attr: MountAttrFlags) -> Result<OwnedFd, Errno> {
    memory_for(size, None, mode, attr)
}

/// The same, for at most so many `files`.
pub(crate) fn memory_for(size: Option<u64>, files: Option<u64>, mode: u32, attr: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let config = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mut line = Line::<32>::new();
    line.print(format_args!("{mode:04o}\0"))?;
    fsconfig_set_string(&config, c"mode", line.c_str()?)?;
    for (option, limit) in [(c"size", size), (c"nr_inodes", files)] {
        if let Some(limit) = limit {
            let mut line = Line::<32>::new();
            line.print(format_args!("{limit}\0"))?;
            fsconfig_set_string(&config, option, line.c_str()?)?;
        }
    }
    fsconfig_create(&config)?;
    fsmount(&config, FsMountFlags::FSMOUNT_CLOEXEC, QUIET | attr)
}

/// A tree with memory over it that takes what is changed.
pub(crate) fn over_memory(tree: BorrowedFd<'_>, size: Option<u64>) -> Result<OwnedFd, Errno> {
    // An empty file takes no page, but 1 KiB of the kernel's memory.
    let files = size.map(|size| (size / 1024).max(64));
    let memory = memory_for(size, files, 0o700, MountAttrFlags::empty())?;
    // Until Linux 6.15 a layer must be mounted somewhere; the overlay has a mount of
    // its own then. What lies on the root here is below no path that is looked up.
    move_mount(&memory, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let layers = overlay_mount::make_layers(memory.as_fd(), tree)?;
    let mount = overlay_mount::mount(tree, &layers)?;
    // Not later: leaving the host's root would leave this instead.
    fchdir(&memory)?;
    unmount(c".", UnmountFlags::DETACH)?;
    Ok(mount)
}

/// Pseudo-terminals that are nobody else's, mounted nowhere yet.
pub(crate) fn devpts() -> Result<OwnedFd, Errno> {
    let config = fsopen(c"devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&config, c"ptmxmode", c"0666")?;
    fsconfig_set_string(&config, c"mode", c"0620")?;
    fsconfig_create(&config)?;
    let attr = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&config, FsMountFlags::FSMOUNT_CLOEXEC, attr)
}

/// The file system of this IPC namespace's POSIX message queues, mounted nowhere; None
/// on a kernel without them.
pub(crate) fn queues() -> Result<Option<OwnedFd>, Errno> {
    let config = match fsopen(c"mqueue", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => return Ok(None),
        config => config?,
    };
    fsconfig_create(&config)?;
    fsmount(&config, FsMountFlags::FSMOUNT_CLOEXEC, QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC).map(Some)
}

/// Makes a file in memory and gives a mount of it. It is made where the host's /proc is
/// otherwise, for as long as that takes: everywhere there is such a directory, and
/// nothing is wanted of it meanwhile.
pub(crate) fn apart(make: &dyn Fn(&CStr) -> Result<(), Errno>) -> Result<OwnedFd, Errno> {
    let memory = memory(None, 0o700, MountAttrFlags::empty())?;
    move_mount(&memory, c"", CWD, c"/proc", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let made = make(c"/proc/made").and_then(|()| open_tree(&memory, c"made", CLONE | OpenTreeFlags::AT_SYMLINK_NOFOLLOW));
    unmount(c"/proc", UnmountFlags::DETACH)?;
    made
}
