//! The language: what may be typed, as a tree, and what its expressions are worth.
//!
//! | file | what |
//! |---|---|
//! | `syntax.rs` | the tree: statements, commands, arguments, expressions |
//! | `cursor.rs` | the text and where a reader is in it |
//! | `statement.rs` | statements, pipelines, arguments, format lists |
//! | `expression.rs` | expressions, numbers and names |
//! | `eval.rs` | what an expression is worth, given what names mean |
//! | `failure.rs` | why something could not be done, with its place in the text |
//!
//! Rules are those of mdb (`mdb_lex.l`, `mdb_grammar.y`).
//!
//! # Invariants
//! - Any text is a tree or an error that points at a place in it; none is a panic, and none nests without bound.
//! - Nothing here reads a guest: [`Meaning`] is asked.

mod cursor;
mod eval;
mod expression;
mod failure;
mod statement;
mod syntax;

pub use eval::{Meaning, evaluate};
pub use failure::{Failure, Span};
pub use statement::parse;
pub use syntax::{Arg, Binary, Command, Expr, FormatItem, Repeat, Statement, Unary, Verb, Width};

#[cfg(test)]
mod tests;
