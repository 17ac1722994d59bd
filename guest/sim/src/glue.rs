//! The platform functions that the kernel declares. The simulation that runs on this host thread serves them.
//!
//! # Invariants
//! - `ENTERED` points to the machine inside `enter` and is null outside: kernel code runs only inside.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::machine::Machine;
use umpire_kernel::platform::Platform;
use umpire_kernel::{Cpu, Kernel, Kthread};
use umpire_shared::event::Kind;

thread_local! {
    static ENTERED: Cell<*const Machine> = const { Cell::new(ptr::null()) };
}

/// Runs `body` with `machine` as the one that the platform functions mean.
pub(crate) fn enter<R>(machine: &Machine, body: impl FnOnce() -> R) -> R {
    struct Leave(*const Machine);
    impl Drop for Leave {
        fn drop(&mut self) {
            ENTERED.set(self.0);
        }
    }
    let _leave = Leave(ENTERED.replace(machine));
    body()
}

/// True if a simulation runs on this host thread: its panics are the kernel's.
pub(crate) fn is_inside() -> bool {
    !ENTERED.get().is_null()
}

/// CPU 0 of the running simulation has linked its kernel.
pub(crate) fn started() {
    machine().start_others();
}

/// Notes the text of a kernel panic.
pub(crate) fn note_panic(text: String) {
    machine().note_panic(text);
}

#[inline(always)]
fn machine() -> &'static Machine {
    let p = ENTERED.get();
    assert!(!p.is_null(), "kernel code runs only inside a simulation");
    // SAFETY: `p` was set by `enter` from a reference that outlives the call of `body`, and is reset when that ends;
    // kernel code, the only caller, runs only within it. The 'static is never stored.
    unsafe { &*p }
}

/// The simulated platform: functions of the machine that [`enter`] has named.
struct Simulated;

impl Platform for Simulated {
    fn kernel() -> &'static Kernel {
        machine().kernel()
    }

    fn cpu() -> &'static Cpu {
        machine().cpu()
    }

    fn curthread() -> &'static Kthread {
        machine().curthread()
    }

    fn set_curthread(t: &'static Kthread) {
        machine().set_curthread(t);
    }

    fn now() -> u64 {
        machine().now()
    }

    fn timer(deadline_ns: u64) {
        machine().set_timer(deadline_ns);
    }

    fn poke(cpu: u32) {
        machine().poke(cpu);
    }

    fn xcall(cpu: u32) {
        machine().xcall(cpu);
    }

    fn pcstack(_: &mut [usize]) -> usize {
        0
    }

    fn thread_init(t: &'static Kthread) {
        machine().thread_init(t);
    }

    fn switch(_from: &'static Kthread, _to: &'static Kthread) {
        // set_curthread has said which thread the loop is to resume.
        crate::coroutine::suspend();
    }

    fn thread_main(t: &'static Kthread) {
        if !machine().run_instead(t) {
            umpire_workloads::run(t);
        }
    }

    fn halt() {
        machine().halt();
    }

    fn pil() -> u32 {
        machine().mach().mcpu_pri.load(Ordering::Relaxed)
    }

    fn set_pil(pil: u32) {
        machine().mach().mcpu_pri.store(pil, Ordering::Relaxed);
    }

    fn swap_pil(pil: u32) -> u32 {
        let level = &machine().mach().mcpu_pri;
        let old = level.load(Ordering::Relaxed);
        level.store(pil, Ordering::Relaxed);
        old
    }

    fn post(pil: u32) {
        machine().pend(1 << pil);
    }

    fn pending() -> u32 {
        machine().pending()
    }

    fn take_pending(above: u32) -> u32 {
        machine().take_pending(above)
    }

    fn relax() {
        machine().relax();
    }

    fn drop_owner(word: &AtomicUsize, owner: usize) -> bool {
        machine().drop_owner(word, owner)
    }

    fn interleave() {
        machine().interleave();
    }

    fn spin(ns: u64) {
        machine().spin(ns);
    }

    fn event(now: u64, kind: Kind, t: &Kthread, arg: u64) {
        machine().record(now, kind, t, arg);
    }

    fn console(text: fmt::Arguments<'_>) {
        machine().console(text);
    }

    fn stop(reason: u32, message: fmt::Arguments<'_>) -> ! {
        machine().stop(reason, message)
    }
}

umpire_kernel::bind_platform!(Simulated);
