//! The command line, as it was typed. Nothing is looked up or decided here; only
//! `--args FILE` is read, through a function that the caller gives.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::Arg;

use crate::cli::flags::{self, FLAGS, Flag, Takes};
use crate::error::{Asked, Error, Layer, Words};
use crate::util::escape::{about, shown};
use crate::util::suggest::nearest;

/// One flag and what followed it.
#[derive(Debug)]
pub struct Given {
    /// The flag's row.
    pub flag: &'static Flag,
    /// As many words as it takes.
    pub values: Vec<OsString>,
}

impl Given {
    /// The flag as typed.
    pub fn asked(&self) -> Asked {
        match (self.flag.takes, &self.values[..]) {
            (Takes::Perhaps(_), [value]) | (Takes::PerhapsAnd(..), [value, _]) => {
                Asked::new(&format!("{}={}", self.flag.long, shown(value)), &self.values[1..])
            }
            (Takes::Perhaps(_) | Takes::PerhapsAnd(..) | Takes::Nothing | Takes::Words(_), _) => {
                Asked::new(self.flag.long, &self.values)
            }
        }
    }
}

/// What was typed.
#[derive(Debug, Default)]
pub struct Typed {
    /// The flags in the order given, those of `--args` files among them.
    pub flags: Vec<Given>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// The content of each `--args` file, in the order given.
    pub args_files: Vec<Vec<u8>>,
}

/// Reads the words after the program's name. `read` gives a file's content.
///
/// # Errors
/// An unknown flag, a missing or needless value, a flag given twice that may be
/// given once, an `--args` file that cannot be read or holds a command.
pub fn parse(words: Vec<OsString>, read: &mut dyn FnMut(&OsStr) -> Result<Vec<u8>, String>) -> Result<Typed, Error> {
    let mut typed = Typed::default();
    typed.command = parse_into(words, &mut typed.flags)?;

    let (files, mut flags): (Vec<Given>, Vec<Given>) = typed.flags.into_iter().partition(|given| given.flag.long == "args");
    for (index, file) in files.iter().enumerate() {
        if files[..index].iter().any(|other| other.values == file.values) {
            return Err(Error::usage(file.asked(), "given twice", "name each file once"));
        }
        let asked = Some(file.asked());
        let of_the_file = |error: Error| error.met(format!("read {}", file.asked().text()), Layer::CommandLine);
        let bytes = read(&file.values[0]).map_err(|problem| {
            Error::usage(asked, problem, "name a readable file, - for standard input, or /dev/fd/N").met("", Layer::Files)
        })?;
        let start = flags.len();
        let command = parse_into(split(&bytes), &mut flags).map_err(of_the_file)?;
        if let Some(word) = command.first() {
            return Err(Error::usage(
                asked,
                about("", word, " is not a flag"),
                "give the command on the command line; a file holds flags, one word a line",
            ));
        }
        if flags[start..].iter().any(|given| given.flag.long == "args") {
            return Err(Error::usage(asked, "holds --args itself", "name every file on the command line"));
        }
        typed.args_files.push(bytes);
    }
    if let Some(file) = files.iter().find(|file| file.values[0] == "-") {
        if let Some(other) = flags.iter().find(|given| given.flag.long == "file" && given.values[0] == "0") {
            let problem = format!("standard input is read by {} too", other.asked().text());
            return Err(Error::usage(file.asked(), problem, "open another descriptor for one of the two"));
        }
    }
    for (index, given) in flags.iter().enumerate() {
        if !given.flag.repeats && flags[..index].iter().any(|other| other.flag.long == given.flag.long) {
            return Err(Error::usage(given.asked(), "given twice", format!("give --{} once", given.flag.long)));
        }
    }
    typed.flags = flags;
    Ok(typed)
}

/// The words of an `--args` file: separated by NUL if it holds one, else a line
/// each, without empty lines and those that begin with `#`.
fn split(bytes: &[u8]) -> Vec<OsString> {
    let word = |w: &[u8]| OsString::from_vec(w.to_vec());
    if bytes.contains(&0) {
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        return bytes.split(|b| *b == 0).map(word).collect();
    }
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').map(word).collect()
}

/// Appends the flags at the head of `words` and gives the rest: the command.
fn parse_into(words: Vec<OsString>, flags: &mut Vec<Given>) -> Result<Vec<OsString>, Error> {
    let mut parser = lexopt::Parser::from_args(words);
    loop {
        let long = match parser.next().map_err(|e| needless(&e))? {
            None => return Ok(Vec::new()),
            Some(Arg::Value(word)) => {
                let mut command = vec![word];
                command.extend(parser.raw_args().map_err(|e| needless(&e))?);
                return Ok(command);
            }
            Some(Arg::Short(c)) => {
                let typed = format!("-{}", c.escape_default());
                return Err(Error::usage(
                    Asked::typed(typed),
                    "unknown flag; all flags are long",
                    "see jail --help, or put -- before the command",
                ));
            }
            Some(Arg::Long(long)) => long.to_owned(),
        };
        let flag = flags::find(&long).ok_or_else(|| unknown(&long))?;
        let values = match flag.takes {
            Takes::Nothing => Vec::new(),
            Takes::Perhaps(_) => parser.optional_value().into_iter().collect(),
            Takes::PerhapsAnd([_, name]) => {
                let mut values: Vec<OsString> = parser.optional_value().into_iter().collect();
                values.push(value(&mut parser, flag, name)?);
                values
            }
            Takes::Words(names) => {
                let mut values = Vec::new();
                for name in names.split(' ') {
                    values.push(value(&mut parser, flag, name)?);
                }
                values
            }
        };
        flags.push(Given { flag, values });
    }
}

/// The next word, as `flag`'s value called `name`.
fn value(parser: &mut lexopt::Parser, flag: &Flag, name: &str) -> Result<OsString, Error> {
    let missing = |got: &str| {
        Error::usage(
            Asked::new(flag.long, &[]),
            format!("{name} is missing{got}"),
            format!(
                "write --{} {}",
                flag.long,
                match flag.takes {
                    Takes::Words(names) => names,
                    Takes::PerhapsAnd([_, name]) => name,
                    Takes::Nothing | Takes::Perhaps(_) => "",
                }
            ),
        )
    };
    let attached = parser.optional_value();
    if let Some(value) = attached {
        return Ok(value);
    }
    // `--ro --rw x` forgot a path; it does not mean one called --rw.
    match parser.try_raw_args() {
        Some(mut raw) => match raw.peek() {
            None => Err(missing("")),
            Some(next) if next.as_bytes().starts_with(b"--") => {
                Err(missing(&about(" (", next, " follows; after = it would be taken)")))
            }
            Some(_) => raw.next().ok_or_else(|| missing("")),
        },
        None => Err(missing("")),
    }
}

fn unknown(long: &str) -> Error {
    let remedy: Words = match nearest(long, FLAGS.iter().map(|flag| flag.long)) {
        // As a line of an --args file, or within quotes.
        _ if long.split_once(' ').is_some_and(|(name, _)| flags::find(name).is_some()) => {
            "give the value as a word of its own (in a file, a line of its own), or after =".into()
        }
        Some(near) => format!("did you mean --{near}?").into(),
        None => "see jail --help".into(),
    };
    Error::usage(Asked::new(&shown(long), &[]), "unknown flag", remedy)
}

/// lexopt's own complaints: only a value for a flag that takes none is left.
fn needless(error: &lexopt::Error) -> Error {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            Error::usage(Asked::typed(option.clone()), about("takes no value, ", value, " was given"), "leave it out")
        }
        lexopt::Error::MissingValue { .. }
        | lexopt::Error::UnexpectedOption(_)
        | lexopt::Error::UnexpectedArgument(_)
        | lexopt::Error::NonUnicodeValue(_)
        | lexopt::Error::ParsingFailed { .. }
        | lexopt::Error::Custom(_) => Error::usage(None, "the command line cannot be read", "see jail --help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }
    fn typed(line: &str) -> Result<Typed, Error> {
        parse(words(line), &mut |_| Ok(b"# a comment\n--net\nhost\n\n--ro=/x y\n".to_vec()))
    }
    fn refused(line: &str) -> String {
        typed(line).expect_err(line).to_string()
    }

    #[test]
    fn options_end_at_the_first_operand() {
        let t = typed("--ro /a ls --rw /b -- x").unwrap();
        assert_eq!(t.flags.len(), 1);
        assert_eq!(t.command, words("ls --rw /b -- x"));
    }

    #[test]
    fn options_end_at_two_dashes() {
        assert_eq!(typed("--ro=/a -- --odd").unwrap().command, words("--odd"));
        assert_eq!(typed("-- -- x").unwrap().command, words("-- x"));
    }

    #[test]
    fn both_forms_of_a_value() {
        let t = typed("--ro-bind=/a /b --ro-bind /c /d x").unwrap();
        assert_eq!(t.flags[0].values, words("/a /b"));
        assert_eq!(t.flags[1].values, words("/c /d"));
    }

    #[test]
    fn a_form_and_then_a_value() {
        let t = typed("--diff=json d --root /t").unwrap();
        assert_eq!((&t.flags[0].values, t.flags[0].asked().text()), (&words("json d"), "--diff=json d"));
        let t = typed("--diff json").unwrap();
        assert_eq!((&t.flags[0].values, t.flags[0].asked().text()), (&words("json"), "--diff json"));
        assert!(refused("--diff=json").contains("DIR is missing"));
        assert!(refused("--diff --root x").contains("DIR is missing (--root follows"));
    }

    #[test]
    fn a_flag_is_not_taken_for_a_value() {
        assert!(refused("--ro --rw /x y").contains("PATH is missing (--rw follows"));
        assert!(refused("--ro -- y").contains("PATH is missing"));
        assert!(refused("--ro-bind /x").contains("DST is missing"));
        assert_eq!(typed("--ro=--rw x").unwrap().flags[0].values, words("--rw"));
    }

    #[test]
    fn mistakes_name_the_flag_and_the_remedy() {
        assert!(refused("--writeable x").contains("--writeable: unknown flag"));
        assert!(refused("--writeable x").contains("did you mean --writable?"));
        assert!(refused("-v x").contains("-v: unknown flag"));
        assert!(refused("--as-root=1 x").contains("takes no value"));
        assert!(refused("--net none --net none x").contains("given twice"));
    }

    #[test]
    fn a_file_of_flags_is_read_a_word_a_line() {
        let t = typed("--args f -- cmd").unwrap();
        assert_eq!(t.flags.len(), 2);
        assert_eq!(t.flags[1].values, [OsString::from("/x y")]);
    }

    #[test]
    fn a_file_with_nul_is_split_there() {
        assert_eq!(split(b"--dir\0/a\nb\0#c\0"), ["--dir", "/a\nb", "#c"].map(OsString::from));
    }

    #[test]
    fn an_error_in_a_file_names_the_file() {
        let said = |file: &'static str| parse(words("--args f x"), &mut |_| Ok(file.into())).unwrap_err().to_string();
        assert!(said("--bogus\n").starts_with("jail: --bogus: read --args f: unknown flag\n"));
        assert!(said("--rw").starts_with("jail: --rw: read --args f: PATH is missing\n"));
        assert!(said("--rw .\n").ends_with("as a word of its own (in a file, a line of its own), or after ="));
    }

    #[test]
    fn a_command_in_a_file_is_refused() {
        let error = parse(words("--args f x"), &mut |_| Ok(b"ls\n".to_vec())).unwrap_err();
        assert!(error.to_string().contains("ls is not a flag"));
    }
}
