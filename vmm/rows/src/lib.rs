//! Typed rows: what a command has to say, as data, and how that is rendered.
//!
//! | file | what |
//! |---|---|
//! | `value.rs` | one cell: a value, and what kind of value its column holds |
//! | `table.rs` | a table: its columns, each with a name for machines and perhaps a title for people |
//! | `text.rs` | rows as lines of a plain table |
//! | `printf.rs` | rows as mdb prints them |
//! | `json.rs` | rows as JSON, one object a line |
//! | `number.rs` | durations and measured numbers as text |
//!
//! A table is declared once; a renderer knows tables and no table in particular. The screen will be one renderer more.
//!
//! # Invariants
//! - What is rendered here was decided elsewhere: nothing here judges.
//! - What text shows is in the JSON too: a column that is shown names the key of its data.
//! - Text goes out with styles in it; the stream that it is written to takes them away where they do not belong.

pub mod json;
pub mod number;
pub mod printf;
mod table;
pub mod text;
mod value;

pub use table::{Column, Table};
pub use value::{Kind, Tone, Value};
