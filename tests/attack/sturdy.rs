//! The launcher where its caller gives it little or odd things: memory, descriptors,
//! streams, an environment, a mode of its own file; and what it prints of hostile words.
//! Each run works, or ends with 125 and the true reason.

use crate::support::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

/// prlimit(1) with `limits`, which then executes jail as the user: unlike a shell's, its
/// own needs are over when the limit takes effect.
fn limited<S: AsRef<OsStr>>(limits: &str, dir: &Path, args: &[S]) -> Outcome {
    let mut prlimit = command(Path::new("prlimit"), dir, false);
    prlimit.args(limits.split_whitespace()).arg(jail()).args(args);
    outcome(prlimit)
}

/// The bytes of the program's file that the kernel maps when it executes it.
fn mapped() -> u64 {
    let file = fs::read(jail()).unwrap();
    let number = |at: usize, size: usize| file[at..at + size].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let (table, entry, count) = (number(32, 8) as usize, number(54, 2) as usize, number(56, 2) as usize);
    let headers = (0..count).map(|index| table + index * entry);
    headers.filter(|at| number(*at, 4) == 1).map(|at| number(at + 32, 8)).sum()
}

/// It ran, or it says that memory is what it lacks.
fn works_or_names_memory(what: &str, out: &Outcome) {
    let said = out.err.starts_with("jail: ") && out.err.to_lowercase().contains("memory");
    assert!(out.status == 0 || (out.status == 125 && said), "{what}: {out:#?}");
}

#[test]
fn little_memory_is_enough_or_is_named() {
    // What is not in the file: a stack, some 256 KiB of memory, the C library's.
    let enough = mapped() + 1024 * 1024;
    for kind in ["as", "data"] {
        let mut started = false;
        for kilobytes in (0..=2000).step_by(100).chain((2000..20_000).step_by(500)) {
            let bytes = kilobytes * 1024_u64;
            let limit = format!("--{kind}={bytes}:");
            let version = limited(&limit, Path::new("/"), &["--version"]);
            // The kernel ended it while it executed it, or the C library's start-up did: no code
            // of its own has run.
            let by_kernel = version.status < 0 && version.err.is_empty();
            let by_start_up = version.status == 127 && version.err.starts_with("Fatal glibc error: ");
            if bytes < enough && (by_kernel || by_start_up) {
                assert_eq!(version.out, "", "{limit}");
                continue;
            }
            assert_eq!(version.status, 0, "{limit}: {version:#?}");
            started = true;
            // The command has its own limit: it is not what is tried.
            let out = limited(&limit, Path::new("/"), &["--rlimit", &format!("{kind}=unlimited"), "--", "true"]);
            works_or_names_memory(&limit, &out);
        }
        assert!(started, "{kind}");
    }
}

#[test]
fn memory_that_runs_out_is_named() {
    let s = Scratch::new();
    let flags: String = (0..20_000).map(|number| format!("--dir\n/d{number}\n")).collect();
    s.file("flags", &flags);
    let least = mapped() / 1024 + 1024;
    let mut refused = 0;
    for kind in ["as", "data"] {
        for more in [0, 100, 300, 1000, 1500, 2000, 3000, 5000, 9000, 14_000] {
            let limit = format!("--{kind}={}:", (least + more) * 1024);
            let out = limited(&limit, &s.0, &["--args", "flags", "--explain", "--", "true"]);
            works_or_names_memory(&limit, &out);
            if out.status == 125 {
                refused += 1;
                assert_eq!(out.err.lines().count(), 2, "{out:#?}");
                assert!(out.err.contains("ulimit -v"), "{out:#?}");
            }
        }
    }
    assert!(refused > 4, "{refused}: 20,000 flags fit in little memory");
    // The twin that is allowed.
    assert!(limited("--as=400000000:", &s.0, &["--args", "flags", "--explain", "--", "true"]).status == 0);
    // As a shell's user has it, for good.
    let out = outside_in(&s.0, false, &format!("ulimit -v {}; exec jail --args flags -- true", least + 2000));
    assert!(out.status == 125 && out.err.contains("out of memory"), "{out:#?}");
}

/// It ran, or it says that descriptors are what it lacks.
fn works_or_names_descriptors(what: &str, out: &Outcome) {
    let said = out.err.contains("ulimit -n") && !out.err.contains("too old");
    assert!(out.status == 0 || (out.status == 125 && said), "{what}: {out:#?}");
}

#[test]
fn few_descriptors_are_enough_or_are_named() {
    let s = Scratch::new();
    s.file("hosts", "127.0.0.1 localhost\n");
    let mut worked = 0;
    for flags in [
        "",
        "--init none",
        "--pid host",
        "--pty",
        "--publish 127.0.0.3:0:80 --reach 127.0.0.1:9 --trace-denied",
        "--pty --publish 127.0.0.3:0:80 --reach 127.0.0.1:9 --trace-denied",
        "--status-fd 3",
        "--timeout 5",
        "--ro hosts --rw .",
        "--file 0 /x",
        "--tmpfs /x --home private --hide /usr/share",
        "--args hosts-flags",
    ] {
        s.file("hosts-flags", "--ro\nhosts\n");
        for count in (0..=16).chain([18, 20, 24, 32, 48, 64]) {
            let script = format!("exec prlimit --nofile={count}: jail {flags} -- true 3>status </dev/null");
            let out = outside_in(&s.0, false, &script);
            works_or_names_descriptors(&format!("{flags}, {count}"), &out);
            worked += u32::from(out.status == 0);
            assert!(count < 64 || out.status == 0, "{flags}, {count}: {out:#?}");
        }
    }
    assert!(worked > 60, "{worked}");
}

/// A copy that `prepare`, as root, does something to; None where we are not root.
fn prepared(s: &Scratch, prepare: &str) -> Option<()> {
    if !we_are_root() {
        skip("this needs root");
        return None;
    }
    fs::copy(jail(), s.0.join("copy")).unwrap();
    outside_in(&s.0, true, &format!("set -e\nchown 0:0 copy; chmod 755 copy; {prepare}")).good();
    Some(())
}

#[test]
fn a_privileged_executable_reads_nothing() {
    let s = Scratch::new();
    s.dir("delta/changes");
    let secret = s.file("secret", "root:*:20228:0:99999:7:::\n");
    std::os::unix::fs::chown(&secret, Some(0), Some(0)).ok();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for (prepare, problem, remedy) in [
        ("chmod 4755 copy", "is set-user-ID", "chmod u-s ./copy"),
        ("chmod 2755 copy", "is set-group-ID", "chmod g-s ./copy"),
        ("setcap cap_dac_read_search+ep copy", "has file capabilities", "setcap -r ./copy"),
        ("setcap cap_setuid+ep copy", "has file capabilities", "setcap -r ./copy"),
        ("chmod 6755 copy; setcap cap_setuid+ep copy", "is set-user-ID", "chmod u-s ./copy"),
    ] {
        if prepared(&s, prepare).is_none() {
            return;
        }
        for words in [
            "--args secret",
            "--args secret -- true",
            "--diff delta",
            "--diff=json secret",
            "--check",
            "--check=json",
            "--help",
            "--version",
            "--explain -- true",
            "--explain=json --root secret -- true",
            "--status-fd 1 --args secret",
            "--file 0 /x -- cat /x",
            "-- true",
            "--nonsense",
            "",
        ] {
            let out = outside_in(&s.0, true, &format!("as_user env ./copy {words} <secret"));
            out.refused(&[problem, remedy]);
            assert!(out.out.is_empty() && !out.err.contains("20228") && out.err.lines().count() == 2, "{words}: {out:#?}");
        }
    }
    // What is advised helps.
    let Some(()) = prepared(&s, "setcap cap_setuid+ep copy; setcap -r copy") else { return };
    assert_eq!(outside_in(&s.0, true, "as_user env ./copy -- id -u").good(), USER.to_string());
}

#[test]
fn an_executable_that_its_caller_cannot_read_says_so() {
    let s = Scratch::new();
    let Some(()) = prepared(&s, "chmod 711 copy") else { return };
    // By env, for setpriv may itself read the file when it executes it.
    let out = outside_in(&s.0, true, "as_user env ./copy -- true");
    out.refused(&["may not read jail's own file", "chmod a+r ./copy"]);
    let Some(()) = prepared(&s, "chmod 711 copy; chmod a+r ./copy") else { return };
    outside_in(&s.0, true, "as_user env ./copy -- true").good();
}

/// A control character, a separator or one that turns the direction around.
fn writes_on_a_terminal(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n') || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

const HOSTILE: &str = "a\u{9b}31mR\u{7f}b\u{202e}c\u{2066}d\u{2028}e\u{200f}f\u{61c}g\u{1b}[2Jh\ti\\x1bj\u{85}";

fn harmless(what: &str, text: &str) {
    let wrong: Vec<char> = text.chars().filter(|c| writes_on_a_terminal(*c)).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:x?} in {text:?}");
}

#[test]
fn json_escapes_what_writes_on_a_terminal() {
    let s = Scratch::new();
    s.file(&format!("delta/changes/{HOSTILE}"), "");
    s.dir(HOSTILE);
    s.dir("srv");
    let nothing = OsStr::new("");
    let bytes = OsStr::from_bytes(b"/raw\xff\xc2");
    let at = format!("/{HOSTILE}");
    for (flags, word) in [
        (&["--diff=json", "delta"][..], nothing),
        (&["--explain=json", "--dir", &at, "--ro", HOSTILE, "--env", &format!("{HOSTILE}=v"), "--", "true"], nothing),
        (&["--explain=json", "--tmpfs", &at, "--", HOSTILE], nothing),
        (&["--explain=json", "--", "true"], bytes),
        (&["--check=json"], nothing),
        (&["--status-fd", "3", "--ro", HOSTILE, "--", HOSTILE], nothing),
        (&["--status-fd", "3", "--ro", &format!("{HOSTILE}/none"), "--", "true"], nothing),
        (&["--status-fd", "3", "--explain=json", HOSTILE], nothing),
        (&["--status-fd", "3", "--tmp", HOSTILE, "--", "true"], bytes),
    ] {
        let mut shell = command(Path::new("/bin/sh"), &s.0, false);
        shell.args(["-c", "\"$@\" 3>&1 2>errors", "sh"]).arg(jail()).args(flags);
        if !word.is_empty() {
            shell.arg(word);
        }
        let out = outcome(shell);
        let raw = out.out.clone();
        harmless(&format!("{flags:?}"), &raw);
        harmless(&format!("{flags:?}"), &fs::read_to_string(s.0.join("errors")).unwrap());
        // A parser gives the very name back.
        let parse = "import json, sys
def names(value):
    if isinstance(value, str): yield value
    elif isinstance(value, dict):
        for v in value.values(): yield from names(v)
    elif isinstance(value, list):
        for v in value: yield from names(v)
text = sys.stdin.read()
decoder, values = json.JSONDecoder(), []
while text.strip():
    value, end = decoder.raw_decode(text.lstrip())
    values.append(value); text = text.lstrip()[end:]
assert values
print(any(sys.argv[1] in name for name in names(values)))";
        s.file("json", &raw);
        let mut python = command(Path::new("python3"), &s.0, false);
        python.args(["-c", parse, HOSTILE]).stdin(Stdio::from(fs::File::open(s.0.join("json")).unwrap()));
        let found = outcome(python);
        let found = found.good();
        // A name of a program, and of a variable, is there as it is; a message has it escaped.
        let as_it_is = flags[0] == "--diff=json" || (flags[0] == "--explain=json" && flags.contains(&"--env"));
        assert!(!as_it_is || found == "True", "{flags:?}: {found} {raw}");
    }
}

#[test]
fn no_word_of_the_caller_writes_on_its_terminal() {
    let s = Scratch::new();
    s.dir(HOSTILE);
    let help = run(&["--help"]);
    let flags: Vec<String> = help
        .good()
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .map(|word| word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect())
        .collect();
    assert!(flags.len() > 40, "{flags:?}");
    for flag in flags.iter().map(String::as_str).chain(["--env", HOSTILE, "-x"]) {
        let equals = format!("{flag}={HOSTILE}");
        for value in
            [HOSTILE, &format!("/{HOSTILE}"), &format!("{HOSTILE}=v"), &format!("unix:/{HOSTILE}"), &format!("{HOSTILE}:1")]
        {
            for more in [&[flag, value][..], &[flag, value, value], &[&equals]] {
                let words: Vec<&str> = ["--explain"].iter().chain(more).chain(&["--", HOSTILE]).copied().collect();
                let out = run_in(&s.0, &words);
                harmless(&format!("{words:?}"), &(out.out + &out.err));
            }
        }
    }
    // A variable's value is never printed, whatever its bytes.
    let secret = OsStr::from_bytes(b"TOKEN=hunter2\xff");
    for words in
        [&[OsStr::new("--explain"), OsStr::new("--env"), secret, OsStr::new("--env"), secret][..], &[OsStr::new("--env"), secret]]
    {
        let out = run(words);
        assert!(!(out.out + &out.err).contains("hunter2"), "{words:?}");
    }
    // A backslash in a name is not what an escape begins with.
    let out = run(&["--ro", "/none\\x1b", "--", "true"]);
    assert!(out.err.contains("/none\\\\x1b"), "{out:#?}");
    assert!(run(&["--ro", "/none\u{1b}", "--", "true"]).err.contains("/none\\x1b"));
    assert!(
        run(&[OsStr::new("--ro"), OsStr::from_bytes(b"/n\x9b"), OsStr::new("--"), OsStr::new("true")]).err.contains("/n\\x9b")
    );
    assert!(run(&["--ro", "/n\u{9b}", "--", "true"]).err.contains("/n\\u{9b}"));
}

/// A launch by a shell's line, and its status; where it is 0, what the command printed.
#[test]
fn odd_callers_are_served_or_told_why() {
    let s = Scratch::new();
    s.tree("um/t");
    for dir in ["proc", "dev", "tmp", "usr", "lib", "lib64"] {
        s.dir(&format!("um/t/{dir}"));
    }
    let run = |line: &str| outside_in(&s.0, false, line);
    let mut wrong = Vec::new();
    for (line, status, printed, said) in [
        ("jail -- sh -c 'cat; echo ok' <&-", 0, "ok", ""),
        ("jail -- sh -c 'ls /proc/self/fd >&2; echo ok' >&-", 1, "", ""),
        ("jail -- sh -c 'ls /proc/self/fd >/dev/null; echo ok' 2>&-", 0, "ok", ""),
        ("jail -- true <&- >&- 2>&-", 0, "", ""),
        ("jail --bad -- true <&- >&- 2>&-", 125, "", ""),
        ("jail --explain -- true >/dev/full", 125, "", "write to standard output: No space left"),
        ("jail --version >/dev/full", 125, "", "write to standard output"),
        ("jail --version >&-", 125, "", "write to standard output"),
        ("jail --bad 2>/dev/full", 125, "", ""),
        ("jail -- true </", 125, "", "pass descriptor 0"),
        ("jail -- true 1</", 125, "", "pass descriptor 1"),
        ("mkdir gone; cd gone; rmdir ../gone; jail -- sh -c 'cd /; echo ok'", 0, "ok", ""),
        ("mkdir gone; cd gone; rmdir ../gone; jail --rw . -- true", 125, "", "--rw ."),
        (
            "umask 777; jail --tmpfs /x --dir /y --home private --symlink a /b -- sh -c 'umask; test -L /b && echo ok'",
            0,
            "0777\nok",
            "",
        ),
        ("umask 777; jail --file 5 /z -- cat /z 5</proc/sys/kernel/ostype", 0, "Linux", ""),
        (
            "umask 777; mkdir -m 755 d; jail --root um/t --overlay d -- /bin/busybox touch /new && ls d/changes; chmod -R u+rwx d",
            0,
            "new",
            "",
        ),
        ("ulimit -f 0; jail -- echo ok", 0, "ok", ""),
        ("ulimit -f 0; jail --reach a.test:80=127.0.0.1:9 -- true", 125, "", "ulimit -f"),
        ("ulimit -s 512; jail -- echo ok", 0, "ok", ""),
        ("ulimit -l 0; jail -- echo ok", 0, "ok", ""),
        ("prlimit --sigpending=0: jail --timeout 0.3 -- sleep 5", 124, "", ""),
        ("prlimit --nproc=0: jail -- true", 125, "", "ulimit -u"),
        ("prlimit --nproc=0: jail --pty --publish 127.0.0.3:0:80 -- true", 125, "", "ulimit -u"),
        ("prlimit --msgqueue=0: jail -- echo ok", 0, "ok", ""),
        ("ulimit -c 0; jail -- sh -c 'kill -SEGV $$'", 139, "", ""),
        ("ulimit -t 1; jail -- sh -c 'while :; do :; done'", 137, "", ""),
        ("env -i $(command -v jail) -- /bin/sh -c 'echo ok'", 0, "ok", ""),
        ("HOME=/../x jail -- echo ok", 0, "ok", ""),
        ("HOME=/etc/passwd/x jail -- echo ok", 0, "ok", ""),
        ("HOME=. jail -- echo ok", 0, "ok", ""),
        ("jail -- ''", 125, "", "name is empty"),
        ("jail -- /", 126, "", ""),
        ("jail -- $(head -c 5000 /dev/zero | tr '\\0' a)", 126, "", "name too long"),
        ("jail --rw /$(head -c 5000 /dev/zero | tr '\\0' a) -- true", 125, "", "name too long"),
    ] {
        let out = run(line);
        if out.status != status || out.out.trim_end() != printed || !out.err.contains(said) {
            wrong.push((line, out));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // execve(2) with odd arrays; neither a shell nor Python's os can.
    let odd = |argv: &str, env: &str| {
        let mut python = command(Path::new("python3"), &s.0, false);
        let array = "(ctypes.c_char_p * (len(X) + 1))(*X, None)";
        let (argv_, env_) = (array.replace('X', "a"), array.replace('X', "e"));
        python.args([
            "-c",
            &format!(
                "import ctypes, sys\na = [{argv}]\ne = [{env}]\nctypes.CDLL(None).execve(sys.argv[1].encode(), {argv_}, {env_})"
            ),
        ]);
        python.arg(jail());
        outcome(python)
    };
    let none = odd("", "");
    assert!(none.status == 125 && none.err.contains("usage"), "{none:#?}");
    for name in ["", "\\x1b[31m\\n--rw"] {
        let script = "cat /proc/1/comm; tr '\\\\0' x </proc/1/cmdline";
        let out = odd(&format!("b'{name}', b'--', b'sh', b'-c', b\"{script}\""), "b'PATH=/usr/bin:/bin'");
        assert!(out.status == 0 && !out.out.contains('\u{1b}') && !out.out.contains("--rw"), "{out:#?}");
    }
    let variables = odd(
        "b'jail', b'--', b'/usr/bin/env'",
        "b'PATH=/usr/bin:/bin', b'PATH=/evil', b'noequals', b'=x', b'', b'==', b'HOME=', b'LANG=\\xff\\xfe\\x1b[31m', b'LC_A=B\\nC', b'TERM', b'SECRET=s'",
    );
    assert_eq!(variables.status, 0, "{variables:#?}");
    for word in ["SECRET", "noequals", "/evil"] {
        assert!(!variables.out.contains(word), "{word}: {variables:#?}");
    }
}
