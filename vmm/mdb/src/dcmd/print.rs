//! `::print`: an object by its type.
//!
//! # Invariants
//! - A path is followed from one copy of the object; only pointers lead out of it.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options, Word};
use crate::lang::Failure;
use crate::object::Object;
use crate::printer::Printer;
use crate::types::TypeId;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "print",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "[-aCdhLntTx] [-c lim] [-l lim] [-s depth] [type] [member | $[offset] ...]",
    about: "print the contents of a data structure",
    help: "Prints the object of a type at the address: all of it, or the members that are named. Types are those of Rust (Kthread,\n\
           thread::Kthread) or as C has them (kthread_t). Members are paths with `.`, `->` and `[n]`; pointers are followed, and\n\
           atomics, cells and newtypes seen through. A variable of the kernel needs no type.\n\
           -a  address of each object in front      -c n  n characters of an array of them (1024), -C all\n\
           -d  numbers decimal, -x hexadecimal      -l n  n elements of other arrays (32), -L all\n\
           -t  type of each in front                -s n  structures n deep\n\
           -T  and what it is without its wrapping  -n    pointers as numbers, not as symbols\n\
           -h  holes between members\n\
           Into a pipe it gives a number's or pointer's value, and the address of anything else; with -a always the address.",
    examples: &[
        ("::walk thread | ::print kthread_t t_name t_pri", "two members of every thread"),
        ("::walk cpu | ::print cpu_t cpu_thread->t_cldata.ts_timeleft", "through a pointer"),
        ("::walk thread | ::print kthread_t t_cldata | ::print -a tsproc_t ts_timeleft", "as in illumos #1532"),
        ("lbolt::print -d", "a variable of the kernel"),
        ("kernel::print -s 1 Kernel", "the root object, not too deep"),
    ],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    let options = call.options("aCdhLntTxipc:l:s:")?;
    let printer = printer(&options)?;
    let (of, paths) = type_and_paths(view, addr, call, options.rest)?;
    let object = view.object(of, addr)?;
    let mut rows = Vec::new();
    if paths.is_empty() {
        rows.push(row(&printer, "", &object)?);
    }
    for path in paths {
        let (name, member) = match path.value {
            Some(offset) => (format!("+{offset:#x}"), view.object(view.type_named("usize")?, addr.wrapping_add(offset))?),
            None => (path.text.clone(), object.get(&path.text).map_err(|failure| failure.or_at(&path.at))?),
        };
        rows.push(row(&printer, &name, &member)?);
    }
    Ok(Answer::rows(rows))
}

/// The type that is given, or that of the variable at the address, and the paths behind it.
fn type_and_paths<'c>(
    view: &View<'_>,
    addr: u64,
    call: &Call<'_>,
    words: &'c [Word],
) -> Result<(TypeId, &'c [Word]), Failure> {
    let of_variable = view.variable_at(addr);
    match (words, of_variable) {
        ([word, keyed, rest @ ..], _) if ["struct", "enum", "union"].contains(&word.text.as_str()) => {
            Ok((view.type_named(&keyed.text).map_err(|failure| failure.or_at(&keyed.at))?, rest))
        }
        ([first, rest @ ..], of_variable) => match (view.type_named(&first.text), of_variable) {
            (Ok(of), _) => Ok((of, rest)),
            (Err(_), Some(of)) => Ok((of, words)),
            (Err(failure), None) => Err(failure.or_at(&first.at)),
        },
        ([], Some(of)) => Ok((of, words)),
        ([], None) => Err(call.misused("it needs a type: no variable of the kernel begins at the address")),
    }
}

fn printer(options: &Options<'_>) -> Result<Printer, Failure> {
    let default = Printer::default();
    let limit = |flag, all, default: u64| match options.argument(flag) {
        _ if options.has(all) => Ok(u64::MAX),
        None => Ok(default),
        Some(word) => word.text.parse().map_err(|_| Failure::at(word.at.clone(), format!("-{flag} takes a decimal number"))),
    };
    Ok(Printer {
        addresses: options.has('a'),
        types: options.has('t'),
        base_types: options.has('T'),
        decimal: options.has('d') && !options.has('x'),
        raw_pointers: options.has('n'),
        holes: options.has('h'),
        chars: usize::try_from(limit('c', 'C', default.chars as u64)?).unwrap_or(usize::MAX),
        elements: limit('l', 'L', default.elements)?,
        depth: usize::try_from(limit('s', '\0', default.depth as u64)?).unwrap_or(default.depth).min(default.depth),
    })
}

fn row(printer: &Printer, name: &str, object: &Object<'_>) -> Result<Row, Failure> {
    let plain = Printer { addresses: false, types: false, base_types: false, ..*printer };
    let value_text = plain.shown("", object)?;
    // Without anything in front of its lines the text of a structure is that of its value.
    let text = match (printer.addresses || printer.types || printer.base_types, name) {
        (true, _) => printer.shown(name, object)?,
        (false, "") => value_text.clone(),
        (false, name) => format!("{name} = {value_text}"),
    };
    let number = object.number().ok();
    let is_address_wanted = printer.addresses || number.is_none();
    let value = if is_address_wanted { object.addr() } else { number.unwrap_or(0) };
    let types = object.view().types();
    let data = vec![
        ("addr", object.addr().into()),
        ("type", types.get(object.of()).shown().into()),
        ("member", Some(name).filter(|name| !name.is_empty()).map(str::to_owned).into()),
        ("value", number.into()),
        ("text", value_text.into()),
    ];
    Ok(Row { value: Some(value), text, data })
}
