//! Where everything lies in the new root, and the steps that put it there: parents
//! first, links followed within the new root alone, nothing made in a host's tree.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Asked, Error, said};
use crate::host::{Fact, Host, Names, RootsOwn, from_there_up, names_a_process};
use crate::plan::fs::mount_tree::{Backing, Found, View};
use crate::plan::fs::requests::{Put, Wanted, absolute, c_string, files_error, not_through_a_link, source, taken};
use crate::plan::{CHANGES, Op, Over, Step};
use crate::policy::{Access, Ban, Changes, Policy};
use crate::util::name_map::Index;
use crate::util::text::{about, shown};

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];
/// Hidden from everyone: the keys of all the caller's sessions, which are in no
/// namespace.
const PROC_HIDDEN: [&str; 1] = ["keys"];
/// Also hidden if the caller is the host's root. Files that only root may read need no name
/// here: they are all hidden.
const PROC_HIDDEN_ROOT: [&str; 9] =
    ["key-users", "timer_list", "latency_stats", "sched_debug", "mtrr", "acpi", "scsi", "slabinfo", "allocinfo"];

/// Puts things at their places, and keeps what the tree has come to be.
pub(crate) struct Builder<'a> {
    host: &'a Host,
    view: View<'a>,
    /// So far.
    pub(crate) steps: Vec<Step>,
    /// What the launcher must do for them.
    pub(crate) outside: Vec<Step>,
    /// The tree of `--root`, on the host.
    tree: Option<PathBuf>,
    /// Where its changes are kept, on the host.
    kept: Option<PathBuf>,
    /// Memory that has no size of its own, and in which more can be.
    parts: Index<()>,
    /// Memory that is read-only to the command once everything is in it.
    sealed: Vec<CString>,
    /// Destinations that flags asked for.
    typed: Index<Asked>,
    /// What flags hide.
    hidden: Index<Asked>,
}

/// One placed thing and its steps.
struct Placed {
    /// The destination as requested; None for a missing directory above one.
    dest: Option<PathBuf>,
    /// Where `dest` leads.
    at: PathBuf,
    /// True for a symbolic link. Its destination does not lead to its own place.
    link: bool,
    steps: Vec<Step>,
    asked: Option<Asked>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(policy: &Policy, host: &'a Host) -> Result<Self, Error> {
        let Some(root) = &policy.root else {
            let mut steps = Vec::with_capacity(80);
            steps.push(Step { op: Op::RootMemory, asked: None });
            let view = View::new(host, Backing::Memory, None);
            let sealed = vec![c"/".to_owned()];
            let mut parts = Index::new();
            parts.set("/", ());
            return Ok(Self { host, view, steps, parts, sealed, ..Self::of_tree(host) });
        };
        let asked = root.asked.as_ref();
        let path = source(host, &root.value, false, asked)?.unwrap_or_default();
        if host.look(&path) != Fact::Dir {
            return Err(files_error(
                asked,
                about("take ", &path, " for the root"),
                "not a directory",
                "name the directory of a tree",
            ));
        }
        let tree = c_string(path.as_os_str())?;
        let (mut outside, mut kept) = (Vec::new(), None);
        let steps = match policy.changes() {
            None => {
                if policy.writable.is_some() {
                    not_through_a_link(host, &root.value, asked)?;
                }
                let access = if policy.writable.is_some() { Access::Writable } else { Access::ReadOnly };
                vec![Step { op: Op::RootTree { source: tree, access }, asked: root.asked }]
            }
            Some((changes, asked)) => {
                may_be_changed(host, &path, asked)?;
                let over = match changes {
                    Changes::Vanish { size } => Over::Memory { size },
                    Changes::Keep { dir } => {
                        let at = kept_in(host, &dir, &path, asked)?;
                        let dir = c_string(at.as_os_str())?;
                        outside.push(step(Op::KeepChanges { dir: dir.clone(), tree: tree.clone(), owner: host.uid }, asked));
                        kept = Some(at);
                        Over::Kept { dir }
                    }
                };
                vec![step(Op::RootOverlay { source: tree, over }, asked)]
            }
        };
        let changes = kept.as_ref().map(|dir| dir.join(CHANGES));
        let view = View::new(host, Backing::Host(path.clone()), changes);
        Ok(Self { view, steps, outside, tree: Some(path), kept, ..Self::of_tree(host) })
    }

    fn of_tree(host: &'a Host) -> Self {
        Self {
            host,
            view: View::new(host, Backing::Memory, None),
            steps: Vec::new(),
            outside: Vec::new(),
            tree: None,
            kept: None,
            parts: Index::new(),
            sealed: Vec::new(),
            typed: Index::new(),
            hidden: Index::new(),
        }
    }

    /// Refuses what would have the layers of an overlay changed beneath it, which the
    /// kernel leaves undefined.
    pub(crate) fn nothing_else_changes(&self, changes: &Option<(Changes, Option<&Asked>)>) -> Result<(), Error> {
        let (Some((_, over)), Some(tree)) = (changes, &self.tree) else { return Ok(()) };
        for step in &self.steps {
            let Op::Bind { source, access: Access::Writable, .. } = &step.op else { continue };
            let source = Path::new(OsStr::from_bytes(source.to_bytes()));
            let layer = [Some(tree), self.kept.as_ref()].into_iter().flatten().find(|layer| overlaps(layer, source));
            if let Some(layer) = layer {
                let over = over.map_or("", Asked::text);
                return Err(files_error(
                    step.asked.as_ref(),
                    about("show ", source, ", writable"),
                    format!("{} of {over} could be changed through it while it is in use", shown(layer)),
                    "move one out of the other, or show it read-only",
                ));
            }
        }
        Ok(())
    }

    /// Puts everything at its place, parents first. The order in which the flags
    /// were typed plays no part.
    pub(crate) fn place(&mut self, mut pending: Vec<Wanted>) -> Result<(), Error> {
        // Unstable, for the other way wants 4 KiB of stack: of two the flag's comes first.
        let order = |wanted: &Wanted| wanted.asked.is_none();
        pending.sort_unstable_by(|a, b| a.dest.as_os_str().cmp(b.dest.as_os_str()).then(order(a).cmp(&order(b))));
        let mut groups: Vec<Placed> = Vec::with_capacity(pending.len() + 4);
        let mut placed = Index::new();
        while !pending.is_empty() {
            let mut waiting = Vec::new();
            let mut dests = Index::new();
            for wanted in &pending {
                dests.set(&wanted.dest, ());
            }
            let count = pending.len();
            for wanted in pending {
                // A link may lead below another destination: that one goes first.
                let found = self.view.resolve(&wanted.dest);
                let (Found::There(at, _) | Found::Missing(at) | Found::Makeable(at)) = &found else {
                    self.refuse_dest(&wanted, &found)?;
                    continue;
                };
                let waits_for = |above: &Path| dests.has(above) && !placed.has(above);
                let covered = from_there_up(at).skip(1).any(waits_for);
                if covered && waiting.len() + 1 < count {
                    waiting.push(wanted);
                    continue;
                }
                let mut steps = Vec::with_capacity(2);
                placed.set(&wanted.dest, ());
                // Each its own, for another destination may come to lie between.
                let missing = if let Found::Makeable(at) = &found { self.view.missing_above(at) } else { Vec::new() };
                for at in missing {
                    let mut steps = Vec::with_capacity(1);
                    self.dir(&at, 0o755, wanted.asked.as_ref(), &mut steps)?;
                    groups.push(Placed { dest: None, at, link: false, steps, asked: None });
                }
                if let Some(at) = self.put(&wanted, found, &mut steps)? {
                    let link = matches!(wanted.put, Put::Symlink { .. });
                    groups.push(Placed { dest: Some(wanted.dest), at, link, steps, asked: wanted.asked });
                }
            }
            pending = waiting;
        }
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_unstable_by(|a, b| groups[*a].at.as_os_str().cmp(groups[*b].at.as_os_str()).then(a.cmp(b)));
        for at in order {
            self.steps.append(&mut groups[at].steps);
        }
        self.makes_nothing_outside()?;
        // What was put later may lie over what was resolved before.
        for Placed { dest, at, link, asked, .. } in &groups {
            let Some(dest) = dest else { continue };
            let up = |path| if *link { Path::parent(path).unwrap_or(path) } else { path };
            let settled = match self.view.resolve(up(dest)) {
                Found::There(now, _) => now.as_os_str() == up(at).as_os_str(),
                Found::Missing(_) | Found::Makeable(_) | Found::Denied(_) | Found::Nowhere(_) => false,
            };
            if !settled {
                return Err(files_error(
                    asked.as_ref(),
                    about("place ", dest, ""),
                    "another destination covers or redirects it",
                    "name destinations without symbolic links",
                ));
            }
        }
        Ok(())
    }

    /// Refuses to make something in a host directory. A symbolic link can lead a later bind
    /// over a place that was planned in memory. The steps are sorted by place: every mount
    /// above a place exists before the step that makes something there, and no mount above
    /// it follows. The view at the end is therefore the view at each step.
    fn makes_nothing_outside(&self) -> Result<(), Error> {
        fn above(path: &Path) -> &Path {
            path.parent().unwrap_or(path)
        }
        // The last parent directory and its innermost mount. Most steps have the same parent
        // as the step before, or the directory that the step before made.
        let (mut dir, mut mount) = (Path::new("/"), Path::new("/"));
        for step in &self.steps {
            let (Op::Dir { dest, .. }
            | Op::Memory { dest, .. }
            | Op::MountPoint { dest }
            | Op::Symlink { dest, .. }
            | Op::File { dest, .. }) = &step.op
            else {
                continue;
            };
            let dest = Path::new(OsStr::from_bytes(dest.to_bytes()));
            let parent = above(dest);
            if parent.as_os_str() != dir.as_os_str() {
                mount = match above(parent).as_os_str() == dir.as_os_str() {
                    true if self.view.is_mount(parent) => parent,
                    true => mount,
                    false => self.view.mount_over(parent),
                };
                dir = parent;
            }
            let in_memory = self.view.shows_memory(mount);
            if !in_memory {
                let place = match self.view.backing(dir) {
                    Backing::Host(path) => shown(&path),
                    Backing::Memory | Backing::Devpts => shown(dir),
                };
                let other = self.typed.get(mount).map_or("a default", Asked::text);
                return Err(files_error(
                    step.asked.as_ref(),
                    about("place ", dest, " inside"),
                    format!("it would be made in {place}, which {other} shows at {}", shown(mount)),
                    "jail makes nothing in a host's directory: name destinations without symbolic links",
                ));
            }
        }
        Ok(())
    }

    fn refuse_dest(&self, wanted: &Wanted, found: &Found) -> Result<(), Error> {
        let problem = match found {
            // Where the caller may not go, the command cannot either.
            Found::Denied(Errno::ACCESS) if wanted.asked.is_none() => return Ok(()),
            Found::Denied(errno) => {
                let doing = about("look at ", &wanted.dest, " inside");
                let remedy = "the caller must be allowed to search every directory above it";
                return Err(files_error(wanted.asked.as_ref(), doing, said(*errno), remedy));
            }
            Found::Nowhere(why) => *why,
            Found::Missing(_) if wanted.put.needs(self.host).is_none() => "it would have to be made there",
            Found::Missing(_) => "nothing is there to mount on",
            Found::There(..) | Found::Makeable(_) => return Ok(()),
        };
        if wanted.asked.is_none() {
            // In a tree without the directory a default does not appear.
            return Ok(());
        }
        let remedy = match found {
            Found::Missing(at) => match self.view.backing(at) {
                Backing::Host(_) if wanted.put.needs(self.host).is_none() => {
                    "jail makes nothing in a host's tree: make it there yourself, or name a place in a --tmpfs".into()
                }
                Backing::Host(path) => about("create ", &path, " on the host first: jail makes nothing in a host's tree"),
                Backing::Memory | Backing::Devpts => "choose another destination".into(),
            },
            Found::There(..) | Found::Makeable(_) | Found::Denied(_) | Found::Nowhere(_) => "choose another destination".into(),
        };
        Err(files_error(wanted.asked.as_ref(), about("place ", &wanted.dest, " inside"), problem, remedy))
    }

    /// Appends the steps that put one thing at its place, and gives the place.
    fn put(&mut self, wanted: &Wanted, found: Found, steps: &mut Vec<Step>) -> Result<Option<PathBuf>, Error> {
        let asked = wanted.asked.as_ref();
        let doing = || about("place ", &wanted.dest, " inside");
        if let (Some(_), Found::There(at, _) | Found::Missing(at) | Found::Makeable(at)) = (asked, &found) {
            if let Some(other) = self.typed.get(at).filter(|_| matches!(found, Found::There(..))) {
                return Err(taken(wanted, at, Some(other)));
            }
            match self.view.backing(at) {
                Backing::Devpts => {
                    return Err(files_error(
                        asked,
                        doing(),
                        about(
                            "it leads to ",
                            at,
                            ", where the jail has its own pseudo-terminals and only the kernel makes files",
                        ),
                        "remove the flag, or share the host's devices with --dev host",
                    ));
                }
                Backing::Host(path) if names_a_process(&path) => {
                    return Err(files_error(
                        asked,
                        doing(),
                        about("it leads to ", at, ", which names a process, and those inside are others"),
                        "choose another destination",
                    ));
                }
                Backing::Memory | Backing::Host(_) => {}
            }
        }
        let need = wanted.put.needs(self.host);
        // Some 10 µs less than memory of its own.
        let part = match (&wanted.put, &found) {
            (Put::Memory { mode }, Found::Makeable(at)) if self.is_in_memory(at) => Some(*mode),
            (Put::Dev, Found::Makeable(at)) if self.is_in_memory(at) => Some(0o755),
            _ => None,
        };
        let at = match (&found, &need) {
            (Found::There(at, _), None) => {
                return match asked {
                    None => Ok(None),
                    Some(_) => Err(files_error(
                        asked,
                        doing(),
                        about("", at, " exists already"),
                        "choose another destination, or leave the flag out",
                    )),
                };
            }
            (Found::There(at, there), Some(need)) => {
                let fits = (*there == Fact::Dir) == (*need == Fact::Dir);
                if !fits && asked.is_none() {
                    return Ok(None);
                }
                if !fits {
                    let problem = if *need == Fact::Dir {
                        "a directory is put there, and it is none"
                    } else {
                        "a file is put there, and it is a directory"
                    };
                    return Err(files_error(asked, doing(), problem, "name a destination of the same kind"));
                }
                at.clone()
            }
            (Found::Makeable(at), _) => {
                match need {
                    Some(_) if part.is_some() => {}
                    Some(Fact::Dir) => self.dir(at, 0o755, asked, steps)?,
                    Some(_) => {
                        push(steps, Op::MountPoint { dest: c_string(at.as_os_str())? }, asked);
                        self.view.make(at.clone(), Fact::File);
                    }
                    None => {}
                }
                at.clone()
            }
            (Found::Missing(_) | Found::Denied(_) | Found::Nowhere(_), _) => {
                self.refuse_dest(wanted, &found)?;
                return Ok(None);
            }
        };
        let dest = c_string(at.as_os_str())?;
        let backing = match &wanted.put {
            Put::Dir => {
                self.dir(&at, 0o755, asked, steps)?;
                None
            }
            Put::Symlink { target } => {
                push(steps, Op::Symlink { target: c_string(target)?, dest: c_string(at.as_os_str())? }, asked);
                self.view.make(at.clone(), Fact::Link(target.into()));
                None
            }
            Put::File { fd } => {
                push(steps, Op::File { fd: *fd, dest: c_string(at.as_os_str())? }, asked);
                self.view.make(at.clone(), Fact::File);
                None
            }
            Put::Bind { source, access } => {
                push(steps, Op::Bind { source: c_string(source.as_os_str())?, dest, access: *access }, asked);
                Some(Backing::Host(source.clone()))
            }
            Put::Device { source } => {
                push(steps, Op::Device { source: c_string(source.as_os_str())?, dest }, asked);
                Some(Backing::Host(source.clone()))
            }
            Put::Hosts { text } => {
                steps.push(step(Op::Hosts { dest, text: text.clone() }, asked));
                self.view.make(at.clone(), Fact::File);
                Some(Backing::Memory)
            }
            Put::Socket { hole } => {
                steps.push(step(Op::Socket { dest, hole: *hole }, asked));
                self.view.make(at.clone(), Fact::File);
                Some(Backing::Memory)
            }
            Put::Memory { mode } => {
                self.memory(&at, *mode, part.is_some(), asked, steps)?;
                Some(Backing::Memory)
            }
            Put::Tmpfs { size, mode } => {
                push(steps, Op::Tmpfs { dest, size: *size, mode: *mode }, asked);
                Some(Backing::Memory)
            }
            Put::Proc => {
                push(steps, Op::Proc { dest }, asked);
                // The same names as in the host's, but for the processes.
                Some(Backing::Host("/proc".into()))
            }
            Put::HostDev => {
                push(steps, Op::Devices { source: c"/dev".to_owned(), dest }, asked);
                Some(Backing::Host("/dev".into()))
            }
            Put::Dev => {
                self.memory(&at, 0o755, part.is_some(), asked, steps)?;
                self.sealed.push(dest);
                Some(Backing::Memory)
            }
        };
        if let Some(backing) = backing {
            if !self.view.mount(at.clone(), backing) {
                return match asked {
                    None => {
                        steps.clear();
                        Ok(None)
                    }
                    Some(_) => Err(taken(wanted, &at, None)),
                };
            }
        }
        if matches!(wanted.put, Put::Dev) {
            self.devices(&at, asked, steps)?;
        }
        if let Some(asked) = asked {
            self.typed.set(&at, *asked);
        }
        Ok(Some(at))
    }

    fn dir(&mut self, at: &Path, mode: u32, asked: Option<&Asked>, steps: &mut Vec<Step>) -> Result<(), Error> {
        push(steps, Op::Dir { dest: c_string(at.as_os_str())?, mode }, asked);
        self.view.make(at.to_owned(), Fact::Dir);
        Ok(())
    }

    /// Is what is made at `at` made in memory that can be shared?
    fn is_in_memory(&self, at: &Path) -> bool {
        self.parts.has(self.view.mount_over(at))
    }

    /// Memory at `at`: `part` of that above, or its own.
    fn memory(&mut self, at: &Path, mode: u32, part: bool, asked: Option<&Asked>, steps: &mut Vec<Step>) -> Result<(), Error> {
        self.parts.set(at, ());
        if part {
            push(steps, Op::Memory { dest: c_string(at.as_os_str())?, mode }, asked);
        } else {
            push(steps, Op::Tmpfs { dest: c_string(at.as_os_str())?, size: None, mode }, asked);
        }
        Ok(())
    }

    /// Fills a private /dev.
    fn devices(&mut self, dev: &Path, asked: Option<&Asked>, steps: &mut Vec<Step>) -> Result<(), Error> {
        steps.reserve(2 * DEVICES.len() + DEVICE_LINKS.len() + 4);
        for name in DEVICES {
            let at = dev.join(name);
            let source = Path::new("/dev").join(name);
            push(steps, Op::MountPoint { dest: c_string(at.as_os_str())? }, asked);
            push(steps, Op::Device { source: c_string(source.as_os_str())?, dest: c_string(at.as_os_str())? }, asked);
            self.view.mount(at, Backing::Host(source));
        }
        for (target, name) in DEVICE_LINKS {
            let at = dev.join(name);
            push(steps, Op::Symlink { target: c_string(OsStr::new(target))?, dest: c_string(at.as_os_str())? }, asked);
            self.view.make(at, Fact::Link(target.into()));
        }
        let (pts, shm) = (dev.join("pts"), dev.join("shm"));
        self.dir(&pts, 0o755, asked, steps)?;
        push(steps, Op::Devpts { dest: c_string(pts.as_os_str())? }, asked);
        self.view.mount(pts, Backing::Devpts);
        let part = self.is_in_memory(&shm);
        if !part {
            self.dir(&shm, 0o755, asked, steps)?;
        }
        self.memory(&shm, 0o1777, part, asked, steps)?;
        self.view.mount(shm, Backing::Memory);
        Ok(())
    }

    pub(crate) fn seal(&mut self) {
        for dest in self.sealed.drain(..).rev() {
            self.steps.push(Step { op: Op::Seal { dest }, asked: None });
        }
    }

    /// Takes out of /proc what no namespace does, wherever one is shown.
    pub(crate) fn mask_proc(&mut self, host: &Host) -> Result<(), Error> {
        let mut masks: Vec<(PathBuf, bool)> = Vec::with_capacity(1);
        let mut named = |names: &[&str]| masks.extend(names.iter().map(|name| (Path::new("/proc").join(name), true)));
        named(&PROC_HIDDEN);
        if host.uid == 0 {
            named(&PROC_HIDDEN_ROOT);
            let all = host.roots_own_in_proc().map_err(|errno| {
                let remedy = "see whether ls /proc shows it";
                files_error(None, "find out which files of /proc belong to root", said(errno), remedy)
            })?;
            let mut all: Vec<_> = all.into_iter().map(|(path, own)| (path, own == RootsOwn::Secret)).collect();
            all.retain(|(path, _)| masks.iter().all(|(masked, _)| masked.as_os_str() != path.as_os_str()));
            all.sort_unstable();
            masks.append(&mut all);
        }
        for (path, hide) in masks {
            let fact = host.look(&path);
            if fact == Fact::Missing {
                continue;
            }
            for at in self.view.places_of(&path) {
                let dest = c_string(at.as_os_str())?;
                let dir = fact == Fact::Dir;
                let op = if hide {
                    Op::Hide { dest, dir }
                } else {
                    Op::Restrict { dest, mounted: false, access: Access::ReadOnly, noexec: true }
                };
                self.steps.push(Step { op, asked: None });
            }
        }
        Ok(())
    }

    /// Where a ban applies; None where it may be missing and is.
    fn banned(&self, ban: &Ban) -> Result<Option<(PathBuf, Fact)>, Error> {
        let path = absolute(self.host, &ban.path, Some(&ban.asked))?;
        match self.view.resolve(&path) {
            Found::There(at, _) if self.is_process(&at) => Err(files_error(
                Some(&ban.asked),
                about("find ", &path, " inside"),
                "it names a process, and those inside are others",
                "name a file of /proc that is none of a process's",
            )),
            Found::There(at, fact) => Ok(Some((at, fact))),
            Found::Missing(_) | Found::Makeable(_) if ban.may_miss => Ok(None),
            Found::Missing(at) | Found::Makeable(at) => Err(files_error(
                Some(&ban.asked),
                about("find ", &path, " inside"),
                about("nothing is visible at ", &at, ""),
                "name what another flag or a default shows, or leave the flag out",
            )),
            Found::Denied(errno) => Err(files_error(
                Some(&ban.asked),
                about("find ", &path, " inside"),
                said(errno),
                "the caller must be allowed to search every directory above it",
            )),
            Found::Nowhere(why) => {
                Err(files_error(Some(&ban.asked), about("find ", &path, " inside"), why, "name the place itself"))
            }
        }
    }

    /// Does `at` name a process in a /proc?
    fn is_process(&self, at: &Path) -> bool {
        matches!(self.view.backing(at), Backing::Host(shown) if names_a_process(&shown))
    }

    /// The bans that apply, parents first; two for one place, or one below what is
    /// hidden, are an error.
    fn applicable(&self, bans: &[Ban], doing: &str) -> Result<Vec<(PathBuf, Fact, Asked)>, Error> {
        let mut all: Vec<(PathBuf, Fact, Asked)> = Vec::new();
        for ban in bans {
            if let Some((at, fact)) = self.banned(ban)? {
                all.push((at, fact, ban.asked));
            }
        }
        all.sort_unstable_by(|a, b| a.0.as_os_str().cmp(b.0.as_os_str()).then_with(|| a.2.text().cmp(b.2.text())));
        for pair in all.windows(2) {
            if pair[0].0 == pair[1].0 {
                let problem = format!("{} names it already", pair[0].2.text());
                return Err(files_error(
                    Some(&pair[1].2),
                    format!("{doing} {}", shown(&pair[1].0)),
                    problem,
                    "leave out one of the two",
                ));
            }
        }
        Ok(all)
    }

    /// Refuses what is not to be found because `at` is hidden, or a directory above.
    fn not_hidden(&self, at: Option<&Path>, asked: Option<&Asked>, doing: impl FnOnce() -> String) -> Result<(), Error> {
        let Some(at) = at else { return Ok(()) };
        match self.hides(at) {
            None => Ok(()),
            Some(other) => {
                let problem = format!("{} hides it", other.text());
                Err(files_error(asked, doing(), problem, "leave out one of the two"))
            }
        }
    }

    /// The flag that hides `at`, or a directory above.
    fn hides(&self, at: &Path) -> Option<&Asked> {
        from_there_up(at).find_map(|above| self.hidden.get(above))
    }

    pub(crate) fn hide(&mut self, bans: &[Ban]) -> Result<(), Error> {
        if bans.is_empty() {
            return Ok(());
        }
        // The destinations of flags and all directories above them, each with such a flag.
        let mut shows: Index<Asked> = Index::new();
        for (path, asked) in self.typed.iter() {
            for above in from_there_up(Path::new(path)) {
                // The directories above it were set with it.
                if shows.has(above) {
                    break;
                }
                shows.set(above, *asked);
            }
        }
        for (at, fact, asked) in self.applicable(bans, "hide")? {
            self.not_hidden(at.parent(), Some(&asked), || about("hide ", &at, ""))?;
            let refuse =
                |problem: String, remedy: &'static str| Err(files_error(Some(&asked), about("hide ", &at, ""), problem, remedy));
            if at == Path::new("/") {
                return refuse("it is the root of the jail".into(), "name something in it");
            }
            if let Some(other) = shows.get(&at) {
                return refuse(format!("it would hide what {} shows", other.text()), "leave out one of the two");
            }
            let op = Op::Hide { dest: c_string(at.as_os_str())?, dir: fact == Fact::Dir };
            self.steps.push(Step { op, asked: Some(asked) });
            self.hidden.set(at, asked);
        }
        // Drop the defaults below hidden directories. No flag needs them: a flag that shows
        // something below a hidden directory was refused above.
        let hidden = &self.hidden;
        self.steps.retain(|step| {
            let hides = |dest: &CStr| {
                let dest = Path::new(OsStr::from_bytes(dest.to_bytes()));
                from_there_up(dest).skip(1).any(|above| hidden.has(above))
            };
            step.asked.is_some() || !step.op.dest().is_some_and(hides)
        });
        Ok(())
    }

    pub(crate) fn noexec(&mut self, bans: &[Ban]) -> Result<(), Error> {
        let all = self.applicable(bans, "forbid execution below")?;
        let mut covered: Index<Asked> = Index::new();
        for (at, _, asked) in &all {
            self.not_hidden(Some(at), Some(asked), || about("forbid execution below ", at, ""))?;
            let other = from_there_up(at).skip(1).find_map(|above| covered.get(above));
            if let Some(other) = other {
                return Err(files_error(
                    Some(asked),
                    about("forbid execution below ", at, ""),
                    format!("has no effect: {} covers it", other.text()),
                    "leave it out",
                ));
            }
            let mounted = self.view.is_mount(at);
            let op = Op::Restrict { dest: c_string(at.as_os_str())?, mounted, access: Access::Writable, noexec: true };
            self.steps.push(Step { op, asked: Some(*asked) });
            covered.set(at, *asked);
        }
        Ok(())
    }

    /// The directory to start in.
    pub(crate) fn chdir(&self, policy: &Policy) -> Result<Step, Error> {
        let Some(chdir) = &policy.chdir else {
            let refuse = |errno: Errno| {
                Err(files_error(None, "find the current directory", said(errno), "name one that is visible with --chdir"))
            };
            let visible = match &self.host.cwd {
                Err(Errno::NOENT) => None,
                Err(errno) => return refuse(*errno),
                Ok(cwd) => match self.view.resolve(cwd) {
                    Found::Denied(errno) if errno != Errno::ACCESS => return refuse(errno),
                    Found::There(at, Fact::Dir)
                        if self.view.backing(&at) == Backing::Host(cwd.clone())
                            && !names_a_process(cwd)
                            && self.hides(&at).is_none() =>
                    {
                        Some(cwd)
                    }
                    Found::There(..) | Found::Missing(_) | Found::Makeable(_) | Found::Denied(_) | Found::Nowhere(_) => None,
                },
            };
            let path = visible.map_or(Path::new("/"), PathBuf::as_path);
            // Where / cannot be entered, it is the tree's doing.
            let asked = policy.root.as_ref().filter(|_| path == Path::new("/")).and_then(|root| root.asked);
            return Ok(Step { op: Op::Chdir { path: c_string(path.as_os_str())? }, asked });
        };
        let asked = chdir.asked.as_ref();
        let path = absolute(self.host, &chdir.value, asked)?;
        let problem = match self.view.resolve(&path) {
            Found::There(at, _) if self.is_process(&at) => {
                return Err(files_error(
                    asked,
                    about("start in ", &path, ""),
                    "it names a process, and those inside are others",
                    "name another directory, or change to it inside the jail",
                ));
            }
            Found::There(at, Fact::Dir) => {
                self.not_hidden(Some(&at), asked, || about("start in ", &at, ""))?;
                return Ok(step(Op::Chdir { path: c_string(at.as_os_str())? }, asked));
            }
            Found::There(..) => "not a directory",
            Found::Missing(_) | Found::Makeable(_) => "it is not visible inside",
            Found::Denied(_) => "the caller may not search every directory above it",
            Found::Nowhere(why) => why,
        };
        Err(files_error(
            asked,
            about("start in ", &path, ""),
            problem,
            "show the directory with --ro or --rw, or make it with --dir",
        ))
    }
}

/// Can what is changed in the tree keep its owner? Before a file of the tree is
/// changed it is copied, and the copy must be someone's in the jail.
fn may_be_changed(host: &Host, tree: &Path, asked: Option<&Asked>) -> Result<(), Error> {
    match host.owner(tree) {
        Some(owner) if owner != host.uid => Err(files_error(
            asked,
            about("lay changes over ", tree, ""),
            format!("it belongs to uid {owner}, and a file keeps its owner when it is changed, who is no one in the jail"),
            "unpack a tree of your own: TREES in jail(1) says how",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Where changes of `tree` are kept: `dir`, which need not be there yet.
fn kept_in(host: &Host, dir: &Path, tree: &Path, asked: Option<&Asked>) -> Result<PathBuf, Error> {
    not_through_a_link(host, dir, asked)?;
    let from_root = dir.is_absolute();
    let dir = absolute(host, dir, asked)?;
    let refuse =
        |problem: String, remedy: &'static str| Err(files_error(asked, about("keep changes in ", &dir, ""), problem, remedy));
    let mut names = Names::of(&dir);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(down) = names.go(&mut at) {
        let last = names.is_empty();
        if !down {
            continue;
        }
        match host.look(&at) {
            Fact::Dir => {}
            // The launcher makes it.
            Fact::Missing if last => {}
            Fact::Missing => return refuse(said(Errno::NOENT), "create the directory above it first"),
            Fact::Denied(errno) => return refuse(said(errno), "the caller must be allowed to search every directory above it"),
            // What a checkout or an earlier jail made must not choose where the launcher
            // makes directories. Links of root's, such as /home on some systems, may.
            Fact::Link(target) => {
                links += 1;
                if last || !from_root || host.owner(&at) != Some(0) || links > 40 {
                    let problem = about("", &at, " is a symbolic link, and is not followed here");
                    return refuse(problem, "name the directory that it leads to");
                }
                names.follow(&target, &mut at);
            }
            Fact::File | Fact::Device if last => {
                let problem = about("", &at, &format!(" is {}, not a directory", host.kind(&at)));
                return refuse(problem, "name a directory, or one that jail is to make");
            }
            Fact::File | Fact::Device => return refuse(said(Errno::NOTDIR), "name a directory"),
        }
    }
    if overlaps(&at, tree) {
        let (inner, outer) = if at.starts_with(tree) { ("it lies", "the tree") } else { ("the tree lies", "it") };
        let problem = if at == tree { "it is the tree itself".into() } else { format!("{inner} in {outer}") };
        return refuse(problem, "name a directory beside the tree");
    }
    Ok(at)
}

/// Does one of the two lie in the other?
fn overlaps(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn push(steps: &mut Vec<Step>, op: Op, asked: Option<&Asked>) {
    steps.push(step(op, asked));
}

fn step(op: Op, asked: Option<&Asked>) -> Step {
    Step { op, asked: asked.copied() }
}
