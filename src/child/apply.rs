//! Each operation of a plan as the system calls that perform it. No decision is
//! made here. It runs between clone and exec: no lock, no allocation.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{
    AtFlags, CWD, FileType, FsWord, Mode, OFlags, chmodat, fcntl_getfl, fstat, fstatfs, makedev, mkdirat, mknodat, openat,
    openat2, statat, symlinkat,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsmount, fsopen,
    move_mount, open_tree, unmount,
};
use rustix::process::{DumpableBehavior, Rlimit, chdir, fchdir, pivot_root, set_dumpable_behavior, setrlimit, setsid};
use rustix::system::sethostname;
use rustix::thread::{set_name, set_no_new_privs, set_thread_groups};

use crate::child::affinity::run_on;
use crate::child::context::{CLONE, State};
use crate::child::io::{copy, write_all};
use crate::child::keyring::new_session_keyring;
use crate::child::mounts::{
    MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, QUIET, apart, devpts, memory, over_memory,
    restrict,
};
use crate::child::netns;
use crate::child::overlay_mount;
use crate::child::powers::{bound, hold};
use crate::child::protocol::{NAMESPACES, Report};
use crate::child::terminal;
use crate::plan::op::{Mapped, Op, Over};
use crate::policy::files::Access;
use crate::policy::identity::Range;
use crate::process::fd_channel::Handed;
use crate::process::subreaper::Children;
use crate::sys::fd::RESOLVE;
use crate::sys::loopback;
use crate::sys::{self, MountAttr};
use crate::util::stack_str::Line;

/// Told to process 1 when the launcher died and it has no process table of its
/// own with which everything would die: a real-time signal that nothing sends.
pub(crate) const LAUNCHER_DIED: i32 = 63;

/// What process 1 is called in ps(1).
const REAPER: &CStr = c"reaper";

impl<'a> State<'a> {
    /// Forgets the directory that was opened at `dest` or below: a mount covers it now.
    pub(crate) fn covered(&mut self, dest: &CStr) {
        self.working.take_if(|(at, _)| at.starts_with(dest.to_bytes()));
    }

    /// Attaches a clone of the first mask at `dest`. Returns false if there is no mask yet.
    pub(crate) fn mask_again(&mut self, dest: &'a CStr, dir: bool) -> Result<bool, Errno> {
        let Some(mask) = (if dir { &self.mask_dir } else { &self.mask_file }) else { return Ok(false) };
        let clone = open_tree(mask, c"", CLONE | OpenTreeFlags::AT_EMPTY_PATH)?;
        self.attach(clone.as_fd(), dest)?;
        Ok(true)
    }

    /// Performs one operation.
    pub(crate) fn perform(&mut self, op: &'a Op) -> Result<(), Errno> {
        self.do_it(op)?;
        self.tick();
        Ok(())
    }

    pub(crate) fn do_it(&mut self, op: &'a Op) -> Result<(), Errno> {
        match op {
            // The launcher performs these: supervisor/setup.rs.
            Op::RunFromCopy { .. }
            | Op::Gather { .. }
            | Op::MakeCgroup { .. }
            | Op::AdoptFromOutside
            | Op::KeepChanges { .. }
            | Op::Publish { .. }
            | Op::Reach { .. }
            | Op::Reacher => Err(Errno::NOSYS),
            Op::DropGroups => set_thread_groups(&[]),
            Op::EnterCgroup => write(self.cgroup_procs.ok_or(Errno::BADF)?, b"0").map(drop),
            Op::CgroupView => sys::unshare(libc::CLONE_NEWCGROUP),
            Op::DieWithLauncher => {
                sys::die_with_parent(libc::SIGKILL)?;
                self.launcher_lives()
            }
            Op::AdoptOrphans => {
                self.children = Some(Children::adopt()?);
                sys::die_with_parent(LAUNCHER_DIED)?;
                self.launcher_lives()
            }
            Op::DieWithInit => {
                sys::die_with_parent(libc::SIGKILL)?;
                // Dead already: then the kernel will not say so again.
                if rustix::process::getppid() == self.init { Ok(()) } else { Err(Errno::SRCH) }
            }
            Op::MapIds { inside, outside } => {
                self.open_proc_self()?;
                // Without privilege a group map may be written only once
                // setgroups(2) is denied for good (Linux 3.19, CVE-2014-8989).
                self.write_proc(c"setgroups", "deny")?;
                self.map(&[Range::one(inside.uid, outside.uid)], &[Range::one(inside.gid, outside.gid)])
            }
            Op::MapSubids { .. } => {
                self.open_proc_self()?;
                Report::AwaitsIds.send(self.report);
                self.wait_for_launcher()
            }
            Op::NewKeyring => match new_session_keyring() {
                // A kernel without keys has none to pass.
                Err(Errno::NOSYS) => Ok(()),
                // Container runtimes' filters refuse all that names a key, and so to
                // the command, too, which inherits them.
                Err(Errno::PERM) if sys::keys_are_refused() => Ok(()),
                done => done,
            },
            Op::HostRoot => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                self.root = Some(openat(CWD, c"/", flags, Mode::empty())?);
                self.proc_self = openat(CWD, c"/proc/self", flags, Mode::empty()).ok();
                Ok(())
            }
            Op::Uptime { now } => self.set_clocks(*now),
            Op::Hostname { name } => sethostname(name.as_encoded_bytes()),
            Op::JoinNetwork => {
                self.joined = self.network.take().is_some_and(|listener| netns::join(&listener));
                // Until now the one that made it may have held what tells of the launcher's
                // end, and that may have come before process 1 was to be told.
                self.launcher_lives()?;
                if self.joined { Ok(()) } else { sys::unshare(libc::CLONE_NEWNET) }
            }
            // Who made it has done so.
            Op::LoopbackUp if self.joined => Ok(()),
            Op::LoopbackUp => sys::loopback_up(),
            Op::RootMemory => {
                let mount = memory(None, 0o755, MountAttrFlags::empty())?;
                self.lay_on_root(mount)
            }
            Op::RootTree { source, access } => {
                let tree = self.clone_tree(source)?;
                restrict(tree.as_fd(), *access, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
                self.lay_on_root(tree)
            }
            Op::RootOverlay { source, over } => {
                let tree = openat2(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE)?;
                let mount = match over {
                    Over::Memory { size } => over_memory(tree.as_fd(), *size)?,
                    Over::Kept { dir } => {
                        // A second time, for a layer must be of this mount namespace.
                        let dir = openat2(CWD, dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE)?;
                        let layers = self.overlay.ok_or(Errno::BADF)?;
                        overlay_mount::mount(tree.as_fd(), &layers.reopen(dir.as_fd(), tree.as_fd())?)?
                    }
                };
                restrict(mount.as_fd(), Access::Writable, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
                self.lay_on_root(mount)
            }
            Op::Dir { dest, mode } => {
                let (parent, name) = self.parent(dest)?;
                mkdirat(parent, name, Mode::from_raw_mode(*mode))?;
                self.made = Some(dest);
                Ok(())
            }
            Op::Memory { dest, mode } => {
                let (parent, name) = self.parent(dest)?;
                mkdirat(parent, name, Mode::from_raw_mode(*mode))?;
                let mount = open_tree(parent, name, CLONE | OpenTreeFlags::AT_SYMLINK_NOFOLLOW)?;
                self.made = Some(dest);
                self.attach(mount.as_fd(), dest)
            }
            Op::MountPoint { dest } => {
                let (parent, name) = self.parent(dest)?;
                mknodat(parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?;
                self.made = Some(dest);
                Ok(())
            }
            Op::Symlink { target, dest } => {
                let (parent, name) = self.parent(dest)?;
                symlinkat(target.as_c_str(), parent, name)
            }
            Op::File { fd, dest } => {
                let file = self.create(dest)?;
                copy(sys::inherited(*fd).ok_or(Errno::BADF)?, file.as_fd())
            }
            Op::Hosts { dest, text } => {
                let made = apart(&|file| {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                    write_all(&openat(CWD, file, flags, Mode::from_raw_mode(0o644))?, text.as_bytes())
                })?;
                restrict(made.as_fd(), Access::ReadOnly, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
                self.attach(made.as_fd(), dest)
            }
            Op::Socket { dest, hole } => {
                let reacher = self.reacher.ok_or(Errno::BADF)?;
                let made = apart(&|file| {
                    reacher.listen_at(file, *hole)?;
                    chmodat(CWD, file, Mode::from_raw_mode(0o600), AtFlags::empty())
                })?;
                restrict(made.as_fd(), Access::ReadOnly, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
                self.attach(made.as_fd(), dest)
            }
            Op::Bind { source, dest, access } => {
                let tree = self.clone_tree(source)?;
                if *access == Access::Writable && fstatfs(&tree)?.f_flags & ST_RDONLY != 0 {
                    // Writable was asked for, and this could only be read.
                    return Err(Errno::ROFS);
                }
                restrict(tree.as_fd(), *access, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
                self.attach(tree.as_fd(), dest)
            }
            Op::Devices { source, dest } => {
                let tree = self.clone_tree(source)?;
                restrict(tree.as_fd(), Access::Writable, MOUNT_ATTR_NOSUID)?;
                self.attach(tree.as_fd(), dest)
            }
            Op::Device { source, dest } => {
                let tree = self.clone_tree(source)?;
                // A device needs no writable mount to be written to.
                restrict(tree.as_fd(), Access::ReadOnly, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
                self.attach(tree.as_fd(), dest)
            }
            Op::OwnDevice { fd, minor, source, dest } => self.own_device(*fd, *minor, source, dest.as_deref()),
            Op::Tmpfs { dest, size, mode } => {
                let mount = memory(*size, *mode, MountAttrFlags::empty())?;
                self.attach(mount.as_fd(), dest)
            }
            Op::Proc { dest } => {
                let config = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
                fsconfig_create(&config)?;
                let mount = fsmount(&config, FsMountFlags::FSMOUNT_CLOEXEC, QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
                self.attach(mount.as_fd(), dest)
            }
            Op::Devpts { dest } => {
                let mount = devpts()?;
                self.attach(mount.as_fd(), dest)?;
                self.devpts = Some(mount);
                Ok(())
            }
            Op::OpenTerminal => {
                let mount = match self.devpts.take() {
                    Some(mount) => mount,
                    None => devpts()?,
                };
                let (master, slave) = terminal::open(mount.as_fd())?;
                self.terminal = Some(slave);
                self.greeter.as_ref().ok_or(Errno::BADF)?.hand_over(Handed::Terminal, &master)
            }
            Op::TakeTerminal => terminal::take(&self.terminal.take().ok_or(Errno::BADF)?),
            Op::Seal { .. } if cfg!(open_mounts) => Ok(()),
            Op::Seal { dest } => {
                let sealed = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
                if dest.as_c_str() == c"/" {
                    return sys::mount_setattr(self.root()?, false, &sealed);
                }
                sys::mount_setattr(self.inside(dest)?.as_fd(), false, &sealed)
            }
            Op::Hide { dest, dir } if self.mask_again(dest, *dir)? => Ok(()),
            Op::Hide { dest, dir: true } => {
                let attr = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOEXEC;
                let mount = memory(None, 0, attr)?;
                self.attach(mount.as_fd(), dest)?;
                self.mask_dir = Some(mount);
                Ok(())
            }
            Op::Hide { dest, dir: false } => {
                // A device node where devices may not be opened: nobody, root
                // of the jail included, gets anything but EACCES.
                let tree = self.clone_tree(c"/dev/null")?;
                restrict(tree.as_fd(), Access::ReadOnly, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
                self.attach(tree.as_fd(), dest)?;
                self.mask_file = Some(tree);
                Ok(())
            }
            Op::Restrict { dest, mounted, access, noexec } => {
                let at = self.inside(dest)?;
                let extra = if *noexec { MOUNT_ATTR_NOEXEC } else { 0 };
                if *mounted {
                    return restrict(at.as_fd(), *access, extra);
                }
                let tree = open_tree(&at, c"", CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH)?;
                restrict(tree.as_fd(), *access, extra)?;
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
                move_mount(&tree, c"", &at, c"", flags)?;
                self.covered(dest);
                Ok(())
            }
            Op::EnterRoot => {
                fchdir(self.root()?)?;
                // The old root comes to lie on the new one and is let go of:
                // nothing of the host's tree is left in this mount namespace.
                pivot_root(c".", c".")?;
                unmount(c".", UnmountFlags::DETACH)?;
                chdir(c"/")
            }
            Op::LockMounts { namespaces, ids } => match &**ids {
                Mapped::One(ids) => {
                    sys::unshare(*namespaces)?;
                    self.map(&[Range::one(ids.uid, ids.uid)], &[Range::one(ids.gid, ids.gid)])
                }
                Mapped::All { uids, gids } => self.unshare_and_map(*namespaces, uids, gids),
            },
            Op::NoUserNamespaces => self.allow_no_user_namespaces(),
            Op::LoopbackAddress { address } => loopback::add(*address),
            Op::Listen { at, hole } => self.reacher.ok_or(Errno::BADF)?.listen(at, *hole),
            Op::AwaitNetwork { .. } | Op::AwaitPublisher => {
                Report::AwaitsNetwork.send(self.report);
                self.wait_for_launcher()
            }
            Op::TellNamespaces => {
                let dir = self.proc_self.as_ref().ok_or(Errno::BADF)?;
                for (index, name) in NAMESPACES.iter().enumerate() {
                    let inode = statat(dir, *name, AtFlags::empty())?.st_ino;
                    Report::Namespace(index, inode).send(self.report);
                }
                Ok(())
            }
            Op::Disguise => {
                // Another name than the launcher's: `pkill jail` is for that.
                self.arguments.wipe(REAPER.to_bytes());
                set_name(REAPER)
            }
            Op::NotDumpable => set_dumpable_behavior(DumpableBehavior::NotDumpable),
            Op::BoundCapabilities { keep } => bound(*keep),
            Op::NoNewPrivileges => set_no_new_privs(true),
            Op::NewSession => setsid().map(drop),
            Op::Capabilities { keep } => hold(*keep),
            Op::Chdir { path } => chdir(path.as_c_str()),
            Op::Rlimit { limit } => setrlimit(limit.resource, Rlimit { current: limit.soft, maximum: limit.hard }),
            Op::Umask { mask } => sys::umask(*mask).map(drop),
            Op::Processors { set } => run_on(set),
            Op::CloseDescriptors { keep } => {
                // The kernel closes them in exec only after it has opened the interpreter of a
                // script: `#!/proc/self/fd/0/home/...` would execute any file of the host.
                let placeholders = (0..).zip(self.placeholders).filter(|(_, placeholder)| *placeholder);
                placeholders.filter_map(|(fd, _)| sys::inherited(fd)).for_each(sys::close);
                self.close_all_but(3, keep)
            }
            Op::Ruleset { abi, ruleset } => {
                self.ruleset = Some(self.rules(*abi, ruleset)?);
                Ok(())
            }
            Op::Landlock => sys::landlock_restrict(self.ruleset.take().ok_or(Errno::BADF)?.as_fd()),
            Op::FilterCalls { filter } if filter.told => {
                let refusals = sys::filter_told(&filter.program)?;
                self.greeter.as_ref().ok_or(Errno::BADF)?.hand_over(Handed::Refusals, &refusals)?;
                // Exec closes it. The policy may refuse close(2).
                core::mem::forget(refusals);
                Ok(())
            }
            Op::FilterCalls { filter } => sys::filter(&filter.program),
        }
    }

    /// Has descriptor `fd` refer to the device at `dest`, or to `source` of the host's,
    /// through a mount that is read-only: the device takes data, and keeps its mode, times
    /// and attributes.
    pub(crate) fn own_device(&mut self, fd: i32, minor: u32, source: &'static CStr, dest: Option<&CStr>) -> Result<(), Errno> {
        let flags = fcntl_getfl(sys::inherited(fd).ok_or(Errno::BADF)?)?;
        let device = match dest {
            Some(dest) => self.inside(dest)?,
            None => {
                let mount = self.clone_tree(source)?;
                restrict(mount.as_fd(), Access::ReadOnly, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
                mount
            }
        };
        let stat = fstat(&device)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || stat.st_rdev != makedev(1, minor) {
            return Err(Errno::NODEV);
        }
        // `device` only names it. This opens it.
        let mut path = Line::<32>::new();
        path.print(format_args!("fd/{}", device.as_raw_fd()))?;
        let opened = openat(self.proc_self.as_ref().ok_or(Errno::BADF)?, path.c_str()?, flags & OFlags::RWMODE, Mode::empty())?;
        sys::replace(fd, opened.as_fd())?;
        fcntl_setfd(sys::inherited(fd).ok_or(Errno::BADF)?, FdFlags::empty())
    }
}

const ST_RDONLY: FsWord = 1;
