//! A Landlock ruleset, ready to be made: rights, and where they hold.

use std::ffi::CString;

/// What this file has to say of the jail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The rights over files that need a rule: bits of linux/landlock.h.
    pub files: u64,
    /// The rights over TCP ports that need a rule.
    pub ports: u64,
    /// What does not reach out of the jail.
    pub scoped: u64,
    /// Rights below paths inside.
    pub below: Vec<(CString, u64)>,
    /// Are there POSIX message queues of the jail's own, which lie in a file system that
    /// is mounted nowhere?
    pub queues: bool,
    /// Descriptors whose files may be opened anew, as they are open already.
    pub descriptors: Vec<i32>,
    /// TCP ports that may be connected to.
    pub connect: Vec<u16>,
    /// TCP ports that may be listened on.
    pub listen: Vec<u16>,
}

pub(crate) const EXECUTE: u64 = 1;

pub(crate) const WRITE_FILE: u64 = 1 << 1;

pub(crate) const READ_FILE: u64 = 1 << 2;

pub(crate) const READ_DIR: u64 = 1 << 3;

pub(crate) const REMOVE_DIR: u64 = 1 << 4;

pub(crate) const REMOVE_FILE: u64 = 1 << 5;

pub(crate) const MAKE_CHAR: u64 = 1 << 6;

pub(crate) const MAKE_DIR: u64 = 1 << 7;

pub(crate) const MAKE_REG: u64 = 1 << 8;

pub(crate) const MAKE_SOCK: u64 = 1 << 9;

pub(crate) const MAKE_FIFO: u64 = 1 << 10;

pub(crate) const MAKE_BLOCK: u64 = 1 << 11;

pub(crate) const MAKE_SYM: u64 = 1 << 12;

/// Renaming and linking into another directory; without it, as in ABI 1, never.
pub(crate) const REFER: u64 = 1 << 13;

pub(crate) const TRUNCATE: u64 = 1 << 14;

pub(crate) const IOCTL_DEV: u64 = 1 << 15;

/// Connecting and sending to a Unix socket by its path. The kernel asks only about sockets
/// that were made outside the ruleset: the command's own need no rule.
pub(crate) const RESOLVE_UNIX: u64 = 1 << 16;

pub(crate) const READ: u64 = EXECUTE | READ_FILE | READ_DIR;

pub(crate) const WRITE: u64 =
    WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE;

/// Using a device; a shell's `>` truncates.
pub(crate) const USE: u64 = WRITE_FILE | TRUNCATE | IOCTL_DEV;

/// A place of the host's that the command may write to. Memory of the jail's own is not such
/// a place: no socket of the host lies there, and what `--ro` shows below it, as below a
/// private home, would get the right, too.
pub(crate) const SHARED: u64 = READ | WRITE | RESOLVE_UNIX;

/// The rights that mean something for what is no directory.
pub(crate) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV | RESOLVE_UNIX;

/// What a descriptor of a directory gives, which `--fd` names: none of its sockets.
pub(crate) const BELOW_A_DESCRIPTOR: u64 = READ | WRITE;

/// Binding a TCP socket.
pub(crate) const BIND_TCP: u64 = 1;

/// Connecting one.
pub(crate) const CONNECT_TCP: u64 = 1 << 1;

/// Abstract Unix sockets.
pub(crate) const ABSTRACT_UNIX_SOCKET: u64 = 1;

/// Signals. The command is in its caller's process group, or the terminal's job
/// control would not reach it, and kill(2) with 0 signals that whole group, also
/// across pid namespaces.
pub(crate) const SIGNAL: u64 = 1 << 1;

impl Ruleset {
    /// Is there anything in it?
    pub fn is_empty(&self) -> bool {
        self.files == 0 && self.ports == 0 && self.scoped == 0
    }

    /// Allows these TCP ports and no others.
    pub fn only_ports(&mut self, connect: Vec<u16>, listen: Vec<u16>) {
        self.ports = BIND_TCP | CONNECT_TCP;
        (self.connect, self.listen) = (connect, listen);
    }

    /// What a person is told of it.
    pub fn shown(&self) -> String {
        let mut parts = Vec::new();
        let places = |right: u64| -> Vec<String> {
            let having = self.below.iter().filter(|(_, rights)| rights & right != 0);
            having.map(|(path, _)| crate::util::escape::shown_path(path)).collect()
        };
        if self.files != 0 {
            let writable = places(MAKE_REG);
            parts.push(format!(
                "files made and removed only below {}",
                if writable.is_empty() { "nothing".into() } else { writable.join(" ") }
            ));
            if self.below.iter().all(|(path, _)| path.as_c_str() != c"/") {
                parts.push(format!("files opened only below {}", places(READ).join(" ")));
            }
        }
        if self.files & RESOLVE_UNIX != 0 {
            let reached = places(RESOLVE_UNIX);
            parts.push(if reached.is_empty() {
                "no Unix socket outside".into()
            } else {
                format!("Unix sockets outside only below {}", reached.join(" "))
            });
        }
        if self.scoped & SIGNAL != 0 {
            parts.push("no signal leaves the jail".into());
        }
        if self.scoped & ABSTRACT_UNIX_SOCKET != 0 {
            parts.push("no abstract socket outside".into());
        }
        if self.ports != 0 {
            let list = |ports: &[u16]| {
                let all: Vec<String> = ports.iter().map(u16::to_string).collect();
                if all.is_empty() { "none".into() } else { all.join(" ") }
            };
            parts.push(format!("TCP ports connected to: {}; listened on: {}", list(&self.connect), list(&self.listen)));
        }
        parts.join("; ")
    }
}
