//! A CPU's own words: what it runs, what it was asked to do, what interrupts it.
//!
//! # Invariants
//! - These are single words, each right by itself; two of them may be of different moments.

use super::interrupts::InterruptSample;
use super::look::Look;
use super::placement::Placement;
use super::queue::QueueSample;
use super::record::record;
use umpire_shared::sys::cpuvar::{disp_flag, flag};
use umpire_shared::sys::cyclic::handler;
use umpire_shared::sys::klwp::lwp;
use umpire_shared::sys::machlock::DISP_LEVEL;
use umpire_shared::sys::thread::tflag;

record! {
    /// One CPU.
    #[derive(Debug, Clone, Default)]
    pub struct CpuSample / CpuPlaces of Cpu {
        read {
            /// `cpu_flags`.
            flags: u32 = number "cpu_flags",
            /// `cpu_part`: its partition.
            cpupart: u64 = pointer "cpu_part",
            /// `cpu_thread`: what runs.
            thread: u64 = pointer "cpu_thread",
            /// `cpu_idle_thread`.
            idle_thread: u64 = pointer "cpu_idle_thread",
            /// `cpu_dispthread`: what the dispatcher chose.
            dispthread: u64 = pointer "cpu_dispthread",
            /// `cpu_dispatch_pri`: its priority, -1 for the idle thread.
            dispatch_pri: i16 = number "cpu_dispatch_pri",
            /// `cpu_chosen_level`: priority of the best thread that was aimed here through the kp queue, -1 if none.
            chosen_level: i16 = number "cpu_chosen_level",
            /// `cpu_runrun`: the CPU is to preempt when it returns to user mode.
            runrun: bool = number "cpu_runrun",
            /// `cpu_kprunrun`: the CPU is to preempt in the kernel.
            kprunrun: bool = number "cpu_kprunrun",
            /// `cpu_disp_flags`.
            disp_flags: u8 = number "cpu_disp_flags",
            /// `cpu_thread_lock`: the lock of the thread that runs there; odd while somebody has it.
            thread_lock: u64 = number "cpu_thread_lock.generation",
            /// `cpu_intr_actv`: bit `p` set while an interrupt of level `p` is active.
            intr_actv: u32 = number "cpu_intr_actv",
            /// `cpu_spin.spin_for`: address of the lock, or of the word of another CPU, that the CPU waits for without giving itself
            /// up. Means something only while `spin_ns` grows from pass to pass.
            spin_for: u64 = number "cpu_spin.spin_for",
            /// `cpu_spin.spin_cpus`: the CPUs that can end that wait, a bit each; 0 if it is not known which.
            spin_cpus: u64 = number "cpu_spin.spin_cpus",
            /// `cpu_spin.spin_waits`: waits of this kind that have begun.
            spin_waits: u64 = number "cpu_spin.spin_waits",
            /// `cpu_spin.spin_ns`: ns that all of them took, up to the last turn of the one in progress. What the host kept from the
            /// waiting vCPU is in it.
            spin_ns: u64 = number "cpu_spin.spin_ns",
            /// `cpu_spin.spin_since`: when that turn ended, in ns of `gethrtime`.
            spin_since: u64 = number "cpu_spin.spin_since",
            /// `cpu_spin.spin_mark`: interrupts and switches then.
            spin_mark: u64 = number "cpu_spin.spin_mark",
            /// `cpu_stats.intr`: interrupts.
            intrs: u64 = number "cpu_stats.intr",
            /// `cpu_stats.pswitch`: switches.
            switches: u64 = number "cpu_stats.pswitch",
        }
        known {
            /// Address of its `Cpu`.
            addr: u64,
            /// Its number.
            id: u32,
            /// The number of the partition that it is in: 0 for the default one.
            part: u32,
            /// True if it is halted and has been called out of its halt: whoever called it has taken it out of its partition's set of
            /// halted CPUs, and it has not woken yet.
            is_called: bool,
            /// The level of the interrupt that it handles now. A level whose thread is blocked stays active, but is not handled.
            handles: Option<u8>,
            /// What runs there; read if needed.
            runner: Runner,
            /// Where what runs there may be; read if needed.
            placement: Placement,
            /// Its cyclics in use; read if needed.
            cyclics: Vec<CyclicSample>,
            /// What it owes its interrupts; read if needed.
            interrupts: InterruptSample,
            /// Its run queue.
            queue: QueueSample,
        }
    }
}

record! {
    /// What a partition says of its CPUs.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct PartWords / PartPlaces of Cpupart {
        read {
            /// `cp_haltset`: the CPUs that are halted and have not been called, a bit each.
            haltset: u64 = number "cp_haltset",
        }
        known {}
    }
}

record! {
    /// What counts the switches of a CPU.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Switches / SwitchPlaces of Cpu {
        read {
            /// Switches.
            pswitch: u64 = number "cpu_stats.pswitch",
            /// Preemptions.
            inv_swtch: u64 = number "cpu_stats.inv_swtch",
        }
        known {}
    }
}

record! {
    /// The thread that runs on a CPU.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Runner / RunnerPlaces of Kthread {
        read {
            /// Its `t_preempt`: depth of `kpreempt_disable`.
            preempt: u8 = number "t_preempt",
            /// Its `lwp_state`: none, user or system.
            lwp_state: u8 = number "lwp_state",
            /// Its `t_flag`.
            flag: u16 = number "t_flag",
            /// Its `t_waitrq`: 0 unless it waits on a run queue, or is on its way from there to a CPU.
            waitrq: u64 = number "t_waitrq",
        }
        known {
            /// The number of `cpu_thread`; `None` if that is no thread, or was not read.
            index: Option<u32>,
            /// `pswitch`: counted before each switch, so while it stands still `cpu_thread` stays.
            pswitch: u64,
            /// `inv_swtch`: counted at each preemption, even if the thread goes on.
            inv_swtch: u64,
        }
    }
}

record! {
    /// A thread as an interrupt thread.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct IntrThread / IntrPlaces of Kthread {
        read {
            /// Its `t_flag`, which says whether it is one.
            flag: u16 = number "t_flag",
            /// `t_pil`: the level that it handles.
            pil: u8 = number "t_pil",
            /// `t_intr`: the thread that it pins.
            pins: u64 = pointer "t_intr",
            /// `t_state`.
            state: u32 = number "t_state",
        }
        known {}
    }
}

record! {
    /// A cyclic in use.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct CyclicSample / CyclicPlaces of Cyclic {
        read {
            /// `cy_handler`: one of [`umpire_shared::sys::cyclic::handler`], none for a free slot.
            handler: u8 = number "cy_handler",
            /// `cy_level`: the level that it runs at.
            level: u8 = number "cy_level",
            /// `cy_pend`: times owed.
            pend: u32 = number "cy_pend",
            /// `cy_expire`: when it is due, in ns of `gethrtime`.
            expire_ns: u64 = number "cy_expire",
            /// `cy_flags`: bits of [`umpire_shared::sys::cyclic::flag`].
            flags: u16 = number "cy_flags",
            /// `cy_arg`: what the handler is called with: the number of a device, of a callout table, of a signal.
            arg: u32 = number "cy_arg",
        }
        known {
            /// Its place among its CPU's.
            slot: u32,
        }
    }
}

impl CpuSample {
    /// True if it is halted in its idle loop.
    pub fn is_halted(&self) -> bool {
        self.disp_flags & disp_flag::HALTED != 0
    }

    /// True if it takes work: neither quiesced nor offline.
    pub fn takes_work(&self) -> bool {
        self.flags & (flag::QUIESCED | flag::OFFLINE) == 0
    }

    /// True if it runs an interrupt thread that pins what the dispatcher chose; the pinned thread goes on afterwards.
    pub fn is_pinning(&self) -> bool {
        self.runner.is_intr() && self.thread != self.dispthread
    }

    /// True if it runs its idle thread.
    pub fn is_idle(&self) -> bool {
        self.thread == self.idle_thread
    }

    /// True if another CPU may be in the middle of telling it something: its queue, or the thread that runs there, is locked.
    pub fn is_locked(&self) -> bool {
        self.thread_lock & 1 == 1 || !self.queue.verdict.is_trusted()
    }

    /// True if its idle thread looks for work.
    pub fn looks_for_work(&self) -> bool {
        self.dispatch_pri < 0 && !self.is_halted()
    }

    /// True if it was asked to take a thread of this priority from its partition's kp queue, and has not switched since.
    pub fn is_chosen_for(&self, pri: i16) -> bool {
        self.dispatch_pri >= 0 && self.chosen_level >= pri && (self.runrun || self.kprunrun)
    }

    /// Reads its words; false if they are outside guest memory. `parts` are the addresses of the partitions.
    pub(super) fn look(&mut self, look: &mut Look<'_>, parts: &[u64]) -> bool {
        if !look.layout.cpu.read(look.memory, self.addr, look.room, self) {
            return false;
        }
        self.part = parts.iter().position(|&at| at == self.cpupart).unwrap_or(0) as u32;
        self.handles = self.handled(look);
        true
    }

    /// Looks whether it has been called out of its halt. A CPU that is alone, or takes no work, is in no set while it halts.
    pub(super) fn look_at_call(&mut self, look: &mut Look<'_>) {
        self.is_called = self.is_halted()
            && self.takes_work()
            && look
                .layout
                .part
                .read_one(look.memory, self.cpupart)
                .is_some_and(|part| part.haltset >> self.id & 1 == 0);
    }

    /// The level of the interrupt that it handles: a high one, or that of the interrupt thread that has pinned another.
    fn handled(&self, look: &mut Look<'_>) -> Option<u8> {
        if self.intr_actv >> DISP_LEVEL != 0 {
            return Some((31 - self.intr_actv.leading_zeros()) as u8);
        }
        if self.intr_actv == 0 {
            return None;
        }
        look.arena.index_of(self.thread)?;
        let thread = look.layout.intr.read_one(look.memory, self.thread)?;
        (thread.is_intr() && thread.pins != 0).then_some(thread.pil)
    }

    /// Reads what runs there.
    pub(super) fn look_at_runner(&mut self, look: &mut Look<'_>) {
        let mut switches = Switches::default();
        let _stay = look.layout.switches.read(look.memory, self.addr, look.room, &mut switches);
        let mut runner =
            Runner { pswitch: switches.pswitch, inv_swtch: switches.inv_swtch, ..Runner::default() };
        if let Some(index) = look.arena.index_of(self.thread)
            && look.layout.runner.read(look.memory, self.thread, look.room, &mut runner)
        {
            runner.index = Some(index);
        }
        self.runner = runner;
    }

    /// Reads where what runs there may be.
    pub(super) fn look_at_placement(&mut self, look: &mut Look<'_>) {
        let is_thread = look.arena.index_of(self.thread).is_some();
        let grounds = look.grounds.filter(|_| is_thread);
        self.placement = grounds.map_or_else(Placement::default, |g| g.placement(look, self.thread));
    }

    /// Reads its cyclics.
    pub(super) fn look_at_cyclics(&mut self, look: &mut Look<'_>) {
        self.cyclics.clear();
        let all = look.layout.cyclics;
        for slot in 0..all.count {
            let at = self.addr.wrapping_add((all.offset + slot * all.stride) as u64);
            let mut cyclic = CyclicSample { slot: slot as u32, ..CyclicSample::default() };
            if look.layout.cyclic.read(look.memory, at, look.room, &mut cyclic)
                && cyclic.handler != handler::NONE
            {
                self.cyclics.push(cyclic);
            }
        }
    }
}

impl Runner {
    /// True if it is in user mode.
    pub fn is_user(&self) -> bool {
        self.lwp_state == lwp::USER
    }

    /// True if it is an interrupt thread.
    pub fn is_intr(&self) -> bool {
        self.flag & tflag::INTR_THREAD != 0
    }
}

impl IntrThread {
    /// True if it is one.
    pub fn is_intr(&self) -> bool {
        self.flag & tflag::INTR_THREAD != 0
    }
}
