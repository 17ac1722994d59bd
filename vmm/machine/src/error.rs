//! What can go wrong with a machine.
//!
//! # Invariants
//! - A message says what was attempted, what was found, and what to do.

use std::io;
use std::time::Duration;

use super::host::HostError;
use super::image::ImageError;

/// Why a machine could not be built, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// KVM cannot be used here.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The image cannot be booted.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The machine asked for cannot exist.
    #[error("cannot build the machine: {0}")]
    Config(String),
    /// KVM refused a step.
    #[error("cannot {doing}: KVM said: {source}; see `umpire doctor`")]
    Kvm {
        /// The step.
        doing: &'static str,
        /// KVM's answer.
        source: kvm_ioctls::Error,
    },
    /// The host refused something that is not KVM's.
    #[error("cannot {doing}: {source}; check the limits on memory, threads and open files (`ulimit -a`)")]
    Os {
        /// The step.
        doing: &'static str,
        /// The host's answer.
        source: io::Error,
    },
    /// A machine runs once.
    #[error("cannot start the machine: it was started before; build another")]
    StartedBefore,
    /// vCPUs that cannot be stopped.
    #[error(
        "cannot stop vCPUs {cpus:?}: still in the guest after {waited:?}; their threads end with this process"
    )]
    Stuck {
        /// Which.
        cpus: Vec<u32>,
        /// How long they were waited for.
        waited: Duration,
    },
}

impl MachineError {
    /// KVM refused to do something.
    pub(super) fn kvm(doing: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> MachineError {
        move |source| MachineError::Kvm { doing, source }
    }

    /// The host refused to do something.
    pub(super) fn os(doing: &'static str, source: io::Error) -> MachineError {
        MachineError::Os { doing, source }
    }
}
