//! `::threadlist`: threads with their processes; with -v, with their stacks.
//!
//! # Invariants
//! - Every thread is a process of its own here: PROC is the thread's own address, LWP too if it has one.

use umpire_watch::findstack;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::recorded::Recorded;
use crate::source::NO_MEMORY;
use crate::view::View;
use crate::walker;
use crate::{frames, kernel};

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "threadlist",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-v [count]]",
    about: "display threads and associated C stack traces",
    help: "Prints a line for the thread at the address, or for every one that is not free: its process and LWP (this kernel has no\n\
           structures for them: each thread is a process of its own) and its name.\n\
           -v  class, priority, what it waits for, where it is, and its stack: so many frames of it, if a number (decimal) follows\n\
           Of a recording: its number, whether it has an LWP, and its name; there are no stacks, so no -v.",
    examples: &[("::threadlist", "every thread"), ("::threadlist -v", "with stacks")],
    run: Run::Either(run, recorded),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    let most = match options.rest {
        [word] if options.has('v') => {
            let count = word.text.parse::<usize>();
            count.map_err(|_| call.misused_at(&word.at, format!("`{}` is no number of frames", word.text)))?
        }
        _ => {
            options.none_left(call)?;
            usize::MAX
        }
    };
    let addrs = walker::at_or_all(view, call, "thread")?;
    let is_long = options.has('v');
    let mut rows = Vec::new();
    for addr in addrs {
        let t = kernel::thread(view, addr)?;
        let lwp = if t.n("lwp_state")? == 0 { 0 } else { addr };
        let (name, class) = (t.text("t_name")?, t.n("t_cid")?);
        let (pri, wchan) = (t.signed("t_pri")?, t.n("t_wchan")?);
        let mut data = vec![
            ("addr", addr.into()),
            ("proc", addr.into()),
            ("lwp", Some(lwp).filter(|lwp| *lwp != 0).into()),
            ("name", name.as_str().into()),
        ];
        let text = if is_long {
            let mut stack = frames::of(view, addr)?;
            stack.frames.truncate(most);
            let drawn = findstack::frames(&stack, "");
            let pc = stack.frames.first().and_then(|f| f.code.clone()).unwrap_or_else(|| "-".to_owned());
            data.extend([
                ("class", kernel::class_name(class).into()),
                ("pri", pri.into()),
                ("wchan", wchan.into()),
                ("frames", frames::table().records(&stack.frames)),
            ]);
            let indented: String = drawn.lines().map(|line| format!("  {line}\n")).collect();
            format!("{addr:016x} {addr:>16x} {lwp:>16x} {class:>3} {pri:>3} {wchan:>16x}\n  PC: {pc}    CMD: {name}\n{indented}")
        } else {
            format!("{addr:016x} {addr:>16x} {lwp:>16x} {name}")
        };
        rows.push(Row { value: Some(addr), text, data });
    }
    let header = match is_long {
        true => format!("{:>16} {:>16} {:>16} {:>3} {:>3} {:>16}", "ADDR", "PROC", "LWP", "CLS", "PRI", "WCHAN"),
        false => format!("{:>16} {:>16} {:>16} CMD/LWPID", "ADDR", "PROC", "LWP"),
    };
    Ok(Answer { header: Some(header), rows, ended: None })
}

fn recorded(recorded: &Recorded<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    if options.has('v') {
        return Err(Failure::new(format!("-v shows stacks: {NO_MEMORY}; ::thread shows what each thread does")));
    }
    options.none_left(call)?;
    let scene = recorded.scene();
    let numbers = call.addr.map_or_else(|| scene.threads.keys().copied().collect(), |number| vec![number]);
    let row = |number: u64| {
        recorded.thread(&scene, number)?;
        let (known, name) = (recorded.recording().thread(number), recorded.recording().name(number));
        let has_lwp = known.map(|thread| thread.has_lwp);
        let lwp = has_lwp.map_or("-", |has| if has { "yes" } else { "no" });
        let data = vec![("thread", number.into()), ("lwp", has_lwp.into()), ("name", name.as_str().into())];
        Ok(Row { value: Some(number), text: format!("{number:>6x} {lwp:<3} {name}"), data })
    };
    let rows = numbers.into_iter().map(row).collect::<Result<Vec<Row>, Failure>>()?;
    Ok(Answer { header: Some("THREAD LWP CMD/LWPID".to_owned()), rows, ended: None })
}
