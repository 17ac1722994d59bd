//! Names of a view: what a name means, and what an address is called.
//!
//! # Invariants
//! - Of several things that a name may mean, what was named at the debugger comes first, then the kernel's variables, its CPUs, the
//!   image's symbols.

use super::View;
use crate::image::ElfSymbol;
use crate::lang::Failure;
use crate::object::Elements;
use crate::types::{Shape, TypeId};

/// Names on the way from the kernel to one of its arenas, at most.
const MAX_DEPTH: usize = 6;

impl View<'_> {
    /// The address that a name means: a variable of the kernel, or a symbol of the image.
    ///
    /// # Errors
    /// [`Failure`] if there is none; or if there are several, with their qualified names.
    pub fn symbol(&self, name: &str) -> Result<u64, Failure> {
        if let Some(added) = self.named.symbol(name) {
            return Ok(added.value);
        }
        if let Some(offset) = self.variables.offset(name) {
            return self.root().map(|root| root + offset);
        }
        // `cpu0`, `cpu1`: as Solaris calls its CPUs.
        if let Some(id) = name.strip_prefix("cpu").and_then(|id| id.parse::<u64>().ok()) {
            let cpus = self.cpus()?;
            let missing = || Failure::new(format!("there is no CPU {id}: there are {}", cpus.count));
            return cpus.addresses().nth(id as usize).ok_or_else(missing);
        }
        self.elf_symbol(name).map(|symbol| symbol.value)
    }

    /// The image's symbol of this name.
    ///
    /// # Errors
    /// As [`View::symbol`].
    pub fn elf_symbol(&self, name: &str) -> Result<&ElfSymbol, Failure> {
        match self.image.named(name)[..] {
            [] => Err(Failure::new("failed to dereference symbol: unknown symbol name")),
            [one] => Ok(one),
            ref several => {
                let names: Vec<String> = several.iter().map(|s| s.qualified()).collect();
                Err(Failure::new(format!("symbol {name} is ambiguous; it may be {}", names.join(", "))))
            }
        }
    }

    /// What an address is called, with the distance into it; `None` if it has no name.
    pub fn name_of(&self, addr: u64) -> Option<String> {
        let with = |name: &str, offset: u64| match offset {
            0 => name.to_owned(),
            n @ 1..=9 => format!("{name}+{n}"),
            n => format!("{name}+{n:#x}"),
        };
        if let Some((name, into)) = self.named.symbol_at(addr) {
            return Some(with(&name, into));
        }
        if let Some(code) = &self.code {
            if let Some(symbol) = code.lookup(addr) {
                return Some(symbol.to_string());
            }
            if let Some(symbol) = self.image.symbol_at(addr) {
                return Some(with(&symbol.name, addr - symbol.value));
            }
        }
        if let Some(id) = self.cpus().ok().and_then(|cpus| cpus.index_of(addr)) {
            return Some(format!("cpu{id}"));
        }
        let offset = addr.checked_sub(self.glass.root().max(1))?;
        self.variables.name(offset).map(|(name, into)| with(name, into))
    }

    /// The CPUs, which stay where they are.
    pub(super) fn cpus(&self) -> Result<Elements, Failure> {
        if let Some(cpus) = self.cpus.get() {
            return Ok(*cpus);
        }
        let cpus = self.kernel_get("k_cpus")?.elements()?;
        Ok(*self.cpus.get_or_init(|| cpus))
    }

    /// The variable of the kernel with this name: its address and its type.
    pub fn variable(&self, name: &str) -> Option<(u64, TypeId)> {
        let (offset, of) = (self.variables.offset(name)?, self.variables.type_of(name)?);
        Some((self.root().ok()? + offset, of))
    }

    /// The type of the kernel's variable that begins at an address.
    pub fn variable_at(&self, addr: u64) -> Option<TypeId> {
        let root = self.root().ok()?;
        self.variables.type_at(addr.checked_sub(root)?)
    }

    /// The kernel's arenas: each slice in it by its path, with where it lies. Slices in what slices hold are not arenas.
    pub fn arenas(&self) -> Vec<(String, Elements)> {
        let mut found = Vec::new();
        if let (Ok(root), Ok(kernel)) = (self.root(), self.types().find("Kernel")) {
            self.slices_in(&mut Vec::new(), (root, kernel), &mut found);
        }
        found
    }

    /// Adds the slices in a value, whose path is `trail`.
    fn slices_in<'s>(
        &'s self,
        trail: &mut Vec<&'s str>,
        (addr, of): (u64, TypeId),
        found: &mut Vec<(String, Elements)>,
    ) {
        if self.types().slice(of).is_some() {
            let all = self.object(of, addr).ok().and_then(|slice| slice.elements().ok());
            found.extend(all.map(|all| (trail.join("."), all)));
            return;
        }
        let is_boxed = |name: &str| name.contains("Box<");
        let kind = self.types().get(self.types().resolved(of));
        match &kind.shape {
            Shape::Struct(of) if trail.len() < MAX_DEPTH => {
                for member in &of.members {
                    trail.push(&member.name);
                    self.slices_in(trail, (addr + member.offset, member.of), found);
                    trail.pop();
                }
            }
            Shape::Pointer(Some(to)) if is_boxed(&kind.name) => {
                let boxed = self.object(of, addr).ok().and_then(|pointer| pointer.number().ok());
                if let Some(boxed) = boxed.filter(|boxed| *boxed != 0) {
                    self.slices_in(trail, (boxed, *to), found);
                }
            }
            _ => {}
        }
    }

    /// Names that an expression may use, for completion: variables of the kernel and symbols of the image.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.names().chain(self.image.symbols().iter().map(|s| s.name.as_str()))
    }
}
