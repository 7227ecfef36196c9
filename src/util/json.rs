//! Texts as JSON.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::util::escape::is_unsafe;

/// A JSON string or, of what is not UTF-8, an array of its bytes: every parser
/// reads both, and nothing is lost. What could write on a reader's terminal is escaped:
/// people look at JSON, too. (A lone surrogate, Python's way, makes strict
/// parsers refuse the whole document.)
pub fn json(word: impl AsRef<OsStr>) -> String {
    json_bytes(word.as_ref().as_bytes())
}

pub(crate) fn json_bytes(bytes: &[u8]) -> String {
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
