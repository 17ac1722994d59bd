//! Recordings: what a run's probes, samples and verdicts said, kept in a file, and what can be read out of it.
//!
//! | file | what |
//! |---|---|
//! | `recording.rs` | a recording in memory |
//! | `file/` | its file: one format, one writer, one reader |
//! | `events.rs` | where its events are: in memory, or in its file |
//! | `line.rs` | a record as a line of text |
//! | `select.rs` | which records are wanted |
//! | `tally.rs` | records counted by what they have in common |
//! | `spans.rs` | what each CPU ran, and what each thread did, from when to when |
//! | `scene.rs` | how everything stood at a moment |
//! | `compare/` | two recordings side by side |
//! | `unknown.rs` | when it does not tell what happened |
//! | `waits.rs` | waits as they end, and how they are charged |
//! | `host.rs` | what the host kept from vCPUs meanwhile |
//! | `latency.rs` | how long threads waited, as histograms |
//! | `perfetto.rs`, `chrome.rs` | for the viewers of these names |
//! | `bars.rs` | what lasts on a CPU: its flags, its interrupts |
//! | `blame/` | who is to blame for a wait, and what would end it |
//! | `violation.rs` | where in time a bound was broken |
//! | `svg.rs` | a picture that needs no viewer |
//! | `html/` | a page that needs no network |
//!
//! # Invariants
//! - Nothing here runs a guest or reads its memory.
//! - A recording is never trusted: a number out of range is an error with its place, or is skipped and said.

mod bars;
mod blame;
mod chrome;
mod compare;
mod events;
mod file;
mod host;
mod html;
mod latency;
mod line;
mod perfetto;
mod recording;
mod scene;
mod select;
mod spans;
mod svg;
mod tally;
mod unknown;
mod violation;
mod waits;

pub use blame::{Asked, Blame, For, Part, Share, Told, blame, blame_of};
pub use chrome::chrome;
pub use compare::{By, Contrast, Divergence, Summary, by, contrasts, divergence};
pub use events::Events;
pub use file::{FileError, Stored, Writer, open, read, window, window_of};
pub use html::{FLUENT_EVENTS, html};
pub use latency::{Delay, Latencies, Latency};
pub use line::{Argument, Line};
pub use perfetto::perfetto;
pub use recording::{Breach, Ending, Gap, Header, QueueState, Recording, Sample, Seen, StandState, Thread};
pub use scene::{CpuScene, Replay, Scene, ThreadScene};
pub use select::{Named, Selection, SelectionError, Wanted, named};
pub use spans::{Span, Spans, State};
pub use svg::{escape, svg};
pub use tally::{Count, Gaps, Key, Tally, tally};
pub use violation::{Violation, around};
