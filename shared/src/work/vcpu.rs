//! A vCPU of KVM, as the host's kernel sees it.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::compute::Mode;

choices! {
    /// What a vCPU loop does at an exit.
    AfterExit { Nothing "nothing", CheckRunrun "check_runrun", ForceKprunrun "force_kprunrun" }

    /// Whether a vCPU loop asks to be preempted aggressively.
    Preempt { Normally "normally", Aggressively "aggressively" }
}

workloads! {
    Vcpu, vcpu_workloads;

    /// a KVM vCPU: runs its guest in the kernel, exits, goes in again, never sleeps
    vcpu_loop VcpuLoop {
        /// us between two exits
        exit_us: number(1..=1_000_000) = 20,
        /// what the loop does at an exit: nothing (the bug), bhyve's check, or the ticket's workaround
        after_exit: choice(AfterExit) = Nothing,
        /// aggressively: kpreempt_aggressively() around the loop
        preempt: choice(Preempt) = Normally,
        /// where the CPU time is spent
        mode: choice(Mode) = Kernel,
    }
}
