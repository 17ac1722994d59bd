//! Callouts, as `::callout`, `::calloutid` and the walkers of callouts see them.
//!
//! # Invariants
//! - A callout that is free is in no table.
//! - Its id is what `timeout` returned: its use in the high half, its place in the low one.

use umpire_shared::sys::callo::{CALLOUT_REALTIME, func, state};

use crate::kernel;
use crate::lang::Failure;
use crate::object::Elements;
use crate::view::View;

/// A callout that is in use.
#[derive(Debug)]
pub(crate) struct Callout {
    pub(crate) addr: u64,
    /// `cpu_id << 1 | type` of its table.
    pub(crate) table: u64,
    /// When it is due, in ns after boot.
    pub(crate) expires: u64,
    /// Decides between equal expirations.
    pub(crate) order: u64,
    pub(crate) id: u64,
    pub(crate) is_executing: bool,
    /// What it does: `setrun(mac_soft_ring_worker)`.
    pub(crate) does: String,
}

impl Callout {
    /// The CPU of its table.
    pub(crate) fn cpu(&self) -> u64 {
        self.table >> 1
    }

    /// True if it is run in place, at the low level.
    pub(crate) fn is_realtime(&self) -> bool {
        is_realtime(self.table)
    }
}

/// True for a table whose callouts are run in place, at the low level.
pub(crate) fn is_realtime(table: u64) -> bool {
    table & 1 == u64::from(CALLOUT_REALTIME)
}

/// The callouts that are in use: those of the table at an address, or all.
pub(crate) fn in_use(view: &View<'_>, table: Option<u64>) -> Result<Vec<Callout>, Failure> {
    let all = kernel::arena(view, "k_callout.callouts")?;
    let number = match table {
        None => None,
        Some(addr) => {
            let tables = kernel::arena(view, "k_callout.callout_tables")?;
            let missing =
                || Failure::new(format!("no callout table begins at {addr:#x}; ::callout -T lists them"));
            Some(tables.index_of(addr).ok_or_else(missing)?)
        }
    };
    let mut found = Vec::new();
    for addr in all.addresses() {
        let one = at(view, all, addr)?;
        found.extend(one.filter(|c| number.is_none_or(|n| n == c.table)));
    }
    Ok(found)
}

/// The callout at an address; `None` if it is free.
pub(crate) fn at(view: &View<'_>, all: Elements, addr: u64) -> Result<Option<Callout>, Failure> {
    let n = all.index_of(addr).ok_or_else(|| Failure::new(format!("no callout begins at {addr:#x}")))?;
    let c = view.object(all.of, addr)?;
    let now = c.n("c_state")?;
    if now == u64::from(state::FREE) {
        return Ok(None);
    }
    let (calls, arg) = (c.n("c_func")? as u8, c.n("c_arg")?);
    Ok(Some(Callout {
        addr,
        table: c.n("c_table")?,
        expires: c.n("c_expiration")?,
        order: c.n("c_order")?,
        id: c.n("c_gen")? << 32 | n,
        is_executing: now == u64::from(state::EXECUTING),
        does: does(view, n, calls, arg)?,
    }))
}

/// What number `n` does, as FUNC(ARG).
fn does(view: &View<'_>, n: u64, calls: u8, arg: u64) -> Result<String, Failure> {
    let name = match calls {
        func::WAKE => {
            let threads = kernel::threads(view)?;
            let thread = threads.addresses().nth(n as usize);
            let name = thread.map(|t| view.part(threads.of, t, "t_name")?.text("")).transpose()?;
            return Ok(format!("setrun({})", name.unwrap_or_default()));
        }
        func::SEND => "signal_send",
        func::AWAIT => "signal_await",
        func::SPIN => "spin",
        func::CANCEL => "untimeout",
        func::CLOCK_FUNC => "clock_func",
        _ => "?",
    };
    Ok(format!("{name}({arg:x})"))
}
