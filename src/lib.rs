//! `jail` runs one command where it sees nothing but what a flag names.
//!
//! One straight way: what was typed (`cli`), what it means (`policy`), what this machine
//! is (`host`), what will be done (`plan`); then it is printed (`report`) or performed
//! (`supervisor`, `child`, `relay`).
//!
//! Each folder may use only those to its left, and `tests/arrows.rs` sees to it:
//!
//! ```text
//! util < sys < error < process < seccomp < policy < host < cli < plan < relay < child < supervisor < report < run
//! ```
//!
//! The library is for the program, its tests and its tools alone: nothing in it is promised.

#![allow(missing_docs, reason = "the comment of a variant tells its fields")]
#![allow(clippy::new_without_default, reason = "new is const, which default cannot be")]

pub mod child;
pub mod cli;
pub mod error;
pub mod host;
pub mod plan;
pub mod policy;
pub mod process;
pub mod relay;
pub mod report;
pub mod run;
pub mod seccomp;
pub mod supervisor;
pub mod sys;
pub mod util;
