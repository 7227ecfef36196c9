//! The directory that the command starts in.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Error, c_string, said};
use crate::host::path_kind::Fact;
use crate::host::proc::names_a_process;
use crate::plan::fs::layout::{Builder, step};
use crate::plan::fs::mount_tree::{Backing, Found};
use crate::plan::fs::requests::{absolute, files_error};
use crate::plan::op::{Op, Step};
use crate::policy::Policy;
use crate::util::escape::about;

impl<'a> Builder<'a> {
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
