//! What an expression is worth.
//!
//! # Invariants
//! - Arithmetic is that of 64-bit words and wraps; only a division by zero and what memory and names do not hold are failures.

use super::failure::Failure;
use super::syntax::{Binary, Expr, Unary, Width};

/// What names and addresses mean.
pub trait Meaning {
    /// The value of `.`.
    fn dot(&self) -> u64;

    /// The value of a symbol.
    ///
    /// # Errors
    /// [`Failure`] if there is none, or more than one.
    fn symbol(&self, name: &str) -> Result<u64, Failure>;

    /// The value of a variable, if it is defined.
    fn variable(&self, name: &str) -> Option<u64>;

    /// What memory holds at `addr`.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read.
    fn fetch(&self, addr: u64, width: Width) -> Result<u64, Failure>;

    /// What the object file holds at `addr`.
    ///
    /// # Errors
    /// [`Failure`] if there is none, or not there.
    fn fetch_object(&self, addr: u64, width: Width) -> Result<u64, Failure>;
}

/// What an expression is worth.
///
/// # Errors
/// [`Failure`] with the place of what has no value.
pub fn evaluate(of: &Expr, meaning: &dyn Meaning) -> Result<u64, Failure> {
    match of {
        Expr::Number(value) => Ok(*value),
        Expr::Dot => Ok(meaning.dot()),
        Expr::Symbol { name, number, at } => match (meaning.symbol(name), number) {
            (Ok(value), _) | (Err(_), &Some(value)) => Ok(value),
            (Err(failure), None) => Err(failure.or_at(at)),
        },
        Expr::Variable { name, at } => meaning
            .variable(name)
            .ok_or_else(|| Failure::at(at.clone(), format!("variable '{name}' is not defined"))),
        Expr::Unary { op, of, at } => {
            let value = evaluate(of, meaning)?;
            unary(*op, value, meaning).map_err(|failure| failure.or_at(at))
        }
        Expr::Binary { op, left, right, at } => {
            let (left, right) = (evaluate(left, meaning)?, evaluate(right, meaning)?);
            binary(*op, left, right).map_err(|failure| failure.or_at(at))
        }
    }
}

fn unary(op: Unary, value: u64, meaning: &dyn Meaning) -> Result<u64, Failure> {
    match op {
        Unary::Fetch(width) => meaning.fetch(value, width),
        Unary::FetchObject(width) => meaning.fetch_object(value, width),
        Unary::Negate => Ok(value.wrapping_neg()),
        Unary::Complement => Ok(!value),
        Unary::Not => Ok(u64::from(value == 0)),
    }
}

fn binary(op: Binary, left: u64, right: u64) -> Result<u64, Failure> {
    let by_zero = || Failure::new("divide by zero");
    let shift = |by: u64| u32::try_from(by).ok();
    Ok(match op {
        Binary::Or => left | right,
        Binary::Xor => left ^ right,
        Binary::And => left & right,
        Binary::Equal => u64::from(left == right),
        Binary::Unequal => u64::from(left != right),
        Binary::ShiftLeft => shift(right).and_then(|by| left.checked_shl(by)).unwrap_or(0),
        Binary::ShiftRight => shift(right).and_then(|by| left.checked_shr(by)).unwrap_or(0),
        Binary::Subtract => left.wrapping_sub(right),
        Binary::Add => left.wrapping_add(right),
        Binary::Multiply => left.wrapping_mul(right),
        Binary::Divide if right == 0 => return Err(by_zero()),
        Binary::Divide => (left as i64).wrapping_div(right as i64) as u64,
        Binary::RoundUp if right == 0 => return Err(by_zero()),
        Binary::RoundUp => left.wrapping_add(right - 1) / right * right,
        Binary::Modulus if right == 0 => return Err(by_zero()),
        Binary::Modulus => (left as i64).wrapping_rem(right as i64) as u64,
    })
}
