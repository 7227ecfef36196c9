//! Facts about this machine: read once, never changed. The plan asks here and nowhere else.
//! Every fact has a fake, so that tests hand the plan a machine that they made up.

pub(crate) mod cgroup;
pub(crate) mod fds;
pub(crate) mod own_file;
pub(crate) mod path_kind;
pub(crate) mod privileges;
pub(crate) mod proc;
pub(crate) mod resolver;
pub(crate) mod subids;

use std::cell::{OnceCell, RefCell};
#[cfg(any(test, fuzzing))]
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, fstat, major, minor, statat};
use rustix::io::Errno;
use rustix::process::{getcwd, getegid, geteuid, getgroups};
use rustix::thread::{CapabilitySet, CpuSet, capabilities, sched_getaffinity};

use crate::error::Layer;
use crate::host::own_file::OwnFile;
use crate::host::path_kind::Fact;
use crate::host::proc::{RootsOwn, kind_of, roots_own};
use crate::host::resolver::Unresolved;
use crate::host::subids::Subordinate;
#[cfg(any(test, fuzzing))]
use crate::host::{cgroup::CgroupDir, proc::names_a_process, subids::Mapper};
use crate::policy::layer::Degradable;
use crate::process::helper::{self, Unusable};
use crate::sys;
use crate::sys::loopback;
use crate::util::fs::{read, text};
use crate::util::name_map::Index;
use crate::util::path::Names;

/// The directory of an overlay's changes at which a lookup ended.
#[derive(Debug)]
pub struct Changed {
    pub(crate) dir: PathBuf,
    /// True if the directory hides the tree's own; None if neither the directory nor
    /// anything below it was changed.
    pub(crate) replaced: Option<bool>,
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
    pub(crate) own_file: OnceCell<Option<OwnFile>>,
    pub(crate) files: Files,
    pub(crate) descriptors: Option<Vec<i32>>,
    #[cfg(any(test, fuzzing))]
    pub(crate) cgroups: Vec<CgroupDir>,
    #[cfg(any(test, fuzzing))]
    pub subordinate: Subordinate,
}

#[derive(Debug)]
pub(crate) enum Files {
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

/// Where the caller is.
fn current_dir() -> Result<PathBuf, Errno> {
    let path = OsString::from_vec(getcwd(Vec::new())?.into_bytes());
    // The kernel's word for a directory outside of the process's root is no path.
    if path.as_bytes().starts_with(b"/") { Ok(path.into()) } else { Err(Errno::NOENT) }
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
