//! The guest's data by name: every type that the kernel's root leads to, and values that are read as what they are.
//!
//! Records ([`super::record`]) are for what each pass reads. This is for what is looked at once: a path leads to any member of the
//! kernel, and an address to the object that lies there.
//!
//! # Invariants
//! - Every value is one read of one number, right by itself. A path that cannot be followed, whatever the guest's memory says, is
//!   `None`.
//! - A search ends after [`MAX_VISITS`] objects and [`MAX_DEPTH`] steps down.
//! - A pointer that stands for itself among the kernel's parts, or theirs, is a box and is looked through; others are not followed.
//! - What wraps a number or a pointer without adding to it (`AtomicU64`, `SharedPtr`) is looked through.

use super::Glass;

/// Objects that a search for an address looks at.
const MAX_VISITS: u32 = 200_000;
/// Steps from the root that a search goes.
const MAX_DEPTH: u32 = 16;
/// Steps from the root down to which a pointer is followed, if nothing is wrapped around it.
const MAX_BOXES: u32 = 3;
/// Wrappers of wrappers that are looked through.
const MAX_WRAPPERS: usize = 8;
/// Objects that are waited for as such, whatever they begin with and whatever begins with them.
const WHOLE: &[&str] =
    &["Mutex", "Rwlock", "Condvar", "Sema", "SpinMutex", "WaitQueue", "SleepList", "DispLock"];

/// A type, by its place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TypeId(pub(super) u32);

/// What a type is.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Number {
        size: usize,
        signed: bool,
    },
    Pointer {
        to: Option<TypeId>,
    },
    Struct {
        name: String,
        size: u64,
        members: Vec<(String, u64, TypeId)>,
    },
    Array {
        element: TypeId,
        stride: u64,
        count: u64,
    },
    /// A boxed slice: where its address and its length are in it.
    Slice {
        element: TypeId,
        stride: u64,
        data: u64,
        len: u64,
    },
    Other,
}

/// The types of a guest.
#[derive(Debug, Clone, Default)]
pub struct TypeTable {
    /// The kernel's own is the first.
    nodes: Vec<Node>,
    /// Whether a value of the type leads to others outside itself.
    leads_on: Vec<bool>,
}

impl TypeTable {
    /// Of these types, of which the first is the kernel's.
    pub(super) fn new(nodes: Vec<Node>) -> TypeTable {
        let mut leads_on: Vec<bool> = nodes.iter().map(|node| matches!(node, Node::Slice { .. })).collect();
        // A type holds others by value, so none is deeper than the search goes.
        for _ in 0..MAX_DEPTH {
            for (n, node) in nodes.iter().enumerate() {
                let leads = |id: TypeId| leads_on.get(id.0 as usize).copied().unwrap_or(false);
                let is_leading = match node {
                    Node::Struct { members, .. } => members.iter().any(|member| leads(member.2)),
                    Node::Array { element, .. } => leads(*element),
                    _ => continue,
                };
                leads_on[n] = is_leading;
            }
        }
        TypeTable { nodes, leads_on }
    }

    fn node(&self, id: TypeId) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::Other)
    }

    fn size(&self, id: TypeId) -> u64 {
        match self.node(id) {
            Node::Number { size, .. } => *size as u64,
            Node::Pointer { .. } => 8,
            Node::Struct { size, .. } => *size,
            Node::Array { stride, count, .. } => stride.saturating_mul(*count),
            Node::Slice { .. } => 16,
            Node::Other => 0,
        }
    }

    /// What is behind structures that hold one thing of their own size and nothing else.
    fn unwrapped(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_WRAPPERS {
            let Node::Struct { size, members, .. } = self.node(id) else { break };
            let mut holding = members.iter().filter(|member| self.size(member.2) != 0);
            match (holding.next(), holding.next()) {
                (Some(&(_, 0, of)), None) if self.size(of) == *size => id = of,
                _ => break,
            }
        }
        id
    }
}

/// A value in the guest: its type, and where it lies.
#[derive(Debug, Clone, Copy)]
pub struct Datum<'g> {
    glass: &'g Glass,
    of: TypeId,
    /// Its address.
    pub addr: u64,
}

/// An object of the kernel's, found by its address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Its address.
    pub addr: u64,
    /// How it is reached from the root: `k_work.locks[3]`; empty if nothing of the kernel's lies there.
    pub path: String,
    /// The name of its type; empty if it has none.
    pub type_name: String,
}

impl<'g> Datum<'g> {
    /// The value that a path leads to: names of members, and numbers of elements, with dots between them.
    pub fn at(self, path: &str) -> Option<Datum<'g>> {
        path.split('.').try_fold(self, |at, step| match step.parse() {
            Ok(n) => at.element(n),
            Err(_) => at.member(step),
        })
    }

    /// A number that a path leads to, sign-extended if it has a sign.
    pub fn number_at(self, path: &str) -> Option<u64> {
        self.at(path)?.number()
    }

    /// What the pointer behind a path points to; `None` if it is null.
    pub fn pointer_at(self, path: &str) -> Option<Datum<'g>> {
        self.at(path)?.pointer()
    }

    /// Its number: that of a number, the address of a pointer.
    pub fn number(self) -> Option<u64> {
        let mut raw = [0; 8];
        let (size, signed) = match *self.types().node(self.types().unwrapped(self.of)) {
            Node::Number { size: size @ 1..=8, signed } => (size, signed),
            Node::Pointer { .. } => (8, false),
            _ => return None,
        };
        if !self.glass.memory.read(self.addr, &mut raw[..size]) {
            return None;
        }
        let shift = 64 - 8 * size as u32;
        let value = u64::from_le_bytes(raw) << shift;
        Some(if signed { (value as i64 >> shift) as u64 } else { value >> shift })
    }

    /// What it points to; `None` if that is null, or no type is known for it.
    pub fn pointer(self) -> Option<Datum<'g>> {
        match *self.types().node(self.types().unwrapped(self.of)) {
            Node::Pointer { to: Some(of) } => {
                let addr = self.number().filter(|&addr| addr != 0)?;
                Some(Datum { of, addr, ..self })
            }
            _ => None,
        }
    }

    /// Element `n` of an array or a boxed slice.
    pub fn element(self, n: u64) -> Option<Datum<'g>> {
        let (first, of, stride, count) = self.elements()?;
        let addr = first.wrapping_add(n.wrapping_mul(stride));
        (n < count).then_some(Datum { of, addr, ..self })
    }

    /// How many elements an array or a boxed slice has, as the guest says.
    pub fn len(self) -> Option<u64> {
        self.elements().map(|(.., count)| count)
    }

    /// True if it is an array without elements, or none at all.
    pub fn is_empty(self) -> bool {
        self.len().is_none_or(|len| len == 0)
    }

    /// The text in an array of bytes, without control characters; up to the first that is 0.
    pub fn text(self) -> Option<String> {
        let (first, _, 1, count @ 1..=256) = self.elements()? else { return None };
        let mut raw = [0; 256];
        let raw = &mut raw[..count as usize];
        self.glass.memory.read(first, raw).then(|| text_of(raw))
    }

    /// The value of the same type that lies so many bytes behind it.
    pub(super) fn behind(self, bytes: u64) -> Datum<'g> {
        Datum { addr: self.addr.wrapping_add(bytes), ..self }
    }

    fn member(self, name: &str) -> Option<Datum<'g>> {
        match self.types().node(self.of) {
            Node::Struct { members, .. } => {
                let &(_, offset, of) = members.iter().find(|member| member.0 == name)?;
                Some(Datum { of, addr: self.addr.wrapping_add(offset), ..self })
            }
            // What is boxed.
            Node::Pointer { .. } => {
                let boxed = self.pointer()?;
                matches!(self.types().node(boxed.of), Node::Struct { .. }).then(|| boxed.member(name))?
            }
            _ => None,
        }
    }

    /// Where the first element lies, what each is, how far apart they are, and how many there are.
    fn elements(self) -> Option<(u64, TypeId, u64, u64)> {
        match *self.types().node(self.of) {
            Node::Array { element, stride, count } => Some((self.addr, element, stride, count)),
            Node::Slice { element, stride, data, len } => {
                let word = |offset| self.glass.memory.read_u64(self.addr.wrapping_add(offset));
                Some((word(data)?, element, stride, word(len)?))
            }
            _ => None,
        }
    }

    fn types(self) -> &'g TypeTable {
        &self.glass.layout.types
    }
}

/// The text in an array of bytes up to the first that is 0, fit to be printed.
pub(super) fn text_of(raw: &[u8]) -> String {
    let end = raw.iter().position(|&b| b == 0).unwrap_or(raw.len());
    // Nearly all names are plain.
    if let Ok(text) = str::from_utf8(&raw[..end])
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return text.to_owned();
    }
    let text = String::from_utf8_lossy(&raw[..end]);
    if text.contains(char::is_control) { text.replace(char::is_control, "?") } else { text.into_owned() }
}

impl Glass {
    /// The kernel's root object; `None` while there is no kernel.
    pub fn kernel_object(&self) -> Option<Datum<'_>> {
        self.kernel().ok()??;
        Some(Datum { glass: self, of: TypeId(0), addr: self.root() })
    }

    /// What lies at an address. Of an object and the objects that begin with it, one that is waited for as such is meant, or else
    /// the widest that is an element.
    pub fn object_at(&self, addr: u64) -> Object {
        let mut search = Search { addr, path: String::new(), found: Vec::new(), visits: 0 };
        if let Some(kernel) = self.kernel_object() {
            search.look(kernel, 0);
        }
        let found = &search.found;
        let meant = found.iter().find(|(_, type_name)| WHOLE.contains(&type_name.as_str()));
        let meant = meant.or_else(|| found.iter().find(|(path, _)| path.ends_with(']'))).or(found.first());
        let (path, type_name) = meant.cloned().unwrap_or_default();
        Object { addr, path, type_name }
    }
}

/// A search for what lies at an address.
struct Search {
    addr: u64,
    path: String,
    /// Paths and types of what begins there, the widest first.
    found: Vec<(String, String)>,
    visits: u32,
}

impl Search {
    /// Looks at a value, and at all that it leads to.
    fn look(&mut self, at: Datum<'_>, depth: u32) {
        self.visits += 1;
        let types = at.types();
        // The kernel's parts, and theirs, may be boxed: a bare pointer there owns what it points to.
        if (1..=MAX_BOXES).contains(&depth)
            && matches!(types.node(at.of), Node::Pointer { .. })
            && let Some(boxed) = at.pointer()
        {
            return self.look(boxed, depth + 1);
        }
        let is_within = self.addr.wrapping_sub(at.addr) < types.size(at.of);
        let leads_on = types.leads_on.get(at.of.0 as usize).copied().unwrap_or(false);
        if depth > MAX_DEPTH || self.visits > MAX_VISITS || !is_within && !leads_on {
            return;
        }
        if at.addr == self.addr && !self.path.is_empty() {
            let type_name = match types.node(at.of) {
                Node::Struct { name, .. } => name.clone(),
                _ => String::new(),
            };
            self.found.push((self.path.clone(), type_name));
        }
        let length = self.path.len();
        if let Node::Struct { members, .. } = types.node(at.of) {
            for (name, offset, of) in members {
                if !self.path.is_empty() {
                    self.path.push('.');
                }
                self.path.push_str(name);
                self.look(Datum { of: *of, addr: at.addr.wrapping_add(*offset), ..at }, depth + 1);
                self.path.truncate(length);
            }
        } else if let Some((first, of, stride, count)) = at.elements() {
            let place = self.addr.wrapping_sub(first).checked_div(stride).unwrap_or(u64::MAX);
            let element_leads_on = types.leads_on.get(of.0 as usize).copied().unwrap_or(false);
            let all = if element_leads_on { 0..count } else { place..count.min(place.saturating_add(1)) };
            for n in all {
                if self.visits > MAX_VISITS {
                    return;
                }
                self.path.push_str(&format!("[{n}]"));
                let addr = first.wrapping_add(n.wrapping_mul(stride));
                self.look(Datum { of, addr, ..at }, depth + 1);
                self.path.truncate(length);
            }
        }
    }
}
