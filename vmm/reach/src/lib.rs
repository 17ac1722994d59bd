//! How a machine is reached that is not of this process, or not of this moment.
//!
//! - [`names`]: where sessions have their names.
//! - [`wire`]: what is said over a session.
//! - [`server`]: the side of the process that runs the machine.
//! - [`client`]: the side that looks: a target.
//! - [`core`]: a machine of the past: written to a file, and read from it as a target.
//! - [`gdb`]: gdb's remote protocol, for a machine that runs.
//! - [`bulletin`]: what the referee of a run tells meanwhile.
//!
//! # Invariants
//! - Whoever is reached decides: what a client sends is bounded and checked, and neither stops nor breaks the run.
//! - Memory is handed over for reading only; what is written is written by the machine's own process, if asked so.

pub mod bulletin;
pub mod client;
pub mod core;
pub mod gdb;
pub mod names;
pub mod server;
pub mod wire;

pub use bulletin::Bulletin;
pub use client::{AttachError, Attached};
pub use server::{Exposed, Server};

use object::Object;

/// The build ID of an ELF image, in hexadecimal digits; `None` if it has none.
pub fn build_id(image: &[u8]) -> Option<String> {
    let file = object::File::parse(image).ok()?;
    let id = file.build_id().ok()??;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn built_in_image_has_a_build_id_and_garbage_has_none() {
        assert_eq!(super::build_id(&umpire_machine::GUEST_IMAGE).map(|id| id.len()), Some(40));
        assert_eq!(super::build_id(b"garbage"), None);
    }
}
