//! Names and texts of others, made safe to print.

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

pub(crate) fn around(before: &str, word: &OsStr, behind: &str) -> String {
    [before, &shown(word), behind].concat()
}

pub(crate) fn shown_bytes(bytes: &[u8]) -> String {
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
pub(crate) fn is_unsafe(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::json::json;
    use crate::util::suggest::nearest;

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
