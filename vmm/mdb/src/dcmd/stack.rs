//! `::stack`, `$c`: a stack as a list of calls.
//!
//! # Invariants
//! - A stack is read by the glass, as those in reports are.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::frames;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "stack",
    aliases: &["$c", "$C"],
    address: Address::Optional,
    takes_all: false,
    usage: "[-kv]",
    about: "print stack backtrace",
    help: "Prints the calls that a thread is in, innermost first: of the thread at the address, or of what runs on CPU 0.\n\
           -k  kick a CPU that runs out of the guest for the time of one read of its registers\n\
           -v  the frame pointer in front of each, as $C",
    examples: &[("::walk thread | ::head -1 | ::stack", "the calls of a thread"), ("$c", "what runs on CPU 0")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("kv")?;
    options.none_left(call)?;
    let thread = match call.addr {
        Some(addr) => addr,
        None => view.at("Cpu", kernel::cpus(view)?.base)?.n("cpu_thread")?,
    };
    let stack = frames::asking(view, thread, &view.glass_asking(options.whom()))?;
    frames::is_there(&stack)?;
    let row = |frame: &umpire_watch::glass::Frame| {
        let code = frame.code.clone().unwrap_or_else(|| format!("{:#x}", frame.pc));
        let text = if options.has('v') { format!("{:016x} {code}()", frame.at) } else { format!("{code}()") };
        Row { value: Some(frame.pc), text, data: frames::table().record(frame) }
    };
    Ok(Answer::rows(stack.frames.iter().map(row)))
}
