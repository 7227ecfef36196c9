//! What the launcher does outside before there is a jail: the host steps of the plan.

use std::os::fd::AsFd;

use rustix::fs::{FileType, MemfdFlags, SeekFrom, fstat, memfd_create, seek};
use rustix::io::Errno;
use rustix::thread::set_thread_groups;

use crate::child::io::copy;
use crate::plan::op::Op;
use crate::policy::identity::Range;
use crate::process::subreaper::Children;
use crate::relay::connect::Target;
use crate::relay::publish::Listening;
use crate::relay::reach::{self, Reacher};
use crate::supervisor::cgroup::Cgroup;
use crate::supervisor::overlay_dir::{Entry, Kept, Owners, Unfit};
use crate::supervisor::sealed_copy;
use crate::sys::{self, Arguments, Clock};

/// What the host steps made. Process 1 gets a part of it; the supervisor gets the rest.
pub(crate) struct HostSetup<'a> {
    /// The launcher's argument strings, which helper processes wipe.
    arguments: &'a Arguments,
    /// Ticks with each step, with `--explain=time`.
    clock: Option<&'a Clock>,
    /// The user ids that `--subids` maps.
    subordinate: &'a [Range],
    /// Made by `Op::MakeCgroup`.
    pub(crate) cgroup: Option<Cgroup>,
    /// Made by `Op::Publish`.
    pub(crate) published: Vec<Listening>,
    /// Opened by `Op::Reach`, until the relay has them.
    targets: Vec<Target>,
    /// Started by `Op::Reacher`.
    pub(crate) reacher: Option<Reacher>,
    /// Opened by `Op::KeepChanges`.
    pub(crate) kept: Option<Kept>,
    /// Set when `Op::KeepChanges` fails because of an entry of the directory.
    pub(crate) unfit: Option<(Entry, Unfit)>,
    /// Set by `Op::AdoptFromOutside`.
    pub(crate) children: Option<Children>,
}

impl<'a> HostSetup<'a> {
    /// Before the first step.
    pub(crate) fn new(arguments: &'a Arguments, subordinate: &'a [Range], clock: Option<&'a Clock>) -> Self {
        Self {
            arguments,
            clock,
            subordinate,
            cgroup: None,
            published: Vec::new(),
            targets: Vec::new(),
            reacher: None,
            kept: None,
            unfit: None,
            children: None,
        }
    }

    /// Performs one host step.
    ///
    /// # Errors
    /// The kernel's; ENOSYS for an operation that process 1 or the command's process performs.
    #[allow(clippy::wildcard_enum_match_arm, reason = "all others are steps of the child")]
    pub(crate) fn perform(&mut self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::RunFromCopy { args_files, only_make } => sealed_copy::run_from_copy(args_files, *only_make, self.arguments)?,
            Op::Gather { fd } => buffer_input(*fd)?,
            Op::DropGroups => set_thread_groups(&[])?,
            Op::MakeCgroup { parent, move_callers, limits } => {
                self.cgroup = Some(Cgroup::make(parent, *move_callers, limits, self.arguments)?);
            }
            Op::AdoptFromOutside => self.children = Some(Children::adopt()?),
            Op::KeepChanges { dir, tree, owner } => {
                let owners = Owners { caller: *owner, subordinate: self.subordinate };
                self.kept = Some(Kept::open(dir, tree, owners, self.arguments, &mut self.unfit)?);
            }
            Op::Publish { hole } => self.published.push(Listening::new(*hole)?),
            Op::Reach { to, .. } => self.targets.push(reach::hold(to)?),
            Op::Reacher => {
                self.reacher = Some(Reacher::start(self.arguments, &core::mem::take(&mut self.targets))?);
            }
            _ => return Err(Errno::NOSYS),
        }
        self.tick();
        Ok(())
    }

    /// Notes the time, with `--explain=time`.
    pub(crate) fn tick(&self) {
        if let Some(clock) = self.clock {
            clock.tick();
        }
    }
}

/// Puts a file with all that descriptor `fd` gives in its place. A regular file is
/// that already.
fn buffer_input(fd: i32) -> Result<(), Errno> {
    let from = sys::inherited(fd).ok_or(Errno::BADF)?;
    let kind = FileType::from_raw_mode(fstat(from)?.st_mode);
    if kind == FileType::RegularFile {
        return Ok(());
    }
    if kind == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    let memory = memfd_create(c"jail", MemfdFlags::CLOEXEC)?;
    copy(from, memory.as_fd())?;
    seek(&memory, SeekFrom::Start(0))?;
    sys::replace(fd, memory.as_fd())
}
