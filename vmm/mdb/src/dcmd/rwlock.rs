//! `::rwlock`: a readers/writer lock.
//!
//! # Invariants
//! - The word is read once; who waits is read after it.

use umpire_shared::sys::rwlock::rw;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker::list;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "rwlock",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "dump out a readers/writer lock",
    help: "Prints the readers/writer lock at the address: the writer that owns it or how many readers hold it, its bits by name,\n\
           and the threads that wait, writers (W) and readers (R).",
    examples: &[("kernel::print Kernel k_work.rwlocks.data_ptr | ::rwlock", "the first lock of workloads")],
    run: Run::View(run),
};

/// The bits of FLAGS from left to right, with their names.
const BITS: [(usize, &str); 3] =
    [(rw::WRITE_LOCKED, "WRITE_LOCKED"), (rw::WRITE_WANTED, "WRITE_WANTED"), (rw::HAS_WAITERS, "HAS_WAITERS")];

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    call.no_arguments()?;
    let word = view.at("Rwlock", addr)?.n("rw_wwwh")?;
    let has = |bit: usize| word & bit as u64 != 0;
    let count = word / rw::READ_LOCK as u64;
    let owner = has(rw::WRITE_LOCKED).then_some(word & rw::OWNER as u64);
    let held = match (owner, count) {
        (Some(owner), _) => format!("{owner:x}"),
        (None, 0) => "-".to_owned(),
        (None, readers) => format!("READERS={readers}"),
    };
    let (mut waiters, mut ended): (Vec<(u64, &str)>, _) = (Vec::new(), None);
    if let Some(turnstile) = kernel::turnstile_of(view, addr)? {
        for (n, of) in [(0, "W"), (1, "R")] {
            let first = turnstile.n(&format!("ts_sleepq[{n}].sq_first"))?;
            let walk = list::follow(first, |thread| view.at("Kthread", thread)?.n("t_link"));
            waiters.extend(walk.addrs.into_iter().map(|thread| (thread, of)));
            ended = ended.or(walk.ended);
        }
    }
    let bits: String = BITS.iter().map(|(bit, _)| if has(*bit) { '1' } else { '0' }).collect();
    let set: Vec<usize> = (0..BITS.len()).filter(|n| has(BITS[*n].0)).collect();
    let mut lines = vec![format!("{addr:016x} {held:>16}  B{bits}")];
    // Below the word a bar for each bit that is set; then a name a line, the leftmost bit's first, with its arrow.
    if !set.is_empty() {
        let bar = |n: usize, from: usize| if n >= from && set.contains(&n) { '|' } else { ' ' };
        lines.push(format!("{:36}{}", "", (0..BITS.len()).map(|n| bar(n, 0)).collect::<String>()));
        for &n in &set {
            let rest: String = (n + 1..BITS.len()).map(|m| bar(m, n + 1)).collect();
            lines.push(format!("{:>27} {}+{rest}", BITS[n].1, "-".repeat(8 + n)));
        }
    }
    for (n, (thread, of)) in waiters.iter().enumerate() {
        if n == lines.len() {
            lines.push(String::new());
        }
        lines[n] = format!("{:<44}{thread:>16x} ({of})", lines[n]);
    }
    let names = set.iter().map(|n| BITS[*n].1).collect::<umpire_rows::Value>();
    let data = vec![
        ("addr", addr.into()),
        ("owner", owner.into()),
        ("readers", (if owner.is_some() { 0 } else { count }).into()),
        ("flags", names),
        ("waiters", waiters.iter().map(|(thread, _)| *thread).collect()),
    ];
    let text = lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n");
    let header = format!("{:>16} {:>16}  {:<6} {:>17}", "ADDR", "OWNER/COUNT", "FLAGS", "WAITERS");
    Ok(Answer { header: Some(header), rows: vec![Row { value: Some(addr), text, data }], ended })
}
