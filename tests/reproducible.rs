//! What of the caller's surroundings and of the machine's state a build sees, and what
//! `--umask`, `--processors` and `--uptime` make of it. A package is built twice in
//! tests/packages.rs.

#[path = "support/filter.rs"]
mod filter;
mod support;
use filter::{CONTAINER, Filter};
use std::path::Path;
use support::*;

/// A shell script outside, in /, as the user and, where we can, as root.
fn everyones(script: &str) -> Vec<Outcome> {
    let mut all = vec![outside_in(Path::new("/"), false, script)];
    if we_are_root() {
        all.push(outside_in(Path::new("/"), true, script));
    } else {
        skip("the half of it that needs root");
    }
    all
}

#[test]
fn the_file_mode_mask_is_the_callers_unless_a_flag_says_which() {
    let look = "-- sh -c 'umask; : > /tmp/f; mkdir /tmp/d; stat -c %a /tmp/f /tmp/d | tr \"\\n\" \" \"'";
    for out in
        everyones(&format!("umask 027; jail {look}; echo; jail --umask 002 {look}; echo; umask 077; jail --umask 2 {look}"))
    {
        assert_eq!(out.good(), "0027\n640 750 \n0002\n664 775 \n0002\n664 775");
    }
    // What jail itself makes inside is not masked by it.
    assert_eq!(sh("--umask 777 --dir /made", "stat -c %a /made /tmp; umask").good(), "755\n1777\n0777");
    for wrong in ["8", "1000", "0o22", "-1", "u=rwx"] {
        run(&["--umask", wrong, "--", "true"]).refused(&[&format!("--umask {wrong}: "), "is not a mask", "in octal"]);
    }
}

#[test]
fn the_first_processors_of_those_that_the_caller_has_are_seen() {
    let all: usize = outside_in(Path::new("/"), false, "nproc").good().parse().unwrap();
    for out in everyones(
        "last=$(taskset -cp $$ | sed 's/.*[-, ]//'); jail -- nproc; jail --processors 1 -- nproc; \
         test $(taskset -c $last jail --processors 1 -- taskset -cp 1 | sed 's/.* //') = $last && echo the last; \
         jail --processors 1 -- sh -c 'taskset -cp 1; nproc' | sed 's/.*: //'",
    ) {
        // Process 1, which is jail's, goes where the caller may go; the command does not.
        let (mine, rest) = out.good().split_once('\n').unwrap();
        let (first, others) = rest.split_once('\n').unwrap();
        assert_eq!((mine, first), (all.to_string().as_str(), "1"), "{out:?}");
        assert!(others.starts_with("the last\n") && others.ends_with("\n1"), "{out:?}");
    }
    let more = (all + 1).to_string();
    run(&["--processors", &more, "--", "true"]).refused(&[&format!("--processors {more}: "), "the caller may run on", "nproc"]);
    assert_eq!(sh(&format!("--processors {all}"), "nproc").good(), all.to_string());
    outside_in(Path::new("/"), false, "taskset -c 0 jail --processors 2 -- true").refused(&["may run on 1 processor"]);
    for wrong in ["0", "1.5", "all"] {
        run(&["--processors", wrong, "--", "true"]).refused(&["not a number of processors", "--cpus"]);
    }
}

/// Prints what the clocks that only time makes go on show, in whole seconds, and when
/// this process began by them.
const CLOCKS: &str = "python3 -c 'import time, os
print(*(int(time.clock_gettime(c)) for c in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)), end=\" \")
print(int(float(open(\"/proc/uptime\").read().split()[0])), end=\" \")
print(int(open(\"/proc/self/stat\").read().split()[21]) // os.sysconf(\"SC_CLK_TCK\"))'";

#[test]
fn the_machine_has_been_up_for_as_long_as_the_flag_says() {
    let s = Scratch::new();
    s.file("clocks", CLOCKS);
    let flags = ["", "--pid host", "--fakeroot", "--cap sys_admin", "--nested", "--net host", "--new-session"];
    for flags in flags {
        let script = format!("jail {flags} --uptime 1000 --ro . -- sh ./clocks");
        let mut all = vec![outside_in(&s.0, false, &script)];
        if we_are_root() {
            all.push(outside_in(&s.0, true, &script));
        }
        for out in all {
            // A busy machine may take its time from the setting to the look.
            let near = |seconds: &str| (1000..1010).contains(&seconds.parse::<u64>().unwrap());
            let words: Vec<&str> = out.good().split(' ').collect();
            assert!(words.len() == 4 && words.iter().all(|word| near(word)), "{flags}: {out:?}");
        }
    }
    // Without it the clocks are the machine's; the wall's clock is, with it too.
    let now = |flags: &str, what: &str| -> i64 {
        let out = if flags == "outside" { outside_in(Path::new("/"), false, what) } else { sh(flags, what) };
        out.good().parse().unwrap()
    };
    let uptime = "cut -d. -f1 /proc/uptime";
    assert!((now("", uptime) - now("outside", uptime)).abs() < 10);
    assert!((now("--uptime 0", "date +%s") - now("outside", "date +%s")).abs() < 10);
    assert!(now("--uptime 0", uptime) < 10);
    assert!((now("--uptime 100m", uptime) - 6000).abs() < 10);
    // jail's own times are counted by its own clock.
    let start = std::time::Instant::now();
    assert_eq!(sh("--uptime 0 --timeout 1s", "sleep 60").status, 124);
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn the_command_can_set_no_clock() {
    let set = "(echo 'monotonic 5 0' > /proc/self/timens_offsets) 2>/dev/null || echo no; unshare -T true 2>/dev/null || echo no";
    assert_eq!(sh("--uptime 0", set).good(), "no\nno");
    assert_eq!(sh("--uptime 0 --as-root", set).good(), "no\nno");
    // The allowed twin: outside, in a user namespace of one's own.
    assert_eq!(outside_in(Path::new("/"), false, "unshare -UrT --monotonic 5 true && echo yes").good(), "yes");
}

#[test]
fn where_there_is_no_time_namespace_it_is_said() {
    let program = jail().to_str().unwrap();
    let script = format!(
        "echo 0 > /proc/sys/user/max_time_namespaces; {program} -- echo plain; {program} --check | grep -A1 time; {program} --uptime 0 -- true"
    );
    let mut outer = command(Path::new("unshare"), Path::new("/"), false);
    outer.args(["-Ur", "sh", "-c", &script]);
    let out = outcome(outer);
    out.refused(&["--uptime 0: monotonic and boot clocks", "a kernel setting", "sysctl -w user.max_time_namespaces=15000"]);
    assert!(out.out.starts_with("plain\ntime namespace             no "), "{out:?}");
    assert!(run(&["--check"]).good().contains("\ntime namespace             yes  --uptime\n"));

    let filter = Filter { namespaces: false, filters: false, absent: &[], refused: &["unshare"] };
    let around = |filter: &Filter, flags: &str, script: &str| {
        let mut command = filter.around(jail(), Path::new("/"));
        command.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
        outcome(command)
    };
    around(&filter, "--uptime 5", "true").refused(&["--uptime 5: ", "Operation not permitted", "the container"]);
    assert_eq!(around(&filter, "", "echo plain").good(), "plain");

    let bare = |flags: &str, script: &str| around(&CONTAINER, &format!("--degrade namespaces {flags}"), script);
    bare("--uptime 5", "true").refused(&["--uptime 5: ", "needs namespaces", "leave it out"]);
    assert_eq!(bare("--umask 31 --processors 1", "umask; nproc").good(), "0031\n1");
    run(&["--uptime", "0", "--init", "none", "--", "true"]).refused(&["--uptime 0: contradicts --init none"]);
    for wrong in ["-1", "x", "876001h", ""] {
        run(&["--uptime", wrong, "--", "true"]).refused(&["is no time to be up", "from 0 to 100 years"]);
    }
}
