//! The default system-call policy; self-contained, because build.rs compiles it, too.

pub mod arg_rules;
pub mod bpf;
pub mod fakeroot;
pub mod table;
