//! What was looked up before: types by name, and members by path.
//!
//! A command over a thousand threads asks for the same few names a thousand times, and each look-up compares texts. The image does
//! not change under a view, so that one answer holds for good.
//!
//! # Invariants
//! - Only what is the image's is kept: nothing here depends on the guest's memory, nor on the names that were given at the debugger.
//! - What was not found is not kept: its failure is made anew, with the names that are near it.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::lang::Failure;
use crate::types::{Place, TypeId, Types, steps};

/// A member: bytes from the beginning of what it is in, and its type.
type Member = (u64, TypeId);

/// Answers that were given.
#[derive(Debug, Default)]
pub(crate) struct Known {
    types: RefCell<HashMap<Box<str>, TypeId>>,
    members: RefCell<HashMap<TypeId, HashMap<Box<str>, Member>>>,
}

impl Known {
    /// As [`Types::find`].
    pub(crate) fn find(&self, types: &Types, name: &str) -> Result<TypeId, Failure> {
        if let Some(known) = self.types.borrow().get(name) {
            return Ok(*known);
        }
        let found = types.find(name)?;
        self.types.borrow_mut().insert(name.into(), found);
        Ok(found)
    }

    /// The member that a path leads to without leaving the object; `None` if it leads through a pointer, or nowhere.
    pub(crate) fn member(&self, types: &Types, of: TypeId, path: &str) -> Option<Member> {
        if let Some(known) = self.members.borrow().get(&of).and_then(|paths| paths.get(path)) {
            return Some(*known);
        }
        let (mut at, mut member) = (0_u64, of);
        for step in steps(path).ok()? {
            let Ok(Place::Inside(offset, inner)) = types.step(member, &step) else { return None };
            (at, member) = (at.wrapping_add(offset), inner);
        }
        self.members.borrow_mut().entry(of).or_default().insert(path.into(), (at, member));
        Some((at, member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_machine::GUEST_IMAGE;

    #[test]
    fn what_is_asked_again_is_answered_as_before() {
        let types = Types::from_elf(&GUEST_IMAGE).expect("invariant: the built-in image has types");
        let known = Known::default();
        for _ in 0..2 {
            let cpu = known.find(&types, "cpu_t").expect("a type");
            assert_eq!(types.get(cpu).name, "Cpu");
            let (at, of) = known.member(&types, cpu, "cpu_disp.disp_q[1].dq_sruncnt").expect("a member");
            let (first, _) = known.member(&types, cpu, "cpu_disp.disp_q[0].dq_sruncnt").expect("a member");
            let dispq = known.find(&types, "DispQ").expect("a type");
            assert_eq!((at - first, types.size(of)), (types.size(dispq), 4));
            assert_eq!(known.member(&types, cpu, "cpu_thread->t_pri"), None);
            assert_eq!(known.member(&types, cpu, "cpu_thred"), None);
            assert!(known.find(&types, "cpu_x").is_err());
        }
    }
}
