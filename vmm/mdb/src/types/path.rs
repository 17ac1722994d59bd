//! Members by path: `t_cldata.ts_timeleft`, `cpu_disp.disp_q[99].dq_first->t_pri`.
//!
//! # Invariants
//! - A path is steps: members, elements and pointers that are followed. Only whoever has memory can take the last kind, so a path
//!   is taken step by step by its caller, with [`Types::step`].

use super::{Shape, Struct, TypeId, Types};
use crate::lang::Failure;

/// Steps that a path may have.
const MAX_STEPS: usize = 64;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `.name`, `->name`, or the first word.
    Member(String),
    /// `[n]`.
    Element(u64),
}

/// Where a step leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To something inside: bytes from the beginning, and its type.
    Inside(u64, TypeId),
    /// Behind the pointer at this offset: bytes from where that points to, the type there, and the step's own again if it was not
    /// taken yet.
    Behind {
        /// Offset of the pointer in the value.
        pointer: u64,
        /// What it points to.
        to: TypeId,
        /// Which of the elements there.
        element: u64,
        /// Offset of the number of elements there, if it is a slice's.
        count: Option<u64>,
        /// True if the step is taken by this.
        is_taken: bool,
    },
}

/// The steps of a path.
///
/// # Errors
/// [`Failure`] if it is none.
pub fn steps(path: &str) -> Result<Vec<Step>, Failure> {
    let bad = |what: &str| Failure::new(format!("failed to read `{path}` as the path of a member: {what}"));
    let (mut steps, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = inside.find(']').ok_or_else(|| bad("`[` without `]`"))?;
            steps.push(Step::Element(index(&inside[..end]).ok_or_else(|| bad("an index is a number"))?));
            rest = &inside[end + 1..];
        } else {
            let named = rest.strip_prefix("->").or_else(|| rest.strip_prefix('.')).unwrap_or(rest);
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let end = named.find("->").map_or(end, |arrow| arrow.min(end));
            if end == 0 {
                return Err(bad("a name is missing"));
            }
            steps.push(Step::Member(named[..end].to_owned()));
            rest = &named[end..];
        }
        if steps.len() > MAX_STEPS {
            return Err(bad("it is too long"));
        }
    }
    Ok(steps)
}

/// An index: decimal, as C has it, or with one of the language's prefixes.
fn index(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.get(..2) {
        Some("0x") => u64::from_str_radix(&text[2..], 16).ok(),
        Some("0t") => text[2..].parse().ok(),
        _ => text.parse().ok(),
    }
}

impl Types {
    /// Takes a step from a value of a type.
    ///
    /// # Errors
    /// [`Failure`] if there is no such member or element, with the nearest names.
    pub fn step(&self, from: TypeId, step: &Step) -> Result<Place, Failure> {
        let outer = self.resolved(from);
        if let Step::Member(name) = step
            && let Some(place) = self.member(outer, name)
        {
            return Ok(place);
        }
        if let Some((pointer, length, to)) = self.slice(outer) {
            let (element, is_taken) = match step {
                Step::Element(n) => (*n, true),
                Step::Member(_) => (0, false),
            };
            return Ok(Place::Behind { pointer, to, element, count: Some(length), is_taken });
        }
        let inner = self.unwrapped(outer);
        match (&self.get(inner).shape, step) {
            (Shape::Array(element, count), Step::Element(n)) if n < count => {
                Ok(Place::Inside(self.size(*element).saturating_mul(*n), *element))
            }
            (Shape::Array(_, count), Step::Element(n)) => {
                Err(Failure::new(format!("failed to take element {n}: the array has {count}")))
            }
            (Shape::Pointer(Some(to)), Step::Element(n)) => {
                Ok(Place::Behind { pointer: 0, to: *to, element: *n, count: None, is_taken: true })
            }
            (Shape::Pointer(Some(to)), Step::Member(_)) => {
                Ok(Place::Behind { pointer: 0, to: *to, element: 0, count: None, is_taken: false })
            }
            (_, Step::Member(name)) => match self.member(inner, name) {
                Some(place) => Ok(place),
                None => Err(self.no_member(outer, name)),
            },
            (_, Step::Element(_)) => Err(Failure::new(format!(
                "failed to take an element: {} is no array",
                self.get(outer).shown()
            ))),
        }
    }

    fn member(&self, of: TypeId, name: &str) -> Option<Place> {
        match &self.get(of).shape {
            Shape::Struct(Struct { members, variants }) => {
                let plain = members.iter().find(|m| m.name == name);
                let variant =
                    || variants.iter().flat_map(|v| &v.each).map(|(_, m)| m).find(|m| m.name == name);
                plain.or_else(variant).map(|m| Place::Inside(m.offset, m.of))
            }
            Shape::Union(members) => {
                members.iter().find(|m| m.name == name).map(|m| Place::Inside(m.offset, m.of))
            }
            _ => None,
        }
    }

    fn no_member(&self, of: TypeId, name: &str) -> Failure {
        let mut near: Vec<(f64, &str)> = self
            .member_names(of)
            .map(|n| (strsim::jaro_winkler(n, name), n))
            .filter(|(l, _)| *l > 0.7)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near: Vec<&str> = near.into_iter().take(3).map(|(_, n)| n).collect();
        let hint = if near.is_empty() { String::new() } else { format!(" (near it: {})", near.join(", ")) };
        Failure::new(format!("failed to find member {name} of {}{hint}", self.get(of).shown()))
    }

    /// The names of a type's members.
    pub fn member_names(&self, of: TypeId) -> impl Iterator<Item = &str> {
        let members = match &self.get(self.resolved(of)).shape {
            Shape::Struct(of) => &of.members[..],
            Shape::Union(members) => members,
            _ => &[],
        };
        members.iter().map(|m| m.name.as_str())
    }
}
