//! `::offsetof`: where a member lies.
//!
//! # Invariants
//! - A path may go through members and elements, and not through pointers.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::types::{Place, steps};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "offsetof",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "type member",
    about: "print the offset of a given struct or union member",
    help: "Prints how many bytes a member is from the beginning of its structure, and how many it takes.",
    examples: &[("::offsetof kthread_t t_pri", "where t_pri is"), ("::offsetof cpu_t cpu_disp.disp_q[99]", "deeper")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let [name, member] = call.options("")?.rest else {
        return Err(call.misused("it needs a type and a member"));
    };
    let types = view.types();
    let mut of = view.type_named(&name.text).map_err(|failure| failure.or_at(&name.at))?;
    let mut offset = 0;
    for step in steps(&member.text).map_err(|failure| failure.or_at(&member.at))? {
        match types.step(of, &step).map_err(|failure| failure.or_at(&member.at))? {
            Place::Inside(by, to) => (offset, of) = (offset + by, to),
            Place::Behind { .. } => {
                let message = format!("{} leads through a pointer, which has no offset", member.text);
                return Err(Failure::at(member.at.clone(), message));
            }
        }
    }
    let (name, member, size) = (&name.text, &member.text, types.size(of));
    let row = Row {
        value: Some(offset),
        text: format!("offsetof ({name}, {member}) = {offset:#x}, sizeof (...->{member}) = {size:#x}"),
        data: vec![
            ("type", name.as_str().into()),
            ("member", member.as_str().into()),
            ("offset_bytes", offset.into()),
            ("size_bytes", size.into()),
        ],
    };
    Ok(Answer::rows([row]))
}
