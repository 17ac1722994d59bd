//! Who goes first on the host: under a real-time policy a vCPU that never sleeps would keep its own judge from the CPU.
//!
//! # Invariants
//! - A vCPU's thread is below all other threads of the process: one step, or in no real-time class where there is no lower step.
//! - Nothing is ever raised, so no privilege is needed.
// The policy of a thread is reached through libc.
#![allow(unsafe_code)]

/// Called by a vCPU's thread before it runs the guest.
pub(super) fn yield_to_the_rest() {
    let Some((policy, priority)) = of_this_thread() else { return };
    if policy != libc::SCHED_FIFO && policy != libc::SCHED_RR {
        return;
    }
    let (policy, priority) = below(policy, priority);
    let wanted = libc::sched_param { sched_priority: priority };
    // A host that refuses to lower a thread leaves it where it was.
    // SAFETY: 0 is the calling thread, and `wanted` outlives the call.
    let _refused = unsafe { libc::sched_setscheduler(0, policy, &raw const wanted) };
}

/// The policy and the priority below these.
fn below(policy: libc::c_int, priority: libc::c_int) -> (libc::c_int, libc::c_int) {
    if priority > 1 { (policy, priority - 1) } else { (libc::SCHED_OTHER, 0) }
}

fn of_this_thread() -> Option<(libc::c_int, libc::c_int)> {
    // SAFETY: 0 is the calling thread; the call touches no memory.
    let policy = unsafe { libc::sched_getscheduler(0) };
    let mut param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` outlives the call.
    let failed = unsafe { libc::sched_getparam(0, &raw mut param) };
    // A flag beside the policy says that children are not to inherit it.
    (policy >= 0 && failed == 0).then_some((policy & !libc::SCHED_RESET_ON_FORK, param.sched_priority))
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
            let wanted = libc::sched_param { sched_priority: 2 };
            // SAFETY: 0 is the calling thread, and `wanted` outlives the call.
            let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const wanted) };
            yield_to_the_rest();
            (refused, of_this_thread())
        });
        // Without the privilege there is nothing to lower.
        if let (0, now) = moved.join().expect("it ends") {
            assert_eq!(now, Some((libc::SCHED_FIFO, 1)));
        }
    }
}
