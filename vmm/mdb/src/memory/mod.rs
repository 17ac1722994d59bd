//! Memory formats: `addr/X`, `kpreemptpri/D`, `.=K`.
//!
//! | file | what |
//! |---|---|
//! | `letters.rs` | the letters, each with what it shows, how wide, and how many bytes it takes |
//! | `show.rs` | a format list applied to memory, to the image, or to a value |
//!
//! # Invariants
//! - Nothing here writes; the letters that write are known, and refused.

mod letters;
mod show;

pub use letters::{FORMATS, Format, Layout};
pub(crate) use show::{From, show};
