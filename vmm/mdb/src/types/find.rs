//! Types by name: `Kthread`, `thread::Kthread`, `kthread_t`, `struct cpu`, `int`.
//!
//! # Invariants
//! - A name that means several types of different make is refused with the list of them; none is chosen silently.

use super::{Shape, Type, TypeId, Types};
use crate::lang::Failure;

/// What C calls what Rust calls otherwise, where dropping `_t` and capitals is not enough: name in C, name here.
pub const C_NAMES: &[(&str, &str)] = &[
    ("kmutex_t", "Mutex"),
    ("mutex_impl_t", "Mutex"),
    ("krwlock_t", "Rwlock"),
    ("rwlock_impl_t", "Rwlock"),
    ("kcondvar_t", "Condvar"),
    ("condvar_impl_t", "Condvar"),
    ("ksema_t", "Sema"),
    ("sema_impl_t", "Sema"),
    ("sleepq_t", "SleepList"),
    ("sleepq_head_t", "SleepQueue"),
    ("waitq_t", "WaitQueue"),
    ("tsproc_t", "ClassData"),
    ("iaproc_t", "ClassData"),
    ("fxproc_t", "ClassData"),
    ("rtproc_t", "ClassData"),
    ("fssproc_t", "ClassData"),
    ("sysdc_t", "SdcProc"),
    ("cyc_cpu_t", "CyclicCpu"),
    ("mac_soft_ring_set_t", "SoftRingSet"),
    ("mac_soft_ring_t", "soft_ring::SoftRing"),
    ("squeue_t", "squeue::Squeue"),
    ("char", "u8"),
    ("uchar_t", "u8"),
    ("uint8_t", "u8"),
    ("int8_t", "i8"),
    ("short", "i16"),
    ("int16_t", "i16"),
    ("pri_t", "i16"),
    ("ushort_t", "u16"),
    ("uint16_t", "u16"),
    ("int", "i32"),
    ("int32_t", "i32"),
    ("processorid_t", "i32"),
    ("uint", "u32"),
    ("uint_t", "u32"),
    ("unsigned", "u32"),
    ("uint32_t", "u32"),
    ("long", "i64"),
    ("int64_t", "i64"),
    ("hrtime_t", "i64"),
    ("clock_t", "i64"),
    ("ulong_t", "u64"),
    ("uint64_t", "u64"),
    ("uintptr_t", "usize"),
    ("size_t", "usize"),
    ("boolean_t", "bool"),
];

impl Types {
    /// The type that a name means: as Rust has it, with as much of its path as is needed, or as C has it; `struct` and `enum` in
    /// front are passed over, and a `*` behind makes it a pointer's size of nothing in particular.
    ///
    /// # Errors
    /// [`Failure`] if there is none, with the nearest names; or if there are several, with all of them.
    pub fn find(&self, name: &str) -> Result<TypeId, Failure> {
        let plain = ["struct ", "enum ", "union "]
            .iter()
            .fold(name.trim(), |n, word| n.strip_prefix(word).unwrap_or(n));
        let in_rust = C_NAMES.iter().find(|(c, _)| *c == plain).map_or(plain, |(_, rust)| rust);
        let mut found = self.with_path(in_rust);
        if found.is_empty() {
            found = self.as_c_has_it(in_rust);
        }
        match *found {
            [] => Err(Failure::new(format!(
                "failed to look up type {plain}: no such type{}",
                self.nearest(plain)
            ))),
            [one] => Ok(one),
            [..] => {
                let paths: Vec<String> = found.iter().map(|&id| self.get(id).path()).collect();
                Err(Failure::new(format!("type {plain} is ambiguous; it may be {}", paths.join(" or "))))
            }
        }
    }

    /// Types whose name with its path is, or ends with, `path`. The kernel's own go before those of libraries, and one of several
    /// that are made alike stands for all.
    fn with_path(&self, path: &str) -> Vec<TypeId> {
        let (module, name) = split(path);
        let all = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let is_in = |id: &TypeId| {
            let Type { module: of, is_variant, .. } = self.get(*id);
            module.is_empty() && !is_variant
                || of == module
                || (!module.is_empty() && of.strip_suffix(module).is_some_and(|front| front.ends_with("::")))
        };
        let mut found: Vec<TypeId> = all.iter().copied().filter(is_in).collect();
        let has_ours = found.iter().any(|&id| self.is_ours(id));
        found.retain(|&id| !has_ours || self.is_ours(id));
        let mut seen: Vec<TypeId> = Vec::new();
        for id in found {
            if !seen.iter().any(|&other| self.is_alike(id, other)) {
                seen.push(id);
            }
        }
        seen
    }

    /// Types whose name is that of C without `_t`, capitals and underscores: `callout_table_t` is `CalloutTable`.
    fn as_c_has_it(&self, name: &str) -> Vec<TypeId> {
        let squeezed = |text: &str| text.replace('_', "").to_ascii_lowercase();
        let wanted = squeezed(name.strip_suffix("_t").unwrap_or(name));
        let mut names: Vec<&String> = self.by_name.keys().filter(|n| squeezed(n) == wanted).collect();
        names.sort();
        names.into_iter().flat_map(|n| self.with_path(n)).filter(|&id| self.is_ours(id)).collect()
    }

    fn is_ours(&self, id: TypeId) -> bool {
        self.get(id).krate().starts_with("umpire_")
    }

    /// True if two types of one name are the same one, seen by two units.
    fn is_alike(&self, a: TypeId, b: TypeId) -> bool {
        let (a, b) = (self.get(a), self.get(b));
        let names = |shape: &Shape| match shape {
            Shape::Struct(of) => of.members.iter().map(|m| (m.name.clone(), m.offset)).collect(),
            Shape::Enum { names, .. } => names.clone(),
            _ => Vec::new(),
        };
        a.module == b.module && a.size == b.size && names(&a.shape) == names(&b.shape)
    }

    /// ` (the nearest names are ...)`, or nothing.
    fn nearest(&self, name: &str) -> String {
        let likeness = |id: TypeId| {
            strsim::jaro_winkler(&self.get(id).name.to_ascii_lowercase(), &name.to_ascii_lowercase())
        };
        let structs = self.iter().filter(|(id, of)| self.is_ours(*id) && !of.name.contains(['{', '<']));
        let mut like: Vec<(f64, &str)> = structs.map(|(id, of)| (likeness(id), of.name.as_str())).collect();
        like.retain(|(likeness, _)| *likeness > 0.8);
        like.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        like.dedup_by_key(|(_, name)| *name);
        let names: Vec<&str> = like.into_iter().take(3).map(|(_, name)| name).collect();
        if names.is_empty() { String::new() } else { format!(" (near it: {})", names.join(", ")) }
    }

    /// Names of types that a person may want, for completion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let ours =
            self.iter().filter(|(id, of)| self.is_ours(*id) && !of.name.contains(['{', '<', '&', '(']));
        ours.map(|(_, of)| of.name.as_str()).filter(|name| !name.is_empty())
    }
}

/// Module and name of a path; the name may have paths of its own inside of brackets.
fn split(path: &str) -> (&str, &str) {
    let end = path.find(['<', '[', '(', '&']).unwrap_or(path.len());
    match path[..end].rfind("::") {
        Some(at) => (&path[..at], &path[at + 2..]),
        None => ("", path),
    }
}
