//! The file tree as the jail will see it, as far as is planned: what lies at a
//! path inside, and where a path inside leads. Links are followed within the new
//! root only. Nothing here touches a file; the host's are asked of `Host`.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::host::path_kind::Fact;
use crate::host::{Changed, Host};
use crate::util::name_map::Index;
use crate::util::path::{Names, below, from_there_up};

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Memory of the jail's own, in which things can be made.
    Memory,
    /// The jail's own pseudo-terminals. Only the kernel makes files there.
    Devpts,
    /// The host's file or directory at this path.
    Host(PathBuf),
}

/// Where a path inside leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// To something that is there.
    There(PathBuf, Fact),
    /// To nothing, in a place where nothing can be made.
    Missing(PathBuf),
    /// To nothing yet, in memory of the jail's own.
    Makeable(PathBuf),
    /// To what the kernel gives this error for.
    Denied(Errno),
    /// Nowhere: through a file, or a loop.
    Nowhere(&'static str),
}

/// The tree.
#[derive(Debug)]
pub struct View<'a> {
    host: &'a Host,
    mounts: Index<Backing>,
    /// Where an earlier run left its changes of what `/` shows.
    changes: Option<PathBuf>,
    /// The directory of `changes` that was looked at last.
    changed: RefCell<Option<Changed>>,
    /// Made in memory by the plan.
    made: Index<Fact>,
}

impl<'a> View<'a> {
    /// A tree whose `/` shows `root`.
    pub fn new(host: &'a Host, root: Backing, changes: Option<PathBuf>) -> Self {
        let mut mounts = Index::new();
        mounts.set("/", root);
        Self { host, mounts, changes, changed: RefCell::new(None), made: Index::new() }
    }

    /// Mounts `backing` at `path`; gives false where there is a mount already.
    pub fn mount(&mut self, path: PathBuf, backing: Backing) -> bool {
        if self.is_mount(&path) {
            return false;
        }
        self.mounts.set(path, backing);
        true
    }

    /// Is there a mount at `path`?
    pub fn is_mount(&self, path: &Path) -> bool {
        self.mounts.has(path)
    }

    /// Something was made in memory.
    pub fn make(&mut self, path: PathBuf, fact: Fact) {
        self.made.set(path, fact);
    }

    /// True if the mount at `path` is memory of the jail's own.
    pub fn shows_memory(&self, path: &Path) -> bool {
        matches!(self.mounts.get(path), Some(Backing::Memory))
    }

    /// The innermost mount that `path` lies in.
    pub fn mount_over<'p>(&self, path: &'p Path) -> &'p Path {
        from_there_up(path).find(|above| self.is_mount(above)).unwrap_or(Path::new("/"))
    }

    /// What the innermost mount over `path` shows, and what lies at `path` there.
    pub fn backing(&self, path: &Path) -> Backing {
        self.backing_in(path, self.mount_over(path))
    }

    /// The same, where the innermost mount over `path` is known.
    fn backing_in(&self, path: &Path, mount: &Path) -> Backing {
        match self.mounts.get(mount) {
            None | Some(Backing::Memory) => Backing::Memory,
            Some(Backing::Devpts) => Backing::Devpts,
            Some(Backing::Host(base)) => {
                // Not join("") for the place itself: that would add a slash, which
                // no file may have.
                let below = &path.as_os_str().as_bytes()[mount.as_os_str().len()..];
                Backing::Host(match below.strip_prefix(b"/").unwrap_or(below) {
                    [] => base.clone(),
                    below => base.join(OsStr::from_bytes(below)),
                })
            }
        }
    }

    /// Returns the missing directories above `path`, outermost first. `path` can be made, so
    /// that all of them lie in the same memory.
    pub fn missing_above(&self, path: &Path) -> Vec<PathBuf> {
        let above = from_there_up(path).skip(1);
        let missing = above.take_while(|dir| !self.made.has(dir) && !self.is_mount(dir));
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        missing.reverse();
        missing
    }

    /// Every place where the host's `path` is shown, through a mount of it or of
    /// what lies above it and not covered by another; in the order of the mounts.
    pub fn places_of(&self, path: &Path) -> Vec<PathBuf> {
        let shows = |(at, backing): (&OsString, &Backing)| match backing {
            // Not join(""), which would add a slash.
            Backing::Host(source) => below(path, source).map(|below| match below.as_os_str().is_empty() {
                true => PathBuf::from(at),
                false => Path::new(at).join(below),
            }),
            Backing::Memory | Backing::Devpts => None,
        };
        let places = self.mounts.iter().filter_map(shows);
        places.filter(|at| self.backing(at) == Backing::Host(path.to_owned())).collect()
    }

    /// What lies at `path`, whose innermost mount is `mount`.
    fn look(&self, path: &Path, mount: &Path) -> Fact {
        match self.backing_in(path, mount) {
            Backing::Host(at) => self.changed(path, mount).unwrap_or_else(|| self.host.look(&at)),
            // The root of a file system in memory, or of a file in one.
            Backing::Memory if path.as_os_str() == mount.as_os_str() => self.made.get(path).cloned().unwrap_or(Fact::Dir),
            Backing::Memory => self.made.get(path).cloned().unwrap_or(Fact::Missing),
            Backing::Devpts if path.as_os_str() == mount.as_os_str() => Fact::Dir,
            Backing::Devpts if path == mount.join("ptmx") => Fact::Device,
            Backing::Devpts => Fact::Missing,
        }
    }

    /// What an earlier run made of `path`, which no mount but that of `/` shows.
    fn changed(&self, path: &Path, mount: &Path) -> Option<Fact> {
        let changes = self.changes.as_ref().filter(|_| mount == Path::new("/"))?;
        self.host.changed(changes, path.strip_prefix("/").unwrap_or(path), &mut self.changed.borrow_mut())
    }

    /// Follows `path` (absolute) from the new root. The walk keeps the innermost mount, so
    /// that each name costs a few lookups, however deep the path is.
    pub fn resolve(&self, path: &Path) -> Found {
        fn prefix(path: &Path, length: usize) -> &Path {
            Path::new(OsStr::from_bytes(&path.as_os_str().as_bytes()[..length]))
        }
        let mut names = Names::of(path);
        let mut done = PathBuf::with_capacity(path.as_os_str().len() + 1);
        done.push("/");
        let mut fact = Fact::Dir;
        let mut links = 0;
        // The length of the innermost mount's path, which is a prefix of `done`.
        let mut mount = 1;
        let gone_up = |done: &Path, mount: usize| match done.as_os_str().len() < mount {
            true => self.mount_over(done).as_os_str().len(),
            false => mount,
        };
        while let Some(down) = names.go(&mut done) {
            if !down {
                mount = gone_up(&done, mount);
                fact = Fact::Dir;
                continue;
            }
            if self.is_mount(&done) {
                mount = done.as_os_str().len();
            }
            fact = self.look(&done, prefix(&done, mount));
            match &fact {
                Fact::Dir => {}
                Fact::File | Fact::Device if names.is_empty() => {}
                Fact::File | Fact::Device => return Found::Nowhere("the path leads through a file"),
                Fact::Denied(errno) => return Found::Denied(*errno),
                Fact::Missing => {
                    let memory = matches!(self.mounts.get(prefix(&done, mount)), Some(Backing::Memory));
                    while let Some(down) = names.go(&mut done) {
                        // Below nothing there is nothing for .. to leave.
                        if !down {
                            return Found::Nowhere("the path goes up from what does not exist");
                        }
                    }
                    return if memory { Found::Makeable(done) } else { Found::Missing(done) };
                }
                Fact::Link(target) => {
                    links += 1;
                    if links > 40 {
                        return Found::Nowhere("the path goes round in symbolic links");
                    }
                    names.follow(target, &mut done);
                    mount = gone_up(&done, mount);
                    fact = Fact::Dir;
                }
            }
        }
        Found::There(done, fact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(view: &View<'_>, path: &str) -> Found {
        view.resolve(Path::new(path))
    }

    #[test]
    fn links_of_a_tree_stay_in_the_tree() {
        let host =
            Host::made_up(&["/t/tmp->/etc", "/t/up->../../../../etc", "/t/etc/", "/t/gone->/nope", "/t/loop->loop", "/t/f"]);
        let view = View::new(&host, Backing::Host("/t".into()), None);
        assert_eq!(at(&view, "/tmp"), Found::There("/etc".into(), Fact::Dir));
        assert_eq!(at(&view, "/up/../tmp"), Found::There("/etc".into(), Fact::Dir));
        assert_eq!(at(&view, "/gone/x"), Found::Missing("/nope/x".into()));
        assert!(matches!(at(&view, "/loop"), Found::Nowhere(_)));
        assert!(matches!(at(&view, "/f/x"), Found::Nowhere(_)));
        assert_eq!(at(&view, "/../.."), Found::There("/".into(), Fact::Dir));
    }

    #[test]
    fn what_an_earlier_run_changed_is_seen_before_the_tree() {
        let host = Host::made_up(&["/t/a/f", "/t/run/", "/t/l->a", "/t/d/", "/c/run!", "/c/l->/new", "/c/new/", "/c/a/", "/c/d"]);
        let mut view = View::new(&host, Backing::Host("/t".into()), Some("/c".into()));
        assert_eq!(at(&view, "/run"), Found::Missing("/run".into()), "deleted");
        assert_eq!(at(&view, "/l"), Found::There("/new".into(), Fact::Dir), "a link that was changed");
        assert_eq!(at(&view, "/a/f"), Found::There("/a/f".into(), Fact::File), "not changed");
        assert_eq!(at(&view, "/d"), Found::There("/d".into(), Fact::File), "a directory that became a file");
        assert!(view.mount("/a".into(), Backing::Host("/t/d".into())));
        assert_eq!(at(&view, "/a/f"), Found::Missing("/a/f".into()), "a mount covers both");
    }

    #[test]
    fn what_is_seen_does_not_depend_on_what_was_looked_at_before() {
        let host = Host::made_up(&["/t/x/y/z/f", "/t/x/y/old", "/t/gone/f", "/c/x/y/new", "/c/x/y/old!", "/c/gone!"]);
        let view = View::new(&host, Backing::Host("/t".into()), Some("/c".into()));
        let found = |path: &str| Found::There(path.into(), Fact::File);
        let all = [
            ("/x/y/z/f", found("/x/y/z/f")),
            ("/x/y/new", found("/x/y/new")),
            ("/x/y/../y/new", found("/x/y/new")),
            ("/x/y/z/../new", found("/x/y/new")),
            ("/x/y/z/../../y/z/f", found("/x/y/z/f")),
            ("/x/y/old", Found::Missing("/x/y/old".into())),
            ("/gone/f", Found::Missing("/gone/f".into())),
            ("/x/y/z/nothing/at/all", Found::Missing("/x/y/z/nothing/at/all".into())),
        ];
        for (first, _) in &all {
            for (path, expected) in &all {
                at(&view, first);
                assert_eq!(at(&view, path), *expected, "{path} after {first}");
            }
        }
    }

    #[test]
    fn a_mount_covers_what_lies_below() {
        let host = Host::made_up(&["/src/a/f", "/t/m/old"]);
        let mut view = View::new(&host, Backing::Host("/t".into()), None);
        assert!(view.mount("/m".into(), Backing::Host("/src".into())));
        assert!(!view.mount("/m".into(), Backing::Memory));
        assert_eq!(at(&view, "/m/a/f"), Found::There("/m/a/f".into(), Fact::File));
        assert_eq!(at(&view, "/m/old"), Found::Missing("/m/old".into()));
        assert!(view.mount("/m/a".into(), Backing::Memory));
        assert_eq!(at(&view, "/m/a/f/g"), Found::Makeable("/m/a/f/g".into()));
        assert_eq!(view.backing(Path::new("/m/x")), Backing::Host("/src/x".into()));
    }

    #[test]
    fn what_is_shown_at_several_places_is_found_at_each() {
        let host = Host::made_up(&["/proc/keys"]);
        let mut itself = View::new(&host, Backing::Memory, None);
        itself.mount("/k".into(), Backing::Host("/proc/keys".into()));
        assert_eq!(itself.places_of(Path::new("/proc/keys"))[0].as_os_str(), "/k", "without a slash");
        let mut view = View::new(&host, Backing::Host("/".into()), None);
        view.mount("/proc".into(), Backing::Memory);
        view.mount("/p".into(), Backing::Host("/proc".into()));
        view.mount("/all".into(), Backing::Host("/".into()));
        let keys: Vec<PathBuf> = vec!["/p/keys".into(), "/all/proc/keys".into()];
        assert_eq!(view.places_of(Path::new("/proc/keys")), keys);
    }

    #[test]
    fn the_root_itself_is_there() {
        let host = Host::made_up(&[]);
        assert_eq!(at(&View::new(&host, Backing::Memory, None), "/"), Found::There("/".into(), Fact::Dir));
    }
}
