//! Contradictions between flags, and flags without effect.

use std::ffi::OsStr;

use crate::error::{Asked, Error, Words};
use crate::policy::files::What;
use crate::policy::layer::Degradable;
use crate::policy::net::{Hole, Net};
use crate::policy::{Anchor, ENV_PASSED, Env, Init, Landlock, Policy, Seccomp, Setting};
use crate::seccomp::fallback;
use crate::seccomp::overrides;
use crate::sys::caps;
use crate::util::glob::glob_matches;
use crate::util::name_map::Index;

pub(crate) fn refuse(asked: &Asked, problem: impl Into<Words>, remedy: &'static str) -> Result<(), Error> {
    Err(Error::usage(*asked, problem, remedy))
}

/// What contradicts itself on any machine.
pub(crate) fn contradictions(policy: &Policy) -> Result<(), Error> {
    if let (Some(asked), None) = (&policy.writable, &policy.root) {
        return refuse(asked, "has no effect without --root", "name the tree with --root, or a directory with --rw");
    }
    let ephemeral = policy.ephemeral.as_ref().and_then(|setting| setting.asked.as_ref());
    let overlay = policy.overlay.as_ref().and_then(|setting| setting.asked.as_ref());
    if let (Some(asked), None) = (ephemeral.or(overlay), &policy.root) {
        // Nobody could be the owner of what is changed in the host's system.
        return refuse(
            asked,
            "needs --root: a file keeps its owner when it is changed, and those of the host's system are no one in the jail",
            "name a tree that is your own with --root; TREES in jail(1) says how to come by one",
        );
    }
    let mut modes = [policy.writable.as_ref(), ephemeral, overlay].into_iter().flatten();
    if let (Some(one), Some(other)) = (modes.next(), modes.next()) {
        return refuse(other, format!("contradicts {}: changes go to one place", one.text()), "leave out one of the two");
    }
    let mut roots = policy.roots().into_iter().flatten();
    if let Some(root) = roots.next() {
        if let Some(other) = roots.next() {
            return refuse(other, format!("contradicts {}: each is a root of its own", root.text()), "leave out one of the two");
        }
        if let Some(Setting { asked: Some(asked), .. }) = policy.uid.as_ref().or(policy.gid.as_ref()) {
            return refuse(asked, format!("contradicts {}, which is uid and gid 0", root.text()), "leave out one of the two");
        }
    }
    if let (Some(asked), Seccomp::None) = (&policy.fakeroot, policy.seccomp.value) {
        return refuse(asked, "contradicts --seccomp none, which leaves out what would answer", "leave out one of the two");
    }
    if policy.pid.value == Anchor::Host {
        if let (Anchor::Private, Some(asked)) = (policy.proc.value, &policy.proc.asked) {
            return refuse(
                asked,
                "contradicts --pid host: a /proc of its own shows a process table of its own",
                "say --proc host or --proc none",
            );
        }
        if let (Init::None, Some(asked)) = (policy.init.value, &policy.init.asked) {
            return refuse(
                asked,
                "contradicts --pid host: without a process table of its own nothing but the reaper ends what the command leaves",
                "leave out one of the two",
            );
        }
    } else if let (Anchor::Host, Some(asked)) = (policy.proc.value, &policy.proc.asked) {
        return refuse(
            asked,
            "contradicts the private process table: the host's /proc numbers processes that the jail cannot name",
            "add --pid host, or leave it out",
        );
    }
    for (index, (fd, asked)) in policy.fds.iter().enumerate() {
        if policy.fds[..index].iter().any(|(other, _)| other == fd) {
            return refuse(asked, "given twice", "give it once");
        }
    }
    let files = || {
        policy.entries.iter().filter_map(|e| match e.what {
            What::File { fd } => Some((fd, &e.asked)),
            What::Bind { .. } | What::Device { .. } | What::Tmpfs { .. } | What::Dir | What::Symlink { .. } => None,
        })
    };
    for (index, (fd, asked)) in files().enumerate() {
        if files().take(index).any(|(other, _)| other == fd) || policy.fds.iter().any(|(other, _)| *other == fd) {
            return refuse(asked, "the descriptor is used by another flag too, and can be read once", "open one for each");
        }
    }
    if let (Some(Setting { asked: Some(asked), .. }), Init::None) = (&policy.uptime, policy.init.value) {
        return refuse(
            asked,
            "contradicts --init none: the process that sets the clocks keeps its own, and those that it makes have the new ones",
            "leave out one of the two",
        );
    }
    if let (Some(asked), Some(_)) = (&policy.new_session, &policy.pty) {
        return refuse(asked, "has no effect: --pty starts a session", "leave it out");
    }
    if let (Some(Setting { asked: Some(asked), .. }), None) = (&policy.grace, &policy.timeout) {
        return refuse(asked, "has no effect without --timeout", "add --timeout, or leave it out");
    }
    let ports = || policy.connect.iter().chain(&policy.listen);
    if let (Some((_, asked)), true) = (ports().next(), policy.net.value != Net::Host) {
        return refuse(asked, "has no effect without --net host", "add --net host, or leave it out");
    }
    if let (Some((_, asked)), Landlock::None) = (ports().next(), policy.landlock.value) {
        return refuse(asked, "contradicts --landlock none, which is what would do it", "leave out one of the two");
    }
    for all in [&policy.connect, &policy.listen] {
        if let Some((_, (_, asked))) =
            all.iter().enumerate().find(|(index, (port, _))| all[..*index].iter().any(|(p, _)| p == port))
        {
            return refuse(asked, "given twice", "give it once");
        }
    }
    let holes = || policy.publish.iter().map(|(_, asked)| asked).chain(policy.reach.iter().map(|(_, asked)| asked));
    if let (Some(asked), true) = (holes().next(), policy.net.value == Net::Host) {
        return refuse(asked, "needs a network of the jail's own, which --net host is not", "leave --net out, or this");
    }
    for (index, (hole, asked)) in policy.publish.iter().enumerate() {
        let same = |other: &Hole| (other.udp, other.at) == (hole.udp, hole.at);
        if hole.at.port() != 0 && policy.publish[..index].iter().any(|(other, _)| same(other)) {
            return refuse(asked, "the address outside is given twice", "give each once");
        }
        if hole.udp && policy.net.value != Net::Pasta {
            return refuse(asked, "only --net pasta passes UDP on", "add it, or publish TCP");
        }
    }
    for (index, (reach, asked)) in policy.reach.iter().enumerate() {
        if policy.reach[..index].iter().any(|(other, _)| other.at == reach.at) {
            return refuse(asked, "given twice", "give each once");
        }
    }
    degraded_without_effect(policy)?;
    for (index, (limit, asked)) in policy.rlimits.iter().enumerate() {
        if policy.rlimits[..index].iter().any(|(other, _)| other.resource == limit.resource) {
            return refuse(asked, "the limit is named twice", "name it once");
        }
    }
    if let Some(Setting { value, asked: Some(asked) }) = &policy.status_fd {
        if policy.fds.iter().any(|(fd, _)| fd == value) || files().any(|(fd, _)| fd == *value) {
            return refuse(
                asked,
                "the descriptor is passed inside by another flag, where records could be forged",
                "open one for each",
            );
        }
    }
    for (index, (number, asked)) in policy.caps.iter().enumerate() {
        if policy.caps[..index].iter().any(|(other, _)| other == number) {
            return refuse(asked, "the capability is named twice", "name it once");
        }
        if let (Some(root), true) = (policy.jailed_root(), caps::JAILED_ROOT & caps::only(*number) != 0) {
            return refuse(asked, format!("has no effect: {} has it", root.text()), "leave it out");
        }
        if *number == caps::SYS_RESOURCE && policy.nested.is_none() {
            return refuse(asked, "lets the command allow itself user namespaces again", "add --nested, or leave it out");
        }
    }
    if let (Seccomp::None, Some(change)) = (policy.seccomp.value, policy.syscalls.first()) {
        return refuse(&change.asked, "has no effect with --seccomp none", "leave out one of the two");
    }
    if let (Seccomp::None, Some(asked)) = (policy.seccomp.value, &policy.trace_denied) {
        return refuse(asked, "has no effect with --seccomp none, which refuses nothing", "leave out one of the two");
    }
    let without_namespaces = policy.degrade.as_ref().is_some_and(|degrade| degrade.value.contains(&Degradable::Namespaces));
    overrides::check(policy.powers(), &policy.syscalls, policy.trace_denied.is_some(), &|call| {
        without_namespaces && fallback::stands_in(call)
    })?;
    for (env, asked) in &policy.env {
        if matches!(env, Env::Pass(name) if ENV_PASSED.iter().any(|glob| glob_matches(OsStr::new(glob), name))) {
            return refuse(asked, "has no effect: the variable is passed anyway", "leave it out");
        }
    }
    let mut named = Index::new();
    for (Env::Pass(name) | Env::Set(name, _) | Env::Glob(name), asked) in &policy.env {
        if !named.set(name, ()) {
            return refuse(asked, "the variable is named twice", "name it once");
        }
    }
    Ok(())
}

/// Layers to do without that are not asked for.
pub(crate) fn degraded_without_effect(policy: &Policy) -> Result<(), Error> {
    let Some(Setting { value, asked: Some(asked) }) = &policy.degrade else { return Ok(()) };
    let shared = |anchor: &Setting<Anchor>| anchor.value == Anchor::Host;
    for (layer, idle, flag) in [
        (Degradable::Net, policy.net.value == Net::Host, "--net host"),
        (Degradable::Pid, shared(&policy.pid), "--pid host"),
        (Degradable::Ipc, shared(&policy.ipc), "--ipc host"),
        (Degradable::Cgroup, shared(&policy.cgroup), "--cgroup host"),
        (Degradable::Proc, policy.proc.value != Anchor::Private, "--proc"),
        (Degradable::UsernsLimit, policy.nested.is_some(), "--nested"),
        (Degradable::Seccomp, policy.seccomp.value == Seccomp::None, "--seccomp none"),
        (Degradable::Landlock, policy.landlock.value == Landlock::None, "--landlock none"),
    ] {
        if value.contains(&layer) && idle {
            let problem = format!("{} has no effect: {flag} leaves it out", layer.name());
            return Err(Error::usage(*asked, problem, "leave out one of the two"));
        }
    }
    if value.contains(&Degradable::Root) && !value.contains(&Degradable::Namespaces) {
        let remedy = "name namespaces, too, or leave it out";
        return Err(Error::usage(*asked, "root has no effect without namespaces", remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::apply_flag::interpret;
    use crate::cli::command_line::parse;
    use crate::cli::command_line::{Given, Typed};
    use crate::cli::flags::{FLAGS, Takes};
    use crate::cli::request::Request;
    use std::ffi::OsString;

    fn request(line: &str) -> Result<Request, Error> {
        let words = line.split(' ').map(OsString::from).collect();
        interpret(parse(words, &mut |_| Err("no file".into()))?)
    }
    fn refused(line: &str) -> String {
        request(line).expect_err(line).to_string()
    }

    #[test]
    fn every_flag_has_a_meaning() {
        // --args is replaced by what its file holds before policy sees it.
        for flag in FLAGS.iter().filter(|flag| flag.long != "args") {
            let values: Vec<OsString> = match flag.takes {
                Takes::Nothing | Takes::Perhaps(_) => vec![],
                Takes::PerhapsAnd(..) => vec!["5".into()],
                Takes::Words(names) => names.split(' ').map(|_| "5".into()).collect(),
            };
            let typed = Typed { flags: vec![Given { flag, values }], command: vec!["x".into()], args_files: Vec::new() };
            if let Err(error) = interpret(typed) {
                assert!(!error.to_string().contains("means nothing"), "{}", flag.long);
            }
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        for (line, expected) in [
            ("--writable x", "--writable: has no effect without --root"),
            ("--ephemeral x", "--ephemeral: needs --root"),
            ("--overlay /d x", "name a tree that is your own with --root"),
            ("--root /t --ephemeral --writable x", "--ephemeral: contradicts --writable"),
            ("--root /t --overlay /d --ephemeral=5 x", "--overlay /d: contradicts --ephemeral=5"),
            ("--root /t --writable --overlay /d x", "--overlay /d: contradicts --writable"),
            ("--root /t --ephemeral=12q x", "12q is not a size"),
            ("--root /t --ephemeral=0 x", "0 is not a size"),
            ("--as-root --uid 5 x", "--uid 5: contradicts --as-root"),
            ("--fakeroot --gid 5 x", "--gid 5: contradicts --fakeroot"),
            ("--as-root --fakeroot x", "--fakeroot: contradicts --as-root"),
            ("--fakeroot --subids x", "--fakeroot: contradicts --subids"),
            ("--subids --as-root x", "--subids: contradicts --as-root"),
            ("--subids --uid 0 x", "--uid 0: contradicts --subids"),
            ("--fakeroot --seccomp none x", "--fakeroot: contradicts --seccomp none"),
            ("--fakeroot --cap chown x", "has no effect: --fakeroot has it"),
            ("--pid host --proc private x", "contradicts --pid host"),
            ("--proc host x", "add --pid host"),
            ("--pid host --init none x", "--init none: contradicts --pid host"),
            ("--fd 2 x", "has no effect"),
            ("--fd 7 --fd 7 x", "given twice"),
            ("--file 7 /a --file 7 /b x", "can be read once"),
            ("--file 7 /a --fd 7 x", "can be read once"),
            ("--env A --env A=1 x", "--env A=...: the variable is named twice"),
            ("--cap kill --as-root x", "has no effect"),
            ("--cap kill --cap CAP_KILL x", "named twice"),
            ("--cap sys_resource x", "add --nested"),
            ("--env HOME x", "has no effect"),
            ("--cap kil x", "did you mean kill?"),
            ("--net nine x", "write one of: none, host, pasta"),
            ("--tmpfs /a,size=0 x", "not a size"),
            ("--tmpfs /a,size=12q x", "not a size"),
            ("--tmpfs /a,sz=1m x", "only ,size=N may follow DST"),
            ("--tmpfs /a:size=1m x", "write DST,size=N"),
            ("--uid 4294967295 x", "is not an id"),
            ("--umask 8 x", "8 is not a mask"),
            ("--umask +22 x", "+22 is not a mask"),
            ("--umask 1000 x", "write it in octal"),
            ("--umask  x", "is not a mask"),
            ("--umask 22 --umask 22 x", "--umask"),
            ("--processors 0 x", "0 is not a number of processors"),
            ("--processors 1.5 x", "--cpus limits"),
            ("--uptime -1 x", "-1 is no time to be up"),
            ("--uptime 876001h x", "from 0 to 100 years"),
            ("--uptime 0 --init none x", "--uptime 0: contradicts --init none"),
            ("--pty --new-session x", "has no effect"),
            ("--grace 5 x", "has no effect without --timeout"),
            ("--connect 80 x", "has no effect without --net host"),
            ("--net host --connect 80 --connect 80 x", "given twice"),
            ("--net host --listen 0 x", "is not a TCP port"),
            ("--net host --connect 80 --landlock none x", "contradicts --landlock none"),
            ("--net host --publish 80 x", "needs a network of the jail's own"),
            ("--publish 8080:80 --publish 127.0.0.1:8080:81 x", "given twice"),
            ("--publish 0 x", "0 is not [ADDR:]PORT[:PORT]"),
            ("--publish 1.2.3:80 x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish 53/udp x", "only --net pasta passes UDP on"),
            ("--net pasta --publish 5353:53/udp x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish [::1]:80 --publish [::1]:80:81 x", "given twice"),
            ("--publish [::1:80 x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish ::1:80 x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish 80:65536 x", "is not [ADDR:]PORT[:PORT]"),
            ("--net host --reach a:80 x", "needs a network of the jail's own"),
            ("--reach a:80 --reach A:80=b:80 x", "given twice"),
            ("--reach a x", "a is not HOST:PORT"),
            ("--degrade landlok x", "did you mean landlock?"),
            ("--degrade x y", "name one of: namespaces, net"),
            ("--degrade landlock --landlock none x", "has no effect"),
            ("--check --net host", "--net host: has no effect with --check"),
            ("--check x", "x would not be run"),
            ("--check=yaml", "write one of: text, json"),
            ("--diff=yaml d", "--diff=yaml d: unknown value yaml"),
            ("--diff d --ephemeral", "--ephemeral: has no effect with --diff"),
            ("--diff d --check", "--diff d: has no effect with --check"),
            ("--diff d ls", "--diff d: ls would not be run"),
            ("--diff=json  --root t", "the path is empty"),
            ("--memory 0 x", "is no such limit"),
            ("--tasks 0 x", "from 1 up"),
            ("--cpus none x", "from 0.01 up"),
            ("--timeout 0 x", "is not a duration"),
            ("--rlimit nofile x", "no value is given"),
            ("--rlimit nofil=5 x", "did you mean nofile?"),
            ("--rlimit nofile=5:4 x", "above the hard one"),
            ("--rlimit core=1 --rlimit CORE=2 x", "named twice"),
            ("--status-fd 2 x", "are the command's"),
            ("--status-fd 7 --fd 7 x", "forged"),
            ("--allow-syscall kexec_lode x", "did you mean kexec_load?"),
            ("--allow-syscall @mont x", "did you mean @mount?"),
            ("--allow-syscall keyring x", "did you mean the group, @keyring?"),
            ("--allow-syscall @nothing x", "write one of: @aio, "),
            ("--allow-syscall bpf:EPERM x", "unknown system call"),
            ("--deny-syscall read:ENOSYSS x", "did you mean ENOSYS?"),
            ("--deny-syscall read:38 x", "38 is not an error's name"),
            ("--allow-syscall read x", "--allow-syscall read: has no effect: it is allowed anyway"),
            ("--deny-syscall bpf x", "--deny-syscall bpf: has no effect: it is refused so anyway"),
            ("--nested --allow-syscall @mount x", "has no effect: it is allowed anyway"),
            ("--cap sys_admin --allow-syscall mount x", "has no effect: it is allowed anyway"),
            ("--allow-syscall @keyring --allow-syscall keyctl x", "--allow-syscall keyctl: has no effect"),
            ("--allow-syscall bpf --allow-syscall bpf x", "given twice"),
            ("--allow-syscall bpf --deny-syscall bpf:ENOSYS x", "contradicts --allow-syscall bpf: both name bpf"),
            ("--deny-syscall read --deny-syscall read:EIO x", "contradicts --deny-syscall read: both name read"),
            ("--deny-syscall @setuid --deny-syscall @privileged:ENOSYS x", "contradicts --deny-syscall @setuid: both name set"),
            ("--deny-syscall execve x", "refuses execve, which jail needs"),
            ("--deny-syscall @signal x", "add --allow-syscall rt_sig"),
            ("--seccomp none --deny-syscall read x", "--deny-syscall read: has no effect with --seccomp none"),
            ("--seccomp none --trace-denied x", "--trace-denied: has no effect with --seccomp none"),
            ("--trace-denied --check", "--trace-denied: has no effect with --check"),
            ("--trace-denied --deny-syscall sendmsg x", "refuses sendmsg, which --trace-denied needs"),
            ("--trace-denied --deny-syscall @network-io x", "add --allow-syscall sendmsg"),
            ("--trace-denied --trace-denied x", "--trace-denied"),
            ("--seccomp non x", "write one of: default, none"),
            ("--hostname ", "not a hostname"),
            ("--ro ", "the path is empty"),
            ("--net host", "no command is named"),
        ] {
            assert!(refused(line).contains(expected), "{line}: {}", refused(line));
        }
    }

    #[test]
    fn a_set_values_text_is_kept_out_of_errors() {
        assert!(!refused("--env TOKEN=secret --env TOKEN=other x").contains("secret"));
        assert!(!refused("--env TOKEN=secret --env TOKEN=other x").contains("other"));
    }

    #[test]
    fn globs() {
        let m = |g: &str, n: &str| glob_matches(OsStr::new(g), OsStr::new(n));
        assert!(m("CI_*", "CI_JOB") && m("*", "") && m("a?c", "abc") && m("*b*b", "abbb"));
        assert!(!m("CI_*", "CI") && !m("a?c", "ac") && !m("", "a") && !m("*b", "bc"));
    }
}
