//! Words of a command line as a POSIX shell takes them back: what is printed can be typed again.
//!
//! # Invariants
//! - What is printed is text that a terminal shows and does not obey, whatever bytes a path has.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use umpire_rows::text::printable;

/// A word as a POSIX shell takes it back. Bytes that are no text, and characters that no terminal shows, are written by `printf`, which
/// every shell has; a newline stays one, for no shell keeps it at the end of what a command prints.
pub(super) fn shell(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=:+,@%".contains(c);
    if let Some(text) = word.to_str().filter(|text| !text.is_empty() && text.chars().all(plain)) {
        return text.to_owned();
    }
    let mut quoted = Quoted { out: String::new(), open: None };
    for chunk in word.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            let text = c.encode_utf8(&mut [0; 4]).to_owned();
            // A backquote would end the code that a page of Markdown shows.
            match c {
                '\'' => quoted.add(None, r"\'"),
                _ if c != '`' && printable(&text) == text => quoted.add(Some(Part::Text), &text),
                _ => quoted.bytes(text.as_bytes()),
            }
        }
        quoted.bytes(chunk.invalid());
    }
    quoted.add(None, "");
    if quoted.out.is_empty() { "''".to_owned() } else { quoted.out }
}

/// What a piece of a word stands in.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Single quotes.
    Text,
    /// The format of a `printf`.
    Bytes,
}

/// A word that is being quoted, and the part that is open.
struct Quoted {
    out: String,
    open: Option<Part>,
}

impl Quoted {
    /// Adds a piece to a part, or outside of any.
    fn add(&mut self, part: Option<Part>, piece: &str) {
        if part != self.open {
            self.out += match self.open {
                Some(Part::Text) => "'",
                Some(Part::Bytes) => "')\"",
                None => "",
            };
            self.out += match part {
                Some(Part::Text) => "'",
                Some(Part::Bytes) => "\"$(printf '",
                None => "",
            };
            self.open = part;
        }
        self.out += piece;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let mut piece = String::new();
            // A String takes everything; there is no error to handle.
            let _ = write!(piece, "\\{byte:03o}");
            self.add(Some(Part::Bytes), &piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_with_blanks_or_quotes_is_quoted_for_the_shell() {
        assert_eq!(shell("kpreemptpri=99"), "kpreemptpri=99");
        assert_eq!(shell("on the clock's CPU"), r"'on the clock'\''s CPU'");
        assert_eq!(shell(""), "''");
        assert_eq!(shell("'"), r"\'");
        assert_eq!(shell(OsStr::from_bytes(b"a\xff\x1b.toml")), r#"'a'"$(printf '\377\033')"'.toml'"#);
    }

    #[test]
    fn word_of_any_bytes_comes_back_from_a_shell() {
        let all: Vec<u8> = (1..=255).collect();
        let words: [&[u8]; 6] = [
            &all,
            b"two\nlines\n",
            b"\xff",
            b"-\xc3\x28'`$(exit 1)`\\",
            "\u{202e}\u{e9}".as_bytes(),
            b"%s\\n\x01%d",
        ];
        for word in words {
            let line = shell(OsStr::from_bytes(word));
            assert!(
                line.chars().all(|c| c == '\n' || printable(&c.to_string()) == c.to_string()),
                "{line:?}"
            );
            let said = std::process::Command::new("sh").args(["-c", &format!("printf %s {line}")]).output();
            assert_eq!(said.expect("every host has a shell").stdout, word, "{line}");
        }
    }
}
