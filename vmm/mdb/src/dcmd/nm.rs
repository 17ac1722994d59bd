//! `::nm`: the image's symbols.
//!
//! # Invariants
//! - Names are demangled; those of variables of the kernel, which no linker knows, come last.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::image::{ElfSymbol, Names};
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "nm",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-dgnpx] [-t types] [name]",
    about: "print symbols",
    help: "Lists the symbols of the guest's image by name, or those of one name, or the one that the address is in.\n\
           -n  by address                 -g  global ones only\n\
           -d  sizes decimal, -x hex      -t  only these types: func, objt, noty\n\
           -p  name and address only",
    examples: &[("::nm swtch", "the function swtch, whatever module it is in"), ("::nm -n -t func ! head", "code by address")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("dgnpxt:")?;
    let mut symbols: Vec<&ElfSymbol> = match (options.rest, call.addr) {
        ([name], _) => view.image().named(&name.text),
        ([], Some(addr)) => view.image().symbol_at(addr).into_iter().collect(),
        ([], None) => view.image().symbols().iter().collect(),
        ([_, more, ..], _) => return Err(call.misused_at(&more.at, "one name at a time")),
    };
    if let Some(types) = options.argument('t') {
        symbols.retain(|symbol| types.text.split(',').any(|of| of == kind(symbol)));
    }
    symbols.retain(|symbol| symbol.is_global || !options.has('g'));
    if !options.has('n') {
        symbols.sort_by(|a, b| (&a.name, a.value).cmp(&(&b.name, b.value)));
    }
    if symbols.is_empty() {
        return Err(Failure::new("no symbol is like that"));
    }
    let row = |symbol: &&ElfSymbol| {
        let ElfSymbol { value, size, .. } = **symbol;
        let bind = if symbol.is_global { "GLOB" } else { "LOCL" };
        let name = symbol.qualified();
        let kind = kind(symbol).to_ascii_uppercase();
        let sized = if options.has('d') { format!("{size:018}") } else { format!("{size:#018x}") };
        let text = match options.has('p') {
            true => format!("{value:#018x} {name}"),
            false => format!("{value:#018x}|{sized}|{kind:<5}|{bind:<5}|0x0  |{:<8}|{name}", section(symbol)),
        };
        let data = vec![
            ("value", value.into()),
            ("size_bytes", size.into()),
            ("type", kind.into()),
            ("bind", bind.into()),
            ("name", name.into()),
        ];
        Row { value: Some(value), text, data }
    };
    let header = format!("{:<18} {:<18} {:<5} {:<5} {:<5} {:<8} Name", "Value", "Size", "Type", "Bind", "Other", "Shndx");
    let header = (!options.has('p')).then_some(header);
    Ok(Answer { header, rows: symbols.iter().map(row).collect(), ended: None })
}

fn kind(symbol: &ElfSymbol) -> &'static str {
    match symbol.of {
        Names::Code => "func",
        Names::Data => "objt",
        Names::Label => "noty",
    }
}

fn section(symbol: &ElfSymbol) -> &'static str {
    match symbol.of {
        Names::Code => ".text",
        Names::Data => ".data",
        Names::Label => "",
    }
}
