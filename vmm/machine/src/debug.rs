//! A debugger on a machine: it holds every vCPU, lets them run or step, sets breakpoints, reads and writes.
//!
//! # Invariants
//! - One debugger at a time. When it goes, whatever made it go, its breakpoints are out of memory and what it held goes on.
//! - What it writes is in the log of [`Writer`]: memory word by word, a breakpoint when it is first set at an address, registers each.
//! - A debugger that is told of a stop has every vCPU on its way out of the guest; [`Debugger::settle`] waits for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};

use super::MachineError;
use super::gate::InGate;
use super::hold::{HoldError, Order};
use super::memory::GuestMemory;
use super::registers::Registers;
use super::vcpu::{Shared, State};
use super::write::{Writer, Written};

/// `int3`
const INT3: u8 = 0xcc;

/// Why a vCPU stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is at a breakpoint, before the instruction there.
    Breakpoint(u64),
    /// Its step is done.
    Step,
    /// The guest has ended there: it can be looked at, and goes on no more.
    Ended,
}

/// A stop of the machine, and the vCPU that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Which.
    pub cpu: u32,
    /// Why.
    pub why: Why,
}

/// What a vCPU is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Go {
    /// Stay out of the guest.
    Stay,
    /// Run.
    On,
    /// Run one instruction, and then on while it is in this range.
    Step(Range<u64>),
}

/// Why a debugger cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum DebugError {
    /// There is one already.
    #[error("another debugger is attached; one at a time")]
    Taken,
    /// The vCPU does not do as it is told.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// No breakpoint can be there.
    #[error("there can be no breakpoint at {addr:#x}: {why}")]
    NoPlace {
        /// Where.
        addr: u64,
        /// Why.
        why: &'static str,
    },
    /// The host refuses something.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Memory cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is known of debuggers, under the lock of the vCPUs' state.
#[derive(Debug, Default)]
pub(super) struct Debug {
    is_attached: bool,
    was_attached: bool,
    /// The bytes that breakpoints stand for, by address.
    breakpoints: BTreeMap<u64, u8>,
    /// Every address that has ever had one.
    known: BTreeSet<u64>,
    stops: VecDeque<Stop>,
}

impl Debug {
    pub(super) fn has_breakpoint(&self, addr: u64) -> bool {
        self.breakpoints.contains_key(&addr)
    }

    pub(super) fn had_breakpoint(&self, addr: u64) -> bool {
        self.known.contains(&addr)
    }

    pub(super) fn was_attached(&self) -> bool {
        self.was_attached
    }
}

/// An eventfd that becomes readable when a debugger has something to look at.
#[derive(Debug)]
pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) fn new() -> Result<Bell, MachineError> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        fd.map(Bell).map_err(|e| MachineError::os("create an eventfd", e.into()))
    }

    pub(super) fn ring(&self) {
        // It fails only if it is readable 2^64 - 2 times over.
        let _full = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn silence(&self) {
        // It fails if it is silent.
        let _silent = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl Shared {
    /// Notes a stop, and has every vCPU held for the debugger, if there is one.
    pub(super) fn stop_for_debugger(&self, stop: Stop) {
        self.rearrange(|state| state.stop_for_debugger(stop));
        self.debugged.ring();
    }
}

impl State {
    /// Notes a stop, and that a debugger is to hold every vCPU for it, if there is one.
    pub(super) fn stop_for_debugger(&mut self, stop: Stop) {
        if self.debug.is_attached {
            self.debug.stops.push_back(stop);
            self.holds.set_debugged(true);
        }
    }
}

impl Writer {
    /// Has a debugger that waits for a stop look whether there is anything else to be told of.
    pub fn ring_debugger(&self) {
        self.watched.shared.debugged.ring();
    }
}

/// A debugger, attached until it is dropped.
#[derive(Debug)]
pub struct Debugger {
    writer: Writer,
}

impl Debugger {
    /// Attaches, and holds every vCPU.
    ///
    /// # Errors
    /// [`DebugError::Taken`], or if a vCPU does not come out of the guest.
    pub fn attach(writer: &Writer) -> Result<Debugger, DebugError> {
        let shared = &writer.watched.shared;
        {
            let debug = &mut shared.lock().debug;
            if debug.is_attached {
                return Err(DebugError::Taken);
            }
            (debug.is_attached, debug.was_attached) = (true, true);
            debug.stops.clear();
        }
        let debugger = Debugger { writer: writer.clone() };
        debugger.hold()?;
        Ok(debugger)
    }

    fn shared(&self) -> &Shared {
        &self.writer.watched.shared
    }

    /// How many vCPUs there are.
    pub fn ncpus(&self) -> u32 {
        self.shared().clocks.len() as u32
    }

    /// Becomes readable when there may be a stop to be told of.
    pub fn bell(&self) -> &OwnedFd {
        &self.shared().debugged.0
    }

    /// The next stop that nobody has been told of; the bell is silent then.
    pub fn next_stop(&self) -> Option<Stop> {
        // The bell is emptied first: a stop that comes meanwhile rings again.
        self.shared().debugged.silence();
        self.shared().lock().debug.stops.pop_front()
    }

    /// True if the guest has ended.
    pub fn has_ended(&self) -> bool {
        self.shared().first_end().is_some()
    }

    /// Holds every vCPU: they are out of the guest when this comes back.
    ///
    /// # Errors
    /// If one does not come out within 2 s.
    pub fn hold(&self) -> Result<(), HoldError> {
        self.shared().rearrange(|state| state.holds.set_debugged(true));
        self.settle()
    }

    /// Waits until every vCPU that is held is out of the guest.
    ///
    /// # Errors
    /// As [`Debugger::hold`].
    pub fn settle(&self) -> Result<(), HoldError> {
        self.shared().await_out(None)
    }

    /// Has each vCPU do what it is to. Those that go are let go by whoever else stopped them, as `:c` does it.
    pub fn go(&self, plan: &[Go]) {
        self.shared().rearrange(|state| {
            // A vCPU that stopped beside the one that was told of is where it stopped, and stops there again.
            state.debug.stops.retain(|stop| stop.why == Why::Ended);
            state.holds.let_debugged_go(plan);
        });
    }

    /// The registers of the kernel on a vCPU that is out of the guest, and whether rax is among those that are known: it is not
    /// where the gate is at work.
    pub fn registers(&self, cpu: u32) -> Option<(Registers, bool)> {
        let inner = self.shared().registers(cpu as usize)?;
        let gate = InGate::of(inner, self.writer.watched.ram.as_ref());
        Some(gate.map_or((inner, true), |gate| (gate.outer, gate.has_rax)))
    }

    /// Gives the kernel on a vCPU other general registers, and notes what they were.
    ///
    /// # Errors
    /// If the vCPU is not out of the guest, is at work inside the gate, or KVM refuses.
    pub fn set_registers(&self, cpu: u32, registers: Registers) -> Result<(), DebugError> {
        let (before, _) = self.registers(cpu).ok_or(HoldError::Runs(cpu))?;
        let changed: Vec<Written> = before
            .named()
            .zip(registers.named())
            .filter(|((_, old), (_, new))| old != new)
            .map(|((name, old), (_, new))| self.note(&format!("cpu{cpu}.{name}"), 0, 8, old, new))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.writer.reserve(changed.len())?;
        self.shared().order(cpu, Order::Set(registers))?;
        changed.into_iter().for_each(|written| self.writer.log(written));
        Ok(())
    }

    /// Copies memory as the guest has it but for breakpoints, which are not to be seen; false if some of it is not there.
    pub fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        if !self.writer.watched.ram.read(addr, out) {
            return false;
        }
        let state = self.shared().lock();
        let end = addr.saturating_add(out.len() as u64);
        for (at, byte) in state.debug.breakpoints.range(addr..end) {
            out[(at - addr) as usize] = *byte;
        }
        true
    }

    /// Overwrites memory; breakpoints stay, and stand for what was written.
    ///
    /// # Errors
    /// As [`Writer::write`]; what comes before the refused word has been written.
    pub fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), DebugError> {
        let mut at = addr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = [8, 4, 2, 1].into_iter().find(|&n| n <= rest.len() && at.is_multiple_of(n as u64));
            let (word, more) = rest.split_at(len.unwrap_or(1));
            self.write_word(at, word)?;
            (at, rest) = (at.wrapping_add(word.len() as u64), more);
        }
        Ok(())
    }

    fn write_word(&self, addr: u64, word: &[u8]) -> Result<(), DebugError> {
        let mut state = self.shared().lock();
        let mut raw = [0; 8];
        raw[..word.len()].copy_from_slice(word);
        let end = addr.saturating_add(word.len() as u64);
        for (at, byte) in state.debug.breakpoints.range_mut(addr..end) {
            *byte = std::mem::replace(&mut raw[(at - addr) as usize], INT3);
        }
        drop(state);
        let what = format!("gdb:{addr:#x}");
        self.writer.write(&what, addr, u64::from_le_bytes(raw), word.len())?;
        Ok(())
    }

    /// Sets a breakpoint; one that is there stays.
    ///
    /// # Errors
    /// If none can be there, or too much was written before.
    pub fn set_breakpoint(&self, addr: u64) -> Result<(), DebugError> {
        let watched = &self.writer.watched;
        if watched.gate.contains(&addr) {
            return Err(DebugError::NoPlace { addr, why: "the gate would trap into itself" });
        }
        // Before the state is locked: nothing but that is locked under the log.
        self.writer.reserve(1)?;
        let mut state = self.shared().lock();
        if state.debug.has_breakpoint(addr) {
            return Ok(());
        }
        let byte =
            watched.ram.read_u8(addr).ok_or(DebugError::NoPlace { addr, why: "there is no memory" })?;
        let is_new = state.debug.known.insert(addr);
        state.debug.breakpoints.insert(addr, byte);
        watched.ram.write(addr, &[INT3])?;
        drop(state);
        if is_new {
            self.writer.log(self.note(&format!("breakpoint:{addr:#x}"), addr, 1, byte.into(), INT3.into()));
        }
        Ok(())
    }

    /// Takes a breakpoint away; false if there was none.
    pub fn clear_breakpoint(&self, addr: u64) -> bool {
        let mut state = self.shared().lock();
        let Some(byte) = state.debug.breakpoints.remove(&addr) else { return false };
        // There was memory when it was set.
        let _written = self.writer.watched.ram.write(addr, &[byte]);
        true
    }

    fn note(&self, what: &str, addr: u64, bytes: u64, old: u64, new: u64) -> Written {
        Written { at_ns: self.writer.now_ns(), what: what.to_owned(), addr, bytes, old, new }
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        let ram = &self.writer.watched.ram;
        self.shared().rearrange(|state| {
            for (addr, byte) in std::mem::take(&mut state.debug.breakpoints) {
                // There was memory when it was set.
                let _written = ram.write(addr, &[byte]);
            }
            state.debug.is_attached = false;
            state.debug.stops.clear();
            state.holds.set_debugged(false);
        });
    }
}
