//! From argv to `Policy`: add a flag here; no file system, no kernel.

pub(crate) mod apply_flag;
pub(crate) mod command_line;
#[cfg(test)]
mod completions;
pub(crate) mod flags;
pub(crate) mod request;
pub(crate) mod validate;
pub(crate) mod values;
