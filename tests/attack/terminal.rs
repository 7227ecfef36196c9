//! The terminal that the jail shares. That nothing types into it, by any way into the
//! kernel, and job control are in tests/terminal.rs, a terminal of the jail's own in
//! tests/pty.rs.

use crate::kit::*;
use crate::pty::Person;

/// Attempts as words for a line that a person types.
fn line(flags: &str, attempts: &[&str]) -> String {
    let words: String = attempts.iter().map(|attempt| format!(" \"{attempt}\"")).collect();
    format!("jail {flags} --ro-bind kit.py /kit.py -- python3 /kit.py{words}")
}

/// What they give, one to a line.
fn answers(person: &mut Person, flags: &str, attempts: &[&str]) -> Vec<String> {
    person.asks(&line(flags, attempts)).lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_terminal_is_not_commanded() {
    let kit = Kit::new();
    let mut person = Person::at_a_shell(&kit.0.0);
    let attempts = [
        // TIOCSTI, TIOCLINUX (paste the selection), TIOCSETD.
        "fcntl.ioctl(0, 0x5412, b'x')",
        "fcntl.ioctl(0, 0x541c, b'\\\\3')",
        "fcntl.ioctl(0, 0x5423, struct.pack('i', 2))",
        // TIOCCONS, the console's output; TIOCVHANGUP; TIOCSCTTY by force.
        "fcntl.ioctl(0, 0x541d)",
        "fcntl.ioctl(0, 0x5437)",
        "fcntl.ioctl(0, 0x540e, 1)",
        // TIOCSLCKTRMIOS: locked settings.
        "fcntl.ioctl(0, 0x5457, bytes(60))",
        // A group that is not of this session, or has no number here.
        "os.tcsetpgrp(0, 1 << 20)",
    ];
    for flags in ["", "--as-root", "--as-root --cap sys_admin", "--pid host", "--init none"] {
        let given = answers(&mut person, flags, &attempts);
        assert_eq!(given.len(), attempts.len(), "{flags}: {given:?}");
        assert!(given.iter().all(|given| ["EPERM", "ESRCH"].contains(&given.as_str())), "{flags}: {given:?}");
    }
    // The allowed twins: its size and settings are read; a session of one's own gets a
    // terminal of one's own, and commands that.
    let own = "m = os.openpty()";
    let kit = Kit::with(&format!(
        "def own():\n    {own}\n    if os.fork() == 0:\n        os.setsid(); fcntl.ioctl(m[1], 0x540e, 0); os.tcsetpgrp(m[1], os.getpgrp()); os.write(m[1], b'own'); os._exit(0)\n    os.wait(); return os.read(m[0], 9).decode()"
    ));
    let mut person = Person::at_a_shell(&kit.0.0);
    let twins = ["bool(termios.tcgetattr(0))", "str(os.get_terminal_size(0).lines)", "own()", "os.ctermid()"];
    assert_eq!(answers(&mut person, "", &twins), ["done", "24", "own", "/dev/tty"]);
}

#[test]
fn what_was_on_the_screen_is_not_read() {
    let kit = Kit::new();
    let attempts = [
        "open('/dev/vcs', 'rb')",
        "open('/dev/vcs1', 'rb')",
        "open('/dev/vcsa', 'rb')",
        "open('/dev/tty0', 'rb')",
        "open('/dev/console', 'rb')",
    ];
    for flags in ["", "--as-root --cap sys_admin", "--pid host"] {
        kit.inside(flags, &attempts.map(|attempt| (attempt, "ENOENT")));
    }
    // A terminal that is asked for its content or its title types it: what is typed
    // while the jail runs is the jail's, and nothing of it is left for the shell.
    let mut person = Person::at_a_shell(&kit.0.0);
    person.types("jail -- sh -c 'echo up; sleep 1'\n");
    person.sees("\nup");
    person.types("typed");
    person.sees("ready> ");
    // As after any program: the shell finds it. The manual warns; --pty keeps it in.
    person.types("\x15");
    person.types("jail --pty -- sh -c 'echo up; sleep 1'\n");
    person.sees("\nup");
    person.types("echo into the jail\n");
    person.sees("ready> ");
    assert!(!person.waits(300).contains("\ninto the jail"));
}

#[test]
fn a_session_of_its_own_has_no_terminal_and_pty_has_another() {
    let kit = Kit::with(
        "def quiet(): settings = termios.tcgetattr(0); settings[3] &= ~termios.ECHO; termios.tcsetattr(0, termios.TCSANOW, settings)",
    );
    let mut person = Person::at_a_shell(&kit.0.0);
    let attempts = [
        "os.open('/dev/tty', os.O_RDWR)",
        "fcntl.ioctl(0, 0x540e, 0)",
        "fcntl.ioctl(0, 0x540e, 1)",
        "os.tcgetpgrp(0)",
        "os.tcsetpgrp(0, os.getpgrp())",
    ];
    for flags in ["--new-session", "--new-session --as-root", "--new-session --as-root --cap sys_admin"] {
        assert_eq!(answers(&mut person, flags, &attempts), ["ENXIO", "EPERM", "EPERM", "ENOTTY", "ENOTTY"], "{flags}");
    }
    let echoes = |person: &mut Person| !person.asks("stty -a").contains("-echo ");
    // A descriptor of it is there all the same, and with it the settings, as the manual says.
    assert!(echoes(&mut person));
    person.types(&format!("{}; stty -a; stty echo\n", line("--new-session", &["quiet()"])));
    assert!(person.sees("ready> ").contains("-echo "));
    // With --pty it is another terminal, whatever is done to it, and typed into it.
    let typed = "[fcntl.ioctl(0, 0x5412, bytes([letter])) for letter in b'echo typed-by-the-jail\\\\n']";
    for flags in ["--pty", "--pty --seccomp none --landlock none", "--pty --as-root"] {
        let given = answers(&mut person, flags, &["quiet()", typed, "os.open('/dev/tty', os.O_RDWR)"]);
        assert_eq!([given[0].as_str(), given[given.len() - 1].as_str()], ["done", "done"], "{flags}: {given:?}");
        assert!(echoes(&mut person), "{flags}");
        assert!(!person.waits(200).contains("typed-by-the-jail"), "{flags}");
    }
}

#[test]
fn the_background_is_stopped_when_it_sets_the_terminal() {
    let kit = Kit::with(
        "def quiet(): settings = termios.tcgetattr(0); settings[3] &= ~termios.ECHO; termios.tcsetattr(0, termios.TCSANOW, settings)",
    );
    let mut person = Person::at_a_shell(&kit.0.0);
    person.types(&format!("{} &\n", line("", &["quiet()"])));
    person.waits(600);
    assert!(person.asks("jobs").contains("Stopped"));
    assert!(!person.asks("stty -a").contains("-echo "));
    // The allowed twin: in the foreground it may.
    person.asks("kill -KILL %%; wait");
    person.types(&format!("{}; stty -a; stty echo\n", line("", &["quiet()"])));
    assert!(person.sees("ready> ").contains("-echo "));
}
