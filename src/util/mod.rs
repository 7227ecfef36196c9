//! String, path and collection helpers; touch it freely, it may know nothing of jails, and std must not have it.

pub(crate) mod escape;
pub(crate) mod exit_status;
pub(crate) mod fs;
pub(crate) mod glob;
pub(crate) mod io;
pub(crate) mod json;
pub mod name_map;
pub(crate) mod path;
pub(crate) mod stack_str;
pub(crate) mod suggest;
pub mod units;
