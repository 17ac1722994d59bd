//! `::nm`: the image's symbols, and those that were added.
//!
//! # Invariants
//! - Names are demangled. Variables of the kernel, which no linker knows, are not among them.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options};
use crate::image::{ElfSymbol, Names};
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "nm",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-DPdghnopuvx] [-t types] [-f format] [name]",
    about: "print symbols",
    help: "Lists the symbols of the guest's image, or those of one name, or the one that the address is in.\n\
           -n  by name (the default)      -v  by value                   -g  global ones only\n\
           -d  numbers decimal            -o  octal                      -x  hexadecimal (the default)\n\
           -h  no line of headings        -p  name and address only\n\
           -P  those of ::nmadd           -D  dynamic ones, -u  undefined ones: this image has neither\n\
           -t  only these types: func, objt, noty\n\
           -f  only these columns, in this order: val, size, type, bind, oth, shndx, name",
    examples: &[
        ("::nm swtch", "the function swtch, whatever module it is in"),
        ("::nm -v -t func ! head", "code by address"),
        ("::nm -h -f name,size swtch", "what is wanted of it"),
    ],
    run: Run::View(run),
};

/// A column: what `-f` calls it, its heading and its width.
type Column = (&'static str, &'static str, usize);

const COLUMNS: &[Column] = &[
    ("val", "Value", 18),
    ("size", "Size", 18),
    ("type", "Type", 5),
    ("bind", "Bind", 5),
    ("oth", "Other", 5),
    ("shndx", "Shndx", 8),
    ("name", "Name", 0),
];

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("DPdghnopuvxt:f:")?;
    let columns = columns(&options, call)?;
    let symbols = chosen(view, call, &options)?;
    if symbols.is_empty() {
        return Err(Failure::new("no symbol is like that"));
    }
    let row = |symbol: &ElfSymbol| {
        let name = symbol.qualified();
        let (kind, bind) = (kind(symbol).to_ascii_uppercase(), bind(symbol));
        let cell = |(key, _, width): &Column| {
            let text = match *key {
                "val" => number(symbol.value, &options),
                "size" => number(symbol.size, &options),
                "type" => kind.clone(),
                "bind" => bind.to_owned(),
                "oth" => "0x0".to_owned(),
                "shndx" => section(symbol).to_owned(),
                _ => return name.to_string(),
            };
            format!("{text:<width$}")
        };
        let text = match options.has('p') {
            true => format!("{} {name}", number(symbol.value, &options)),
            false => columns.iter().map(cell).collect::<Vec<_>>().join("|"),
        };
        let data = vec![
            ("value", symbol.value.into()),
            ("size_bytes", symbol.size.into()),
            ("type", kind.as_str().into()),
            ("bind", bind.into()),
            ("name", name.to_string().into()),
        ];
        Row { value: Some(symbol.value), text: text.trim_end().to_owned(), data }
    };
    let titles = columns.iter().map(|(_, title, width)| format!("{title:<width$}")).collect::<Vec<_>>();
    let header = (!options.has('p') && !options.has('h')).then(|| titles.join(" ").trim_end().to_owned());
    Ok(Answer { header, rows: symbols.iter().map(row).collect(), ended: None })
}

/// The columns that `-f` names, or all.
fn columns(options: &Options<'_>, call: &Call<'_>) -> Result<Vec<Column>, Failure> {
    let Some(format) = options.argument('f') else { return Ok(COLUMNS.to_vec()) };
    let column = |key: &str| {
        let known = COLUMNS.iter().find(|(known, ..)| *known == key).copied();
        known.ok_or_else(|| call.misused_at(&format.at, format!("there is no column `{key}`")))
    };
    format.text.split(',').map(column).collect()
}

/// The symbols that are asked for, in the order that is.
fn chosen(view: &View<'_>, call: &Call<'_>, options: &Options<'_>) -> Result<Vec<ElfSymbol>, Failure> {
    if let Some(flag) = ['D', 'u'].into_iter().find(|flag| options.has(*flag)) {
        let what = if flag == 'D' { "dynamic" } else { "undefined" };
        return Err(Failure::new(format!("the image has no {what} symbols: it is linked for good")));
    }
    let mut symbols: Vec<ElfSymbol> = match (options.rest, call.addr) {
        _ if options.has('P') => added(view, options),
        ([name], _) => view.image().named(&name.text).into_iter().cloned().collect(),
        ([], Some(addr)) => view.image().symbol_at(addr).into_iter().cloned().collect(),
        ([], None) => view.image().symbols().to_vec(),
        ([_, more, ..], _) => return Err(call.misused_at(&more.at, "one name at a time")),
    };
    if let Some(types) = options.argument('t') {
        symbols.retain(|symbol| types.text.split(',').any(|of| of == kind(symbol)));
    }
    symbols.retain(|symbol| symbol.is_global || !options.has('g'));
    if !options.has('v') {
        symbols.sort_by(|a, b| (&a.name, a.value).cmp(&(&b.name, b.value)));
    }
    Ok(symbols)
}

/// The symbols of `::nmadd`.
fn added(view: &View<'_>, options: &Options<'_>) -> Vec<ElfSymbol> {
    let is_wanted = |name: &str| options.rest.is_empty() || options.rest.iter().any(|word| word.text == name);
    let all = view.named().symbols().into_iter().filter(|(name, _)| is_wanted(name));
    let symbol = |(name, of): (String, crate::named::Added)| ElfSymbol {
        value: of.value,
        size: of.size,
        of: Names::Label,
        is_global: true,
        name,
        module: String::new(),
    };
    all.map(symbol).collect()
}

fn number(value: u64, options: &Options<'_>) -> String {
    match () {
        () if options.has('d') => format!("{value:018}"),
        () if options.has('o') => format!("0{value:017o}"),
        () => format!("{value:#018x}"),
    }
}

fn bind(symbol: &ElfSymbol) -> &'static str {
    if symbol.is_global { "GLOB" } else { "LOCL" }
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
