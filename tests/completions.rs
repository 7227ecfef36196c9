//! What bash, zsh and fish complete of a jail's command line: each is typed to in a
//! terminal, or, as fish can, asked. That the tables in packaging/completions are those
//! of the program is a test of the program's own.

#[path = "support/pty.rs"]
mod pty;
mod support;
use pty::Person;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::*;

const LIBRARY: &str = "/usr/share/bash-completion/bash_completion";

/// A directory with files whose names are known, and the scripts.
fn place() -> Scratch {
    let s = Scratch::new();
    for name in ["jail.bash", "jail.fish", "_jail"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(name);
        s.file(&format!("scripts/{name}"), &fs::read_to_string(file).unwrap());
    }
    s.dir("here/wood");
    s.dir("here/words apart");
    s.file("here/wool", "");
    s
}

/// Someone who types to a shell.
struct Typist {
    s: Scratch,
    shell: Shell,
}

enum Shell {
    /// In which this inserts all that could be meant.
    Typed(Person, &'static str),
    Fish,
}

impl Typist {
    /// At a shell that has this option for its `words`; None, loudly, where it is missing.
    fn at(words: &[&str], setup: &str, all: &'static str) -> Option<Self> {
        if !is_there(words[0]) {
            return None;
        }
        let s = place();
        let mut person = Person::at(&s.0.join("here"), words);
        s.file("scripts/setup", setup);
        person.types(". ../scripts/setup\n");
        person.sees("ready> ");
        person.types("\n");
        person.sees("ready> ");
        Some(Self { s, shell: Shell::Typed(person, all) })
    }

    fn at_bash(library: bool) -> Option<Self> {
        let library = if library { LIBRARY } else { "/dev/null" };
        let setup = format!(
            "bind 'set enable-bracketed-paste off'\nbind 'set completion-query-items 0'\n\
             bind -x '\"\\C-xp\": printf %s \"$READLINE_LINE\" >../line.part; mv ../line.part ../line'\n\
             . {library}; . ../scripts/jail.bash; PS2=; PS1='ready''> '\n"
        );
        Self::at(&["bash", "--norc", "--noprofile", "-i"], &setup, "\x1b*")
    }

    fn at_zsh() -> Option<Self> {
        let setup = "\
            fpath=($PWD/../scripts $fpath); autoload -Uz compinit; compinit -u -D; bindkey -e\n\
            show() { print -rn -- \"$BUFFER\" >../line.part; mv ../line.part ../line }\n\
            zle -N show; bindkey '^Xp' show; bindkey '^I' complete-word; unsetopt beep; unset zle_bracketed_paste\n\
            zle -C all complete-word _generic; bindkey '^X*' all\n\
            zstyle ':completion:all:*' completer _all_matches _complete\n\
            zstyle ':completion:all:*' insert true\n\
            zstyle ':completion:*' old-matches false\n\
            PROMPT_EOL_MARK=; PROMPT='ready''> '\n";
        Self::at(&["zsh", "-f", "-i"], setup, "\x18*")
    }

    fn at_fish() -> Option<Self> {
        is_there("fish").then(|| Self { s: place(), shell: Shell::Fish })
    }

    /// What the line is after these keys.
    fn line(&mut self, keys: &str) -> String {
        let Shell::Typed(person, _) = &mut self.shell else { panic!("fish is asked") };
        let file = self.s.0.join("line");
        let _ = fs::remove_file(&file);
        person.types(&format!("{keys}\x18p"));
        let start = Instant::now();
        let line = loop {
            match fs::read_to_string(&file) {
                Ok(line) => break line,
                Err(_) => assert!(start.elapsed() < Duration::from_secs(20), "{keys:?}: {}", person.waits(20)),
            }
        };
        person.types("\x01\x0b");
        line
    }

    /// The words that could follow `line`, of which only the last is shown.
    fn offers(&mut self, line: &str) -> Vec<String> {
        let words: Vec<String> = match &self.shell {
            Shell::Typed(_, all) => {
                let all = *all;
                let whole = self.line(&format!("{line}{all}"));
                // As long as nothing is quoted.
                let kept = line.rfind(' ').map_or(0, |at| at + 1);
                whole[whole.len().min(kept)..].split_whitespace().map(str::to_owned).collect()
            }
            Shell::Fish => {
                let mut fish = command(Path::new("fish"), &self.s.0.join("here"), false);
                fish.env("HOME", &self.s.0);
                fish.args(["-c", "source ../scripts/jail.fish; complete -C $argv[1]", line]);
                let out = outcome(fish);
                assert_eq!(out.err, "", "{line}");
                out.good().lines().map(|l| l.split('\t').next().unwrap().to_owned()).collect()
            }
        };
        // A shell that offers nothing leaves what was typed.
        let typed = line.rsplit(' ').next().unwrap();
        let mut words: Vec<String> = words
            .iter()
            .filter(|word| *word != typed)
            .map(|word| word.trim_end_matches(['=', '/', ',', ':']).rsplit(['=', ',', ':']).next().unwrap().to_owned())
            .collect();
        words.sort();
        words.dedup();
        words
    }
}

fn is_there(shell: &str) -> bool {
    let there = Command::new(shell).args(["-c", ":"]).status().is_ok();
    if !there {
        skip(&format!("{shell} is missing"));
    }
    there
}

fn helped() -> Vec<String> {
    let help = run(&["--help"]);
    let mut flags: Vec<String> = help
        .good()
        .lines()
        .filter_map(|line| line.strip_prefix("  --"))
        .map(|line| format!("--{}", line.split([' ', '[']).next().unwrap()))
        .collect();
    flags.sort();
    flags
}

/// What is to be offered in every shell.
fn knows_its_flags(at: &mut Typist) {
    let flags = helped();
    assert_eq!(at.offers("jail --"), flags);
    // One that may be given once is not offered again; one that repeats is.
    let again = at.offers("jail --net host --ro wood --writable --ro-bind=a b --");
    let given = ["--net".to_owned(), "--writable".to_owned()];
    assert_eq!(again, flags.iter().filter(|flag| !given.contains(flag)).cloned().collect::<Vec<_>>());

    for (line, words) in [
        ("jail --net ", "host none pasta"),
        ("jail --net=", "host none pasta"),
        ("jail --net=ho", "host"),
        ("jail --ro wood --home ", "none private"),
        ("jail --explain=", "json text time"),
        ("jail --diff=", "json text"),
        ("jail --seccomp default --landlock ", "default none"),
        ("jail --cap sys_r", "sys_rawio sys_resource"),
        ("jail --cap=net_", "net_admin net_bind_service net_broadcast net_raw"),
        ("jail --rlimit nof", "nofile"),
        ("jail --allow-syscall @c", "@chown @clock @cpu-emulation"),
        ("jail --allow-syscall=@mo", "@module @mount"),
        ("jail --deny-syscall clos", "close close_range"),
        ("jail --deny-syscall clone3:ENOS", "ENOSPC ENOSR ENOSTR ENOSYS"),
        ("jail --degrade user", "userns-limit"),
        ("jail --degrade net,p", "pid proc"),
        ("jail --degrade pid,p", "proc"),
        ("jail --hostname ", ""),
        ("jail --reach uni", "unix"),
        ("jail --reach localho", "localhost"),
    ] {
        assert_eq!(at.offers(line).join(" "), words, "{line}");
    }
    let calls = at.offers("jail --deny-syscall ");
    assert!(calls.len() > 380 && ["@system-service", "openat2"].iter().all(|call| calls.contains(&(*call).to_owned())));
    assert!(at.offers("jail --degrade ").contains(&"landlock".to_owned()));
    assert!(at.offers("jail --env ").contains(&"SECRET".to_owned()));
    assert_eq!(at.offers("jail --env SECR"), ["SECRET"]);
}

fn knows_its_paths(at: &mut Typist) {
    for (line, words) in [
        ("jail --ro woo", "wood wool"),
        ("jail --ro=woo", "wood wool"),
        ("jail --root woo", "wood"),
        ("jail --root=woo", "wood"),
        ("jail --ro-bind woo", "wood wool"),
        ("jail --ro-bind wood woo", "wood wool"),
        ("jail --ro-bind=wood woo", "wood wool"),
        ("jail --symlink /x woo", "wood wool"),
        ("jail --diff woo", "wood"),
        ("jail --diff=json woo", "wood"),
        ("jail --file 3 woo", "wood wool"),
        ("jail --file woo", ""),
        ("jail --reach unix:woo", "wood wool"),
        ("jail --reach=unix:woo", "wood wool"),
    ] {
        assert_eq!(at.offers(line).join(" "), words, "{line}");
    }
}

/// What of another command's line is completed as it is without jail.
fn leaves_the_command_to_itself(at: &mut Typist, line: &str, words: &[&str]) {
    for before in ["jail -- ", "jail ", "jail --net host ", "jail --ro-bind a b --explain ", "jail --ro=x -- jail --pty "] {
        let offered = at.offers(&format!("{before}{line}"));
        for word in words {
            assert!(offered.contains(&(*word).to_owned()), "{before}{line}: {offered:?}");
        }
        let flags: Vec<&String> = offered.iter().filter(|word| *word == "--landlock").collect();
        assert!(flags.is_empty(), "{before}{line}: {offered:?}");
    }
    // A command by its name, and none where a value is due.
    assert_eq!(at.offers("jail -- setpri"), ["setpriv"]);
    assert_eq!(at.offers("jail --pty setpri"), ["setpriv"]);
    assert_eq!(at.offers("jail --hostname setpri"), [""; 0]);
    // Files are a command's words, too.
    assert_eq!(at.offers("jail -- cat woo"), ["wood", "wool"]);
}

#[test]
fn bash_completes_flags_values_and_the_command() {
    let Some(mut at) = Typist::at_bash(true) else { return };
    if !Path::new(LIBRARY).exists() {
        return skip("bash-completion is missing");
    }
    knows_its_flags(&mut at);
    knows_its_paths(&mut at);
    leaves_the_command_to_itself(&mut at, "sort --rev", &["--reverse"]);
    for (keys, line) in [
        ("jail --net=h", "jail --net=host "),
        ("jail --writ", "jail --writable "),
        ("jail --rlimit=nof", "jail --rlimit=nofile="),
        ("jail --ro words", "jail --ro words\\ apart/"),
        ("jail --ro=words", "jail --ro=words\\ apart/"),
        ("jail --allow-syscall @system", "jail --allow-syscall @system-service "),
        ("true && jail --net ho", "true && jail --net host "),
        ("TOKEN=x jail --net ho", "TOKEN=x jail --net host "),
    ] {
        assert_eq!(at.line(&format!("{keys}\t")), line);
    }
    // At the cursor, whatever follows it.
    assert_eq!(at.line("jail --net=h -- ls\x01\x1bf\x1bf\x1bf\t"), "jail --net=host -- ls");
}

#[test]
fn bash_completes_flags_and_values_without_its_library() {
    let Some(mut at) = Typist::at_bash(false) else { return };
    knows_its_flags(&mut at);
    knows_its_paths(&mut at);
    assert_eq!(at.offers("jail -- setpri"), ["setpriv"]);
    assert_eq!(at.offers("jail --pty cat woo"), ["wood", "wool"]);
}

#[test]
fn zsh_completes_flags_values_and_the_command() {
    let Some(mut at) = Typist::at_zsh() else { return };
    knows_its_flags(&mut at);
    knows_its_paths(&mut at);
    leaves_the_command_to_itself(&mut at, "sort --rev", &["--reverse"]);
    for (keys, line) in [
        ("jail --net=h", "jail --net=host "),
        ("jail --writ", "jail --writable "),
        ("jail --rlimit=nof", "jail --rlimit=nofile="),
        ("jail --ro words", "jail --ro words\\ apart/"),
        ("jail --ro=words", "jail --ro=words\\ apart/"),
    ] {
        assert_eq!(at.line(&format!("{keys}\t")), line);
    }
}

#[test]
fn fish_completes_flags_values_and_the_command() {
    let Some(mut at) = Typist::at_fish() else { return };
    knows_its_flags(&mut at);
    knows_its_paths(&mut at);
    leaves_the_command_to_itself(&mut at, "sort --rev", &["--reverse"]);
}
