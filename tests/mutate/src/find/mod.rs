//! The places of a file at which it can be made wrong, and how: the operators.
//!
//! | file | what |
//! |---|---|
//! | `expr.rs` | operators on expressions |
//! | `stmt.rs` | operators on statements and whole bodies |
//!
//! # Invariants
//! - Code that the compiler evaluates is left alone, and so are tests, patterns, types, attributes and the inside of macros.
//! - What a mutant's switch asks or guards is left alone: it is a fault already, and off.
//! - Left alone as well is what the simulator cannot show: fences and orderings (it runs one CPU's step at a time), and
//!   probes and turns of waiting loops, which are not the dispatcher's.

mod expr;
mod stmt;

use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::fault::{Change, Shape, Site};

/// Files that are not the kernel's behaviour: what binds the platform, what panics, what records, and a class that is an example.
const LEFT_ALONE: &[&str] =
    &["platform.rs", "panic.rs", "probe.rs", "cell.rs", "lib.rs", "kernel.rs", "class/bg.rs"];

/// Functions that only make or show something.
const PLAIN: &[&str] = &["new", "default", "fmt", "is_mutant"];

/// What is in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// Every place, sorted as they come.
    pub sites: Vec<Site>,
    /// Every function whose body was looked at, with its type, and where the body is.
    pub functions: Vec<(String, Range<usize>)>,
}

/// Looks at a file.
///
/// # Errors
///
/// The file is not Rust.
pub fn find(file: &str, source: &str) -> Result<Found, String> {
    if LEFT_ALONE.contains(&file) {
        return Ok(Found::default());
    }
    let parsed = syn::parse_file(source).map_err(|e| format!("cannot parse {file}: {e}"))?;
    let mut finder = Finder { source, path: Vec::new(), returns_unit: false, found: Found::default() };
    finder.visit_file(&parsed);
    let mut found = finder.found;
    found.sites.retain(|site| !site.faults.is_empty());
    found.sites.sort_by_key(|site| (site.range.start, std::cmp::Reverse(site.range.end), site.shape));
    Ok(found)
}

/// Walks a file.
struct Finder<'s> {
    source: &'s str,
    /// The types and functions around, outermost first.
    path: Vec<String>,
    /// True if the function around has no result.
    returns_unit: bool,
    found: Found,
}

impl<'s> Finder<'s> {
    fn add(&mut self, range: Range<usize>, shape: Shape, faults: Vec<Change>) {
        if !self.path.is_empty() {
            self.found.sites.push(Site { range, shape, function: self.path.join("::"), faults });
        }
    }

    /// The source of a piece of syntax.
    fn text(&self, of: &impl Spanned) -> &'s str {
        &self.source[range(of.span())]
    }

    /// True if a mutant's switch is asked for in it.
    fn asks_for_mutant(&self, of: &impl Spanned) -> bool {
        self.text(of).contains("is_mutant")
    }

    fn function(&mut self, attrs: &[syn::Attribute], sig: &syn::Signature, block: &syn::Block) {
        let name = sig.ident.to_string();
        if sig.constness.is_some() || PLAIN.contains(&name.as_str()) || is_test(attrs) {
            return;
        }
        self.path.push(name);
        self.found.functions.push((self.path.join("::"), range(block.span())));
        let outer = self.returns_unit;
        self.returns_unit = matches!(sig.output, syn::ReturnType::Default);
        self.body(sig, block);
        self.visit_block(block);
        self.returns_unit = outer;
        self.path.pop();
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        self.path.push(of.unwrap_or_else(|| "_".to_owned()));
        visit::visit_item_impl(self, item);
        self.path.pop();
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.statements(block);
        visit::visit_block(self, block);
    }

    fn visit_expr(&mut self, expr: &'ast syn::Expr) {
        self.expression(expr);
    }

    // What the compiler evaluates, and what is no code that runs.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_item_trait(&mut self, _: &'ast syn::ItemTrait) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
    fn visit_generics(&mut self, _: &'ast syn::Generics) {}
}

fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("test")
            || attr.path().is_ident("cfg")
                && attr.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn range(span: Span) -> Range<usize> {
    span.byte_range()
}
