//! `::findstack`: the stack of a thread.
//!
//! # Invariants
//! - A stack is read by the glass, as those in reports are.

use umpire_rows::Value;
use umpire_watch::findstack;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::frames;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "findstack",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "[-kv]",
    about: "find kernel thread stack",
    help: "Prints the stack of the thread at the address, innermost frame first. The stack of a thread that runs needs the registers\n\
           of its CPU; they are at hand if that stands still.\n\
           -k  kick a CPU that runs out of the guest for the time of one read of its registers\n\
           -v  the place in the source of each frame, and what was inlined there. Arguments are not shown: they are passed\n\
           \x20   in registers, and the guest saves none of them for its readers",
    examples: &[
        ("::walk cpu | ::walk cpu_dispq | ::findstack", "the stacks of the threads that wait for a CPU"),
        ("::walk thread | ::findstack -v", "every thread's, with lines of the source"),
    ],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    let options = call.options("kv")?;
    options.none_left(call)?;
    let stack = frames::asking(view, addr, &view.glass_asking(options.whom()))?;
    let mut text = findstack::frames(&stack, &stack.name);
    if options.has('v') {
        text = frames::with_lines(view, &stack, &text)?;
    }
    let data = vec![
        ("thread", addr.into()),
        ("name", stack.name.as_str().into()),
        ("on_cpu", stack.on_cpu.map(u64::from).into()),
        ("sp", stack.sp.into()),
        ("frames", Value::later(move || frames::table().records(&stack.frames))),
    ];
    Ok(Answer::rows([Row { value: Some(addr), text: text.trim_end().to_owned(), data }]))
}
