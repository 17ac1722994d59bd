//! Workloads that look where they are put: a pair of threads that belong on one core, or on two, and a thread that has a home.
//!
//! # Invariants
//! - Whether a pair shares a core, and whether a thread is at home, is judged over many looks: an idle CPU steals without regard
//!   to cores, so now and then any thread is anywhere.

use crate::compute::burn;
use crate::turn::{progress, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::ts;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::compute::Mode;
use umpire_shared::work::topology::{AtHome, CorePair, Topology, Wants};

umpire_shared::topology_workloads!();

/// Computes, and looks again and again where its peer runs; a peer that does not run is not counted. A while in which it was where it
/// should be in most looks is a turn, so that who watches progress sees a pair that is kept where it does not belong.
fn core_pair(t: &'static Kthread, CorePair { peer, wants, busy_us, looks }: CorePair) {
    let peer = thread(peer);
    let (mut seen, mut wrong) = (0, 0);
    loop {
        burn(t, Mode::User, busy_us);
        if peer.t_state.get() == ts::ONPROC {
            let is_shared = peer.cpu().cpu_core.get() == platform::cpu().cpu_core.get();
            seen += 1;
            wrong += u64::from(match wants {
                Wants::Apart => is_shared,
                Wants::Together => !is_shared,
            });
        }
        if seen == looks {
            if 2 * wrong <= looks {
                progress(t);
            }
            (seen, wrong) = (0, 0);
        }
    }
}

/// Computes, looks whether it did so in its home locality group, and sleeps.
fn at_home(t: &'static Kthread, AtHome { busy_us, sleep_ticks, looks }: AtHome) {
    let (mut seen, mut away) = (0, 0);
    loop {
        burn(t, Mode::User, busy_us);
        progress(t);
        seen += 1;
        away += u64::from(!t.lpl().has_online(platform::cpu()));
        if seen == looks {
            assert!(
                2 * away <= looks,
                "workload at_home: it was away from its home in {away} of {looks} looks"
            );
            (seen, away) = (0, 0);
        }
        delay(sleep_ticks);
    }
}
