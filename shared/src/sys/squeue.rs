//! Serialisation queues' numbers (`inet/squeue.h`, `inet/squeue_impl.h`).
//!
//! # Invariants
//! - Numbers are illumos's.

flags! {
    /// Bits of `sq_state`.
    sqs: u32, "SQS_" {
        /// Somebody owns it.
        PROC = 0x0001;
        /// The owner is its worker.
        WORKER = 0x0002;
        /// The owner is a thread that entered.
        ENTER = 0x0004;
        /// The owner handles the one packet that it came with.
        FAST = 0x0008;
        /// A user thread.
        USER = 0x0010;
        /// Its worker is bound.
        BOUND = 0x0020;
        /// Its owner has entered a second time.
        REENTER = 0x0040;
        /// Its soft ring can be polled.
        POLL_CAPAB = 0x0100;
        /// It belongs to an interface.
        ILL_BOUND = 0x0200;
        /// Its poll thread is at work.
        GET_PKTS = 0x0400;
        /// A CPU's default one.
        DEFAULT = 0x0800;
        /// Its soft ring passes nothing on: it is polled.
        POLLING = 0x1000;
        /// Nothing sets it.
        INTR_BLANK = 0x2000;
        /// The poll thread hands the ownership to the worker.
        PROC_HELD = 0x4000;
        /// The owner is the poll thread.
        POLL_PROC = 0x0080_0000;
        /// A thread that entered synchronously has it.
        PAUSE = 0x0400_0000;
        /// Its worker ends.
        EXIT = 0x0800_0000;
    }
}

/// Only queue the packet (`SQ_FILL`).
pub const SQ_FILL: u32 = 1;
/// Handle the packet if nobody else is there, and leave what comes meanwhile to the worker (`SQ_NODRAIN`).
pub const SQ_NODRAIN: u32 = 2;
/// Handle the packet, and what comes meanwhile (`SQ_PROCESS`).
pub const SQ_PROCESS: u32 = 4;
