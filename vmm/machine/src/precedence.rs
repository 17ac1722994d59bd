//! Who goes first on the host: under a real-time policy a vCPU that never sleeps would keep its own judge from the CPU.
//!
//! # Invariants
//! - A vCPU's thread is below all other threads of the process: one step, or in no real-time class where there is no lower step.
//! - Nothing is ever raised, so no privilege is needed.
//! - The kernel is asked, and not a C library: musl's answers to all of this that it is not to be had.
// The policy of a thread is reached through libc.
#![allow(unsafe_code)]

/// Called by a vCPU's thread before it runs the guest.
pub(super) fn yield_to_the_rest() {
    let Some((policy, priority)) = of_this_thread() else { return };
    if policy != libc::SCHED_FIFO && policy != libc::SCHED_RR {
        return;
    }
    let (policy, priority) = below(policy, priority);
    // A host that refuses to lower a thread leaves it where it was.
    let _refused = set(policy, priority);
}

fn set(policy: libc::c_int, priority: libc::c_int) -> libc::c_long {
    // SAFETY: 0 is the calling thread; the kernel's `struct sched_param` is one int, which outlives the call.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority) }
}

/// The policy and the priority below these.
fn below(policy: libc::c_int, priority: libc::c_int) -> (libc::c_int, libc::c_int) {
    if priority > 1 { (policy, priority - 1) } else { (libc::SCHED_OTHER, 0) }
}

fn of_this_thread() -> Option<(libc::c_int, libc::c_int)> {
    // SAFETY: 0 is the calling thread; the call touches no memory.
    let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) };
    let policy = libc::c_int::try_from(policy).ok()?;
    let mut priority: libc::c_int = 0;
    // SAFETY: the kernel's `struct sched_param` is one int, which outlives the call.
    let failed = unsafe { libc::syscall(libc::SYS_sched_getparam, 0, &raw mut priority) };
    // A flag beside the policy says that children are not to inherit it.
    (policy >= 0 && failed == 0).then_some((policy & !libc::SCHED_RESET_ON_FORK, priority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vcpu_is_one_step_below_the_rest_or_in_no_real_time_class() {
        assert_eq!(below(libc::SCHED_FIFO, 50), (libc::SCHED_FIFO, 49));
        assert_eq!(below(libc::SCHED_RR, 1), (libc::SCHED_OTHER, 0));
    }

    #[test]
    fn a_thread_of_the_ordinary_class_stays_there() {
        let before = of_this_thread();
        yield_to_the_rest();
        assert_eq!(of_this_thread(), before);
    }

    #[test]
    fn a_thread_of_a_real_time_class_lets_its_equals_go_first() {
        let moved = std::thread::spawn(|| {
            let refused = set(libc::SCHED_FIFO, 2);
            yield_to_the_rest();
            (refused, of_this_thread())
        });
        // Without the privilege there is nothing to lower.
        if let (0, now) = moved.join().expect("it ends") {
            assert_eq!(now, Some((libc::SCHED_FIFO, 1)));
        }
    }
}
