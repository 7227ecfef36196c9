//! Plans for a made-up machine: no privilege, no effect.

use rustix::io::Errno;

use super::*;
use crate::cli::apply_flag::interpret;
use crate::cli::command_line::parse;
use crate::cli::request::Request;
use crate::host::cgroup::CgroupDir;
use crate::host::subids::{Mapper, Subordinate};
use crate::policy::layer::Degradable;
use crate::process::helper::{Refused, Why};
use crate::report::explain;
use crate::sys::namespaces;

fn policy(words: &[&str]) -> Result<Policy, Error> {
    let words = words.iter().map(OsString::from).collect();
    match interpret(parse(words, &mut |_| Err("no file".into()))?)? {
        Request::Run(policy) | Request::Explain(policy, _) => Ok(*policy),
        Request::Check(..) | Request::Diff(_) | Request::Time(_) | Request::Help | Request::Version => {
            Err(Error::usage(None, "not a run", ""))
        }
    }
}

fn planned_on(host: &Host, line: &str) -> Result<Plan, Error> {
    build(&mut policy(&line.split(' ').collect::<Vec<_>>())?, host)
}

fn planned(line: &str) -> Plan {
    planned_on(&Host::made_up(&[]), line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.inside.iter().chain(&plan.last).map(|step| step.op.to_string()).collect()
}

fn has(plan: &Plan, line: &str) -> bool {
    lines(plan).iter().any(|l| l == line)
}

fn at(plan: &Plan, line: &str) -> usize {
    lines(plan).iter().position(|l| l == line).unwrap_or_else(|| panic!("{line} is not in {:#?}", lines(plan)))
}

fn refused_on(more: &[&str], line: &str) -> String {
    match planned_on(&Host::made_up(more), line) {
        Ok(plan) => panic!("{line} was taken: {:#?}", lines(&plan)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_default_shows_the_system_and_nothing_else_of_the_host() {
    let plan = planned("true");
    let shown: Vec<String> =
        lines(&plan).into_iter().filter(|l| l.starts_with("read-only /") || l.starts_with("writable")).collect();
    assert_eq!(shown, ["read-only /etc", "read-only /opt", "read-only /usr"]);
    for line in ["own process table /proc", "memory /tmp (mode 1777)", "memory /run (mode 755)", "memory /home/u (mode 700)"] {
        assert!(has(&plan, line), "{line}");
    }
    assert!(has(&plan, "link /bin -> usr/bin"));
    assert_eq!(namespaces::namespaces(plan.namespaces), "user mount pid net ipc uts cgroup");
    assert!(has(&plan, "start in /"), "the caller's directory is not visible");
    assert!(has(&plan, "hide /proc/keys"));
}

#[test]
fn the_order_of_flags_changes_nothing() {
    let flags = [
        "--rw=/home/u/proj",
        "--ro=/usr/lib",
        "--tmpfs=/home/u/proj/t",
        "--hide=/etc/passwd",
        "--noexec=/tmp",
        "--net=host",
        "--env=A=1",
        "--env=B=2",
        "--dir=/x/y",
        "--symlink=a",
        "/x/l",
        "--uid=5",
        "--fd=7",
        "--fd=8",
    ];
    let host = Host::made_up(&["/home/u/proj/t/"]);
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for flag in flags {
        match groups.last_mut() {
            Some(last) if flag.starts_with('/') => last.push(flag),
            Some(_) | None => groups.push(vec![flag]),
        }
    }
    let plan_of = |groups: &[Vec<&str>]| {
        let mut words: Vec<&str> = groups.iter().flatten().copied().collect();
        words.push("true");
        let mut plan = build(&mut policy(&words).unwrap(), &host).unwrap();
        // Which of several flags is named beside a step they share may differ.
        plan.last.iter_mut().for_each(|step| step.asked = None);
        plan
    };
    let first = plan_of(&groups);
    for _ in 0..groups.len() {
        groups.rotate_left(1);
        assert_eq!(plan_of(&groups), first);
        let reversed: Vec<Vec<&str>> = groups.iter().rev().cloned().collect();
        assert_eq!(plan_of(&reversed), first);
    }
}

#[test]
fn parents_are_mounted_before_children() {
    let plan = planned_on(&Host::made_up(&["/a/b/c/", "/s/"]), "--ro-bind /s /a/b/c --tmpfs /a --rw /home/u/proj true").unwrap();
    assert!(at(&plan, "memory of its own /a (mode 755)") < at(&plan, "read-only /a/b/c, which is /s outside"));
    assert!(at(&plan, "memory /home/u (mode 700)") < at(&plan, "writable /home/u/proj"));
    assert!(at(&plan, "directory /a/b (mode 755)") < at(&plan, "directory /a/b/c (mode 755)"));
    assert!(has(&plan, "start in /home/u/proj"));
}

#[test]
fn a_destination_behind_a_link_waits_for_what_it_leads_into() {
    // As with systemd-resolved: /etc/resolv.conf is a link into /run.
    let host = Host::made_up(&["/etc/resolv.conf->../run/resolve/stub.conf", "/run/resolve/stub.conf"]);
    for line in ["--net host true", "--net host --ro /etc/resolv.conf true"] {
        let plan = planned_on(&host, line).unwrap();
        let bind = at(&plan, "read-only /run/resolve/stub.conf");
        assert!(at(&plan, "memory /run (mode 755)") < bind, "{line}");
        assert!(at(&plan, "mount point /run/resolve/stub.conf") < bind, "{line}");
    }
    assert!(!has(&planned_on(&host, "true").unwrap(), "read-only /run/resolve/stub.conf"));
}

#[test]
fn links_of_a_source_are_followed_on_the_host_and_shown() {
    let host = Host::made_up(&["/home/u/proj/sub->/etc"]);
    let plan = planned_on(&host, "--rw /home/u/proj/sub true").unwrap();
    assert!(has(&plan, "writable /home/u/proj/sub, which is /etc outside"));
    let plan = planned_on(&host, "--ro sub true").unwrap();
    assert!(has(&plan, "read-only /home/u/proj/sub, which is /etc outside"));
}

#[test]
fn relative_writable_sources_through_links_below_the_current_directory_are_refused() {
    let files = [
        "/home/u/proj/link->../other",
        "/home/u/proj/inner->sub",
        "/home/u/proj/sub/deep->/home/u/other/d",
        "/home/u/proj/gone->/nope",
        "/home/u/proj/kvm->/dev/kvm",
        "/home/u/proj/t/tmp/",
        "/home/u/proj/tl->t",
        "/home/u/proj/sub/x/",
        "/home/u/other/d/e/",
        "/home/u/up->other",
        "/x/",
    ];
    for (flags, link, leads) in [
        ("--rw link", "link", "/home/u/other"),
        ("--rw ./link/", "link", "/home/u/other"),
        ("--rw inner", "inner", "/home/u/proj/sub"),
        ("--rw link/d", "link", "/home/u/other/d"),
        ("--rw link/../other", "link", "/home/u/other"),
        ("--rw sub/../link", "link", "/home/u/other"),
        ("--rw sub/deep/e", "sub/deep", "/home/u/other/d/e"),
        ("--rw ../proj/link", "link", "/home/u/other"),
        ("--rw ../up/../proj/link", "link", "/home/u/other"),
        ("--rw-try link", "link", "/home/u/other"),
        ("--rw-try gone", "gone", ""),
        ("--rw gone", "gone", ""),
        ("--rw-bind link /m", "link", "/home/u/other"),
        ("--rw-bind-try link /m", "link", "/home/u/other"),
        ("--ro . --rw link", "link", "/home/u/other"),
        ("--device kvm", "kvm", "/dev/kvm"),
        ("--root tl --writable", "tl", "/home/u/proj/t"),
        ("--root t --overlay link", "link", "/home/u/other"),
        ("--root t --overlay link/new", "link", ""),
    ] {
        let refused = refused_on(&files, &format!("{flags} true"));
        assert!(refused.contains(&format!("/home/u/proj/{link} is a symbolic link below the current directory")), "{refused}");
        let hint = match leads {
            "" => "remove the link, or name a path without it".into(),
            leads => format!("write the path that it leads to: {leads}"),
        };
        assert!(refused.ends_with(&hint), "{flags}: {refused}");
    }
    let host = Host::made_up(&files);
    for flags in [
        "--rw .",
        "--rw sub",
        "--rw sub/x/..",
        "--rw ../other",
        // What is above the current directory is the caller's own.
        "--rw ../up",
        "--rw-bind ../up/d /m",
        "--rw /home/u/proj/link",
        "--ro link",
        "--ro-bind link /m",
        "--root tl",
        "--root tl --overlay /x",
        "--root t --writable",
        "--rw-try missing",
    ] {
        if let Err(error) = planned_on(&host, &format!("{flags} true")) {
            panic!("{flags}: {error}");
        }
    }
}

#[test]
fn things_are_made_in_memory_alone_wherever_links_lead() {
    let host = ["/h/r/", "/h/f", "/t/srv/data->/run/app", "/t/run/", "/t/tmp/", "/t2/run->tmp/x/run", "/t2/tmp/", "/t2/s->tmp/x"];
    for (flags, place) in [
        ("--dir /p/q/r --symlink /p /z --rw-bind /h /z/q", "/p/q/r"),
        ("--dir /p/q/new --symlink /p /z --rw-bind /h /z/q", "/p/q/new"),
        ("--dir /p/q/new --symlink /p /z --ro-bind /h /z/q", "/p/q/new"),
        ("--file 7 /p/q/new --symlink /p /z --rw-bind /h /z/q", "/p/q/new"),
        ("--symlink evil /p/q/new --symlink /p /z --rw-bind /h /z/q", "/p/q/new"),
        ("--ro-bind /etc/passwd /p/q/new --symlink /p /z --rw-bind /h /z/q", "/p/q/new"),
        ("--ro-bind /etc/passwd /p/q/f --symlink /p /z --rw-bind /h /z/q", "/p/q/f"),
        ("--tmpfs /p/q/new --symlink /p /z --rw-bind /h /z/q", "/p/q/new"),
        ("--dir /p/q/a/b/c --symlink /p /z --rw-bind /h /z/q", "/p/q/a"),
        ("--reach unix:/p/q/s=unix:/h/f --symlink /p /z --rw-bind /h /z/q", "/p/q/s"),
        ("--root /t --file 7 /run/app/cred --rw-bind /h /srv/data", "/run/app/cred"),
        // A default, which a link of the tree's leads into what another leads elsewhere.
        ("--root /t2 --rw-bind /h /s", "/tmp/x/run"),
    ] {
        let refused = refused_on(&host, &format!("{flags} true"));
        assert!(refused.contains(&format!("place {place} inside: it would be made in /h, which --r")), "{flags}: {refused}");
        assert!(refused.contains("name destinations without symbolic links"), "{refused}");
    }
    // What lies in memory by then is made there.
    for flags in [
        "--dir /p/q/r --symlink /p /z --tmpfs /z/q",
        "--file 7 /p/q/r/f --symlink /p /z --tmpfs /z/q",
        "--dir /p/q/r --symlink /p /z --rw-bind /h /z/h",
        "--rw-bind /h /p/q --tmpfs /p/q/r --dir /p/q/r/x",
    ] {
        if let Err(error) = planned_on(&Host::made_up(&host), &format!("{flags} true")) {
            panic!("{flags}: {error}");
        }
    }
    // A destination that leads elsewhere in the end is not where it was asked for.
    let refused =
        refused_on(&["/t/srv/app->/run/a", "/t/zz->srv", "/t/run/"], "--root /t --file 7 /srv/app/cred --tmpfs /zz true");
    assert!(refused.contains("--file 7 /srv/app/cred: place /srv/app/cred: another destination covers"), "{refused}");
}

/// The places that Landlock's rules name.
fn ruled(plan: &Plan) -> Vec<String> {
    let rules =
        plan.inside.iter().find_map(|step| if let Op::Ruleset { ruleset, .. } = &step.op { Some(&ruleset.below) } else { None });
    rules.expect("rules").iter().map(|(path, _)| path.to_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_default_shows_below_a_hidden_directory_vanishes() {
    for hidden in ["/home", "/home/u", "/dev", "/dev/pts", "/dev/shm", "/proc", "/tmp", "/run", "/etc", "/opt", "/usr/lib"] {
        for root in [false, true] {
            let mut host = Host::made_up(&[]);
            host.uid = if root { 0 } else { 1000 };
            let plan = planned_on(&host, &format!("--hide {hidden} true")).unwrap();
            let below = |path: &str| path.starts_with(&format!("{hidden}/"));
            let rules = ruled(&plan);
            assert!(rules.iter().all(|path| path != hidden && !below(path)), "{hidden}: {rules:?}");
            assert!(rules.contains(&"/".into()), "{rules:?}");
            let shown = |step: &Step| step.op.dest().is_some_and(|dest| below(dest.to_str().unwrap()));
            assert!(!plan.inside.iter().any(shown), "{hidden}: {:#?}", lines(&plan));
            assert!(has(&plan, &format!("hide {hidden}")));
        }
    }
    // The same where the flag that hides says nothing of a default's directory.
    assert!(ruled(&planned("--hide /usr/bin true")).contains(&"/tmp".into()));
    for (line, other) in [
        ("--ro-bind /opt /dev/x --hide /dev true", "--ro-bind /opt /dev/x"),
        ("--rw /home/u/proj --hide /home true", "--rw /home/u/proj"),
        ("--dir /tmp/a/b/c --hide /tmp/a true", "--dir /tmp/a/b/c"),
        ("--tmp private --hide /tmp true", "--tmp private"),
        ("--device /dev/kvm --hide /dev true", "--device /dev/kvm"),
    ] {
        let refused = refused_on(&[], line);
        assert!(refused.contains(&format!("it would hide what {other} shows")), "{line}: {refused}");
    }
}

#[test]
fn a_deep_path_takes_a_few_look_ups_for_each_name() {
    // As deep as a path can be: the kernel takes 4095 bytes. A cubic way would take hours,
    // and one whose time grows with the square of the depth a few seconds.
    let deep = format!("/{}x", "a/".repeat(2046));
    let start = std::time::Instant::now();
    let plan = planned(&format!("--dir {deep} true"));
    let made = |step: &&Step| matches!(&step.op, Op::Dir { dest, .. } if dest.to_bytes().starts_with(b"/a"));
    assert_eq!(plan.inside.iter().filter(made).count(), 2047);
    let host = Host::made_up(&[&deep]);
    assert!(has(&planned_on(&host, &format!("--ro-bind {deep} /f --ro {deep} --noexec {deep} true")).unwrap(), "mount point /f"));
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn bans_of_many_files_take_no_longer_than_to_show_them() {
    const COUNT: usize = 4000;
    let names: Vec<String> = (0..COUNT).map(|n| format!("/d/f{n}")).collect();
    let host = Host::made_up(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let took = |flag: &str| {
        let mut words: Vec<&str> = names.iter().flat_map(|name| [flag, name]).collect();
        words.extend(if flag == "--ro" { &["true"][..] } else { &["--ro", "/d", "true"] });
        let mut policy = policy(&words).unwrap();
        let start = std::time::Instant::now();
        let plan = build(&mut policy, &host).unwrap();
        let took = start.elapsed();
        assert!(plan.inside.iter().filter(|step| step.asked.is_some()).count() >= COUNT);
        took
    };
    // The shortest of each, made by turns: a busy machine makes some longer and none shorter.
    // Where each ban is compared with all others, it is fifty times as long.
    let rounds: Vec<_> = (0..5).map(|_| ["--ro", "--hide", "--noexec"].map(took)).collect();
    let [ro, hide, noexec] = [0, 1, 2].map(|at| rounds.iter().map(|round| round[at]).min().unwrap());
    assert!(hide < ro * 6 && noexec < ro * 6, "--ro {ro:?}, --hide {hide:?}, --noexec {noexec:?}");
}

#[test]
fn what_names_a_process_is_refused_as_such() {
    let more = ["/proc/self->77", "/proc/77/fd/3->/etc/passwd", "/proc/77/cwd->/home/u", "/proc/thread-self->77/task/77"];
    let more = [&more[..], &["/proc/77/task/77/", "/proc/net->self/net", "/home/u/proj/mounts->/proc/self/mounts"]].concat();
    for (flags, link) in [
        ("--ro /proc/self", "/proc/self"),
        ("--ro-bind /proc/self /x", "/proc/self"),
        ("--ro-bind /proc/self/fd/3 /x", "/proc/self"),
        ("--ro-bind /proc/77/fd/3 /x", "/proc/77/fd/3"),
        ("--ro-bind /proc/77/cwd/proj /x", "/proc/77/cwd"),
        ("--ro-bind /proc/thread-self /x", "/proc/thread-self"),
        ("--ro-try /proc/net", "/proc/self"),
        ("--ro-bind mounts /x", "/proc/self"),
        ("--root /proc/77/cwd", "/proc/77/cwd"),
    ] {
        let refused = refused_on(&more, &format!("{flags} true"));
        let cause = format!("it leads through {link}, which is another file for each process");
        assert!(refused.contains(&cause), "{flags}: {refused}");
    }
    for flags in ["--tmpfs /proc/self/fd", "--dir /proc/self/x", "--ro-bind /etc /proc/77", "--tmpfs /proc/77/x"] {
        let refused = refused_on(&more, &format!("{flags} true"));
        assert!(refused.contains("which names a process, and those inside are others"), "{flags}: {refused}");
    }
    assert!(refused_on(&more, "--tmpfs /dev/fd true").contains("which names a process, and those inside are others"));
    assert!(refused_on(&more, "--chdir /proc/self true").contains("it names a process, and those inside are others"));
    let mut host = Host::made_up(&more);
    host.cwd = Ok("/proc/77".into());
    assert!(has(&planned_on(&host, "true").unwrap(), "start in /"), "a process that is not there inside");
}

#[test]
fn nothing_is_put_among_the_jails_own_pseudo_terminals() {
    let host = ["/dev/ptmx!"];
    for flags in ["--device /dev/ptmx", "--dir /dev/pts/x", "--tmpfs /dev/pts/x", "--file 7 /dev/pts/0", "--symlink a /dev/pts/x"]
    {
        let refused = refused_on(&host, &format!("{flags} true"));
        assert!(refused.contains("where the jail has its own pseudo-terminals"), "{flags}: {refused}");
        assert!(refused.contains("--dev host"), "{refused}");
    }
    planned_on(&Host::made_up(&host), "--dev host --device /dev/ptmx true").unwrap();
}

#[test]
fn a_trees_links_lead_nowhere_but_into_the_tree() {
    let tree = ["/t/etc/", "/t/tmp->/etc", "/t/run->../../../../run", "/t/dev->gone", "/t/proc->proc", "/t/home/"];
    let plan = planned_on(&Host::made_up(&tree), "--root /t true").unwrap();
    assert!(has(&plan, "memory of its own /etc (mode 1777)"), "/tmp leads to the tree's own /etc");
    for never in ["own process table", "memory of its own /run", "/dev"] {
        assert!(!lines(&plan).iter().any(|l| l.contains(never)), "{never}");
    }
    assert!(
        refused_on(&tree, "--root /t --dev private true")
            .contains("--dev private: place /dev inside: nothing is there to mount on")
    );
    assert!(refused_on(&tree, "--root /t --proc private true").contains("goes round in symbolic links"));
}

#[test]
fn what_a_tree_lacks_is_left_out_or_refused_when_asked_for() {
    let plan = planned_on(&Host::made_up(&["/t/tmp/"]), "--root /t true").unwrap();
    assert!(has(&plan, "memory of its own /tmp (mode 1777)") && has(&plan, "start from /t, read-only"));
    assert!(!lines(&plan).iter().any(|l| l.contains("/proc") || l.contains("/home")));
    let refused = refused_on(&["/t/", "/s/"], "--root /t --ro-bind /s /x true");
    assert!(
        refused.contains("--ro-bind /s /x: place /x inside: nothing is there") && refused.contains("create /t/x on the host")
    );
    assert!(refused_on(&["/t/"], "--root /t --dir /x true").contains("make it there yourself"));
    assert!(has(
        &planned_on(&Host::made_up(&["/t/tmp/"]), "--root /t --dir /tmp/x true").unwrap(),
        "directory /tmp/x (mode 755)"
    ));
}

#[test]
fn changes_of_a_tree_go_to_memory_or_to_a_directory() {
    let host = Host::made_up(&["/t/run/", "/t/tmp/", "/d/", "/x/t/", "/data/"]);
    let first = |line: &str| planned_on(&host, line).unwrap().outside.first().map(|step| step.op.to_string());
    for (line, start, outside) in [
        ("--root /t --ephemeral true", "start from /t, changes in memory", None),
        ("--root /t --ephemeral=1m true", "start from /t, changes in memory (at most 1048576 bytes)", None),
        ("--root /t --overlay /d true", "start from /t, changes in /d", Some("changes in /d, for this run alone")),
        (
            "--root /t --overlay new true",
            "start from /t, changes in /home/u/proj/new",
            Some("changes in /home/u/proj/new, for this run alone"),
        ),
    ] {
        let plan = planned_on(&host, line).unwrap();
        assert_eq!(first(line).as_deref(), outside, "{line}");
        assert_eq!(at(&plan, start) + 1, at(&plan, "memory of its own /run (mode 755)"), "{line}");
        // The same as with --writable.
        let rules =
            |line: &str| planned_on(&host, line).unwrap().inside.into_iter().find(|step| matches!(step.op, Op::Ruleset { .. }));
        assert_eq!(rules(line), rules("--root /t --writable true"), "{line}");
    }
    for (line, problem) in [
        ("--root / --ephemeral true", "belongs to uid 0"),
        ("--root /t --overlay /t true", "it is the tree itself"),
        ("--root /x/t --overlay /x true", "the tree lies in it"),
        ("--root /t --overlay /t/new true", "it lies in the tree"),
        ("--root /t --overlay /nope/new true", "create the directory above it first"),
        ("--root /t --overlay /etc/passwd true", "not a directory"),
        (
            "--root /t --ephemeral --rw-bind /t /tmp/t true",
            "--rw-bind /t /tmp/t: show /t, writable: /t of --ephemeral could be changed",
        ),
        ("--root /t --overlay /d/k --rw-bind /d /tmp true", "/d/k of --overlay /d/k could be changed"),
    ] {
        let refused = planned_on(&host, line).unwrap_err().to_string();
        assert!(refused.contains(problem), "{line}: {refused}");
    }
    planned_on(&host, "--root /t --overlay /d/k --ro-bind /d /tmp true").unwrap();
    planned_on(&host, "--root /t --overlay /d --rw-bind /data /tmp true").unwrap();
}

#[test]
fn duplicate_destinations_name_both_flags() {
    let refused = refused_on(&["/a/", "/b/"], "--ro-bind /a /x --rw-bind /b /x true");
    assert!(
        refused.contains("--ro-bind /a /x") && refused.contains("--rw-bind /b /x") && refused.contains("is taken by"),
        "{refused}"
    );
    for line in [
        "--tmpfs /a --dir /a true",
        "--dir /a --tmpfs /a true",
        "--symlink /x /a --symlink /y /a true",
        "--dir /a --dir /a/. true",
    ] {
        assert!(refused_on(&[], line).contains("is taken by"), "{line}");
    }
    assert!(refused_on(&[], "--tmp private --tmpfs /tmp true").contains("is taken by"));
    assert!(has(&planned("--tmpfs /tmp,size=1m true"), "memory of its own /tmp (mode 755, at most 1048576 bytes)"));
}

#[test]
fn sources_that_are_missing_or_of_another_kind_are_refused() {
    assert!(refused_on(&[], "--rw /nope true").contains("--rw /nope: find the source /nope: No such file"));
    assert!(refused_on(&[], "--rw /nope true").contains("-try"));
    assert!(lines(&planned("--rw-try /nope true")).iter().all(|l| !l.contains("nope")));
    assert!(refused_on(&[], "--device /etc/passwd true").contains("not a device node"));
    assert!(refused_on(&["/f"], "--ro-bind /f /usr/lib true").contains("a file is put there, and it is a directory"));
    assert!(refused_on(&[], "--root /etc/passwd true").contains("not a directory"));
    assert!(refused_on(&[], "--file 9 /x true").contains("--file 9 /x: read descriptor 9: it is not open"));
    assert!(refused_on(&[], "--fd 9 true").contains("it is not open"));
    assert!(refused_on(&[], "--ro-bind /etc / true").contains("the root is not a destination"));
}

#[test]
fn bans_apply_to_what_is_visible() {
    let host = Host::made_up(&["/home/u/proj/secret/", "/home/u/proj/f"]);
    let plan = planned_on(&host, "--rw . --hide secret --hide f --noexec . true").unwrap();
    for line in ["hide /home/u/proj/secret", "hide /home/u/proj/f", "no execution below /home/u/proj"] {
        assert!(at(&plan, line) > at(&plan, "writable /home/u/proj"), "{line}");
    }
    assert!(refused_on(&[], "--hide /home/u/proj true").contains("nothing is visible at"));
    assert!(refused_on(&[], "--hide / true").contains("root of the jail"));
    assert!(refused_on(&[], "--rw . --hide . true").contains("it would hide what --rw . shows"));
    assert!(refused_on(&[], "--hide /etc --hide /etc true").contains("names it already"));
    assert!(lines(&planned("--hide-try /nope true")).iter().all(|l| !l.contains("nope")));
}

#[test]
fn ids_and_capabilities_are_those_asked_for() {
    assert!(has(&planned("true"), "uid 1000 and gid 1000 inside are 1000 and 1000 outside"));
    assert!(has(&planned("--uid 5 true"), "uid 5 and gid 1000 inside are 1000 and 1000 outside"));
    assert!(has(&planned("--as-root true"), "uid 0 and gid 0 inside are 1000 and 1000 outside"));
    assert!(has(&planned("true"), "capabilities: none"));
    assert!(has(&planned("--cap net_raw true"), "capabilities that can ever be had: net_raw"));
    let plan = planned("--cap sys_admin true");
    assert_eq!(namespaces::namespaces(plan.namespaces), "user mount pid");
    assert!(
        at(&plan, "make it / and let go of the host's")
            < at(&plan, "lock the mounts; new namespaces: user mount net ipc uts cgroup")
    );
}

#[test]
fn hosts_anchors_are_not_made_anew() {
    assert_eq!(namespaces::namespaces(planned("--net host --ipc host --cgroup host true").namespaces), "user mount pid uts");
    assert!(!has(&planned("--net host true"), "own loopback, up"));
    let plan = planned("--pid host true");
    assert!(!plan.own_pids && has(&plan, "read-only /proc") && !has(&plan, "own process table /proc"));
}

#[test]
fn the_environment_is_what_was_named() {
    let names = |line| planned(line).command.env.into_iter().map(|(n, _)| n.into_string().unwrap()).collect::<Vec<_>>();
    assert_eq!(names("true"), ["HOME", "LANG", "LC_ALL", "PATH"]);
    assert_eq!(names("--env CI_* --env X=1 true"), ["CI_A", "HOME", "LANG", "LC_ALL", "PATH", "X"]);
    let env = planned("--env HOME=/h true").command.env;
    assert_eq!(env.iter().filter(|(n, _)| n == "HOME").map(|(_, v)| v.to_str()).collect::<Vec<_>>(), [Some("/h")]);
    assert!(refused_on(&[], "--env NOPE true").contains("--env NOPE: the variable is not set"));
}

#[test]
fn the_directory_to_start_in() {
    assert!(refused_on(&[], "--chdir /home/u/proj true").contains("it is not visible inside"));
    assert!(refused_on(&[], "--chdir /etc/passwd true").contains("not a directory"));
    assert!(has(&planned("--chdir /usr/lib true"), "start in /usr/lib"));
    // A tree that happens to have a directory of that name is not the caller's.
    assert!(has(&planned_on(&Host::made_up(&["/t/home/u/proj/"]), "--root /t true").unwrap(), "start in /"));
}

#[test]
fn an_odd_home_hides_nothing() {
    for home in ["/", "/usr/lib", "/etc", "/tmp", "/proc/x", "relative", "/home/../etc"] {
        let mut host = Host::made_up(&[]);
        host.env = vec![("HOME".into(), home.into())];
        let plan = planned_on(&host, "true").unwrap();
        assert!(!lines(&plan).iter().any(|l| l.ends_with("(mode 700)")), "{home}");
        assert!(planned_on(&host, "--home private true").is_err(), "{home}");
    }
}

#[test]
fn root_as_the_caller_finds_less_in_proc() {
    let mut host = Host::made_up(&[]);
    host.uid = 0;
    host.can_drop_groups = true;
    let plan = planned_on(&host, "true").unwrap();
    for line in ["hide /proc/kcore", "hide /proc/sysrq-trigger", "read-only no execution below /proc/sys"] {
        assert!(has(&plan, line), "{line}");
    }
    // Also what no list names: all but processes. Root may give each file another mode.
    let mut host = Host::made_up(&["/proc/dynamic_debug/control", "/proc/odd/", "/proc/knob", "/proc/cpuinfo", "/proc/77/"]);
    (host.uid, host.can_drop_groups) = (0, true);
    let plan = planned_on(&host, "true").unwrap();
    for name in ["dynamic_debug", "odd", "knob", "cpuinfo", "sys"] {
        assert!(has(&plan, &format!("read-only no execution below /proc/{name}")), "{name}: {:#?}", lines(&plan));
    }
    assert!(!lines(&plan).iter().any(|line| line.ends_with("/proc/77")));
    assert!(plan.outside.iter().any(|step| step.op == Op::DropGroups));
}

#[test]
fn the_hosts_proc_is_masked_wherever_it_is_shown() {
    for uid in [1000, 0] {
        let mut host = Host::made_up(&["/t/p/", "/t/proc->p"]);
        host.uid = uid;
        for (line, at) in
            [("--root /t true", "/p"), ("--ro-bind /proc /hp true", "/hp"), ("--rw-bind / /host true", "/host/proc")]
        {
            let plan = planned_on(&host, line).unwrap();
            assert!(has(&plan, &format!("hide {at}/keys")), "{line}: {:#?}", lines(&plan));
            assert_eq!(has(&plan, &format!("read-only no execution below {at}/sys")), uid == 0, "{line}");
        }
    }
}

#[test]
fn no_user_namespace_can_be_made_unless_nested() {
    let line = "no user namespace may be made";
    let plan = planned("true");
    assert!(has(&plan, line) && at(&plan, line) < at(&plan, "make it / and let go of the host's"));
    assert!(!has(&planned("--nested true"), line));
    let plan = planned("--cap sys_admin true");
    let lock = lines(&plan).iter().position(|l| l.starts_with("lock the mounts")).unwrap();
    assert!(lock < at(&plan, line), "of the namespace that the command runs in");
}

#[test]
fn what_a_flag_shows_at_home_is_not_covered_by_a_default() {
    for line in ["--rw /home true", "--rw .. true", "--rw /home/u true"] {
        let plan = planned(line);
        assert!(!lines(&plan).iter().any(|l| l.contains("(mode 700)")), "{line}: {:#?}", lines(&plan));
    }
    assert!(has(&planned("--rw . true"), "memory /home/u (mode 700)"));
    assert!(has(&planned("--rw /home --home private true"), "memory of its own /home/u (mode 700)"));
}

#[test]
fn a_dotdot_of_the_same_place_is_the_hosts() {
    let host = Host::made_up(&["/home/u/other/f", "/home/u/proj/l->/usr/lib"]);
    assert!(has(&planned_on(&host, "--ro ../other true").unwrap(), "read-only /home/u/other"));
    assert!(has(&planned_on(&host, "--ro . --rw ../other true").unwrap(), "writable /home/u/other"));
    assert!(has(&planned_on(&host, "--ro l/../bin true").unwrap(), "read-only /usr/bin"));
}

#[test]
fn what_lies_in_a_hidden_directory_is_refused_by_name() {
    let host = Host::made_up(&["/home/u/proj/a/b"]);
    for line in ["--rw . --hide a --hide a/b true", "--rw . --hide a/b --hide a true"] {
        let refused = planned_on(&host, line).unwrap_err().to_string();
        assert!(refused.contains("--hide a/b") && refused.contains("--hide a hides it"), "{refused}");
    }
    assert!(planned_on(&host, "--rw . --hide a --noexec a/b true").unwrap_err().to_string().contains("--hide a hides it"));
    assert!(planned_on(&host, "--rw . --noexec a --noexec a/b true").unwrap_err().to_string().contains("--noexec a covers it"));
    assert!(refused_on(&["/proc/1234/"], "--hide /proc/1234 true").contains("names a process"));
    let plan = planned_on(&host, "--rw /home/u --hide /home/u/proj true").unwrap();
    assert!(has(&plan, "start in /"), "the caller's directory is hidden");
    assert!(refused_on(&[], "--rw . --hide . --chdir . true").contains("it would hide"));
    assert!(refused_on(&[], "--rw .. --hide . --chdir . true").contains("--hide . hides it"));
}

#[test]
fn what_cannot_be_looked_at_is_not_left_out() {
    let mut host = Host::made_up(&["/t/run/"]);
    host.deny("/opt");
    assert!(planned_on(&host, "true").unwrap_err().to_string().contains("look at /opt"));
    host.deny("/t/run");
    assert!(planned_on(&host, "--root /t true").unwrap_err().to_string().contains("look at /run inside"));
    let mut host = Host::made_up(&[]);
    host.cwd = Err(Errno::PERM);
    assert!(planned_on(&host, "true").unwrap_err().to_string().contains("--chdir"));
    host.cwd = Err(Errno::NOENT);
    assert!(has(&planned_on(&host, "true").unwrap(), "start in /"));
}

#[test]
fn limits_of_the_whole_jail_need_a_cgroup_that_is_the_callers() {
    let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    let dir = |path: &str, writable, controllers, enabled| CgroupDir {
        path: path.into(),
        writable,
        controllers: words(controllers),
        enabled: words(enabled),
        ..CgroupDir::default()
    };
    let made = |cgroups: &[CgroupDir], line: &str| {
        let mut host = Host::made_up(&[]);
        host.in_cgroups(cgroups);
        let plan = planned_on(&host, line).map_err(|error| error.to_string())?;
        let made = plan.outside.iter().find_map(|step| {
            let Op::MakeCgroup { parent, move_callers, limits } = &step.op else { return None };
            Some((parent.to_str().unwrap().to_owned(), *move_callers, limits.tasks))
        });
        assert_eq!(plan.namespaces & libc::CLONE_NEWCGROUP == 0, made.is_some(), "its root is seen once it is entered");
        Ok::<_, String>(made)
    };
    let ours = |path: &str, move_callers| Ok(Some((path.to_owned(), move_callers, Some(6))));
    let line = "--tasks 5 --memory 1g true";
    let (own, above) = (dir("/c/s/own", true, "memory pids", ""), dir("/c/s", false, "memory pids", "memory pids"));
    assert_eq!(made(&[own.clone(), above.clone()], line), ours("/c/s/own", true));
    assert_eq!(made(&[own.clone(), above.clone()], "true"), Ok(None));
    let root = CgroupDir { is_root: true, ..dir("/c", true, "memory pids", "") };
    assert_eq!(made(&[root], line), ours("/c", false));
    // Other jails of the same caller's are there.
    let callers = dir("/c/s/own/jail.callers", true, "memory pids", "");
    assert_eq!(made(&[callers, own.clone()], line), ours("/c/s/own", true));
    // A shell's own group, beside which others may be made; but not to leave limits.
    let (shut, open) = (dir("/c/s/shell", false, "memory pids", ""), dir("/c/s", true, "memory pids", "memory pids"));
    assert_eq!(made(&[shut.clone(), open.clone()], line), ours("/c/s", false));
    let limited = CgroupDir { limited: true, ..shut.clone() };
    for (cgroups, problem) in [
        (vec![limited, open], "is not delegated"),
        (vec![shut, above.clone()], "/c/s/shell is not delegated"),
        (vec![dir("/c/s/own", true, "memory", "")], "/c/s/own has no controller pids"),
        (vec![], "no cgroup2 file system is mounted"),
    ] {
        let refused = made(&cgroups, line).unwrap_err();
        assert!(refused.contains(problem) && refused.contains("--memory 1g"), "{refused}");
        assert!(refused.contains("systemd-run --user --scope -p Delegate=yes"), "{refused}");
    }
}

#[test]
fn explanations_hold_every_step_and_no_secret() {
    let plan = planned("--env TOKEN=hunter2 true");
    let (text, json) = (explain::text(&plan), explain::to_json(&plan));
    for line in lines(&plan) {
        assert!(text.contains(&line), "{line}");
        assert!(json.contains(&crate::util::json::json(&line)), "{line}");
    }
    assert!(!text.contains("hunter2") && !json.contains("hunter2"));
    assert!(text.contains("TOKEN"));
}

#[test]
fn commands_are_sought_along_the_path_inside() {
    let paths = |line| planned(line).command.candidates.iter().map(|c| c.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(paths("true"), ["/usr/bin/true", "/bin/true"]);
    assert_eq!(paths("./x"), ["./x"]);
    assert_eq!(paths("--env PATH=/a::/b true"), ["/a/true", "./true", "/b/true"]);
}

#[test]
fn the_system_call_policy_is_put_on_last() {
    let filter = |line: &str| match planned(line).last.pop().unwrap() {
        Step { op: Op::FilterCalls { filter }, asked } => (filter, asked.map(|asked| asked.text())),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(filter("true"), (crate::seccomp::overrides::default().into(), None));
    // What lets them make set-user-ID files, and nothing else.
    for flag in ["--as-root", "--subids"] {
        let (changed, asked) = filter(&format!("{flag} true"));
        assert!(changed.set_id.contains(&"fchmodat") && changed.allowed == ["openat2"], "{changed:?}");
        assert!(changed.refused.is_empty() && changed.answered.is_empty(), "{changed:?}");
        assert_eq!(asked, Some(flag));
    }
    let (changed, asked) = filter("--rlimit core=0 true");
    assert_eq!((changed.allowed, asked), (vec!["prlimit64", "setrlimit"], Some("--rlimit core=0")));
    let (changed, asked) = filter("--deny-syscall ptrace --allow-syscall @keyring true");
    assert_eq!((changed.allowed.len(), changed.refused.len()), (3, 1));
    assert_eq!(asked, Some("--allow-syscall @keyring"));
    assert_eq!(filter("--allow-syscall @keyring --deny-syscall ptrace true").0, changed, "the order means nothing");
    assert!(filter("--nested true").0.allowed.contains(&"pivot_root"));
    assert_eq!(filter("--cap net_raw --cap kill true").1, Some("--cap net_raw"));
    let without = planned("--seccomp none true");
    assert!(without.last.iter().all(|step| !matches!(step.op, Op::FilterCalls { .. })));
}

#[test]
fn the_core_limit_is_one_byte_unless_a_flag_sets_it() {
    let core = |line: &str| {
        let limits = planned(line).last.into_iter().filter_map(|step| {
            let Op::Rlimit { limit } = step.op else { return None };
            (limit.name() == "core").then(|| (limit.soft, limit.hard, step.asked.map(|asked| asked.text())))
        });
        limits.collect::<Vec<_>>()
    };
    assert_eq!(core("true"), [(Some(1), Some(1), None)]);
    assert_eq!(core("--as-root --nested --seccomp none --rlimit nofile=9 true"), [(Some(1), Some(1), None)]);
    assert_eq!(core("--rlimit core=0:unlimited true"), [(Some(0), None, Some("--rlimit core=0:unlimited"))]);
}

#[test]
fn subordinate_ids_stand_behind_the_callers() {
    let plan = planned("--subids true");
    let line = "uids inside and outside: 0 is 1000, 1-65536 are 100000-165535; \
         gids: 0 is 1000, 1-1000 are 200000-200999, 1001-66536 are 300000-365535; by /usr/bin/newuidmap and /usr/bin/newgidmap";
    assert!(at(&plan, line) < at(&plan, "drop supplementary groups"));
    assert!(plan.waits() && !planned("true").waits());
    assert!(!lines(&plan).iter().any(|line| line.starts_with("uid 0 ")));
    assert_eq!(planned("--as-root true").last, {
        let mut last = plan.last.clone();
        last.iter_mut().for_each(|step| step.asked = step.asked.take().map(|_| Asked::new("as-root", &[])));
        last
    });
    // The second user namespace has them all, too.
    let locked = planned("--subids --cap sys_admin true");
    let same = |inside, count| Range { inside, outside: inside, count };
    let kept = Mapped::All { uids: vec![same(0, 1), same(1, 65_536)], gids: vec![same(0, 1), same(1, 1000), same(1001, 65_536)] };
    assert!(locked.inside.iter().any(|step| matches!(&step.op, Op::LockMounts { ids, .. } if **ids == kept)));
}

#[test]
fn subordinate_ids_that_are_not_there_are_refused() {
    let with = |change: fn(&mut Subordinate)| {
        let mut host = Host::made_up(&[]);
        change(&mut host.subordinate);
        planned_on(&host, "--subids true").map_or_else(|error| error.to_string(), |_| "taken".into())
    };
    type Change = fn(&mut Subordinate);
    let cases: [(Change, &str); 11] = [
        (|s| s.mappers[1] = Mapper::Missing, "newgidmap is not installed in a system directory such as /usr/bin"),
        (
            |s| {
                let (program, at) = ("/usr/local/bin/newuidmap".into(), "/usr/local".into());
                s.mappers[0] = Mapper::Refused(Refused { program, at, why: Why::Group(50) });
            },
            "does not run /usr/local/bin/newuidmap: its directory /usr/local is writable by group 50\njail: refused by the file system; as root: chmod g-w /usr/local; or say --fakeroot",
        ),
        (|s| s.mappers[0] = Mapper::Powerless(c"/x/newuidmap".into()), "/x/newuidmap is not set-user-ID root"),
        (|s| s.no_new_privileges = true, "refused by the kernel; start it where they may"),
        (|s| s.ranges[0].clear(), "usermod --add-subuids 165536-231071 u"),
        (|s| (s.name, s.ranges[0]) = (None, vec![]), "as root: echo 1000:165536:65536 >>/etc/subuid"),
        (|s| s.ranges[1] = vec![(200_000, 65_533)], "65533 ids, and a system has 65535"),
        (|s| s.ranges[1] = vec![(200_000, 65_534)], "taken"),
        (|s| s.ranges[0].push((165_535, 1)), "165535:1, and 100000:65536 is its, too"),
        (|s| s.ranges[0].insert(0, (900, 101)), "900:101, and 1000:1 is its, too"),
        (|s| s.ranges[0] = vec![(100_000, u32::MAX - 100_000), (5, 900)], "taken"),
    ];
    for (change, expected) in cases {
        assert!(with(change).contains(expected), "{expected}: {}", with(change));
    }
    // Who does not ask is not asked for anything.
    let mut host = Host::made_up(&[]);
    host.subordinate.mappers[0] = Mapper::Missing;
    assert!(planned_on(&host, "--fakeroot true").is_ok());
}

#[test]
fn a_root_that_a_missing_layer_makes_is_refused_without_it() {
    for (layer, line, expected) in [
        (Degradable::Seccomp, "--fakeroot --degrade seccomp true", "--fakeroot: go without seccomp: the filter is what would"),
        (Degradable::Namespaces, "--fakeroot --degrade namespaces true", "--fakeroot: go without namespaces: it needs"),
        (Degradable::Namespaces, "--subids --degrade namespaces true", "--subids: go without namespaces: it needs"),
    ] {
        let mut host = Host::made_up(&[]);
        assert!(planned_on(&host, line).is_ok(), "{line}: where it lacks nothing");
        host.lacks = vec![(layer, Layer::Container)];
        let said = planned_on(&host, line).expect_err(line).to_string();
        assert!(said.contains(expected), "{line}: {said}");
    }
}

#[test]
fn an_old_landlock_stands_in_for_no_namespaces() {
    let mut host = Host::made_up(&[]);
    host.lacks = vec![(Degradable::Namespaces, Layer::Container)];
    // The first that sees truncating; before signals are kept in, pid must be named.
    for (abi, flags, refused) in [
        (1, "namespaces,pid", Some("nothing keeps the command from the host's files")),
        (2, "namespaces,pid", Some("the command can truncate the host's files")),
        (2, "namespaces,pid,root", None),
        (3, "namespaces,pid", None),
        (5, "namespaces", Some("the command can signal")),
        (6, "namespaces", None),
    ] {
        host.landlock_abi = abi;
        match (planned_on(&host, &format!("--degrade {flags} true")), refused) {
            (Ok(plan), None) => assert_eq!(plan.namespaces, 0),
            (Err(error), Some(problem)) => assert!(error.to_string().contains(problem), "ABI {abi}: {error}"),
            (planned, _) => panic!("ABI {abi}, {flags}: {planned:?}"),
        }
    }
}

#[test]
fn a_landlock_that_sees_paths_of_sockets_has_rules_for_them() {
    let mut host = Host::made_up(&["/srv/s/sock", "/t/run/", "/t/tmp/"]);
    let steps = |host: &Host, line: &str| -> (Vec<String>, String) {
        let inside = planned_on(host, line).unwrap().inside;
        let found = inside.iter().find_map(|step| if let Op::Ruleset { ruleset, .. } = &step.op { Some(ruleset) } else { None });
        let rules = found.unwrap().below.iter().map(|(path, rights)| format!("{path:?} {rights:x}")).collect();
        (rules, found.unwrap().shown())
    };
    for (line, reached) in [
        ("true", "no Unix socket outside"),
        ("--ro /srv/s true", "no Unix socket outside"),
        ("--rw /srv/s true", "Unix sockets outside only below /srv/s"),
        ("--rw-bind /srv/s /mnt/s true", "Unix sockets outside only below /mnt/s"),
        ("--run host --tmp host --dev host true", "Unix sockets outside only below /dev /run /tmp"),
        ("--reach unix:/run/r=unix:/srv/s/sock true", "Unix sockets outside only below /run/r"),
        ("--root /t true", "no Unix socket outside"),
        ("--root /t --writable true", "Unix sockets outside only below /"),
        ("--root /t --ephemeral true", "no Unix socket outside"),
    ] {
        host.landlock_abi = 8;
        let (before, said) = steps(&host, line);
        assert!(!said.contains("Unix socket"), "{line}: {said}");
        // A rule without a right is one that the kernel refuses.
        assert!(before.iter().all(|rule| !rule.ends_with(" 0")), "{line}: {before:?}");
        for abi in [9, 12] {
            host.landlock_abi = abi;
            let said = steps(&host, line).1;
            assert!(said.split("; ").any(|part| part == reached), "ABI {abi}, {line}: {said}");
        }
    }
    // Who may mount has no rules for files, of sockets neither.
    assert!(!steps(&host, "--nested true").1.contains("Unix socket"));
}

#[test]
fn surroundings_are_pinned_where_a_flag_says_so() {
    let plain = planned("true");
    let pinned = planned("--umask 22 --processors 2 --uptime 1.5 true");
    let new = ["monotonic and boot clocks that show 1.5 s now", "file mode mask 022", "run on processors: 0 2"];
    for line in new {
        assert!(!has(&plain, line) && has(&pinned, line), "{line}");
    }
    assert_eq!(lines(&pinned).len(), lines(&plain).len() + new.len());
    // In the user namespace of the jail, and before what the mounts are locked to.
    let locked = planned("--cap sys_admin --uptime 0 true");
    let clocks = at(&locked, "monotonic and boot clocks that show 0 s now");
    assert!(at(&locked, "uid 1000 and gid 1000 inside are 1000 and 1000 outside") < clocks);
    assert!(clocks < lines(&locked).iter().position(|l| l.starts_with("lock the mounts")).unwrap());
    // What the launch itself makes is not masked: the command's process alone has it.
    assert!(pinned.last.iter().any(|step| matches!(step.op, Op::Umask { mask: 0o22 })));
    assert!(refused_on(&[], "--processors 4 true").contains("--processors 4: choose processors: the caller may run on 3"));
}

#[test]
fn what_is_reached_has_an_address_of_its_own_and_what_is_near_must_be_named() {
    let on = |line: &str| planned_on(&Host::made_up(&["/etc/hosts", "/srv/s"]), line);
    let plan = on("--reach example.org:443 --reach a.test:1=127.64.0.1:9 --reach 127.64.0.1:9 --reach unix:/srv/s true").unwrap();
    let all: Vec<String> = plan.outside.iter().map(|step| step.op.to_string()).chain(lines(&plan)).collect();
    for line in [
        "reach: example.org:443 inside is 192.0.2.1:443 or [2001:db8::1]:443 outside",
        "reach: a.test:1 inside is 127.64.0.1:9 outside",
        "reach: unix:/srv/s inside is unix:/srv/s outside",
        // 127.64.0.1 is taken by who is called so.
        "own loopback is 127.64.0.2, too",
        "own loopback is fd6a:6169:6c00::2, too",
        "own loopback is 127.64.0.3, too",
        "listen at 127.64.0.1:9 for what is reached",
        "listen at 127.64.0.2:1 for what is reached",
        "listen at [fd6a:6169:6c00::3]:443 for what is reached",
        "hosts /etc/hosts with the names that can be reached",
        "socket /srv/s for what is reached",
    ] {
        assert!(all.iter().any(|l| l == line), "{line} is not in {all:#?}");
    }
    let names = plan.inside.iter().find_map(|step| if let Op::Hosts { text, .. } = &step.op { Some(text) } else { None });
    let v4: Vec<&str> = names.unwrap().lines().filter(|line| line.starts_with("127")).collect();
    assert_eq!(v4, ["127.0.0.1 localhost jail", "127.64.0.2 a.test", "127.64.0.3 example.org"]);
    let network = at(&plan, "own loopback, up");
    assert!(network < at(&plan, "own loopback is 127.64.0.2, too"));
    assert!(network > at(&plan, "make it / and let go of the host's"), "it was made meanwhile");

    let refused = |line: &str| on(line).unwrap_err().to_string();
    assert!(refused("--reach near.example:80 true").contains("the name leads to 169.254.169.254"));
    assert!(refused("--reach near.example:80 true").contains("near.example:80=169.254.169.254:80"));
    assert!(refused("--reach unknown.example:80 true").contains("the name is not known"));
    assert!(refused("--reach localhost:80 --reach 127.0.0.1:80 true").contains("inside is given twice"));
    assert!(refused_on(&[], "--reach example.org:80 true").contains("place /etc/hosts inside"), "it has none");
}

/// The flag for which the launcher runs from a copy of its own file, if it does.
fn copied_for(host: &Host, line: &str) -> Option<String> {
    let plan = planned_on(host, line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let first = plan.outside.first().filter(|step| matches!(step.op, Op::RunFromCopy { .. }));
    first.map(|step| step.asked.map_or(String::new(), |asked| asked.text().to_owned()))
}

#[test]
fn own_file_of_the_caller_is_copied_where_landlock_has_no_rule() {
    let mut host = Host::made_up(&["/home/u/bin/jail"]);
    host.own("/home/u/bin/jail");
    for (line, flag) in [
        ("x", None),
        ("--ro /home/u x", None),
        ("--rw . x", None),
        ("--as-root x", None),
        ("--nested x", Some("--nested")),
        ("--nested --ro /home/u/bin x", Some("--nested")),
        ("--cap sys_admin x", Some("--cap sys_admin")),
        ("--landlock none x", Some("--landlock none")),
        ("--rw /home/u x", Some("--rw /home/u")),
        ("--rw /home/u --ro /home/u/bin x", Some("--rw /home/u")),
        ("--rw-bind /home /elsewhere x", Some("--rw-bind /home /elsewhere")),
    ] {
        assert_eq!(copied_for(&host, line).as_deref(), flag, "{line}");
    }
    host.landlock_abi = 0;
    host.lacks = vec![(Degradable::Landlock, Layer::Kernel)];
    assert_eq!(copied_for(&host, "--degrade landlock x").as_deref(), Some("--degrade landlock"));
}

#[test]
fn own_file_of_root_is_copied_where_it_is_not_shown() {
    let host = Host::made_up(&["/usr/bin/jail", "/t/usr/bin/"]);
    for line in
        ["x", "--nested x", "--landlock none x", "--cap sys_admin --as-root x", "--nested --ro /usr x", "--nested --rw /home/u x"]
    {
        assert_eq!(copied_for(&host, line), None, "{line}");
    }
    for line in
        ["--nested --hide /usr/bin x", "--nested --noexec /usr x", "--nested --hide /usr/bin/jail x", "--nested --root /t x"]
    {
        assert_eq!(copied_for(&host, line).as_deref(), Some("--nested"), "{line}");
    }
}

#[test]
fn copy_of_own_file_comes_first_and_gets_the_args_files() {
    let mut host = Host::made_up(&[]);
    host.own("/opt/jail");
    let words = "--args f --nested --file 7 /x --pid host x".split(' ').map(OsString::from).collect();
    let typed = parse(words, &mut |_| Ok(b"--net\nhost\n".to_vec())).unwrap();
    let Request::Run(mut policy) = interpret(typed).unwrap() else { panic!("a run") };
    let mut plan = build(&mut policy, &host).unwrap();
    let copy = |only_make| Op::RunFromCopy { args_files: vec![b"--net\nhost\n".to_vec()], only_make };
    assert_eq!(plan.outside[0].op, copy(false));
    plan.stay_in_this_process();
    assert_eq!(plan.outside[0].op, copy(true));
}
