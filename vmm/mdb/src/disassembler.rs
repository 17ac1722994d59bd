//! Instructions as text, as Solaris writes them: `movq`, source before target, calls with the name of what they call.
//!
//! # Invariants
//! - Bytes that are no instruction are one byte long and say so; nothing here fails for what the bytes are.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, Mnemonic};

use crate::lang::Failure;
use crate::view::View;

/// Bytes of the longest instruction.
const LONGEST: usize = 15;

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disassembled {
    /// Where it is.
    pub(crate) addr: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// It.
    pub(crate) text: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// The instruction at an address.
///
/// # Errors
/// [`Failure`] if there is no memory.
pub(crate) fn one(view: &View<'_>, addr: u64) -> Result<Disassembled, Failure> {
    let mut bytes = [0; LONGEST];
    // The last instruction of a segment may be shorter than the longest one.
    let mut len = LONGEST;
    while let Err(failure) = view.read_code(addr, &mut bytes[..len]) {
        len -= 1;
        if len == 0 {
            return Err(failure);
        }
    }
    let mut decoder = Decoder::with_ip(64, &bytes[..len], addr, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.mnemonic() == Mnemonic::INVALID {
        let text = format!(".byte  {:#x}", bytes[0]);
        return Ok(Disassembled { addr, length: 1, text, bytes: bytes[..1].to_vec() });
    }
    let length = instruction.len();
    Ok(Disassembled {
        addr,
        length: length as u64,
        text: text(view, &instruction),
        bytes: bytes[..length].to_vec(),
    })
}

fn text(view: &View<'_>, instruction: &Instruction) -> String {
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_gas_show_mnemonic_size_suffix(true);
    options.set_space_after_operand_separator(false);
    options.set_first_operand_char_index(7);
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    let mut out = String::new();
    formatter.format(instruction, &mut out);
    let target = match instruction.near_branch_target() {
        0 if instruction.is_ip_rel_memory_operand() => instruction.ip_rel_memory_address(),
        target => target,
    };
    match view.image().symbol_at(target).filter(|_| target != 0) {
        Some(symbol) if target == symbol.value => format!("{out}  <{}>", symbol.name),
        Some(symbol) => format!("{out}  <{}+{:#x}>", symbol.name, target - symbol.value),
        None => out,
    }
}
