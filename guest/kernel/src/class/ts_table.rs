//! The time-sharing dispatcher parameter tables (`ts_dptbl.c`), computed from their rules.
//!
//! # Invariants
//! - 60 rows; `ts_tqexp` never rises, `ts_slpret` and `ts_lwait` never fall below what the row itself is worth.

use umpire_shared::sys::class;

/// Rows of the table, one a user-mode priority.
pub const ROWS: usize = class::rows(class::TS);

/// One row (`tsdpent_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TsRow {
    /// Ticks a thread may run at this row.
    pub ts_quantum: i32,
    /// Row after the quantum has expired.
    pub ts_tqexp: i16,
    /// Row after a sleep that followed a long wait.
    pub ts_slpret: i16,
    /// `ts_update`s that a thread may wait before relief.
    pub ts_maxwait: i32,
    /// Row after such a wait.
    pub ts_lwait: i16,
}

/// A table from the rule for its rows.
macro_rules! table {
    ($row:path) => {{
        let mut rows = [$row(0); ROWS];
        let mut p = 0;
        while p < ROWS {
            rows[p] = $row(p as i16);
            p += 1;
        }
        rows
    }};
}

/// The default table.
pub static TS_DPTBL: [TsRow; ROWS] = table!(default_row);
/// The server table, in force with `ts_dispatch_extended`.
pub static TS_DPTBL_EXTENDED: [TsRow; ROWS] = table!(extended_row);

const fn default_row(p: i16) -> TsRow {
    let ts_quantum = match p {
        0..=9 => 20,
        10..=19 => 16,
        20..=29 => 12,
        30..=39 => 8,
        40..=58 => 4,
        _ => 2,
    };
    let ts_slpret = match p {
        0..=9 => 50,
        10..=19 => 51,
        20..=29 => 52,
        30..=34 => 53,
        35..=39 => 54,
        40..=44 => 55,
        45..=47 => 56 + p - 45,
        48..=58 => 58,
        _ => 59,
    };
    TsRow {
        ts_quantum,
        ts_tqexp: if p < 10 { 0 } else { p - 10 },
        ts_slpret,
        ts_maxwait: if p == 59 { 32_000 } else { 0 },
        ts_lwait: if p >= 49 { 59 } else { ts_slpret },
    }
}

const fn extended_row(p: i16) -> TsRow {
    TsRow {
        ts_quantum: match p {
            0 => 40,
            1..=19 => 38,
            20..=40 => 36,
            _ => 34,
        },
        ts_tqexp: match p {
            0 => 0,
            1..=19 => p / 2,
            _ => p - 10,
        },
        ts_slpret: if p == 59 { 59 } else { p + 1 },
        ts_maxwait: 2,
        ts_lwait: match p {
            0..=39 => 40,
            40 => 41,
            59 => 59,
            _ => p + 1,
        },
    }
}
