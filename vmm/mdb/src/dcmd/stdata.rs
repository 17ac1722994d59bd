//! `::stdata`: stream heads.
//!
//! # Invariants
//! - Columns are mdb's. This kernel has neither vnodes nor anchors: both are 0.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::streams::{self, flags, select};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "stdata",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-q|v] [-f flag] [-F flag]",
    about: "filter and display STREAM head",
    help: "Prints the stream head at the address, or every one in use: its write queue, its flags, its vnode (0: there are none here),\n\
           how many modules are pushed and where the anchor is (0: there is none), and claims on its links.\n\
           -v        what the flags mean                  -q        addresses only\n\
           -f flag   only heads with the flag set         -F flag   only heads with the flag not set",
    examples: &[
        ("::stdata", "every stream"),
        ("::stdata -f WSLEEP | ::stream", "those whose writers sleep"),
        ("::stdata -v", "with what the flags mean"),
    ],
    run: Run::View(run),
};

/// Column of the flags, to which `-v` draws its arrow.
const FLAGS_COLUMN: usize = 2 * 16 + 2 + 7;

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("qvf:F:")?;
    select::check(call, &options)?;
    let set = select::bit(&options, 'f', flags::STDATA)?;
    let clear = select::bit(&options, 'F', flags::STDATA)?;
    let is_quiet = select::is_quiet(call, &options, "fF");
    let header = format!("{:>16} {:>16} {:>8} {:>16} N/A REF", "ADDR", "WRQ", "FLAGS", "VNODE");
    let mut answer = Answer { header: (!is_quiet).then_some(header), ..Answer::default() };
    let addrs = match call.addr {
        Some(addr) => vec![addr],
        None => streams::stdatas(view)?,
    };
    for addr in addrs {
        let head = streams::stdata(view, addr)?;
        let bits = head.n("sd_flag")?;
        if bits & set != set || bits & clear != 0 {
            continue;
        }
        if is_quiet {
            answer.rows.push(select::address(addr));
            continue;
        }
        let (wrq, pushed, claims) = (head.n("sd_wrq")?, head.n("sd_pushcnt")?, head.n("sd_refcnt")?);
        let mut text = format!("{addr:016x} {wrq:016x} {bits:08x} {:016x} {pushed}/{} {claims}", 0, 0);
        if options.has('v') {
            text += &flags::arrow(flags::STDATA, bits, FLAGS_COLUMN);
        }
        let data = vec![
            ("addr", addr.into()),
            ("wrq", wrq.into()),
            ("flags", bits.into()),
            ("pushcnt", pushed.into()),
            ("refcnt", claims.into()),
            ("queued_services", head.n("sd_nqueues")?.into()),
        ];
        answer.rows.push(Row { value: Some(addr), text, data });
    }
    Ok(answer)
}
