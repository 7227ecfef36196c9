//! What is to be where inside: every destination that a flag or a default asks for,
//! with its source found on the host. `layout` finds where each then lies.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Asked, Error, Layer, Words, said};
use crate::host::Host;
use crate::host::fds::Opened;
use crate::host::path_kind::Fact;
use crate::host::proc::leads_by_process;
use crate::policy::files::{Access, What};
use crate::policy::net::Net;
use crate::policy::{Anchor, Policy};
use crate::util::escape::{about, shown};
use crate::util::name_map::Index;
use crate::util::path::below;

/// The host's system directories, and the links beside /usr.
const SYSTEM: [&str; 11] =
    ["/usr", "/etc", "/opt", "/nix/store", "/gnu/store", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What is to be at a destination.
#[derive(Clone, Debug)]
pub(crate) enum Put {
    /// A host file or directory.
    Bind { source: PathBuf, access: Access },
    /// A host device node.
    Device { source: PathBuf },
    /// Memory of the jail's own.
    Memory { mode: u32 },
    /// Memory that is nothing else's.
    Tmpfs { size: Option<u64>, mode: u32 },
    /// A process table of the jail's own.
    Proc,
    /// Devices of the jail's own.
    Dev,
    /// The host's devices.
    HostDev,
    /// A directory.
    Dir,
    /// A link that says `target`.
    Symlink { target: OsString },
    /// A file with what the descriptor gives.
    File { fd: i32 },
    /// A file that says this, over the one that is there.
    Hosts { text: String },
    /// A Unix socket that listens for hole number `hole`.
    Socket { hole: u32 },
}

impl Put {
    /// Is a directory needed to put it on? None where nothing may be there.
    pub(crate) fn needs(&self, host: &Host) -> Option<Fact> {
        match self {
            Self::Bind { source, .. } => Some(match host.look(source) {
                Fact::Dir => Fact::Dir,
                Fact::Missing | Fact::Denied(_) | Fact::File | Fact::Device | Fact::Link(_) => Fact::File,
            }),
            Self::Device { .. } | Self::Hosts { .. } | Self::Socket { .. } => Some(Fact::File),
            Self::Memory { .. } | Self::Tmpfs { .. } | Self::Proc | Self::Dev | Self::HostDev => Some(Fact::Dir),
            Self::Dir | Self::Symlink { .. } | Self::File { .. } => None,
        }
    }
}

/// Something at a destination.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The thing.
    pub(crate) put: Put,
    /// Where, from / on; links may be in it.
    pub(crate) dest: PathBuf,
    /// Who asked; none where it is a default.
    pub(crate) asked: Option<Asked>,
}

pub(crate) fn files_error(
    asked: Option<&Asked>,
    doing: impl Into<Words>,
    problem: impl Into<Words>,
    remedy: impl Into<Words>,
) -> Error {
    Error::usage(asked.copied(), problem, remedy).met(doing, Layer::Files)
}

/// Two for one destination: `other` is the flag that has it, or a default.
pub(crate) fn taken(wanted: &Wanted, at: &Path, other: Option<&Asked>) -> Error {
    files_error(
        wanted.asked.as_ref(),
        about("place ", &wanted.dest, " inside"),
        format!("the destination {} is taken by {}", shown(at), other.map_or("a default", Asked::text)),
        match other {
            None => "leave the flag out, or say none to what is there by default",
            Some(_) => "leave out one of the two",
        },
    )
}

/// The caller's directory is not known, and a path needs it.
pub(crate) fn absolute(host: &Host, path: &Path, asked: Option<&Asked>) -> Result<PathBuf, Error> {
    host.absolute(path).map_err(|errno| {
        let problem = format!("the current directory is gone or may not be named: {}", said(errno));
        files_error(asked, about("resolve ", path, ""), problem, "name the path from / on")
    })
}

/// Where a source leads on the host; None where it is missing and may be.
pub(crate) fn source(host: &Host, path: &Path, may_miss: bool, asked: Option<&Asked>) -> Result<Option<PathBuf>, Error> {
    let path = absolute(host, path, asked)?;
    let mut by_process = None;
    let found = host.follow(&path, &mut |link| {
        if by_process.is_none() && leads_by_process(link) {
            by_process = Some(link.to_owned());
        }
    });
    if let Some(link) = by_process {
        // The launcher would come to its own process, and would take the text of a link that
        // only the kernel can follow for a path.
        return Err(files_error(
            asked,
            about("find the source ", &path, ""),
            about("it leads through ", &link, ", which is another file for each process"),
            "name the file itself, or copy what a descriptor gives with --file FD DST",
        ));
    }
    match found {
        Ok(path) => Ok(Some(path)),
        Err(Errno::NOENT | Errno::NOTDIR) if may_miss => Ok(None),
        Err(errno) => Err(files_error(
            asked,
            about("find the source ", &path, ""),
            said(errno),
            match errno {
                Errno::NOENT | Errno::NOTDIR if asked.is_some_and(|asked| asked.text().starts_with("--root")) => {
                    "create it first"
                }
                Errno::NOENT | Errno::NOTDIR if asked.is_some_and(|asked| asked.text().starts_with("--reach")) => {
                    "start its server first"
                }
                Errno::NOENT | Errno::NOTDIR => "create it first, or use the -try form of the flag",
                Errno::LOOP => "the links go round in a circle: name the place itself",
                Errno::NAMETOOLONG => "name it by a shorter path",
                _ => "the caller must be allowed to search every directory above it",
            },
        )),
    }
}

/// Refuses a relative `path` through a symbolic link below the current directory. It is for
/// paths of things that the command may change. A checkout may hold a link under any name
/// that a script types; the command would then change what the link's author chose. Links
/// above the current directory belong to the caller.
pub(crate) fn not_through_a_link(host: &Host, path: &Path, asked: Option<&Asked>) -> Result<(), Error> {
    let (Ok(cwd), true) = (&host.cwd, path.is_relative()) else { return Ok(()) };
    let whole = absolute(host, path, asked)?;
    let mut first = None;
    let found = host.follow(&whole, &mut |link| {
        if first.is_none() && below(link, cwd).is_some_and(|below| !below.as_os_str().is_empty()) {
            first = Some(link.to_owned());
        }
    });
    let Some(link) = first else { return Ok(()) };
    Err(files_error(
        asked,
        about("follow ", &whole, ""),
        about("", &link, " is a symbolic link below the current directory, and may have come with the files there"),
        match found {
            Ok(at) => about("if that is meant, write the path that it leads to: ", &at, ""),
            Err(_) => "remove the link, or name a path without it".into(),
        },
    ))
}

/// A part of the host's system that cannot be looked at: without it the view would
/// not be what it is to be.
fn unseen(path: &Path, errno: Errno) -> Error {
    files_error(None, about("look at ", path, ""), said(errno), "see whether ls -ld shows it")
}

/// Every destination, `more` and those of the defaults among them.
pub(crate) fn wanted(policy: &Policy, host: &Host, more: Vec<Wanted>) -> Result<Vec<Wanted>, Error> {
    let mut all = more;
    for entry in &policy.entries {
        let asked = Some(&entry.asked);
        if let What::Bind { source, access: Access::Writable } | What::Device { source } = &entry.what {
            not_through_a_link(host, source, asked)?;
        }
        let put = match &entry.what {
            What::Bind { source: path, access } => match source(host, path, entry.may_miss, asked)? {
                None => continue,
                Some(source) => Put::Bind { source, access: *access },
            },
            What::Device { source: path } => match source(host, path, entry.may_miss, asked)? {
                None => continue,
                Some(source) if host.look(&source) == Fact::Device => Put::Device { source },
                Some(source) => {
                    return Err(files_error(
                        asked,
                        about("show ", &source, ""),
                        "not a device node",
                        "use --ro or --rw for files",
                    ));
                }
            },
            What::Tmpfs { size } => Put::Tmpfs { size: *size, mode: 0o755 },
            What::Dir => Put::Dir,
            What::Symlink { target } => Put::Symlink { target: target.clone() },
            What::File { fd } if host.opened(*fd) == Opened::Not => {
                return Err(files_error(
                    asked,
                    format!("read descriptor {fd}"),
                    "it is not open",
                    format!("open it, e.g. {fd}<FILE in a shell"),
                ));
            }
            What::File { fd } if host.opened(*fd) == Opened::WriteOnly => {
                return Err(files_error(
                    asked,
                    format!("read descriptor {fd}"),
                    "it is open for writing only",
                    format!("open it for reading, e.g. {fd}<FILE in a shell"),
                ));
            }
            What::File { fd } => Put::File { fd: *fd },
        };
        let mut dest = absolute(host, &entry.dest, asked)?;
        if matches!(&entry.what, What::Bind { source, .. } | What::Device { source } if *source == entry.dest) {
            // The same place, and so the host's `..`.
            dest = host.without_dotdot(&dest).unwrap_or(dest);
        }
        all.push(Wanted { put, dest, asked: asked.copied() });
    }
    let text = |wanted: &Wanted| wanted.asked.map(|asked| asked.text());
    all.sort_unstable_by(|a, b| a.dest.as_os_str().cmp(b.dest.as_os_str()).then_with(|| text(a).cmp(&text(b))));
    for pair in all.windows(2) {
        if let ([first, second], true) = (pair, pair[0].dest == pair[1].dest) {
            return Err(taken(second, &second.dest, first.asked.as_ref()));
        }
    }
    let mut typed = Index::new();
    for wanted in &all {
        typed.set(&wanted.dest, ());
    }
    if typed.has("/") {
        let asked = all.iter().find(|w| w.dest == Path::new("/")).and_then(|w| w.asked.as_ref());
        return Err(files_error(asked, "choose what is at /", "the root is not a destination", "use --root DIR"));
    }

    // A flag's destination takes the place of a default; of a setting that was
    // typed it is a duplicate, which `layout` finds.
    let mut default = |put: Put, dest: &Path, asked: Option<&Asked>| {
        if asked.is_some() || !typed.has(dest) {
            all.push(Wanted { put, dest: dest.to_owned(), asked: asked.copied() });
        }
    };
    if policy.root.is_none() {
        for path in SYSTEM.map(Path::new) {
            match host.look(path) {
                Fact::Link(target) if path.as_os_str().as_bytes().iter().rposition(|b| *b == b'/') == Some(0) => {
                    default(Put::Symlink { target: target.into_os_string() }, path, None);
                }
                Fact::Dir | Fact::Link(_) => match host.canonical(path) {
                    Ok(source) => default(Put::Bind { source, access: Access::ReadOnly }, path, None),
                    // A link that leads nowhere shows nothing.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(errno) => return Err(unseen(path, errno)),
                },
                Fact::Denied(errno) => return Err(unseen(path, errno)),
                Fact::Missing | Fact::File | Fact::Device => {}
            }
        }
        // Where /etc/resolv.conf is a link into /run, names would not resolve.
        let resolv = Path::new("/etc/resolv.conf");
        let own_etc = policy.entries.iter().any(|entry| {
            entry.dest == Path::new("/etc") && !matches!(&entry.what, What::Bind { source, .. } if *source == entry.dest)
        });
        if policy.net.value != Net::None && !own_etc && policy.run.value != Anchor::Host {
            if let (Fact::Link(_), Ok(source)) = (host.look(resolv), host.canonical(resolv)) {
                if !source.starts_with("/etc") && !source.starts_with("/usr") {
                    default(Put::Bind { source, access: Access::ReadOnly }, resolv, None);
                }
            }
        }
    }
    let shared = |path: &str, access| Put::Bind { source: PathBuf::from(path), access };
    let proc = match policy.proc.value {
        // Without a process table of its own the jail shares its view, too.
        Anchor::Private | Anchor::Host if policy.pid.value == Anchor::Host => Some(shared("/proc", Access::ReadOnly)),
        Anchor::Private => Some(Put::Proc),
        Anchor::Host => Some(shared("/proc", Access::ReadOnly)),
        Anchor::None => None,
    };
    let memory = |mode| Put::Memory { mode };
    for (path, put, asked) in [
        ("/proc", proc, &policy.proc.asked),
        ("/dev", anchor(policy.dev.value, || Put::Dev, || Put::HostDev), &policy.dev.asked),
        ("/tmp", anchor(policy.tmp.value, || memory(0o1777), || shared("/tmp", Access::Writable)), &policy.tmp.asked),
        ("/run", anchor(policy.run.value, || memory(0o755), || shared("/run", Access::Writable)), &policy.run.asked),
    ] {
        if let Some(put) = put {
            default(put, Path::new(path), asked.as_ref());
        }
    }
    if policy.home.value == Anchor::Private {
        let asked = policy.home.asked.as_ref();
        match home(host) {
            // What a flag shows there is not covered by a default.
            Ok(home) if asked.is_none() && shown_by_flag(policy, host, &home) => {}
            Ok(home) => default(memory(0o700), &home, asked),
            Err(problem) => {
                if asked.is_some() {
                    return Err(files_error(
                        asked,
                        "make a private home",
                        problem,
                        "set HOME to a directory of its own, or say --home none",
                    ));
                }
            }
        }
    }
    Ok(all)
}

fn anchor(value: Anchor, own: impl FnOnce() -> Put, host: impl FnOnce() -> Put) -> Option<Put> {
    match value {
        Anchor::Private => Some(own()),
        Anchor::None => None,
        Anchor::Host => Some(host()),
    }
}

/// Does a flag show the host's file or directory `path`, or one above it?
fn shown_by_flag(policy: &Policy, host: &Host, path: &Path) -> bool {
    let binds = policy.entries.iter().filter(|entry| matches!(entry.what, What::Bind { .. }));
    let above = |dest: &Path| host.absolute(dest).is_ok_and(|dest| path.starts_with(dest));
    binds.into_iter().any(|entry| above(&entry.dest))
        || policy.tmp.value == Anchor::Host && path.starts_with("/tmp")
        || policy.run.value == Anchor::Host && path.starts_with("/run")
}

/// The caller's home, where an empty one would hide nothing else.
fn home(host: &Host) -> Result<PathBuf, &'static str> {
    let home = PathBuf::from(host.var(OsStr::new("HOME")).ok_or("HOME is not set")?);
    if !home.is_absolute() || home.components().any(|c| c.as_os_str() == "..") {
        return Err("HOME is not a path from / on");
    }
    let home: PathBuf = home.components().collect();
    let anchors = ["/proc", "/dev", "/tmp", "/run"].map(Path::new);
    let system = SYSTEM.iter().any(|dir| below(&home, Path::new(dir)).is_some());
    if home == Path::new("/")
        || system
        || anchors.contains(&home.as_path())
        || home.starts_with("/proc")
        || home.starts_with("/dev")
    {
        return Err("HOME is a system directory");
    }
    Ok(home)
}
