//! The tree of what was typed.
//!
//! # Invariants
//! - Each part that can be wrong when it is carried out knows its place in the text.

use super::failure::Span;

/// What is carried out at once: `[expr] [, expr] pipeline [! shell]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The address in front, if there is one.
    pub addr: Option<Expr>,
    /// The count behind the comma, if there is one.
    pub count: Option<Expr>,
    /// The commands; none for a naked expression.
    pub pipeline: Vec<Command>,
    /// What the shell is to do with the output; with an empty pipeline and no address, a plain shell command.
    pub shell: Option<String>,
    /// Where it stands.
    pub at: Span,
}

/// One command of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What it is.
    pub verb: Verb,
    /// Where its name stands.
    pub at: Span,
}

/// What a command is.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// `::name args`, `$c args`, `:c args`: the name without the colons, with the `$` or the one colon.
    Dcmd {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Vec<Arg>,
    },
    /// `/ fmt`, `? fmt`, `\ fmt`, `@ fmt`, `= fmt`.
    Format {
        /// Which of the five.
        sigil: char,
        /// What is shown, or written.
        items: Vec<FormatItem>,
        /// What is written or looked for: the expressions behind `v`, `w`, `W`, `Z`, `l`, `L`, `M`.
        values: Vec<Expr>,
    },
    /// `> name`, `>/c/ name`.
    Assign {
        /// How much of the value is kept.
        width: Width,
        /// The variable.
        name: String,
    },
}

/// One letter of a format list, with its repeat count.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatItem {
    /// How often.
    pub repeat: Repeat,
    /// The letter.
    pub letter: char,
    /// Where it stands.
    pub at: Span,
}

/// How often a format is applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Repeat {
    /// So often; decimal in the text.
    Times(u64),
    /// As often as `$[expr]` says.
    Computed(Box<Expr>),
}

/// An argument of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// Its text, unquoted. Empty if it is a value.
    pub text: String,
    /// What `$[expr]` holds, if it is one.
    pub value: Option<Box<Expr>>,
    /// True if a part of it was quoted: then it is no option.
    pub is_quoted: bool,
    /// Where it stands.
    pub at: Span,
}

/// How many bytes of a word count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    /// `/c/`, `/1/`.
    One,
    /// `/s/`, `/2/`.
    Two,
    /// `/i/`, `/4/`.
    Four,
    /// `/l/`, `/8/`, or nothing said.
    #[default]
    Eight,
}

impl Width {
    /// In bytes.
    pub fn bytes(self) -> usize {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
            Width::Eight => 8,
        }
    }

    /// The low bytes of `value`.
    pub fn cut(self, value: u64) -> u64 {
        match self {
            Width::Eight => value,
            narrow => value & ((1 << (8 * narrow.bytes())) - 1),
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A number.
    Number(u64),
    /// `.`.
    Dot,
    /// A symbol. If there is none of that name, and the name is a number as well, that number.
    Symbol {
        /// Its name.
        name: String,
        /// The number that it may be instead.
        number: Option<u64>,
        /// Where it stands.
        at: Span,
    },
    /// `<name`.
    Variable {
        /// Its name.
        name: String,
        /// Where it stands.
        at: Span,
    },
    /// A prefix and its operand.
    Unary {
        /// The prefix.
        op: Unary,
        /// The operand.
        of: Box<Expr>,
        /// Where the prefix stands.
        at: Span,
    },
    /// Two operands and what is between them.
    Binary {
        /// What is between them.
        op: Binary,
        /// The left one.
        left: Box<Expr>,
        /// The right one.
        right: Box<Expr>,
        /// Where the operator stands.
        at: Span,
    },
}

/// A prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// `*x`, `*/c/x`: what stands in the target's memory.
    Fetch(Width),
    /// `%x`, `%/c/x`: what stands in the object file.
    FetchObject(Width),
    /// `-x`.
    Negate,
    /// `~x`.
    Complement,
    /// `#x`: 1 for 0, 0 for everything else.
    Not,
}

/// What is between two operands, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is called as what it does")]
pub enum Binary {
    Or,
    Xor,
    And,
    Equal,
    Unequal,
    ShiftLeft,
    ShiftRight,
    Subtract,
    Add,
    Multiply,
    /// `%`: signed.
    Divide,
    /// `#`: the left one, rounded up to a multiple of the right one.
    RoundUp,
    /// `%%`.
    Modulus,
}
