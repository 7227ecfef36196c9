//! Bytes made fit to be read: on a terminal, and in JSON.

/// True for what changes how a terminal or an editor shows the text around it: control
/// characters (C0, DEL and C1, of which U+009B begins a terminal's sequences), the
/// separators that end a line, and those that turn the direction of writing around.
pub(crate) fn is_unsafe(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}
