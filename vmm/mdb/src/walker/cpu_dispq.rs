//! Walker `cpu_dispq`: the threads on a CPU's run queue, best first.
//!
//! # Invariants
//! - The queue is read under its generation, by the sampler that the monitors use.

use super::{Walk, Walker};
use crate::lang::Failure;
use crate::recorded::Recorded;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "cpu_dispq",
    about: "the threads on a CPU's run queue, best first",
    begins_at: Some("a cpu_t"),
    walk,
};

fn walk(view: &View<'_>, addr: Option<u64>) -> Result<Walk, Failure> {
    let addr = addr.unwrap_or(0);
    let seen = view.look()?;
    let cpu = seen.cpus.iter().find(|cpu| cpu.addr == addr);
    let cpu = cpu.ok_or_else(|| Failure::new(format!("failed to walk a run queue: no CPU is at {addr:#x}")))?;
    Ok(super::queued(&seen, &cpu.queue))
}

/// The numbers of the threads on the queue of the CPU of a number.
pub(super) fn recorded(recorded: &Recorded<'_>, cpu: Option<u64>) -> Result<Walk, Failure> {
    let number = cpu.unwrap_or(0);
    let scene = recorded.scene();
    let cpu = scene.cpus.iter().find(|cpu| u64::from(cpu.cpu) == number);
    let cpu = cpu.ok_or_else(|| Failure::new(format!("failed to walk a run queue: there is no CPU {number:#x}")))?;
    Ok(Walk::over(cpu.queue.iter().copied()))
}
