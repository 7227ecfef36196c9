//! What this machine is: facts that are read and never changed. The plan asks
//! here and nowhere else; tests hand it a machine that they made up.

pub(crate) mod resolver;
pub(crate) mod subids;

use std::cell::{OnceCell, RefCell};
#[cfg(any(test, fuzzing))]
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access as Wanted, AtFlags, CWD, Dir, FileType, Mode, OFlags, accessat, fcntl_getfl, fstat, lgetxattr, major, minor, openat,
    readlinkat, statat,
};
use rustix::io::Errno;
use rustix::process::{getcwd, getegid, geteuid, getgid, getgroups, getuid};
use rustix::thread::{CapabilitySet, CpuSet, capabilities, capability_is_in_ambient_set, sched_getaffinity};

use crate::error::{Error, Layer};
use crate::host::resolver::Unresolved;
#[cfg(any(test, fuzzing))]
use crate::host::subids::Mapper;
use crate::host::subids::Subordinate;
use crate::plan::own_file::{self, OwnFile};
use crate::policy::Degradable;
use crate::process::helper::{self, Unusable};
use crate::sys;
use crate::sys::loopback;
use crate::util::name_map::Index;
use crate::util::text::shown;

/// What lies at a path; a link is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Nothing.
    Missing,
    /// It may not be looked at.
    Denied(Errno),
    /// A directory.
    Dir,
    /// A regular file, socket or pipe.
    File,
    /// A device node.
    Device,
    /// A symbolic link and what it says.
    Link(PathBuf),
}

/// How a descriptor is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is not.
    Not,
    /// It can be read, or only named.
    ReadOnly,
    /// It can be read and written.
    ForWriting,
    /// It can be written but not read.
    WriteOnly,
}

/// Why an entry of /proc, which belongs to no process, is kept from a jail that root started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootsOwn {
    /// A file that only root may read.
    Secret,
    /// Any other file. Root may give it another mode, also one that no one can write, and
    /// the kernel keeps the mode for every /proc of the machine.
    File,
    /// A directory: it may hold such files.
    Dir,
}

/// The directory of an overlay's changes at which a lookup ended.
#[derive(Debug)]
pub struct Changed {
    dir: PathBuf,
    /// True if the directory hides the tree's own; None if neither the directory nor
    /// anything below it was changed.
    replaced: Option<bool>,
}

/// The cgroup that the callers of a jail with limits wait in, beside the jail's.
pub const CALLERS: &CStr = c"jail.callers";

/// A cgroup (v2), as the caller sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupDir {
    /// Its directory.
    pub path: PathBuf,
    /// Is it the root, which may have both processes and controllers?
    pub is_root: bool,
    /// May the caller make others in it, and move processes there?
    pub writable: bool,
    /// Controllers that it has.
    pub controllers: Vec<String>,
    /// Controllers that those below it have.
    pub enabled: Vec<String>,
    /// Has it a limit of its own?
    pub limited: bool,
}

/// The machine, as far as the plan needs it.
#[derive(Debug)]
pub struct Host {
    /// The caller's effective user id.
    pub uid: u32,
    /// The caller's effective group id.
    pub gid: u32,
    /// Has the caller supplementary groups that it may drop?
    pub can_drop_groups: bool,
    /// The version of Landlock's interface; 0 where there is none.
    pub landlock_abi: u32,
    /// Is there none because it may not be asked for?
    pub landlock_refused: bool,
    /// What this machine refuses of the layers that the user can do without, and who
    /// does; looked for where a flag says so.
    pub lacks: Vec<(Degradable, Layer)>,
    /// The caller's directory; ENOENT where it is gone or cannot be named.
    pub cwd: Result<PathBuf, Errno>,
    /// The caller's environment.
    pub env: Vec<(OsString, OsString)>,
    own_file: OnceCell<Option<OwnFile>>,
    files: Files,
    descriptors: Option<Vec<i32>>,
    #[cfg(any(test, fuzzing))]
    cgroups: Vec<CgroupDir>,
    #[cfg(any(test, fuzzing))]
    pub subordinate: Subordinate,
}

#[derive(Debug)]
enum Files {
    /// Asked of the kernel when first needed, and remembered: each path is
    /// looked at once, so that the whole plan rests on one answer.
    Machine(RefCell<Index<Fact>>),
    /// Made up.
    #[cfg(any(test, fuzzing))]
    Given(BTreeMap<PathBuf, Fact>),
}

impl Host {
    /// This machine, as the caller sees it.
    pub fn observe() -> Self {
        let landlock = sys::landlock_abi();
        let gid = getegid();
        Self {
            uid: geteuid().as_raw(),
            gid: gid.as_raw(),
            can_drop_groups: geteuid().is_root()
                && getgroups().is_ok_and(|groups| groups.iter().any(|group| *group != gid))
                // Root of a user namespace that was made without privilege may not.
                && read(Path::new("/proc/self/setgroups")).is_ok_and(|said| said.starts_with(b"allow")),
            landlock_abi: landlock.unwrap_or(0),
            landlock_refused: landlock == Err(Errno::PERM),
            lacks: Vec::new(),
            cwd: current_dir(),
            env: sys::environment(),
            own_file: OnceCell::new(),
            files: Files::Machine(RefCell::new(Index::new())),
            descriptors: None,
            #[cfg(any(test, fuzzing))]
            cgroups: Vec::new(),
            #[cfg(any(test, fuzzing))]
            subordinate: Subordinate::observe(0),
        }
    }

    /// What there is for `--subids`.
    pub fn subordinate(&self) -> Subordinate {
        #[cfg(any(test, fuzzing))]
        if self.descriptors.is_some() {
            return self.subordinate.clone();
        }
        Subordinate::observe(self.uid)
    }

    /// What lies at the absolute `path`.
    pub fn look(&self, path: &Path) -> Fact {
        match &self.files {
            Files::Machine(known) => {
                if let Some(fact) = known.borrow().get(path) {
                    return fact.clone();
                }
                let fact = look(path);
                known.borrow_mut().set(path, fact.clone());
                fact
            }
            #[cfg(any(test, fuzzing))]
            Files::Given(files) => files.get(path).cloned().unwrap_or(Fact::Missing),
        }
    }

    /// The file that this process executes, read when first needed; None where /proc,
    /// which leads to it, is not there.
    pub fn own_file(&self) -> Option<&OwnFile> {
        self.own_file.get_or_init(|| OwnFile::observe().ok()).as_ref()
    }

    /// True if that file is the host's `source` or lies below it, as far as can be known.
    pub fn own_file_lies_below(&self, source: &CStr) -> bool {
        let source = Path::new(OsStr::from_bytes(source.to_bytes()));
        match &self.files {
            Files::Machine(_) => self.own_file().is_none_or(|own| own.lies_below(source)),
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => self.own_file().and_then(|own| own.path.as_ref()).is_none_or(|own| own.starts_with(source)),
        }
    }

    /// True if the caller executed the launcher through a descriptor.
    pub fn is_started_by_descriptor(&self) -> bool {
        self.descriptors.is_none() && own_file::is_by_descriptor()
    }

    /// What an earlier run with `--overlay` left in `changes` of what lies `below`
    /// the root of its tree; None where the tree's own is still seen.
    ///
    /// `last` is where the previous call ended. A path walk asks for one directory after the
    /// other, so that each call looks at one name, however deep the directory is.
    pub fn changed(&self, changes: &Path, below: &Path, last: &mut Option<Changed>) -> Option<Fact> {
        let whole = changes.join(below);
        let above = whole.parent().unwrap_or(&whole);
        let (mut at, mut replaced) = match last.take() {
            Some(last) if last.dir.as_os_str() == above.as_os_str() => (last.dir, last.replaced),
            Some(_) | None => (changes.to_owned(), Some(self.is_opaque(changes))),
        };
        let left = whole.strip_prefix(&at).unwrap_or(below).to_owned();
        let mut names = left.components().peekable();
        while let Some(name) = names.next() {
            at.push(name);
            let Some(replaced) = &mut replaced else { continue };
            match self.look(&at) {
                Fact::Missing if *replaced => return Some(Fact::Missing),
                Fact::Missing => {
                    *last = Some(Changed { dir: whole, replaced: None });
                    return None;
                }
                // The kernel's mark of what was deleted, a device 0:0. No other
                // device can be made there.
                Fact::Device => return Some(Fact::Missing),
                Fact::Dir => *replaced |= self.is_opaque(&at),
                fact if names.peek().is_none() => return Some(fact),
                Fact::Denied(errno) => return Some(Fact::Denied(errno)),
                Fact::File | Fact::Link(_) => return Some(Fact::Missing),
            }
        }
        *last = Some(Changed { dir: at, replaced });
        replaced.map(|_| Fact::Dir)
    }

    /// Does the directory `path` of an overlay's changes hide what the tree has there?
    fn is_opaque(&self, path: &Path) -> bool {
        match &self.files {
            Files::Machine(_) => overlay_opaque(path),
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => false,
        }
    }

    /// Who owns what lies at `path`; None where it cannot be asked.
    pub fn owner(&self, path: &Path) -> Option<u32> {
        match &self.files {
            Files::Machine(_) => statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_uid),
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => Some(if path.starts_with("/usr") || path == Path::new("/") { 0 } else { self.uid }),
        }
    }

    /// Names the type of the file at `path`, with its article.
    pub fn kind(&self, path: &Path) -> &'static str {
        match &self.files {
            Files::Machine(_) => {
                statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_or("gone", |stat| kind_of(FileType::from_raw_mode(stat.st_mode)))
            }
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => "a regular file",
        }
    }

    /// The caller's cgroup (v2), and the one above it; none where there is none.
    pub fn cgroups(&self) -> Vec<CgroupDir> {
        #[cfg(any(test, fuzzing))]
        if self.descriptors.is_some() {
            return self.cgroups.clone();
        }
        let Some((mount, own)) = own_cgroup() else { return Vec::new() };
        let above = own.parent().filter(|above| above.starts_with(&mount));
        [Some(own.as_path()), above].into_iter().flatten().map(cgroup).collect()
    }

    /// Has this machine IPv6, and so the jail's network?
    pub fn has_ipv6(&self) -> bool {
        match &self.files {
            // The addresses there are, a line each; a loopback has one wherever IPv6 is on.
            Files::Machine(_) => text("/proc/net/if_inet6").lines().any(|line| line.ends_with(" lo")),
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => true,
        }
    }

    /// Returns the path of pasta(1).
    ///
    /// # Errors
    /// The launcher runs no file of that name.
    pub fn pasta(&self) -> Result<CString, Unusable> {
        match &self.files {
            Files::Machine(_) => helper::find("pasta"),
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => Ok(c"/usr/bin/pasta".into()),
        }
    }

    /// What this machine's resolver says to `name`, in the order to try.
    ///
    /// # Errors
    /// Where it knows nothing, or there is none to be asked.
    pub fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        match &self.files {
            Files::Machine(_) => resolver::resolve(name),
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => match name {
                "example.org" => Ok(vec![[192, 0, 2, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()]),
                "own.example" => Ok(vec![[192, 0, 2, 77].into()]),
                "near.example" => Ok(vec![[192, 0, 2, 1].into(), [169, 254, 169, 254].into()]),
                _ => Err(Unresolved::Unknown),
            },
        }
    }

    /// True if `address` is one of this machine's own.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn is_own(&self, address: &IpAddr) -> Result<bool, Errno> {
        match &self.files {
            Files::Machine(_) => loopback::is_own(*address),
            #[cfg(any(test, fuzzing))]
            Files::Given(_) => Ok(*address == IpAddr::from([192, 0, 2, 77])),
        }
    }

    /// How the caller left descriptor `fd`.
    pub fn opened(&self, fd: i32) -> Opened {
        match &self.descriptors {
            None => match sys::inherited(fd).map(fcntl_getfl) {
                Some(Ok(flags)) if flags & OFlags::RWMODE == OFlags::WRONLY => Opened::WriteOnly,
                Some(Ok(flags)) if flags & OFlags::RWMODE != OFlags::RDONLY => Opened::ForWriting,
                Some(Ok(_)) => Opened::ReadOnly,
                Some(Err(_)) | None => Opened::Not,
            },
            Some(open) if open.contains(&fd) => Opened::ForWriting,
            Some(_) => Opened::Not,
        }
    }

    /// Is descriptor `fd` a directory, or one that only names a file?
    pub fn leads_elsewhere(&self, fd: i32) -> bool {
        if self.descriptors.is_some() {
            return false;
        }
        sys::inherited(fd).is_some_and(|fd| {
            fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH))
                || fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        })
    }

    /// True if a socket lies at `path`; a link is not followed.
    pub fn is_socket(&self, path: &Path) -> bool {
        match &self.files {
            Files::Machine(_) => statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket),
            #[cfg(any(test, fuzzing))]
            Files::Given(files) => files.get(path) == Some(&Fact::File),
        }
    }

    /// Reads which entries of /proc only root may read, or root may change. It leaves out
    /// processes and symbolic links.
    ///
    /// # Errors
    /// The kernel's, if /proc is there and cannot be read.
    pub fn roots_own_in_proc(&self) -> Result<Vec<(PathBuf, RootsOwn)>, Errno> {
        match &self.files {
            Files::Machine(_) => roots_own(Path::new("/proc")),
            #[cfg(any(test, fuzzing))]
            Files::Given(files) => {
                let own = files.iter().filter_map(|(path, fact)| match (fact, path.to_str()?.strip_prefix("/proc/")?) {
                    (Fact::Dir, name) if !name.contains('/') && !names_a_process(path) => Some((path.clone(), RootsOwn::Dir)),
                    (Fact::File, "kcore" | "sysrq-trigger") => Some((path.clone(), RootsOwn::Secret)),
                    (Fact::File, name) if !name.contains('/') => Some((path.clone(), RootsOwn::File)),
                    _ => None,
                });
                Ok(own.collect())
            }
        }
    }

    /// Returns the minor number if descriptor `fd` is a device of major number 1.
    pub fn memory_device(&self, fd: i32) -> Option<u32> {
        if self.descriptors.is_some() {
            return None;
        }
        let stat = sys::inherited(fd).and_then(|fd| fstat(fd).ok())?;
        let is_one = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && major(stat.st_rdev) == 1;
        is_one.then(|| minor(stat.st_rdev))
    }

    /// True if the caller's hard core limit is not 0, so that the command's can be 1.
    pub fn may_limit_core_dumps(&self) -> bool {
        // An error is for the call that sets it to tell.
        self.descriptors.is_some() || !matches!(sys::limit_on(libc::RLIMIT_CORE), Ok((_, 0)))
    }

    /// True if the kernel gives core dumps to a program, or if the pattern that says so
    /// cannot be read.
    pub fn pipes_core_dumps(&self) -> bool {
        read(Path::new("/proc/sys/kernel/core_pattern")).map_or(true, |pattern| pattern.first() == Some(&b'|'))
    }

    /// May the caller itself lower what capabilities can ever be had?
    pub fn can_bound_capabilities(&self) -> bool {
        self.descriptors.is_none() && capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETPCAP))
    }

    /// The processors that the caller may run on, in the order of their numbers.
    pub fn processors(&self) -> Result<Vec<usize>, Errno> {
        if self.descriptors.is_some() {
            return Ok(vec![0, 2, 3]);
        }
        sched_getaffinity(None).map(|set| (0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect())
    }

    /// Can another process make a namespace meanwhile? It takes a processor of its own, and
    /// unshare(2), where for the others clone(2) does; filters refuse the one by itself.
    pub fn can_make_beside(&self) -> bool {
        self.processors().is_ok_and(|all| all.len() > 1) && (self.descriptors.is_some() || sys::unshare(0).is_ok())
    }

    /// The caller's variable `name`.
    pub fn var(&self, name: &OsStr) -> Option<&OsStr> {
        self.env.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_os_str())
    }

    /// `path` from `/`, without `.`, doubled slashes or, where that is safe to
    /// say without looking, anything else: `..` stays, for a link may precede it.
    ///
    /// # Errors
    /// A relative path where the caller's directory is not known.
    pub fn absolute(&self, path: &Path) -> Result<PathBuf, Errno> {
        let joined = match &self.cwd {
            _ if path.is_absolute() => path.to_owned(),
            Ok(cwd) => cwd.join(path),
            Err(errno) => return Err(*errno),
        };
        Ok(joined.components().collect())
    }

    /// `path` (absolute) without `..`: what precedes one is followed on the host,
    /// where it may be a link.
    ///
    /// # Errors
    /// The kernel's at what cannot be followed.
    pub fn without_dotdot(&self, path: &Path) -> Result<PathBuf, Errno> {
        let parts: Vec<_> = path.components().collect();
        match parts.iter().rposition(|part| part.as_os_str() == "..") {
            None => Ok(path.to_owned()),
            Some(last) => {
                let mut done = self.canonical(&parts[..=last].iter().collect::<PathBuf>())?;
                done.extend(&parts[last + 1..]);
                Ok(done)
            }
        }
    }

    /// Where `path` leads on the host, all links followed.
    ///
    /// # Errors
    /// The kernel's error at the first component that cannot be passed.
    pub fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        self.follow(path, &mut |_| {})
    }

    /// As `canonical`; calls `passed` with each symbolic link on the way.
    ///
    /// # Errors
    /// As `canonical`.
    pub fn follow(&self, path: &Path, passed: &mut dyn FnMut(&Path)) -> Result<PathBuf, Errno> {
        let mut names = Names::of(path);
        let mut done = PathBuf::with_capacity(path.as_os_str().len() + 1);
        done.push("/");
        let mut links = 0;
        while let Some(down) = names.go(&mut done) {
            if !down {
                continue;
            }
            match self.look(&done) {
                Fact::Missing => return Err(Errno::NOENT),
                Fact::Denied(errno) => return Err(errno),
                Fact::Dir => {}
                Fact::File | Fact::Device if names.is_empty() => {}
                Fact::File | Fact::Device => return Err(Errno::NOTDIR),
                Fact::Link(target) => {
                    links += 1;
                    // As many as the kernel follows.
                    if links > 40 {
                        return Err(Errno::LOOP);
                    }
                    passed(&done);
                    names.follow(&target, &mut done);
                }
            }
        }
        Ok(done)
    }
}

/// The names that are left of a path that is being followed.
pub struct Names {
    path: Vec<u8>,
    /// Where the next one begins, or slashes before it.
    at: usize,
}

impl Names {
    /// All of `path`.
    pub fn of(path: &Path) -> Self {
        Self { path: path.as_os_str().as_bytes().to_vec(), at: 0 }
    }

    /// The next one; `..` among them, `.` not.
    fn next(&mut self) -> Option<&[u8]> {
        loop {
            let start = self.at + self.path[self.at..].iter().position(|b| *b != b'/')?;
            let length = self.path[start..].iter().position(|b| *b == b'/');
            self.at = length.map_or(self.path.len(), |length| start + length);
            if self.path[start..self.at] != *b"." {
                return Some(&self.path[start..self.at]);
            }
        }
    }

    /// Goes on from `done` by the next name: true down, false up.
    pub fn go(&mut self, done: &mut PathBuf) -> Option<bool> {
        let name = self.next()?;
        let down = name != b"..";
        if down {
            done.push(OsStr::from_bytes(name));
        } else {
            done.pop();
        }
        Some(down)
    }

    /// `done` is a link that says `target`: goes back, and on by that.
    pub fn follow(&mut self, target: &Path, done: &mut PathBuf) {
        done.pop();
        if target.is_absolute() {
            done.push("/");
        }
        let mut path = target.as_os_str().as_bytes().to_vec();
        path.extend_from_slice(b"/");
        path.extend_from_slice(&self.path[self.at..]);
        (self.path, self.at) = (path, 0);
    }

    /// Is none left?
    pub fn is_empty(&mut self) -> bool {
        let at = self.at;
        let none = self.next().is_none();
        self.at = at;
        none
    }
}

/// The error for a process that has privileges which its caller does not have; None if it
/// has none. The ids tell apart where they come from, without a look at the file.
///
/// For a process that the kernel calls secure (AT_SECURE). A security module can say so,
/// too, of an ordinary program: SELinux does where a service changes its domain.
pub fn privileged() -> Option<Error> {
    let itself = shown(sys::executed_as());
    let two = |kind: &str, letter: char| {
        (
            format!("this executable is set-{kind}-ID, or the process that started it has two {kind} ids"),
            format!("chmod {letter}-s {itself}, which needs no privilege, or start it with one {kind} id"),
        )
    };
    let (problem, remedy) = if getuid() != geteuid() {
        two("user", 'u')
    } else if getgid() != getegid() {
        two("group", 'g')
    } else if !getuid().is_root() && capabilities_of_the_file() {
        ("this executable has file capabilities".to_owned(), format!("setcap -r {itself} as root: jail needs no privilege"))
    } else {
        return None;
    };
    Some(Error::usage(None, problem, remedy).met("check its privileges", Layer::Files))
}

/// True if this process has capabilities that its caller did not pass on as ambient ones,
/// or if the kernel does not say. Of a process that is not root, only the file gives such.
fn capabilities_of_the_file() -> bool {
    let Ok(held) = capabilities(None) else { return true };
    held.permitted.iter().any(|one| !capability_is_in_ambient_set(one).unwrap_or(false))
}

/// Adds to an error that the caller may have too few descriptors, if it may have few:
/// what could not be opened for want of one was taken for missing.
pub fn few_descriptors(mut error: Error) -> Error {
    const ENOUGH: u64 = 24;
    let is_told = error.errno == Some(Errno::MFILE.raw_os_error()) || error.layer == Layer::CommandLine;
    if let (false, Ok((limit @ ..ENOUGH, _))) = (is_told, sys::limit_on(libc::RLIMIT_NOFILE)) {
        error.remedy = format!("{}; but first raise ulimit -n, which is {limit}", error.remedy).into();
    }
    error
}

/// What `path` adds to `above`, if it lies there; both as below.
pub fn below<'p>(path: &'p Path, above: &Path) -> Option<&'p Path> {
    let rest = path.as_os_str().as_bytes().strip_prefix(above.as_os_str().as_bytes())?;
    let rest = match rest {
        [] => rest,
        [b'/', rest @ ..] => rest,
        rest if above == Path::new("/") => rest,
        _ => return None,
    };
    Some(Path::new(OsStr::from_bytes(rest)))
}

/// `path` (absolute, without `.` and `..`), what is above it, and so on up to `/`. As
/// Path::ancestors, which takes each apart name by name.
pub fn from_there_up(path: &Path) -> impl Iterator<Item = &Path> {
    fn above<'p>(path: &&'p [u8]) -> Option<&'p [u8]> {
        match path.iter().rposition(|b| *b == b'/')? {
            0 if path.len() == 1 => None,
            0 => Some(&path[..1]),
            slash => Some(&path[..slash]),
        }
    }
    std::iter::successors(Some(path.as_os_str().as_bytes()), above).map(|path| Path::new(OsStr::from_bytes(path)))
}

/// True if `path` is the directory of a process in the host's /proc, or lies below one.
pub fn names_a_process(path: &Path) -> bool {
    let Some(below) = below(path, Path::new("/proc")) else { return false };
    let name = below.as_os_str().as_bytes().split(|b| *b == b'/').next().unwrap_or_default();
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

/// True if each process that follows `link` comes to another file, or if only the kernel can
/// follow it: /proc/self, /proc/thread-self and the links below a process's directory.
pub fn leads_by_process(link: &Path) -> bool {
    let own = ["/proc/self", "/proc/thread-self"].map(Path::new);
    own.contains(&link) || names_a_process(link)
}

fn roots_own(proc: &Path) -> Result<Vec<(PathBuf, RootsOwn)>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match openat(CWD, proc, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        dir => dir?,
    };
    let mut all = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().iter().all(|b| b.is_ascii_digit() || *b == b'.') {
            continue;
        }
        let file = match entry.file_type() {
            FileType::Symlink => continue,
            FileType::Directory => None,
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat).filter(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory),
                // A module was unloaded since the directory was read.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            },
        };
        let own = match file {
            None => RootsOwn::Dir,
            // The kernel lets only root read it.
            Some(stat) if stat.st_mode & 0o004 == 0 => RootsOwn::Secret,
            // Root of a user namespace, whose files these are not, cannot change the mode.
            Some(stat) if stat.st_uid != 0 && stat.st_mode & 0o222 == 0 => continue,
            Some(_) => RootsOwn::File,
        };
        all.push((proc.join(OsStr::from_bytes(name.to_bytes())), own));
    }
    Ok(all)
}

fn look(path: &Path) -> Fact {
    let stat = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Fact::Missing,
        Err(errno) => return Fact::Denied(errno),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Fact::Dir,
        FileType::CharacterDevice | FileType::BlockDevice => Fact::Device,
        FileType::Symlink => match readlinkat(CWD, path, Vec::new()) {
            Ok(target) => Fact::Link(PathBuf::from(OsStr::from_bytes(target.as_bytes()))),
            Err(errno) => Fact::Denied(errno),
        },
        FileType::RegularFile | FileType::Socket | FileType::Fifo | FileType::Unknown => Fact::File,
    }
}

/// Names a type of file, with its article.
pub fn kind_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown type",
    }
}

/// Does the directory at `path`, of an overlay's changes, replace the one beneath?
pub fn overlay_opaque(path: &Path) -> bool {
    let mut value = [0; 2];
    // As long as the buffer or longer is none that the kernel wrote.
    lgetxattr(path, c"user.overlay.opaque", &mut value) == Ok(1) && value[0] == b'y'
}

/// Where the caller is.
fn current_dir() -> Result<PathBuf, Errno> {
    let path = OsString::from_vec(getcwd(Vec::new())?.into_bytes());
    // The kernel's word for a directory outside of the process's root is no path.
    if path.as_bytes().starts_with(b"/") { Ok(path.into()) } else { Err(Errno::NOENT) }
}

/// What the file at `path` holds.
pub fn read(path: &Path) -> Result<Vec<u8>, Errno> {
    read_all(openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.as_fd())
}

/// The same as text; nothing of what cannot be read, or is none.
pub fn text(path: impl AsRef<Path>) -> String {
    read(path.as_ref()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// What can be read from `file`, to its end.
pub fn read_all(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match rustix::io::read(file, &mut part) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// In a line of mountinfo: what of its file system is mounted, where, and its kind.
pub fn mounted(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    // As many optional ones as there are end with this.
    fields.find(|field| *field == "-")?;
    Some((root, point, fields.next()?))
}

/// Where cgroup2 is mounted, and the directory of this process's own.
fn own_cgroup() -> Option<(PathBuf, PathBuf)> {
    let own = text("/proc/self/cgroup");
    let own = Path::new(own.lines().find_map(|line| line.strip_prefix("0::"))?);
    let mounts = text("/proc/self/mountinfo");
    mounts.lines().find_map(|line| {
        let (root, point, _) = mounted(line).filter(|(_, _, kind)| *kind == "cgroup2")?;
        let below = own.strip_prefix(root).ok()?;
        // A cgroup namespace's own root is seen from within as /.
        (!below.components().any(|name| name.as_os_str() == ".."))
            .then(|| (point.into(), Path::new(point).join(below).components().collect()))
    })
}

fn cgroup(path: &Path) -> CgroupDir {
    let words = |file: &str| text(path.join(file)).split_ascii_whitespace().map(String::from).collect::<Vec<_>>();
    let may = |file: &str| accessat(CWD, path.join(file), Wanted::WRITE_OK, AtFlags::EACCESS).is_ok();
    let limit = |file: &str| words(file).first().is_some_and(|word| word != "max");
    CgroupDir {
        path: path.to_owned(),
        is_root: statat(CWD, path.join("cgroup.type"), AtFlags::empty()).is_err(),
        writable: may(".") && may("cgroup.procs") && may("cgroup.subtree_control"),
        controllers: words("cgroup.controllers"),
        enabled: words("cgroup.subtree_control"),
        limited: ["memory.max", "memory.high", "pids.max", "cpu.max"].into_iter().any(limit),
    }
}

#[cfg(test)]
impl Host {
    /// Has these be the caller's cgroup and the one above.
    pub fn in_cgroups(&mut self, cgroups: &[CgroupDir]) {
        self.cgroups = cgroups.to_vec();
    }
}

#[cfg(any(test, fuzzing))]
impl Host {
    /// A made-up machine: an unprivileged user in /home/u/proj of a merged-/usr
    /// system, with `more` files. A trailing slash makes a directory, `->` a
    /// link, `!` a device; parents come by themselves.
    pub fn made_up(more: &[&str]) -> Self {
        let usual = [
            "/usr/bin/",
            "/usr/lib/",
            "/usr/sbin/",
            "/bin->usr/bin",
            "/lib->usr/lib",
            "/sbin->usr/sbin",
            "/etc/passwd",
            "/opt/",
            "/home/u/proj/",
            "/proc/keys",
            "/proc/sys/",
            "/proc/kcore",
            "/proc/sysrq-trigger",
            "/run/",
            "/tmp/",
            "/dev/pts/",
            "/dev/null!",
            "/dev/zero!",
            "/dev/full!",
            "/dev/random!",
            "/dev/urandom!",
            "/dev/tty!",
            "/dev/kvm!",
        ];
        let mut files = BTreeMap::from([(PathBuf::from("/"), Fact::Dir)]);
        for line in usual.iter().chain(more) {
            let (path, fact) = match line.split_once("->") {
                Some((path, target)) => (path, Fact::Link(target.into())),
                None if line.ends_with('/') => (line.trim_end_matches('/'), Fact::Dir),
                None if line.ends_with('!') => (line.trim_end_matches('!'), Fact::Device),
                None => (*line, Fact::File),
            };
            for parent in Path::new(path).ancestors().skip(1) {
                files.entry(parent.to_owned()).or_insert(Fact::Dir);
            }
            files.insert(path.into(), fact);
        }
        let env =
            [("HOME", "/home/u"), ("PATH", "/usr/bin:/bin"), ("LANG", "C"), ("LC_ALL", "C"), ("SECRET", "s"), ("CI_A", "1")];
        Self {
            uid: 1000,
            gid: 1000,
            can_drop_groups: false,
            landlock_abi: 7,
            landlock_refused: false,
            lacks: Vec::new(),
            cwd: Ok("/home/u/proj".into()),
            env: env.map(|(n, v)| (n.into(), v.into())).into(),
            own_file: OnceCell::from(Some(OwnFile {
                copy: false,
                path: Some("/usr/bin/jail".into()),
                owner: 0,
                mode: 0o755,
                above: Vec::new(),
            })),
            files: Files::Given(files),
            descriptors: Some(vec![0, 1, 2, 7, 8]),
            cgroups: Vec::new(),
            subordinate: Subordinate {
                name: Some(b"u".to_vec()),
                ranges: [vec![(100_000, 65_536)], vec![(200_000, 1000), (300_000, 65_536)]],
                free: [165_536, 365_536],
                mappers: [Mapper::Ready(c"/usr/bin/newuidmap".into()), Mapper::Ready(c"/usr/bin/newgidmap".into())],
                no_new_privileges: false,
            },
        }
    }
}

#[cfg(test)]
impl Host {
    /// Has the launcher's own file be the caller's, at `path`.
    pub fn own(&mut self, path: &str) {
        let own = OwnFile { copy: false, path: Some(path.into()), owner: self.uid, mode: 0o755, above: Vec::new() };
        self.own_file = OnceCell::from(Some(own));
    }

    /// Has `path` be refused by the kernel for a reason that is not its mode.
    pub fn deny(&mut self, path: &str) {
        if let Files::Given(files) = &mut self.files {
            files.insert(path.into(), Fact::Denied(Errno::PERM));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_where_they_lead() {
        let host = Host::made_up(&["/a/l->../b/c", "/b/c/f", "/b/c/abs->/a/l/f", "/loop->loop"]);
        let at = |p: &str| host.canonical(Path::new(p));
        assert_eq!(at("/a/l/f"), Ok("/b/c/f".into()));
        assert_eq!(at("/b/c/abs"), Ok("/b/c/f".into()));
        assert_eq!(at("/a/l/.."), Ok("/b".into()));
        assert_eq!(at("/loop"), Err(Errno::LOOP));
        assert_eq!(at("/nope/x"), Err(Errno::NOENT));
        assert_eq!(at("/b/c/f/x"), Err(Errno::NOTDIR));
    }
}
