//! What the flags make of the default system-call policy.

use seccompiler::sock_filter;

use crate::error::{Asked, Error, Layer, Words};
use crate::seccomp::policy::action::{EPERM, Treatment};
use crate::seccomp::policy::bpf::{self, Program};
use crate::seccomp::policy::defaults;
use crate::seccomp::policy::table::{Arch, CALLS, Call, Limit, Powers, SET_ID, find, groups};
use crate::util::escape::about;
use crate::util::suggest::nearest;

include!(concat!(env!("OUT_DIR"), "/filter.rs"));
include!(concat!(env!("OUT_DIR"), "/set_id.rs"));
include!(concat!(env!("OUT_DIR"), "/limited.rs"));

/// The machine that this program is for.
pub const HERE: Arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };

/// What the launch itself does once the filter is on.
const NEEDED: [&str; 5] = ["execve", "exit_group", "rt_sigaction", "rt_sigprocmask", "write"];

/// And what it does to have refusals told.
const NEEDED_TO_TELL: &str = "sendmsg";

/// What a flag names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One call.
    Call(&'static str),
    /// All of a group, but for those that are named by themselves.
    Group(&'static str),
}

impl Subject {
    fn holds(self, call: &Call) -> bool {
        match self {
            Self::Call(name) => call.name() == name,
            Self::Group(name) => call.is_in(name),
        }
    }
}

impl Subject {
    /// Does it name the call of this name?
    pub fn includes(self, name: &str) -> bool {
        find(name).is_some_and(|call| self.holds(call))
    }
}

/// One `--allow-syscall` or `--deny-syscall`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it names.
    pub subject: Subject,
    /// What becomes of that.
    pub to: Treatment,
    /// The flag.
    pub asked: Asked,
}

/// A problem and its remedy.
pub type Refusal = (String, String);

/// `NAME` or `@GROUP`.
///
/// # Errors
/// A name that nothing has.
pub fn subject(text: &str) -> Result<Subject, Refusal> {
    let here = || CALLS.iter().filter(|call| call.number(HERE).is_some());
    if let Some(group) = text.strip_prefix('@') {
        return groups().find(|name| *name == group).map(Subject::Group).ok_or_else(|| {
            let remedy = match nearest(group, groups()) {
                Some(near) => format!("did you mean @{near}?"),
                None => format!("write one of: @{}", groups().collect::<Vec<_>>().join(", @")),
            };
            ("unknown group of system calls".into(), remedy)
        });
    }
    match find(text) {
        Some(call) if call.number(HERE).is_some() => Ok(Subject::Call(call.name())),
        Some(_) => Err(("this machine has no such system call".into(), "leave it out".into())),
        None => Err((
            "unknown system call".into(),
            match nearest(text, here().map(|call| call.name())) {
                Some(near) => format!("did you mean {near}?"),
                None if groups().any(|group| group == text) => format!("did you mean the group, @{text}?"),
                None => "see syscalls(2) for the names".into(),
            },
        )),
    }
}

/// `NAME` or `@GROUP`, and perhaps `:ERRNO`; without it EPERM.
///
/// # Errors
/// A name that nothing has.
pub fn denied(text: &str) -> Result<(Subject, Treatment), Refusal> {
    let Some((text, errno)) = text.split_once(':') else { return Ok((subject(text)?, Treatment::Refuse(EPERM))) };
    let number = errnos().find(|(name, _)| *name == errno).map(|(_, number)| number);
    let number = number.ok_or_else(|| {
        let remedy = match nearest(errno, errnos().map(|(name, _)| name)) {
            Some(near) => format!("did you mean {near}?"),
            None => "write a name of errno(3), e.g. :ENOSYS".into(),
        };
        (about("", errno, " is not an error's name"), remedy)
    })?;
    Ok((subject(text)?, Treatment::Refuse(number)))
}

/// What becomes of a call.
fn treatment<'a>(call: &Call, powers: Powers, changes: impl Iterator<Item = &'a Change> + Clone) -> Treatment {
    deciding(call, changes).map_or_else(|| defaults::treatment(call, powers), |change| change.to)
}

/// Which change decides about a call: what names it by itself counts before its groups.
pub fn deciding<'a>(call: &Call, changes: impl Iterator<Item = &'a Change> + Clone) -> Option<&'a Change> {
    let mut by_name = changes.clone().filter(|change| change.subject == Subject::Call(call.name()));
    let mut by_group = changes.filter(|change| change.subject.holds(call));
    by_name.next().or_else(|| by_group.next())
}

fn refuse(change: &Change, problem: impl Into<Words>, remedy: impl Into<Words>) -> Result<(), Error> {
    Err(Error::usage(change.asked, problem, remedy))
}

/// Finds changes that contradict each other, do nothing, or would keep the command
/// from being started; `told`: with its refusals told; `closable`: what else may close.
///
/// # Errors
/// The first.
pub fn check(powers: Powers, changes: &[Change], told: bool, closable: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    let here = || CALLS.iter().filter(|call| call.number(HERE).is_some());
    for (index, change) in changes.iter().enumerate() {
        for other in &changes[..index] {
            let both = here().find(|call| change.subject.holds(call) && other.subject.holds(call));
            let (Some(call), true) = (both, one_level(change.subject, other.subject)) else { continue };
            if change.subject == other.subject && change.to == other.to {
                return refuse(change, "given twice", "give it once");
            }
            if change.to != other.to {
                let problem = format!("contradicts {}: both name {}", other.asked.text(), call.name());
                let remedy = if matches!(change.subject, Subject::Call(_)) {
                    "leave out one of the two"
                } else {
                    "say what is to become of that call by its name"
                };
                return refuse(change, problem, remedy);
            }
        }
    }
    for (index, change) in changes.iter().enumerate() {
        let without = || changes.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, change)| change);
        let opens = change.to == Treatment::Allow && here().any(|call| change.subject.holds(call) && closable(call.name()));
        if !opens && here().all(|call| treatment(call, powers, changes.iter()) == treatment(call, powers, without())) {
            let problem = match change.to {
                Treatment::Allow => "has no effect: it is allowed anyway",
                Treatment::Refuse(_) | Treatment::Limit(_) | Treatment::Done => "has no effect: it is refused so anyway",
            };
            return refuse(change, problem, "leave it out");
        }
        let kept = |name: &&&str| find(name).is_some_and(|call| treatment(call, powers, changes.iter()) != Treatment::Allow);
        let needed = NEEDED.iter().chain(told.then_some(&NEEDED_TO_TELL));
        if let Some(name) = needed.filter(kept).find(|name| find(name).is_some_and(|call| change.subject.holds(call))) {
            let problem = if *name == NEEDED_TO_TELL {
                format!("refuses {name}, which --trace-denied needs")
            } else {
                format!("refuses {name}, which jail needs to start the command under the filter")
            };
            let remedy = match change.subject {
                Subject::Call(_) => "leave it out".to_owned(),
                Subject::Group(_) => format!("add --allow-syscall {name}"),
            };
            return refuse(change, problem, remedy);
        }
    }
    Ok(())
}

/// Do both name a call, or both a group?
fn one_level(one: Subject, other: Subject) -> bool {
    matches!(one, Subject::Call(_)) == matches!(other, Subject::Call(_))
}

/// The policy, ready to be put on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What the kernel is given.
    pub program: Program,
    /// What is allowed, or more of it, that the default policy refuses.
    pub allowed: Vec<&'static str>,
    /// The calls that may set the set-user-ID bit, which the default policy refuses.
    pub set_id: Vec<&'static str>,
    /// What is refused, or refused otherwise.
    pub refused: Vec<&'static str>,
    /// What is answered as done, or some of it.
    pub answered: Vec<&'static str>,
    /// Does it ask the launcher what to answer, which tells of it?
    pub told: bool,
}

/// What is done about a call whose arguments decide.
pub fn limited(limit: Limit) -> Option<Vec<sock_filter>> {
    LIMITED.iter().find(|(known, _)| *known == limit).map(|(_, leaf)| leaf.to_vec())
}

/// The default policy.
pub fn default() -> Filter {
    let none = Vec::new;
    let program = Program::Borrowed(&DEFAULT);
    Filter { program, allowed: none(), set_id: none(), refused: none(), answered: none(), told: false }
}

/// Compiles it, unless nothing is changed.
///
/// # Errors
/// There is nothing compiled for a limit; the tests see to it that there is.
pub fn filter(powers: Powers, changes: &[Change]) -> Result<Filter, Error> {
    let mut filter = default();
    if powers == 0 && changes.is_empty() {
        return Ok(filter);
    }
    let treat = |call: &Call| treatment(call, powers, changes.iter());
    for call in CALLS.iter().filter(|call| call.number(HERE).is_some()) {
        let by_default = defaults::treatment(call, 0);
        match treat(call) {
            treatment if treatment == by_default => {}
            Treatment::Limit(Limit::NoDevice { .. }) => filter.set_id.push(call.name()),
            Treatment::Allow
                if matches!(
                    by_default,
                    Treatment::Limit(Limit::Mode { .. } | Limit::NodeMode { .. } | Limit::Creation { .. })
                ) =>
            {
                filter.set_id.push(call.name());
            }
            Treatment::Refuse(_)
            | Treatment::Limit(
                Limit::Internet
                | Limit::Unix
                | Limit::Itself
                | Limit::OwnPrlimit
                | Limit::OwnPriority
                | Limit::OwnIoPriority
                | Limit::Connected,
            ) => filter.refused.push(call.name()),
            Treatment::Done | Treatment::Limit(Limit::Ids { .. } | Limit::Node { .. }) => filter.answered.push(call.name()),
            Treatment::Allow | Treatment::Limit(_) => filter.allowed.push(call.name()),
        }
    }
    if powers == SET_ID && changes.is_empty() {
        filter.program = Program::Borrowed(&DEFAULT_WITH_SET_ID);
    } else if [&filter.allowed, &filter.set_id, &filter.refused, &filter.answered].into_iter().any(|calls| !calls.is_empty()) {
        let compiled = bpf::compile(HERE, treat, &limited);
        filter.program = Program::Owned(compiled.ok_or_else(|| {
            let error = Error::usage(None, "arguments are to decide by which nothing was compiled", "report this as a bug");
            error.met("compile the system-call policy", Layer::CommandLine)
        })?);
    }
    Ok(filter)
}

/// The name of an error.
pub fn errno_name(number: u16) -> Option<&'static str> {
    errnos().find(|(_, known)| *known == number).map(|(name, _)| name)
}

/// Errors by their names in errno(3).
fn errnos() -> impl Iterator<Item = (&'static str, u16)> {
    ERRNOS.0.split(' ').zip(ERRNOS.1.iter().copied())
}

macro_rules! errnos {
    ($first:ident $($name:ident)*) => {
        (concat!(stringify!($first) $(, " ", stringify!($name))*), &[libc::$first as u16 $(, libc::$name as u16)*])
    };
}

/// Their names in one text, for addresses would take as much room again, and the numbers.
static ERRNOS: (&str, &[u16]) = errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK
    ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP EWOULDBLOCK ENOMSG EIDRM ENOSTR ENODATA ETIME ENOSR EREMOTE ENOLINK EPROTO
    EMULTIHOP EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT
    ESOCKTNOSUPPORT EOPNOTSUPP ENOTSUP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET
    ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH
    EALREADY EINPROGRESS ESTALE EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED
    EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::policy::arg_rules;
    use crate::seccomp::policy::table::{NESTED, SYS_ADMIN};

    fn change(text: &str) -> Change {
        let asked = Asked::new("x", &[text.into()]);
        let (subject, to) = match text.strip_prefix('+') {
            Some(name) => (subject(name).unwrap(), Treatment::Allow),
            None => denied(text.trim_start_matches('-')).unwrap(),
        };
        Change { subject, to, asked }
    }
    fn changes(text: &str) -> Vec<Change> {
        text.split(' ').map(change).collect()
    }
    fn becomes(text: &str, name: &str) -> Treatment {
        treatment(find(name).unwrap(), 0, changes(text).iter())
    }

    #[test]
    fn the_default_is_what_was_compiled_when_the_program_was_built() {
        for (powers, program) in [(0, &DEFAULT[..]), (SET_ID, &DEFAULT_WITH_SET_ID)] {
            let compiled = bpf::compile(HERE, |call| defaults::treatment(call, powers), &limited).unwrap();
            assert_eq!(arg_rules::shorter(&compiled), program);
            assert!(program.len() < compiled.len());
            assert_eq!(filter(powers, &[]).unwrap().program, program);
        }
        for limit in arg_rules::all() {
            assert_eq!(limited(limit), arg_rules::leaf(limit).ok(), "{limit:?}");
        }
        assert_eq!(LIMITED.len(), arg_rules::all().len());
        let filter = filter(0, &[]).unwrap();
        assert!(matches!(filter.program, Program::Borrowed(_)));
        assert!(filter.allowed.is_empty() && filter.refused.is_empty());
    }

    #[test]
    fn a_calls_own_name_counts_before_its_groups() {
        for order in ["-@network-io +socket", "+socket -@network-io"] {
            assert_eq!(becomes(order, "socket"), Treatment::Allow);
            assert_eq!(becomes(order, "connect"), Treatment::Refuse(1));
        }
        assert_eq!(becomes("-@file-system:ENOENT", "openat"), Treatment::Refuse(2));
        // A group in a group.
        assert_eq!(becomes("+@privileged", "init_module"), Treatment::Allow);
        assert_eq!(becomes("+@privileged", "bpf"), Treatment::Allow);
        assert_eq!(becomes("+@privileged", "mount"), Treatment::Refuse(1));
    }

    #[test]
    fn what_is_changed_is_told() {
        let filter = filter(0, &changes("+@keyring -ptrace:ENOSYS -getpid")).unwrap();
        assert_eq!(filter.allowed, ["add_key", "keyctl", "request_key"]);
        assert_eq!(filter.refused, ["getpid", "ptrace"]);
        assert!(matches!(filter.program, Program::Owned(_)));
    }

    #[test]
    fn a_flag_that_other_flags_make_needless_is_refused() {
        assert!(check(0, &changes("+mount"), false, &|_| false).is_ok());
        assert!(check(NESTED, &changes("+mount"), false, &|_| false).is_err());
        assert!(check(SYS_ADMIN, &changes("+mount"), false, &|_| false).is_err());
        assert!(check(NESTED, &changes("-mount"), false, &|_| false).is_ok());
        assert!(check(0, &changes("-mount:ENOSYS"), false, &|_| false).is_ok());
        assert!(check(0, &changes("+socket"), false, &|_| false).is_ok(), "all of its arguments");
        assert!(check(0, &changes("-@swap:ENOSYS -@privileged"), false, &|_| false).is_err());
        assert!(check(0, &changes("-@signal +rt_sigaction +rt_sigprocmask"), false, &|_| false).is_ok(), "as the remedy says");
    }

    #[test]
    fn every_error_has_a_name_that_can_be_given() {
        for (name, number) in errnos() {
            assert_eq!(denied(&format!("read:{name}")).unwrap().1, Treatment::Refuse(number));
        }
    }
}
