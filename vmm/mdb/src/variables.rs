//! What Solaris keeps in global variables and this kernel in members of its root object: `kpreemptpri`, `lbolt`, `hz`.
//!
//! # Invariants
//! - A member of the root, or of a structure within it, has its own name as a variable; the one that is less deep, and of equals the
//!   first, wins. Tunables that no member is named after are elements of `k_tunables`.

use std::collections::{BTreeMap, HashMap};

use umpire_shared::tunable::TUNABLES;

use crate::types::{Place, Shape, Step, Struct, TypeId, Types};

/// Structures within structures that variables are looked for in.
const MAX_DEPTH: usize = 4;

/// Variables by name.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    by_name: HashMap<String, (u64, TypeId)>,
    by_offset: BTreeMap<u64, (String, u64)>,
}

impl Variables {
    /// The variables of a kernel with these types; none if they have no kernel.
    pub(crate) fn of(types: &Types) -> Variables {
        let mut variables = Variables::default();
        let Ok(kernel) = types.find("Kernel") else { return variables };
        let mut level = vec![(0, kernel)];
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for (base, of) in level {
                let Shape::Struct(Struct { members, variants: None }) = &types.get(of).shape else {
                    continue;
                };
                for member in members {
                    let at = base + member.offset;
                    variables.add(types, &member.name, at, member.of);
                    let is_plain = types.seen_through(member.of) == types.resolved(member.of);
                    if is_plain && types.slice(member.of).is_none() {
                        next.push((at, types.resolved(member.of)));
                    }
                }
            }
            level = next;
        }
        if let Ok(Place::Inside(base, array)) = types.step(kernel, &Step::Member("k_tunables".to_owned())) {
            for (n, tunable) in TUNABLES.iter().enumerate() {
                if let Ok(Place::Inside(offset, of)) = types.step(array, &Step::Element(n as u64)) {
                    variables.add(types, tunable.name, base + offset, of);
                }
            }
        }
        variables.by_name.insert("kernel".to_owned(), (0, kernel));
        variables
    }

    fn add(&mut self, types: &Types, name: &str, offset: u64, of: TypeId) {
        if name.starts_with("__") || self.by_name.contains_key(name) {
            return;
        }
        self.by_name.insert(name.to_owned(), (offset, of));
        // Of a structure and its first member the member's name is the better one for the address.
        self.by_offset.insert(offset, (name.to_owned(), types.size(of)));
    }

    /// Bytes from the root to a variable.
    pub(crate) fn offset(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|(offset, _)| *offset)
    }

    /// The type of a variable.
    pub(crate) fn type_of(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).map(|(_, of)| *of)
    }

    /// The variable that is so far from the root, and the distance into it.
    pub(crate) fn name(&self, offset: u64) -> Option<(&str, u64)> {
        let (start, (name, size)) = self.by_offset.range(..=offset).next_back()?;
        (offset - start < *size).then_some((name.as_str(), offset - start))
    }

    /// The type of the variable that begins so far from the root.
    pub(crate) fn type_at(&self, offset: u64) -> Option<TypeId> {
        if offset == 0 {
            return self.type_of("kernel");
        }
        self.by_offset.get(&offset).and_then(|(name, _)| self.type_of(name))
    }

    /// Every name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
