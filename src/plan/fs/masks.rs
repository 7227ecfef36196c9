//! What covers and restricts parts of the view.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Asked, Error, c_string, said};
use crate::host::Host;
use crate::host::path_kind::Fact;
use crate::host::proc::{RootsOwn, names_a_process};
use crate::plan::fs::layout::Builder;
use crate::plan::fs::mount_tree::{Backing, Found};
use crate::plan::fs::requests::{absolute, files_error};
use crate::plan::op::{Op, Step};
use crate::policy::files::{Access, Ban};
use crate::util::escape::{about, shown};
use crate::util::name_map::Index;
use crate::util::path::from_there_up;

impl<'a> Builder<'a> {
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
    pub(crate) fn banned(&self, ban: &Ban) -> Result<Option<(PathBuf, Fact)>, Error> {
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
    pub(crate) fn is_process(&self, at: &Path) -> bool {
        matches!(self.view.backing(at), Backing::Host(shown) if names_a_process(&shown))
    }

    /// The bans that apply, parents first; two for one place, or one below what is
    /// hidden, are an error.
    pub(crate) fn applicable(&self, bans: &[Ban], doing: &str) -> Result<Vec<(PathBuf, Fact, Asked)>, Error> {
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
    pub(crate) fn not_hidden(
        &self,
        at: Option<&Path>,
        asked: Option<&Asked>,
        doing: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let Some(at) = at else { return Ok(()) };
        match self.hides(at) {
            None => Ok(()),
            Some(other) => {
                let problem = format!("{} hides it", other.text());
                Err(files_error(asked, doing(), problem, "leave out one of the two"))
            }
        }
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
}

/// Hidden from everyone: the keys of all the caller's sessions, which are in no
/// namespace.
pub(crate) const PROC_HIDDEN: [&str; 1] = ["keys"];

/// Also hidden if the caller is the host's root. Files that only root may read need no name
/// here: they are all hidden.
pub(crate) const PROC_HIDDEN_ROOT: [&str; 9] =
    ["key-users", "timer_list", "latency_stats", "sched_debug", "mtrr", "acpi", "scsi", "slabinfo", "allocinfo"];
