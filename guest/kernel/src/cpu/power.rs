//! Powering a CPU off (`cpu.c cpu_poweroff`; its platform half is `mp_cpu_quiesce` of sun4).
//!
//! # Invariants
//! - Only a quiesced CPU is powered off; from then on it is not `READY`: it takes no cross traps and is not paused.
//! - The other CPUs are paused while it is waited for. The clock is held off with them: it runs below `DISP_LEVEL`.

use core::sync::atomic::{Ordering, fence};

use super::online::note_state;
use super::pause::{pause_cpus, start_cpus};
use crate::cell::Cell;
use crate::intr::device::Device;
use crate::platform;
use crate::sys::Cpu;
use crate::sys::cpu::flag;
use umpire_shared::errno;

/// ns that a CPU has to finish its interrupts.
const SANITY_LIMIT_NS: u64 = 10_000_000_000;
/// ns between two looks.
const LOOK_NS: u64 = 100_000;

/// Powers a CPU off: declares that it takes no more cross calls, and waits for the interrupts that it handles. The caller holds
/// `cpu_lock`, at level 0. Returns an errno, 0 for success, which it also is if the CPU is off already.
///
/// EBUSY: it is not quiesced, or an interrupt of it has not ended after ten seconds.
pub fn cpu_poweroff(cp: &'static Cpu) -> u32 {
    let flags = cp.cpu_flags.get();
    if flags & flag::QUIESCED == 0 {
        return errno::EBUSY;
    }
    pause_cpus(None);
    cp.cpu_flags.set(flags & !flag::READY);
    // At least one of the two sees what the other wrote:
    //
    //   this CPU                              a CPU in device_assert
    //   READY is cleared                       counts the trap
    //   (full barrier)                         (full barrier)
    //   traps counted? -> yes: waits           READY? -> no: takes the count back, sends nothing
    fence(Ordering::SeqCst);
    let give_up = platform::now() + SANITY_LIMIT_NS;
    while !is_quiet(cp) && platform::now() < give_up {
        platform::spin(LOOK_NS);
    }
    let is_off = is_quiet(cp);
    if !is_off {
        cp.cpu_flags.set(flags);
    }
    start_cpus();
    note_state(cp);
    if is_off { 0 } else { errno::EBUSY }
}

/// True if the CPU handles no interrupt, none is on its way to it, and it idles.
fn is_quiet(cp: &Cpu) -> bool {
    cp.cpu_intr_actv.get() == 0
        && !is_called(cp)
        && cp.cpu_idle_thread.get().is_some_and(|idle| cp.cpu_thread.is(idle))
        // What was on its way at the first look may have arrived since, and may be handled now.
        && cp.cpu_intr_actv.get() == 0
}

/// True if a cross trap, or the request for soft calls, has been sent to the CPU and not been taken up. A trap's count rises before
/// the trap is sent, and falls inside its handler; so it covers the time that the poke is on its way, and what is pending on the CPU.
fn is_called(cp: &Cpu) -> bool {
    platform::interleave();
    let is_pending = |dev: &Device| dev.dev_cpu.get() == cp.cpu_id && dev.dev_pend.get() != 0;
    cp.cpu_siron.get() != 0
        || cp.cpu_xtraps.get() != 0
        || platform::kernel().k_intr.devices.iter().any(is_pending)
}
