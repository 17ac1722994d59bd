//! Which module of a crate uses which, and where it says so.
//!
//! # Invariants
//! - What is looked at: every `use` and every path, in expressions, types, patterns and the tokens of macros; fields of the root
//!   objects that hold another module's structure; and blocks of methods for a structure that another module defines.
//! - A name of one word is looked at where it is imported and not again where it is used.
//! - A module that merely imports another uses nothing of it yet: the paths that begin with its name do.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::names::{Kind, Target, Tree, leaves};

/// One use of one module by another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// The module that uses.
    pub from: String,
    /// The module that is used.
    pub to: String,
    /// The file of the first, from the crate's source folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is used, as it is written there.
    pub what: String,
    /// In which way.
    pub way: Way,
}

/// How one module uses another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Names a structure, or makes one: `Heap`, `Heap::new`, `Heap::default`.
    Embeds,
    /// Names anything else.
    Names,
    /// Reaches through a field of a root object into the other's structure.
    Field,
    /// Gives the other's structure methods that all may call: the other may call them without naming the module that gives them.
    Methods,
}

/// Finds every use of one module by another. A field of a structure in `roots` belongs to the module that
/// defines the field's type.
pub fn find(tree: &Tree, roots: &[&str]) -> Vec<Arrow> {
    let fields = fields_of(tree, roots);
    let mut all = Vec::new();
    for (module, content) in &tree.modules {
        let mut finder = Finder { tree, module, file: &content.file, fields: &fields, found: &mut all };
        for item in &content.items {
            finder.visit_item(item);
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The module of what a root object keeps in a field, by the field's name.
type Fields = BTreeMap<String, Vec<String>>;

fn fields_of(tree: &Tree, roots: &[&str]) -> Fields {
    let mut fields = Fields::new();
    for &root in roots {
        let Some(module) = tree.modules.get(root) else { continue };
        for item in &module.items {
            let syn::Item::Struct(item) = item else { continue };
            for field in &item.fields {
                let mut held = Held { tree, module: root, in_modules: Vec::new() };
                held.visit_type(&field.ty);
                let elsewhere = held.in_modules.into_iter().filter(|of| of != root);
                if let Some(name) = &field.ident {
                    fields.entry(name.to_string()).or_default().extend(elsewhere);
                }
            }
        }
    }
    fields
}

/// The modules of the structures that a field holds; what the field merely points to does not count.
struct Held<'a> {
    tree: &'a Tree,
    module: &'a str,
    in_modules: Vec<String>,
}

impl<'ast> Visit<'ast> for Held<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.last().is_some_and(|last| last.ident == "SharedPtr") {
            return;
        }
        for target in self.tree.resolve(self.module, &words(path)) {
            if let Target::Item { module, .. } = target {
                self.in_modules.push(module);
            }
        }
        visit::visit_path(self, path);
    }
}

struct Finder<'a> {
    tree: &'a Tree,
    module: &'a str,
    file: &'a str,
    fields: &'a Fields,
    found: &'a mut Vec<Arrow>,
}

impl Finder<'_> {
    /// Notes a path of at least two words.
    fn note(&mut self, path: &[String], line: usize) {
        for target in self.tree.resolve(self.module, path) {
            let Target::Item { module, kind, rest, .. } = target else { continue };
            let is_made = matches!(rest.as_slice(), []) || rest == ["new"] || rest == ["default"];
            let way = if kind == Kind::Type && is_made { Way::Embeds } else { Way::Names };
            self.push(module, way, line, path.join("::"));
        }
    }

    fn push(&mut self, to: String, way: Way, line: usize, what: String) {
        if to != self.module {
            let (from, file) = (self.module.to_owned(), self.file.to_owned());
            self.found.push(Arrow { from, to, file, line, what, way });
        }
    }

    fn field(&mut self, name: &str, line: usize) {
        for of in self.fields.get(name).into_iter().flatten() {
            self.push(of.clone(), Way::Field, line, format!(".{name}"));
        }
    }

    /// Paths and fields among the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream, before: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream(), &[]),
                TokenTree::Punct(dot) if dot.as_char() == '.' => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                        let is_call = matches!(tokens.get(at + 2), Some(TokenTree::Group(args)) if args.delimiter() == Delimiter::Parenthesis);
                        if !is_call {
                            self.field(&name.to_string(), name.span().start().line);
                        }
                        at += 1;
                    }
                }
                TokenTree::Ident(first) => {
                    let line = first.span().start().line;
                    let mut path = [before, &[first.to_string()]].concat();
                    while is_colons(&tokens, at + 1) {
                        match tokens.get(at + 3) {
                            Some(TokenTree::Ident(next)) => path.push(next.to_string()),
                            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                                self.tokens(group.stream(), &path);
                                path.clear();
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.note(&path, line);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        for leaf in leaves(&item.tree) {
            self.note(&leaf.path, leaf.line);
            if leaf.name == "*" {
                for target in self.tree.resolve(self.module, &leaf.path) {
                    if let Target::Module(of) = target {
                        self.push(of, Way::Names, leaf.line, format!("{}::*", leaf.path.join("::")));
                    }
                }
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.note(&words(path), path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        visit::visit_macro(self, mac);
        self.tokens(mac.tokens.clone(), &[]);
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        if let syn::Member::Named(name) = &field.member {
            self.field(&name.to_string(), name.span().start().line);
        }
        visit::visit_expr_field(self, field);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let is_open =
            |item: &syn::ImplItem| matches!(item, syn::ImplItem::Fn(f) if is_seen_from_outside(&f.vis));
        if let (None, syn::Type::Path(of)) = (&item.trait_, &*item.self_ty)
            && item.items.iter().any(is_open)
        {
            for target in self.tree.resolve(self.module, &words(&of.path)) {
                if let Target::Item { module, name, .. } = target {
                    self.push(module, Way::Methods, item.span().start().line, format!("impl {name}"));
                }
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

/// True for what more than a module and its parent may call.
fn is_seen_from_outside(visibility: &syn::Visibility) -> bool {
    match visibility {
        syn::Visibility::Public(_) => true,
        syn::Visibility::Restricted(to) => to.path.is_ident("crate"),
        syn::Visibility::Inherited => false,
    }
}

fn words(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(at) && colon(at + 1)
}
