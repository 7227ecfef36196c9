//! Bytes made fit to be read: on a terminal, and in JSON.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

/// A path or word for a person. Control characters and bytes that are not UTF-8
/// become `\xNN`, so that a file's name cannot write on the reader's terminal; a
/// backslash becomes two, so that a name that holds `\x1b` looks different.
pub fn shown(word: impl AsRef<OsStr>) -> String {
    shown_bytes(word.as_ref().as_bytes())
}

/// The same for a path that the kernel is given.
pub fn shown_path(path: &CStr) -> String {
    shown_bytes(path.to_bytes())
}

/// A path or word for a person, with words before and behind it.
pub fn about(before: &str, word: impl AsRef<OsStr>, behind: &str) -> String {
    around(before, word.as_ref(), behind)
}

fn around(before: &str, word: &OsStr, behind: &str) -> String {
    [before, &shown(word), behind].concat()
}

fn shown_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                // Not as \xNN: above 0x7f that is a byte.
                c if is_unsafe(c) && !c.is_ascii() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c if is_unsafe(c) => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if out.is_empty() { "''".into() } else { out }
}

/// True for what changes how a terminal or an editor shows the text around it: control
/// characters (C0, DEL and C1, of which U+009B begins a terminal's sequences), the
/// separators that end a line, and those that turn the direction of writing around.
fn is_unsafe(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A JSON string or, of what is not UTF-8, an array of its bytes: every parser
/// reads both, and nothing is lost. What could write on a reader's terminal is escaped:
/// people look at JSON, too. (A lone surrogate, Python's way, makes strict
/// parsers refuse the whole document.)
pub fn json(word: impl AsRef<OsStr>) -> String {
    json_bytes(word.as_ref().as_bytes())
}

fn json_bytes(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        // Not by {:?}: release builds leave it out.
        let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
        return format!("[{}]", numbers.join(", "));
    };
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // None of them lies above U+FFFF, which would take two.
            c if is_unsafe(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The word of `known` that is nearest to `typed`, if one is near enough to be
/// what was meant: at most a third of the letters differ.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_of(typed, &mut known.into_iter())
}

fn nearest_of<'a>(typed: &str, known: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (distance(typed, word), word))
        .min()
        .filter(|(d, word)| *d <= word.len().max(typed.len()) / 3)
        .map(|(_, word)| word)
}

/// How many letters must be put in, taken out, changed, or swapped with the next.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Row I and column J: from the first I letters of `a` to the first J of `b`.
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_on_the_terminal() {
        assert_eq!(shown(OsStr::from_bytes(b"a\x1b[2J\n\xff")), "a\\x1b[2J\\n\\xff");
        assert_eq!(shown("txt.\u{202e}exe"), "txt.\\u{202e}exe");
        assert_eq!(shown("a\u{9b}31m\u{7f}\u{2028}"), "a\\u{9b}31m\\x7f\\u{2028}");
        assert_eq!(shown("\\x1b"), "\\\\x1b", "and not what ESC is shown as");
        assert_ne!(shown("\u{9b}"), shown(OsStr::from_bytes(b"\x9b")));
    }

    #[test]
    fn json_keeps_every_byte() {
        assert_eq!(json(OsStr::from_bytes(b"a\"\\\n\xc3\xa9")), "\"a\\\"\\\\\\u000a\u{e9}\"");
        assert_eq!(json(OsStr::from_bytes(b"a\xff")), "[97, 255]");
        for (c, escaped) in [
            ('\u{1b}', "\\u001b"),
            ('\u{7f}', "\\u007f"),
            ('\u{80}', "\\u0080"),
            ('\u{9f}', "\\u009f"),
            ('\u{61c}', "\\u061c"),
            ('\u{200e}', "\\u200e"),
            ('\u{2028}', "\\u2028"),
            ('\u{202e}', "\\u202e"),
            ('\u{2066}', "\\u2066"),
            ('\u{a0}', "\u{a0}"),
            ('\u{1f600}', "\u{1f600}"),
        ] {
            assert_eq!(json(c.to_string()), format!("\"{escaped}\""));
        }
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["root", "writable", "ro-bind"];
        assert_eq!(nearest("writeable", known), Some("writable"));
        assert_eq!(nearest("ro-bnid", known), Some("ro-bind"));
        assert_eq!(nearest("mkdri", ["mkdir", "rmdir"]), Some("mkdir"), "two letters swapped are one mistake");
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(nearest("nope", ["home"]), None);
    }
}
