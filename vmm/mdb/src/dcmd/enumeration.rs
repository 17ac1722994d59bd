//! `::enum`: the names of an enumeration, or of a field that holds one of several values.
//!
//! # Invariants
//! - Names are those of the guest's debug information, and of the vocabulary that it shares with the host.

use umpire_shared::sys::{Name, cyclic, klwp, msacct, sobject, thread};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::types::{Shape, Struct};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "enum",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "type|field [name|value]",
    about: "print an enumeration",
    help: "Prints the values of an enumeration with their names, or one of them. Where the kernel keeps a value in a plain number,\n\
           the field has the names: t_state, t_sobj, lwp_state, t_mstate, t_role, cy_handler.",
    examples: &[("::enum t_state", "the states of a thread"), ("::enum t_state 4", "TS_ONPROC")],
    run: Run::View(run),
};

/// Fields that hold one of several values, each with the names.
fn field(name: &str) -> Option<&'static [Name]> {
    Some(match name {
        "t_state" => thread::ts::NAMES.all(),
        "t_role" => thread::role::NAMES.all(),
        "t_sobj" | "ts_kind" => sobject::sobj::NAMES.all(),
        "lwp_state" => klwp::lwp::NAMES.all(),
        "t_mstate" => msacct::lms::NAMES.all(),
        "cy_handler" => cyclic::handler::NAMES.all(),
        _ => return None,
    })
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let words = call.options("")?.rest;
    let [name, ..] = words else { return Err(call.misused("it needs a type, or the name of a field")) };
    let all: Vec<(String, u64)> = match field(&name.text) {
        Some(names) => names.iter().map(|n| (n.name.to_owned(), n.value)).collect(),
        None => {
            let types = view.types();
            let of = types.get(types.resolved(view.type_named(&name.text).map_err(|failure| failure.or_at(&name.at))?));
            match &of.shape {
                Shape::Enum { names, .. } => names.clone(),
                Shape::Struct(Struct { variants: Some(variants), .. }) => {
                    variants.each.iter().map(|(value, m)| (m.name.clone(), value.unwrap_or(u64::MAX))).collect()
                }
                _ => return Err(Failure::at(name.at.clone(), format!("{} is no enumeration", of.shown()))),
            }
        }
    };
    let wanted = words.get(1).map(|word| word.text.as_str());
    let number = wanted.and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let is_wanted = |(name, value): &&(String, u64)| wanted.is_none_or(|w| name == w || number == Some(*value));
    let row = |(name, value): &(String, u64)| Row {
        value: Some(*value),
        text: format!("{value:>11x} {name}"),
        data: vec![("value", (*value).into()), ("name", name.as_str().into())],
    };
    let rows: Vec<Row> = all.iter().filter(is_wanted).map(row).collect();
    if rows.is_empty() {
        let text = wanted.unwrap_or_default();
        return Err(Failure::new(format!("{} has no value and no name {text}", name.text)));
    }
    Ok(Answer { header: Some(format!("{:>11} NAME", "VALUE")), rows, ended: None })
}
