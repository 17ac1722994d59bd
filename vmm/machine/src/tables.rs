//! The tables that a CPU in 64-bit mode reads by itself: descriptors, task state, interrupts, pages.
//!
//! # Invariants
//! - Memory is identity-mapped, writable and reachable from CPL 3; only page 0 and the guard page of each
//!   stack slot are not present.
//! - Small pages map the first 2 MiB and the stacks, large ones the rest.
//! - The local APIC and the doorbell are one uncached small page each.

use umpire_shared::MAX_CPUS;
use umpire_shared::boot::{
    DOORBELL, GATE_BLOCKS, GATE_STRIDE, GATE_WORDS, GDT, IDT, LAPIC, PAGE_TABLES, PAGE_TABLES_END, TSS,
    TSS_STRIDE, selector,
};

use super::MachineError;
use super::layout::{LARGE_PAGE, Layout, PAGE};

/// Interrupt vectors.
const VECTORS: u64 = 256;
/// Bytes of one of the image's vector stubs.
const STUB_LEN: u64 = 16;
/// Bytes of a 64-bit task state segment without an I/O bitmap.
pub(super) const TSS_LEN: u64 = 104;
/// Last valid offset in the GDT.
pub(super) const GDT_LIMIT: u16 = selector::TSS + 16 * MAX_CPUS as u16 - 1;
/// Last valid offset in the IDT.
pub(super) const IDT_LIMIT: u16 = (16 * VECTORS - 1) as u16;

// The fixed map leaves each table its room.
const _: () = assert!(GDT + GDT_LIMIT as u64 <= TSS);
const _: () = assert!(TSS + TSS_STRIDE * MAX_CPUS as u64 <= IDT);
const _: () = assert!(TSS_LEN <= TSS_STRIDE);
const _: () = assert!(GATE_WORDS < GATE_STRIDE);

mod bit {
    pub const PRESENT: u64 = 1;
    pub const WRITE: u64 = 1 << 1;
    pub const USER: u64 = 1 << 2;
    pub const WRITE_THROUGH: u64 = 1 << 3;
    pub const CACHE_DISABLE: u64 = 1 << 4;
    pub const LARGE: u64 = 1 << 7;
}

const TABLE: u64 = bit::PRESENT | bit::WRITE | bit::USER;
const DEVICE: u64 = TABLE | bit::WRITE_THROUGH | bit::CACHE_DISABLE;

/// One run of bytes to be written at a guest address.
pub(super) type Piece = (u64, Vec<u8>);

/// The global descriptor table.
pub(super) fn gdt() -> Piece {
    let mut entries = vec![0_u64; (usize::from(GDT_LIMIT) + 1) / 8];
    let mut set = |selector: u16, value| entries[usize::from(selector >> 3)] = value;
    set(selector::GATE_CODE, 0x00af_9b00_0000_ffff);
    set(selector::GATE_DATA, 0x00cf_9300_0000_ffff);
    set(selector::KERNEL_DATA, 0x00cf_f300_0000_ffff);
    set(selector::KERNEL_CODE, 0x00af_fb00_0000_ffff);
    for cpu in 0..MAX_CPUS as u16 {
        let base = TSS + u64::from(cpu) * TSS_STRIDE;
        // A present 64-bit TSS; busy, as after ltr.
        let low = (TSS_LEN - 1) | (base & 0xff_ffff) << 16 | 0x8b << 40 | (base >> 24 & 0xff) << 56;
        set(selector::TSS + 16 * cpu, low);
        set(selector::TSS + 16 * cpu + 8, base >> 32);
    }
    (GDT, words(&entries))
}

/// The task state segment of a CPU: only RSP0, which is where its gate words begin.
pub(super) fn tss(cpu: u64) -> Piece {
    let mut bytes = vec![0; TSS_LEN as usize];
    bytes[4..12].copy_from_slice(&gate_words(cpu).to_le_bytes());
    // No I/O bitmap: its offset is the segment's length.
    bytes[102..104].copy_from_slice(&(TSS_LEN as u16).to_le_bytes());
    (TSS + cpu * TSS_STRIDE, bytes)
}

/// Address of the words that a CPU's gate and kernel share.
pub(super) fn gate_words(cpu: u64) -> u64 {
    GATE_BLOCKS + cpu * GATE_STRIDE + GATE_WORDS
}

/// The interrupt descriptor table: gate `n` at `gate_vectors` + 16 n. The kernel itself may raise only
/// vector 3.
pub(super) fn idt(gate_vectors: u64) -> Piece {
    let entries: Vec<u64> = (0..VECTORS)
        .flat_map(|n| {
            let target = gate_vectors + n * STUB_LEN;
            let access: u64 = if n == 3 { 0xee } else { 0x8e };
            let low = target & 0xffff
                | u64::from(selector::GATE_CODE) << 16
                | access << 40
                | (target >> 16 & 0xffff) << 48;
            [low, target >> 32]
        })
        .collect();
    (IDT, words(&entries))
}

/// The page tables; the root is at [`PAGE_TABLES`].
///
/// # Errors
/// [`MachineError::Config`] if they do not fit between [`PAGE_TABLES`] and [`PAGE_TABLES_END`].
pub(super) fn page_tables(layout: &Layout) -> Result<Vec<Piece>, MachineError> {
    let mut tables = Tables { next: PAGE_TABLES, pieces: Vec::new() };
    let root = tables.reserve();
    let pointers = tables.reserve();
    let memory = tables.reserve();
    let devices = tables.reserve();
    tables.fill(root, &[(0, pointers | TABLE)]);
    tables.fill(pointers, &[(0, memory | TABLE), (index(LAPIC, 30), devices | TABLE)]);

    let small = |base: u64| base == 0 || base < layout.stacks_end() && base + LARGE_PAGE > layout.stacks;
    let mut entries = Vec::new();
    for base in (0..layout.ram_len).step_by(LARGE_PAGE as usize) {
        let entry = if small(base) { tables.memory(base, layout) | TABLE } else { base | TABLE | bit::LARGE };
        entries.push((index(base, 21), entry));
    }
    tables.fill(memory, &entries);

    let pages = [LAPIC, DOORBELL].map(|device| {
        let table = tables.reserve();
        tables.fill(table, &[(index(device, 12), device | DEVICE)]);
        (index(device, 21), table | TABLE)
    });
    tables.fill(devices, &pages);

    if tables.next > PAGE_TABLES_END {
        let need = tables.next - PAGE_TABLES;
        let room = PAGE_TABLES_END - PAGE_TABLES;
        return Err(MachineError::Config(format!(
            "page tables need {need} bytes and have {room}: ask for fewer threads"
        )));
    }
    Ok(tables.pieces)
}

/// Place of the entry for `addr` in a table whose entries each cover `1 << shift` bytes.
fn index(addr: u64, shift: u32) -> usize {
    (addr >> shift & 0x1ff) as usize
}

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Page tables in the making.
struct Tables {
    next: u64,
    pieces: Vec<Piece>,
}

impl Tables {
    /// Address of a new table.
    fn reserve(&mut self) -> u64 {
        self.next += PAGE;
        self.next - PAGE
    }

    /// The content of a table: these entries, the rest not present.
    fn fill(&mut self, table: u64, entries: &[(usize, u64)]) {
        let mut all = [0; 512];
        for &(n, entry) in entries {
            all[n] = entry;
        }
        self.pieces.push((table, words(&all)));
    }

    /// A table of small pages for the 2 MiB from `base`.
    fn memory(&mut self, base: u64, layout: &Layout) -> u64 {
        let table = self.reserve();
        let entries: Vec<_> = (base..base + LARGE_PAGE)
            .step_by(PAGE as usize)
            .filter(|&addr| addr != 0 && !layout.is_guard(addr))
            .map(|addr| (index(addr, 12), addr | TABLE))
            .collect();
        self.fill(table, &entries);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Demand;
    use umpire_shared::boot::IMAGE;

    fn layout(nthreads: u32) -> Layout {
        let demand = Demand {
            image_end: IMAGE + 1,
            ncpus: 16,
            nthreads,
            program_len: 100,
            memory: 1 << 20,
            trace_records: 8192,
        };
        Layout::plan(&demand).expect("fits")
    }

    /// Walks the tables as a CPU would: the physical address and the flags of the last entry.
    fn walk(pieces: &[Piece], addr: u64) -> Option<(u64, u64)> {
        let mut table = PAGE_TABLES;
        for shift in [39, 30, 21, 12] {
            let bytes = &pieces.iter().find(|p| p.0 == table)?.1;
            let at = 8 * index(addr, shift);
            let entry = u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?);
            if entry & bit::PRESENT == 0 {
                return None;
            }
            let base = entry & !0xfff;
            if shift == 12 || entry & bit::LARGE != 0 {
                return Some((base | addr & ((1 << shift) - 1), entry & 0xfff));
            }
            table = base;
        }
        None
    }

    #[test]
    fn page_tables_map_memory_to_itself_except_page_0_and_guards() {
        let layout = layout(1000);
        let pieces = page_tables(&layout).expect("fits");
        for addr in (0..layout.ram_len).step_by(PAGE as usize) {
            let expected = if addr == 0 || layout.is_guard(addr) { None } else { Some(addr) };
            assert_eq!(walk(&pieces, addr).map(|found| found.0), expected, "{addr:#x}");
        }
        assert_eq!(walk(&pieces, layout.ram_len), None);
    }

    #[test]
    fn page_tables_map_devices_uncached_for_cpl_3() {
        let pieces = page_tables(&layout(1)).expect("fits");
        assert_eq!(walk(&pieces, LAPIC + 0x80), Some((LAPIC + 0x80, DEVICE)));
        assert_eq!(walk(&pieces, DOORBELL), Some((DOORBELL, DEVICE)));
        assert_eq!(walk(&pieces, LAPIC + PAGE), None);
        assert_eq!(walk(&pieces, DOORBELL - PAGE), None);
    }

    #[test]
    fn page_tables_of_the_most_threads_fit() {
        assert!(page_tables(&layout(4096)).is_ok());
    }

    #[test]
    fn idt_entries_point_at_their_stubs_and_only_breakpoint_is_open() {
        let (at, bytes) = idt(0x12_3400);
        assert_eq!((at, bytes.len()), (IDT, 4096));
        for n in 0..256 {
            let e = &bytes[16 * n..16 * n + 16];
            let target = u64::from(u16::from_le_bytes([e[0], e[1]]))
                | u64::from(u16::from_le_bytes([e[6], e[7]])) << 16
                | u64::from(u32::from_le_bytes([e[8], e[9], e[10], e[11]])) << 32;
            assert_eq!(target, 0x12_3400 + 16 * n as u64);
            assert_eq!(e[5] & 0x60 == 0x60, n == 3, "gate {n}");
        }
    }
}
