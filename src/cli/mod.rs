//! From argv to `Policy`: add a flag here; no file system, no kernel.

pub(crate) mod command_line;
#[cfg(test)]
mod completions;
pub(crate) mod flags;
