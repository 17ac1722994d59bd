//! `::kmem_cache`: the caches of the memory allocator.
//!
//! # Invariants
//! - Columns are mdb's; BUFTOTL counts the buffers of all slabs, those in magazines as well.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "kmem_cache",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-n name]",
    about: "the caches of the memory allocator",
    help: "Prints a line for each cache of the memory allocator, or for the one at the address: what it is checked for (a sum: 1 who had\n\
           a buffer last, 2 use after free, 4 writing past the end), bytes of a buffer, and how many buffers its slabs have.\n\
           -n s  only caches with s in their names",
    examples: &[("::kmem_cache", "every cache"), ("::kmem_cache -n taskq", "those of task queues"), ("::walk kmem_cache | ::kmem_cache", "from a pipe")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("n:")?;
    options.none_left(call)?;
    let addrs = walker::at_or_all(view, call, "kmem_cache")?;
    let all = kernel::arena(view, "k_kmem.kmem_caches")?;
    let part = options.argument('n').map(|word| word.text.as_str());
    let mut rows = Vec::new();
    for addr in addrs {
        if all.index_of(addr).is_none() {
            return Err(Failure::new(format!("no cache begins at {addr:#x}; ::kmem_cache lists them")));
        }
        let cache = view.object(all.of, addr)?;
        let name = cache.text("cache_name")?;
        if part.is_some_and(|part| !name.contains(part)) {
            continue;
        }
        let (flags, bufsize, buftotal) = (cache.n("cache_flags")?, cache.n("cache_bufsize")?, cache.n("cache_buftotal")?);
        let inuse = cache.n("cache_slab_alloc")?.saturating_sub(cache.n("cache_slab_free")?);
        let text = format!("{addr:016x} {name:<25} {flags:04x} {:06x} {bufsize:>8} {buftotal:>8}", 0);
        let data = vec![
            ("addr", addr.into()),
            ("name", name.as_str().into()),
            ("flags", flags.into()),
            ("bufsize_bytes", bufsize.into()),
            ("buftotal", buftotal.into()),
            ("buffers_in_use", inuse.into()),
            ("alloc_fail", cache.n("cache_alloc_fail")?.into()),
        ];
        rows.push(Row { value: Some(addr), text, data });
    }
    let header = format!("{:<16} {:<25} {:>4} {:>6} {:>8} {:>8}", "ADDR", "NAME", "FLAG", "CFLAG", "BUFSIZE", "BUFTOTL");
    Ok(Answer { header: Some(header), rows, ended: None })
}
