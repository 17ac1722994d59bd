//! Everything that the kernel asks of a machine, bound at link time so that it costs nothing.
//!
//! A platform crate implements [`Platform`] for a type and binds it with [`bind_platform!`](crate::bind_platform): once in
//! a program, or it does not link. The functions here are those of the bound platform.
//! `guest/image` does so for x86-64 over the ring-0 gate, `guest/sim` for a simulated machine.
//!
//! # Invariants
//! - A function of the platform is declared once, in `platform!` below: the trait, the symbol that is linked, and the call
//!   come from that declaration, so that a platform whose function differs does not compile.
//! - `cpu()` may be stale as soon as it returns unless the caller cannot be moved: at `DISP_LEVEL` or
//!   above, or with `t_preempt` raised, or bound. `curthread()` is always right.
//! - An interrupt of a level at or below the CPU's priority level is not delivered; it is pending.
//!   Lowering the level delivers nothing by itself: [`crate::spl::splx`] asks for what is pending.
//! - `halt` is called at level 15 and returns when something is pending: the check and the halt are one step.
// The declarations are this crate's half of a contract whose other half `bind_platform!` defines from the same text;
// every function is `safe`, so that no caller needs `unsafe`.
#![allow(unsafe_code)]

use signature::*;

/// What signatures of the platform's functions name.
#[doc(hidden)]
pub mod signature {
    pub use crate::{Cpu, Kernel, Kthread};
    pub use core::fmt;
    pub use core::sync::atomic::AtomicUsize;
    pub use umpire_shared::event::Kind;
}

/// Makes of each declaration a function of the trait, a symbol, the call of it, and its definition in `bind_platform!`. The
/// first token is the dollar sign of the macro that this one defines.
macro_rules! platform {
    ($d:tt $($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        /// A machine, as the kernel sees it. Each function is called only by way of the function of its name in
        /// [`umpire_kernel::platform`](crate::platform), and all run in the kernel's own context.
        pub trait Platform {
            $($(#[$doc])* fn $name($($arg: $type),*) $(-> $result)?;)*
        }

        mod bound {
            use super::signature::*;

            // SAFETY: `bind_platform!` defines these, from the same declarations, by functions that ask nothing of the caller.
            unsafe extern "Rust" {
                $(
                    #[link_name = concat!("umpire_", stringify!($name))]
                    pub safe fn $name($($arg: $type),*) $(-> $result)?;
                )*
            }
        }

        $(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name($($arg: $type),*) $(-> $result)? {
                bound::$name($($arg),*)
            }
        )*

        /// Makes a type that implements [`Platform`](crate::platform::Platform) the platform of the program.
        #[macro_export]
        macro_rules! bind_platform {
            ($d platform:ty) => {
                const _: () = {
                    #[allow(unused_imports)]
                    use $crate::platform::signature::*;
                    $(
                        #[unsafe(export_name = concat!("umpire_", stringify!($name)))]
                        fn $name($($arg: $type),*) $(-> $result)? {
                            <$d platform as $crate::platform::Platform>::$name($($arg),*)
                        }
                    )*
                };
            };
        }
    };
}

platform! { $
    /// The kernel that the calling code belongs to.
    fn kernel() -> &'static Kernel;

    /// The CPU that the calling code runs on.
    fn cpu() -> &'static Cpu;

    /// The thread that runs here.
    fn curthread() -> &'static Kthread;

    /// Tells the platform which thread runs here from now on; called at `DISP_LEVEL` or above.
    fn set_curthread(t: &'static Kthread);

    /// `gethrtime`: nanoseconds since boot, the same on every CPU, never going back on one.
    fn now() -> u64;

    /// Arms this CPU's one-shot timer for an absolute time in ns (interrupt at level 14); `u64::MAX` disarms it.
    /// A deadline in the past fires at once.
    fn timer(deadline_ns: u64);

    /// Sends the poke interrupt (level 11) to a CPU, the caller's own included.
    fn poke(cpu: u32);

    /// Sends the interrupt of a cross call (level 13) to a CPU, the caller's own included.
    fn xcall(cpu: u32);

    /// Prepares a thread so that the first switch to it calls [`crate::thread::thread_start`] on its own stack.
    fn thread_init(t: &'static Kthread);

    /// Saves the caller's context in `from` and continues `to` where it stopped. Returns when a CPU
    /// switches back to `from`, perhaps another one. Called at `DISP_LEVEL` or above, with both threads'
    /// `t_lock` held.
    fn switch(from: &'static Kthread, to: &'static Kthread);

    /// Writes the return addresses on the current thread's stack, the innermost first; returns how many. 0 where stacks are the
    /// platform's own.
    fn pcstack(out: &mut [usize]) -> usize;

    /// Runs what a scenario wants thread `t` to do; returns when it is done.
    fn thread_main(t: &'static Kthread);

    /// Stops this CPU until an interrupt is pending. The level is 15.
    fn halt();

    /// This CPU's priority level.
    fn pil() -> u32;

    /// Sets this CPU's priority level; delivers nothing.
    fn set_pil(pil: u32);

    /// Sets this CPU's priority level and returns the old one, in one step.
    fn swap_pil(pil: u32) -> u32;

    /// Makes a software interrupt of this level pending on this CPU.
    fn post(pil: u32);

    /// The levels that are pending here, bit `n` for level `n`.
    fn pending() -> u32;

    /// Takes the highest pending level above `above`, 0 if there is none, and acknowledges it.
    fn take_pending(above: u32) -> u32;

    /// The end of `mutex_exit`: if `word` is the address `owner`, makes it 0, by a plain store; says whether it did. What was written
    /// before is visible to who then finds 0. For this CPU look and store are one step: who is interrupted in between starts over.
    /// Other CPUs may change the word in between, and their change is lost.
    fn drop_owner(word: &AtomicUsize, owner: usize) -> bool;

    /// One turn of a loop that waits for another CPU.
    fn relax();

    /// A place where another CPU's step may come in between. Costs nothing on hardware, where that can be
    /// anywhere; the simulator draws one of its choices here.
    fn interleave();

    /// Computes for so many ns of this CPU's time, interruptibly.
    fn spin(ns: u64);

    /// Records a scheduler event of time `now`; [`crate::probe`] has checked that events are wanted, and at which level.
    fn event(now: u64, kind: Kind, t: &Kthread, arg: u64);

    /// Appends to the console.
    fn console(text: fmt::Arguments<'_>);

    /// Writes the epitaph and stops the machine. `reason` is one of [`umpire_shared::boot::reason`].
    fn stop(reason: u32, message: fmt::Arguments<'_>) -> !;
}
