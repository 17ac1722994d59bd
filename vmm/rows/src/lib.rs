//! Tables as people read them.
//!
//! # Invariants
//! - What is rendered here was decided elsewhere: nothing here judges.
//! - Text goes out with styles in it; the stream that it is written to takes them away where they do not belong.

pub mod table;
