//! The x86-64 platform: which function of this crate is which of the kernel's [`Platform`].
//!
//! # Invariants
//! - A table and nothing else: each function is one call, and lies with what it is about.

use core::fmt;
use core::sync::atomic::AtomicUsize;

use crate::{apic, console, epitaph, event_ring, level, mutex_exit, root, start, switch, time};
use umpire_kernel::platform::Platform;
use umpire_kernel::{Cpu, Kernel, Kthread};
use umpire_shared::event::Kind;

/// The machine over the ring-0 gate.
struct Gate;

impl Platform for Gate {
    #[inline(always)]
    fn kernel() -> &'static Kernel {
        root::kernel()
    }

    #[inline(always)]
    fn cpu() -> &'static Cpu {
        root::cpu()
    }

    #[inline(always)]
    fn curthread() -> &'static Kthread {
        root::curthread()
    }

    #[inline(always)]
    fn set_curthread(t: &'static Kthread) {
        root::set_curthread(t);
    }

    #[inline(always)]
    fn now() -> u64 {
        time::now()
    }

    #[inline(always)]
    fn timer(deadline_ns: u64) {
        apic::timer(deadline_ns);
    }

    #[inline(always)]
    fn poke(cpu: u32) {
        apic::poke(cpu);
    }

    #[inline(always)]
    fn xcall(cpu: u32) {
        apic::xcall(cpu);
    }

    #[inline(always)]
    fn pcstack(out: &mut [usize]) -> usize {
        switch::pcstack(out)
    }

    fn thread_init(t: &'static Kthread) {
        switch::thread_init(t);
    }

    #[inline(always)]
    fn switch(from: &'static Kthread, to: &'static Kthread) {
        switch::switch(from, to);
    }

    #[inline(always)]
    fn thread_main(t: &'static Kthread) {
        start::thread_main(t);
    }

    #[inline(always)]
    fn halt() {
        level::halt();
    }

    #[inline(always)]
    fn pil() -> u32 {
        level::pil()
    }

    #[inline(always)]
    fn set_pil(pil: u32) {
        level::set_pil(pil);
    }

    #[inline(always)]
    fn swap_pil(pil: u32) -> u32 {
        level::swap_pil(pil)
    }

    #[inline(always)]
    fn post(pil: u32) {
        level::post(pil);
    }

    #[inline(always)]
    fn pending() -> u32 {
        level::pending()
    }

    #[inline(always)]
    fn take_pending(above: u32) -> u32 {
        level::take_pending(above)
    }

    #[inline(always)]
    fn relax() {
        level::relax();
    }

    #[inline(always)]
    fn drop_owner(word: &AtomicUsize, owner: usize) -> bool {
        mutex_exit::drop_owner(word, owner)
    }

    #[inline(always)]
    fn interleave() {
        level::interleave();
    }

    #[inline(always)]
    fn spin(ns: u64) {
        time::spin(ns);
    }

    #[inline(always)]
    fn event(now: u64, kind: Kind, t: &Kthread, arg: u64) {
        event_ring::event(now, kind, t, arg);
    }

    #[inline(always)]
    fn console(text: fmt::Arguments<'_>) {
        console::console(text);
    }

    #[inline(always)]
    fn stop(reason: u32, message: fmt::Arguments<'_>) -> ! {
        epitaph::stop(reason, message)
    }
}

umpire_kernel::bind_platform!(Gate);
