//! A run queue that no CPU is changing, held to its invariants.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time, and only a queue whose lock is free is looked at.

use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::NPRI;
use umpire_kernel::sys::Disp;
use umpire_kernel::sys::thread::ts;

use super::name;

/// Checks invariants 1 to 4 of `disp` (facts 2.17) on a queue, and whatever else `also` wants of each thread on it, which is
/// given the thread's level. False if the queue's lock is held: then it is not looked at.
pub fn check_queue(dp: &Disp, what: &str, mut also: impl FnMut(&Kthread, i32)) -> bool {
    if dp.disp_lock.is_held() {
        return false;
    }
    let (mut total, mut max, mut max_unbound) = (0, -1, -1);
    for pri in 0..NPRI {
        let dq = &dp.disp_q[pri];
        let bit = dp.disp_qactmap[pri / 64].get() >> (pri % 64) & 1 == 1;
        let mut count = 0;
        let mut at = dq.dq_first.get();
        while let Some(t) = at {
            count += 1;
            let who = || format!("{what}: thread {} {}", t.t_did, name(t));
            assert_eq!(t.t_state.get(), ts::RUN, "{} at {pri}", who());
            assert_eq!(t.pri(), pri as i32, "{}", who());
            assert!(t.t_disp_queue.is(dp), "{} is elsewhere", who());
            assert!(t.t_lockp.is(&dp.disp_lock), "{} has another lock", who());
            assert_ne!(t.t_waitrq.get(), 0, "{} has no stamp", who());
            also(t, pri as i32);
            if !t.is_bound() {
                max_unbound = pri as i16;
            }
            at = t.t_link.get();
        }
        assert_eq!(count, dq.dq_sruncnt.get(), "{what}: sruncnt of {pri}");
        assert_eq!(bit, count != 0, "{what}: qactmap of {pri}");
        total += count;
        if count != 0 {
            max = pri as i16;
        }
    }
    assert_eq!(total, dp.disp_nrunnable.get(), "{what}: nrunnable");
    assert_eq!(max, dp.disp_maxrunpri.get(), "{what}: maxrunpri");
    let may_be = dp.disp_max_unbound_pri.get();
    assert!((max_unbound..=max).contains(&may_be), "{what}: max_unbound_pri {may_be}, really {max_unbound}");
    true
}
