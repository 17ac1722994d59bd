//! The letters of memory formats (`mdb_fmt.c`).
//!
//! # Invariants
//! - A letter stands once.

/// What a letter shows, or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A number: its base, its width in characters, whether it has a sign, whether C's prefix goes in front, whether its bytes are
    /// swapped.
    Number {
        /// 2, 8, 10 or 16.
        base: u8,
        /// Characters, padded on the right.
        width: u8,
        /// A sign is shown.
        is_signed: bool,
        /// `0x` or `0` goes in front.
        is_prefixed: bool,
        /// Most significant byte first.
        is_swapped: bool,
    },
    /// Each bit by itself, with its number.
    Bits,
    /// A character as it is.
    Char,
    /// A character, escaped if it has to be.
    EscapedChar,
    /// A string up to its NUL.
    Text,
    /// The same, escaped.
    EscapedText,
    /// An address as a symbol.
    Symbol,
    /// A floating-point number.
    Float,
    /// Seconds since 1970 as a date.
    Time,
    /// An instruction.
    Instruction,
    /// An address and its instruction.
    AddressedInstruction,
    /// `.` as a symbol.
    Dot,
    /// A new line.
    Newline,
    /// A blank.
    Blank,
    /// A tab.
    Tab,
    /// `.` goes on by so many bytes.
    Forward,
    /// `.` goes back by so many bytes.
    Back,
    /// `.` goes back by what the last letter took.
    Again,
    /// Writes values.
    Write,
    /// Looks for a value.
    Search,
}

/// A letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// It.
    pub letter: char,
    /// Bytes that it takes; 0 if none, or as many as it finds.
    pub size: usize,
    /// What it shows, for `::formats`.
    pub about: &'static str,
    /// How.
    pub layout: Layout,
}

const fn number(letter: char, size: usize, about: &'static str, base: u8, width: u8) -> Format {
    let layout = Layout::Number { base, width, is_signed: false, is_prefixed: false, is_swapped: false };
    Format { letter, size, about, layout }
}

const fn signed(letter: char, size: usize, about: &'static str, width: u8) -> Format {
    let layout = Layout::Number { base: 10, width, is_signed: true, is_prefixed: false, is_swapped: false };
    Format { letter, size, about, layout }
}

const fn octal(letter: char, size: usize, about: &'static str, width: u8, is_signed: bool) -> Format {
    let layout = Layout::Number { base: 8, width, is_signed, is_prefixed: true, is_swapped: false };
    Format { letter, size, about, layout }
}

const fn swapped(letter: char, size: usize, about: &'static str, width: u8) -> Format {
    let layout = Layout::Number { base: 16, width, is_signed: false, is_prefixed: false, is_swapped: true };
    Format { letter, size, about, layout }
}

const fn other(letter: char, size: usize, about: &'static str, layout: Layout) -> Format {
    Format { letter, size, about, layout }
}

/// Every letter, in the order of `::formats`.
pub const FORMATS: &[Format] = &[
    other('+', 0, "increment dot by the count (variable size)", Layout::Forward),
    other('-', 0, "decrement dot by the count (variable size)", Layout::Back),
    number('B', 1, "hexadecimal int (1 byte)", 16, 8),
    other('C', 1, "character using C character notation (1 byte)", Layout::EscapedChar),
    signed('D', 4, "decimal signed int (4 bytes)", 16),
    number('E', 8, "decimal unsigned long long (8 bytes)", 10, 21),
    other('F', 8, "double (8 bytes)", Layout::Float),
    octal('G', 8, "octal unsigned long long (8 bytes)", 23, false),
    swapped('H', 4, "swap bytes and shorts (4 bytes)", 16),
    other('I', 0, "address and disassembled instruction (variable size)", Layout::AddressedInstruction),
    number('J', 8, "hexadecimal long long (8 bytes)", 16, 16),
    number('K', 8, "hexadecimal uintptr_t (8 bytes)", 16, 16),
    other('L', 4, "search for int (4 bytes)", Layout::Search),
    other('M', 8, "search for long long (8 bytes)", Layout::Search),
    other('N', 0, "newline", Layout::Newline),
    octal('O', 4, "octal unsigned int (4 bytes)", 16, false),
    other('P', 8, "symbol (8 bytes)", Layout::Symbol),
    octal('Q', 4, "octal signed int (4 bytes)", 16, true),
    number('R', 8, "binary integer (8 bytes)", 2, 64),
    other('S', 0, "string using C string notation (variable size)", Layout::EscapedText),
    other('T', 0, "horizontal tab", Layout::Tab),
    number('U', 4, "decimal unsigned int (4 bytes)", 10, 16),
    number('V', 1, "decimal unsigned int (1 byte)", 10, 8),
    other('W', 4, "write default radix unsigned int (4 bytes)", Layout::Write),
    number('X', 4, "hexadecimal int (4 bytes)", 16, 16),
    other('Y', 4, "decoded time32_t (4 bytes)", Layout::Time),
    other('Z', 8, "write hexadecimal long long (8 bytes)", Layout::Write),
    other('^', 0, "decrement dot by increment * count (variable size)", Layout::Again),
    other('a', 0, "dot as symbol+offset", Layout::Dot),
    octal('b', 1, "octal unsigned int (1 byte)", 8, false),
    other('c', 1, "character (1 byte)", Layout::Char),
    signed('d', 2, "decimal signed short (2 bytes)", 8),
    signed('e', 8, "decimal signed long long (8 bytes)", 21),
    other('f', 4, "float (4 bytes)", Layout::Float),
    octal('g', 8, "octal signed long long (8 bytes)", 24, true),
    swapped('h', 2, "swap bytes (2 bytes)", 8),
    other('i', 0, "disassembled instruction (variable size)", Layout::Instruction),
    other('j', 8, "jazzed-up binary long long (8 bytes)", Layout::Bits),
    other('l', 2, "search for short (2 bytes)", Layout::Search),
    other('n', 0, "newline", Layout::Newline),
    octal('o', 2, "octal unsigned short (2 bytes)", 8, false),
    other('p', 8, "symbol (8 bytes)", Layout::Symbol),
    octal('q', 2, "octal signed short (2 bytes)", 8, true),
    other('r', 0, "whitespace", Layout::Blank),
    other('s', 0, "raw string (variable size)", Layout::Text),
    other('t', 0, "horizontal tab", Layout::Tab),
    number('u', 2, "decimal unsigned short (2 bytes)", 10, 8),
    other('v', 1, "write decimal signed int (1 byte)", Layout::Write),
    other('w', 2, "write default radix unsigned short (2 bytes)", Layout::Write),
    number('x', 2, "hexadecimal short (2 bytes)", 16, 8),
    other('y', 8, "decoded time64_t (8 bytes)", Layout::Time),
];

impl Format {
    /// The format of a letter.
    pub fn of(letter: char) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.letter == letter)
    }

    /// A number in this format's base, with its prefix and sign, not padded. `None` if it shows no numbers.
    pub(crate) fn digits(&self, value: u64) -> Option<String> {
        let Layout::Number { base, is_signed, is_prefixed, is_swapped, .. } = self.layout else {
            return None;
        };
        let unused = 64 - 8 * self.size.clamp(1, 8) as u32;
        let cut = value << unused >> unused;
        let value = if is_swapped { cut.swap_bytes() >> unused } else { cut };
        let negative = is_signed && (value << unused) >> 63 == 1;
        let magnitude = if negative { value.wrapping_neg() << unused >> unused } else { value };
        let text = match base {
            2 => format!("{magnitude:b}"),
            8 => format!("{magnitude:o}"),
            10 => magnitude.to_string(),
            _ => format!("{magnitude:x}"),
        };
        let prefix = if is_prefixed && magnitude != 0 { "0" } else { "" };
        Some(format!("{}{prefix}{text}", if negative { "-" } else { "" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(letter: char, value: u64, expect: &str) {
        let format = Format::of(letter).expect("a letter");
        assert_eq!(format.digits(value).as_deref(), Some(expect), "{letter}");
    }

    #[test]
    fn digits_are_those_of_the_letter() {
        check('D', 0xff9b_0253, "-6618541");
        check('X', 0xff9b_0253, "ff9b0253");
        check('U', 0xffff_ffff_ffff_ffff, "4294967295");
        check('d', 0x8000, "-32768");
        check('e', u64::MAX, "-1");
        check('b', 8, "010");
        check('o', 0, "0");
        check('q', 0xffff, "-01");
        check('h', 0x1234, "3412");
        check('H', 0x1234_5678, "78563412");
        check('R', 5, "101");
        check('K', 0xffff_ff01_dde4_1b90, "ffffff01dde41b90");
    }

    #[test]
    fn every_letter_stands_once() {
        let mut letters: Vec<char> = FORMATS.iter().map(|f| f.letter).collect();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), FORMATS.len());
    }
}
