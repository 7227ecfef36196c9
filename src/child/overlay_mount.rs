//! The mount of an overlay.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, chmodat, fgetxattr, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::sys::fd::RESOLVE;
use crate::util::stack_str::Line;

/// `plan::CHANGES` for system calls.
pub(crate) const CHANGES: &CStr = c"changes";

/// The kernel makes a directory of the same name in it, with no permission for anyone.
pub(crate) const WORK: &CStr = c"work";

pub(crate) const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// For the entries of DIR: no link, and the mount that DIR lies on.
pub(crate) const ENTRY: ResolveFlags = RESOLVE.union(ResolveFlags::BENEATH).union(ResolveFlags::NO_XDEV);

/// The device and inode of a directory.
pub(crate) type Inode = (u64, u64);

/// The directories of an overlay that the launcher opened and checked.
#[derive(Clone, Copy)]
pub(crate) struct CheckedLayers {
    /// DIR of `--overlay`.
    pub(crate) dir: Inode,
    /// The tree that the changes lie over.
    pub(crate) tree: Inode,
    /// The changes.
    pub(crate) changes: Inode,
    /// The kernel's own directory.
    pub(crate) work: Inode,
}

impl CheckedLayers {
    /// Opens the layers in the mount namespace of process 1: the kernel takes a layer only if
    /// its mount belongs to the namespace of the process that mounts the overlay. `dir` and
    /// `tree` were opened there by their paths.
    ///
    /// # Errors
    /// ESTALE if one of the directories is not the one that the launcher checked.
    pub(crate) fn reopen(&self, dir: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<[OwnedFd; 2], Errno> {
        let upper = openat2(dir, CHANGES, DIRECTORY | OFlags::RDONLY, Mode::empty(), ENTRY)?;
        let work = openat2(dir, WORK, DIRECTORY | OFlags::PATH, Mode::empty(), ENTRY)?;
        let reopened = [(dir, self.dir), (tree, self.tree), (upper.as_fd(), self.changes), (work.as_fd(), self.work)];
        for (reopened, checked) in reopened {
            let stat = fstat(reopened)?;
            if (stat.st_dev, stat.st_ino) != checked {
                return Err(Errno::STALE);
            }
        }
        Ok([upper, work])
    }
}

/// Makes the layers in memory of the jail's own, with the mode that `tree` has.
pub(crate) fn make_layers(memory: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<[OwnedFd; 2], Errno> {
    let mode = Mode::from_raw_mode(fstat(tree)?.st_mode & 0o7777);
    mkdirat(memory, CHANGES, Mode::RWXU)?;
    chmodat(memory, CHANGES, mode, AtFlags::empty())?;
    mkdirat(memory, WORK, Mode::RWXU)?;
    let upper = openat(memory, CHANGES, DIRECTORY | OFlags::RDONLY, Mode::empty())?;
    let work = openat(memory, WORK, DIRECTORY | OFlags::PATH, Mode::empty())?;
    Ok([upper, work])
}

/// Lays `upper` over `tree`; mounted nowhere yet.
pub(crate) fn mount(tree: BorrowedFd<'_>, [upper, work]: &[OwnedFd; 2]) -> Result<OwnedFd, Errno> {
    // Without them the kernel goes on, and then can neither remove a directory of the
    // tree nor make one again in its place.
    match fgetxattr(upper, c"user.overlay.opaque", &mut [0_u8; 8]) {
        Ok(_) | Err(Errno::NODATA) => {}
        Err(errno) => return Err(errno),
    }
    let config = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By number: until Linux 6.13 a layer can only be named, in a language in which
    // commas, colons and backslashes mean something.
    for (option, layer) in [(c"lowerdir", tree), (c"upperdir", upper.as_fd()), (c"workdir", work.as_fd())] {
        let mut name = Line::<32>::new();
        name.print(format_args!("/proc/self/fd/{}\0", layer.as_raw_fd()))?;
        fsconfig_set_string(&config, option, name.c_str()?)?;
    }
    // The attributes of a user, for those of the trusted kind are root's.
    fsconfig_set_flag(&config, c"userxattr")?;
    // A kernel may have been built to do so by default; it then refuses changes that
    // were copied elsewhere, or a tree that was unpacked anew.
    fsconfig_set_string(&config, c"index", c"off")?;
    fsconfig_create(&config)?;
    fsmount(&config, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV)
}
