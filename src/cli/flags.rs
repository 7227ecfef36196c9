//! The flags: one row each, from which the parser, `--help`, the shells' completions
//! and the checks of the manual come. What a flag means is in `policy`.

/// A heading of `--help` and of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What is private and what is shared.
    Anchors,
    /// What can be seen in the file tree.
    Files,
    /// Environment, descriptors, directory.
    Surroundings,
    /// What else holds the command back.
    Layers,
    /// How the command lives and dies.
    Life,
    /// What jail says of itself.
    Seeing,
}

impl Section {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Anchors => "Anchors",
            Self::Files => "Files",
            Self::Surroundings => "Environment, descriptors, directory",
            Self::Layers => "Layers",
            Self::Life => "Life",
            Self::Seeing => "Seeing",
        }
    }
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// One word for each of these names.
    Words(&'static str),
    /// Perhaps one word, after `=`.
    Perhaps(&'static str),
    /// Perhaps one word after `=`, and then another.
    PerhapsAnd(&'static [&'static str; 2]),
}

/// One flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name without the dashes.
    pub long: &'static str,
    /// What follows it.
    pub takes: Takes,
    /// May it be given more than once?
    pub repeats: bool,
    /// Where it stands in the help.
    pub section: Section,
    /// What it does, in a few words.
    pub help: &'static str,
}

const fn row(long: &'static str, takes: Takes, repeats: bool, section: Section, help: &'static str) -> Flag {
    Flag { long, takes, repeats, section, help }
}

use Section::{Anchors, Files, Layers, Life, Seeing, Surroundings};
use Takes::{Nothing, Perhaps, PerhapsAnd, Words};

/// Every flag, in the order of the help.
#[rustfmt::skip]
pub static FLAGS: &[Flag] = &[
    row("net", Words("none|host|pasta"), false, Anchors, "own loopback only; the host's; or own, by pasta(1)"),
    row("reach", Words("HOST:PORT|unix:PATH"), true, Anchors, "this alone is reached from inside"),
    row("publish", Words("[ADDR:]PORT[:PORT]"), true, Anchors, "PORT outside reaches PORT inside"),
    row("pid", Words("private|host"), false, Anchors, "own process table, or the host's"),
    row("ipc", Words("private|host"), false, Anchors, "own System V and POSIX IPC, or the host's"),
    row("cgroup", Words("private|host"), false, Anchors, "own view of the cgroup tree, or the host's"),
    row("proc", Words("private|none|host"), false, Anchors, "what /proc is"),
    row("dev", Words("private|none|host"), false, Anchors, "what /dev is"),
    row("tmp", Words("private|none|host"), false, Anchors, "what /tmp is"),
    row("run", Words("private|none|host"), false, Anchors, "what /run is"),
    row("home", Words("private|none"), false, Anchors, "an empty directory at $HOME, or none"),
    row("hostname", Words("NAME"), false, Anchors, "the hostname inside (default: jail)"),
    row("uptime", Words("DURATION"), false, Anchors, "how long the machine seems to be up already"),
    row("uid", Words("N"), false, Anchors, "the user id inside (default: the caller's)"),
    row("gid", Words("N"), false, Anchors, "the group id inside (default: the caller's)"),
    row("as-root", Nothing, false, Anchors, "uid and gid 0 inside, with a jailed root's powers"),
    row("subids", Nothing, false, Anchors, "the same, with the caller's subordinate ids"),
    row("fakeroot", Nothing, false, Anchors, "the same; what one id cannot do is answered as done"),

    row("root", Words("DIR"), false, Files, "DIR is /, read-only, instead of the host's system"),
    row("writable", Nothing, false, Files, "the --root tree may be changed"),
    row("ephemeral", Perhaps("SIZE"), false, Files, "changes of the --root tree vanish with the jail"),
    row("overlay", Words("DIR"), false, Files, "changes of the --root tree are kept in DIR"),
    row("ro", Words("PATH"), true, Files, "the host's PATH, read-only, at the same place"),
    row("rw", Words("PATH"), true, Files, "the host's PATH, writable, at the same place"),
    row("ro-bind", Words("SRC DST"), true, Files, "the host's SRC, read-only, at DST"),
    row("rw-bind", Words("SRC DST"), true, Files, "the host's SRC, writable, at DST"),
    row("ro-try", Words("PATH"), true, Files, "--ro unless PATH is missing"),
    row("rw-try", Words("PATH"), true, Files, "--rw unless PATH is missing"),
    row("ro-bind-try", Words("SRC DST"), true, Files, "--ro-bind unless SRC is missing"),
    row("rw-bind-try", Words("SRC DST"), true, Files, "--rw-bind unless SRC is missing"),
    row("tmpfs", Words("DST[,size=N]"), true, Files, "an empty writable directory in memory"),
    row("dir", Words("DST"), true, Files, "an empty directory, made inside"),
    row("symlink", Words("TARGET DST"), true, Files, "a symbolic link, made inside"),
    row("file", Words("FD DST"), true, Files, "a file with what is read from descriptor FD"),
    row("hide", Words("PATH"), true, Files, "an empty, unreadable thing over PATH"),
    row("hide-try", Words("PATH"), true, Files, "--hide unless PATH is missing"),
    row("noexec", Words("PATH"), true, Files, "nothing under PATH can be executed"),
    row("device", Words("PATH"), true, Files, "one host device node, e.g. /dev/kvm"),
    row("device-try", Words("PATH"), true, Files, "--device unless PATH is missing"),

    row("env", Words("NAME[=VALUE]"), true, Surroundings, "pass NAME (or all that match a glob), or set it"),
    row("fd", Words("N"), true, Surroundings, "keep descriptor N; all others from 3 up are closed"),
    row("chdir", Words("DIR"), false, Surroundings, "start in DIR (default: here if visible, else /)"),
    row("umask", Words("MODE"), false, Surroundings, "the file mode mask (default: the caller's)"),
    row("processors", Words("N"), false, Surroundings, "run on N of the caller's processors, the first ones"),
    row("args", Words("FILE"), true, Surroundings, "read further flags from FILE, one word a line"),

    row("allow-syscall", Words("NAME|@GROUP"), true, Layers, "allow a system call that is refused by default"),
    row("deny-syscall", Words("NAME|@GROUP[:ERRNO]"), true, Layers, "refuse a system call: EPERM, or ERRNO"),
    row("seccomp", Words("default|none"), false, Layers, "the system-call policy, or none"),
    row("landlock", Words("default|none"), false, Layers, "a second fence for files, signals and sockets"),
    row("connect", Words("PORT"), true, Layers, "with --net host: the only TCP ports to reach"),
    row("listen", Words("PORT"), true, Layers, "with --net host: the only TCP ports to listen on"),
    row("degrade", Words("LAYER[,LAYER]"), false, Layers, "do without a layer that this machine lacks"),
    row("nested", Nothing, false, Layers, "user namespaces, and so jails, may be made inside"),
    row("cap", Words("NAME"), true, Layers, "keep one capability over the jail's own namespaces"),

    row("timeout", Words("DURATION"), false, Life, "then SIGTERM, and SIGKILL to all after --grace"),
    row("grace", Words("DURATION"), false, Life, "from SIGTERM to SIGKILL (default: 5s)"),
    row("rlimit", Words("NAME=SOFT[:HARD]"), true, Life, "a limit of each process, named as in prlimit(1)"),
    row("memory", Words("SIZE"), false, Life, "the most memory that the whole jail may use"),
    row("tasks", Words("N"), false, Life, "the most processes and threads that it may have"),
    row("cpus", Words("N"), false, Life, "the most processors' time that it may use"),
    row("pty", Nothing, false, Life, "a terminal of the jail's own, relayed"),
    row("new-session", Nothing, false, Life, "start the command in a session of its own"),
    row("init", Words("reaper|none"), false, Life, "what is process 1: a reaper, or the command itself"),

    row("explain", Perhaps("text|json|time"), false, Seeing, "what would be done; with time: how long it takes"),
    row("check", Perhaps("text|json"), false, Seeing, "try what this machine offers, layer by layer"),
    row("diff", PerhapsAnd(&["text|json", "DIR"]), false, Seeing, "list the changes that --overlay has kept in DIR"),
    row("status-fd", Words("N"), false, Seeing, "write a record of start and end to descriptor N"),
    row("trace-denied", Nothing, false, Seeing, "say on stderr which system calls are refused"),
    row("version", Nothing, false, Seeing, "print the version"),
    row("help", Nothing, false, Seeing, "print this"),
];

/// The row of the flag called `long`.
pub fn find(long: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.long == long)
}

const USAGE: &str = "usage: jail [OPTION]... [--] COMMAND [ARG]...\n";

const EXAMPLES: &str = "\
\u{20}   jail -- make test                       the host's system, read-only
    jail --rw . -- make test                ... and this directory, writable
    jail --root ./tree --net none -- cmd    ./tree is /, read-only
";

/// What `jail` alone says: enough for a first run.
pub fn first_words() -> String {
    format!(
        "{USAGE}{EXAMPLES}\
         See jail --help for every flag, and man jail for what each does;\n\
         jail --check says what this machine offers, and the remedy for what it refuses.\n"
    )
}

/// What `--help` prints; no line is longer than 80 columns.
pub fn help() -> String {
    let mut out = format!("{USAGE}Run COMMAND where it sees nothing but what a flag names.\n\n{EXAMPLES}");
    let mut section = None;
    for flag in FLAGS {
        if section != Some(flag.section) {
            section = Some(flag.section);
            out.push_str(&format!("\n{}\n", flag.section.title()));
        }
        let left = match flag.takes {
            Nothing => format!("  --{}", flag.long),
            Words(words) => format!("  --{} {words}", flag.long),
            Perhaps(word) => format!("  --{}[={word}]", flag.long),
            PerhapsAnd([word, name]) => format!("  --{}[={word}] {name}", flag.long),
        };
        out.push_str(&format!("{left:<27} {}\n", flag.help));
    }
    out.push_str(
        "\nExit status: the command's own; 128+N when signal N ended it; 124 timed out;\n\
         125 jail itself failed; 126 found but not executable; 127 not found.\n\
         See jail(1).\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_eighty_columns_and_names_every_flag() {
        let help = help();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for flag in FLAGS {
            assert!(help.contains(&format!("  --{}", flag.long)), "{}", flag.long);
        }
    }

    #[test]
    fn the_first_words_are_six_lines_of_eighty_columns() {
        let words = first_words();
        assert_eq!(words.lines().count(), 6, "{words}");
        assert!(words.lines().all(|line| line.chars().count() <= 80), "{words}");
    }

    #[test]
    fn no_flag_stands_twice() {
        for (index, flag) in FLAGS.iter().enumerate() {
            assert!(FLAGS[..index].iter().all(|other| other.long != flag.long), "{}", flag.long);
        }
    }
}
