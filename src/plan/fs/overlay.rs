//! Changes over a tree.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Asked, Error, said};
use crate::host::Host;
use crate::host::path_kind::Fact;
use crate::plan::fs::requests::{absolute, files_error, not_through_a_link};
use crate::util::escape::about;
use crate::util::path::Names;

/// Can what is changed in the tree keep its owner? Before a file of the tree is
/// changed it is copied, and the copy must be someone's in the jail.
pub(crate) fn may_be_changed(host: &Host, tree: &Path, asked: Option<&Asked>) -> Result<(), Error> {
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
pub(crate) fn kept_in(host: &Host, dir: &Path, tree: &Path, asked: Option<&Asked>) -> Result<PathBuf, Error> {
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
pub(crate) fn overlaps(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
