//! The files inside: what is requested, where it lies, and in which order the launcher mounts it.

pub(crate) mod layout;
pub(crate) mod mount_tree;
pub(crate) mod requests;
