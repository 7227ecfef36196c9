//! Changes laid over a tree (overlayfs): the directory that keeps them, which one
//! run at a time may have, and the mount.
//!
//! DIR of `--overlay` holds `changes` and, while a run has it, `work`, which the
//! kernel needs on the same file system and leaves closed to its owner.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, ResolveFlags, chmodat, fgetxattr, flock, fstat, mkdirat, openat, openat2,
    stat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::greeting::{self, Greeter, Handed, Heard, Listener};
use crate::keeper::{End, Keeper};
use crate::plan;
use crate::sys::Arguments;

const WORK: &CStr = c"work";
/// What the kernel makes in it, with no permission for anyone.
const INNER: &CStr = c"work/work";
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory of `--overlay` while a run has it.
pub(crate) struct Kept {
    /// Tells the keeper who process 1 is.
    greeter: Option<Greeter>,
    /// It is locked for as long as this is open somewhere.
    dir: OwnedFd,
    /// Holds the lock until the last process of the jail is dead, whatever becomes of
    /// the launcher, and tidies up. Process 1 could not: the kernel closes its
    /// descriptors first and then kills the others.
    keeper: Keeper,
}

impl Kept {
    /// Opens and locks `path`, which is made if it is missing, and makes what is
    /// missing in it. `tree`: what it is to be laid over.
    pub(crate) fn open(path: &CStr, tree: &CStr, arguments: &Arguments) -> Result<Self, Errno> {
        let made = match mkdirat(CWD, path, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
            Err(Errno::EXIST) => false,
            done => done.map(|()| true)?,
        };
        Self::open_made(path, tree, arguments).inspect_err(|_| {
            if made {
                let _ = unlinkat(CWD, path, AtFlags::REMOVEDIR);
            }
        })
    }

    fn open_made(path: &CStr, tree: &CStr, arguments: &Arguments) -> Result<Self, Errno> {
        let flags = DIRECTORY | OFlags::RDONLY;
        let dir = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)?;
        not_in(&dir, tree)?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
        let (listener, greeter) = greeting::pair()?;
        // Before there is anything that must be removed.
        let keeper = {
            let dir = dir.try_clone().map_err(|_| Errno::MFILE)?;
            let kept = [dir.as_raw_fd(), listener.as_fd().as_raw_fd()];
            Keeper::start(arguments, &kept, move |end| {
                if end == End::Dead {
                    wait_for_process_one(&listener);
                }
                tidy(&dir);
            })?
        };
        let kept = Self { greeter: Some(greeter), dir, keeper };
        kept.make(tree)?;
        Ok(kept)
    }

    /// Makes what is missing in it.
    fn make(&self, tree: &CStr) -> Result<(), Errno> {
        match openat(&self.dir, plan::CHANGES, DIRECTORY | OFlags::PATH, Mode::empty()) {
            Ok(_) => {}
            Err(Errno::NOENT) => make_changes(&self.dir, tree)?,
            Err(errno) => return Err(errno),
        }
        existing(mkdirat(&self.dir, WORK, Mode::RWXU))
    }

    /// Has the keeper wait for the death of process 1, and so of all.
    pub(crate) fn until_dead(&mut self, process_one: Pid) -> Result<(), Errno> {
        let pidfd = pidfd_open(process_one, PidfdFlags::empty())?;
        self.greeter.take().ok_or(Errno::BADF)?.hand_over(Handed::ProcessOne, &pidfd)
    }

    /// Is `dir` the same directory?
    pub(crate) fn is(&self, dir: BorrowedFd<'_>) -> Result<bool, Errno> {
        let (own, other) = (fstat(&self.dir)?, fstat(dir)?);
        Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
    }

    /// The descriptors that it is held by.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = i32> {
        [self.dir.as_raw_fd()].into_iter().chain(self.keeper.descriptor())
    }

    /// The process that holds it.
    pub(crate) fn keeper(&self) -> Pid {
        self.keeper.pid()
    }
}

/// Waits until it is dead, and so everything in the jail.
fn wait_for_process_one(listener: &Listener) {
    // If the launcher died before it could say who that is, process 1 holds the other
    // end, and is as good as dead.
    if let Ok(Heard::ProcessOne(pidfd)) = listener.hear() {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        while poll(&mut fds, None) == Err(Errno::INTR) {}
    }
}

/// Makes the directory for changes in one that is empty.
fn make_changes(dir: &OwnedFd, tree: &CStr) -> Result<(), Errno> {
    // Nobody is to find their home mixed with what a jail has left.
    for entry in Dir::read_from(dir)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b".." | b"work") {
            return Err(Errno::NOTEMPTY);
        }
    }
    // It is what the jail sees as its /.
    let mode = Mode::from_raw_mode(stat(tree)?.st_mode & 0o7777);
    mkdirat(dir, plan::CHANGES, Mode::RWXU)?;
    chmodat(dir, plan::CHANGES, mode, AtFlags::empty())
}

/// Removes what only the kernel has a use for: rm(1) could not, because it may not be
/// read.
fn tidy(dir: &OwnedFd) {
    let _ = chmodat(dir, INNER, Mode::RWXU, AtFlags::empty());
    if let Ok(inner) = openat(dir, INNER, DIRECTORY | OFlags::RDONLY, Mode::empty()) {
        let all = Dir::read_from(&inner).into_iter().flatten().flatten();
        for entry in all.filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")) {
            // A change that was being made when all were killed; a directory that is
            // not empty is left to the next run, or to its owner's rm.
            let name = entry.file_name();
            let _ = unlinkat(&inner, name, AtFlags::empty()).or_else(|_| unlinkat(&inner, name, AtFlags::REMOVEDIR));
        }
    }
    let _ = unlinkat(dir, INNER, AtFlags::REMOVEDIR);
    let _ = unlinkat(dir, WORK, AtFlags::REMOVEDIR);
}

/// Refuses a directory that lies in `tree`, whatever it is called. The kernel sees to
/// the other way round.
fn not_in(dir: &OwnedFd, tree: &CStr) -> Result<(), Errno> {
    let is = |stat: &rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let tree = is(&stat(tree)?);
    let (mut at, mut below) = (fstat(dir)?, None);
    let mut above = dir.try_clone().map_err(|_| Errno::MFILE)?;
    while below != Some(is(&at)) {
        if is(&at) == tree {
            return Err(Errno::LOOP);
        }
        below = Some(is(&at));
        above = match openat(&above, c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(above) => above,
            // Nor can the tree then be found by going up from it.
            Err(Errno::ACCESS) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        at = fstat(&above)?;
    }
    Ok(())
}

fn existing(made: Result<(), Errno>) -> Result<(), Errno> {
    if made == Err(Errno::EXIST) { Ok(()) } else { made }
}

/// The layers below `dir`, the one that takes the changes and the kernel's own.
pub(crate) fn layers(dir: BorrowedFd<'_>) -> Result<[OwnedFd; 2], Errno> {
    let upper = openat(dir, plan::CHANGES, DIRECTORY | OFlags::RDONLY, Mode::empty())?;
    let work = openat(dir, WORK, DIRECTORY | OFlags::PATH, Mode::empty())?;
    Ok([upper, work])
}

/// Makes them in memory of the jail's own, with the mode that `tree` has.
pub(crate) fn make_layers(memory: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<[OwnedFd; 2], Errno> {
    let mode = Mode::from_raw_mode(fstat(tree)?.st_mode & 0o7777);
    mkdirat(memory, plan::CHANGES, Mode::RWXU)?;
    chmodat(memory, plan::CHANGES, mode, AtFlags::empty())?;
    mkdirat(memory, WORK, Mode::RWXU)?;
    layers(memory)
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
        let mut name = crate::apply::Line::<32>::new();
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
