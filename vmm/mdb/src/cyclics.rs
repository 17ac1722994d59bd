//! Cyclics of a CPU, as `::cycinfo` and `::cyclic` show them.
//!
//! # Invariants
//! - The heap is drawn by the rule of mdb's `cyclic.c`: a node in the middle of its span, its children in the two halves.

use umpire_rows::{Column, Kind, Table};
use umpire_shared::sys::cyclic::{CY_HIGH_LEVEL, CY_LOCK_LEVEL, CY_LOW_LEVEL, handler};

use crate::lang::Failure;
use crate::object::Object;
use crate::view::View;

/// Columns of the drawing.
const WIDTH: usize = 80;
/// The span of the root, from column to column.
const SPAN: (usize, usize) = (1, 78);
/// The place of a cyclic that is in no heap (`heap.rs NOWHERE`).
const NOWHERE: u64 = u32::MAX as u64;
/// Columns that a node needs to have children drawn.
const LEAST_SPAN: usize = 5;

/// The cyclics of a CPU.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Address of the `CyclicCpu`.
    pub(crate) addr: u64,
    /// `cyp_online`.
    pub(crate) is_online: bool,
    /// Numbers of cyclics, in the order of the heap.
    pub(crate) heap: Vec<u64>,
    /// Every slot.
    pub(crate) elements: Vec<Element>,
    /// What awaits the soft interrupt of the low and of the lock level.
    pub(crate) pending: Vec<SoftBuffer>,
}

/// What awaits the soft interrupt of a level (`cyc_pcbuffer_t`).
#[derive(Debug)]
pub(crate) struct SoftBuffer {
    /// Indices ever put in.
    pub(crate) prod: u64,
    /// Indices ever taken out.
    pub(crate) cons: u64,
    /// Its slots: the address of each, and the number of the cyclic that is or was in it.
    pub(crate) slots: Vec<(u64, u64)>,
}

/// A cyclic.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) addr: u64,
    pub(crate) index: u64,
    pub(crate) expire: u64,
    interval: u64,
    pub(crate) pend: u64,
    arg: u64,
    level: u8,
    pub(crate) handler: u8,
    place: u64,
}

impl Backend {
    /// The cyclics of the CPU at an address.
    pub(crate) fn of(view: &View<'_>, cpu: u64) -> Result<Backend, Failure> {
        let cyp = view.at("Cpu", cpu)?.get("cpu_cyclic")?;
        let slots = cyp.get("cyp_cyclics")?.elements()?;
        let elements = (0..slots.count).map(|n| Element::of(&cyp.get(&format!("cyp_cyclics[{n}]"))?, n));
        let elements = elements.collect::<Result<Vec<_>, _>>()?;
        let heap = heap(&elements, cyp.addr())?;
        let buffer = |n: u64| {
            let of = cyp.get(&format!("cyp_softbuf[{n}]"))?;
            let all = of.get("cypc_buf")?.elements()?;
            let slot = |(addr, n): (u64, u64)| Ok((addr, of.n(&format!("cypc_buf[{n}]"))?));
            let slots = all.addresses().zip(0..).map(slot).collect::<Result<Vec<_>, Failure>>()?;
            Ok(SoftBuffer { prod: of.n("cypc_prod")?, cons: of.n("cypc_cons")?, slots })
        };
        let pending = (0..2).map(buffer).collect::<Result<Vec<_>, Failure>>()?;
        Ok(Backend { addr: cyp.addr(), is_online: cyp.n("cyp_online")? != 0, heap, elements, pending })
    }

    /// What fires next.
    pub(crate) fn root(&self) -> Option<&Element> {
        self.elements.get(usize::try_from(*self.heap.first()?).ok()?)
    }
}

impl Element {
    /// A cyclic, which is number `index` of its CPU.
    pub(crate) fn of(cyclic: &Object<'_>, index: u64) -> Result<Element, Failure> {
        Ok(Element {
            addr: cyclic.addr(),
            index,
            expire: cyclic.n("cy_expire")?,
            interval: cyclic.n("cy_interval")?,
            pend: cyclic.n("cy_pend")?,
            arg: cyclic.n("cy_arg")?,
            level: cyclic.n("cy_level")? as u8,
            handler: cyclic.n("cy_handler")? as u8,
            place: cyclic.n("cy_place")?,
        })
    }

    /// What it runs: `clock`, `device(3)`.
    pub(crate) fn runs(&self) -> String {
        let name = handler::NAMES.short(u64::from(self.handler)).unwrap_or("?").to_ascii_lowercase();
        match self.handler {
            handler::CLOCK | handler::DEADMAN | handler::HRES_TICK | handler::NONE => name,
            _ => format!("{name}({})", self.arg),
        }
    }

    /// `low`, `lock`, `high`.
    pub(crate) fn level_name(&self) -> &'static str {
        match self.level {
            CY_LOW_LEVEL => "low",
            CY_LOCK_LEVEL => "lock",
            CY_HIGH_LEVEL => "high",
            _ => "????",
        }
    }

    /// Its interval in us; none for a one-shot.
    pub(crate) fn interval_us(&self) -> Option<u64> {
        (self.interval != u64::MAX).then_some(self.interval / 1000)
    }
}

/// The heap, as the cyclics in it tell their places: each place from 0 on is that of one cyclic.
fn heap(elements: &[Element], addr: u64) -> Result<Vec<u64>, Failure> {
    let mut places: Vec<(u64, u64)> =
        elements.iter().filter(|e| e.place != NOWHERE).map(|e| (e.place, e.index)).collect();
    places.sort_unstable();
    match places.iter().zip(0..).find(|((place, _), expect)| place != expect) {
        None => Ok(places.into_iter().map(|(_, index)| index).collect()),
        Some(((place, index), expect)) => {
            let message = format!(
                "the heap of {addr:#x} is corrupt: cyclic {index} is at place {place} where {expect} is next"
            );
            Err(Failure::new(message))
        }
    }
}

/// Cyclics as rows.
pub(crate) fn table() -> Table<Element> {
    Table::nested(vec![
        Column::new("addr", Kind::Address, |e: &Element| e.addr).titled("ADDR", 16).right(),
        Column::new("index", Kind::Count, |e: &Element| e.index),
        Column::new("level", Kind::State, |e: &Element| e.level_name()).titled("LEVL", 4).right(),
        Column::new("pend", Kind::Count, |e: &Element| e.pend).titled("PEND", 5),
        Column::new("fire_ns", Kind::Ns, |e: &Element| e.expire)
            .titled("FIRE", 15)
            .worded(|e| format!("{:x}", e.expire)),
        Column::new("interval_us", Kind::Count, |e: &Element| e.interval_us()).titled("USECINT", 7),
        Column::new("handler", Kind::Text, Element::runs).titled("HANDLER", 7),
    ])
}

/// The heap: a number for each cyclic, what fires first on top.
pub(crate) fn drawn(heap: &[u64]) -> String {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    node(heap, 0, SPAN, 0, &mut lines);
    let text = |line: &Vec<u8>| String::from_utf8_lossy(line).trim_end().to_owned() + "\n";
    format!("\n{}", lines.iter().map(text).collect::<String>())
}

fn node(heap: &[u64], place: usize, (left, right): (usize, usize), depth: usize, lines: &mut Vec<Vec<u8>>) {
    let Some(index) = heap.get(place) else { return };
    let (span, x) = (right - left, left + (right - left) / 2);
    let mut put = |line: usize, column: usize, text: &str| {
        while lines.len() <= line {
            lines.push(vec![b' '; WIDTH]);
        }
        lines[line][column..column + text.len()].copy_from_slice(text.as_bytes());
    };
    put(depth, x, &index.to_string());
    if span <= LEAST_SPAN {
        return;
    }
    put(depth + 1, x, "|");
    let quarter = span / 4;
    for column in left + quarter..right - quarter {
        put(depth + 2, column, "-");
    }
    for column in [left + quarter, x, right - quarter - 1] {
        put(depth + 2, column, "+");
    }
    node(heap, 2 * place + 1, (left, x), depth + 3, lines);
    node(heap, 2 * place + 2, (x, right), depth + 3, lines);
}

#[cfg(test)]
mod tests {
    use super::drawn;

    /// The heap of the article "Debugging Solaris Scheduling Problems", whose first three lines it left out.
    #[test]
    fn heap_is_drawn_as_in_the_article() {
        let heap = [6, 10, 1, 9, 5, 3, 2, 4, 0, 11, 7, 8];
        let expect = "
                                       6
                                       |
                    +------------------+------------------+
                    10                                    1
                    |                                     |
          +---------+--------+                  +---------+---------+
          9                  5                  3                   2
          |                  |                  |                   |
     +----+----+        +----+----+        +----+----+         +----+---+
     4         0        11        7        8
     |         |        |         |        |
   +-+-+    +--+-+    +-+-+    +--+-+    +-+-+
";
        assert_eq!(drawn(&heap).trim_end(), expect.trim_end());
    }

    #[test]
    fn heap_of_any_size_is_drawn() {
        assert_eq!(drawn(&[]), "\n");
        drawn(&(0..64).collect::<Vec<_>>());
    }
}
