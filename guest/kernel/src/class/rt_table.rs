//! The real-time dispatcher parameter table (`rt_dptbl.c`), computed from its rule.
//!
//! # Invariants
//! - 60 rows; a quantum never grows with the priority.

use umpire_shared::sys::class;

/// Rows of the table, one a priority of the class.
pub const ROWS: usize = class::rows(class::RT);

/// Ticks a thread may run, by row.
pub static RT_DPTBL: [i32; ROWS] = quanta();

const fn quanta() -> [i32; ROWS] {
    const BY_TEN: [i32; 6] = [100, 80, 60, 40, 20, 10];
    let mut rows = [0; ROWS];
    let mut p = 0;
    while p < ROWS {
        rows[p] = BY_TEN[p / 10];
        p += 1;
    }
    rows
}
