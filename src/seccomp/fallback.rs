//! The calls that close what a missing namespace would have kept private.

use crate::policy::Policy;
use crate::policy::layer::Degradable;
use crate::seccomp::policy::table::{PROCESSES, SOCKETS};

/// May `call` be one that the system-call policy refuses in place of a layer that
/// `policy` does without?
pub fn may_close(policy: &Policy, call: &str) -> bool {
    let named = policy.degrade.as_ref().is_some_and(|degrade| degrade.value.contains(&Degradable::Namespaces));
    named
        && (IPC.contains(&call)
            || PROCESSES.iter().any(|(other, _)| *other == call)
            || SOCKETS.iter().any(|(other, _)| *other == call))
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
