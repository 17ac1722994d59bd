//! Operators on statements and on whole bodies.
//!
//! # Invariants
//! - A declaration is never deleted: what follows would not compile.

use syn::spanned::Spanned;
use syn::{Expr, Stmt};

use super::{Finder, range};
use crate::fault::{Change, Operator, Shape};

/// Calls that are no behaviour of the kernel, or none that the simulator can show.
const LEFT_ALONE: &[&str] = &["fire", "fire_at", "interleave", "relax", "fence", "console"];

impl Finder<'_> {
    /// The function returns at once.
    pub(super) fn body(&mut self, sig: &syn::Signature, block: &syn::Block) {
        if block.stmts.is_empty() {
            return;
        }
        let start = range(block.brace_token.span.open()).end;
        let returns: Vec<&str> = match &sig.output {
            syn::ReturnType::Default => vec![""],
            syn::ReturnType::Type(_, of) => match self.text(of.as_ref()) {
                "bool" => vec![" true", " false"],
                "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => vec![" 0", " 1"],
                of if of.starts_with("Option<") => vec![" None"],
                _ => vec![],
            },
        };
        let changes = returns.iter().map(|what| Change::new(Operator::Body, format!("return{what};")));
        self.add(start..start, Shape::Entry, changes.collect());
    }

    /// Statements that are not there.
    pub(super) fn statements(&mut self, block: &syn::Block) {
        for stmt in &block.stmts {
            let Stmt::Expr(expr, semicolon) = stmt else { continue };
            let is_tail =
                semicolon.is_none() && std::ptr::eq(stmt, &raw const *block.stmts.last().unwrap_or(stmt));
            let operator = match expr {
                _ if self.asks_for_mutant(expr) => continue,
                Expr::Call(_) | Expr::MethodCall(_) if is_tail && !self.returns_unit => continue,
                Expr::Call(call) if is_kept(last_name(&call.func)) => continue,
                Expr::MethodCall(call) if is_kept(Some(call.method.to_string())) => continue,
                Expr::Call(_) | Expr::MethodCall(_) | Expr::Assign(_) => Operator::Deleted,
                Expr::Binary(_) if semicolon.is_some() => Operator::Deleted,
                Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => Operator::NoExit,
                Expr::If(branch) if branch.else_branch.is_none() && has_let(&branch.cond) => {
                    Operator::Deleted
                }
                Expr::While(_) | Expr::ForLoop(_) => Operator::Deleted,
                Expr::Match(_) if semicolon.is_some() || self.returns_unit => Operator::Deleted,
                _ => continue,
            };
            self.add(range(stmt.span()), Shape::Statements, vec![Change::new(operator, "")]);
        }
    }
}

/// True if a condition binds names.
pub(super) fn has_let(cond: &Expr) -> bool {
    match cond {
        Expr::Let(_) => true,
        Expr::Binary(both) => has_let(&both.left) || has_let(&both.right),
        _ => false,
    }
}

/// The last name of a path.
pub(super) fn last_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// True for the name of a call that is left alone, with what it is given.
pub(super) fn is_kept(name: Option<String>) -> bool {
    name.is_some_and(|name| LEFT_ALONE.contains(&name.as_str()))
}
