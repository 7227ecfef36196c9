//! From argv to `Policy`: add a flag here; no file system, no kernel.

pub mod apply_flag;
pub mod command_line;
#[cfg(test)]
mod completions;
pub mod flags;
pub mod request;
pub(crate) mod validate;
pub(crate) mod values;
