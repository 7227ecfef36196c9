//! What `--fakeroot` answers as done without doing it: calls that a package manager
//! makes as root and that the kernel refuses where one id is mapped. What it does not
//! refuse is done for real: an owner that is 0, set-id bits, file capabilities.
//!
//! Programs that look whether they were obeyed see that they were not: nothing here
//! changes what the kernel says of ids and owners.

use super::action::Treatment;
use super::table::Limit;

/// Each call that is answered, which of its calls, and why.
#[rustfmt::skip]
pub static ANSWERED: &[(&str, Treatment, &str)] = &[
    ("chown", Treatment::Limit(Limit::Ids { first: 1, count: 2 }), "a package's files have owners that are not mapped"),
    ("fchown", Treatment::Limit(Limit::Ids { first: 1, count: 2 }), "dpkg and tar do so with each file that they unpack"),
    ("fchownat", Treatment::Limit(Limit::Ids { first: 2, count: 2 }), "the same, as chown(1) and maintainer scripts do it"),
    ("lchown", Treatment::Limit(Limit::Ids { first: 1, count: 2 }), "the same of links"),
    ("mknod", Treatment::Limit(Limit::Node { mode: 1 }), "no device node is made without privilege; pipes and sockets are"),
    ("mknodat", Treatment::Limit(Limit::Node { mode: 2 }), "no device node is made without privilege; pipes and sockets are"),
    ("setgid", Treatment::Limit(Limit::Ids { first: 0, count: 1 }), "apt downloads and man-db indexes as a user of their own"),
    ("setgroups", Treatment::Done, "the kernel denies it where one group is mapped; comes before each setgid"),
    ("setregid", Treatment::Limit(Limit::Ids { first: 0, count: 2 }), "as setgid: perl's $( and $)"),
    ("setresgid", Treatment::Limit(Limit::Ids { first: 0, count: 3 }), "as setgid: glibc's setegid, apt"),
    ("setresuid", Treatment::Limit(Limit::Ids { first: 0, count: 3 }), "as setuid: glibc's seteuid, apt"),
    ("setreuid", Treatment::Limit(Limit::Ids { first: 0, count: 2 }), "as setuid: perl's $< and $>"),
    ("setuid", Treatment::Limit(Limit::Ids { first: 0, count: 1 }), "apt downloads and man-db indexes as a user of their own"),
];

/// What becomes of the call of this name; None: what becomes of it otherwise.
pub fn answer(name: &str) -> Option<Treatment> {
    ANSWERED.iter().find(|(answered, ..)| *answered == name).map(|(_, treatment, _)| *treatment)
}
