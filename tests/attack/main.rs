//! What code in a jail, or somebody beside the launcher, does to get out: a file for
//! each class, and one for the moment of the launch. Each attempt is made for real, by
//! an unprivileged user under the default policy, beside one of the kind that works.

mod arguments;
mod calls;
mod devices;
mod files;
mod flood;
mod kernel;
mod kit;
mod launch;
mod leftovers;
mod metadata;
mod network;
mod outside;
mod own_file;
mod peers;
mod places;
mod process_one;
mod processes;
mod programs;
mod races;
mod resources;
mod sockets;
mod sturdy;
mod terminal;
mod trees;

#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;
use jail::seccomp::policy::table;
