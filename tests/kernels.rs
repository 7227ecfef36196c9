//! Other kernels than this machine's: Debian's 6.1, 6.12 and 7.3, each booted in a
//! virtual machine of its own.

mod support;
use std::path::Path;
use support::*;

/// What holds on every kernel, as a transcript.
const HOLDS: &str = r#"
uname -r
as-user jail -- true; echo "true: $?"
as-user jail -- sh -c 'exit 7'; echo "exit 7: $?"
as-user jail -- uname -r
as-user jail -- id -u

mkdir -m 777 /usr/open
as-user touch /usr/open/outside; echo "outside: $?"
as-user jail -- touch /usr/open/inside 2>&1; echo "inside: $?"
ls /usr/open

as-user jail --pid host -- true; echo "--pid host: $?"
as-user jail --trace-denied -- sh -c 'mount -t tmpfs x /tmp; true' 2>&1 | grep ^jail | sed 's/pid [0-9]*/pid PID/;s/ (EPERM).*//'
as-user jail --check | grep -c ' yes'
as-user jail --umask 27 --uptime 7000 -- sh -c 'echo "mask $(umask), up $(cut -c1-2 /proc/uptime)"'

left='tail -f /dev/null & until pidof tail >/dev/null; do :; done; echo "in it: $(pidof tail | wc -w)"'
as-user sh -c "$left"; echo "after a shell: $(pidof tail | wc -w)"
killall -KILL tail; while pidof tail >/dev/null; do :; done
as-user jail -- sh -c "$left"; echo "after a jail: $(pidof tail | wc -w)"
"#;

fn holds(version: &str) {
    let Some(outcome) = vm(version, HOLDS, &[]) else { return };
    let mut lines = outcome.good().lines();
    let release = lines.next().unwrap();
    assert!(release.starts_with(&format!("{version}.")), "{release}");
    let rest: Vec<&str> = lines.collect();
    assert_eq!(
        rest,
        [
            "true: 0",
            "exit 7: 7",
            release,
            "54321",
            "outside: 0",
            "touch: /usr/open/inside: Read-only file system",
            "inside: 1",
            "outside",
            "--pid host: 0",
            "jail: mount (pid PID) was refused mount",
            // Overlays in memory came with Linux 6.6.
            if version == "6.1" { "14" } else { "15" },
            "mask 0027, up 70",
            "in it: 1",
            "after a shell: 1",
            "in it: 1",
            "after a jail: 0",
        ],
        "{outcome:#?}"
    );
    assert_eq!(outcome.err, "");
}

fn a_limit_is_named(version: &str) {
    let script = "echo 0 >/proc/sys/user/max_user_namespaces; exec as-user jail -- true";
    if let Some(outcome) = vm(version, script, &[]) {
        outcome.refused(&[
            "make the namespaces",
            "No space left",
            "a kernel setting",
            "user.max_user_namespaces is 0: sysctl -w",
        ]);
        assert_eq!(outcome.out, "");
    }
}

/// Without namespaces: what older Landlock cannot close must be named.
fn it_goes_without_namespaces(version: &str) {
    let script = r#"
        echo 0 >/proc/sys/user/max_user_namespaces
        mkdir -m 777 /usr/open; sleep 1000 & export OTHER=$!
        as-user jail --degrade namespaces -- true 2>/tmp/err; echo "unnamed: $?"
        grep -o 'namespaces,[a-z]*' /tmp/err | tail -n 1
        as-user jail --degrade namespaces,NAMED -- sh -c 'cat /proc/version >/dev/null && touch /usr/open/f 2>/dev/null || exit 6'; echo "named: $?"
        as-user jail --degrade namespaces,NAMED --rw /usr/open -- sh -c 'touch /usr/open/f && ls /tmp 2>/dev/null || exit 7'; echo "named: $?"
        ls /usr/open
    "#;
    // Landlock there does not see truncating, and keeps no signal in.
    let named = if version == "6.1" { "pid,root" } else { "pid" };
    let script = &script.replace("NAMED", named);
    let Some(outcome) = vm(version, script, &[]) else { return };
    let unnamed = if version == "6.1" { "unnamed: 125\nnamespaces,root\n" } else { "unnamed: 0\n" };
    assert_eq!(outcome.out, format!("{unnamed}named: 6\nnamed: 7\nf\n"), "{outcome:#?}");
    assert_eq!(outcome.err, "");
}

/// Gives the user a group as systemd does, and puts the rest of the script into it
/// as the user.
const DELEGATED: &str = r#"
cd /sys/fs/cgroup
echo '+memory +pids +cpu' >cgroup.subtree_control
mkdir user
chown tester:tester user user/cgroup.procs user/cgroup.threads user/cgroup.subtree_control
echo $$ >user/cgroup.procs
exec as-user sh -euc "$(cat <<'END'
"#;

/// Runs the script as the user, in the delegated group, which is ./user. What the
/// script needs of single quotes and lines is kept; END alone in a line ends it.
fn delegated(version: &str, script: &str, files: &[&Path]) -> Option<Outcome> {
    vm(version, &format!("{DELEGATED}{script}\nEND\n)\""), files)
}

/// What tests of limits stand on: the user may make groups, go into them and limit them.
fn a_delegated_group(version: &str) {
    let script = r#"
        cat user/cgroup.controllers
        cat /proc/self/cgroup
        mkdir user/child
        echo $$ >user/child/cgroup.procs
        cat /proc/self/cgroup
        # Only a group whose processes are all in children may limit them.
        echo '+memory +pids +cpu' >user/cgroup.subtree_control
        echo 8M >user/child/memory.max
        echo '50000 100000' >user/child/cpu.max
        cat user/child/memory.max user/child/cpu.max
        # The shell itself: it can start nothing more.
        echo 1 >user/child/pids.max
        (true) || echo not reached
    "#;
    let Some(outcome) = delegated(version, script, &[]) else { return };
    assert_eq!(outcome.out, "cpu memory pids\n0::/user\n0::/user/child\n8388608\n50000 100000\n", "{outcome:#?}");
    assert!(outcome.status != 0 && outcome.err.contains("can't fork: Resource temporarily unavailable"), "{outcome:#?}");
}

/// The user's shell is in the group itself: it gives way for each run, and is put
/// back. END ends a script of `delegated`; its lines are run one by one.
const LIMITS: &str = r#"
    set +e
    tree() { find user -type d | sort | tr '\n' ' '; cat user/cgroup.subtree_control /proc/self/cgroup; }
    tree
    jail --tasks 5 -- sh -c 'cat /proc/self/cgroup'
    jail --tasks 5 --cgroup host -- sh -c 'sed s/jail-[0-9]*/jail-N/ /proc/self/cgroup'
    jail --tasks 5 -- sh -c 'for i in 1 2 3 4; do sleep 1 & done; echo started' 2>&1 | sed 's/.*: //'
    jail --tasks 5 -- sh -c 'for i in 1 2 3 4 5 6; do sleep 1 & done; echo not reached' 2>&1 | sed 's/.*: //'
    jail --memory 200m -- sh -c 'head -c 20m /dev/zero | tail -c 20m | wc -c'
    jail --memory 16m --status-fd 3 -- sh -c 'exec tail -c 200m /dev/zero' 3>/tmp/record; echo "ended: $?"
    grep -o '"reason":"oom"\|"oom_kills":[1-9]\|"signal":9' /tmp/record
    jail --memory 16m --status-fd 3 -- sh -c 'tail -c 200m /dev/zero; exit 4' 3>/tmp/record; echo "ended: $?"
    grep -o '"reason":"exit"\|"oom_kills":[1-9]' /tmp/record
    jail --cpus 0.25 --timeout 2 --status-fd 3 -- sh -c 'while :; do :; done' 3>/tmp/record; echo "ended: $?"
    grep -o '"user":[0-9.]*\|"system":[0-9.]*' /tmp/record | tail -n 2 | cut -d: -f2 | awk '{ used += $1 } END { print (used > 0.1 && used < 1.0 ? "a quarter" : "not a quarter: " used) }'
    jail --memory 64m --tasks 9 --cpus 1 --explain -- true | grep 'cgroup in'
    tree
    # Two at once, and one started where the first has moved the shell to.
    jail --tasks 9 -- sleep 3 & sleep 1
    jail --memory 64m -- sh -c 'echo beside'
    tree | sed s/jail-[0-9]*/jail-N/
    wait
    tree
    # Many at once, coming and going.
    for i in 1 2 3; do (for n in 1 2 3 4 5 6; do jail --tasks 9 -- true || echo failed; done) & done; wait
    tree
    # The launcher is killed: nothing of it is left.
    jail --tasks 9 -- sleep 1000 & sleep 1
    kill -KILL $!; wait $! || :
    for i in 1 2 3 4 5 6 7 8 9 10; do [ -e user/jail.callers ] || break; sleep 0.3; done
    tree
    jail --pid host --memory 64m -- sh -c 'sleep 1000 & sleep 1001 & exit 6' || echo "ended: $?"
    jail --memory 64m -- no-such-command 2>/dev/null || echo "ended: $?"
    tree
"#;

fn limits_of_the_whole_jail(version: &str) {
    let Some(outcome) = delegated(version, LIMITS, &[]) else { return };
    assert!(outcome.status == 0, "{outcome:#?}");
    let expected = r#"user 0::/user
0::/
0::/user/jail-N
started
Resource temporarily unavailable
20971520
ended: 137
"signal":9
"reason":"oom"
"oom_kills":1
ended: 4
"reason":"exit"
"oom_kills":1
ended: 124
a quarter
  cgroup in /sys/fs/cgroup/user: 67108864 bytes of memory 10 tasks 1.000 processors  [--memory 64m]
user 0::/user
beside
user user/jail-N user/jail.callers memory pids
0::/user/jail.callers
user 0::/user
user 0::/user
user 0::/user
ended: 6
ended: 127
user 0::/user
"#;
    assert_eq!(outcome.out, expected, "{outcome:#?}");
    // Whether the shell is told in time of what it has killed itself, it alone knows.
    assert!(outcome.err.starts_with("Killed\n") && outcome.err.lines().all(|line| line == "Killed"), "{outcome:#?}");
}

/// A disk of the user's, in memory, for what no file system in memory keeps.
const CHANGES: &str = r#"
loop=$(losetup -f)
losetup $loop /disk && mkdir /mnt && mount -t ext4 $loop /mnt
cd /mnt
as-user mkdir -p t/bin t/tmp t/d/e
as-user cp /bin/busybox t/bin/sh
as-user touch t/d/f
as-user cp -a t u
export PATH=$PATH:/bin
change='busybox() { (exec -a busybox /bin/sh "$@"); }; busybox rm -r /d && busybox mkdir /d && busybox touch /d/new /tmp/x && busybox mv /d /m && busybox ls /m'
as-user jail --root t --ephemeral -- /bin/sh -c "$change" 2>&1; echo "in memory: $?"
as-user jail --root t --overlay kept -- /bin/sh -c "$change"; echo "kept: $?"
as-user jail --root t --overlay kept -- /bin/sh -c "cd /m && echo *"; echo "again: $?"
as-user jail --root t --overlay kept -- /bin/sh -c ': >/m/up; while :; do :; done' 2>/dev/null &
until [ -e kept/changes/m/up ]; do sleep 0.1; done
as-user jail --root t --overlay kept -- /bin/sh -c : 2>&1 | head -n 1; killall -KILL jail
until as-user jail --root t --overlay kept -- /bin/sh -c 'cd /m && echo *' 2>/dev/null; do sleep 0.1; done
as-user jail --root t --overlay /tmp/kept -- /bin/sh -c "$change" 2>&1; echo "on tmpfs: $?"
diff -r t u && echo 'the tree is as it was'
find kept | sort | tr '\n' ' '
as-user rm -r kept; echo "removed: $?"
"#;

fn changes_over_a_tree(version: &str) {
    let s = Scratch::new();
    let disk = s.0.join("disk");
    let made = std::process::Command::new("/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-E", "root_owner=54321:54321"])
        .arg(&disk)
        .arg("16M")
        .stdout(std::process::Stdio::null())
        .status()
        .expect("e2fsprogs is installed");
    assert!(made.success());
    let Some(outcome) = vm(version, CHANGES, &[&disk]) else { return };
    let (in_memory, on_tmpfs) = match version {
        // Half of it would be worse: there a directory cannot be removed, nor be made
        // in the place of one that was.
        "6.1" => (
            "jail: --ephemeral: start from /mnt/t, changes in memory: Operation not supported (os error 95)\n\
             jail: refused by the kernel; its memory file system keeps no user attributes, which changes need \
             (Linux 6.6 with CONFIG_TMPFS_XATTR): keep changes on a disk with --overlay DIR, and remove DIR afterwards\n\
             in memory: 125\n",
            "jail: --overlay /tmp/kept: start from /mnt/t, changes in /tmp/kept: Operation not supported (os error 95)\n\
             jail: refused by the file system; the file system of /tmp/kept keeps no user attributes, which changes need: \
             name a directory on one that does, such as ext4, xfs, btrfs\n\
             on tmpfs: 125\n",
        ),
        _ => ("new\nin memory: 0\n", "new\non tmpfs: 0\n"),
    };
    let expected = format!(
        "{in_memory}new\nkept: 0\nnew\nagain: 0\n\
         jail: --overlay kept: changes in /mnt/kept, for this run alone: another run has it, or --diff is at it\n\
         new up\n{on_tmpfs}the tree is as it was\n\
         kept kept/changes kept/changes/d kept/changes/m kept/changes/m/new kept/changes/m/up removed: 0\n"
    );
    // The words for the number are the C library's: musl's are fewer.
    let said = outcome.out.replace(": Not supported (os error 95)", ": Operation not supported (os error 95)");
    assert_eq!(said, expected, "{outcome:#?}");
}

/// Makes what `REACHED` tries: sockets that programs outside answer at, and FIFOs with a
/// reader outside. `t FLAGS` then tries in a jail, `f FLAGS -- PATH` writes to a FIFO.
const PLACES: &str = r#"
cp /unix /usr/bin/unix
mkdir -p /usr/lib/svc /opt/svc /etc/svc /srv/ro /srv/rw/sub /srv/tree/bin /srv/tree/tmp /home/tester/p /run/svc /tmp/svc /dev/svc
cp /unix /srv/tree/bin/unix
for place in /usr/lib/svc /opt/svc /etc/svc /srv/ro /srv/rw /srv/rw/sub /srv/tree /home/tester/p /run/svc /tmp/svc /dev/svc; do
    set -- "$@" $place/s
done
unix serve "$@"
ln -s /usr/lib/svc/s /srv/rw/link
for fifo in /usr/lib/svc/p /srv/ro/p /srv/rw/sub/p /home/tester/p/p; do mkfifo $fifo && chmod 666 $fifo; done
chown -R tester:tester /srv /home/tester
cd /home/tester
t() { kind=$1 path=$2; shift 2; as-user jail "$@" -- /bin/unix $kind $path 2>&1 | tr '\n' ' '; echo; }
f() {
    path=$1 inside=$2; shift 2
    timeout 2 cat $path >/tmp/got & as-user jail --timeout 1 "$@" -- sh -c "echo through >$inside" 2>/dev/null; wait
    [ -s /tmp/got ] && echo reached || echo 'Permission denied'
}
"#;

/// What is tried, and whether it is reached: always (a), never (n), or only where the
/// kernel is not asked about paths of sockets, before Linux 7.1 (b).
const REACHED: [(&str, char); 46] = [
    ("t connect /usr/lib/svc/s", 'b'),
    ("t send /usr/lib/svc/s.d", 'b'),
    ("t connect /opt/svc/s", 'b'),
    ("t connect /etc/svc/s", 'b'),
    ("t connect /proc/self/root/etc/svc/s", 'b'),
    ("t connect /srv/ro/s --ro /srv/ro", 'b'),
    ("t send /srv/ro/s.d --ro /srv/ro", 'b'),
    ("t connect /srv/ro/s --ro /srv/ro/s", 'b'),
    ("t connect /mnt/x/s --ro-bind /srv/ro /mnt/x", 'b'),
    // Below what is the jail's own, and writable.
    ("t connect /tmp/x/s --ro-bind /srv/ro /tmp/x", 'b'),
    ("t connect /home/tester/p/s --ro /home/tester/p", 'b'),
    ("t connect /s --root /srv/tree", 'b'),
    ("t connect /proc/self/fd/9/s --fd 9 9</srv/ro", 'b'),
    ("t connect /usr/lib/svc/s --degrade landlock", 'b'),
    ("t connect /usr/lib/svc/s --as-root", 'b'),
    ("t connect /usr/lib/svc/s --net host", 'b'),
    ("t connect /srv/rw/link --rw /srv/rw", 'b'),
    ("t connect /srv/rw/s --rw /srv/rw", 'a'),
    ("t send /srv/rw/s.d --rw /srv/rw", 'a'),
    ("t connect /srv/rw/s --rw /srv/rw/s", 'a'),
    ("t connect /x/s --rw-bind /srv/rw /x", 'a'),
    // A rule cannot take away what one above gives.
    ("t connect /srv/rw/sub/s --rw /srv/rw --ro /srv/rw/sub", 'a'),
    ("t connect /run/svc/s --run host", 'a'),
    ("t connect /tmp/svc/s --tmp host", 'a'),
    ("t connect /dev/svc/s --dev host", 'a'),
    ("t connect /s --root /srv/tree --writable", 'a'),
    ("t send /s.d --root /srv/tree --writable", 'a'),
    ("t connect /run/svc/s --reach unix:/run/svc/s", 'a'),
    ("t connect /tmp/x --reach unix:/tmp/x=unix:/run/svc/s", 'a'),
    ("t connect /mnt/x --reach unix:/mnt/x=unix:/run/svc/s", 'a'),
    // No rules for files.
    ("t connect /usr/lib/svc/s --landlock none", 'a'),
    ("t connect /usr/lib/svc/s --nested", 'a'),
    ("t connect /usr/lib/svc/s --as-root --cap sys_admin", 'a'),
    // What the command makes itself.
    ("t own /tmp/o", 'o'),
    ("t own /run/o", 'o'),
    ("t own /home/tester/o", 'o'),
    ("t own /dev/shm/o", 'o'),
    ("t own /srv/rw/o --rw /srv/rw", 'o'),
    ("t own /o --root /srv/tree --ephemeral", 'o'),
    // Seen through an overlay, a socket has another inode than the one that is listened at.
    ("t connect /s --root /srv/tree --ephemeral", 'n'),
    // FIFOs: held where nothing above may be written to.
    ("f /usr/lib/svc/p /usr/lib/svc/p", 'n'),
    ("f /srv/ro/p /mnt/x/p --ro-bind /srv/ro /mnt/x", 'n'),
    ("f /srv/ro/p /mnt/x/p --ro-bind /srv/ro /mnt/x --landlock none", 'a'),
    ("f /srv/ro/p /mnt/x/p --ro-bind /srv/ro /mnt/x --nested", 'a'),
    ("f /srv/rw/sub/p /srv/rw/sub/p --rw /srv/rw --ro /srv/rw/sub", 'a'),
    ("f /home/tester/p/p /home/tester/p/p --ro /home/tester/p", 'a'),
];

fn sockets_and_fifos_of_the_host(version: &str) {
    let s = Scratch::new();
    let program = s.0.join("unix");
    let mut gcc = std::process::Command::new("gcc");
    gcc.args(["-O", "-static", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/unix.c"), "-o"]).arg(&program);
    assert!(gcc.status().unwrap().success());
    // Calls that are newer than the policy: the policy hides them, whatever the kernel has.
    let last = 540;
    let newer = format!("as-user jail -- unix calls 470 {last}");
    let tries: Vec<&str> = REACHED.iter().map(|(words, _)| *words).collect();
    let check = r"as-user jail --check | grep -o 'ABI.*\|Linux 7.1 .*'";
    let script = format!("{PLACES}\n{check}\n{}\n{newer}", tries.join("\n"));
    let Some(outcome) = vm(version, &script, &[&program]) else { return };
    let by_path = version == "7.3";
    let abi = match version {
        "6.1" => "ABI 2: files\n",
        "6.12" => "ABI 6: files, truncating, TCP ports, device ioctls, signals and abstract sockets\n",
        _ => "ABI 11: files, truncating, TCP ports, device ioctls, signals and abstract sockets, Unix sockets by path\n",
    };
    let has = outcome.good().strip_prefix(abi).expect(&outcome.out);
    let hint = "Linux 7.1 adds Unix sockets by path: it refuses connections to those in read-only places\n";
    let given = if by_path { has } else { has.strip_prefix(hint).expect(has) };
    let lines: Vec<&str> = given.lines().map(str::trim).collect();
    assert_eq!(lines.len(), REACHED.len() + 1, "{outcome:#?}");
    let wrong: Vec<_> = REACHED
        .iter()
        .zip(&lines)
        .filter(|((words, reached), given)| match reached {
            // Overlays in memory came with Linux 6.6.
            _ if version == "6.1" && words.ends_with("--ephemeral") => !given.contains("Linux 6.6"),
            'o' => **given != "reached reached",
            'a' => **given != "reached",
            'b' => **given != if by_path { "Permission denied" } else { "reached" },
            _ => !["Permission denied", "Connection refused"].contains(given),
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(lines[REACHED.len()], (last - 469).to_string());
}

/// In a jail of root's nothing of /proc can be opened for writing, but what is a process's.
/// Debian's kernels have more there that root may write than this machine's.
fn roots_jail_writes_processes_files_alone(version: &str) {
    let walk = r#"
        opened() {
            find /proc -path '/proc/[0-9]*' -prune -o -path /proc/self -prune -o -path /proc/thread-self -prune \
                -o -path /proc/net -prune -o ! -type d ! -type l $1 -print 2>/dev/null |
                while IFS= read -r file; do true 2>/dev/null >>"$file" && echo "$2 $file"; done 2>/dev/null
        }
        case $1 in
        outside) opened '' outside | grep -c 'sys/kernel/core_pattern\|dynamic_debug/control' ;;
        --as-root) opened '-perm /222' "$1" ;;
        *) opened '' "$1" ;;
        esac
        true
    "#;
    let script = r#"
        cat >/walk; chmod 755 /walk
        sh /walk outside
        for flags in '' '--as-root'; do
            jail $flags --ro /walk -- sh /walk "${flags:-default}" || echo "failed: $?"
            echo "walked $flags"
        done
        jail -- sh -c 'echo 500 >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj && head -c 5 /proc/version'
        jail --as-root -- sh -c 'for f in /proc/allocinfo /proc/slabinfo /proc/timer_list; do [ ! -e $f ] || head -c 1 $f; done 2>&1 | grep -vc denied'
        true
    "#;
    let script = script.replace("cat >/walk;", &format!("cat >/walk <<'END'\n{walk}\nEND\n"));
    let Some(outcome) = vm(version, &script, &[]) else { return };
    let walked = "walked \nwalked --as-root\n";
    assert_eq!(outcome.out, format!("2\n{walked}500\nLinux0\n"), "{outcome:#?}");
}

/// Crashes, and what the kernel starts for them, which would be root outside the jail.
/// core_pattern is one for the whole machine: this machine's is not touched.
const CRASHES: &str = r#"
printf '#!/bin/sh\necho "started as $(id -u)" >/run/started\n' >/handler
chmod 755 /handler
echo '|/handler' >/proc/sys/kernel/core_pattern
crash='kill -SEGV $$'
started() {
    for i in 1 2 3 4 5; do [ -e /run/started ] || sleep 0.1; done
    cat /run/started 2>/dev/null || echo 'not started'
    rm -f /run/started
}
tries() { echo "$*:"; as-user "$@" >/dev/null 2>&1; echo "$?, $(started)"; }
tries sh -c "$crash"
tries jail -- sh -c "$crash"
tries jail -- sh -c "ulimit -c 0; $crash"
tries jail -- sh -c "ulimit -S -c 0; ulimit -H -c 0; sh -c '$crash'"
tries jail --as-root --nested -- sh -c "ulimit -c 0; $crash"
tries jail --nested -- unshare -U sh -c "ulimit -c 0; $crash"
tries jail --rlimit core=0 -- sh -c "$crash"
tries jail --rlimit core=unlimited -- sh -c "ulimit -c 0; $crash"
tries jail --seccomp none -- sh -c "$crash"
jail -- sh -c "ulimit -c 0; $crash" >/dev/null 2>&1; echo "root: $?, $(started)"
as-user sh -c 'ulimit -c 0; jail -- true; echo $?; jail --rlimit core=0 -- true; echo $?' 2>&1
echo core >/proc/sys/kernel/core_pattern
as-user sh -c 'ulimit -c 0; jail -- true; echo $?'
cd /tmp
as-user sh -c "jail --rw . -- sh -c '$crash'" >/dev/null 2>&1; ls
as-user sh -c "ulimit -c unlimited; jail --rw . --rlimit core=unlimited -- sh -c '$crash'" >/dev/null 2>&1; ls | sed 's/[.].*//'
"#;

fn crashes_start_nothing_outside(version: &str) {
    let Some(outcome) = vm(version, CRASHES, &[]) else { return };
    let crash = "kill -SEGV $$";
    let expected = format!(
        "sh -c {crash}:\n139, started as 0\n\
         jail -- sh -c {crash}:\n139, not started\n\
         jail -- sh -c ulimit -c 0; {crash}:\n139, not started\n\
         jail -- sh -c ulimit -S -c 0; ulimit -H -c 0; sh -c '{crash}':\n139, not started\n\
         jail --as-root --nested -- sh -c ulimit -c 0; {crash}:\n139, not started\n\
         jail --nested -- unshare -U sh -c ulimit -c 0; {crash}:\n139, not started\n\
         jail --rlimit core=0 -- sh -c {crash}:\n139, started as 0\n\
         jail --rlimit core=unlimited -- sh -c ulimit -c 0; {crash}:\n139, started as 0\n\
         jail --seccomp none -- sh -c {crash}:\n139, not started\n\
         root: 139, not started\n\
         jail: keep core dumps inside: the caller's hard core limit is 0, with which the kernel starts the program of \
         kernel.core_pattern outside\n\
         jail: refused by the kernel; raise the hard limit to 1 or more (limits.conf(5), or prlimit --core=1 --pid PID as root, for \
         the shell that starts jail), or let crashes inside start that program with --rlimit core=0\n\
         125\n0\n0\ncore\n"
    );
    assert_eq!(outcome.out, expected, "{outcome:#?}");
}

/// A program of the caller's, which the command would execute and change by /proc/self/exe.
const OWN_FILE: &str = r#"
cd /home/tester
as-user cp /bin/jail jail
as-user mkdir work
cd work
printf '#!/proc/self/exe --version\n' >self
printf '#!/proc/thread-self/exe --version\n' >thread
printf '#!/proc/self/fd/0/bin/busybox touch\n' >stream
printf '#!/bin/sh\necho twin\n' >twin
chmod 755 self thread stream twin
chown tester:tester self thread stream twin
before=$(stat -c '%a %y %z' ../jail; md5sum ../jail)
for flags in '' --nested '--cap sys_admin' '--landlock none --pid host --proc host' '--rw /home/tester'; do
    as-user ../jail $flags --rw . -- ./self >/dev/null 2>&1
    echo "$flags: $? $(as-user ../jail $flags --rw . -- ./twin)"
done
as-user ../jail --nested --init none --rw . -- ./thread >/dev/null 2>&1; echo "thread: $?"
as-user ../jail --landlock none --rw . -- ./stream made <&- >/dev/null 2>&1; echo "stream: $? $(ls made 2>/dev/null)"
[ "$before" = "$(stat -c '%a %y %z' ../jail; md5sum ../jail)" ] && echo 'as it was'
if [ -e /proc/sys/vm/memfd_noexec ]; then
    echo 2 >/proc/sys/vm/memfd_noexec
    as-user ../jail --nested --rw . -- ./twin 2>&1 | grep -o 'vm.memfd_noexec is 2'
    as-user ../jail --rw . -- ./twin
fi
"#;

fn the_launchers_own_file_is_kept_from_the_command(version: &str) {
    let Some(outcome) = vm(version, OWN_FILE, &[]) else { return };
    let flags = ["", "--nested", "--cap sys_admin", "--landlock none --pid host --proc host", "--rw /home/tester"];
    let refused: String = flags.map(|flags| format!("{flags}: 126 twin\n")).concat();
    // vm.memfd_noexec came with Linux 6.3.
    let noexec = if version == "6.1" { "" } else { "vm.memfd_noexec is 2\ntwin\n" };
    assert_eq!(outcome.out, format!("{refused}thread: 126\nstream: 126 \nas it was\n{noexec}"), "{outcome:#?}");
}

macro_rules! on {
    ($name:ident, $version:literal) => {
        mod $name {
            #[test]
            fn holds() {
                super::holds($version);
            }

            #[test]
            fn limits_of_the_whole_jail() {
                super::limits_of_the_whole_jail($version);
            }

            #[test]
            fn a_limit_is_named() {
                super::a_limit_is_named($version);
            }

            #[test]
            fn it_goes_without_namespaces() {
                super::it_goes_without_namespaces($version);
            }

            #[test]
            fn changes_over_a_tree() {
                super::changes_over_a_tree($version);
            }

            #[test]
            fn sockets_and_fifos_of_the_host() {
                super::sockets_and_fifos_of_the_host($version);
            }

            #[test]
            fn roots_jail_writes_processes_files_alone() {
                super::roots_jail_writes_processes_files_alone($version);
            }

            #[test]
            fn crashes_start_nothing_outside() {
                super::crashes_start_nothing_outside($version);
            }

            #[test]
            fn the_launchers_own_file_is_kept_from_the_command() {
                super::the_launchers_own_file_is_kept_from_the_command($version);
            }

            #[test]
            fn a_delegated_group() {
                super::a_delegated_group($version);
            }
        }
    };
}
on!(linux_6_1, "6.1");
on!(linux_6_12, "6.12");
on!(linux_7_3, "7.3");
