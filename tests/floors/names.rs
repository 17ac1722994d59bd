//! The modules of one crate, parsed, and what a path in one of them names.
//!
//! # Invariants
//! - A path is followed through every `use` and `pub use` to the module that defines what it names.
//! - A name may mean several things at once (a module and a function): all of them are followed.
//! - What leads out of the crate names nothing here.

use std::collections::{BTreeMap, BTreeSet};

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// How many `use`s are followed at most, one after the other.
const MAX_STEPS: usize = 16;

/// What kind of thing an item is, as far as a rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A structure or an enumeration.
    Type,
    /// Anything else.
    Other,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A module.
    Module(String),
    /// Something that `module` defines; `rest` is what the path says behind its name.
    Item { module: String, name: String, kind: Kind, rest: Vec<String> },
}

/// One module.
#[derive(Debug, Default)]
pub struct Module {
    /// Its file, from the crate's source folder.
    pub file: String,
    /// Its items, inline modules apart.
    pub items: Vec<syn::Item>,
    children: BTreeSet<String>,
    defined: BTreeMap<String, Kind>,
    imported: BTreeMap<String, Vec<Vec<String>>>,
    globs: Vec<Vec<String>>,
}

/// Every module of a crate by its path: `` for the root, `disp::swtch`.
#[derive(Debug, Default)]
pub struct Tree {
    /// The modules.
    pub modules: BTreeMap<String, Module>,
}

/// One leaf of a `use`: the path, the name it gets, `*` for all names.
pub struct Leaf {
    pub path: Vec<String>,
    pub name: String,
    pub line: usize,
}

impl Tree {
    /// Parses a crate whose files are given by their paths from its source folder; `lib.rs` is its root.
    pub fn parse(files: &BTreeMap<String, String>) -> Tree {
        let mut tree = Tree::default();
        tree.add_file(files, "", "lib.rs");
        tree
    }

    fn add_file(&mut self, files: &BTreeMap<String, String>, path: &str, file: &str) {
        let text = files.get(file).unwrap_or_else(|| panic!("{path}: there is no {file}"));
        let parsed =
            syn::parse_file(text).unwrap_or_else(|e| panic!("{file}:{}: {e}", e.span().start().line));
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let is_root = matches!(name, "lib.rs" | "mod.rs");
        let children =
            if is_root { folder.to_owned() } else { join(folder, "/", name.trim_end_matches(".rs")) };
        self.add(files, path, file, &children, parsed.items);
    }

    fn add(
        &mut self,
        files: &BTreeMap<String, String>,
        path: &str,
        file: &str,
        folder: &str,
        items: Vec<syn::Item>,
    ) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            if let syn::Item::Mod(inner) = item {
                let name = inner.ident.to_string();
                let child = join(path, "::", &name);
                let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder);
                match (inner.content, path_attribute(&inner.attrs)) {
                    (Some((_, items)), _) => self.add(files, &child, file, &join(folder, "/", &name), items),
                    (None, Some(named)) => self.add_file(files, &child, &join(beside, "/", &named)),
                    (None, None) => {
                        let flat = join(folder, "/", &format!("{name}.rs"));
                        let nested = join(folder, "/", &format!("{name}/mod.rs"));
                        self.add_file(files, &child, if files.contains_key(&flat) { &flat } else { &nested });
                    }
                }
                module.children.insert(name);
                continue;
            }
            if let Some((name, kind)) = defined_by(&item) {
                module.defined.insert(name, kind);
            }
            Imports(&mut module).visit_item(&item);
            module.items.push(item);
        }
        self.modules.insert(path.to_owned(), module);
    }

    /// What a path in `module` names.
    pub fn resolve(&self, module: &str, path: &[String]) -> Vec<Target> {
        self.follow(module, path, MAX_STEPS)
    }

    fn follow(&self, module: &str, path: &[String], steps: usize) -> Vec<Target> {
        let (Some((first, rest)), Some(steps)) = (path.split_first(), steps.checked_sub(1)) else {
            return Vec::new();
        };
        let mut found = match first.as_str() {
            "crate" => vec![Target::Module(String::new())],
            "self" => vec![Target::Module(module.to_owned())],
            "super" => vec![Target::Module(parent(module).to_owned())],
            name => self.look_up(module, name, steps),
        };
        for segment in rest {
            found = found.into_iter().flat_map(|target| self.step(target, segment, steps)).collect();
        }
        found
    }

    fn step(&self, target: Target, segment: &str, steps: usize) -> Vec<Target> {
        match target {
            Target::Module(module) if segment == "super" => vec![Target::Module(parent(&module).to_owned())],
            Target::Module(module) if segment == "self" => vec![Target::Module(module)],
            Target::Module(module) => self.look_up(&module, segment, steps),
            Target::Item { module, name, kind, mut rest } => {
                rest.push(segment.to_owned());
                vec![Target::Item { module, name, kind, rest }]
            }
        }
    }

    /// What a name means in a module.
    fn look_up(&self, module: &str, name: &str, steps: usize) -> Vec<Target> {
        let Some(scope) = self.modules.get(module) else { return Vec::new() };
        let mut found = Vec::new();
        if scope.children.contains(name) {
            found.push(Target::Module(join(module, "::", name)));
        }
        if let Some(&kind) = scope.defined.get(name) {
            found.push(Target::Item {
                module: module.to_owned(),
                name: name.to_owned(),
                kind,
                rest: Vec::new(),
            });
        }
        for path in scope.imported.get(name).into_iter().flatten() {
            found.extend(self.follow(module, path, steps));
        }
        if found.is_empty() && steps > 0 {
            for glob in &scope.globs {
                for target in self.follow(module, glob, steps - 1) {
                    if let Target::Module(of) = target
                        && of != module
                    {
                        found.extend(self.look_up(&of, name, steps - 1));
                    }
                }
            }
        }
        found
    }
}

/// The leaves of a `use`.
pub fn leaves(tree: &syn::UseTree) -> Vec<Leaf> {
    let mut found = Vec::new();
    collect(tree, &mut Vec::new(), &mut found);
    found
}

fn collect(tree: &syn::UseTree, before: &mut Vec<String>, found: &mut Vec<Leaf>) {
    let line = tree.span().start().line;
    match tree {
        syn::UseTree::Path(step) => {
            before.push(step.ident.to_string());
            collect(&step.tree, before, found);
            before.pop();
        }
        syn::UseTree::Name(leaf) if leaf.ident == "self" => {
            let name = before.last().cloned().unwrap_or_default();
            found.push(Leaf { path: before.clone(), name, line });
        }
        syn::UseTree::Name(leaf) => {
            let name = leaf.ident.to_string();
            found.push(Leaf { path: [&before[..], std::slice::from_ref(&name)].concat(), name, line });
        }
        syn::UseTree::Rename(leaf) => {
            let path = if leaf.ident == "self" {
                before.clone()
            } else {
                [&before[..], &[leaf.ident.to_string()]].concat()
            };
            found.push(Leaf { path, name: leaf.rename.to_string(), line });
        }
        syn::UseTree::Glob(_) => found.push(Leaf { path: before.clone(), name: "*".into(), line }),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, before, found)),
    }
}

/// Takes what a module's items import, also in the bodies of functions.
struct Imports<'a>(&'a mut Module);

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        for leaf in leaves(&item.tree) {
            if leaf.name == "*" {
                self.0.globs.push(leaf.path);
            } else if leaf.path != [leaf.name.clone()] {
                self.0.imported.entry(leaf.name).or_default().push(leaf.path);
            }
        }
        visit::visit_item_use(self, item);
    }
}

fn defined_by(item: &syn::Item) -> Option<(String, Kind)> {
    let (name, kind) = match item {
        syn::Item::Struct(item) => (&item.ident, Kind::Type),
        syn::Item::Enum(item) => (&item.ident, Kind::Type),
        syn::Item::Fn(item) => (&item.sig.ident, Kind::Other),
        syn::Item::Const(item) => (&item.ident, Kind::Other),
        syn::Item::Static(item) => (&item.ident, Kind::Other),
        syn::Item::Trait(item) => (&item.ident, Kind::Other),
        syn::Item::Type(item) => (&item.ident, Kind::Other),
        syn::Item::Union(item) => (&item.ident, Kind::Type),
        syn::Item::Macro(item) => (item.ident.as_ref()?, Kind::Other),
        _ => return None,
    };
    Some((name.to_string(), kind))
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find(|a| a.path().is_ident("path")).and_then(|a| match &a.meta {
        syn::Meta::NameValue(pair) => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// The module that a module is in; the root is in itself.
pub fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn join(before: &str, between: &str, name: &str) -> String {
    if before.is_empty() { name.to_owned() } else { format!("{before}{between}{name}") }
}
