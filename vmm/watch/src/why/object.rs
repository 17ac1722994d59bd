//! What the kernel's objects are called: by the number that a scenario gives them, or as the kernel's source does.
//!
//! # Invariants
//! - A name is made of the object's path from the root and of nothing else. An object without a path is named by its address.

use umpire_shared::sys::machlock::DISP_LEVEL;

use super::asleep::number_in;
use crate::glass::Object;

/// Paths with one number in them, and the words that have that number in the place of `#`.
const NUMBERED: &[(&str, &str)] = &[
    ("k_work.locks[#]", "mutex #"),
    ("k_work.rwlocks[#]", "rwlock #"),
    ("k_work.semas[#]", "semaphore #"),
    ("k_work.cvs[#].wc_lock", "the mutex of condition variable #"),
    ("k_work.cvs[#].wc_cv", "condition variable #"),
    ("k_work.tables[#].tb_lock", "the mutex of table #"),
    ("k_work.tables[#].tb_cv[0]", "the first condition variable of table #"),
    ("k_work.tables[#].tb_cv[1]", "the second condition variable of table #"),
    ("k_work.bells[#]", "the bell of thread #"),
    ("k_net.srs[#].srs_lock", "the lock of soft ring set #"),
    ("k_net.srs[#].srs_async", "what the worker of soft ring set # waits on"),
    ("k_net.srs[#].srs_cv", "what the poll thread of soft ring set # waits on"),
    ("k_net.soft_rings[#].s_ring_lock", "the lock of soft ring #"),
    ("k_net.soft_rings[#].s_ring_cv", "what the worker of soft ring # waits on"),
    ("k_net.squeues[#].sq_lock", "the lock of squeue #"),
    ("k_net.squeues[#].sq_worker_cv", "what the worker of squeue # waits on"),
    ("k_net.squeues[#].sq_poll_cv", "what the poll thread of squeue # waits on"),
    ("k_threads[#].t_plock", "the p_lock of thread #"),
    ("k_signals[#]", "signal #"),
    ("k_callout.callouts[#]", "callout #"),
    ("k_callout.callout_tables[#]", "callout table #"),
    ("k_cpus[#].cpu_disp.disp_lock", "the lock of the run queue of cpu #"),
    ("k_cpus[#].cpu_thread_lock", "the cpu_thread_lock of cpu #"),
    ("k_cpus[#].cpu_xc.xc_wait", "the answers to a cross call of cpu #"),
    ("k_cpus[#].cpu_xc.xc_missing", "the CPUs of an xc_sync of cpu #"),
    ("k_parts.parts[#].cp_kp_queue.disp_lock", "the lock of the kp queue of partition #"),
    ("k_streams.queues.ar_objects[#].qu_rqueue.q_lock", "the q_lock of the read queue of pair #"),
    ("k_streams.queues.ar_objects[#].qu_wqueue.q_lock", "the q_lock of the write queue of pair #"),
    ("k_streams.queues.ar_objects[#].qu_rqueue.q_wait", "the q_wait of the read queue of pair #"),
    ("k_streams.queues.ar_objects[#].qu_wqueue.q_wait", "the q_wait of the write queue of pair #"),
    ("k_streams.queues.ar_objects[#].qu_syncq", "the perimeter of pair #"),
    ("k_streams.stdatas.ar_objects[#].sd_lock", "the sd_lock of stream head #"),
    ("k_streams.stdatas.ar_objects[#].sd_reflock", "the sd_reflock of stream head #"),
    ("k_streams.scenario[#].ss_cv", "an open or a close of stream #"),
    ("k_sync.sleepq[#]", "the lock of sleep queue #"),
    ("k_sync.turnstile_table[#]", "the lock of turnstile chain #"),
];

/// What an object is called.
pub fn name(object: &Object) -> String {
    let Object { addr, path, .. } = object;
    if path.is_empty() {
        return format!("something at {addr:#x} that the kernel does not have");
    }
    let Some(number) = number_in(path) else {
        // A member of one of the kernel's parts: its name says enough.
        return path.rsplit('.').next().unwrap_or(path).to_owned();
    };
    if path.starts_with("k_work.spins[") {
        return format!("the spin mutex of level {}", number.saturating_add(DISP_LEVEL.into()));
    }
    if path.starts_with("k_threads[") && path.ends_with(']') {
        return "a timeout".to_owned();
    }
    let first = path.replacen(&format!("[{number}]"), "[#]", 1);
    // A list is called by its lock; an squeue's lock is a lock among others.
    let list = first.strip_suffix(".sq_lock").or_else(|| first.strip_suffix(".tc_lock"));
    let named = |path: &str| NUMBERED.iter().find(|(pattern, _)| *pattern == path);
    match named(&first).or_else(|| named(list?)) {
        Some((_, words)) => words.replace('#', &number.to_string()),
        None => path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_an_object_has_the_number_that_a_scenario_gives_it() {
        let cases = [
            ("k_work.locks[3]", "mutex 3"),
            ("k_work.cvs[2].wc_cv", "condition variable 2"),
            ("k_work.spins[1]", "the spin mutex of level 12"),
            ("k_work.tables[4].tb_cv[1]", "the second condition variable of table 4"),
            ("k_net.squeues[1].sq_lock", "the lock of squeue 1"),
            ("k_sync.sleepq[17].sq_lock", "the lock of sleep queue 17"),
            ("k_cpu_ops.cpu_lock", "cpu_lock"),
            ("k_threads[7]", "a timeout"),
            ("k_cpus[1].cpu_later.word", "k_cpus[1].cpu_later.word"),
        ];
        for (path, expected) in cases {
            let object = Object { addr: 1, path: path.to_owned(), type_name: String::new() };
            assert_eq!(name(&object), expected, "{path}");
        }
        assert_eq!(
            name(&Object { addr: 0x40, ..Object::default() }),
            "something at 0x40 that the kernel does not have"
        );
    }
}
