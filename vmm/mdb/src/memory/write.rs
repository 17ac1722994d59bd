//! `/v`, `/w`, `/W`, `/Z`: words that are written, if the target is open for that.
//!
//! # Invariants
//! - Nothing is written here: the target's own machine does it, and notes it.
//! - A variable of the kernel is written as a whole: a word of another width would write what lies beside it as well.

use super::letters::Format;
use super::show::Shown;
use crate::lang::Failure;
use crate::view::View;

/// Writes each of the values, one behind the other from `dot` on, and tells what was there and what is.
pub(super) fn write(view: &View<'_>, dot: u64, format: &Format, values: &[u64]) -> Result<Shown, Failure> {
    view.must_be_writable()?;
    if values.is_empty() {
        return Err(Failure::new("expected the value to write behind the letter"));
    }
    let size = format.size as u64;
    let variable =
        view.variable_at(dot).map(|of| view.types().size(of)).filter(|bytes| matches!(bytes, 1 | 2 | 4 | 8));
    if let Some(bytes) = variable.filter(|bytes| *bytes != size) {
        let letter = ["v", "w", "W", "Z"][bytes.trailing_zeros() as usize];
        let name = view.name_of(dot).unwrap_or_default();
        let message = format!("{name} has {bytes} bytes: /{letter} writes as many; nothing was changed");
        return Err(Failure::new(message));
    }
    let (mut text, mut at) = (String::new(), dot);
    for &value in values {
        let what = view.name_of(at).unwrap_or_else(|| format!("{at:#x}"));
        let written = view.write(&what, at, value, format.size)?;
        let label = format!("{what}:");
        text += &format!("{label:<15} {:<#15x} =       {:#x}\n", written.old, written.new);
        at = at.wrapping_add(size);
    }
    Ok(Shown {
        text: text.trim_end().to_owned(),
        increment: at.wrapping_sub(dot),
        value: values.last().copied(),
    })
}
