//! `::mutex`: a mutex, adaptive or spin.
//!
//! # Invariants
//! - What kind it is follows from where it lies: spin mutexes have an arena of their own.

use umpire_rows::{Column, Kind, Table};
use umpire_shared::sys::mutex::{OWNER, WAITERS};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "mutex",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "[-f]",
    about: "dump out an adaptive or spin mutex",
    help: "Prints the mutex at the address: its owner if it is held, whether threads wait for it; of a spin mutex its level and the\n\
           level that its holder goes back to.\n\
           -f  print it although its owner is no thread",
    examples: &[("kernel::print Kernel k_work.locks | ::array kmutex_t 2 | ::mutex", "two mutexes of workloads")],
    run: Run::View(run),
};

struct Line {
    addr: u64,
    kind: &'static str,
    holder: Option<u64>,
    minspl: Option<u64>,
    oldspl: Option<u64>,
    waiters: Option<bool>,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    let options = call.options("f")?;
    options.none_left(call)?;
    let spins = kernel::arena(view, "k_work.spins")?;
    let line = if spins.index_of(addr).is_some() {
        let spin = view.object(spins.of, addr)?;
        let is_held = spin.n("m_spinlock")? & 1 == 1;
        let (minspl, oldspl) = (Some(spin.n("m_minspl")?), Some(spin.n("m_oldspl")?));
        Line { addr, kind: "spin", holder: is_held.then_some(0), minspl, oldspl, waiters: None }
    } else {
        let word = view.at("Mutex", addr)?.n("m_owner")?;
        let owner = word & OWNER as u64;
        if owner != 0 && kernel::threads(view)?.index_of(owner).is_none() && !options.has('f') {
            let message = format!("{addr:#x} is no mutex: its owner would be {owner:#x}, and that is no thread (-f prints it)");
            return Err(Failure::new(message));
        }
        let waiters = Some(word & WAITERS as u64 != 0);
        Line { addr, kind: "adapt", holder: Some(owner).filter(|o| *o != 0), minspl: None, oldspl: None, waiters }
    };
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |l: &Line| l.addr).titled("ADDR", 16).right(),
        Column::new("type", Kind::State, |l: &Line| l.kind).titled("TYPE", 5).right(),
        Column::new("held", Kind::Address, |l: &Line| l.holder).titled("HELD", 16).right().worded(|l| match l.holder {
            None => "no".to_owned(),
            Some(0) => "yes".to_owned(),
            Some(owner) => format!("{owner:x}"),
        }),
        Column::new("minspl", Kind::Count, |l: &Line| l.minspl).titled("MINSPL", 6),
        Column::new("oldspl", Kind::Count, |l: &Line| l.oldspl).titled("OLDSPL", 6),
        Column::new("waiters", Kind::Flag, |l: &Line| l.waiters).titled("WAITERS", 7).right(),
    ]);
    Ok(Answer::table(&table, &[line], |line| Some(line.addr)))
}
