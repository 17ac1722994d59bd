//! What the person at the debugger has named: symbols of `::nmadd`, types of `::typedef`.
//!
//! # Invariants
//! - Such names win over the guest's own, and nothing of the guest changes by them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::types::TypeId;

/// A symbol that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// Names that were given.
#[derive(Debug, Default)]
pub(crate) struct Named {
    symbols: RefCell<BTreeMap<String, Added>>,
    types: RefCell<BTreeMap<String, TypeId>>,
}

impl Named {
    /// Names an address.
    pub(crate) fn add_symbol(&self, name: &str, symbol: Added) {
        self.symbols.borrow_mut().insert(name.to_owned(), symbol);
    }

    /// Takes a name away again; false if there was none.
    pub(crate) fn remove_symbol(&self, name: &str) -> bool {
        self.symbols.borrow_mut().remove(name).is_some()
    }

    /// The symbol of a name.
    pub(crate) fn symbol(&self, name: &str) -> Option<Added> {
        self.symbols.borrow().get(name).copied()
    }

    /// The symbol that an address is in, with the distance into it.
    pub(crate) fn symbol_at(&self, addr: u64) -> Option<(String, u64)> {
        let symbols = self.symbols.borrow();
        let is_in = |of: &Added| addr == of.value || addr.wrapping_sub(of.value) < of.size;
        let (name, of) = symbols.iter().find(|(_, of)| is_in(of))?;
        Some((name.clone(), addr - of.value))
    }

    /// Every symbol, by name.
    pub(crate) fn symbols(&self) -> Vec<(String, Added)> {
        self.symbols.borrow().iter().map(|(name, of)| (name.clone(), *of)).collect()
    }

    /// Gives a type another name.
    pub(crate) fn add_type(&self, name: &str, of: TypeId) {
        self.types.borrow_mut().insert(name.to_owned(), of);
    }

    /// The type of a name.
    pub(crate) fn type_of(&self, name: &str) -> Option<TypeId> {
        self.types.borrow().get(name).copied()
    }

    /// Every type, by name.
    pub(crate) fn types(&self) -> Vec<(String, TypeId)> {
        self.types.borrow().iter().map(|(name, of)| (name.clone(), *of)).collect()
    }
}
