//! What the steps of process 1 and the command's process share.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::{Errno, write};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::process::Pid;

use crate::child::io::{wait_for_byte, walk};
use crate::child::overlay_mount::CheckedLayers;
use crate::process::fd_channel::{Greeter, Listener};
use crate::process::subreaper::Children;
use crate::relay::reach::Reacher;
use crate::sys::fd::RESOLVE;
use crate::sys::{self, Arguments, Clock};
use crate::util::path::split;

impl<'a> State<'a> {
    /// Before the first operation.
    pub(crate) fn new(arguments: &'a Arguments, report: BorrowedFd<'a>, clock: Option<&'a Clock>) -> Self {
        Self {
            arguments,
            clock,
            report,
            placeholders: [false; 3],
            go: None,
            greeter: None,
            cgroup_procs: None,
            overlay: None,
            reacher: None,
            ruleset: None,
            init: None,
            devpts: None,
            terminal: None,
            root: None,
            working: None,
            made: None,
            proc_self: None,
            children: None,
            network: None,
            joined: false,
            host_root: None,
            source: None,
            mask_dir: None,
            mask_file: None,
        }
    }

    /// Clones the host's root while nothing lies on it yet. A clone made later
    /// would hold the jail's own root.
    pub(crate) fn keep_host_root(&mut self) -> Result<(), Errno> {
        self.host_root = Some(open_tree(CWD, c"/", CLONE | OpenTreeFlags::AT_RECURSIVE)?);
        Ok(())
    }

    /// Clones the mounts from a host path on down. Plans hold canonical paths: a link
    /// put there since is an error and not a way elsewhere.
    pub(crate) fn clone_tree(&mut self, path: &'a CStr) -> Result<OwnedFd, Errno> {
        if let Some(tree) = self.host_root.take_if(|_| path == c"/") {
            return Ok(tree);
        }
        let (dir, name) = split(path)?;
        if !dir.is_empty() && self.source.as_ref().is_none_or(|(at, _)| *at != dir) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.source = Some((dir, openat2(CWD, dir, flags, Mode::empty(), RESOLVE)?));
        }
        // Recursive: a user namespace may not show what a mount below covers.
        let flags = CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let tree = match &self.source {
            Some((_, opened)) if !dir.is_empty() => open_tree(opened, name, flags)?,
            _ => open_tree(CWD, path, flags)?,
        };
        if FileType::from_raw_mode(fstat(&tree)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        Ok(tree)
    }

    pub(crate) fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    /// Opens a path inside. Plans hold paths without links; a link that someone
    /// put there since is refused, as is anything that leads out of the root.
    pub(crate) fn inside(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        let (root, path, flags) = (self.root()?, below_root(path), OFlags::PATH | OFlags::CLOEXEC);
        match openat2(root, path, flags, Mode::empty(), RESOLVE | ResolveFlags::BENEATH) {
            // A jail or a container around this one refuses the call.
            Err(Errno::NOSYS) => walk(root, path),
            done => done,
        }
    }

    /// Opens the directory inside that `path` lies in, and gives the last name, too.
    pub(crate) fn parent(&mut self, path: &'a CStr) -> Result<(BorrowedFd<'_>, &'a CStr), Errno> {
        let (dir, name) = split(path)?;
        if dir.is_empty() {
            return Ok((self.root()?, name));
        }
        if self.working.as_ref().is_none_or(|(at, _)| *at != dir) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = RESOLVE | ResolveFlags::BENEATH;
            // Start at the last directory if the new one lies below it. Otherwise the kernel
            // walks from the root for each directory of a deep path.
            let last = self.working.as_ref().and_then(|(at, opened)| Some((opened, dir.strip_prefix(*at)?.strip_prefix(b"/")?)));
            let opened = match last {
                Some((last, rest)) => openat2(last, rest, flags, Mode::empty(), resolve)?,
                None => openat2(self.root()?, &dir[1..], flags, Mode::empty(), resolve)?,
            };
            self.working = Some((dir, opened));
        }
        Ok((self.working.as_ref().ok_or(Errno::BADF)?.1.as_fd(), name))
    }

    /// Attaches a mount at a path inside.
    pub(crate) fn attach(&mut self, mount: BorrowedFd<'_>, dest: &'a CStr) -> Result<(), Errno> {
        if self.made == Some(dest) {
            let (parent, name) = self.parent(dest)?;
            move_mount(mount, c"", parent, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        } else {
            // Of a link that someone has put there the kernel would say nothing.
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            move_mount(mount, c"", self.inside(dest)?, c"", flags)?;
        }
        self.covered(dest);
        Ok(())
    }

    /// Something is done.
    pub(crate) fn tick(&self) {
        if let Some(clock) = self.clock {
            clock.tick();
        }
    }

    /// Closes every descriptor from `first` up, but for `keep` and those that
    /// exec closes and the launcher waits for.
    pub(crate) fn close_all_but(&self, first: i32, keep: &[i32]) -> Result<(), Errno> {
        let report = self.report.as_raw_fd();
        let greeter = self.greeter.as_ref().map_or(report, |greeter| greeter.as_fd().as_raw_fd());
        sys::close_all_but(first, keep, &[report, greeter])
    }

    /// A parent that died before it was asked to tell is noticed here: the other
    /// end of the pipe is then gone. getppid is 0 in a new pid namespace.
    pub(crate) fn launcher_lives(&self) -> Result<(), Errno> {
        let mut fds = [PollFd::new(&self.report, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once))?;
        if fds[0].revents().contains(PollFlags::ERR) {
            return Err(Errno::PIPE);
        }
        Ok(())
    }

    pub(crate) fn create(&mut self, dest: &'a CStr) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(dest)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(parent, name, flags, Mode::from_raw_mode(0o644))
    }

    pub(crate) fn open_proc_self(&mut self) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.proc_self = Some(openat(CWD, c"/proc/self", flags, Mode::empty())?);
        Ok(())
    }

    pub(crate) fn wait_for_launcher(&self) -> Result<(), Errno> {
        wait_for_byte(self.go.as_ref().ok_or(Errno::BADF)?)
    }

    pub(crate) fn write_proc(&self, file: &CStr, text: &str) -> Result<(), Errno> {
        let dir = self.proc_self.as_ref().ok_or(Errno::BADF)?;
        let file = openat(dir, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        write(&file, text.as_bytes()).map(drop)
    }
}

/// What the operations share.
pub(crate) struct State<'a> {
    /// The launcher's argument strings, to be wiped.
    pub(crate) arguments: &'a Arguments,
    /// Ticks with each operation, where someone wants to know.
    pub(crate) clock: Option<&'a Clock>,
    /// The pipe to the launcher, whose other end only the launcher holds.
    pub(crate) report: BorrowedFd<'a>,
    /// Which of descriptors 0, 1 and 2 the caller closed. The host's `/` is open there.
    pub(crate) placeholders: [bool; 3],
    /// A pipe on which the launcher says that the network stands.
    pub(crate) go: Option<OwnedFd>,
    /// Tells the launcher which process is the command's.
    pub(crate) greeter: Option<Greeter>,
    /// The file to write to in order to enter the jail's cgroup, if it has one.
    pub(crate) cgroup_procs: Option<BorrowedFd<'a>>,
    /// The layers that the launcher checked, with `--overlay`.
    pub(crate) overlay: Option<CheckedLayers>,
    /// The relay of `--reach`.
    pub(crate) reacher: Option<&'a Reacher>,
    /// Made by `Op::Ruleset`.
    pub(crate) ruleset: Option<OwnedFd>,
    /// The jail's own pseudo-terminals.
    pub(crate) devpts: Option<OwnedFd>,
    /// The jail's side of its own terminal.
    pub(crate) terminal: Option<OwnedFd>,
    /// The new root's mount.
    pub(crate) root: Option<OwnedFd>,
    /// The directory inside that was worked in last.
    pub(crate) working: Option<(&'a [u8], OwnedFd)>,
    /// What was made last, in memory that nobody else reaches.
    pub(crate) made: Option<&'a CStr>,
    /// This process's directory in the host's /proc.
    pub(crate) proc_self: Option<OwnedFd>,
    /// Process 1 as it is numbered where it has no process table of its own.
    pub(crate) init: Option<Pid>,
    /// This process's children, where it adopts orphans.
    pub(crate) children: Option<Children>,
    /// On which the network namespace comes that is made meanwhile.
    pub(crate) network: Option<Listener>,
    /// Was it joined?
    pub(crate) joined: bool,
    /// The host's root, cloned before anything lay on it, for binds of `/`.
    pub(crate) host_root: Option<OwnedFd>,
    /// The host's directory that something was cloned from last.
    pub(crate) source: Option<(&'a [u8], OwnedFd)>,
    /// The mask of the first hidden directory. All other hidden directories get a clone of
    /// it, because a file system for each takes several times as long.
    pub(crate) mask_dir: Option<OwnedFd>,
    /// The mask of the first hidden file.
    pub(crate) mask_file: Option<OwnedFd>,
}

pub(crate) const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// `path` without its leading slash, which openat2 below a root refuses.
pub(crate) fn below_root(path: &CStr) -> &CStr {
    match CStr::from_bytes_with_nul(path.to_bytes_with_nul().get(1..).unwrap_or(b"\0")) {
        Ok(rest) if !rest.is_empty() => rest,
        Ok(_) | Err(_) => c".",
    }
}
