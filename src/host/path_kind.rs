//! What lies at a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, lgetxattr, readlinkat, statat};
use rustix::io::Errno;

use crate::host::{Changed, Files, Host};

impl Host {
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
    pub(crate) fn is_opaque(&self, path: &Path) -> bool {
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

    /// Where `path` leads on the host, all links followed.
    ///
    /// # Errors
    /// The kernel's error at the first component that cannot be passed.
    pub fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        self.follow(path, &mut |_| {})
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
}

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

pub(crate) fn look(path: &Path) -> Fact {
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

/// Does the directory at `path`, of an overlay's changes, replace the one beneath?
pub fn overlay_opaque(path: &Path) -> bool {
    let mut value = [0; 2];
    // As long as the buffer or longer is none that the kernel wrote.
    lgetxattr(path, c"user.overlay.opaque", &mut value) == Ok(1) && value[0] == b'y'
}
