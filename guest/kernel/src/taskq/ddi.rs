//! What drivers use (`sunddi.c ddi_taskq_create` and its like).
//!
//! # Invariants
//! - Such a queue is static, prepopulated with as many entries as it has threads, and has no limit of entries.
//! - `ddi_taskq_wait` is `taskq_wait`: it waits for all tasks, and keeps nobody from dispatching.

use super::{
    TASKQ_DEFAULTPRI, TASKQ_NAMELEN, TQ_SLEEP, TaskFunc, Taskq, TaskqSpec, taskq_create_instance,
    taskq_destroy, taskq_dispatch, taskq_resume, taskq_suspend, taskq_suspended, taskq_wait, tq, tqflag,
};
use crate::disp::MINCLSYSPRI;

/// It worked.
pub const DDI_SUCCESS: i32 = 0;
/// It did not.
pub const DDI_FAILURE: i32 = -1;
/// May sleep for memory.
pub const DDI_SLEEP: u32 = 0;
/// Must not.
pub const DDI_NOSLEEP: u32 = 1;

/// What is asked of a device's node (`dev_info_t`): driver and instance.
#[derive(Debug, Clone, Copy)]
pub struct DevInfo<'a> {
    /// The driver's name.
    pub driver: &'a str,
    /// Its instance.
    pub instance: u32,
}

/// Begins a queue, called `<driver>_<name>` if there is a device, and `tq` if there is no name.
pub fn ddi_taskq_create(
    dip: Option<DevInfo<'_>>,
    name: Option<&str>,
    nthreads: u32,
    pri: i32,
    _cflags: u32,
) -> &'static Taskq {
    let name = name.unwrap_or("tq");
    let mut whole = [0; TASKQ_NAMELEN];
    let parts = match &dip {
        Some(dip) => [dip.driver, "_", name],
        None => [name, "", ""],
    };
    let mut len = 0;
    for (to, from) in whole.iter_mut().zip(parts.iter().flat_map(|part| part.bytes())) {
        *to = from;
        len += 1;
    }
    taskq_create_instance(&TaskqSpec {
        name: core::str::from_utf8(&whole[..len]).unwrap_or("tq"),
        instance: Some(dip.map_or(0, |dip| dip.instance)),
        nthreads,
        pri: if pri == TASKQ_DEFAULTPRI { MINCLSYSPRI } else { pri },
        minalloc: nthreads,
        maxalloc: i32::MAX as u32,
        dc: 0,
        flags: tqflag::PREPOPULATE,
    })
}

/// Dispatches a task: [`DDI_SUCCESS`] or [`DDI_FAILURE`].
#[must_use = "says whether the task will be called"]
pub fn ddi_taskq_dispatch(tq: &'static Taskq, func: &'static TaskFunc, arg: usize, dflags: u32) -> i32 {
    let flags = if dflags == DDI_SLEEP { TQ_SLEEP } else { tq::NOSLEEP };
    if taskq_dispatch(tq, func, arg, flags).is_some() { DDI_SUCCESS } else { DDI_FAILURE }
}

/// [`taskq_wait`].
pub fn ddi_taskq_wait(tq: &'static Taskq) {
    taskq_wait(tq);
}

/// [`taskq_suspend`].
pub fn ddi_taskq_suspend(tq: &'static Taskq) {
    taskq_suspend(tq);
}

/// [`taskq_suspended`].
pub fn ddi_taskq_suspended(tq: &Taskq) -> bool {
    taskq_suspended(tq)
}

/// [`taskq_resume`].
pub fn ddi_taskq_resume(tq: &'static Taskq) {
    taskq_resume(tq);
}

/// [`taskq_destroy`].
pub fn ddi_taskq_destroy(tq: &'static Taskq) {
    taskq_destroy(tq);
}
