//! `::whatis`: what an address is in.
//!
//! # Invariants
//! - It says all that it knows of an address, and that nothing is known if nothing is.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "whatis",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "given an address, return information",
    help: "Says what an address is in: an arena of the kernel and which element, a thread's stack, a variable, code. Of STREAMS it says\n\
           whose queue, head, perimeter or message that is, and whether the cache of it has handed it out.",
    examples: &[
        ("::queue -q | ::print queue_t q_syncq | ::whatis", "whose perimeters queues have"),
        ("::walk thread | ::print kthread_t t_wchan | ::grep .!=0 | ::whatis", "what threads sleep on"),
    ],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    call.no_arguments()?;
    let mut found: Vec<(u64, String)> = Vec::new();
    for (name, all) in view.arenas() {
        if let Some((n, into)) = all.containing(addr) {
            let base = addr - into;
            let of = view.types().get(all.of).shown();
            let called = match &*name {
                "k_threads" => view.part(all.of, base, "t_name")?.text("").map(|name| format!(" ({name})"))?,
                _ => streams::kept(view, &name, base)?.map(|cache| format!(", {cache}")).unwrap_or_default(),
            };
            found.push((base, format!("{of} {n} of {name}{called}")));
            found.extend(streams::what(view, &name, base, addr)?);
        }
    }
    for thread in kernel::threads(view)?.addresses() {
        let thread = view.at("Kthread", thread)?;
        let (base, end) = (thread.n("t_stkbase")?, thread.n("t_stk")?);
        if (base..end).contains(&addr) {
            found.push((base, format!("the stack of thread {:x} ({})", thread.addr(), thread.text("t_name")?)));
        }
    }
    if let Some(name) = view.name_of(addr) {
        let base = addr - name.rsplit_once('+').and_then(|(_, n)| number(n)).unwrap_or(0);
        let name = name.split_once('+').map_or(name.as_str(), |(name, _)| name);
        found.push((base, format!("{name}, {}", if view.image().named(name).is_empty() { "a variable of the kernel" } else { "of the image" })));
    }
    if found.is_empty() {
        return Ok(Answer::rows([Row::line(format!("{addr:x} is unknown")).with("addr", addr)]));
    }
    let row = |(base, what): &(u64, String)| Row {
        value: Some(*base),
        text: format!("{addr:x} is {base:x}+{:x}, {what}", addr - base),
        data: vec![
            ("addr", addr.into()),
            ("base", (*base).into()),
            ("offset_bytes", (addr - base).into()),
            ("what", what.as_str().into()),
        ],
    };
    Ok(Answer::rows(found.iter().map(row)))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
