//! The referee: runs a variant on a machine, real or simulated, and says what came of it.
//!
//! | file | what |
//! |---|---|
//! | `run.rs` | one run, whatever drives its machine's time: build, look, settle |
//! | `kvm.rs` | runs on KVM: a thread that samples beside a machine that runs |
//! | `simulated.rs` | runs in the simulator: samples between two steps of virtual time |
//! | `report.rs` | what a run came to, as data |
//! | `session.rs` | how others look into a run meanwhile, and when it is held for them |
//! | `monitor.rs` | what gdb's `monitor` asks of a run |
//! | `dump.rs` | cores of a run |
//! | `sample_times.rs` | the moments at which that is |
//! | `end.rs` | when a run on KVM ends by itself |
//! | `settle.rs` | findings and deaths to a report: observed, outcome, sentences, pictures |
//! | `script.rs` | whether the scenario's events had the results that they should have |
//! | `trace.rs` | trace records as lines of a file |
//! | `recorded.rs` | what a run tells its recording |
//! | `rings.rs` | what the rings of a machine hold: the time before a moment |
//!
//! # Invariants
//! - This is the one module that wires machine, glass and monitors together; they know only their neighbours.
//! - What was sampled before an error is in the report.

mod allocator;
mod attendance;
pub mod bench;
mod death;
mod dump;
mod end;
mod flight;
mod guest;
mod kvm;
mod monitor;
mod noise;
mod recorded;
mod report;
mod rings;
mod run;
mod sample_times;
mod script;
mod session;
mod settle;
mod simulated;
mod trace;
mod unjudged;
mod watcher;

pub use dump::{CoreOn, CoreWish};
pub use flight::write as write_recording;
pub use guest::{Guest, GuestError};
pub use kvm::KvmReferee;
pub use report::{
    BoundReport, CountReport, EventReport, Look, Observed, Outcome, RunError, RunOptions, Runner,
    StallReport, VariantReport,
};
pub use rings::rings;
pub use session::{HoldAt, Openness, Tell};
pub use simulated::{SimDeath, SimMachine, SimReferee, SimSpec, SimStep};
pub use trace::STDOUT as TRACE_TO_STDOUT;
