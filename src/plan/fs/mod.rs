//! The files inside: what is requested, where it lies, and in which order it is mounted.

pub(crate) mod conflicts;
pub(crate) mod dev;
pub(crate) mod layout;
pub(crate) mod masks;
pub(crate) mod mount_tree;
pub(crate) mod overlay;
pub(crate) mod requests;
pub(crate) mod workdir;
