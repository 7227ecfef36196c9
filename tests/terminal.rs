//! Job control in a terminal that the jail shares, as a person sees it, and that
//! nothing can be typed into it from inside.

#[path = "support/pty.rs"]
mod pty;
mod support;
use pty::Person;
use std::path::Path;
use std::process::Command;
use support::*;

fn here() -> &'static Path {
    Path::new("/")
}

#[test]
fn a_job_is_stopped_and_continued_as_outside() {
    for flags in ["", "--pid host "] {
        let mut person = Person::at_a_shell(here());
        person.types(&format!("jail {flags}-- sh -c 'echo up; exec sleep 1000'\n"));
        person.sees("\nup");
        person.types("\x1a");
        person.sees("Stopped");
        person.sees("ready> ");
        assert!(person.asks("jobs").contains("Stopped"), "{flags}");
        person.types("fg\n");
        person.sees("jail");
        // The shell says so first and continues it then.
        person.waits(200);
        person.types("\x1a");
        person.sees("Stopped");
        person.sees("ready> ");
        assert!(person.asks("bg").contains("jail"));
        assert!(person.asks("jobs").contains("Running"), "{flags}");
        person.types("fg\n");
        person.waits(200);
        person.types("\x03");
        person.sees("ready> ");
        assert_eq!(person.asks("echo $?"), "130", "{flags}");
        person.types("exit\n");
        person.ends();
    }
}

#[test]
fn a_shell_inside_has_a_prompt_that_works() {
    for flags in ["", "--pty "] {
        let mut person = Person::at_a_shell(here());
        person.types(&format!("jail {flags}-- bash --norc --noprofile -i\n"));
        // It shows a prompt of its own, and has nothing to complain of.
        let before = person.sees("$ ");
        assert!(!before.contains("job control") && !before.contains("cannot"), "{flags}{before}");
        person.types("PS1='inside''> '; bind 'set enable-bracketed-paste off'\n");
        person.sees("inside> ");
        person.types("echo $((6 * 7)) $(hostname)\n");
        person.sees("42 jail");
        person.sees("inside> ");
        // Ctrl-C gives a new prompt, and what was typed before it is not run.
        person.types("sleep 1000\n");
        person.waits(200);
        person.types("\x03");
        person.sees("inside> ");
        person.types("exit 7\n");
        person.sees("ready> ");
        assert_eq!(person.asks("echo $?"), "7", "{flags}");
        person.types("exit\n");
        person.ends();
    }
}

#[test]
fn a_killed_job_is_told_once() {
    let s = Scratch::new();
    s.file("script", "trap 'echo got' TERM USR1; echo up; while :; do sleep 0.05; done");
    let mut person = Person::at_a_shell(&s.0);
    for flags in ["", "--pid host "] {
        person.types(&format!("jail {flags}--ro . -- bash script &\n"));
        person.sees("up\r\n");
        // A shell's kill of a job goes to its whole process group.
        person.types("kill %%; kill -USR1 %%\n");
        assert_eq!(person.waits(800).matches("got\r").count(), 2, "{flags}once for each");
        person.types("\n");
        person.sees("ready> ");
        assert!(person.asks("kill -KILL %%; wait %%; echo status $?").contains("status 137"));
    }
}

#[test]
fn what_is_typed_is_delivered_once() {
    let s = Scratch::new();
    s.file("script", "trap 'echo got' INT QUIT; echo up; while :; do sleep 0.05; done");
    for flags in ["", "--pid host ", "--new-session "] {
        let mut person = Person::at_a_shell(&s.0);
        person.types(&format!("jail {flags}--ro . -- bash script\n"));
        person.sees("\nup");
        person.types("\x03");
        person.sees("got");
        assert!(!person.waits(400).contains("got"), "{flags}once");
        person.types("\x1c");
        person.sees("got");
        assert!(!person.waits(400).contains("got"), "{flags}once");
    }
}

#[test]
fn a_command_that_stops_itself_or_is_stopped_stops_the_job() {
    for flags in ["", "--pid host ", "--init none ", "--new-session "] {
        let mut person = Person::at_a_shell(here());
        person.types(&format!("jail {flags}-- sh -c 'echo up; sleep 0.2; kill -STOP $$; echo goes on' \n"));
        person.sees("\nup");
        if flags.contains("none") {
            // The kernel lets no process 1 stop itself.
            person.sees("goes on");
            continue;
        }
        person.sees("Stopped");
        person.sees("ready> ");
        person.types("fg\n");
        person.sees("goes on");
        person.sees("ready> ");
        assert_eq!(person.asks("echo $?"), "0", "{flags}");
    }
}

#[test]
fn reading_in_the_background_stops_the_job() {
    let mut person = Person::at_a_shell(here());
    person.types("jail -- sh -c 'read word; echo it is $word' &\n");
    person.waits(300);
    assert!(person.asks("jobs").contains("Stopped"));
    person.types("fg\n");
    person.sees("read word");
    person.types("blue\n");
    person.sees("it is blue");
}

#[test]
fn full_screen_programs_work() {
    let s = Scratch::new();
    s.file("text", &(1..200).map(|n| format!("line {n}.\n")).collect::<String>());
    let mut person = Person::at_a_shell(&s.0);
    person.types("jail --ro . -- less text\n");
    person.sees("line 23.");
    // Until it reads: a signal in between is a race of less's own.
    person.waits(300);
    person.types("\x1a");
    person.sees("Stopped");
    person.sees("ready> ");
    assert_eq!(person.asks("echo still here"), "still here");
    person.types("fg\n");
    person.sees("line 23.");
    person.waits(300);
    person.resizes(40, 80);
    person.sees("line 39.");
    person.types(" ");
    person.sees("line 78.");
    person.types("q");
    person.sees("ready> ");
    person.types("jail -- bash -c 'trap \"stty size\" WINCH; echo up; while :; do sleep 0.05; done'\n");
    person.sees("\nup");
    person.resizes(33, 77);
    person.sees("33 77");
}

#[test]
fn a_terminal_that_is_gone_ends_what_would_end_outside() {
    // The launcher leads the session: the kernel tells it alone.
    let mut person = Person::at(here(), &["jail", "--", "sh", "-c", "trap 'exit 9' HUP; echo up; while :; do sleep 0.05; done"]);
    person.sees("up");
    let mut program = person.hangs_up();
    let start = std::time::Instant::now();
    while program.try_wait().unwrap().is_none() {
        assert!(start.elapsed().as_secs() < 10, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Tries every way to type a ^U into the terminal; prints which were refused.
/// TIOCSTI is 0x5412, TIOCLINUX 0x541c. The kernel looks at the low half alone.
const TYPE: &str = r#"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
number = {'x86_64': 16, 'aarch64': 29}[os.uname().machine]
for name, request in (("sti", 0x5412), ("sti-high", 0x700005412), ("linux", 0x541c), ("linux-high", 0x10000541c)):
    letter = ctypes.create_string_buffer(b"\x15")
    done = libc.syscall(ctypes.c_long(number), ctypes.c_long(0), ctypes.c_ulong(request), letter)
    print(name, "done" if done == 0 else os.strerror(ctypes.get_errno()))
print("size", os.get_terminal_size().lines)
"#;

#[test]
fn nothing_types_into_the_terminal() {
    let s = Scratch::new();
    s.file("type.py", TYPE);
    let mut person = Person::at_a_shell(&s.0);
    let outside = person.asks("python3 type.py; stty sane");
    for flags in ["", "--as-root ", "--pid host "] {
        let inside = person.asks(&format!("jail {flags}--ro . -- python3 type.py"));
        let refused: Vec<&str> = inside.lines().filter(|l| l.ends_with("Operation not permitted")).collect();
        assert_eq!(refused.len(), 4, "{flags}{inside}");
        assert!(inside.contains("size 24"), "other requests are answered: {inside}");
    }
    // Where this kernel still has it, it works outside.
    assert!(
        outside.contains("size 24") && (outside.contains("sti done") || outside.contains("sti Input/output error")),
        "{outside}"
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn nor_by_the_other_ways_into_the_kernel() {
    let s = Scratch::new();
    // i386's ioctl is 54, x32's 514; both are called from a 64-bit program. Neither
    // way is open at all, as on a kernel that is built without.
    s.file(
        "type.c",
        r#"
        #include <stdio.h>
        #include <sys/mman.h>
        int main(void) {
            char *low = mmap((void *)0x10000000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            *low = '\x15';
            long requests[] = {0x5412, 0x541c, 0x5413};
            for (int i = 0; i < 3; i++) {
                int done;
                __asm__ volatile("int $0x80" : "=a"(done) : "a"(54), "b"(0), "c"(requests[i]), "d"(low) : "memory", "r8", "r9", "r10", "r11");
                printf("i386 %d\n", done);
                long number = 0x40000000 + 514, result;
                __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(0L), "S"(requests[i]), "d"(low) : "memory", "rcx", "r11");
                printf("x32 %ld\n", result);
                number = 0x40000000 + 16;
                __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(0L), "S"(requests[i]), "d"(low) : "memory", "rcx", "r11");
                printf("x32 %ld\n", result);
            }
            return 0;
        }"#,
    );
    assert!(Command::new("gcc").args(["-o", "type", "type.c"]).current_dir(&s.0).status().unwrap().success());
    let mut person = Person::at_a_shell(&s.0);
    let inside = person.asks("jail --ro . -- ./type");
    let answers: Vec<&str> = inside.lines().collect();
    assert_eq!(answers, ["i386 -38", "x32 -38", "x32 -38"].repeat(3), "{inside}");
}
