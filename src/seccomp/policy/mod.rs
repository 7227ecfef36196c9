//! The default system-call policy; self-contained, because build.rs compiles it, too.

pub(crate) mod action;
pub mod arg_rules;
pub mod bpf;
pub(crate) mod defaults;
pub mod fakeroot;
pub mod table;
