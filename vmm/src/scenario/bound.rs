//! `[[bound]]` tables: a monitor's name, the threads it is about, and its limit.
//!
//! # Invariants
//! - The monitors and the language of thread filters are [`crate::monitor`]'s; only their places in the file are ours.

use crate::monitor::{BoundSpec, MonitorKind, ThreadFilter};

use super::error::Fault;
use super::field::Value;

const HOUR_NS: u64 = 3_600_000_000_000;

/// Reads one `[[bound]]` table.
pub(super) fn read(value: &Value<'_>) -> Result<BoundSpec, Box<Fault>> {
    let fields = value.table("[[bound]]", &["monitor", "threads", "limit"])?;
    let names: Vec<&str> = MonitorKind::ALL.iter().map(|kind| kind.name()).collect();
    let place = fields.need("monitor", "\"starvation\"")?.word("monitor", &names)?;
    let monitor = MonitorKind::ALL[place];
    let threads = match fields.get("threads") {
        Some(threads) if monitor != MonitorKind::Starvation => {
            let message = format!("the monitor `{}` watches no threads", monitor.name());
            return Err(threads.key_fault(message).help("remove `threads`"));
        }
        Some(threads) => Some(filter(&threads)?),
        None => None,
    };
    let limit_ns = fields.need("limit", "\"50ms\"")?.duration(0, HOUR_NS)?;
    Ok(BoundSpec { monitor, threads, limit_ns })
}

fn filter(value: &Value<'_>) -> Result<ThreadFilter, Box<Fault>> {
    let text = value.string()?;
    ThreadFilter::parse(text).map_err(|e| value.fault_inside(e.column.saturating_sub(1), e.message))
}
