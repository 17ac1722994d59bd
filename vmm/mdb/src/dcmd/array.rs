//! `::array`: the addresses of an array's elements.
//!
//! # Invariants
//! - It reads nothing: it counts.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;
use crate::view::View;

/// Elements that it counts at most.
const MAX_COUNT: u64 = 1 << 20;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "array",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "type count",
    about: "print each array element's address",
    help: "Gives the addresses of so many elements of a type, one beside the other. The count is an expression.",
    examples: &[("kernel::print Kernel k_threads.data_ptr | ::array kthread_t 4 | ::thread", "the first four threads")],
    run: Run::Types(run),
};

fn run(session: &mut Session<'_>, view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let first = call.address()?;
    let [name, count] = call.options("")?.rest else {
        return Err(call.misused("it needs a type and a count"));
    };
    let size = view.types().size(view.type_named(&name.text).map_err(|failure| failure.or_at(&name.at))?);
    let text = |failure: Failure| Failure::at(count.at.clone(), failure.message);
    let count = match count.value {
        Some(value) => value,
        None => session.value_of(&count.text).map_err(text)?,
    };
    if count > MAX_COUNT {
        return Err(Failure::new(format!("{count:#x} elements are too many; {MAX_COUNT:#x} at most")));
    }
    Ok(Answer::addresses((0..count).map(|n| first.wrapping_add(n.wrapping_mul(size)))))
}
