//! A row of the bench: one measurement beside its goal.
//!
//! # Invariants
//! - A row says how it was measured; a figure and its goal have the same unit.

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchRow {
    /// What was measured.
    pub what: String,
    /// What came out, in `unit`.
    pub value: f64,
    /// What it should be, in `unit`.
    pub goal: f64,
    /// The unit of both.
    pub unit: &'static str,
    /// Whether the value is to stay below the goal, or to reach it.
    pub better: Better,
    /// How it was measured, or what it was compared with.
    pub note: String,
}

/// Which side of the goal is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// At most the goal.
    Less,
    /// At least the goal.
    More,
}

impl BenchRow {
    /// Whether the goal was reached.
    pub fn is_met(&self) -> bool {
        match self.better {
            Better::Less => self.value <= self.goal,
            Better::More => self.value >= self.goal,
        }
    }
}
