//! Results as people and programs read them: tables as text, and JSON.
//!
//! # Invariants
//! - What is rendered here was decided elsewhere: nothing here judges.
//! - Text goes out with styles in it; the stream that it is written to takes them away where they do not belong.
//! - What a guest wrote is stripped of control characters before a terminal sees it.

pub mod contents;
pub mod cpuinfo;
pub mod findstack;
pub mod json;
pub mod table;
pub mod verdict;
