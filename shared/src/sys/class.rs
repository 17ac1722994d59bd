//! `sys/class.h`: scheduling classes by number, and what a user may ask of each.
//!
//! # Invariants
//! - A class's place in [`CLASSES`] is its number, as `t_cid`.

use super::disp::{MAXCLSYSPRI, MINCLSYSPRI};

/// What a class takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// Least and greatest priority within the class; `None` if there is none to choose.
    pub pri: Option<(i32, i32)>,
    /// Rows of its dispatcher table, 0 if it has none.
    pub rows: usize,
}

macro_rules! classes {
    ($($(#[$doc:meta])* $id:ident: $pri:expr, $rows:expr;)*) => {
        #[allow(clippy::upper_case_acronyms)]
        #[repr(u32)]
        enum Number { $($id),* }
        $($(#[$doc])* pub const $id: u32 = Number::$id as u32;)*
        /// Class names by number.
        pub const NAMES: &[&str] = &[$(stringify!($id)),*];
        /// Every class by number.
        pub const CLASSES: &[Class] = &[$(Class { name: stringify!($id), pri: $pri, rows: $rows }),*];
    };
}

classes! {
    /// System threads, 60 to 99, no quantum.
    SYS: Some((MINCLSYSPRI, MAXCLSYSPRI)), 0;
    /// Time sharing, 0 to 59.
    TS: Some((0, 59)), 60;
    /// Interactive: time sharing with a boost for threads that have the focus.
    IA: Some((0, 59)), 60;
    /// Fixed priority, 0 to 60.
    FX: Some((0, 60)), 61;
    /// Fair share, 0 to 59.
    FSS: Some((0, 59)), 1;
    /// Real time, 0 to 59 within the class, 100 to 159 global.
    RT: Some((0, 59)), 60;
    /// System duty cycle: 98 or 0.
    SDC: None, 0;
}

/// Rows of a class's dispatcher table.
pub const fn rows(class: u32) -> usize {
    CLASSES[class as usize].rows
}

/// The greatest user's offset of TS, IA and FSS; the least is its negative (`ts_maxupri`).
pub const MAXUPRI: i32 = 60;
/// Greatest number of shares that a project or a zone may have (`FSS_MAXSHARES`).
pub const MAX_SHARES: u32 = 65_535;
