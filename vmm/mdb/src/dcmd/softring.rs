//! `::softring`: soft rings.
//!
//! # Invariants
//! - Columns are ours: mdb has no such command, and shows rings with `::mac_srs -rc`.

use umpire_shared::sys::mac::{sring, srtype};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::network;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "softring",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-v]",
    about: "print mac_soft_ring_t",
    help: "Prints the soft ring at the address, or every one: its name, state and type (hexadecimal), the CPU that its worker is bound\n\
           to (-1: none), packets that wait in it, the soft ring set that it belongs to, and its worker.\n\
           -v  the names of the bits of its state and of its type",
    examples: &[
        ("::softring", "every soft ring"),
        ("::softring | ::print mac_soft_ring_t s_ring_worker | ::findstack", "where its worker is"),
    ],
    run: Run::View(run),
};

/// Column to which `-v` indents names.
const NAMES_COLUMN: usize = 2 * 8 + 9;

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let addrs = walker::at_or_all(view, call, "soft_ring")?;
    if call.is_piped_out {
        return Ok(Answer::addresses(addrs));
    }
    let header = format!(
        "{:>16} {:<20} {:>5} {:>4} {:>3} {:>5} {:>16} {:>16}",
        "ADDR", "NAME", "STATE", "TYPE", "CPU", "COUNT", "SRS", "WORKER"
    );
    let mut answer = Answer { header: Some(header), ..Answer::default() };
    let sets = crate::kernel::arena(view, "k_net.srs")?;
    for addr in addrs {
        let ring = network::soft_ring(view, addr)?;
        let (name, state, kind) = (ring.text("s_ring_name")?, ring.n("s_ring_state")?, ring.n("s_ring_type")?);
        let (cpu, count, worker) = (ring.signed("s_ring_cpuid")?, ring.n("s_ring_count")?, ring.n("s_ring_worker")?);
        let set = sets.addresses().nth(ring.n("s_ring_set")? as usize).unwrap_or(0);
        let mut text =
            format!("{addr:016x} {name:<20} {state:05x} {kind:04x} {cpu:>3} {count:>5} {set:016x} {worker:016x}");
        if options.has('v') {
            text += &network::names(sring::NAMES, state, NAMES_COLUMN);
            text += &network::names(srtype::NAMES, kind, NAMES_COLUMN);
        }
        let data = vec![
            ("addr", addr.into()),
            ("name", name.into()),
            ("state", state.into()),
            ("type", kind.into()),
            ("cpu", cpu.into()),
            ("count", count.into()),
            ("srs", set.into()),
            ("worker", worker.into()),
            ("arrived", ring.n("s_ring_total_inpkt")?.into()),
            ("passed", ring.n("s_ring_passed")?.into()),
        ];
        answer.rows.push(Row { value: Some(addr), text, data });
    }
    Ok(answer)
}
