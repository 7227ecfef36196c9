//! Where everything lies in the new root, and the steps that put it there: parents
//! first, links followed within the new root alone, nothing made in a host's tree.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Asked, Error, c_string, said};
use crate::host::Host;
use crate::host::path_kind::Fact;
use crate::host::proc::names_a_process;
use crate::plan::fs::mount_tree::{Backing, Found, View};
use crate::plan::fs::overlay::{kept_in, may_be_changed};
use crate::plan::fs::requests::{Put, Wanted, files_error, not_through_a_link, source, taken};
use crate::plan::op::{CHANGES, Op, Over, Step};
use crate::policy::Policy;
use crate::policy::files::{Access, Changes};
use crate::util::escape::{about, shown};
use crate::util::name_map::Index;
use crate::util::path::from_there_up;

/// Puts things at their places, and keeps what the tree has come to be.
pub(crate) struct Builder<'a> {
    pub(crate) host: &'a Host,
    pub(crate) view: View<'a>,
    /// So far.
    pub(crate) steps: Vec<Step>,
    /// What the launcher must do for them.
    pub(crate) outside: Vec<Step>,
    /// The tree of `--root`, on the host.
    pub(crate) tree: Option<PathBuf>,
    /// Where its changes are kept, on the host.
    pub(crate) kept: Option<PathBuf>,
    /// Memory that has no size of its own, and in which more can be.
    pub(crate) parts: Index<()>,
    /// Memory that is read-only to the command once everything is in it.
    pub(crate) sealed: Vec<CString>,
    /// Destinations that flags asked for.
    pub(crate) typed: Index<Asked>,
    /// What flags hide.
    pub(crate) hidden: Index<Asked>,
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

    pub(crate) fn of_tree(host: &'a Host) -> Self {
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
    pub(crate) fn makes_nothing_outside(&self) -> Result<(), Error> {
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

    pub(crate) fn refuse_dest(&self, wanted: &Wanted, found: &Found) -> Result<(), Error> {
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
    pub(crate) fn put(&mut self, wanted: &Wanted, found: Found, steps: &mut Vec<Step>) -> Result<Option<PathBuf>, Error> {
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

    pub(crate) fn dir(&mut self, at: &Path, mode: u32, asked: Option<&Asked>, steps: &mut Vec<Step>) -> Result<(), Error> {
        push(steps, Op::Dir { dest: c_string(at.as_os_str())?, mode }, asked);
        self.view.make(at.to_owned(), Fact::Dir);
        Ok(())
    }

    /// Is what is made at `at` made in memory that can be shared?
    pub(crate) fn is_in_memory(&self, at: &Path) -> bool {
        self.parts.has(self.view.mount_over(at))
    }

    /// Memory at `at`: `part` of that above, or its own.
    pub(crate) fn memory(
        &mut self,
        at: &Path,
        mode: u32,
        part: bool,
        asked: Option<&Asked>,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        self.parts.set(at, ());
        if part {
            push(steps, Op::Memory { dest: c_string(at.as_os_str())?, mode }, asked);
        } else {
            push(steps, Op::Tmpfs { dest: c_string(at.as_os_str())?, size: None, mode }, asked);
        }
        Ok(())
    }

    pub(crate) fn seal(&mut self) {
        for dest in self.sealed.drain(..).rev() {
            self.steps.push(Step { op: Op::Seal { dest }, asked: None });
        }
    }

    /// The flag that hides `at`, or a directory above.
    pub(crate) fn hides(&self, at: &Path) -> Option<&Asked> {
        from_there_up(at).find_map(|above| self.hidden.get(above))
    }
}

pub(crate) fn push(steps: &mut Vec<Step>, op: Op, asked: Option<&Asked>) {
    steps.push(step(op, asked));
}

pub(crate) fn step(op: Op, asked: Option<&Asked>) -> Step {
    Step { op, asked: asked.copied() }
}
