//! A still: what the live screen shows of a guest at one moment, as data.
//!
//! # Invariants
//! - Run queues are read under their generation; how many could not be is counted.

use umpire_mdb::lang::Failure;
use umpire_mdb::procs::{self, Thread};
use umpire_mdb::view::View;
use umpire_shared::sys::cpuvar::flag;
use umpire_watch::glass::{Needs, QueueSample};

/// A moment of a guest.
#[derive(Debug, Clone, Default)]
pub(super) struct Still {
    /// ns since boot, as the guest has it; of a simulated run since sampling began, which goes to this moment again.
    pub at_ns: u64,
    pub cpus: Vec<CpuLine>,
    /// Of each partition with threads on its kp queue: its number, and the threads by level.
    pub kps: Vec<(u64, Vec<(i16, u64)>)>,
    pub threads: Vec<Thread>,
    /// What the referee has said by then.
    pub verdicts: Vec<String>,
    /// Run queues that were read, and those of them that were torn.
    pub reads: u64,
    pub torn: u64,
}

/// A CPU.
#[derive(Debug, Clone, Default)]
pub(super) struct CpuLine {
    pub id: u64,
    /// What runs there.
    pub runs: String,
    pub pri: i64,
    pub is_online: bool,
    pub is_idle: bool,
    pub runrun: bool,
    pub kprunrun: bool,
    pub nrunnable: u64,
    /// Threads on its run queue by level, best first.
    pub levels: Vec<(i16, u64)>,
}

impl Still {
    /// Looks.
    pub fn of(view: &View<'_>) -> Result<Still, Failure> {
        // The first row is about the run; what is broken goes before the sentences that say why.
        let rows = view.verdicts().into_iter().skip(1).map(|row| row.text);
        let verdicts = rows.filter(|text| !text.starts_with("held") && !text.starts_with("holds")).collect();
        let now_ns = view.now_ns()?;
        let seen = view.snapshot(Needs::default())?;
        let threads = procs::all(view, now_ns)?;
        let name =
            |addr: u64| threads.iter().find(|t| t.addr == addr).map_or("?", |t| t.name.as_str()).to_owned();
        let cpus = seen.cpus.iter().zip(0..).map(|(cpu, id)| {
            let is_idle = cpu.thread == cpu.idle_thread;
            CpuLine {
                id,
                runs: if is_idle { "(idle)".to_owned() } else { name(cpu.thread) },
                pri: i64::from(cpu.dispatch_pri),
                is_online: cpu.flags & flag::OFFLINE == 0,
                is_idle,
                runrun: cpu.runrun,
                kprunrun: cpu.kprunrun,
                nrunnable: u64::from(cpu.queue.nrunnable),
                levels: levels(&cpu.queue),
            }
        });
        let cpus = cpus.collect();
        let kps = seen.kps.iter().zip(0..).filter(|(queue, _)| !queue.threads.is_empty());
        Ok(Still {
            at_ns: now_ns,
            cpus,
            kps: kps.map(|(queue, part)| (part, levels(queue))).collect(),
            reads: seen.queues().count() as u64,
            torn: seen.queues().filter(|(_, queue)| !queue.verdict.is_trusted()).count() as u64,
            threads,
            verdicts,
        })
    }

    /// What a thread waits for, in a few words.
    pub fn waits_for(&self, thread: &Thread) -> String {
        let owner = thread.owner.and_then(|addr| self.threads.iter().find(|other| other.addr == addr));
        match (thread.letter(), owner) {
            ('R', _) => match (thread.queue, thread.cpu) {
                (Some("kp"), _) => "a CPU (kp queue)".to_owned(),
                (_, Some(cpu)) => format!("cpu {cpu}"),
                _ => "a CPU".to_owned(),
            },
            ('W', _) => "its CPU cap".to_owned(),
            ('S', Some(owner)) => format!("{} of {}", thread.sobj, owner.name),
            ('S', None) if thread.wchan != 0 => thread.sobj.clone(),
            _ => String::new(),
        }
    }
}

fn levels(queue: &QueueSample) -> Vec<(i16, u64)> {
    let mut levels: Vec<(i16, u64)> = Vec::new();
    for thread in &queue.threads {
        match levels.last_mut() {
            Some((level, count)) if *level == thread.level => *count += 1,
            _ => levels.push((thread.level, 1)),
        }
    }
    levels
}
