//! Memory formats: `addr/X`, `kpreemptpri/D`, `.=K`.
//!
//! | file | what |
//! |---|---|
//! | `letters.rs` | the letters, each with what it shows, how wide, and how many bytes it takes |
//! | `show.rs` | a format list applied to memory, to the image, or to a value |
//! | `write.rs` | the letters that write |
//!
//! # Invariants
//! - The letters that write are refused unless the view was opened for that; then the target's own machine writes.

mod letters;
mod show;
mod write;

pub use letters::{FORMATS, Format, Layout};
pub(crate) use show::{From, date, numeric_date, show};
