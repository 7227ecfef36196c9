//! The calls that close what a missing namespace would have kept private.

use crate::seccomp::policy::table::{PROCESSES, SOCKETS};

/// True if `call` is one that the system-call policy can refuse in place of namespaces that
/// the machine refuses.
pub fn stands_in(call: &str) -> bool {
    IPC.contains(&call) || PROCESSES.iter().any(|(other, _)| *other == call) || SOCKETS.iter().any(|(other, _)| *other == call)
}

/// What reaches the host's System V IPC and POSIX message queues.
pub(crate) const IPC: [&str; 13] = [
    "mq_open",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "shmat",
    "shmctl",
    "shmget",
];
