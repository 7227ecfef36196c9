//! Paths, name by name.

use core::ffi::CStr;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The directory that `path` (absolute) lies in, nothing for `/`, and its last name.
pub(crate) fn split(path: &CStr) -> Result<(&[u8], &CStr), Errno> {
    let bytes = path.to_bytes_with_nul();
    let slash = bytes.iter().rposition(|b| *b == b'/').ok_or(Errno::INVAL)?;
    let name = CStr::from_bytes_with_nul(&bytes[slash + 1..]).map_err(|_| Errno::INVAL)?;
    Ok((&bytes[..slash], name))
}

/// The names that are left of a path that is being followed.
pub struct Names {
    pub(crate) path: Vec<u8>,
    /// Where the next one begins, or slashes before it.
    pub(crate) at: usize,
}

impl Names {
    /// All of `path`.
    pub fn of(path: &Path) -> Self {
        Self { path: path.as_os_str().as_bytes().to_vec(), at: 0 }
    }

    /// The next one; `..` among them, `.` not.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
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
