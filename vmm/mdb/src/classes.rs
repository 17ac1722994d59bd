//! What the scheduling classes are called for people, and what may be asked of each.
//!
//! # Invariants
//! - The classes are those of the vocabulary that host and guest share; Solaris lists SYS first.

use umpire_shared::sys::class::{CLASSES, MAXUPRI};

/// A class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClassName {
    /// `TS`.
    pub(crate) name: &'static str,
    /// `Time Sharing`.
    pub(crate) long: &'static str,
    /// What `priocntl -l` says of its users' priorities.
    pub(crate) range: Range,
}

/// What a user may ask of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// Nothing.
    None,
    /// A priority from here to there, relative to others.
    User(i32, i32),
    /// A priority up to this.
    Maximum(i32),
}

const LONG: &[(&str, &str)] = &[
    ("SYS", "System Class"),
    ("TS", "Time Sharing"),
    ("IA", "Interactive"),
    ("FX", "Fixed Priority"),
    ("FSS", "Fair Share"),
    ("RT", "Real Time"),
    ("SDC", "System Duty-Cycle Class"),
];

/// Every class, by number.
pub(crate) fn all() -> impl Iterator<Item = ClassName> {
    CLASSES.iter().map(|class| {
        let long = LONG.iter().find(|(name, _)| *name == class.name).map_or(class.name, |(_, long)| long);
        let range = match (class.name, class.pri) {
            ("TS" | "IA" | "FSS", _) => Range::User(-MAXUPRI, MAXUPRI),
            ("FX", Some((least, greatest))) => Range::User(least, greatest),
            ("RT", Some((_, greatest))) => Range::Maximum(greatest),
            _ => Range::None,
        };
        ClassName { name: class.name, long, range }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_for_people() {
        assert!(all().all(|class| class.long != class.name));
    }
}
