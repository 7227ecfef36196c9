//! Changes laid over a tree (overlayfs): the directory that keeps them, which one
//! run at a time may have, and the mount.
//!
//! DIR of `--overlay` holds `changes` and, while a run has it, `work`, which the
//! kernel needs on the same file system and leaves closed to its owner.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat, chmodat, flock, fstat, mkdirat, openat, openat2, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::child::overlay_mount::{CHANGES, CheckedLayers, DIRECTORY, ENTRY, WORK};
use crate::policy::identity::Range;
use crate::process::fd_channel::{self, Greeter, Handed, Heard, Listener};
use crate::process::watchdog::{End, Keeper};
use crate::sys::Arguments;
use crate::sys::fd::RESOLVE;
use crate::util::path::split;
use crate::util::stack_str::Line;

/// An entry that an earlier run, or any other program, may have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// DIR of `--overlay` itself.
    Dir,
    /// What was changed.
    Changes,
    /// The kernel's own directory.
    Work,
    /// The directory that the kernel makes in it.
    Inner,
}

impl Entry {
    /// The path below DIR.
    pub fn below(self) -> &'static str {
        match self {
            Self::Dir => "",
            Self::Changes => "changes",
            Self::Work => "work",
            Self::Inner => "work/work",
        }
    }
}

/// Why an entry cannot be used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is something else than a directory.
    Kind(FileType),
    /// It belongs to this user.
    Owner(u32),
    /// Users other than the owner and the group may write to it.
    OpenToOthers,
    /// Something is mounted on it.
    Mounted,
    /// The caller may not search the directory that it lies in.
    Unsearchable,
}

/// Users that what is in DIR may belong to.
#[derive(Clone, Copy)]
pub(crate) struct Owners<'a> {
    /// The caller.
    pub(crate) caller: u32,
    /// With `--subids` the command may have given its /, which `changes` is, to one of these.
    pub(crate) subordinate: &'a [Range],
}

/// Opens the directory `name` in `dir` without following a link and without leaving the
/// mount, and checks its type and its owner. Notes in `found` what is wrong with it.
fn entry(
    dir: BorrowedFd<'_>,
    name: &CStr,
    which: Entry,
    owners: Owners<'_>,
    found: &mut Option<(Entry, Unfit)>,
) -> Result<OwnedFd, Errno> {
    let opened = openat2(dir, name, DIRECTORY | OFlags::PATH, Mode::empty(), ENTRY).inspect_err(|errno| {
        let kind = || statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let unfit = match (*errno, kind()) {
            (Errno::XDEV, _) => Some(Unfit::Mounted),
            (Errno::NOTDIR | Errno::LOOP, Ok(kind)) if kind != FileType::Directory => Some(Unfit::Kind(kind)),
            (Errno::ACCESS, _) => Some(Unfit::Unsearchable),
            _ => None,
        };
        *found = unfit.map(|unfit| (which, unfit));
    })?;
    checked(opened, which, owners, found)
}

/// Checks the owner and the mode of the opened directory.
fn checked(opened: OwnedFd, which: Entry, owners: Owners<'_>, found: &mut Option<(Entry, Unfit)>) -> Result<OwnedFd, Errno> {
    let stat = fstat(&opened)?;
    let mapped = |range: &Range| stat.st_uid.checked_sub(range.outside).is_some_and(|offset| offset < range.count);
    let may = stat.st_uid == owners.caller || which == Entry::Changes && owners.subordinate.iter().any(mapped);
    let unfit = if !may {
        Unfit::Owner(stat.st_uid)
    } else if which != Entry::Changes && stat.st_mode & 0o1002 == 0o002 {
        // Another user could put other entries in the place of the caller's. The mode of
        // `changes` is the mode that the command gave its /.
        Unfit::OpenToOthers
    } else {
        return Ok(opened);
    };
    *found = Some((which, unfit));
    Err(Errno::PERM)
}

pub(crate) fn same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// The directory of `--overlay` while a run has it.
pub(crate) struct Kept {
    /// Tells the keeper who process 1 is.
    greeter: Option<Greeter>,
    /// It is locked for as long as this is open somewhere.
    dir: OwnedFd,
    /// What the changes are laid over, the changes and the kernel's own directory. They
    /// stay open, so that no other directory can have their inode numbers.
    tree: OwnedFd,
    changes: OwnedFd,
    work: OwnedFd,
    /// Holds the lock until the last process of the jail is dead, whatever becomes of
    /// the launcher, and tidies up. Process 1 could not: the kernel closes its
    /// descriptors first and then kills the others.
    keeper: Keeper,
}

impl Kept {
    /// Opens and locks `path`, which is made if it is missing, and makes what is
    /// missing in it. `tree`: the tree that the changes lie over. Where an entry is not as it
    /// must be, `found` names it, and nothing was made, changed or removed.
    pub(crate) fn open(
        path: &CStr,
        tree: &CStr,
        owners: Owners<'_>,
        arguments: &Arguments,
        found: &mut Option<(Entry, Unfit)>,
    ) -> Result<Self, Errno> {
        let tree = openat2(CWD, tree, DIRECTORY | OFlags::PATH, Mode::empty(), RESOLVE)?;
        let (parent, name) = split(path)?;
        let parent = if parent.is_empty() { b"/" } else { parent };
        let parent = openat2(CWD, parent, DIRECTORY | OFlags::PATH, Mode::empty(), RESOLVE)?;
        match Self::open_dir(&parent, name, owners, found) {
            Err(Errno::NOENT) => {}
            dir => return Self::open_in(dir?, tree, owners, arguments, found),
        }
        not_in(&parent, &tree)?;
        // Never writable for others, whatever the umask: the next run would refuse it.
        match mkdirat(&parent, name, Mode::from_raw_mode(0o775)) {
            // Another run makes it at this moment.
            Err(Errno::EXIST) => Self::open_in(Self::open_dir(&parent, name, owners, found)?, tree, owners, arguments, found),
            made => made.and_then(|()| Self::open_dir(&parent, name, owners, found)).and_then(|dir| {
                Self::open_in(dir, tree, owners, arguments, found).inspect_err(|errno| {
                    // Unless another run has it by now.
                    if *errno != Errno::AGAIN {
                        let _ = unlinkat(&parent, name, AtFlags::REMOVEDIR);
                    }
                })
            }),
        }
    }

    /// Opens DIR, called `name`.
    fn open_dir(parent: &OwnedFd, name: &CStr, owners: Owners<'_>, found: &mut Option<(Entry, Unfit)>) -> Result<OwnedFd, Errno> {
        let dir = openat2(parent, name, DIRECTORY | OFlags::RDONLY, Mode::empty(), RESOLVE).inspect_err(|errno| {
            if let (Errno::NOTDIR | Errno::LOOP, Ok(stat)) = (*errno, statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)) {
                *found = Some((Entry::Dir, Unfit::Kind(FileType::from_raw_mode(stat.st_mode))));
            }
        })?;
        checked(dir, Entry::Dir, owners, found)
    }

    fn open_in(
        dir: OwnedFd,
        tree: OwnedFd,
        owners: Owners<'_>,
        arguments: &Arguments,
        found: &mut Option<(Entry, Unfit)>,
    ) -> Result<Self, Errno> {
        not_in(&dir, &tree)?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
        // All checks come before the first change and before the keeper, which removes
        // things at the end.
        let changes = missing(entry(dir.as_fd(), CHANGES, Entry::Changes, owners, found))?;
        let work = missing(entry(dir.as_fd(), WORK, Entry::Work, owners, found))?;
        if let Some(work) = &work {
            missing(entry(work.as_fd(), WORK, Entry::Inner, owners, found))?;
        }
        if changes.is_none() && !is_empty(&dir)? {
            return Err(Errno::NOTEMPTY);
        }
        let (listener, greeter) = fd_channel::pair()?;
        let makes_work = work.is_none();
        let keeper = {
            let dir = dir.try_clone().map_err(|_| Errno::MFILE)?;
            let kept = [dir.as_raw_fd(), listener.as_fd().as_raw_fd()];
            let owners = Owners { subordinate: &[], ..owners };
            Keeper::start(arguments, &kept, move |end| {
                // It was sent before there was a process 1, or never.
                let work = match listener.heard() {
                    Ok(Heard::Work(work)) => Some(work),
                    Ok(_) | Err(_) => None,
                };
                if end == End::Dead {
                    wait_for_process_one(&listener);
                }
                match work {
                    Some(work) => tidy(&dir, &work, owners),
                    // The launcher was killed, perhaps just after it had made the directory.
                    None if makes_work && end == End::Dead => _ = unlinkat(&dir, WORK, AtFlags::REMOVEDIR),
                    None => {}
                }
            })?
        };
        let (changes, work) = make(&dir, &tree, changes, work, owners, found)?;
        greeter.hand_over(Handed::Work, &work).inspect_err(|_| {
            if makes_work {
                let _ = unlinkat(&dir, WORK, AtFlags::REMOVEDIR);
            }
        })?;
        Ok(Self { greeter: Some(greeter), dir, tree, changes, work, keeper })
    }

    /// Has the keeper wait for the death of process 1, and so of all.
    pub(crate) fn until_dead(&mut self, process_one: Pid) -> Result<(), Errno> {
        let pidfd = pidfd_open(process_one, PidfdFlags::empty())?;
        self.greeter.take().ok_or(Errno::BADF)?.hand_over(Handed::ProcessOne, &pidfd)
    }

    /// The directories that process 1 must find again.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn layers(&self) -> Result<CheckedLayers, Errno> {
        let inode = |dir: &OwnedFd| fstat(dir).map(|stat| (stat.st_dev, stat.st_ino));
        Ok(CheckedLayers {
            dir: inode(&self.dir)?,
            tree: inode(&self.tree)?,
            changes: inode(&self.changes)?,
            work: inode(&self.work)?,
        })
    }

    /// The descriptors that it is held by.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = i32> {
        [&self.dir, &self.tree, &self.changes, &self.work].into_iter().map(AsRawFd::as_raw_fd).chain(self.keeper.descriptor())
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

/// None for an entry that is not there.
fn missing(opened: Result<OwnedFd, Errno>) -> Result<Option<OwnedFd>, Errno> {
    match opened {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some),
    }
}

/// True if the directory has no entries. A user must not find other files mixed with
/// what a jail left, and the kernel empties the directory that it finds in `work`.
fn is_empty(dir: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(dir)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes `changes` and `work` where they are missing, and opens what it made as it opens
/// what was there: another process may have replaced it.
pub(crate) fn make(
    dir: &OwnedFd,
    tree: &OwnedFd,
    changes: Option<OwnedFd>,
    work: Option<OwnedFd>,
    owners: Owners<'_>,
    found: &mut Option<(Entry, Unfit)>,
) -> Result<(OwnedFd, OwnedFd), Errno> {
    let made_changes = changes.is_none();
    let changes = match changes {
        Some(changes) => changes,
        None => make_changes(dir, tree, owners, found)?,
    };
    let made = match work {
        Some(work) => Ok(work),
        None => make_work(dir, owners, found),
    };
    match made {
        Ok(work) => Ok((changes, work)),
        Err(errno) => {
            if made_changes {
                let _ = unlinkat(dir, CHANGES, AtFlags::REMOVEDIR);
            }
            Err(errno)
        }
    }
}

fn make_changes(dir: &OwnedFd, tree: &OwnedFd, owners: Owners<'_>, found: &mut Option<(Entry, Unfit)>) -> Result<OwnedFd, Errno> {
    mkdirat(dir, CHANGES, Mode::RWXU)?;
    // The jail sees it as its /, with the mode that the tree has.
    let opened = entry(dir.as_fd(), CHANGES, Entry::Changes, owners, found)
        .and_then(|changes| set_mode(&changes, fstat(tree)?.st_mode).map(|()| changes));
    opened.inspect_err(|_| _ = unlinkat(dir, CHANGES, AtFlags::REMOVEDIR))
}

fn make_work(dir: &OwnedFd, owners: Owners<'_>, found: &mut Option<(Entry, Unfit)>) -> Result<OwnedFd, Errno> {
    mkdirat(dir, WORK, Mode::RWXU).inspect_err(|errno| {
        if *errno == Errno::EXIST {
            // It was not there a moment ago. If it is a link, the message says so.
            let _ = entry(dir.as_fd(), WORK, Entry::Work, owners, found);
        }
    })?;
    // The umask is the caller's, and may take away what the caller itself needs.
    let opened = entry(dir.as_fd(), WORK, Entry::Work, owners, found).and_then(|work| set_mode(&work, 0o700).map(|()| work));
    opened.inspect_err(|_| _ = unlinkat(dir, WORK, AtFlags::REMOVEDIR))
}

/// Removes `work`, which only the kernel has a use for: rm(1) could not, because the
/// directory in it may not be read. Whatever has come to be in its place stays.
fn tidy(dir: &OwnedFd, work: &OwnedFd, owners: Owners<'_>) {
    if let Ok(inner) = entry(work.as_fd(), WORK, Entry::Inner, owners, &mut None) {
        let _ = empty(&inner);
        remove(work, &inner);
    }
    remove(dir, work);
}

/// Empties the directory that the kernel left without any permission.
pub(crate) fn empty(inner: &OwnedFd) -> Result<(), Errno> {
    set_mode(inner, 0o700)?;
    let inner = openat(inner, c".", DIRECTORY | OFlags::RDONLY, Mode::empty())?;
    let all = Dir::read_from(&inner)?.flatten();
    for entry in all.filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")) {
        // A change that was being made when all were killed; a directory that is
        // not empty is left to the next run, or to its owner's rm.
        let name = entry.file_name();
        let _ = unlinkat(&inner, name, AtFlags::empty()).or_else(|_| unlinkat(&inner, name, AtFlags::REMOVEDIR));
    }
    Ok(())
}

/// Gives the opened directory this mode. By its number: a name could lead elsewhere by now,
/// and before Linux 6.6 no call changes the mode behind a descriptor that was opened
/// without permission to read. Without /proc there is no overlay.
fn set_mode(dir: &OwnedFd, mode: u32) -> Result<(), Errno> {
    if (fstat(dir)?.st_mode ^ mode) & 0o7777 == 0 {
        return Ok(());
    }
    let mut path = Line::<32>::new();
    path.print(format_args!("/proc/self/fd/{}\0", dir.as_raw_fd()))?;
    chmodat(CWD, path.c_str()?, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
}

/// Removes the empty directory called `work` in `dir` if it is still the opened one.
pub(crate) fn remove(dir: &OwnedFd, opened: &OwnedFd) {
    let is = |there: Result<Stat, Errno>| matches!((there, fstat(opened)), (Ok(a), Ok(b)) if same(&a, &b));
    if is(statat(dir, WORK, AtFlags::SYMLINK_NOFOLLOW)) {
        let _ = unlinkat(dir, WORK, AtFlags::REMOVEDIR);
    }
}

/// Refuses a directory that lies in `tree`, whatever it is called. The kernel sees to
/// the other way round.
fn not_in(dir: &OwnedFd, tree: &OwnedFd) -> Result<(), Errno> {
    let is = |stat: &Stat| (stat.st_dev, stat.st_ino);
    let tree = is(&fstat(tree)?);
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
