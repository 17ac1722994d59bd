//! Where everything lies in a machine's memory.
//!
//! The fixed part is `umpire_shared::boot`; this is what depends on the image, the CPUs and the scenario.
//!
//! # Invariants
//! - Areas do not overlap and come in the order of the fields; each begins on a page.
//! - RAM ends on a 2 MiB boundary and is less than 1 GiB, so that one page directory covers it.

use umpire_shared::boot::{ConsoleRing, IMAGE};
use umpire_shared::event::{MAX_RING_RECORDS, ring_len};
use umpire_shared::{MAX_CPUS, MAX_THREADS, roster};

use super::MachineError;

/// Bytes of a small page.
pub(super) const PAGE: u64 = 4096;
/// Bytes of a large page.
pub(super) const LARGE_PAGE: u64 = 2 << 20;
/// Bytes of a kernel stack, its guard page not counted.
const STACK_LEN: u64 = 16 << 10;
/// Bytes of kernel heap that every scenario has.
const HEAP_BASE: u64 = 4 << 20;
/// Bytes of kernel heap that each scenario thread adds.
const HEAP_PER_THREAD: u64 = 2 << 10;
/// Bytes of kernel heap that each byte of memory takes: itself, and what is known of its chunks and pages.
const HEAP_PER_MEMORY: u64 = 2;
/// Most RAM that the page tables cover.
const RAM_MAX: u64 = 1 << 30;

/// The areas above the fixed part, in bytes of guest-physical address and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub ncpus: u64,
    pub program: u64,
    pub program_len: u64,
    pub console: u64,
    /// 0 if no trace is wanted.
    pub trace_rings: u64,
    pub trace_stride: u64,
    /// Records of a ring, a power of two.
    pub trace_records: u64,
    pub heap: u64,
    pub heap_len: u64,
    pub stacks: u64,
    pub stack_stride: u64,
    pub nstacks: u64,
    pub ram_len: u64,
}

/// What a layout depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// First address above the image.
    pub image_end: u64,
    pub ncpus: u32,
    pub nthreads: u32,
    pub program_len: u64,
    /// Bytes that the kernel allocates from when it runs.
    pub memory: u64,
    /// Records that each CPU's ring has room for, at least; 0: there are no rings.
    pub trace_records: u64,
}

impl Layout {
    /// Lays out a machine.
    ///
    /// # Errors
    /// [`MachineError::Config`] if a number is out of range or all of it would not fit.
    pub(super) fn plan(demand: &Demand) -> Result<Layout, MachineError> {
        check_range("virtual CPUs", demand.ncpus, 1, MAX_CPUS)?;
        check_range("threads", demand.nthreads, 0, MAX_THREADS)?;
        let ncpus = u64::from(demand.ncpus);
        let nstacks = u64::from(roster::total(demand.ncpus, demand.nthreads));
        if demand.image_end > RAM_MAX || demand.program_len > RAM_MAX {
            return Err(too_big(demand.image_end.max(demand.program_len)));
        }
        let program = pages(demand.image_end.max(IMAGE));
        let console = pages(program + demand.program_len);
        let after_console = pages(console + size_of::<ConsoleRing>() as u64);
        let records = demand.trace_records.min(MAX_RING_RECORDS).next_power_of_two();
        let has_rings = demand.trace_records > 0;
        let trace_stride = pages(ring_len(records));
        let nrings = if has_rings { ncpus } else { 0 };
        let heap = after_console + nrings * trace_stride;
        let heap_len = pages(HEAP_BASE + nstacks * HEAP_PER_THREAD + HEAP_PER_MEMORY * demand.memory);
        let stacks = heap + heap_len;
        let stack_stride = Layout::PER_THREAD - HEAP_PER_THREAD;
        let ram_len = (stacks + nstacks * stack_stride).next_multiple_of(LARGE_PAGE);
        if ram_len > RAM_MAX {
            return Err(too_big(ram_len));
        }
        Ok(Layout {
            ncpus,
            program,
            program_len: demand.program_len,
            console,
            trace_rings: if has_rings { after_console } else { 0 },
            trace_stride: if has_rings { trace_stride } else { 0 },
            trace_records: if has_rings { records } else { 0 },
            heap,
            heap_len,
            stacks,
            stack_stride,
            nstacks,
            ram_len,
        })
    }

    /// Bytes of guest RAM that each thread adds: its stack with the guard page, and its share of the heap.
    pub(super) const PER_THREAD: u64 = PAGE + STACK_LEN + HEAP_PER_THREAD;

    /// First address above the stack of slot `n`.
    pub(super) fn stack_top(&self, n: u64) -> u64 {
        self.stacks + (n + 1) * self.stack_stride
    }

    /// First address above the last stack.
    pub(super) fn stacks_end(&self) -> u64 {
        self.stacks + self.nstacks * self.stack_stride
    }

    /// True if the page at `addr` is the guard page of a stack slot.
    pub(super) fn is_guard(&self, addr: u64) -> bool {
        (self.stacks..self.stacks_end()).contains(&addr) && (addr - self.stacks) % self.stack_stride < PAGE
    }
}

fn pages(addr: u64) -> u64 {
    addr.next_multiple_of(PAGE)
}

fn check_range(what: &str, found: u32, min: u32, max: usize) -> Result<(), MachineError> {
    if (min as usize..=max).contains(&(found as usize)) {
        return Ok(());
    }
    Err(MachineError::Config(format!("{found} {what} were asked for; a machine has {min} to {max}")))
}

fn too_big(len: u64) -> MachineError {
    let mib = len >> 20;
    MachineError::Config(format!(
        "the machine would need {mib} MiB of memory; its page tables cover 1024 MiB"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        image_end: 0x12_3456,
        ncpus: 16,
        nthreads: 1000,
        program_len: 5000,
        memory: 1 << 20,
        trace_records: 5000,
    };

    #[test]
    fn plan_of_the_largest_usual_machine_has_areas_in_order() {
        let l = Layout::plan(&DEMAND).expect("fits");
        let ends = [
            (l.program, DEMAND.image_end),
            (l.console, l.program + 5000),
            (l.trace_rings, l.console + size_of::<ConsoleRing>() as u64),
            (l.heap, l.trace_rings + 16 * l.trace_stride),
            (l.stacks, l.heap + l.heap_len),
            (l.ram_len, l.stacks_end()),
        ];
        for (start, previous_end) in ends {
            assert!(start >= previous_end, "{start:#x} < {previous_end:#x}");
            assert_eq!(start % PAGE, 0);
        }
        assert_eq!(l.nstacks, u64::from(roster::total(16, 1000)));
        assert_eq!(l.ram_len % LARGE_PAGE, 0);
    }

    #[test]
    fn plan_without_trace_has_no_rings() {
        let l = Layout::plan(&Demand { trace_records: 0, ..DEMAND }).expect("fits");
        assert_eq!((l.trace_rings, l.trace_stride), (0, 0));
    }

    #[test]
    fn is_guard_holds_for_the_first_page_of_a_slot_only() {
        let l = Layout::plan(&DEMAND).expect("fits");
        assert!(l.is_guard(l.stacks));
        assert!(l.is_guard(l.stacks + l.stack_stride + PAGE - 1));
        assert!(!l.is_guard(l.stacks + PAGE));
        assert!(!l.is_guard(l.stacks - 1));
        assert!(!l.is_guard(l.stacks_end()));
        assert_eq!(l.stack_top(0), l.stacks + l.stack_stride);
    }

    #[test]
    fn plan_of_numbers_out_of_range_is_refused_and_says_the_range() {
        for bad in [
            Demand { ncpus: 0, ..DEMAND },
            Demand { ncpus: 17, ..DEMAND },
            Demand { nthreads: 20_000, ..DEMAND },
            Demand { image_end: u64::MAX, ..DEMAND },
            Demand { program_len: 1 << 30, ..DEMAND },
        ] {
            assert!(matches!(Layout::plan(&bad), Err(MachineError::Config(_))), "{bad:?}");
        }
        let text = Layout::plan(&Demand { ncpus: 17, ..DEMAND }).expect_err("refused").to_string();
        assert!(text.contains("17 virtual CPUs") && text.contains("1 to 16"), "{text}");
    }
}
