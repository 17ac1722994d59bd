//! A guest as gdb's stub asks for it: a thread for each vCPU, registers, memory, breakpoints, and who is to run.
//!
//! # Invariants
//! - Thread n + 1 is vCPU n.
//! - What cannot be done is refused to gdb and changes nothing: no packet is answered as done that was not.
//! - What this host cannot do is not offered: gdb is told `unsupported` for it.

use std::ops::Range;
use std::os::fd::OwnedFd;

use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep,
    MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::{Breakpoints, BreakpointsOps, SwBreakpoint, SwBreakpointOps};
use gdbstub::target::ext::exec_file::ExecFileOps;
use gdbstub::target::ext::host_io::HostIoOps;
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use umpire_machine::{DebugError, Debugger, Go, HoldError, Registers, Stop};

use super::arch::{Known, Register, X8664};

/// The number of "permission denied", for what this machine never does.
const EACCES: u8 = 13;
/// The number of "bad address".
const EFAULT: u8 = 14;
/// The number of "busy".
const EBUSY: u8 = 16;

/// What gdb does with a machine. A [`Debugger`], but for tests.
pub(super) trait Debugged {
    fn ncpus(&self) -> u32;
    fn bell(&self) -> &OwnedFd;
    fn next_stop(&self) -> Option<Stop>;
    fn has_ended(&self) -> bool;
    fn hold(&self) -> Result<(), HoldError>;
    fn settle(&self) -> Result<(), HoldError>;
    fn go(&self, plan: &[Go]);
    fn registers(&self, cpu: u32) -> Option<(Registers, bool)>;
    fn set_registers(&self, cpu: u32, registers: Registers) -> Result<(), DebugError>;
    fn read(&self, addr: u64, out: &mut [u8]) -> bool;
    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), DebugError>;
    fn set_breakpoint(&self, addr: u64) -> Result<(), DebugError>;
    fn clear_breakpoint(&self, addr: u64) -> bool;
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Debugged for Debugger {
            $(fn $name(&self, $($arg: $type),*) $(-> $result)? { Debugger::$name(self, $($arg),*) })*
        }
    };
}

forward! {
    ncpus() -> u32;
    bell() -> &OwnedFd;
    next_stop() -> Option<Stop>;
    has_ended() -> bool;
    hold() -> Result<(), HoldError>;
    settle() -> Result<(), HoldError>;
    go(plan: &[Go]);
    registers(cpu: u32) -> Option<(Registers, bool)>;
    set_registers(cpu: u32, registers: Registers) -> Result<(), DebugError>;
    read(addr: u64, out: &mut [u8]) -> bool;
    write(addr: u64, bytes: &[u8]) -> Result<(), DebugError>;
    set_breakpoint(addr: u64) -> Result<(), DebugError>;
    clear_breakpoint(addr: u64) -> bool;
}

/// Answers what is typed after `monitor`, as text.
pub struct Monitor(pub Box<dyn Fn(&str) -> String + Send + Sync>);

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Monitor")
    }
}

/// The guest, for the stub.
pub(super) struct Guest<'g, D> {
    pub(super) debugged: &'g D,
    monitor: Option<&'g Monitor>,
    /// What each vCPU is to do when it is resumed next, if that has been said.
    plan: Vec<Option<Go>>,
    /// True if one of which nothing has been said is to stay.
    is_locked: bool,
}

impl<'g, D: Debugged> Guest<'g, D> {
    pub(super) fn of(debugged: &'g D, monitor: Option<&'g Monitor>) -> Guest<'g, D> {
        Guest { plan: vec![None; debugged.ncpus() as usize], is_locked: false, debugged, monitor }
    }

    fn known(&self, tid: Tid) -> TargetResult<Known, Self> {
        let (registers, has_rax) = self.debugged.registers(cpu_of(tid)).ok_or(TargetError::Errno(EBUSY))?;
        Ok(Known { registers, has_rax })
    }

    fn set(&self, tid: Tid, known: &Known) -> TargetResult<(), Self> {
        self.debugged.set_registers(cpu_of(tid), known.registers).map_err(|_| TargetError::Errno(EBUSY))
    }

    fn plan_of(&mut self, tid: Tid, go: Go) -> Result<(), String> {
        match self.plan.get_mut(cpu_of(tid) as usize) {
            Some(planned) => *planned = Some(go),
            None => return Err(format!("there is no thread {tid}")),
        }
        Ok(())
    }
}

/// The vCPU of a thread.
fn cpu_of(tid: Tid) -> u32 {
    u32::try_from(tid.get() - 1).unwrap_or(u32::MAX)
}

/// The thread of a vCPU.
pub(super) fn tid_of(cpu: u32) -> Tid {
    Tid::MIN.saturating_add(cpu as usize)
}

impl<D: Debugged> Target for Guest<'_, D> {
    type Arch = X8664;
    type Error = String;

    fn base_ops(&mut self) -> BaseOps<'_, X8664, String> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_exec_file(&mut self) -> Option<ExecFileOps<'_, Self>> {
        Some(self)
    }

    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        self.monitor?;
        Some(self)
    }
}

impl<D: Debugged> MultiThreadBase for Guest<'_, D> {
    fn read_registers(&mut self, regs: &mut Known, tid: Tid) -> TargetResult<(), Self> {
        *regs = self.known(tid)?;
        Ok(())
    }

    fn write_registers(&mut self, regs: &Known, tid: Tid) -> TargetResult<(), Self> {
        let now = self.known(tid)?;
        if !regs.registers.has_segments_of(&now.registers) {
            return Err(TargetError::Errno(EACCES));
        }
        self.set(tid, regs)
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start_addr: u64, data: &mut [u8], _: Tid) -> TargetResult<usize, Self> {
        if self.debugged.read(start_addr, data) { Ok(data.len()) } else { Err(TargetError::Errno(EFAULT)) }
    }

    fn write_addrs(&mut self, start_addr: u64, data: &[u8], _: Tid) -> TargetResult<(), Self> {
        self.debugged.write(start_addr, data).map_err(|_| TargetError::Errno(EFAULT))
    }

    fn list_active_threads(&mut self, thread_is_active: &mut dyn FnMut(Tid)) -> Result<(), String> {
        (0..self.debugged.ncpus()).for_each(|cpu| thread_is_active(tid_of(cpu)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl<D: Debugged> SingleRegisterAccess<Tid> for Guest<'_, D> {
    fn read_register(&mut self, tid: Tid, register: Register, buf: &mut [u8]) -> TargetResult<usize, Self> {
        // An empty answer is a register that is not available.
        let bytes = self.known(tid)?.bytes(register).unwrap_or_default();
        let room = buf.get_mut(..bytes.len()).ok_or(TargetError::NonFatal)?;
        room.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_register(&mut self, tid: Tid, register: Register, val: &[u8]) -> TargetResult<(), Self> {
        let mut known = self.known(tid)?;
        if !known.put(register, val) {
            return Err(TargetError::Errno(EACCES));
        }
        self.set(tid, &known)
    }
}

impl<D: Debugged> ThreadExtraInfo for Guest<'_, D> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, String> {
        let text = format!("CPU {}", cpu_of(tid));
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl<D: Debugged> MultiThreadResume for Guest<'_, D> {
    fn resume(&mut self) -> Result<(), String> {
        let unsaid = if self.is_locked { Go::Stay } else { Go::On };
        let plan: Vec<Go> = self.plan.iter().map(|go| go.clone().unwrap_or_else(|| unsaid.clone())).collect();
        self.debugged.go(&plan);
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), String> {
        self.plan.fill(None);
        self.is_locked = false;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), String> {
        self.plan_of(tid, Go::On)
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl<D: Debugged> MultiThreadSingleStep for Guest<'_, D> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), String> {
        self.plan_of(tid, Go::Step(0..0))
    }
}

impl<D: Debugged> MultiThreadRangeStepping for Guest<'_, D> {
    fn set_resume_action_range_step(&mut self, tid: Tid, start: u64, end: u64) -> Result<(), String> {
        self.plan_of(tid, Go::Step(Range { start, end }))
    }
}

impl<D: Debugged> MultiThreadSchedulerLocking for Guest<'_, D> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), String> {
        self.is_locked = true;
        Ok(())
    }
}

impl<D: Debugged> Breakpoints for Guest<'_, D> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }
}

impl<D: Debugged> SwBreakpoint for Guest<'_, D> {
    fn add_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.debugged.set_breakpoint(addr).is_ok())
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.debugged.clear_breakpoint(addr))
    }
}

impl<D: Debugged> MonitorCmd for Guest<'_, D> {
    fn handle_monitor_cmd(&mut self, cmd: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), String> {
        if let Some(monitor) = self.monitor {
            out.write_raw((monitor.0)(&String::from_utf8_lossy(cmd)).as_bytes());
        }
        Ok(())
    }
}
