//! `sys/cpuvar.h`: what a CPU is, and what it does.
//!
//! # Invariants
//! - Numbers are Solaris's; those of [`safe`] are in `cpu.c`.

/// `cpu_dispatch_pri` while the idle thread runs.
pub const CPU_IDLE_PRI: i16 = -1;

flags! {
    /// Bits of `cpu_flags`.
    flag: u32, "CPU_" {
        /// Has reached its idle loop.
        RUNNING = 0x001;
        /// May be paused and counted.
        READY = 0x002;
        /// Never select for work; idles without looking at queues.
        QUIESCED = 0x004;
        /// Configured.
        EXISTS = 0x008;
        /// Takes interrupts.
        ENABLE = 0x010;
        /// Taken offline.
        OFFLINE = 0x020;
    }
}

/// The state that these `cpu_flags` are, as `psrinfo` calls it (`cpu.c cpu_get_state_str`).
pub const fn state(flags: u32) -> &'static str {
    match flags & (flag::READY | flag::OFFLINE | flag::RUNNING | flag::ENABLE) {
        some if some & (flag::READY | flag::OFFLINE) == flag::OFFLINE => "powered-off",
        some if some & flag::OFFLINE != 0 => "off-line",
        some if some & flag::RUNNING == 0 => "powered-off",
        some if some & flag::ENABLE == 0 => "no-intr",
        _ => "on-line",
    }
}

flags! {
    /// Bits of `cpu_disp_flags`.
    disp_flag: u8, "CPU_DISP_" {
        /// The only thread on the queue is about to be switched to: do not steal it.
        DONTSTEAL = 0x01;
        /// Halted in its idle loop.
        HALTED = 0x02;
    }
}

values! {
    /// Microstates of a CPU.
    cms: u8, "CMS_" {
        /// Runs a thread in user mode.
        USER = 0;
        /// Runs a thread in the kernel.
        SYSTEM = 1;
        /// Runs its idle thread.
        IDLE = 2;
        /// Has not begun to run, or does not any more.
        DISABLED = 3;
    }
}

values! {
    /// Values of `safe_list`: how far a CPU is with pausing.
    safe: u8, "PAUSE_" {
        /// Not running.
        IDLE = 0;
        /// Runs, interrupts open.
        READY = 1;
        /// Paused.
        WAIT = 2;
    }
}
