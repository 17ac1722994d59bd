//! A vCPU of KVM, as the host's kernel sees it.
//!
//! # Invariants
//! - `vcpu_loop` never sleeps and, in kernel mode, never returns to user mode: that is the point of illumos #1532.

use crate::compute::burn_for_ever;
use crate::turn::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::{kpreempt_aggressively, kpreempt_disable, kpreempt_enable, kpreempt_normally};
use umpire_kernel::intr::{user_enter, user_exit};
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::compute::Mode;
use umpire_shared::work::vcpu::{AfterExit, Preempt, Vcpu, VcpuLoop};

umpire_shared::vcpu_workloads!();

/// A KVM vCPU thread: runs its guest, exits every `exit_us`, handles the exit in the kernel, goes in again.
fn vcpu_loop(t: &'static Kthread, VcpuLoop { exit_us, after_exit, preempt, mode }: VcpuLoop) {
    if mode == Mode::User {
        return burn_for_ever(t, mode, exit_us);
    }
    loop {
        match preempt {
            Preempt::Normally => platform::spin(exit_us * US),
            Preempt::Aggressively => {
                kpreempt_aggressively();
                platform::spin(exit_us * US);
                kpreempt_normally();
            }
        }
        progress(t);
        match after_exit {
            AfterExit::Nothing => {}
            AfterExit::CheckRunrun => leave_if_asked(t),
            AfterExit::ForceKprunrun => {
                // The ticket's workaround: the thread sets its own CPU's kprunrun after each exit, and enabling preemption
                // again looks at it.
                kpreempt_disable();
                platform::cpu().cpu_kprunrun.set(1);
                kpreempt_enable();
            }
        }
    }
}

/// bhyve's `vcpu_should_yield`: leaves the run loop for user mode if an AST or `cpu_runrun` asks for that.
fn leave_if_asked(t: &'static Kthread) {
    if t.t_astflag.get() != 0 || platform::cpu().cpu_runrun.get() != 0 {
        user_enter();
        user_exit();
    }
}
