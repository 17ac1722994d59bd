//! The scenario program: what the VMM wants the kernel to run, as records.
//!
//! # Invariants
//! - Order is meaning: thread `n`, interrupt `n`, project `n` of the scenario file are record `n` here.
//! - The host checks names, kinds and ranges, so the kernel may rely on them.
//! - A record lists its fields once, in `record!`; how fields become bytes, and bytes become fields, is in `wire.rs`, and the
//!   lists of records are in `codec.rs`.
//! - What an event does is in `verb.rs`; a program in which an event has a number that is no verb is refused.

use crate::mutant;
use crate::sys::disp::MAXCLSYSPRI;
use crate::tunable::{COUNT, TUNABLES};
use crate::work::Workload;
use crate::{NAME_LEN, pack_name};

#[macro_use]
mod wire;
mod codec;
mod verb;

pub use crate::sys::class;
pub use crate::sys::processor::binding;
pub use codec::{Lists, MAX_STREAMS, MAX_TASKQS, Program, encode, encoded_len};
pub use verb::{TargetKind, Verb};

/// [`Thread::quantum`]: the quantum that the class's table gives (`RT_TQDEF`, `FX_TQDEF`).
pub const QUANTUM_DEFAULT: i32 = -3;
/// [`Thread::quantum`]: without end (`RT_TQINF`, `FX_TQINF`).
pub const QUANTUM_INFINITE: i32 = -2;
/// [`Interrupt::cost_ns`]: what the tunable `intr_cost_nsec` says.
pub const COST_DEFAULT: u64 = u64::MAX;
/// An argument of an [`Event`] that leaves things as they are.
pub const NO_CHANGE: i64 = i64::MIN;
/// Arguments that an event's record carries.
pub const EVENT_ARGS: usize = 5;
/// Modules that a stream has at most between head and driver.
pub const MAX_LINKS: usize = 4;
/// Modules that a stream may have.
pub const MAX_MODULES: usize = crate::sys::strsubr::NSTRPUSH as usize;
/// Which scheduler events are written.
pub mod trace {
    /// None.
    pub const OFF: u32 = 0;
    /// All but those that come with every message (`str-put`): they would leave no room in the rings for what came before.
    pub const KEPT: u32 = 1;
    /// All.
    pub const ALL: u32 = 2;
}

/// Numbers that a row of a dispatcher table carries.
pub const ROW_VALUES: usize = 5;

record! {
    /// The part of a program that is not a list.
    pub struct Header {
        /// The rules that the kernel breaks.
        pub mutants: mutant::Set,
        /// Which scheduler events the kernel shall write to its rings: one of [`trace`].
        pub trace: u32,
        /// True if events come from an operator at a console: the script thread is above every class, and not a SYS 99.
        pub console: bool,
        /// The class of the script thread without `console`: one of [`class`], not FSS or SDC.
        pub script_class: u32,
        /// Its priority, as a thread's.
        pub script_pri: i32,
        /// Chips of the machine. 1 unless the scenario gives a topology.
        pub chips: u32,
        /// Cores a chip. The number of CPUs unless the scenario gives a topology.
        pub cores: u32,
        /// Strands a core: CPUs that share a pipeline. 1 unless the scenario gives a topology.
        pub strands: u32,
        /// Locality groups that the CPUs divide into, in the order of their numbers. 1 unless the scenario gives a topology.
        pub lgroups: u32,
        /// Bytes of memory that the kernel allocates from when it runs, in [`crate::sys::kmem::MEMORY_RANGE`].
        pub memory: u64,
        /// Threads that the kernel may create while it runs: those of its task queues.
        pub pool: u32,
        /// Tunables by number.
        pub tunables: [i64; COUNT],
    }
}

impl Default for Header {
    fn default() -> Self {
        let mut tunables = [0; COUNT];
        for (value, t) in tunables.iter_mut().zip(TUNABLES) {
            *value = t.default;
        }
        let cores = crate::MAX_CPUS as u32;
        Header {
            mutants: mutant::Set::NONE,
            trace: trace::OFF,
            console: false,
            script_class: class::SYS,
            script_pri: MAXCLSYSPRI,
            chips: 1,
            cores,
            strands: 1,
            lgroups: 1,
            memory: crate::sys::kmem::MEMORY_DEFAULT,
            pool: 0,
            tunables,
        }
    }
}

record! {
    /// One thread of a scenario.
    pub struct Thread {
        /// `t_name`.
        pub name: [u8; NAME_LEN],
        /// The name of its process (`u_comm`); empty for the thread's own, or `sched` if it has no LWP.
        pub process: [u8; NAME_LEN],
        /// One of [`class`].
        pub class: u32,
        /// Priority at creation. SYS: the global one. TS, IA, FSS: `umdpri`. FX, RT: the class's. SDC: not looked at.
        pub pri: i32,
        /// TS, IA, FSS: the user's offset, -60 to 60.
        pub upri: i32,
        /// FX, RT: quantum in ticks, [`QUANTUM_DEFAULT`] or [`QUANTUM_INFINITE`].
        pub quantum: i32,
        /// SDC: target duty cycle in per cent, 1 to 100.
        pub duty_cycle: u32,
        /// Its project's place in the scenario. It uses the project's shares (FSS) and is held to its cap (TS, IA, FX, FSS).
        pub project: u32,
        /// Its processor set's place in the scenario plus one; 0 for the default set.
        pub pset: u32,
        /// The CPU it is bound to, or -1.
        pub cpu: i32,
        /// One of [`binding`].
        pub binding: u32,
        /// The locality group that is its home at the start, or -1 for the kernel's choice.
        pub lgroup: i32,
        /// True if it has an LWP: it is then charged for ticks and can be in user mode.
        pub lwp: bool,
        /// ns after boot at which it begins its work; until then it sleeps.
        pub start_ns: u64,
        /// What it does.
        pub work: Workload,
    }
}

record! {
    /// One source of device interrupts.
    pub struct Interrupt {
        /// Its name.
        pub name: [u8; NAME_LEN],
        /// The CPU that takes it.
        pub cpu: u32,
        /// Its priority level, 1 to 15.
        pub pil: u32,
        /// Times a second that it interrupts.
        pub rate_hz: u64,
        /// Interrupts that come back to back each time.
        pub burst: u32,
        /// ns after boot before the first.
        pub start_ns: u64,
        /// ns that the handler takes for one; [`COST_DEFAULT`] for the tunable's.
        pub cost_ns: u64,
        /// The workload mutex that the handler takes while it computes, or -1.
        pub lock: i32,
        /// The CPU whose timer sends it as a cross trap, or -1: `cpu`'s own.
        pub from: i32,
        /// Packets that one interrupt brings, to a device that brings packets.
        pub packets: u32,
        /// Flows that they belong to, in turn; 0: every packet is for all who listen.
        pub flows: u32,
    }
}

impl Interrupt {
    /// An interrupt of this name, with nothing special about it.
    pub fn named(name: &str, cpu: u32, pil: u32, rate_hz: u64) -> Interrupt {
        let name = pack_name(name);
        let (start_ns, cost_ns) = (0, COST_DEFAULT);
        Interrupt {
            name,
            cpu,
            pil,
            rate_hz,
            burst: 1,
            start_ns,
            cost_ns,
            lock: -1,
            from: -1,
            packets: 1,
            flows: 0,
        }
    }
}

record! {
    /// One project: a share of the machine for the threads of class FSS in it, and a cap on what its threads use.
    pub struct Project {
        /// Its name.
        pub name: [u8; NAME_LEN],
        /// `project.cpu-shares`, 0 to 65535.
        pub shares: u32,
        /// Its zone, 0 for the global one.
        pub zone: u32,
        /// `zone.cpu-shares` of its zone, 0 to 65535. That of the zone's first project counts.
        pub zone_shares: u32,
        /// `project.cpu-cap`: per cent of one CPU, 1 to 100 a CPU of the machine; 0 for none.
        pub cap: u32,
        /// `zone.cpu-cap` of its zone, likewise. That of the zone's first project counts.
        pub zone_cap: u32,
    }
}

record! {
    /// One processor set.
    pub struct Pset {
        /// Its name.
        pub name: [u8; NAME_LEN],
        /// Bit `n` set: CPU `n` is in it. CPUs in no set are in the default one.
        pub cpus: u64,
    }
}

record! {
    /// One task queue.
    pub struct TaskQueue {
        /// Its name.
        pub name: [u8; NAME_LEN],
        /// Threads, the most of them, or a percentage of the CPUs, as `flags` say.
        pub nthreads: u32,
        /// Priority of its threads.
        pub pri: i32,
        /// Entries that it keeps.
        pub minalloc: u32,
        /// Entries beyond which a dispatch waits.
        pub maxalloc: u32,
        /// Its instance, or -1 for the next one.
        pub instance: i32,
        /// Duty cycle in per cent, for a queue of class SDC.
        pub duty_cycle: u32,
        /// Bits of [`crate::sys::taskq::tqflag`].
        pub flags: u32,
    }
}

/// A mark of a [`Stream`] that is left as its module has it.
pub const MARK_OWN: u64 = u64::MAX;

record! {
    /// One stream.
    pub struct Stream {
        /// Its name.
        pub name: [u8; NAME_LEN],
        /// Its driver: a place in [`crate::work::streams::DRIVERS`].
        pub driver: u32,
        /// Its modules from the head down: places in [`crate::work::streams::MODULES`] plus one, 0 for no more.
        pub modules: [u32; MAX_MODULES],
        /// The perimeter of its modules, bits of [`crate::sys::conf`]; 0 for each module's own.
        pub perimeter: u32,
        /// High-water mark of the head's read queue, or [`MARK_OWN`].
        pub hiwat: u64,
        /// Its low-water mark.
        pub lowat: u64,
        /// High-water mark of its modules' and driver's queues.
        pub module_hiwat: u64,
        /// Their low-water mark.
        pub module_lowat: u64,
        /// Streams that are linked below it when it is opened: places plus one, 0 for no more.
        pub links: [u32; MAX_LINKS],
        /// The stream whose address its messages have, for a transport: its place plus one, 0 for none.
        pub peer: u32,
        /// ns that a close waits for each of its queues (`I_SETCLTIME`).
        pub close_ns: u64,
    }
}

record! {
    /// Something that the script thread makes happen.
    pub struct Event {
        /// ns after boot.
        pub at_ns: u64,
        /// What it does.
        pub verb: Verb,
        /// What it happens to: a place in the list that [`Verb::target`] says.
        pub target: u32,
        /// See [`Verb::args`]; [`NO_CHANGE`] where nothing shall change.
        pub args: [i64; EVENT_ARGS],
    }
}

record! {
    /// One row of a dispatcher table that replaces the built-in one. A class's rows come together, row 0 first, all of them.
    pub struct TableRow {
        /// One of [`class`].
        pub class: u32,
        /// TS, IA: quantum (ticks), tqexp, slpret, maxwait, lwait. FX, RT, FSS: quantum (ticks).
        pub values: [i64; ROW_VALUES],
    }
}

impl Thread {
    /// A SYS thread of this name, unbound, at `pri`.
    pub fn named(name: &str, pri: i32, work: impl Into<Workload>) -> Thread {
        Thread {
            name: pack_name(name),
            process: [0; NAME_LEN],
            class: class::SYS,
            pri,
            upri: 0,
            quantum: QUANTUM_DEFAULT,
            duty_cycle: 80,
            project: 0,
            pset: 0,
            cpu: -1,
            binding: binding::AFFINITY,
            lgroup: -1,
            lwp: false,
            start_ns: 0,
            work: work.into(),
        }
    }
}
