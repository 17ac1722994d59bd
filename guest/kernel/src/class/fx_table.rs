//! The fixed-priority dispatcher parameter table (`fx_dptbl.c`), computed from its rule.
//!
//! # Invariants
//! - 61 rows: the last lies above everything of TS and IA.

use umpire_shared::sys::class;

/// Rows of the table, one a priority.
pub const ROWS: usize = class::rows(class::FX);

/// Ticks a thread may run, by row.
pub static FX_DPTBL: [i32; ROWS] = quanta();

const fn quanta() -> [i32; ROWS] {
    let mut rows = [0; ROWS];
    let mut p = 0;
    while p < ROWS {
        rows[p] = match p {
            0..=9 => 20,
            10..=19 => 16,
            20..=29 => 12,
            30..=39 => 8,
            40..=58 => 4,
            _ => 2,
        };
        p += 1;
    }
    rows
}
