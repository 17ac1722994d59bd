//! The cyclic trace, as `::cyctrace` and its walker see it.
//!
//! # Invariants
//! - A buffer that says that it has more records than it has room for has gone round: all of its room is in use.

use crate::kernel;
use crate::lang::Failure;
use crate::object::Elements;
use crate::view::View;

/// What a CPU keeps.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) cpu: u64,
    /// Its room.
    pub(crate) all: Elements,
    /// Records ever written.
    written: u64,
}

impl Buffer {
    /// The addresses of its records, oldest first.
    pub(crate) fn records(&self) -> impl Iterator<Item = u64> + use<> {
        let Elements { base, stride, count, .. } = self.all;
        let oldest = self.written.saturating_sub(count);
        let place = move |n: u64| n.checked_rem(count).unwrap_or(0).wrapping_mul(stride);
        (oldest..oldest + self.written.min(count)).map(move |n| base.wrapping_add(place(n)))
    }
}

/// The buffers, a CPU each.
///
/// # Errors
/// [`Failure`] that says how it is asked for if the guest keeps no trace.
pub(crate) fn buffers(view: &View<'_>) -> Result<Vec<Buffer>, Failure> {
    let buffers = kernel::arena(view, "k_cyclic.cyc_trace")?;
    if buffers.count == 0 {
        return Err(Failure::new(
            "the guest keeps no cyclic trace; boot it with the tunable cyc_trace set to 1",
        ));
    }
    let buffer = |(addr, cpu)| {
        let all = view.part(buffers.of, addr, "cyt_buf")?.elements()?;
        Ok(Buffer { cpu, all, written: view.n(buffers.of, addr, "cyt_ndx")? })
    };
    buffers.addresses().zip(0..).map(buffer).collect()
}
