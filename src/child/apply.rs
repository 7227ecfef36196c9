//! Each operation of a plan as the system calls that perform it. No decision is
//! made here. It runs between clone and exec: no lock, no allocation.

use core::ffi::CStr;
use core::fmt::Write as _;
use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    AtFlags, CWD, FileType, FsWord, MemfdFlags, Mode, OFlags, ResolveFlags, SeekFrom, chmodat, fcntl_getfl, fstat, fstatfs,
    makedev, memfd_create, mkdirat, mknodat, openat, openat2, seek, sendfile, statat, symlinkat,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd, read, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, Rlimit, WaitOptions, chdir, fchdir, pivot_root, set_dumpable_behavior, setrlimit, setsid, waitpid,
};
use rustix::system::sethostname;
use rustix::thread::{
    CapabilitySet, CapabilitySets, CpuSet, configure_capability_in_ambient_set, nanosleep, remove_capability_from_bounding_set,
    sched_getaffinity, sched_setaffinity, set_capabilities, set_name, set_no_new_privs, set_thread_groups,
};

use crate::child::protocol::{NAMESPACES, Report};
use crate::plan::landlock::{self, Ruleset};
use crate::plan::own_file;
use crate::plan::{Mapped, Op, Over, Range};
use crate::policy::Access;
use crate::process::fd_channel::{Greeter, Handed, Listener};
use crate::process::subreaper::Children;
use crate::relay::Target;
use crate::relay::publish::Listening;
use crate::relay::reach::{self, Reacher};
use crate::supervisor::cgroup::Cgroup;
use crate::supervisor::netns_helper;
use crate::supervisor::overlay_dir::{self, Entry, Kept, Owners, Unfit};
use crate::supervisor::pty_relay;
use crate::sys::caps;
use crate::sys::loopback;
use crate::sys::{self, Arguments, Clock, Cloned, MountAttr, SignalSet};

/// Told to process 1 when the launcher died and it has no process table of its
/// own with which everything would die: a real-time signal that nothing sends.
pub(crate) const LAUNCHER_DIED: i32 = 63;

/// What process 1 is called in ps(1).
const REAPER: &CStr = c"reaper";

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
    /// Made by `Op::MakeCgroup`.
    pub(crate) cgroup: Option<Cgroup>,
    /// Made by `Op::Publish`.
    pub(crate) published: Vec<Listening>,
    /// Held by `Op::Reach`, until the reacher has them.
    targets: Vec<Target>,
    /// Started by `Op::Reacher`.
    pub(crate) reacher: Option<Reacher>,
    /// Made by `Op::KeepChanges`.
    pub(crate) kept: Option<Kept>,
    /// The user ids that `--subids` maps.
    pub(crate) subordinate: &'a [Range],
    /// Set when `Op::KeepChanges` fails because of an entry of the directory.
    pub(crate) unfit: Option<(Entry, Unfit)>,
    /// Made by `Op::Ruleset`.
    ruleset: Option<OwnedFd>,
    /// The jail's own pseudo-terminals.
    devpts: Option<OwnedFd>,
    /// The jail's side of its own terminal.
    terminal: Option<OwnedFd>,
    /// The new root's mount.
    root: Option<OwnedFd>,
    /// The directory inside that was worked in last.
    working: Option<(&'a [u8], OwnedFd)>,
    /// What was made last, in memory that nobody else reaches.
    made: Option<&'a CStr>,
    /// This process's directory in the host's /proc.
    proc_self: Option<OwnedFd>,
    /// Process 1 as it is numbered where it has no process table of its own.
    pub(crate) init: Option<Pid>,
    /// This process's children, where it adopts orphans.
    pub(crate) children: Option<Children>,
    /// On which the network namespace comes that is made meanwhile.
    pub(crate) network: Option<Listener>,
    /// Was it joined?
    joined: bool,
    /// The host's root, cloned before anything lay on it, for binds of `/`.
    host_root: Option<OwnedFd>,
    /// The host's directory that something was cloned from last.
    source: Option<(&'a [u8], OwnedFd)>,
    /// The mask of the first hidden directory. All other hidden directories get a clone of
    /// it, because a file system for each takes several times as long.
    mask_dir: Option<OwnedFd>,
    /// The mask of the first hidden file.
    mask_file: Option<OwnedFd>,
}

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
            cgroup: None,
            published: Vec::new(),
            targets: Vec::new(),
            reacher: None,
            kept: None,
            subordinate: &[],
            unfit: None,
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
    fn clone_tree(&mut self, path: &'a CStr) -> Result<OwnedFd, Errno> {
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

    fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    /// Opens a path inside. Plans hold paths without links; a link that someone
    /// put there since is refused, as is anything that leads out of the root.
    fn inside(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        let (root, path, flags) = (self.root()?, below_root(path), OFlags::PATH | OFlags::CLOEXEC);
        match openat2(root, path, flags, Mode::empty(), RESOLVE | ResolveFlags::BENEATH) {
            // A jail or a container around this one refuses the call.
            Err(Errno::NOSYS) => walk(root, path),
            done => done,
        }
    }

    /// Opens the directory inside that `path` lies in, and gives the last name, too.
    fn parent(&mut self, path: &'a CStr) -> Result<(BorrowedFd<'_>, &'a CStr), Errno> {
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
    fn attach(&mut self, mount: BorrowedFd<'_>, dest: &'a CStr) -> Result<(), Errno> {
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

    /// Forgets the directory that was opened at `dest` or below: a mount covers it now.
    fn covered(&mut self, dest: &CStr) {
        self.working.take_if(|(at, _)| at.starts_with(dest.to_bytes()));
    }

    /// Attaches a clone of the first mask at `dest`. Returns false if there is no mask yet.
    fn mask_again(&mut self, dest: &'a CStr, dir: bool) -> Result<bool, Errno> {
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

    /// Something is done.
    pub(crate) fn tick(&self) {
        if let Some(clock) = self.clock {
            clock.tick();
        }
    }

    fn do_it(&mut self, op: &'a Op) -> Result<(), Errno> {
        match op {
            Op::RunFromCopy { args_files, only_make } => own_file::run_from_copy(args_files, *only_make, self.arguments),
            Op::Gather { fd } => gather(*fd),
            Op::DropGroups => set_thread_groups(&[]),
            Op::MakeCgroup { parent, move_callers, limits } => {
                self.cgroup = Some(Cgroup::make(parent, *move_callers, limits, self.arguments)?);
                Ok(())
            }
            Op::EnterCgroup => self.cgroup.as_ref().ok_or(Errno::BADF)?.enter(),
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
            Op::AdoptFromOutside => {
                self.children = Some(Children::adopt()?);
                Ok(())
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
                self.joined = self.network.take().is_some_and(|listener| netns_helper::join(&listener));
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
            Op::KeepChanges { dir, tree, owner } => {
                let owners = Owners { caller: *owner, subordinate: self.subordinate };
                self.kept = Some(Kept::open(dir, tree, owners, self.arguments, &mut self.unfit)?);
                Ok(())
            }
            Op::RootOverlay { source, over } => {
                let tree = openat2(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE)?;
                let mount = match over {
                    Over::Memory { size } => over_memory(tree.as_fd(), *size)?,
                    Over::Kept { dir } => {
                        // A second time, for a layer must be of this mount namespace.
                        let dir = openat2(CWD, dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE)?;
                        let kept = self.kept.as_ref().ok_or(Errno::BADF)?;
                        overlay_dir::mount(tree.as_fd(), &kept.layers(dir.as_fd(), tree.as_fd())?)?
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
                let reacher = self.reacher.as_ref().ok_or(Errno::BADF)?;
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
                let (master, slave) = pty_relay::open(mount.as_fd())?;
                self.terminal = Some(slave);
                self.greeter.as_ref().ok_or(Errno::BADF)?.hand_over(Handed::Terminal, &master)
            }
            Op::TakeTerminal => pty_relay::take(&self.terminal.take().ok_or(Errno::BADF)?),
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
            Op::Publish { hole } => {
                self.published.push(Listening::new(*hole)?);
                Ok(())
            }
            Op::Reach { to, .. } => {
                self.targets.push(reach::hold(to)?);
                Ok(())
            }
            Op::Reacher => {
                self.reacher = Some(Reacher::start(self.arguments, &core::mem::take(&mut self.targets))?);
                Ok(())
            }
            Op::LoopbackAddress { address } => loopback::add(*address),
            Op::Listen { at, hole } => self.reacher.as_ref().ok_or(Errno::BADF)?.listen(at, *hole),
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

    /// Has descriptor `fd` refer to the device at `dest`, or to `source` of the host's,
    /// through a mount that is read-only: the device takes data, and keeps its mode, times
    /// and attributes.
    fn own_device(&mut self, fd: i32, minor: u32, source: &'static CStr, dest: Option<&CStr>) -> Result<(), Errno> {
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

    fn rules(&self, abi: u32, rules: &Ruleset) -> Result<OwnedFd, Errno> {
        let ruleset = sys::landlock_ruleset(abi, rules.files, rules.ports, rules.scoped)?;
        for (path, rights) in &rules.below {
            let file = self.inside(path)?;
            match sys::landlock_allow_below(ruleset.as_fd(), file.as_fd(), *rights) {
                // The kernel refuses a right over a file that only directories have.
                Err(Errno::INVAL) => sys::landlock_allow_below(ruleset.as_fd(), file.as_fd(), rights & landlock::OF_FILES)?,
                done => done?,
            }
        }
        if let Some(queues) = if rules.queues { queues()? } else { None } {
            let rights = landlock::READ_FILE | landlock::WRITE_FILE;
            sys::landlock_allow_below(ruleset.as_fd(), queues.as_fd(), rights & rules.files)?;
        }
        for file in rules.descriptors.iter().filter_map(|fd| sys::inherited(*fd)) {
            if let Some(rights) = rights_of(file)?.map(|rights| rights & rules.files) {
                match sys::landlock_allow_below(ruleset.as_fd(), file, rights) {
                    // A file in memory that lies in no tree: it needs no rule.
                    Err(Errno::BADFD) => {}
                    done => done?,
                }
            }
        }
        for (ports, right) in [(&rules.connect, landlock::CONNECT_TCP), (&rules.listen, landlock::BIND_TCP)] {
            for port in ports {
                sys::landlock_allow_port(ruleset.as_fd(), *port, right)?;
            }
        }
        Ok(ruleset)
    }

    /// The limit of this user namespace alone, which its maker may lower. The
    /// host's /proc is asked first; where that is read-only, as in containers, the
    /// jail's own may not be.
    fn allow_no_user_namespaces(&self) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let dir = self.proc_self.as_ref().ok_or(Errno::BADF)?;
        let file = openat(dir, c"../sys/user/max_user_namespaces", flags, Mode::empty()).or_else(|errno| {
            let own = c"proc/sys/user/max_user_namespaces";
            let root = self.root().map_err(|_| errno)?;
            openat2(root, own, flags, Mode::empty(), RESOLVE | ResolveFlags::BENEATH).map_err(|_| errno)
        })?;
        write(&file, b"0").map(drop)
    }

    fn lay_on_root(&mut self, mount: OwnedFd) -> Result<(), Errno> {
        // On the host's root and not in a directory of it: sources are found
        // from the root that lies below, and none of them is covered.
        move_mount(&mount, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        self.root = Some(mount);
        Ok(())
    }

    fn create(&mut self, dest: &'a CStr) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(dest)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(parent, name, flags, Mode::from_raw_mode(0o644))
    }

    fn open_proc_self(&mut self) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.proc_self = Some(openat(CWD, c"/proc/self", flags, Mode::empty())?);
        Ok(())
    }

    fn wait_for_launcher(&self) -> Result<(), Errno> {
        wait_for_byte(self.go.as_ref().ok_or(Errno::BADF)?)
    }

    /// Makes namespaces with more ids than one, which only a process with CAP_SETUID
    /// outside of them may map. It is process 2 for as long as that takes.
    fn unshare_and_map(&self, namespaces: i32, uids: &[Range], gids: &[Range]) -> Result<(), Errno> {
        let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        let mapper = match sys::clone(0)? {
            Cloned::Parent(mapper) => mapper,
            Cloned::Child => {
                drop(tell);
                let mapped = wait_for_byte(&told).and_then(|()| self.map(uids, gids));
                sys::exit_now(mapped.map_or_else(Errno::raw_os_error, |()| 0))
            }
        };
        let unshared = sys::unshare(namespaces).and_then(|()| write(&tell, b"\n").map(drop));
        drop(tell);
        let status = loop {
            match waitpid(Some(mapper), WaitOptions::empty()) {
                Ok(ended) => break ended,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        };
        unshared?;
        // The command is not to find a signal that is not of its own children.
        let _ = SignalSet::of(&[libc::SIGCHLD]).wait(Some(0));
        match status.and_then(|(_, status)| status.exit_status()) {
            Some(0) => Ok(()),
            Some(errno) => Err(Errno::from_raw_os_error(errno)),
            None => Err(Errno::SRCH),
        }
    }

    fn map(&self, uids: &[Range], gids: &[Range]) -> Result<(), Errno> {
        for (file, ranges) in [(c"uid_map", uids), (c"gid_map", gids)] {
            // The kernel takes less than a page.
            let mut lines = Line::<4096>::new();
            for Range { inside, outside, count } in ranges {
                lines.print(format_args!("{inside} {outside} {count}\n"))?;
            }
            let text = core::str::from_utf8(&lines.bytes[..lines.length]).map_err(|_| Errno::ILSEQ)?;
            self.write_proc(file, text)?;
        }
        Ok(())
    }

    /// Makes a time namespace, which this process's children come to be in, in which
    /// the clocks that only time makes go on show `wanted` now.
    fn set_clocks(&self, wanted: Duration) -> Result<(), Errno> {
        sys::unshare(libc::CLONE_NEWTIME)?;
        let mut lines = Line::<128>::new();
        for number in [libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let now = sys::clock(number);
            let mut seconds = i64::try_from(wanted.as_secs()).map_err(|_| Errno::RANGE)? - now.tv_sec;
            let mut rest = i64::from(wanted.subsec_nanos()) - now.tv_nsec;
            if rest < 0 {
                (seconds, rest) = (seconds - 1, rest + 1_000_000_000);
            }
            lines.print(format_args!("{number} {seconds} {rest}\n"))?;
        }
        let text = core::str::from_utf8(&lines.bytes[..lines.length]).map_err(|_| Errno::ILSEQ)?;
        self.write_proc(c"timens_offsets", text)
    }

    fn write_proc(&self, file: &CStr, text: &str) -> Result<(), Errno> {
        let dir = self.proc_self.as_ref().ok_or(Errno::BADF)?;
        let file = openat(dir, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        write(&file, text.as_bytes()).map(drop)
    }
}

pub(crate) const RESOLVE: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);
const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);
const QUIET: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
const MOUNT_ATTR_RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const MOUNT_ATTR_NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const MOUNT_ATTR_NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const MOUNT_ATTR_NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
const ST_RDONLY: FsWord = 1;

/// `path` without its leading slash, which openat2 below a root refuses.
fn below_root(path: &CStr) -> &CStr {
    match CStr::from_bytes_with_nul(path.to_bytes_with_nul().get(1..).unwrap_or(b"\0")) {
        Ok(rest) if !rest.is_empty() => rest,
        Ok(_) | Err(_) => c".",
    }
}

/// Opens `path` below `root` name by name, and gives the errors of openat2 where it meets
/// a link or `..`.
fn walk(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(root, c".", flags, Mode::empty())?;
    for name in path.to_bytes().split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".") {
        if name == b".." {
            return Err(Errno::XDEV);
        }
        at = openat(&at, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&at)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
    }
    Ok(at)
}

/// The directory that `path` (absolute) lies in, nothing for `/`, and its last name.
pub(crate) fn split(path: &CStr) -> Result<(&[u8], &CStr), Errno> {
    let bytes = path.to_bytes_with_nul();
    let slash = bytes.iter().rposition(|b| *b == b'/').ok_or(Errno::INVAL)?;
    let name = CStr::from_bytes_with_nul(&bytes[slash + 1..]).map_err(|_| Errno::INVAL)?;
    Ok((&bytes[..slash], name))
}

/// Sets attributes on a mount and all below, and cuts it off from later mounts
/// on the host. One call, Linux 5.12; a remount would leave submounts writable.
fn restrict(tree: BorrowedFd<'_>, access: Access, attributes: u64) -> Result<(), Errno> {
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
fn memory(size: Option<u64>, mode: u32, attr: MountAttrFlags) -> Result<OwnedFd, Errno> {
    memory_for(size, None, mode, attr)
}

/// The same, for at most so many `files`.
fn memory_for(size: Option<u64>, files: Option<u64>, mode: u32, attr: MountAttrFlags) -> Result<OwnedFd, Errno> {
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
fn over_memory(tree: BorrowedFd<'_>, size: Option<u64>) -> Result<OwnedFd, Errno> {
    // An empty file takes no page, but 1 KiB of the kernel's memory.
    let files = size.map(|size| (size / 1024).max(64));
    let memory = memory_for(size, files, 0o700, MountAttrFlags::empty())?;
    // Until Linux 6.15 a layer must be mounted somewhere; the overlay has a mount of
    // its own then. What lies on the root here is below no path that is looked up.
    move_mount(&memory, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let layers = overlay_dir::make_layers(memory.as_fd(), tree)?;
    let mount = overlay_dir::mount(tree, &layers)?;
    // Not later: leaving the host's root would leave this instead.
    fchdir(&memory)?;
    unmount(c".", UnmountFlags::DETACH)?;
    Ok(mount)
}

/// Pseudo-terminals that are nobody else's, mounted nowhere yet.
fn devpts() -> Result<OwnedFd, Errno> {
    let config = fsopen(c"devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&config, c"ptmxmode", c"0666")?;
    fsconfig_set_string(&config, c"mode", c"0620")?;
    fsconfig_create(&config)?;
    let attr = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&config, FsMountFlags::FSMOUNT_CLOEXEC, attr)
}

/// The file system of this IPC namespace's POSIX message queues, mounted nowhere; None
/// on a kernel without them.
fn queues() -> Result<Option<OwnedFd>, Errno> {
    let config = match fsopen(c"mqueue", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => return Ok(None),
        config => config?,
    };
    fsconfig_create(&config)?;
    fsmount(&config, FsMountFlags::FSMOUNT_CLOEXEC, QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC).map(Some)
}

/// The other side has said that it is done.
fn wait_for_byte(pipe: &OwnedFd) -> Result<(), Errno> {
    match read(pipe, &mut [0]) {
        Ok(1) => Ok(()),
        // It has said elsewhere why not, or is dead.
        Ok(_) => Err(Errno::PIPE),
        Err(errno) => Err(errno),
    }
}

/// Numbers written without the heap.
pub(crate) struct Line<const SIZE: usize> {
    bytes: [u8; SIZE],
    length: usize,
}

impl<const SIZE: usize> Line<SIZE> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; SIZE], length: 0 }
    }

    /// Appends to it; nothing is cut off.
    pub(crate) fn print(&mut self, text: core::fmt::Arguments<'_>) -> Result<(), Errno> {
        self.write_fmt(text).map_err(|_| Errno::OVERFLOW)
    }

    pub(crate) fn c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::OVERFLOW)
    }
}

impl<const SIZE: usize> core::fmt::Write for Line<SIZE> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// What a descriptor lets its holder do with its file, as rights to open it anew
/// through /proc/self/fd; None where it has no path, as pipes and sockets.
fn rights_of(file: BorrowedFd<'_>) -> Result<Option<u64>, Errno> {
    use crate::plan::landlock::{IOCTL_DEV, READ_DIR, READ_FILE, TRUNCATE, WRITE_FILE};
    let flags = fcntl_getfl(file)?;
    // A closed stream has a placeholder; see `keep_off_closed_streams`.
    if flags.contains(OFlags::PATH) {
        return Ok(None);
    }
    let write = if flags.contains(OFlags::APPEND) { WRITE_FILE } else { WRITE_FILE | TRUNCATE };
    let mode = match flags & OFlags::RWMODE {
        OFlags::RDONLY => READ_FILE,
        OFlags::WRONLY => write,
        _ => READ_FILE | write,
    };
    let kind = FileType::from_raw_mode(fstat(file)?.st_mode);
    Ok(if kind == FileType::RegularFile {
        Some(mode)
    } else if kind == FileType::CharacterDevice || kind == FileType::BlockDevice {
        Some(mode | IOCTL_DEV)
    } else if kind == FileType::Directory {
        // Given with --fd: what could be done below can be done.
        Some(landlock::BELOW_A_DESCRIPTOR | READ_DIR)
    } else {
        None
    })
}

/// Leaves the caller's session keyring for a new one. Each counts as one of the user's
/// keys, of which there are 200, and those of jails that have just ended still do:
/// the kernel takes them back a little later.
fn new_session_keyring() -> Result<(), Errno> {
    for _ in 0..100 {
        match sys::new_session_keyring() {
            Err(Errno::DQUOT) => {
                let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: 5_000_000 });
            }
            done => return done,
        }
    }
    Err(Errno::DQUOT)
}

/// Puts a file with all that descriptor `fd` gives in its place. A regular file is
/// that already.
fn gather(fd: i32) -> Result<(), Errno> {
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

/// Copies all that `from` gives. In the kernel where it can be; a pipe or a
/// terminal cannot be a source of sendfile on every kernel.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    loop {
        match sendfile(to, from, None, 1 << 30) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::SPIPE) => break,
            Err(errno) => return Err(errno),
        }
    }
    let mut buffer = [0; 16384];
    loop {
        let read = match rustix::io::read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            rest = &rest[write(to, rest)?..];
        }
    }
}

/// Runs on these processors only. A cgroup may have taken some meanwhile: the kernel is
/// content with one that is left.
fn run_on(processors: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    processors.iter().for_each(|number| set.set(*number));
    sched_setaffinity(None, &set)?;
    if sched_getaffinity(None)? == set { Ok(()) } else { Err(Errno::NXIO) }
}

/// Leaves `keep` in the bounding set, whatever else this kernel has.
/// Makes a file in memory and gives a mount of it. It is made where the host's /proc is
/// otherwise, for as long as that takes: everywhere there is such a directory, and
/// nothing is wanted of it meanwhile.
fn apart(make: &dyn Fn(&CStr) -> Result<(), Errno>) -> Result<OwnedFd, Errno> {
    let memory = memory(None, 0o700, MountAttrFlags::empty())?;
    move_mount(&memory, c"", CWD, c"/proc", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let made = make(c"/proc/made").and_then(|()| open_tree(&memory, c"made", CLONE | OpenTreeFlags::AT_SYMLINK_NOFOLLOW));
    unmount(c"/proc", UnmountFlags::DETACH)?;
    made
}

fn write_all(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match write(file, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn bound(keep: caps::Set) -> Result<(), Errno> {
    for number in 0..64 {
        let one = caps::only(number);
        if keep & one != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(one)) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes `keep` the capabilities of this process, and of what it executes.
pub(crate) fn hold(keep: caps::Set) -> Result<(), Errno> {
    let set = CapabilitySet::from_bits_retain(keep);
    set_capabilities(None, CapabilitySets { effective: set, permitted: set, inheritable: set })?;
    for number in (0..64).filter(|number| keep & caps::only(*number) != 0) {
        configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(caps::only(number)), true)?;
    }
    Ok(())
}
