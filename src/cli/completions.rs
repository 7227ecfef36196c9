//! What the shells know of jail: the tables in packaging/completions are made of those
//! of the program. A test holds them against each other, and
//! `JAIL_WRITE_COMPLETIONS=1 cargo test completions` writes them anew.

use crate::cli::flags::{FLAGS, Flag, Takes};
use crate::policy::layer::Degradable;
use crate::seccomp::overrides;
use crate::seccomp::policy::table;
use crate::sys::caps;
use crate::sys::rlimits;

/// What a value is one of.
#[derive(Clone, Copy)]
enum Kind {
    /// Words that the table of flags has.
    Choice(&'static str),
    /// Paths.
    Path,
    /// Directories.
    Directory,
    /// Variables of the environment.
    Variable,
    /// System calls and groups of them.
    Call,
    /// The same, and an error.
    Refusal,
    /// Capabilities.
    Capability,
    /// Limits of a process, and their values.
    Limit,
    /// Layers that can be done without, commas between.
    Layers,
    /// Endpoints: a host and its port, or a Unix socket.
    Endpoint,
    /// Whatever the user has in mind.
    Free,
}

fn kind(flag: &Flag, word: &'static str) -> Kind {
    match word {
        "PATH" | "SRC" | "DST" | "TARGET" | "FILE" => Kind::Path,
        "DIR" | "DST[,size=N]" => Kind::Directory,
        "NAME[=VALUE]" => Kind::Variable,
        "NAME|@GROUP" => Kind::Call,
        "NAME|@GROUP[:ERRNO]" => Kind::Refusal,
        "NAME" if flag.long == "cap" => Kind::Capability,
        "NAME=SOFT[:HARD]" => Kind::Limit,
        "LAYER[,LAYER]" => Kind::Layers,
        "HOST:PORT|unix:PATH" => Kind::Endpoint,
        "N" | "FD" | "PORT" | "[ADDR:]PORT[:PORT]" | "NAME" | "DURATION" | "SIZE" | "MODE" => Kind::Free,
        choice if choice.bytes().all(|b| b.is_ascii_lowercase() || b == b'|') => Kind::Choice(choice),
        other => panic!("--{} {other}: which kind is it?", flag.long),
    }
}

/// The kinds of a flag's values: one that only = can give, and those that follow.
fn kinds(flag: &Flag) -> (Option<Kind>, Vec<Kind>) {
    match flag.takes {
        Takes::Nothing => (None, Vec::new()),
        Takes::Words(words) => (None, words.split(' ').map(|word| kind(flag, word)).collect()),
        Takes::Perhaps(word) => (Some(kind(flag, word)), Vec::new()),
        Takes::PerhapsAnd([word, name]) => (Some(kind(flag, word)), vec![kind(flag, name)]),
    }
}

/// The lists that more than one flag has, or that are long: a name and the words.
fn lists() -> Vec<(&'static str, Vec<String>)> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut calls: Vec<&str> = table::CALLS.iter().map(|call| call.name()).collect();
    calls.sort_unstable();
    let mut errors: Vec<&str> = (1..200).filter_map(overrides::errno_name).collect();
    errors.sort_unstable();
    vec![
        ("groups", table::groups().map(|group| format!("@{group}")).collect()),
        ("calls", owned(&calls)),
        ("errors", owned(&errors)),
        ("capabilities", caps::all().map(str::to_owned).collect()),
        ("limits", rlimits::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect()),
        ("layers", Degradable::ALL.iter().map(|(name, _)| (*name).to_owned()).collect()),
    ]
}

/// Words in lines of some length, with this between the lines.
fn lines(words: &[String], between: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in words {
        if length + word.len() > 100 {
            out.push_str(between);
            length = 0;
        } else if length > 0 {
            out.push(' ');
        }
        out.push_str(word);
        length += word.len() + 1;
    }
    out
}

/// In single quotes, as all three shells take it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The word by which the scripts for bash and fish know a kind.
fn word(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => words.replace('|', " "),
        Kind::Path => "@path".into(),
        Kind::Directory => "@dir".into(),
        Kind::Variable => "@variable".into(),
        Kind::Call => "@call".into(),
        Kind::Refusal => "@refusal".into(),
        Kind::Capability => "@capability".into(),
        Kind::Limit => "@limit".into(),
        Kind::Layers => "@layers".into(),
        Kind::Endpoint => "@endpoint".into(),
        Kind::Free => String::new(),
    }
}

/// The same of a value after =, which there is, of whatever kind it is.
fn some(kind: Kind) -> String {
    Some(word(kind)).filter(|word| !word.is_empty()).unwrap_or_else(|| " ".into())
}

fn words(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| format!(" {}", quoted(&word(*kind)))).collect()
}

fn bash() -> String {
    let long: Vec<String> = FLAGS.iter().map(|flag| format!("--{}", flag.long)).collect();
    let mut out = format!("_jail_flags='{}'\n", lines(&long, "\n"));
    for (name, list) in lists() {
        out.push_str(&format!("_jail_{name}='{}'\n", lines(&list, "\n")));
    }
    out.push_str("\n_jail_row()\n{\n    once=1 after='' kinds=()\n    case $1 in\n");
    for flag in FLAGS {
        let (after, follow) = kinds(flag);
        let mut row = Vec::new();
        if flag.repeats {
            row.push("once=''".into());
        }
        if let Some(after) = after {
            row.push(format!("after={}", quoted(&some(after))));
        }
        if !follow.is_empty() {
            row.push(format!("kinds=({})", words(&follow).trim_start()));
        }
        if !row.is_empty() {
            out.push_str(&format!("    --{}) {} ;;\n", flag.long, row.join(" ")));
        }
    }
    out.push_str("    esac\n}\n");
    out
}

fn fish() -> String {
    let mut out = String::new();
    for (name, list) in lists() {
        out.push_str(&format!("set -g __jail_{name} {}\n", lines(&list, " \\\n    ")));
    }
    out.push_str("\nfunction __jail_flags\n");
    for flag in FLAGS {
        out.push_str(&format!("    printf '%s\\t%s\\n' --{} {}\n", flag.long, quoted(flag.help).replace("'\\''", "\\'")));
    }
    out.push_str(
        "end\n\nfunction __jail_row --no-scope-shadowing\n    set kinds\n    set after\n    set once 1\n    switch $argv[1]\n",
    );
    for flag in FLAGS {
        let (after, follow) = kinds(flag);
        let mut row = String::new();
        if flag.repeats {
            row.push_str("            set once\n");
        }
        if let Some(after) = after {
            row.push_str(&format!("            set after {}\n", quoted(&some(after))));
        }
        if !follow.is_empty() {
            row.push_str(&format!("            set kinds{}\n", words(&follow)));
        }
        if !row.is_empty() {
            out.push_str(&format!("        case --{}\n{row}", flag.long));
        }
    }
    out.push_str("    end\nend\n");
    out
}

fn zsh() -> String {
    let mut out = String::from("_jail_table() {\n");
    for (name, list) in lists() {
        out.push_str(&format!("    {name}=({})\n", lines(&list, "\n        ")));
    }
    out.push_str("    flags=(\n");
    for flag in FLAGS {
        let value = |kind: Kind, name: &str| {
            let action = match kind {
                Kind::Choice(words) => format!("({})", words.replace('|', " ")),
                Kind::Path => "_files".into(),
                Kind::Directory => "_files -/".into(),
                Kind::Variable => "_parameters -g \"*export*\"".into(),
                Kind::Call => "_jail_calls".into(),
                Kind::Refusal => "_jail_refusals".into(),
                Kind::Capability => "compadd -a capabilities".into(),
                Kind::Limit => "_jail_limits".into(),
                Kind::Layers => "_jail_layers".into(),
                Kind::Endpoint => "_jail_endpoints".into(),
                Kind::Free => " ".into(),
            };
            format!(":{}:{action}", name.replace(':', "\\:"))
        };
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
        let all = |names: &[&'static str]| -> String { names.iter().map(|name| value(kind(flag, name), name)).collect() };
        let repeats = if flag.repeats { "*" } else { "" };
        let mut spec = |equals: &str, values: &str| {
            let spec = format!("{repeats}--{}{equals}[{}]{values}", flag.long, escaped(flag.help));
            out.push_str(&format!("        {}\n", quoted(&spec)));
        };
        match flag.takes {
            Takes::Nothing => spec("", ""),
            Takes::Words(names) => spec("=", &all(&names.split(' ').collect::<Vec<_>>())),
            Takes::Perhaps(name) => spec("=-", &format!(":{}", all(&[name]))),
            Takes::PerhapsAnd([form, name]) => {
                spec("", &all(&[name]));
                spec("=-", &all(&[form, name]));
            }
        }
    }
    out.push_str("    )\n}\n");
    out
}

#[test]
fn completions_are_made_of_the_tables() {
    const BEGIN: &str = "# begin: made of the flags' table\n";
    const END: &str = "# end\n";
    for (name, table) in [("jail.bash", bash()), ("jail.fish", fish()), ("_jail", zsh())] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(name);
        let text = std::fs::read_to_string(&path).expect("it is there");
        let (head, rest) = text.split_once(BEGIN).expect("it has a beginning");
        let (_, tail) = rest.split_once(END).expect("it has an end");
        let right = format!("{head}{BEGIN}{table}{END}{tail}");
        if std::env::var_os("JAIL_WRITE_COMPLETIONS").is_some() {
            std::fs::write(&path, &right).expect("write it");
        } else {
            assert!(text == right, "{name} is not what the tables give: JAIL_WRITE_COMPLETIONS=1 cargo test completions");
        }
    }
}
