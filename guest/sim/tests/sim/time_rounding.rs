//! To which time a callout's expiration is rounded.
//!
//! # Invariants
//! - Times are absolute where a test compares for equality, and far away: nothing expires meanwhile.

use std::cell::RefCell;
use std::rc::Rc;

use crate::bench::{MS, Program, SECOND, name, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::time::callout::{
    CALLOUT_NORMAL, CALLOUT_REALTIME, Call, round, timeout_generic, untimeout,
};
use umpire_shared::program::class::SYS;
use umpire_shared::work::compute::Spin;

/// When a callout expires that is asked for with this time, resolution and these flags; and the time of the request.
fn expiration(kind: u32, ns: u64, resolution: u64, flags: u32) -> (u64, u64) {
    let mut sim = Program::new(1).thread(thread("asks", SYS, 98, 0, Spin::defaults())).boot(1);
    let found = Rc::new(RefCell::new(None));
    let sink = Rc::clone(&found);
    sim.run_instead(move |t| {
        if name(t) == "asks" {
            let callouts = &platform::kernel().k_callout.callouts;
            let before: Vec<u64> = callouts.iter().map(|c| c.c_expiration.get()).collect();
            let now = platform::now();
            let id = timeout_generic(kind, Call::Send(0), ns, resolution, flags).expect("there are callouts");
            let after = callouts.iter().map(|c| c.c_expiration.get());
            let changed = before.into_iter().zip(after).find(|(before, after)| before != after);
            *sink.borrow_mut() = changed.map(|(_, after)| (after, now));
            untimeout(id);
        }
        true
    });
    sim.run_until_ok(10 * MS);
    found.borrow().expect("a callout has another time")
}

#[test]
fn expirations_are_rounded_down_or_up_to_the_resolution_as_the_flags_say() {
    const AT: u64 = 3600 * SECOND;
    for kind in [CALLOUT_NORMAL, CALLOUT_REALTIME] {
        for (ns, flags, expected) in [
            (AT, 0, AT),
            (AT, round::ROUNDUP, AT),
            (AT + 1, 0, AT),
            (AT + 1, round::ROUNDUP, AT + MS),
            (AT + MS - 1, 0, AT),
            (AT + MS - 1, round::ROUNDUP, AT + MS),
        ] {
            let (at, _) = expiration(kind, ns, MS, flags | round::ABSOLUTE);
            assert_eq!(at, expected, "{kind} {ns} {flags}");
        }
    }
}

#[test]
fn a_time_from_now_on_is_counted_from_the_request_and_then_rounded() {
    let (at, asked) = expiration(CALLOUT_REALTIME, 3600 * SECOND, MS, round::ROUNDUP);
    assert_eq!(at % MS, 0);
    let wait = at - asked;
    assert!((3600 * SECOND..3600 * SECOND + 2 * MS).contains(&wait), "{wait}");
}
