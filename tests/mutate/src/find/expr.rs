//! Operators on expressions.
//!
//! # Invariants
//! - What is assigned to, and what is borrowed as it stands, is not replaced: a copy of it would be.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Lit, UnOp};

use super::stmt::{has_let, is_kept, last_name};
use super::{Finder, range};
use crate::fault::{Change, Operator, Shape};

/// Names of which each can stand for the other.
const PAIRS: &[(&str, &str)] = &[
    ("setfrontdq", "setbackdq"),
    ("Front", "Back"),
    ("first", "last"),
    ("min", "max"),
    ("is_some", "is_none"),
    ("is_some_and", "is_none_or"),
    ("any", "all"),
    ("bump", "drop_one"),
    ("push_front", "push_back"),
    ("pop_front", "pop_back"),
    ("fetch_or", "fetch_and"),
    ("fetch_add", "fetch_sub"),
    ("wrapping_add", "wrapping_sub"),
    ("saturating_add", "saturating_sub"),
];

impl Finder<'_> {
    /// Looks at an expression and at what is in it.
    pub(super) fn expression(&mut self, expr: &Expr) {
        match expr {
            Expr::Const(_) | Expr::Macro(_) | Expr::Let(_) => {
                if let Expr::Let(binds) = expr {
                    self.expression(&binds.expr);
                }
                return;
            }
            Expr::If(branch) => return self.branch(branch),
            Expr::While(turn) => self.condition(&turn.cond, &["false"]),
            Expr::Match(cases) => self.arms(cases),
            Expr::Repeat(repeat) => return self.expression(&repeat.expr),
            Expr::Assign(assign) => return self.expression(&assign.right),
            Expr::Binary(both) if is_assignment(&both.op) => {
                self.binary(expr, both);
                return self.expression(&both.right);
            }
            Expr::Binary(both) => self.binary(expr, both),
            Expr::Unary(one) if !self.asks_for_mutant(one) => self.unary(expr, one),
            Expr::Lit(lit) => self.literal(expr, lit),
            Expr::Call(call) if is_kept(last_name(&call.func)) => return,
            Expr::Call(call) => {
                self.call(expr, call);
                call.args.iter().for_each(|arg| self.expression(arg));
                return;
            }
            Expr::MethodCall(call) if !self.asks_for_mutant(call) => {
                self.swap(expr, &call.method.to_string(), call.method.span());
            }
            Expr::Path(path) => {
                if let Some(segment) = path.path.segments.last() {
                    self.swap(expr, &segment.ident.to_string(), segment.ident.span());
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }

    fn branch(&mut self, branch: &syn::ExprIf) {
        self.condition(&branch.cond, &["true", "false"]);
        self.expression(&branch.cond);
        let is_switch = self.asks_for_mutant(&*branch.cond);
        if !is_switch || self.text(&*branch.cond).contains('!') {
            self.visit_block(&branch.then_branch);
        }
        if let Some((_, other)) = &branch.else_branch {
            self.expression(other);
        }
    }

    /// A condition always has one value; of one that binds names, each operand that does not.
    fn condition(&mut self, cond: &Expr, values: &[&str]) {
        match cond {
            Expr::Binary(both) if has_let(cond) => {
                self.condition(&both.left, values);
                self.condition(&both.right, values);
            }
            Expr::Let(_) => {}
            _ if self.asks_for_mutant(cond) => {}
            _ => {
                let changes = values.iter().map(|value| Change::new(Operator::Condition, *value));
                self.add(range(cond.span()), Shape::Expression, changes.collect());
            }
        }
    }

    fn arms(&mut self, cases: &syn::ExprMatch) {
        let ends_in_all = cases.arms.last().is_some_and(|arm| takes_all(&arm.pat));
        for (n, arm) in cases.arms.iter().enumerate() {
            if self.asks_for_mutant(arm) {
                continue;
            }
            match &arm.pat {
                syn::Pat::Guard(guarded) => {
                    if !has_let(&guarded.guard) {
                        let changes = ["true", "false"].map(|value| Change::new(Operator::Guard, value));
                        self.add(range(guarded.guard.span()), Shape::Expression, changes.into());
                    }
                    self.expression(&guarded.guard);
                }
                _ if ends_in_all && n + 1 < cases.arms.len() => {
                    let at = range(arm.pat.span()).end;
                    self.add(at..at, Shape::NewGuard, vec![Change::new(Operator::Guard, "")]);
                }
                _ => {}
            }
        }
    }

    fn binary(&mut self, expr: &Expr, both: &syn::ExprBinary) {
        if has_let(expr) || self.asks_for_mutant(expr) {
            return;
        }
        let others: &[&str] = match both.op {
            BinOp::Eq(_) => &["!="],
            BinOp::Ne(_) => &["=="],
            BinOp::Lt(_) => &["<=", ">"],
            BinOp::Le(_) => &["<", ">"],
            BinOp::Gt(_) => &[">=", "<"],
            BinOp::Ge(_) => &[">", "<"],
            BinOp::And(_) => &["||"],
            BinOp::Or(_) => &["&&"],
            BinOp::Add(_) => &["-"],
            BinOp::Sub(_) => &["+"],
            BinOp::Mul(_) => &["/"],
            BinOp::Div(_) => &["*"],
            BinOp::BitAnd(_) => &["|"],
            BinOp::BitOr(_) | BinOp::BitXor(_) => &["&"],
            BinOp::Shl(_) => &[">>"],
            BinOp::Shr(_) => &["<<"],
            BinOp::AddAssign(_) => &["-="],
            BinOp::SubAssign(_) => &["+="],
            _ => &[],
        };
        let (from, to) = (range(expr.span()), range(both.op.span()));
        let (left, right) = (&self.source[from.start..to.start], &self.source[to.end..from.end]);
        let changes = others.iter().map(|op| Change::new(Operator::Binary, format!("{left}{op}{right}")));
        self.add(from.clone(), Shape::Expression, changes.collect());
    }

    fn unary(&mut self, expr: &Expr, one: &syn::ExprUnary) {
        if matches!(one.op, UnOp::Not(_) | UnOp::Neg(_)) {
            let without = Change::new(Operator::Negation, self.text(&*one.expr));
            self.add(range(expr.span()), Shape::Expression, vec![without]);
        }
    }

    fn literal(&mut self, expr: &Expr, lit: &syn::ExprLit) {
        let values: Vec<String> = match &lit.lit {
            Lit::Bool(value) => vec![(!value.value).to_string()],
            Lit::Int(value) => match value.base10_parse::<u64>() {
                Ok(1) => vec![format!("0{}", value.suffix())],
                Ok(n) if n < u64::from(u8::MAX) => vec![format!("{}{}", n + 1, value.suffix())],
                _ => vec![],
            },
            _ => vec![],
        };
        let changes = values.into_iter().map(|value| Change::new(Operator::Constant, value));
        self.add(range(expr.span()), Shape::Expression, changes.collect());
    }

    fn call(&mut self, expr: &Expr, call: &syn::ExprCall) {
        match last_name(&call.func).as_deref() {
            Some("Some") => {
                let nothing = Change::new(Operator::Swapped, "None");
                self.add(range(expr.span()), Shape::Expression, vec![nothing]);
            }
            Some(name) => self.swap(expr, name, {
                let Expr::Path(path) = &*call.func else { return };
                let Some(segment) = path.path.segments.last() else { return };
                segment.ident.span()
            }),
            None => self.expression(&call.func),
        }
    }

    /// The other name of a pair.
    fn swap(&mut self, expr: &Expr, name: &str, at: proc_macro2::Span) {
        let other = PAIRS.iter().find_map(|(a, b)| match name {
            _ if name == *a => Some(*b),
            _ if name == *b => Some(*a),
            _ => None,
        });
        if let Some(other) = other {
            let (from, name) = (range(expr.span()), range(at));
            let (before, after) = (&self.source[from.start..name.start], &self.source[name.end..from.end]);
            let swapped = Change::new(Operator::Swapped, format!("{before}{other}{after}"));
            self.add(from.clone(), Shape::Expression, vec![swapped]);
        }
    }
}

/// True for `_` and for a name that is bound, which begins with a small letter: `None` is neither.
fn takes_all(pat: &syn::Pat) -> bool {
    match pat {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(name) => name.ident.to_string().starts_with(|c: char| c.is_lowercase()),
        _ => false,
    }
}

fn is_assignment(op: &BinOp) -> bool {
    use BinOp::{
        AddAssign, BitAndAssign, BitOrAssign, BitXorAssign, DivAssign, MulAssign, RemAssign, ShlAssign,
        ShrAssign, SubAssign,
    };
    matches!(
        op,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | RemAssign(_)
            | BitAndAssign(_)
            | BitOrAssign(_)
            | BitXorAssign(_)
            | ShlAssign(_)
            | ShrAssign(_)
    )
}
