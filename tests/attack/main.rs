//! What code in a jail, or somebody beside the launcher, does to get out: a file for
//! each class, and one for the moment of the launch. Each attempt is made for real, by
//! an unprivileged user under the default policy, beside one of the kind that works.

mod devices;
mod files;
mod kernel;
mod kit;
mod launch;
mod network;
mod outside;
mod processes;
mod programs;
mod resources;
mod sockets;
mod terminal;

#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)]
#[path = "../../src/syscalls.rs"]
mod table;
