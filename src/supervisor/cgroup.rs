//! Limits of the whole jail: a cgroup (v2) of its own, made where the caller may,
//! and gone afterwards.
//!
//! The kernel lets a cgroup with processes in it have no controllers for those
//! below (the root alone is exempt). So the processes of the caller's cgroup, the
//! launcher among them, are moved into one beside the jail's for the run. Where a
//! jail is started from there, its own comes to lie beside the first.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, FsWord, Mode, OFlags, flock, fstatfs, mkdirat, openat, openat2, statat, unlinkat,
};
use rustix::io::{Errno, read, write};
use rustix::process::{Pid, getpid};
use rustix::thread::{Timespec, nanosleep};

use crate::host::fds::CALLERS;
use crate::plan::op::Limits;
use crate::process::watchdog::{End, Keeper};
use crate::sys::Arguments;
use crate::sys::fd::RESOLVE;

/// How the names of the jails' own begin.
const OWN: &str = "jail-";

/// CGROUP2_SUPER_MAGIC.
const CGROUP2: FsWord = 0x6367_7270;

/// A jail's cgroup while it runs.
pub(crate) struct Cgroup {
    /// Its directory.
    dir: OwnedFd,
    /// What a process writes 0 to in order to enter.
    procs: OwnedFd,
    /// Removes it, whatever becomes of the launcher.
    keeper: Option<Keeper>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How often the kernel killed a process because memory was at its limit.
    pub oom_kills: u64,
    /// The most memory in use, in bytes; None where the kernel does not count it
    /// (before Linux 5.19).
    pub peak: Option<u64>,
}

impl Cgroup {
    /// Makes it below the cgroup whose directory is `parent`. `move_callers`: the
    /// processes there must give way.
    pub(crate) fn make(parent: &CStr, move_callers: bool, limits: &Limits, arguments: &Arguments) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat2(CWD, parent, flags, Mode::empty(), RESOLVE)?;
        // The path comes from /proc, and what lies there may have been covered since.
        if fstatfs(&parent)?.f_type != CGROUP2 {
            return Err(Errno::NODEV);
        }
        // Others set up and clear away, too; while this is open they wait.
        let lock = openat(&parent, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let name = free_name(&parent)?;
        // Before there is anything that must be removed, and after the name is known to be
        // free: the keeper removes what has it.
        let keeper = {
            let own = parent.try_clone().map_err(|_| Errno::MFILE)?;
            let name = name.clone();
            let kept = [own.as_raw_fd()];
            Keeper::start(arguments, &kept, move |end| remove(&own, &name, end))?
        };
        let made = Self::limited(&parent, &name, move_callers, limits);
        // The keeper takes it when it is dropped.
        drop(lock);
        let (dir, procs) = made?;
        Ok(Self { dir, procs, keeper: Some(keeper) })
    }

    /// Makes the cgroup `name` with its limits: its directory, and the file by which a
    /// process enters.
    fn limited(parent: &OwnedFd, name: &CStr, move_callers: bool, limits: &Limits) -> Result<(OwnedFd, OwnedFd), Errno> {
        if move_callers {
            existing(mkdirat(parent, CALLERS, Mode::from_raw_mode(0o755)))?;
            move_all(parent, parent, CALLERS)?;
        }
        enable(parent, move_callers, limits)?;
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        let dir = directory(parent, name)?;
        if let Some(memory) = limits.memory {
            put(&dir, c"memory.max", &memory.to_string())?;
            // What is over is not to go to the disk. Without swap there is no file.
            match put(&dir, c"memory.swap.max", "0") {
                Err(Errno::NOENT) => {}
                done => done?,
            }
        }
        if let Some(tasks) = limits.tasks {
            put(&dir, c"pids.max", &tasks.to_string())?;
        }
        if let Some(thousandths) = limits.cpus {
            // Microseconds of each tenth of a second.
            put(&dir, c"cpu.max", &format!("{} 100000", thousandths * 100))?;
        }
        let procs = openat(&dir, c"cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok((dir, procs))
    }

    /// The file that a process writes 0 to in order to enter.
    pub(crate) fn procs(&self) -> BorrowedFd<'_> {
        self.procs.as_fd()
    }

    /// The descriptors that it is held by.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = i32> {
        let keeper = self.keeper.as_ref().and_then(Keeper::descriptor);
        [self.dir.as_raw_fd(), self.procs.as_raw_fd()].into_iter().chain(keeper)
    }

    /// The process that removes it.
    pub(crate) fn keeper(&self) -> Option<Pid> {
        self.keeper.as_ref().map(Keeper::pid)
    }

    /// What was counted so far.
    pub(crate) fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        if let Ok(events) = get(&self.dir, c"memory.events") {
            counted.oom_kills =
                events.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.parse().ok()).unwrap_or(0);
        }
        counted.peak = get(&self.dir, c"memory.peak").ok().and_then(|text| text.trim_ascii().parse().ok());
        counted
    }
}

/// Enables the controllers of `limits` for what lies below `parent`.
///
/// The kernel refuses (EBUSY) while a process is in `parent`. One that was being made while
/// the others were moved may be there, and one that ends is: newer kernels (seen with 7.3)
/// let it go a moment after cgroup.procs has stopped to list it.
fn enable(parent: &OwnedFd, move_callers: bool, limits: &Limits) -> Result<(), Errno> {
    let enabled = get(parent, c"cgroup.subtree_control")?;
    if limits.controllers().all(|name| enabled.split_ascii_whitespace().any(|enabled| enabled == name)) {
        return Ok(());
    }
    for _ in 0..100 {
        match put(parent, c"cgroup.subtree_control", &controllers(limits)) {
            Err(Errno::BUSY) if move_callers => {
                let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 });
                move_all(parent, parent, CALLERS)?;
            }
            done => return done,
        }
    }
    Err(Errno::BUSY)
}

/// A name that no cgroup has. A launcher in another pid namespace can have the same
/// number as this one, and a cgroup whose keeper was killed can be left.
fn free_name(parent: &OwnedFd) -> Result<CString, Errno> {
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    for number in own..own + 10_000 {
        let name = CString::new(format!("{OWN}{number}")).map_err(|_| Errno::INVAL)?;
        match statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(name),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

/// Removes the cgroup `name`, and puts the callers back where no other jail needs
/// them away. Nobody is left to be told of a failure.
fn remove(parent: &OwnedFd, name: &CStr, end: End) {
    if let (End::Dead, Ok(dir)) = (end, directory(parent, name)) {
        // Linux 5.14. Before, all dies with process 1 but with --pid host.
        let _ = put(&dir, c"cgroup.kill", "1");
    }
    // Until the kernel has taken the last of the dead out.
    for wait in 0..500 {
        match remove_all(parent, name) {
            Err(Errno::BUSY) => _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: wait.min(10) * 1_000_000 }),
            _ => break,
        }
    }
    let Ok(lock) = openat(parent, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else { return };
    if flock(&lock, FlockOperation::LockExclusive).is_err() || others(&lock) {
        return;
    }
    let Ok(callers) = directory(parent, CALLERS) else { return };
    let _ = put(parent, c"cgroup.subtree_control", "-memory").and(put(parent, c"cgroup.subtree_control", "-pids"));
    let _ = put(parent, c"cgroup.subtree_control", "-cpu");
    let _ = move_all(&callers, parent, c".");
    let _ = unlinkat(parent, CALLERS, AtFlags::REMOVEDIR);
}

/// Removes a cgroup and those that the command has made in it.
fn remove_all(parent: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::BUSY) => {}
        done => return done,
    }
    let list = openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&list)?.flatten() {
        if entry.file_type() == FileType::Directory && !entry.file_name().to_bytes().starts_with(b".") {
            remove_all(&list, entry.file_name())?;
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Is there another jail's cgroup?
fn others(parent: &OwnedFd) -> bool {
    let Ok(dir) = rustix::fs::Dir::read_from(parent) else { return true };
    dir.flatten().any(|entry| {
        let number = entry.file_name().to_bytes().strip_prefix(OWN.as_bytes());
        number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    })
}

/// Moves every process of the cgroup `from` to the cgroup `name` below `parent`.
fn move_all(from: &OwnedFd, parent: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let to = directory(parent, name)?;
    // They may make new ones meanwhile.
    for _ in 0..100 {
        let all = get(from, c"cgroup.procs")?;
        if all.is_empty() {
            return Ok(());
        }
        for pid in all.lines() {
            match put(&to, c"cgroup.procs", pid) {
                // It has ended.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Err(Errno::BUSY)
}

fn directory(at: impl AsFd, path: &CStr) -> Result<OwnedFd, Errno> {
    openat(at, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn put(dir: &OwnedFd, file: &CStr, text: &str) -> Result<(), Errno> {
    let file = openat(dir, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(&file, text.as_bytes()).map(drop)
}

fn get(dir: &OwnedFd, file: &CStr) -> Result<String, Errno> {
    let file = openat(dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match read(&file, &mut part)? {
            0 => return String::from_utf8(all).map_err(|_| Errno::ILSEQ),
            read => all.extend_from_slice(&part[..read]),
        }
    }
}

/// The controllers that `limits` need, as cgroup.subtree_control takes them.
fn controllers(limits: &Limits) -> String {
    limits.controllers().map(|name| format!("+{name} ")).collect()
}

fn existing(made: Result<(), Errno>) -> Result<(), Errno> {
    if made == Err(Errno::EXIST) { Ok(()) } else { made }
}
