//! `::queue`: the queues of streams.
//!
//! # Invariants
//! - Columns, filters and what they imply are mdb's: without an address read queues only, with a filter addresses only.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::object::Object;
use crate::streams::{self, flags, select};
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "queue",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-q|v] [-m mod] [-f flag] [-F flag] [-s syncq_addr]",
    about: "filter and display STREAM queue",
    help: "Prints information about the queue at the address; without one, about the read queue of every pair in use: its module, its\n\
           flags (hexadecimal), how many messages are on it, and the first of them.\n\
           -v        what the flags mean                  -q        addresses only\n\
           -f flag   only queues with the flag set        -F flag   only queues with the flag not set\n\
           -m mod    only queues of the module            -s addr   only queues that use the syncq\n\
           With a filter, and into a pipe, it prints addresses only.\n\
           See ::q2rdq, ::q2wrq, ::q2otherq, ::q2syncq and ::q2stream for what belongs to a queue, and walker qnext.",
    examples: &[
        ("::queue", "every read queue"),
        ("::queue -f QFULL | ::queue -v", "those that are flow controlled"),
        ("::queue -q | ::q2wrq | ::queue -f QFULL | ::queue", "the same of write queues"),
        ("::queue -m bufmod | ::q2stream | ::stream", "the streams that a module is in"),
    ],
    run: Run::View(run),
};

/// Column of the flags, to which `-v` draws its arrow.
const FLAGS_COLUMN: usize = 2 * 8 + 15;

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("qvm:f:F:s:")?;
    select::check(call, &options)?;
    let set = select::bit(&options, 'f', flags::QUEUE)?;
    let clear = select::bit(&options, 'F', flags::QUEUE)?;
    let syncq = select::number(call, &options, 's')?;
    let module = options.argument('m').map(|word| word.text.as_str());
    let addrs = walker::at_or_all(view, call, "queue_cache")?;
    let is_quiet = select::is_quiet(call, &options, "mfFs");
    let header = format!("{:>16} {:<13} {:>6} {:>4}", "ADDR", "MODULE", "FLAGS", "NBLK");
    let mut answer = Answer { header: (!is_quiet).then_some(header), ..Answer::default() };
    for addr in addrs {
        let queue = streams::queue(view, addr)?;
        let bits = queue.n("q_flag")?;
        let is_wanted = bits & set == set
            && bits & clear == 0
            && match syncq {
                None => true,
                Some(syncq) => queue.n("q_syncq")? == syncq,
            }
            && match module {
                None => true,
                Some(module) => queue.text("q_idname")? == module,
            };
        if !is_wanted {
            continue;
        }
        if is_quiet {
            answer.rows.push(select::address(addr));
            continue;
        }
        answer.rows.push(row(&queue, options.has('v'), &mut answer.ended)?);
    }
    Ok(answer)
}

fn row(queue: &Object<'_>, is_verbose: bool, ended: &mut Option<Failure>) -> Result<Row, Failure> {
    let (addr, module) = (queue.addr(), queue.text("q_idname")?);
    let (bits, first) = (queue.n("q_flag")?, queue.n("q_first")?);
    let walk = streams::messages(queue.view(), first);
    let messages = walk.addrs.len() as u64;
    if let Some(why) = walk.ended {
        ended.get_or_insert(Failure::new(format!("the messages of queue {addr:#x}: {}", why.message)));
    }
    let mut text = format!("{addr:016x} {module:<13} {bits:06x} {messages:>4} {first:016x}");
    if is_verbose {
        text += &flags::arrow(flags::QUEUE, bits, FLAGS_COLUMN);
    }
    let data = vec![
        ("addr", addr.into()),
        ("module", module.as_str().into()),
        ("flags", bits.into()),
        ("messages", messages.into()),
        ("first", first.into()),
        ("count_bytes", queue.n("q_count")?.into()),
        ("hiwat_bytes", queue.n("q_hiwat")?.into()),
        ("lowat_bytes", queue.n("q_lowat")?.into()),
        ("syncq", queue.n("q_syncq")?.into()),
        ("stream", queue.n("q_stream")?.into()),
        ("parked", queue.n("q_syncqmsgs")?.into()),
    ];
    Ok(Row { value: Some(addr), text, data })
}
