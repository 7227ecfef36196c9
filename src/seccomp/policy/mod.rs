//! The default system-call policy. It uses nothing outside this folder, because `build.rs`
//! includes it.

pub(crate) mod action;
pub mod arg_rules;
pub mod bpf;
pub(crate) mod defaults;
pub mod fakeroot;
pub mod table;
