//! `::cycinfo`: the cyclics of each CPU; with -v, their heap.
//!
//! # Invariants
//! - The heap is the guest's own: places that are missing or taken twice are an error that names them.

use umpire_shared::sys::cyclic::{CY_LOCK_LEVEL, CY_LOW_LEVEL, handler};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::cyclics::{self, Backend, Element};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// Characters of an address in these columns (`CYC_ADDR_WIDTH`): wider ones push the rest to the right.
const WIDTH: usize = 11;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cycinfo",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-vV]",
    about: "dump cyc_cpu info",
    help: "Prints a line for the cyclics of each CPU, or of the CPU whose cyc_cpu_t (or number) is in front: whether it is online, how\n\
           many there are, and which fires next: its address, when (in ns after boot, hexadecimal), and what it runs.\n\
           -v  the heap, a number for each cyclic, what fires first on top; then each cyclic: its number, its place in the heap,\n\
           \x20   its level, how many calls it is owed, when it fires, its interval in us, what it runs\n\
           -V  as -v, with free slots, and the buffers that the soft interrupts of the low and the lock level take calls from",
    examples: &[("::cycinfo -v", "the cyclics of every CPU"), ("0::cycinfo -v", "of CPU 0"), ("::walk cyccpu | ::cycinfo", "from a pipe")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("vV")?;
    options.none_left(call)?;
    let mut rows = Vec::new();
    for (id, cpu) in kernel::cpus(view)?.addresses().enumerate() {
        let backend = Backend::of(view, cpu)?;
        let is_wanted = |addr: u64| addr == backend.addr || addr == id as u64 || addr == cpu;
        if call.addr.is_none_or(is_wanted) {
            let mut row = row(id as u64, &backend);
            if options.has('v') || options.has('V') {
                let pend = if options.has('V') { pend_text(id as u64, &backend) } else { String::new() };
                let heap = if backend.heap.is_empty() { String::new() } else { cyclics::drawn(&backend.heap) };
                row.text = format!("{}\n{heap}\n{}{pend}", row.text, elements(&backend, options.has('V')));
            }
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return Err(Failure::new("no CPU has its cyclics there; ::walk cyccpu lists them"));
    }
    let header = format!(
        "{:>3} {:>WIDTH$} {:>7} {:>6} {:>WIDTH$} {:>15} HANDLER",
        "CPU", "CYC_CPU", "STATE", "NELEMS", "ROOT", "FIRE"
    );
    Ok(Answer { header: Some(header), rows, ended: None })
}

fn row(id: u64, backend: &Backend) -> Row {
    let state = if backend.is_online { "online" } else { "offline" };
    let nelems = backend.heap.len() as u64;
    let root = backend.root();
    let (addr, fire, runs) = match root {
        Some(root) => (format!("{:0WIDTH$x}", root.addr), format!("{:x}", root.expire), root.runs()),
        None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
    };
    let text = format!("{id:>3} {:0WIDTH$x} {state:>7} {nelems:>6} {addr:>WIDTH$} {fire:>15} {runs}", backend.addr);
    let all = backend.elements.iter().filter(|e| e.handler != handler::NONE);
    let data = vec![
        ("cpu", id.into()),
        ("addr", backend.addr.into()),
        ("state", state.into()),
        ("nelems", nelems.into()),
        ("root", root.map(|root| root.addr).into()),
        ("fire_ns", root.map(|root| root.expire).into()),
        ("handler", root.map(Element::runs).into()),
        ("cyclics", cyclics::table().records(all)),
    ];
    Row { value: Some(backend.addr), text, data }
}

fn elements(backend: &Backend, with_free: bool) -> String {
    let mut text = format!(
        "  {:>WIDTH$} {:>3} {:>4} {:>4} {:>5} {:>15} {:>7} HANDLER\n",
        "ADDR", "NDX", "HEAP", "LEVL", "PEND", "FIRE", "USECINT"
    );
    for e in backend.elements.iter().filter(|e| with_free || e.handler != handler::NONE) {
        let heap = backend.heap.iter().position(|n| *n == e.index).map_or_else(|| "-".to_owned(), |n| n.to_string());
        let interval = e.interval_us().map_or_else(|| "-".to_owned(), |us| us.to_string());
        let (addr, index, level, pend, fire) = (e.addr, e.index, e.level_name(), e.pend, e.expire);
        text += &format!("  {addr:0WIDTH$x} {index:>3} {heap:>4} {level:>4} {pend:>5} {fire:>15x} {interval:>7} {}\n", e.runs());
    }
    text
}

fn pend_text(cpu: u64, backend: &Backend) -> String {
    let mut text = String::new();
    for ((level, user), buffer) in [("low", CY_LOW_LEVEL), ("lock", CY_LOCK_LEVEL)].iter().zip(&backend.pending) {
        text += &format!(
            "\n  {:>3} {:>4} {:>4} {:>3} {:>WIDTH$} {:>3} {:>WIDTH$} {:>5}\n",
            "CPU", "LEVL", "USER", "NDX", "ADDR", "CYC", "CYC_ADDR", "PEND"
        );
        let size = buffer.slots.len().max(1) as u64;
        for (n, (addr, cyclic)) in buffer.slots.iter().enumerate() {
            let at = |count: u64| count % size == n as u64;
            let arrow = match (at(buffer.cons), at(buffer.prod)) {
                (true, true) => " <-- consndx,prodndx",
                (true, false) => " <-- consndx",
                (false, true) => " <-- prodndx",
                (false, false) => "",
            };
            let of = backend.elements.get(*cyclic as usize);
            let (at, pend) = (of.map_or(0, |e| e.addr), of.map_or(0, |e| e.pend));
            text += &format!(
                "  {cpu:>3} {level:>4} {user:>4} {n:>3} {addr:0WIDTH$x} {cyclic:>3} {at:0WIDTH$x} {pend:>5}{arrow}\n"
            );
        }
    }
    text
}
