//! The caller's cgroup.

use std::path::{Path, PathBuf};

use rustix::fs::{Access as Wanted, AtFlags, CWD, accessat, statat};

use crate::host::Host;
use crate::util::fs::{mounted, text};

impl Host {
    /// The caller's cgroup (v2), and the one above it; none where there is none.
    pub fn cgroups(&self) -> Vec<CgroupDir> {
        #[cfg(any(test, fuzzing))]
        if self.descriptors.is_some() {
            return self.cgroups.clone();
        }
        let Some((mount, own)) = own_cgroup() else { return Vec::new() };
        let above = own.parent().filter(|above| above.starts_with(&mount));
        [Some(own.as_path()), above].into_iter().flatten().map(cgroup_below).collect()
    }
}

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

/// Where cgroup2 is mounted, and the directory of this process's own.
pub(crate) fn own_cgroup() -> Option<(PathBuf, PathBuf)> {
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

pub(crate) fn cgroup_below(path: &Path) -> CgroupDir {
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
