//! A variant as the bytes that the kernel reads.
//!
//! # Invariants
//! - What is encoded here decodes to the same records; nothing is checked or changed on the way.

use umpire_shared::program::{self, Header};

use super::file::Scenario;
use super::variant::{Tracing, Variant};

impl Variant {
    /// The scenario program of this variant, in the format of [`umpire_shared::program`].
    pub fn program(&self, scenario: &Scenario, tracing: Tracing) -> Vec<u8> {
        let header = Header {
            mutants: self.mutants,
            trace: tracing == Tracing::On,
            tunables: self.tunables,
            ..Header::default()
        };
        let len = program::encoded_len(self.threads.len(), scenario.interrupts.len());
        let mut bytes = vec![0; len];
        program::encode(&header, &self.threads, &scenario.interrupts, &mut bytes)
            .expect("invariant: a buffer of encoded_len bytes holds the program");
        bytes
    }
}
