//! An object of the guest: a copy of its bytes, with its type, its address, and the way to what it points to.
//!
//! # Invariants
//! - An object is one copy: its members are all of the moment of that copy.
//! - No path leads outside of the copy but through a pointer, and then into a copy of its own.

use std::rc::Rc;

use crate::lang::Failure;
use crate::types::{Encoding, Member, Place, Shape, Step, Struct, TypeId, Variants, steps};
use crate::view::View;

/// Elements that an arena may have; a guest that says more is not believed.
const MAX_ELEMENTS: u64 = 1 << 20;

/// A copy of an object.
#[derive(Debug, Clone)]
pub struct Object<'v> {
    view: &'v View<'v>,
    of: TypeId,
    addr: u64,
    bytes: Rc<[u8]>,
    /// Where it begins in the bytes, which may be those of what it is in.
    at: usize,
}

/// An array of the guest, or a slice: what is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elements {
    /// Address of the first.
    pub base: u64,
    /// Bytes from one to the next.
    pub stride: u64,
    /// How many.
    pub count: u64,
    /// Their type.
    pub of: TypeId,
}

impl Elements {
    /// The address of each.
    pub fn addresses(self) -> impl Iterator<Item = u64> {
        (0..self.count).map(move |n| self.base.wrapping_add(n.wrapping_mul(self.stride)))
    }

    /// The number of the one that begins at an address, if one does.
    pub fn index_of(self, addr: u64) -> Option<u64> {
        let offset = addr.checked_sub(self.base)?;
        let n = offset.checked_div(self.stride)?;
        (n < self.count && offset.is_multiple_of(self.stride)).then_some(n)
    }

    /// The number of the one that this address is in, and the distance into it.
    pub fn containing(self, addr: u64) -> Option<(u64, u64)> {
        let offset = addr.checked_sub(self.base)?;
        let n = offset.checked_div(self.stride)?;
        (n < self.count).then(|| (n, offset % self.stride))
    }
}

impl<'v> Object<'v> {
    pub(crate) fn new(view: &'v View<'v>, of: TypeId, addr: u64, bytes: Vec<u8>) -> Object<'v> {
        Object { view, of, addr, bytes: bytes.into(), at: 0 }
    }

    /// The view that it was read through.
    pub fn view(&self) -> &'v View<'v> {
        self.view
    }

    /// Its type.
    pub fn of(&self) -> TypeId {
        self.of
    }

    /// Its address.
    pub fn addr(&self) -> u64 {
        self.addr
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        let size = self.view.types().size(self.of) as usize;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        &rest[..size.min(rest.len())]
    }

    /// What a path leads to: `t_cldata.ts_timeleft`, `cpu_thread->t_pri`, `cpu_disp.disp_q[99]`.
    ///
    /// # Errors
    /// [`Failure`] if there is no such member, or no memory where it leads.
    pub fn get(&self, path: &str) -> Result<Object<'v>, Failure> {
        match self.view.member(self.of, path) {
            Some((offset, of)) => self.inside(offset, of),
            None => self.follow(&steps(path)?),
        }
    }

    /// As [`Object::get`], with the steps read already.
    ///
    /// # Errors
    /// As [`Object::get`].
    pub fn follow(&self, steps: &[Step]) -> Result<Object<'v>, Failure> {
        let mut here = self.clone();
        for step in steps {
            here = here.step(step)?;
        }
        Ok(here)
    }

    fn step(&self, step: &Step) -> Result<Object<'v>, Failure> {
        let types = self.view.types();
        match types.step(self.of, step)? {
            Place::Inside(offset, of) => self.inside(offset, of),
            Place::Behind { pointer, to, element, count, is_taken } => {
                if let Some(count) =
                    count.map(|offset| self.word(offset, 8)).transpose()?.filter(|n| element >= *n)
                {
                    return Err(Failure::new(format!(
                        "failed to take element {element}: the slice has {count}"
                    )));
                }
                let pointer = self.word(pointer, 8)?;
                if pointer == 0 {
                    return Err(Failure::new(format!(
                        "failed to follow a null pointer to {}",
                        types.get(to).shown()
                    )));
                }
                let there = pointer.wrapping_add(element.wrapping_mul(types.size(to)));
                let there = self.view.object(to, there)?;
                if is_taken { Ok(there) } else { there.step(step) }
            }
        }
    }

    /// The part of it that begins so many bytes in.
    ///
    /// # Errors
    /// [`Failure`] if the debug information says that it does not end inside.
    pub fn inside(&self, offset: u64, of: TypeId) -> Result<Object<'v>, Failure> {
        let at = self.at.saturating_add(offset as usize);
        let end = at.saturating_add(self.view.types().size(of) as usize);
        if end > self.bytes.len() {
            return Err(Failure::new(
                "the debug information has a member that is not inside of its structure",
            ));
        }
        let (bytes, addr) = (Rc::clone(&self.bytes), self.addr.wrapping_add(offset));
        Ok(Object { view: self.view, of, addr, bytes, at })
    }

    fn word(&self, offset: u64, bytes: usize) -> Result<u64, Failure> {
        let from =
            self.bytes.get(self.at.saturating_add(offset as usize)..).and_then(|rest| rest.get(..bytes));
        let from = from.ok_or_else(|| {
            Failure::new("the debug information has a number that is not inside of its structure")
        })?;
        let mut raw = [0; 8];
        raw[..bytes].copy_from_slice(from);
        Ok(u64::from_le_bytes(raw))
    }

    /// The number or the pointer that it is, whatever wraps it; a negative one as its 64-bit complement.
    ///
    /// # Errors
    /// [`Failure`] if it is neither.
    pub fn number(&self) -> Result<u64, Failure> {
        let types = self.view.types();
        let inner = types.get(types.unwrapped(self.of));
        let (size, is_signed) = match inner.shape {
            Shape::Base(encoding) => (inner.size, encoding == Encoding::Signed),
            Shape::Enum { is_signed, .. } => (inner.size, is_signed),
            Shape::Pointer(_) => (8, false),
            _ => {
                let name = types.get(self.of).shown();
                return Err(Failure::new(format!("failed to read {name} as a number: it is none")));
            }
        };
        let value = self.word(0, size.min(8) as usize)?;
        let unused = 64 - 8 * size.clamp(1, 8) as u32;
        Ok(if is_signed { ((value << unused) as i64 >> unused) as u64 } else { value })
    }

    /// The number or the pointer that a path leads to.
    ///
    /// # Errors
    /// As [`Object::get`] and [`Object::number`].
    pub fn n(&self, path: &str) -> Result<u64, Failure> {
        self.get(path)?.number()
    }

    /// The same, with its sign.
    ///
    /// # Errors
    /// As [`Object::n`].
    pub fn signed(&self, path: &str) -> Result<i64, Failure> {
        self.n(path).map(|value| value as i64)
    }

    /// The text up to the first NUL of an array of bytes, fit to be printed.
    ///
    /// # Errors
    /// As [`Object::get`].
    pub fn text(&self, path: &str) -> Result<String, Failure> {
        let array = self.get(path)?;
        let text: Vec<u8> = array.bytes().iter().copied().take_while(|byte| *byte != 0).collect();
        Ok(String::from_utf8_lossy(&text).chars().map(|c| if c.is_control() { '?' } else { c }).collect())
    }

    /// Where the elements are, if it is an array or a slice.
    ///
    /// # Errors
    /// [`Failure`] if it is neither, or says that it has more elements than anything has.
    pub fn elements(&self) -> Result<Elements, Failure> {
        let types = self.view.types();
        let (base, count, of) = if let Some((data, length, of)) = types.slice(self.of) {
            (self.word(data, 8)?, self.word(length, 8)?, of)
        } else if let Shape::Array(of, count) = types.get(types.unwrapped(self.of)).shape {
            (self.addr, count, of)
        } else {
            let name = types.get(self.of).shown();
            return Err(Failure::new(format!("failed to list the elements of {name}: it is no array")));
        };
        if count > MAX_ELEMENTS {
            return Err(Failure::new(format!(
                "an array at {base:#x} says that it has {count} elements; it is corrupt"
            )));
        }
        Ok(Elements { base, stride: types.size(of), count, of })
    }

    /// If it is an enumeration with data: the member that the variant at hand is; `None` if its tag means none.
    pub fn variant(&self, variants: &Variants) -> Option<Member> {
        let tag = match &variants.tag {
            None => None,
            Some(tag) => {
                let size = self.view.types().size(tag.of).min(8);
                Some(self.word(tag.offset, size as usize).ok()?)
            }
        };
        let exact = variants.each.iter().find(|(value, _)| value.is_some() && *value == tag);
        let other = || variants.each.iter().find(|(value, _)| value.is_none());
        exact.or_else(other).map(|(_, member)| member.clone())
    }

    /// What is in an `Option`: `None` for `None`, the object for `Some`.
    ///
    /// # Errors
    /// [`Failure`] if it is no `Option`.
    pub fn some(&self) -> Result<Option<Object<'v>>, Failure> {
        let types = self.view.types();
        let Shape::Struct(Struct { variants: Some(variants), .. }) =
            &types.get(types.resolved(self.of)).shape
        else {
            return Err(Failure::new(format!("{} is no enumeration with data", types.get(self.of).shown())));
        };
        match self.variant(variants) {
            Some(member) if member.name == "Some" => {
                self.inside(member.offset, member.of)?.get("__0").map(Some)
            }
            _ => Ok(None),
        }
    }
}
