//! Processor groups (`cmt.c`, `pghw.c`): CPUs that share a chip or a core, and spreading threads over them.
//!
//! CPU `n` is strand `n % strands` of core `n / strands`, which is on chip `n / (strands * cores)`.
//!
//! # Invariants
//! - Groups of one kind stand side by side in `pgs`: chips first, then cores; the siblings of a group are neighbours.
//! - A kind that would say nothing is not built: chips if there is one, cores if a core has one strand. The cache is shared by a
//!   chip's CPUs, so its group would be the chip's again.
//! - A locality group is whole chips, or whole cores of one chip: the host sees to that.
//! - `cmt_utilization` is the number of the group's CPUs that are not idle. Each CPU counts itself in and out.
//!
//! # What is not here
//! Power domains, and affinity within a shared cache: a chip is one cache.

use core::sync::atomic::Ordering;

use crate::cell::Cell;
use crate::kernel::Kernel;
use crate::platform;
use crate::sys::cpu::CPU_IDLE_PRI;
use crate::sys::part::Ring;
use crate::sys::pg::{LEVELS, pghw};
use crate::sys::{Cpu, Kthread, Pg};
use umpire_shared::program::Header;
use umpire_shared::tunable;

/// How many groups a machine of this shape has.
pub fn pg_count(header: &Header) -> u32 {
    let chips = if header.chips > 1 { header.chips } else { 0 };
    let cores = if header.strands > 1 { header.chips * header.cores } else { 0 };
    chips + cores
}

/// Group number `n` of a machine of this shape, without its CPUs.
pub fn pg_new(header: &Header, n: u32) -> Pg {
    let chips = if header.chips > 1 { header.chips } else { 0 };
    if n < chips {
        return Pg { pg_id: n, pg_hw: pghw::CHIP, cmt_nsiblings: chips, ..Pg::default() };
    }
    let core = n - chips;
    Pg {
        pg_id: core,
        pg_hw: pghw::IPIPE,
        cmt_siblings: chips + core / header.cores * header.cores,
        cmt_nsiblings: header.cores,
        ..Pg::default()
    }
}

/// Tells every CPU its chip, core and groups, at boot.
pub(crate) fn pg_init(kernel: &'static Kernel, header: &Header) {
    for cp in &kernel.k_cpus {
        let core = cp.cpu_id / header.strands.max(1);
        let chip = core / header.cores.max(1);
        cp.cpu_core.set(core);
        cp.cpu_chip.set(chip);
        let groups = [(pghw::CHIP, chip), (pghw::IPIPE, core)];
        for (level, (hw, id)) in groups.into_iter().enumerate() {
            let pg = kernel.k_cmt.pgs.iter().find(|pg| pg.pg_hw == hw && pg.pg_id == id);
            cp.cpu_pg[level].set(pg);
            if let Some(pg) = pg {
                pg.pg_cpus.set(pg.pg_cpus.get() | 1 << cp.cpu_id);
            }
        }
    }
}

/// `cp`, the caller's own, is not idle any more. Relaxed: it is only a count, and the code that places threads reads it without
/// a lock.
#[inline]
pub fn pg_busy(cp: &Cpu) {
    for pg in cp.cpu_pg.iter().filter_map(|pg| pg.get()) {
        pg.cmt_utilization.fetch_add(1, Ordering::Relaxed);
    }
}

/// `cp`, the caller's own, is idle again.
#[inline]
pub fn pg_idle(cp: &Cpu) {
    for pg in cp.cpu_pg.iter().filter_map(|pg| pg.get()) {
        pg.cmt_utilization.fetch_sub(1, Ordering::Relaxed);
    }
}

/// True if moving a thread between the two costs no cache: they are strands of one core (`pg_cmt_can_migrate`).
#[inline]
pub fn pg_cmt_can_migrate(a: &Cpu, b: &Cpu) -> bool {
    !a.cpu_pg[LEVELS - 1].is_null() && a.cpu_core.get() == b.cpu_core.get()
}

/// A CPU of a group that shares less than `hint`'s does, or `hint` (`cmt_balance`). Looks from the widest group down, at
/// one sibling each; the first that is better decides. For a thread that is at home everywhere the widest groups of every
/// locality group are looked at. For any other thread, and for every thread further down, only those of `hint`'s locality group
/// are.
#[inline]
pub fn cmt_balance(t: &Kthread, hint: &'static Cpu) -> &'static Cpu {
    if platform::kernel().k_cmt.pgs.is_empty() { hint } else { balance_groups(t, hint) }
}

fn balance_groups(t: &Kthread, hint: &'static Cpu) -> &'static Cpu {
    let kernel = platform::kernel();
    // As much of the machine as the next level may look at.
    let mut reach = t.part().cp_onln.get();
    let near = hint.lpl().lpl_cpus.get();
    if !t.lpl().is_root() {
        reach = near;
    }
    let itself = u32::from(core::ptr::eq(t, platform::curthread()));
    let draw = platform::cpu().pseudo_random();
    for here in hint.cpu_pg.iter().filter_map(|pg| pg.get()) {
        let onln = core::mem::replace(&mut reach, near);
        let Some(there) = sibling(kernel, here, onln, draw) else { continue };
        if is_better(kernel, here, there, itself, onln) {
            let mut ring = Ring::new(there.pg_cpus.get() & onln, draw % kernel.k_ncpus);
            return ring.find(|cp| cp.cpu_dispatch_pri.get() == CPU_IDLE_PRI).unwrap_or(hint);
        }
    }
    hint
}

/// A group beside `here` that has a CPU in `onln`, from a random one on; `None` if there is no other.
fn sibling<'a>(kernel: &'a Kernel, here: &Pg, onln: u64, draw: u32) -> Option<&'a Pg> {
    let (first, n) = (here.cmt_siblings, here.cmt_nsiblings);
    let candidates = (0..n).map(|k| &kernel.k_cmt.pgs[(first + (draw % n + k) % n) as usize]);
    candidates.into_iter().find(|pg| !core::ptr::eq(*pg, here) && pg.capacity(onln) != 0)
}

/// True if a thread is better off in `there`. `itself` is 1 if the thread is what makes one CPU of `here` busy.
fn is_better(kernel: &Kernel, here: &Pg, there: &Pg, itself: u32, onln: u64) -> bool {
    let (used, other) = (here.cmt_utilization.get().saturating_sub(itself), there.cmt_utilization.get());
    if kernel.tunable(tunable::CMT_COALESCE) != 0 {
        return other > used && other < there.capacity(onln);
    }
    let is_roomier = there.capacity(onln) > here.capacity(onln);
    kernel.tunable(tunable::CMT_BALANCE) != 0 && (used > other || used == other && is_roomier)
}
