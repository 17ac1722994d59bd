//! Two threads that wait for each other.
//!
//! # Invariants
//! - One of the two has the ball; only that one passes it on.

use crate::turn::{progress, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sync::{cv_signal, cv_wait, mutex_enter};
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::pair::{Pair, Pingpong};

umpire_shared::pair_workloads!();

/// One of two players: waits for the ball, passes it back. The player with the lower number serves.
fn pingpong(t: &'static Kthread, Pingpong { peer }: Pingpong) {
    let peer = thread(peer);
    let me_first = t.t_did < peer.t_did;
    let table = platform::kernel().k_work.table_of(if me_first { t } else { peer });
    let mine = usize::from(!me_first);
    mutex_enter(&table.tb_lock);
    loop {
        while table.tb_turn.get() != mine as u32 {
            cv_wait(&table.tb_cv[mine], &table.tb_lock);
        }
        table.tb_turn.set(1 - mine as u32);
        cv_signal(&table.tb_cv[1 - mine]);
        progress(t);
    }
}
