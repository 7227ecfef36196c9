//! Ids, capabilities, environment, descriptors: who the command is and what it
//! was handed.

mod support;
use support::*;

const CAPS: &str = "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | tr -d '\\t\\n'";
const NO_CAPS: &str =
    "CapInh:0000000000000000CapPrm:0000000000000000CapEff:0000000000000000CapBnd:0000000000000000CapAmb:0000000000000000";

#[test]
fn ids_are_the_callers_unless_said() {
    let own = if we_are_root() { USER.to_string() } else { sh("", "id -u").good().to_owned() };
    assert_eq!(sh("", "id -u; id -g").good(), format!("{own}\n{own}"));
    assert_eq!(sh("--uid 7 --gid 8", "id -u; id -g").good(), "7\n8");
    assert_eq!(sh("--as-root", "id -u; id -g").good(), "0\n0");
}

#[test]
fn files_written_belong_to_the_caller_outside() {
    use std::os::unix::fs::MetadataExt;
    for flags in ["--rw .", "--rw . --as-root", "--rw . --uid 7 --gid 8"] {
        let scratch = Scratch::new();
        sh_in(&scratch.0, flags, "echo x > f").good();
        let (dir, file) = (std::fs::metadata(&scratch.0).unwrap(), std::fs::metadata(scratch.0.join("f")).unwrap());
        assert_eq!((file.uid(), file.gid()), (dir.uid(), dir.gid()), "{flags}");
    }
}

#[test]
fn no_capability_and_no_new_privileges() {
    assert_eq!(sh("", CAPS).good(), NO_CAPS);
    assert_eq!(sh("--uid 0", CAPS).good(), NO_CAPS);
    assert_eq!(sh("", "grep NoNewPrivs /proc/self/status").good(), "NoNewPrivs:\t1");
    // Process 1 holds none either, once it has started the command.
    assert_eq!(
        sh("--as-root", "sleep 0.2; grep -E 'CapEff|CapPrm' /proc/1/status | tr -d '\\t\\n'").good(),
        "CapPrm:0000000000000000CapEff:0000000000000000"
    );
}

#[test]
fn root_as_the_caller_has_none_either() {
    if let Some(out) = sh_as_root(std::path::Path::new("/"), "", CAPS) {
        assert_eq!(out.good(), NO_CAPS);
    }
}

#[test]
fn a_jailed_root_has_its_powers_and_no_more() {
    assert_eq!(sh("--as-root", "grep CapEff /proc/self/status").good(), "CapEff:\t00000000800405fb");
    assert_eq!(sh("--as-root", "grep CapBnd /proc/self/status").good(), "CapBnd:\t00000000800405fb");
    assert_eq!(sh("--as-root", "chroot / true && touch /tmp/f && chmod 0 /tmp/f && cat /tmp/f && echo root").good(), "root");
    for no in [
        "mount -t tmpfs x /tmp",
        "umount /tmp",
        "mount -o remount,rw /usr",
        "mknod /tmp/n c 1 3",
        "ip link set lo down",
        "hostname x",
    ] {
        assert_ne!(sh("--as-root", no).status, 0, "{no}");
    }
}

#[test]
fn one_capability_is_kept_when_named() {
    assert_eq!(sh("--cap net_bind_service", "grep CapEff /proc/self/status").good(), "CapEff:\t0000000000000400");
    let bind = "python3 -c 'import socket; socket.create_server((\"127.0.0.1\",80)); print(\"bound\")'";
    assert_eq!(sh("--cap CAP_NET_BIND_SERVICE", bind).good(), "bound");
    assert_ne!(sh("", bind).status, 0);
}

#[test]
fn the_power_to_mount_does_not_reach_the_jails_own_mounts() {
    let flags = "--as-root --cap sys_admin --ro-bind /etc /srv/ro --hide /etc/passwd";
    assert_eq!(
        sh(flags, "mkdir /tmp/m && mount -t tmpfs x /tmp/m && touch /tmp/m/f && hostname other && uname -n").good(),
        "other"
    );
    for no in [
        "umount /proc/keys",
        "umount -l /etc/passwd",
        "mount -o remount,bind,rw /srv/ro",
        "mount -o remount,rw /",
        "umount -l /usr",
        "mount -o remount,bind,dev /tmp",
        "mount --bind /etc /tmp/e",
    ] {
        assert_ne!(sh(flags, no).status, 0, "{no}");
    }
}

#[test]
fn the_environment_is_clean_but_for_what_is_named() {
    let names = |flags: &str| sh(flags, "env | cut -d= -f1 | sort | tr '\\n' ' '").good().to_owned();
    assert_eq!(names(""), "HOME PATH PWD");
    assert_eq!(names("--env SECRET --env X=1"), "HOME PATH PWD SECRET X");
    assert_eq!(names("--env SEC*"), "HOME PATH PWD SECRET");
    assert_eq!(sh("--env X=a=b", "echo $X").good(), "a=b");
    sh("--env NOPE", "true").refused(&["--env NOPE", "not set"]);
}

#[test]
fn the_launchers_secrets_are_out_of_reach() {
    for flags in ["", "--as-root", "--as-root --cap sys_ptrace", "--as-root --cap sys_admin --cap sys_ptrace"] {
        for file in ["environ", "mem", "maps", "exe", "root", "cwd", "fd"] {
            let script = format!("cat /proc/1/{file} /proc/1/{file}/* 2>/dev/null; readlink /proc/1/{file}; true");
            assert_eq!(sh(flags, &script).good(), "", "{flags}: {file}");
        }
        let cmdline = sh(&format!("{flags} --env TOKEN=hunter3"), "tr '\\0' ' ' < /proc/1/cmdline");
        assert_eq!(cmdline.good().trim(), "reaper", "{flags}");
    }
}

#[test]
fn the_launchers_own_file_cannot_be_changed_from_inside() {
    // As after cargo install: the caller owns the executable.
    let scratch = Scratch::new();
    let own = scratch.0.join("jail");
    std::fs::copy(jail(), &own).unwrap();
    scratch.give(&own);
    let before = std::fs::read(&own).unwrap();
    let mode = || std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&own).unwrap());
    let mode_before = mode();
    let script = "chmod 4777 /proc/1/exe; echo x >> /proc/1/exe; (exec 3< /proc/1/exe && chmod 4777 /proc/self/fd/3); (exec 3<> /proc/1/exe); true";
    for flags in [&["--as-root"][..], &[]] {
        let mut command = command(&own, &scratch.0, false);
        command.args(flags).args(["--", "sh", "-c", script]);
        assert_eq!(outcome(command).status, 0);
        assert_eq!(std::fs::read(&own).unwrap(), before);
        assert_eq!(mode(), mode_before);
    }
}

#[test]
fn no_descriptor_passes_but_those_named() {
    let scratch = Scratch::new();
    scratch.file("f", "content");
    let run = |flags: &str| {
        let mut shell = command(std::path::Path::new("/bin/sh"), &scratch.0, false);
        let script =
            format!("exec {} {flags} -- sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"; cat <&7' 7<f 8<f 9<.", jail().display());
        shell.args(["-c", &script]);
        outcome(shell)
    };
    let closed = run("");
    assert!(closed.out.starts_with("0 1 2 3 "), "3 is ls's own: {closed:?}");
    assert!(!closed.out.contains("content") && !closed.out.contains("7"), "{closed:?}");
    assert_eq!(run("--fd 7").good(), "0 1 2 3 7 content");
    run("--fd 17").refused(&["--fd 17", "not open"]);
}

/// `put COMMAND...` runs a command in a new session keyring that holds a key, whose
/// number is in KEY; `get` says what can be had of it.
const KEYS: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ADD, KEYCTL = {'x86_64': (248, 250), 'aarch64': (217, 219)}[os.uname().machine]
JOIN, SEARCH, READ, SESSION = 1, 10, 11, -3
def call(number, *words):
    words = [ctypes.c_long(w) if isinstance(w, int) else w for w in words]
    done = libc.syscall(ctypes.c_long(number), *words)
    return done if done >= 0 else os.strerror(ctypes.get_errno())
if sys.argv[1] == 'put':
    call(KEYCTL, JOIN, None)
    os.environ['KEY'] = str(call(ADD, b'user', b'of-the-session', b'secret', 6, SESSION))
    os.execvp(sys.argv[2], sys.argv[2:])
key = int(os.environ['KEY'])
content = ctypes.create_string_buffer(100)
found = call(KEYCTL, SEARCH, SESSION, b'user', b'of-the-session', 0)
print('found' if found == key else found)
read = call(KEYCTL, READ, key, content, 99)
print(content.value.decode() if isinstance(read, int) else read)
"#;

#[test]
fn a_session_keyring_does_not_pass() {
    assert_eq!(sh("--as-root", "cat /proc/keys 2>/dev/null | wc -l").good(), "0");
    let s = Scratch::new();
    s.file("keys.py", KEYS);
    let get = |line: &str| outside_in(&s.0, false, &format!("python3 keys.py put sh -c '{line}'"));
    let outside = get("python3 keys.py get");
    if outside.err.contains("invalid literal") {
        return skip(&format!("this kernel has no keys: {}", outside.err));
    }
    assert_eq!(outside.good(), "found\nsecret");
    for flags in ["", "--as-root", "--as-root --cap sys_admin", "--pid host", "--init none"] {
        let inside = get(&format!("jail {flags} --ro . --env KEY -- python3 keys.py get"));
        assert_eq!(inside.good(), "Operation not permitted\nOperation not permitted", "{flags}");
        // Two fences: without the filter the session is a new one.
        let inside = get(&format!("jail {flags} --seccomp none --ro . --env KEY -- python3 keys.py get"));
        assert_eq!(inside.good(), "Required key not available\nPermission denied", "{flags}");
    }
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    // Every byte but NUL, which ends a word.
    let every: Vec<u8> = (1..=255).collect();
    let every = OsStr::from_bytes(&every);
    let show = "printf %s \"$1\" | od -An -v -tx1; printf %s \"$ODD\" | od -An -v -tx1; printf %s \"$SET\" | od -An -v -tx1";
    let mut set = b"SET=".to_vec();
    set.extend_from_slice(every.as_bytes());
    let mut outside = command(std::path::Path::new("/bin/sh"), std::path::Path::new("/"), false);
    outside.args(["-c", show, "sh"]).arg(every).env("ODD", every).env("SET", every);
    let mut inside = command(jail(), std::path::Path::new("/"), false);
    inside.args(["--env", "ODD", "--env"]).arg(OsStr::from_bytes(&set)).args(["--", "sh", "-c", show, "sh"]).arg(every);
    inside.env("ODD", every);
    let (outside, inside) = (outcome(outside), outcome(inside));
    assert_eq!(outside.good().split_whitespace().count(), 3 * 255);
    assert_eq!(inside.good(), outside.good());
    // A glob, too, sees the bytes of names and values.
    let mut glob = command(jail(), std::path::Path::new("/"), false);
    glob.args(["--env", "OD*", "--", "sh", "-c", "printf %s \"$ODD\""]).env("ODD", "two\nlines");
    assert_eq!(outcome(glob).good(), "two\nlines");
}

#[test]
fn what_exec_passes_on_reaches_the_command_unchanged() {
    // Niceness, scheduling policy, processors, limits, personality, umask, ignored and
    // blocked signals, and what else the kernel keeps with a process.
    // Not the core limit, which is the jail's own: tests/attack/metadata.rs.
    let look = "grep -v '^Max core' /proc/self/limits; grep -E \"^(SigBlk|SigIgn|Cpus_allowed|Mems_allowed|THP)\" /proc/self/status; \
         cut -d\" \" -f18,19,40,41 /proc/self/stat; umask; nice; ionice; \
         cat /proc/self/oom_score_adj /proc/self/timerslack_ns /proc/self/personality /proc/self/coredump_filter 2>&1; true";
    let s = Scratch::new();
    s.file("look", look);
    let block = "perl -MPOSIX -e 'sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGUSR2, SIGTERM, SIGCHLD, 40)); exec @ARGV' ";
    let mut seen = Vec::new();
    for setting in [
        "",
        "nice -n 7 ",
        "chrt -b 0 ",
        "chrt -i 0 ",
        "taskset 1 ",
        "ionice -c 3 ",
        "setarch -R ",
        "choom -n 500 -- ",
        "prlimit --nofile=123:456 --stack=1000000 --cpu=1000 --fsize=100000000 ",
        "umask 0137; ",
        "trap '' USR1 HUP PIPE CHLD TSTP; ",
        block,
    ] {
        let out = outside_in(&s.0, false, &format!("{setting}bash ./look; echo ---; {setting}jail --ro . -- bash ./look"));
        let (outside, inside) = out.good().split_once("---\n").unwrap();
        assert_eq!(inside.trim_end(), outside.trim_end(), "{setting}{}", out.err);
        seen.push(outside.to_owned());
    }
    // The allowed twin: each setting was one that can be seen.
    for (index, one) in seen.iter().enumerate() {
        // Where there is one processor, or a container that sets these.
        assert!(index == 0 || index == 4 || *one != seen[0], "setting {index} made no difference: {one}");
    }
}
