//! Writable binds that would change the layers of an overlay.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Asked, Error};
use crate::plan::fs::layout::Builder;
use crate::plan::fs::overlay::overlaps;
use crate::plan::fs::requests::files_error;
use crate::plan::op::Op;
use crate::policy::files::{Access, Changes};
use crate::util::escape::{about, shown};

impl<'a> Builder<'a> {
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
}
