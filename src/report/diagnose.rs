//! From the kernel's word to the cause: which layer refused, and what to do.
//! The kernel says EPERM for a dozen reasons; what tells them apart is read from
//! this machine once something has failed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::child::protocol::Report;
use crate::error::{Asked, Error, Layer, Words, said};
use crate::host::proc;
use crate::host::subids::MAPPERS;
use crate::plan::Plan;
use crate::plan::op::{Op, Step};
use crate::policy::layer::Degradable;
use crate::report::causes::{cause, exec, refused, unknown};
use crate::report::evidence::Signs;
use crate::supervisor::idmap_helper::Unmapped;
use crate::supervisor::outcome::Failure;
use crate::supervisor::overlay_dir::{Entry, Unfit};
use crate::supervisor::pasta::Pasta;
use crate::sys::namespaces::namespaces;
use crate::util::escape::about;
use crate::util::exit_status::FAILED;

/// Turns a failed launch into the error that is printed.
pub fn error(plan: &Plan, failure: Failure, signs: &Signs) -> Error {
    let joins = |index: usize| plan.inside.get(index).is_some_and(|step| matches!(step.op, Op::JoinNetwork));
    match failure {
        Failure::Prepare(errno) => plain("prepare the launch", errno, signs),
        Failure::Inside(Report::Inside(index, errno)) if joins(index) => error(plan, Failure::Namespaces(errno), signs),
        Failure::Namespaces(errno) => {
            let mut error = plain(format!("make the namespaces {}", namespaces(plan.namespaces)), errno, signs);
            error.remedy = or_without(Degradable::Namespaces, &error.remedy);
            error
        }
        Failure::Killed(Some(signal)) => {
            let problem = format!("process 1 of the jail was ended by signal {signal}");
            let remedy = "someone sent it, a limit of its own was reached, or memory ran out; everything in the jail is dead";
            let mut error = Error::usage(None, problem, remedy).met("", Layer::Kernel);
            error.status = u8::try_from(128 + signal).unwrap_or(FAILED);
            error
        }
        Failure::KilledBefore(memory) => {
            let layer = if memory { Layer::Cgroup } else { Layer::Kernel };
            let remedy = if memory { "--memory is less than starting it takes" } else { "someone did so, or memory ran out" };
            Error::usage(None, "it was killed before it ran", remedy).met("start the command", layer)
        }
        Failure::Killed(None) => {
            let problem = "process 1 of the jail ended and did not say why";
            let remedy = "it may have said so above; everything in the jail is dead: start again";
            Error::usage(None, problem, remedy).met("wait for the command", Layer::Kernel)
        }
        Failure::Pasta(failure) => pasta(plan, failure),
        Failure::Publish(errno) => step(plan.inside.iter().find(|step| matches!(step.op, Op::AwaitPublisher)), errno, signs),
        Failure::Subids(failure) => unmapped(plan, failure),
        Failure::Outside(index, errno) => step(plan.outside.get(index), errno, signs),
        Failure::Changes(index, entry, unfit) => changes(plan.outside.get(index), entry, unfit),
        Failure::Inside(Report::Inside(index, errno)) => step(plan.inside.get(index), errno, signs),
        Failure::Inside(Report::Last(index, errno)) => step(plan.last.get(index), errno, signs),
        Failure::Inside(Report::Fork(errno)) => plain("start the command's process", errno, signs),
        Failure::Inside(Report::Exec { index, found, errno }) => exec(plan, index, found, errno),
        Failure::Inside(
            Report::Ended(_)
            | Report::AwaitsNetwork
            | Report::AwaitsIds
            | Report::Namespace(..)
            | Report::Stopped(_)
            | Report::Continued,
        ) => plain("wait for the command", Errno::IO, signs),
        Failure::Relay(errno) => {
            let remedy = "make room, or send the output elsewhere";
            let error = Error::usage(Asked::new("pty", &[]), said(errno), remedy).numbered(errno);
            error.met("relay between the jail's terminal and the standard streams", Layer::Files)
        }
        Failure::Supervise(errno) => plain("wait for the command", errno, signs),
    }
}

/// pasta(1) did not connect the network.
fn pasta(plan: &Plan, failure: Pasta) -> Error {
    let step = plan.inside.iter().find(|step| matches!(step.op, Op::AwaitNetwork { .. }));
    let (problem, layer, remedy): (Words, _, _) = match failure {
        Pasta::Start(errno) => {
            (format!("pasta cannot be started: {}", said(errno)).into(), Layer::Files, "see whether pasta --version works")
        }
        Pasta::Interrupted(signal) => {
            (format!("signal {signal} came while pasta was at it").into(), Layer::Kernel, "start again")
        }
        Pasta::Ended => (
            "pasta ended at once".into(),
            Layer::Kernel,
            match step {
                Some(Step { op: Op::AwaitNetwork { udp, .. }, .. }) if !udp.is_empty() => {
                    "it says why above; it needs /dev/net/tun, a default route, and each port of --publish PORT/udp free and not below net.ipv4.ip_unprivileged_port_start"
                }
                Some(_) | None => "it says why above; it needs /dev/net/tun and a default route",
            },
        ),
    };
    Error::usage(step.and_then(|s| s.asked), problem, remedy).met("connect the network", layer)
}

/// newuidmap(1) or newgidmap(1) did not map the ids.
fn unmapped(plan: &Plan, failure: Unmapped) -> Error {
    let step = plan.inside.iter().find(|step| matches!(step.op, Op::MapSubids { .. }));
    let (problem, layer, remedy): (Words, _, _) = match failure {
        Unmapped::Start(which, errno) => (
            format!("{} cannot be started: {}", MAPPERS[which], said(errno)).into(),
            Layer::Files,
            "see whether it can be executed",
        ),
        Unmapped::Refused(which) => (
            format!("{} refused", MAPPERS[which]).into(),
            Layer::Files,
            "it says why above; the caller must be in its own group, and a line subid: in /etc/nsswitch.conf overrules the files",
        ),
        Unmapped::Watch(errno) => (said(errno).into(), Layer::Kernel, "see ulimit -u and ulimit -n"),
        Unmapped::Interrupted(signal) => (format!("signal {signal} came meanwhile").into(), Layer::Kernel, "start again"),
    };
    Error::usage(step.and_then(|s| s.asked), problem, remedy).met("map the caller's subordinate ids", layer)
}

fn plain(doing: impl Into<Words>, errno: Errno, signs: &Signs) -> Error {
    let (layer, remedy) = refused(errno, signs).unwrap_or_else(|| unknown(signs));
    Error::usage(None, said(errno), remedy).numbered(errno).met(doing, layer)
}

/// What else can be done about a layer that is refused.
fn or_without(layer: Degradable, remedy: &str) -> Words {
    format!("{remedy}; or go on without: --degrade {}", layer.name()).into()
}

/// What a step that failed means.
fn step(step: Option<&Step>, errno: Errno, signs: &Signs) -> Error {
    let Some(step) = step else {
        return plain("perform the plan", errno, signs);
    };
    let (layer, remedy) = cause(&step.op, errno, signs);
    let remedy = match degradable(&step.op) {
        Some(named) if [Errno::PERM, Errno::ACCESS, Errno::NOSPC, Errno::NOSYS, Errno::ROFS].contains(&errno) => {
            or_without(named, &remedy)
        }
        Some(_) | None => remedy,
    };
    let problem: Words = match (&step.op, errno) {
        (Op::Bind { .. }, Errno::ROFS) => "the file system is mounted read-only".into(),
        (Op::KeepChanges { .. }, Errno::AGAIN) => "another run has it, or --diff is at it".into(),
        (Op::DieWithLauncher | Op::AdoptOrphans, Errno::PIPE) => "the launcher is gone".into(),
        _ => said(errno).into(),
    };
    Error::usage(step.asked, problem, remedy).numbered(errno).met(step.op.to_string(), layer)
}

/// The layer that an operation alone sets up.
fn degradable(op: &Op) -> Option<Degradable> {
    let layers = [
        (matches!(op, Op::MapIds { .. } | Op::RootMemory | Op::EnterRoot), Degradable::Namespaces),
        (matches!(op, Op::JoinNetwork | Op::LoopbackUp), Degradable::Net),
        (matches!(op, Op::Hostname { .. }), Degradable::Hostname),
        (matches!(op, Op::Proc { .. }), Degradable::Proc),
        (matches!(op, Op::NoUserNamespaces), Degradable::UsernsLimit),
        (matches!(op, Op::FilterCalls { .. }), Degradable::Seccomp),
    ];
    layers.into_iter().find(|(sets_up, _)| *sets_up).map(|(_, layer)| layer)
}

/// Names the entry of the directory of `--overlay` that is not as it must be.
pub(crate) fn changes(step: Option<&Step>, entry: Entry, unfit: Unfit) -> Error {
    let (dir, doing) = match step {
        Some(Step { op: op @ Op::KeepChanges { dir, .. }, .. }) => (dir.to_bytes(), op.to_string()),
        Some(_) | None => (&b""[..], String::new()),
    };
    let mut path = PathBuf::from(OsStr::from_bytes(dir));
    if !entry.below().is_empty() {
        path.push(entry.below());
    }
    let remove = if entry == Entry::Dir { "name a directory" } else { "remove it, or name another directory" };
    let (problem, remedy): (_, Words) = match unfit {
        Unfit::Kind(kind) => (format!(" is {}, not a directory", proc::kind_of(kind)), remove.into()),
        Unfit::Owner(uid) if entry == Entry::Changes => (
            format!(" belongs to uid {uid}, and must belong to the caller, or with --subids to a subordinate id"),
            "name a directory of your own".into(),
        ),
        Unfit::Owner(uid) => {
            (format!(" belongs to uid {uid}, and must belong to the caller"), "name a directory of your own".into())
        }
        Unfit::OpenToOthers => {
            (" may be written to by all users, who could replace what is in it".into(), about("chmod o-w ", &path, "").into())
        }
        Unfit::Mounted => (
            " is a mount point, and must lie on the file system of the directory above it".into(),
            about("unmount it: umount ", &path, "").into(),
        ),
        Unfit::Unsearchable => (
            ": the caller may not search the directory above it".into(),
            about("chmod u+rwx ", path.parent().unwrap_or(&path), "").into(),
        ),
    };
    Error::usage(step.and_then(|step| step.asked), about("", &path, &problem), remedy).met(doing, Layer::Files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::op::Over;
    use crate::policy::identity::Ids;
    use crate::report::evidence::mount;
    use core::ffi::CStr;

    fn said(errno: Errno, signs: &Signs) -> String {
        plain("make the namespaces", errno, signs).to_string()
    }

    #[test]
    fn each_cause_is_told_by_its_sign() {
        let none = Signs { proc: true, ..Signs::default() };
        for (errno, signs, expected) in [
            (
                Errno::NOSPC,
                Signs { zero_limits: vec!["max_net_namespaces"], ..none.clone() },
                "sysctl -w user.max_net_namespaces=15000",
            ),
            (Errno::NOSPC, none.clone(), "nested too deeply"),
            (Errno::PERM, Signs { userns_clone_off: true, ..none.clone() }, "sysctl -w kernel.unprivileged_userns_clone=1"),
            (Errno::PERM, Signs { chrooted: true, ..none.clone() }, "chrooted process"),
            (Errno::PERM, Signs { filtered: true, ..none.clone() }, "the container around this process"),
            (
                Errno::PERM,
                Signs { filtered: true, zero_limits: vec!["max_user_namespaces"], ..none.clone() },
                "as in a jail: give that one --nested",
            ),
            (
                Errno::ACCESS,
                Signs { apparmor_restricts: true, ..none.clone() },
                "install jail's package, whose AppArmor profile (/etc/apparmor.d/jail)",
            ),
            (
                Errno::ACCESS,
                Signs { apparmor_restricts: true, apparmor_profile: true, ..none.clone() },
                "/etc/apparmor.d/jail lets /usr/bin/jail alone make them: start that one",
            ),
            (Errno::NOSYS, none.clone(), "Linux 5.12"),
            (Errno::PERM, none, "nothing on this machine says why"),
            (Errno::PERM, Signs::default(), "is not mounted here: mount it; in a chroot"),
        ] {
            assert!(said(errno, &signs).contains(expected), "{errno:?} {signs:?}: {}", said(errno, &signs));
        }
    }

    #[test]
    fn why_an_overlay_is_refused_is_told_by_what_is_mounted() {
        let line = "36 25 0:32 / /t/a\\040b\\134c rw,nosuid - tmpfs none rw";
        assert_eq!(mount(line), Some(("/t/a b\\c".into(), "tmpfs".into())));
        let mounts = |all: &[(&str, &str)]| all.iter().map(|(point, kind)| (PathBuf::from(point), (*kind).to_owned())).collect();
        let said = |errno, dir: Option<&CStr>, all: &[(&str, &str)]| {
            let over = dir.map_or(Over::Memory { size: None }, |dir| Over::Kept { dir: dir.into() });
            let op = Op::RootOverlay { source: c"/t".into(), over };
            step(Some(&Step { op, asked: None }), errno, &Signs { mounts: mounts(all), proc: true, ..Signs::default() })
                .to_string()
        };
        let inside = [("/", "ext4"), ("/t", "xfs"), ("/t/proc", "proc"), ("/two", "ext4")];
        assert!(said(Errno::INVAL, None, &inside).contains("/t/proc is mounted in the tree"));
        let beside = [("/", "ext4"), ("/t", "vfat"), ("/two", "ext4"), ("/two/d", "nfs4")];
        assert!(said(Errno::INVAL, None, &beside).contains("the tree lies on vfat: "));
        assert!(said(Errno::INVAL, Some(c"/two/d/k"), &beside).contains("the tree lies on vfat, changes on nfs4: "));
        assert!(said(Errno::OPNOTSUPP, None, &[]).contains("keep changes on a disk with --overlay DIR"));
        assert!(said(Errno::OPNOTSUPP, Some(c"/d"), &[]).contains("the file system of /d keeps no user attributes"));
        assert!(said(Errno::NODEV, None, &[]).contains("CONFIG_OVERLAY_FS"));
        assert!(said(Errno::PERM, None, &[]).contains("Linux 5.11"));
        assert!(said(Errno::NOSPC, Some(c"/d"), &[]).contains("no room for more files in /d"));
    }

    #[test]
    fn a_full_mount_namespace_is_not_taken_for_too_many_namespaces() {
        let dest = || c"/d".to_owned();
        for op in [
            Op::Bind { source: c"/s".into(), dest: dest(), access: crate::policy::files::Access::ReadOnly },
            Op::Hide { dest: dest(), dir: true },
            Op::Tmpfs { dest: dest(), size: None, mode: 0o755 },
            Op::Proc { dest: dest() },
        ] {
            let signs = Signs { proc: true, ..Signs::default() };
            let said = step(Some(&Step { op, asked: None }), Errno::NOSPC, &signs).to_string();
            assert!(said.contains("fs.mount-max") && !said.contains("user_namespaces"), "{said}");
        }
    }

    #[test]
    fn a_kernel_without_time_namespaces_is_named() {
        let op = Op::Uptime { now: core::time::Duration::ZERO };
        let asked = Some(crate::error::Asked::new("uptime", &["0".into()]));
        let error = step(Some(&Step { op, asked }), Errno::INVAL, &Signs { proc: true, ..Signs::default() });
        assert_eq!(error.layer, Layer::Kernel);
        for part in ["--uptime 0: monotonic and boot clocks", "CONFIG_TIME_NS", "leave the flag out"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn apparmor_is_named_at_each_step_where_it_takes_effect() {
        // unshare succeeds there; the capabilities are gone afterwards.
        let signs = Signs { proc: true, apparmor_restricts: true, ..Signs::default() };
        let ids = Ids { uid: 1, gid: 1 };
        for (op, errno) in [
            (Op::MapIds { inside: ids, outside: ids }, Errno::PERM),
            (Op::LoopbackUp, Errno::PERM),
            (Op::RootMemory, Errno::ACCESS),
            (Op::Proc { dest: c"/proc".into() }, Errno::PERM),
        ] {
            assert_eq!(step(Some(&Step { op, asked: None }), errno, &signs).layer, Layer::AppArmor);
        }
    }
}
